"""SAM 2 and 2.1 on single photos (Ravi et al. 2024, arXiv 2408.00714), and what SAM 3's point and box head shares."""

from typing import cast

import torch
from torch import Tensor, nn

from segrobust.models.base import Embedding, EverythingSettings
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.frame import Frame
from segrobust.models.geometry import SAM_MEAN, SAM_STD
from segrobust.models.loading import ModelFolder
from segrobust.models.options import LoadOptions
from segrobust.models.preprocessing import read_frame, square_side
from segrobust.models.pretrained import load_complete
from segrobust.models.prompt_tokens import sparse_tokens
from segrobust.models.shield import hide_broken_torchvision

hide_broken_torchvision()

from transformers import Sam2Model  # noqa: E402

PREDICTED_IOU_THRESHOLD = 0.8
"""Of SAM 2's automatic mask generator; its other settings are SAM's."""


class Sam2Segmenter(EncoderSegmenter):
    """A SAM 2 behind the ``WhiteBox`` interface: frozen weights, eval mode, differentiable to the pixels.

    The photo is squashed to a square. The embedding is the coarsest level of the feature pyramid, plus the constant
    that stands for "no memory of earlier frames"; the two finer levels travel beside it, as the decoder takes them.

    Args:
        model: transformers' ``Sam2Model``, or another model of the same parts.
        name: for tables.
        options: device and precision; the pixels and the returned tensors stay float32.
        frame: its input.
        everything: its segment-everything settings.
        fingerprint: sha256 of the weights file, where known.
    """

    def __init__(
        self,
        model: nn.Module,
        name: str,
        options: LoadOptions,
        frame: Frame,
        *,
        everything: EverythingSettings | None = None,
        fingerprint: str = "",
    ) -> None:
        super().__init__(name, options, frame, everything, fingerprint)
        self.module = model.to(self.device).eval().requires_grad_(False)
        parts = cast(Sam2Model, model)
        with torch.no_grad():
            self._position = parts.get_image_wide_positional_embeddings().to(self.dtype)
        # Not the prompt encoder: in half precision a coordinate would be off by a pixel.
        self._vision, self._decoder = parts.vision_encoder.to(self.dtype), parts.mask_decoder.to(self.dtype)
        self._prompts = parts.prompt_encoder
        self._no_memory = parts.no_memory_embedding.reshape(1, -1, 1, 1).to(self.dtype)
        dense = self._prompts.no_mask_embed.weight.reshape(1, -1, 1, 1)
        self._dense = dense.expand(1, -1, *self._prompts.image_embedding_size).to(self.dtype)

    @property
    def low_resolution(self) -> tuple[int, int]:
        """Height and width of the logits: four times the embedding's."""
        height, width = self._prompts.image_embedding_size
        return 4 * height, 4 * width

    def _encode(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        # SAM 3's pyramid has a fourth, still coarser level that its points and boxes do not use.
        fine, middle, coarse = self._vision(inputs).fpn_hidden_states[:3]
        return coarse + self._no_memory, (self._decoder.conv_s0(fine), self._decoder.conv_s1(middle))

    def _decode(
        self, embedding: Embedding, points: Tensor | None, boxes: Tensor | None, multimask: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        logits, iou, _, presence = self._decoder(
            image_embeddings=embedding.features.to(self.dtype),
            image_positional_embeddings=self._position,
            sparse_prompt_embeddings=sparse_tokens(self._prompts, points, boxes).to(self.dtype),
            dense_prompt_embeddings=self._dense,
            multimask_output=multimask,
            high_resolution_features=[level.to(self.dtype) for level in embedding.extra],
        )
        return logits[0], iou[0], presence[0, :, 0]


def load_sam2(folder: ModelFolder, options: LoadOptions) -> Sam2Segmenter:
    """A transformers ``Sam2Model`` (SAM 2 or 2.1, also out of a video checkpoint), from a folder or the hub.

    Raises:
        ModelError: weights or configuration are missing or do not fit.
    """
    model = load_complete(folder, Sam2Model)
    return wrap(folder, model, options, SAM_MEAN, SAM_STD)


def wrap(
    folder: ModelFolder, model: nn.Module, options: LoadOptions, mean: tuple[float, ...], std: tuple[float, ...]
) -> Sam2Segmenter:
    """A loaded model behind the interface; mean and std are those of a checkpoint that does not say its own."""
    side = square_side(cast(Sam2Model, model).prompt_encoder.input_image_size, f"{folder.source}/config.json")
    frame = read_frame(folder, Frame(side, mean, std, stretch=True))
    own = "everything" in folder.config
    everything = folder.everything() if own else EverythingSettings(predicted_iou_threshold=PREDICTED_IOU_THRESHOLD)
    return Sam2Segmenter(model, folder.name, options, frame, everything=everything, fingerprint=folder.digest())
