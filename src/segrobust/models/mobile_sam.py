"""MobileSAM (Zhang et al. 2023, arXiv 2306.14289): SAM's prompts and decoder behind a TinyViT; needs kornia."""

import torch
from kornia.models.sam import Sam, SamConfig
from torch import Tensor

from segrobust.models.base import Embedding, EverythingSettings
from segrobust.models.checkpoint import read_state
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.frame import Frame
from segrobust.models.geometry import SAM_MEAN, SAM_STD
from segrobust.models.options import LoadOptions
from segrobust.models.recognise import refuse_other
from segrobust.models.sniff import sha256
from segrobust.models.strict import fill
from segrobust.models.weights import locate


class MobileSamSegmenter(EncoderSegmenter):
    """A MobileSAM behind the ``WhiteBox`` interface: frozen weights, eval mode, differentiable to the pixels.

    Input, prompts and the way back to the photo are SAM's.

    Args:
        model: kornia's ``Sam``; only its parts are called, for its ``forward`` gives no gradient.
        name: for tables.
        options: device and precision; the pixels and the returned tensors stay float32.
        everything: its segment-everything settings.
        fingerprint: sha256 of the weights file, where known.
    """

    def __init__(
        self,
        model: Sam,
        name: str,
        options: LoadOptions,
        *,
        everything: EverythingSettings | None = None,
        fingerprint: str = "",
    ) -> None:
        side = int(model.prompt_encoder.input_image_size[0])
        super().__init__(name, options, Frame(side, SAM_MEAN, SAM_STD), everything, fingerprint)
        self.module = model.to(self.device).eval().requires_grad_(False)
        # Not the prompt encoder: in half precision a coordinate would be off by a pixel.
        self._vision, self._decoder = model.image_encoder.to(self.dtype), model.mask_decoder.to(self.dtype)
        self._prompts = model.prompt_encoder
        self._position = self._prompts.get_dense_pe().to(self.dtype)

    def _encode(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self._vision(inputs), ()

    def _decode(
        self, embedding: Embedding, points: Tensor | None, boxes: Tensor | None, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        labelled = None
        if points is not None:
            labelled = points[:, None], torch.ones((len(points), 1), dtype=torch.int64, device=self.device)
        sparse, dense = self._prompts(labelled, boxes, None)
        logits, iou = self._decoder(
            image_embeddings=embedding.features.to(self.dtype),
            image_pe=self._position,
            sparse_prompt_embeddings=sparse.to(self.dtype),
            dense_prompt_embeddings=dense.to(self.dtype),
            multimask_output=multimask,
        )
        return logits, iou


def load_mobile_sam(name: str, options: LoadOptions) -> MobileSamSegmenter:
    """MobileSAM from the authors' file of weights.

    Args:
        name: for tables and the weights cache: ``mobile_sam``.
        options: ``checkpoint``, or else the file in the weights cache, is read.

    Raises:
        ModelError: the file is not here, or holds another model (says which).
    """
    path = options.checkpoint or locate(name)
    state = read_state(path)
    refuse_other(state, path, name)
    model = Sam.from_config(SamConfig("mobile_sam"))
    fill(model, state, path)
    return MobileSamSegmenter(model, name, options, fingerprint=sha256(path))
