"""The SAM family: SAM's ViT (any size), and the nano models, which share its prompt encoder and decoder."""

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from segrobust.models.base import Capabilities, Embedding, EverythingSettings, Prediction, prompt_arrays
from segrobust.models.geometry import SAM_MEAN, SAM_STD, Geometry, normalise_and_pad, resize
from segrobust.models.sam_parts import SamMaskDecoder, SamPositionalEmbedding, SamPromptEncoder
from segrobust.types import Prompts

DECODER_BATCH = {"cpu": 16, "cuda": 64, "mps": 32}
"""Prompts decoded at a time: each holds several copies of the embedding while it is decoded (SAM: 4 MB a copy)."""


class SamParts(Protocol):
    """What ``SamSegmenter`` uses of transformers' ``SamModel`` and of ``NanoSam``."""

    vision_encoder: nn.Module
    prompt_encoder: SamPromptEncoder
    mask_decoder: SamMaskDecoder
    shared_image_embedding: SamPositionalEmbedding

    def parameters(self) -> "list[nn.Parameter]":
        """All weights."""
        ...


class SamSegmenter:
    """A SAM behind the ``WhiteBox`` interface: frozen weights, eval mode, differentiable to the pixels.

    Args:
        model: transformers' ``SamModel`` or a ``NanoSam``.
        name: for tables.
        device: where it runs.
        dtype: of weights and activations; the pixels and the returned tensors stay float32.
        everything: its segment-everything settings.
        mean: per-channel mean of pixels in [0, 1].
        std: per-channel standard deviation.
        fingerprint: sha256 of the weights file, where known.
    """

    capabilities = Capabilities(gradient=True, points=True, boxes=True, everything=True)

    def __init__(
        self,
        model: nn.Module,
        name: str,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        everything: EverythingSettings | None = None,
        mean: tuple[float, ...] = SAM_MEAN,
        std: tuple[float, ...] = SAM_STD,
        fingerprint: str = "",
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.device = torch.device(device)
        self.dtype = dtype
        self.everything = everything or EverythingSettings()
        self.module = model.to(self.device).eval().requires_grad_(False)
        parts = cast(SamParts, self.module)
        # Not the prompt encoder: in half precision a coordinate would be off by a pixel.
        parts.vision_encoder.to(dtype)
        parts.mask_decoder.to(dtype)
        self._vision = cast("Callable[[Tensor], Tensor | tuple[Tensor, ...]]", parts.vision_encoder)
        self._prompts, self._decoder = parts.prompt_encoder, parts.mask_decoder
        self.side = int(self._prompts.input_image_size)
        self._mean = torch.tensor(mean, device=self.device).view(3, 1, 1)
        self._std = torch.tensor(std, device=self.device).view(3, 1, 1)
        self._position = self._wide_position(parts.shared_image_embedding)

    def _wide_position(self, encoding: SamPositionalEmbedding) -> Tensor:
        """The decoder's positional encoding of every embedding token, ``(1, C, h, w)``."""
        height, width = self._prompts.image_embedding_size
        y = (torch.arange(height, device=self.device, dtype=torch.float32) + 0.5) / height
        x = (torch.arange(width, device=self.device, dtype=torch.float32) + 0.5) / width
        with torch.no_grad():
            encoded: Tensor = encoding(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1))
        return encoded.permute(2, 0, 1)[None].to(self.dtype)

    def geometry(self, size: tuple[int, int]) -> Geometry:
        """How a photo of ``size`` (height, width) lies in the model's input."""
        return Geometry.fit(size, self.side)

    def resize(self, images: Tensor) -> Tensor:
        """Photos ``(B, 3, H, W)`` in [0, 1] to the model's resolution, unpadded."""
        height, width = images.shape[-2:]
        return resize(images, self.geometry((height, width)).resized)

    def prepare(self, pixels: Tensor) -> Tensor:
        """Resized pixels in [0, 1] to the normalised, zero-padded input ``(B, 3, S, S)``."""
        return normalise_and_pad(pixels, self._mean, self._std, self.side)

    def encode(self, inputs: Tensor) -> Tensor:
        """Prepared input to the embedding ``(B, C, h, w)`` float32."""
        out = self._vision(inputs.to(self.dtype))
        features = out if isinstance(out, Tensor) else out[0]
        return features.float()

    def embed(self, images: Tensor) -> Embedding:
        """Embed original-resolution photos.

        Args:
            images: ``(B, 3, H, W)`` or ``(3, H, W)`` float in [0, 1].
        """
        batch = images[None] if images.ndim == 3 else images
        height, width = batch.shape[-2:]
        features = self.encode(self.prepare(self.resize(batch.to(self.device))))
        return Embedding(features, self.geometry((height, width)))

    def masks(self, embedding: Embedding, prompts: Prompts, *, multimask: bool = False) -> Prediction:
        """Answer prompts on one embedded photo, points first, then boxes.

        Args:
            embedding: of a single photo.
            prompts: in original pixels; each prompt is answered on its own.
            multimask: three masks per prompt (small, middle, whole) instead of one.

        Returns:
            Low-resolution logits ``(n, k, 4h, 4w)`` and predicted IoUs ``(n, k)``; differentiable to the pixels.
        """
        if embedding.features.shape[0] != 1:
            raise ValueError(f"masks() takes the embedding of one photo, got {embedding.features.shape[0]}")
        sparse, dense = self._embed_prompts(prompts, embedding.geometry)
        k = 3 if multimask else 1
        logits, scores = [], []
        batch = DECODER_BATCH.get(self.device.type, 16)
        for start in range(0, sparse.shape[1], batch):
            out, iou = self._decoder(
                image_embeddings=embedding.features.to(self.dtype),
                image_positional_embeddings=self._position,
                sparse_prompt_embeddings=sparse[:, start : start + batch],
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
            )
            logits.append(out[0].float())
            scores.append(iou[0].float())
        height, width = embedding.features.shape[-2:]
        if not logits:
            empty = torch.zeros((0, k, 4 * height, 4 * width), device=self.device)
            return Prediction(empty, torch.zeros((0, k), device=self.device), embedding.geometry)
        return Prediction(torch.cat(logits), torch.cat(scores), embedding.geometry)

    def _embed_prompts(self, prompts: Prompts, geometry: Geometry) -> tuple[Tensor, Tensor]:
        """Sparse tokens ``(1, n, 2, C)`` and the dense no-mask embedding ``(1, C, h, w)``.

        A point becomes its token and SAM's padding token, a box its two corners, so both have two tokens.
        """
        points, boxes = prompt_arrays(prompts, geometry)
        sparse = []
        if len(points):
            asked = torch.from_numpy(points).to(self.device, torch.float32)[None, :, None]
            labels = torch.ones(asked.shape[:3], dtype=torch.int64, device=self.device)
            sparse.append(self._prompts(asked, labels, None, None)[0])
        if len(boxes):
            corners = torch.from_numpy(boxes).to(self.device, torch.float32)[None]
            sparse.append(self._prompts(None, None, corners, None)[0])
        dense = self._prompts.no_mask_embed.weight.reshape(1, -1, 1, 1)
        dense = dense.expand(1, -1, *self._prompts.image_embedding_size).to(self.dtype)
        if not sparse:
            return dense.new_zeros((1, 0, 2, dense.shape[1])), dense
        return torch.cat(sparse, dim=1).to(self.dtype), dense
