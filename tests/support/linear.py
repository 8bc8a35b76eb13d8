"""A segmenter whose embedding is its input: attacks on it have optima that can be written down."""

from collections.abc import Sequence

import torch
from torch import Tensor

from segrobust.models.base import (
    Capabilities,
    Embedding,
    EverythingSettings,
    Observed,
    Prediction,
    WhiteBox,
    check_layers,
)
from segrobust.models.geometry import Geometry
from segrobust.types import Prompts


class LinearSegmenter(WhiteBox):
    """Features = pixels; no resize, no normalisation, no padding."""

    name = "linear"
    capabilities = Capabilities(gradient=True, points=True, boxes=True, everything=True)
    everything = EverythingSettings(points_per_side=2)
    device = torch.device("cpu")

    def geometry(self, size: tuple[int, int]) -> Geometry:
        return Geometry(size, size, max(size))

    def resize(self, images: Tensor) -> Tensor:
        return images

    def prepare(self, pixels: Tensor) -> Tensor:
        return pixels

    def encode(self, inputs: Tensor) -> Tensor:
        return inputs

    @property
    def depth(self) -> int:
        return 3

    def observe(self, inputs: Tensor, layers: Sequence[int] = ()) -> Observed:
        """Inner layer i is the input times i + 1."""
        check_layers(self.name, self.depth, layers)
        return Observed(self.encode(inputs), layers={layer: (layer + 1) * inputs for layer in layers})

    def embed(self, images: Tensor) -> Embedding:
        batch = images[None] if images.ndim == 3 else images
        return Embedding(batch, self.geometry((batch.shape[-2], batch.shape[-1])))

    def masks(self, embedding: Embedding, prompts: Prompts, *, multimask: bool = False) -> Prediction:
        k = 3 if multimask else 1
        logits = embedding.features.mean(1, keepdim=True).expand(len(prompts), k, -1, -1) - 0.5
        return Prediction(logits, torch.ones(len(prompts), k), embedding.geometry)
