"""The network of ``nano-conv``: convolutions only, and every mask at once, as FastSAM does it.

Each cell of a 32 x 32 grid proposes three masks (part, object, whole) of what lies under it, as weighted sums of 32
learned prototype pictures (YOLACT, Bolya et al. 2019) and of a parabola around the cell, which keeps a mask in its
place without a box; and says how well each of them will fit. No prompt enters the network.
"""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segrobust.models.sam_parts import SamLayerNorm

CELL = 8
"""Image pixels per cell of the grid."""
MASKS = 3
"""Masks that a cell proposes."""
_PARABOLA = 6


@dataclass(frozen=True)
class NanoConvConfig:
    """Sizes of a nano-conv; everything its weights depend on.

    Attributes:
        image_size: side of the square input, in pixels; a multiple of 32.
        widths: channels at strides 4, 8, 16 and 32.
        depths: residual blocks at those strides.
        channels: of the embedding (stride 8).
        prototypes: pictures that the masks are sums of.
    """

    image_size: int = 256
    widths: tuple[int, int, int, int] = (48, 96, 160, 256)
    depths: tuple[int, int, int, int] = (1, 2, 4, 2)
    channels: int = 128
    prototypes: int = 32

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready copy."""
        return dataclasses.asdict(self)


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(),
    )


class _Block(nn.Module):
    """Two 3x3 convolutions beside a skip connection, which comes first where the size changes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(channels, channels), _conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class NanoConvEncoder(nn.Module):
    """A residual pyramid, brought together at stride 8 from the coarse levels down."""

    def __init__(self, config: NanoConvConfig) -> None:
        super().__init__()
        widths, channels = config.widths, config.channels
        self.stem = _conv(3, widths[0] // 2, stride=2)
        inputs = (widths[0] // 2, *widths[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(_conv(before, width, stride=2), *(_Block(width) for _ in range(depth)))
            for before, width, depth in zip(inputs, widths, config.depths, strict=True)
        )
        self.context = nn.Conv2d(widths[3], channels, 1)
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1, bias=False) for width in widths[1:])
        self.smooth16 = _Block(channels)
        self.smooth8 = nn.Sequential(_Block(channels), nn.Conv2d(channels, channels, 3, padding=1, bias=False))
        self.norm = SamLayerNorm(channels, data_format="channels_first")

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised, padded pixels ``(B, 3, S, S)`` to the embedding ``(B, C, S/8, S/8)`` and features at stride 4."""
        x = self.stem(pixels)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        fine, x8, x16, x32 = levels
        whole = self.context(x32.mean((2, 3), keepdim=True))
        top = self.lateral[2](x32) + whole
        middle = self.smooth16(self.lateral[1](x16) + _double(top))
        embedding: Tensor = self.norm(self.smooth8(self.lateral[0](x8) + _double(middle)))
        return embedding, fine


class NanoConv(nn.Module):
    """Encoder, heads of the cells, prototypes."""

    def __init__(self, config: NanoConvConfig) -> None:
        super().__init__()
        self.conv_config = config
        channels = config.channels
        self.vision_encoder = NanoConvEncoder(config)
        self.cells = nn.Sequential(_conv(channels, channels), _conv(channels, channels))
        self.weights = nn.Conv2d(channels, MASKS * (config.prototypes + _PARABOLA), 1)
        self.quality = nn.Conv2d(channels, MASKS, 1)
        self.coarse = _conv(channels, 64)
        self.fine = nn.Conv2d(config.widths[0], 64, 1)
        self.prototypes = nn.Sequential(_conv(64, 64), nn.Conv2d(64, config.prototypes, 1))

    def heads(self, embedding: Tensor, fine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What all masks are made of.

        Args:
            embedding: ``(B, C, h, w)``.
            fine: features at stride 4, ``(B, C4, 2h, 2w)``.

        Returns:
            Weights ``(B, h * w, 3, K + 6)``, predicted IoUs ``(B, h * w, 3)`` and prototypes ``(B, K, 2h, 2w)``.
        """
        batch, _, height, width = embedding.shape
        x = self.cells(embedding)
        weights = self.weights(x).reshape(batch, MASKS, -1, height * width).permute(0, 3, 1, 2)
        quality = self.quality(x).sigmoid().flatten(2).transpose(1, 2)
        return weights, quality, self.prototypes(_double(self.coarse(embedding)) + self.fine(fine))


def compose(weights: Tensor, cells: Tensor, prototypes: Tensor, grid: int) -> Tensor:
    """Mask logits of some cells of one image.

    Args:
        weights: ``(n, m, K + 6)`` of the cells.
        cells: ``(n,)`` their numbers in the grid, row by row.
        prototypes: ``(K, h, w)``.
        grid: cells in a row of the grid.

    Returns:
        ``(n, m, h, w)``.
    """
    count, (height, width) = prototypes.shape[0], prototypes.shape[1:]
    logits = weights[..., :count] @ prototypes.flatten(1)
    y = (torch.arange(height, device=weights.device) + 0.5) / height
    x = (torch.arange(width, device=weights.device) + 0.5) / width
    dy = 4 * (y - ((cells // grid) + 0.5)[:, None] / grid)  # (n, h), in quarters of the image
    dx = 4 * (x - ((cells % grid) + 0.5)[:, None] / grid)
    one, a, b, c, d, e = weights[..., count:, None, None].unbind(2)
    dy, dx = dy[:, None, :, None].to(weights.dtype), dx[:, None, None, :].to(weights.dtype)
    parabola = one + dx * (a + c * dx) + dy * (b + d * dy + e * dx)
    composed: Tensor = logits.unflatten(-1, (height, width)) + parabola
    return composed


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")
