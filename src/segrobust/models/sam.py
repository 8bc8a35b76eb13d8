"""The SAM family: SAM's ViT (any size), and the nano models, which share its prompt encoder and decoder."""

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from segrobust.models.base import Embedding, EverythingSettings
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.frame import Frame
from segrobust.models.geometry import SAM_MEAN, SAM_STD
from segrobust.models.loading import ModelFolder
from segrobust.models.options import LoadOptions
from segrobust.models.pretrained import load_complete
from segrobust.models.prompt_tokens import sparse_tokens
from segrobust.models.sam_parts import SamMaskDecoder, SamModel, SamPositionalEmbedding, SamPromptEncoder


class SamParts(Protocol):
    """What ``SamSegmenter`` uses of transformers' ``SamModel`` and of ``NanoSam``."""

    vision_encoder: nn.Module
    prompt_encoder: SamPromptEncoder
    mask_decoder: SamMaskDecoder
    shared_image_embedding: SamPositionalEmbedding


class SamSegmenter(EncoderSegmenter):
    """A SAM behind the ``WhiteBox`` interface: frozen weights, eval mode, differentiable to the pixels.

    Args:
        model: transformers' ``SamModel`` or a ``NanoSam``.
        name: for tables.
        options: device and precision; the pixels and the returned tensors stay float32.
        frame: its input; by default of the model's size, normalised as SAM's.
        everything: its segment-everything settings.
        fingerprint: sha256 of the weights file, where known.
    """

    def __init__(
        self,
        model: nn.Module,
        name: str,
        options: LoadOptions,
        *,
        frame: Frame | None = None,
        everything: EverythingSettings | None = None,
        fingerprint: str = "",
    ) -> None:
        parts = cast(SamParts, model)
        frame = frame or Frame(int(parts.prompt_encoder.input_image_size), SAM_MEAN, SAM_STD)
        super().__init__(name, options, frame, everything, fingerprint)
        self.module = model.to(self.device).eval().requires_grad_(False)
        # Not the prompt encoder: in half precision a coordinate would be off by a pixel.
        parts.vision_encoder.to(self.dtype)
        parts.mask_decoder.to(self.dtype)
        self._vision = cast("Callable[[Tensor], Tensor | tuple[Tensor, ...]]", parts.vision_encoder)
        self._prompts, self._decoder = parts.prompt_encoder, parts.mask_decoder
        self._position = self._wide_position(parts.shared_image_embedding)
        dense = self._prompts.no_mask_embed.weight.reshape(1, -1, 1, 1)
        self._dense = dense.expand(1, -1, *self._prompts.image_embedding_size).to(self.dtype)

    def _wide_position(self, encoding: SamPositionalEmbedding) -> Tensor:
        """The decoder's positional encoding of every embedding token, ``(1, C, h, w)``."""
        height, width = self._prompts.image_embedding_size
        y = (torch.arange(height, device=self.device, dtype=torch.float32) + 0.5) / height
        x = (torch.arange(width, device=self.device, dtype=torch.float32) + 0.5) / width
        with torch.no_grad():
            encoded: Tensor = encoding(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1))
        return encoded.permute(2, 0, 1)[None].to(self.dtype)

    def _encode(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        out = self._vision(inputs)
        return (out if isinstance(out, Tensor) else out[0]), ()

    def _decode(
        self, embedding: Embedding, points: Tensor | None, boxes: Tensor | None, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        logits, iou = self._decoder(
            image_embeddings=embedding.features.to(self.dtype),
            image_positional_embeddings=self._position,
            sparse_prompt_embeddings=sparse_tokens(self._prompts, points, boxes).to(self.dtype),
            dense_prompt_embeddings=self._dense,
            multimask_output=multimask,
        )
        return logits[0], iou[0]


def load_sam(folder: ModelFolder, options: LoadOptions) -> SamSegmenter:
    """A transformers ``SamModel``, from a folder or the hub.

    Raises:
        ModelError: weights or configuration are missing or do not fit.
    """
    model = load_complete(folder, SamModel)
    return SamSegmenter(model, folder.name, options, everything=folder.everything(), fingerprint=folder.digest())
