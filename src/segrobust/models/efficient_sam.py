"""EfficientSAM (Xiong et al. 2023, arXiv 2312.00863) behind the ``WhiteBox`` interface."""

import torch
from torch import Tensor
from torch.nn import functional as F

from segrobust.models.base import Embedding, EverythingSettings
from segrobust.models.checkpoint import read_state
from segrobust.models.efficient_sam_net import (
    BOTTOM_RIGHT,
    POINT,
    TOP_LEFT,
    EfficientSam,
    EfficientSamConfig,
)
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.frame import Frame
from segrobust.models.geometry import Geometry
from segrobust.models.options import LoadOptions
from segrobust.models.recognise import refuse_other
from segrobust.models.sniff import sha256
from segrobust.models.strict import fill
from segrobust.models.weights import locate

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

CONFIGS = {
    "efficient_sam_vitt": EfficientSamConfig(width=192, heads=3),
    "efficient_sam_vits": EfficientSamConfig(width=384, heads=6),
}
"""EfficientSAM-Ti and EfficientSAM-S, by the authors' names."""


class BicubicGeometry(Geometry):
    """A photo stretched to the whole square; logits go straight back to the photo, bicubic."""

    def restore(self, logits: Tensor) -> Tensor:
        """Low-resolution mask logits ``(n, k, h, w)`` to the original resolution ``(n, k, H, W)``."""
        return F.interpolate(logits, self.original, mode="bicubic", align_corners=False)


class EfficientSamSegmenter(EncoderSegmenter):
    """An EfficientSAM: frozen weights, eval mode, differentiable to the pixels.

    The photo is stretched to a square, bilinear without antialias, as the authors do it: of a large photo the model
    sees only some pixels, and only those get a gradient.

    EfficientSAM gives three masks for every prompt; it was not trained to give one. The rule ``single`` takes the one
    with the highest predicted IoU, which is what the authors of RGA score, so it is the same as ``best``. With
    ``multimask`` the three come in the network's order, not sorted.

    Where we differ from the authors: their masks are the logits at or above 0, ours those above 0, as everywhere here.
    Segment everything has SAM's thresholds, unless others are given.

    Args:
        model: the network.
        name: for tables.
        options: device and precision; the pixels and the returned tensors stay float32.
        everything: its segment-everything settings.
        fingerprint: sha256 of the weights file, where known.
    """

    def __init__(
        self,
        model: EfficientSam,
        name: str,
        options: LoadOptions,
        *,
        everything: EverythingSettings | None = None,
        fingerprint: str = "",
    ) -> None:
        frame = Frame(model.config.side, IMAGENET_MEAN, IMAGENET_STD, stretch=True)
        super().__init__(name, options, frame, everything, fingerprint)
        self.module = model.to(self.device).eval().requires_grad_(False)
        # Not the prompt encoder: in half precision a coordinate would be off by a pixel.
        self._vision, self._decoder = model.image_encoder.to(self.dtype), model.mask_decoder.to(self.dtype)
        self._prompts = model.prompt_encoder
        self._position = self._prompts.wide_positions().to(self.dtype)

    def geometry(self, size: tuple[int, int]) -> Geometry:
        """How a photo of ``size`` (height, width) lies in the model's input."""
        return BicubicGeometry.stretch(size, self.frame.side)

    def resize(self, images: Tensor) -> Tensor:
        """Photos ``(B, 3, H, W)`` in [0, 1] to the model's square: bilinear, without antialias."""
        return F.interpolate(images, (self.frame.side, self.frame.side), mode="bilinear", align_corners=False)

    def _encode(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self._vision(inputs), ()

    def _decode(
        self, embedding: Embedding, points: Tensor | None, boxes: Tensor | None, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        prompts = self._tokens(points, boxes).to(self.dtype)
        logits: Tensor
        logits, iou = self._decoder(embedding.features.to(self.dtype), self._position, prompts)
        if multimask:
            return logits, iou
        best = iou.argmax(dim=1, keepdim=True)
        return torch.take_along_dim(logits, best[..., None, None], dim=1), iou.gather(1, best)

    def _tokens(self, points: Tensor | None, boxes: Tensor | None) -> Tensor:
        """Tokens ``(n, 6, C)``: one point, or a box's two corners, and places that are not used."""
        tokens: Tensor
        if points is None:
            assert boxes is not None
            corners = torch.tensor([[TOP_LEFT, BOTTOM_RIGHT]], device=self.device).expand(len(boxes), -1)
            tokens = self._prompts(boxes.unflatten(1, (2, 2)), corners)
        else:
            tokens = self._prompts(points[:, None], torch.full((len(points), 1), POINT, device=self.device))
        return tokens


def load_efficient_sam(name: str, options: LoadOptions) -> EfficientSamSegmenter:
    """EfficientSAM-Ti (``efficient_sam_vitt``) or -S (``efficient_sam_vits``) from the authors' file of weights.

    Args:
        name: one of the two.
        options: ``checkpoint``, or else the file in the weights cache, is read.

    Raises:
        ModelError: the file is not here, or holds another model (says which).
    """
    path = options.checkpoint or locate(name)
    state = read_state(path)
    refuse_other(state, path, name)
    model = EfficientSam(CONFIGS[name])
    fill(model, state, path)
    return EfficientSamSegmenter(model, name, options, fingerprint=sha256(path))
