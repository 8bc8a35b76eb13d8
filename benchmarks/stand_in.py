"""A network of a few numbers: attacks on it cost next to nothing, and make as many passes as on a real one."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

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
from segrobust.types import Image, Masks, Prompts

SIDE, GRID = 8, 4


class StandIn(WhiteBox):
    """Photos of 8 x 8 pixels in, 4 x 4 features of 6 channels out; a prompt's mask is where a channel is positive."""

    name = "stand-in"
    capabilities = Capabilities(gradient=True, points=True, boxes=True, everything=True)
    everything = EverythingSettings(points_per_side=2)
    device = torch.device("cpu")

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.weights = torch.randn((6, 3, 2, 2), generator=draw)

    @property
    def depth(self) -> int:
        return 12

    def geometry(self, size: tuple[int, int]) -> Geometry:
        return Geometry(size, size, max(size))

    def resize(self, images: Tensor) -> Tensor:
        return images

    def prepare(self, pixels: Tensor) -> Tensor:
        return pixels

    def encode(self, inputs: Tensor) -> Tensor:
        return torch.tanh(F.conv2d(inputs - 0.5, self.weights, stride=2))

    def observe(self, inputs: Tensor, layers: Sequence[int] = ()) -> Observed:
        check_layers(self.name, self.depth, layers)
        features = self.encode(inputs)
        return Observed(features, layers={layer: (1 + layer) * features for layer in layers})

    def embed(self, images: Tensor) -> Embedding:
        batch = images[None] if images.ndim == 3 else images
        return Embedding(self.encode(batch), self.geometry((batch.shape[-2], batch.shape[-1])))

    def masks(self, embedding: Embedding, prompts: Prompts, *, multimask: bool = False) -> Prediction:
        k = 3 if multimask else 1
        logits = embedding.features[:, :k].expand(len(prompts), -1, -1, -1) + 0.2
        return Prediction(logits, torch.sigmoid(logits.mean((2, 3))), embedding.geometry)


def photo() -> Image:
    """A photo for it, with masks: :func:`masks`."""
    return Image(np.random.default_rng(0).integers(40, 216, (SIDE, SIDE, 3), dtype=np.uint8), name="photo")


def masks() -> Masks:
    """What is on the photo."""
    dense = np.zeros((2, SIDE, SIDE), np.bool_)
    dense[0, :5, :5] = dense[1, 5:, 2:] = True
    return Masks.from_dense(dense)
