"""SIA: the photo cut into blocks, each changed in another way."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from segrobust.attacks.motion import centres
from segrobust.attacks.views.base import Canvas
from segrobust.attacks.views.blocks import random_cuts
from segrobust.attacks.views.spectrum import low_frequencies

MOTIONS: Final = ("vertical shift", "horizontal shift", "vertical flip", "horizontal flip", "turn by 180 degrees")
PAINTS: Final = ("scale", "noise", "resize", "low frequencies", "dropout")

NOISE, KEPT, SMALLER, DROPPED = 16 / 255, 0.6, 0.8, 0.1
"""Of the paints: the largest noise; the share of the frequencies of each axis that stays; the size that ``resize`` goes
through; the share of the pixels that are dropped."""


@dataclass(frozen=True)
class StructureChanges:
    """Structure invariant transformation (SIA, Wang, Zhang and Zhang, ICCV 2023).

    The photo is cut by lines at random places; each block gets one of ten changes: it is shifted around, vertically or
    horizontally, mirrored, turned by 180 degrees, scaled by U(0, 1), given noise, resized down and up, left without its
    high frequencies, or loses pixels. Resizing and frequencies are taken from the whole picture instead of the block.
    Spatial targets follow the first five.

    Attributes:
        blocks: along each axis; 3.
    """

    blocks: int = 3

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise ValueError(f"blocks must be at least 1, got {self.blocks}")

    def __call__(self, canvas: Canvas, generator: torch.Generator) -> Canvas:
        """Each copy cut and changed in its own way."""
        n, b = len(canvas), self.blocks
        cuts = random_cuts(2 * n, b, generator).view(n, 2, b + 1)  # of x, of y
        kinds = torch.randint(len(MOTIONS) + len(PAINTS), (n, b, b), generator=generator)  # row, column
        amounts = torch.rand((n, b, b), generator=generator)

        def blocks_at(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            """For points ``(n, k, 2)`` in [0, 1]: the number of the block; where it begins; how long it is."""
            edges, number = cuts.to(points.device), []
            for axis in (0, 1):
                at = points[..., axis]
                inner = torch.zeros_like(at, dtype=torch.int64)
                for i in range(1, b):
                    inner += at >= edges[:, axis, i, None]
                number.append(inner)
            begin = torch.stack([edges[:, axis].gather(1, number[axis]) for axis in (0, 1)], dim=-1)
            end = torch.stack([edges[:, axis].gather(1, number[axis] + 1) for axis in (0, 1)], dim=-1)
            return number[1] * b + number[0], begin, end - begin

        def of_blocks(table: Tensor, block: Tensor) -> Tensor:
            return table.to(block.device).flatten(1).gather(1, block)

        def move(points: Tensor) -> Tensor:
            at = (points.reshape(n, -1, 2) + 1) / 2
            block, begin, length = blocks_at(at)
            kind, amount = of_blocks(kinds, block), of_blocks(amounts, block).to(points)
            x, y = ((at - begin) / length).unbind(-1)
            x = torch.where(kind == 1, (x + amount) % 1, torch.where((kind == 3) | (kind == 4), 1 - x, x))
            y = torch.where(kind == 0, (y + amount) % 1, torch.where((kind == 2) | (kind == 4), 1 - y, y))
            changed = (torch.stack([x, y], -1) * length + begin) * 2 - 1
            return torch.where((kind < len(MOTIONS))[..., None], changed, points.reshape(n, -1, 2)).view(points.shape)

        moved = canvas.moved(move)
        block, _, _ = blocks_at((centres(n, canvas.size, canvas.values).reshape(n, -1, 2) + 1) / 2)
        kind, amount = (of_blocks(table, block).view(n, 1, *canvas.size) for table in (kinds, amounts))
        return moved.painted(_paint(moved.values, kind - len(MOTIONS), amount, generator))


def _paint(pixels: Tensor, kind: Tensor, amount: Tensor, generator: torch.Generator) -> Tensor:
    """The five changes that move nothing, each where ``kind`` ``(n, 1, h, w)`` is its number in ``PAINTS``."""
    noise = NOISE * (2 * torch.rand(pixels.shape, generator=generator) - 1)
    stays = torch.rand((len(pixels), 1, *pixels.shape[-2:]), generator=generator) >= DROPPED
    size = [max(1, round(SMALLER * side)) for side in pixels.shape[-2:]]
    smaller = F.interpolate(pixels, size, mode="bilinear", align_corners=False)
    resized = F.interpolate(smaller, pixels.shape[-2:], mode="bilinear", align_corners=False)
    low = low_frequencies(pixels, KEPT)
    scale = torch.where(kind == 0, amount.to(pixels), torch.where(kind == 4, stays.to(pixels), 1.0))
    painted = pixels * scale + noise.to(pixels) * (kind == 1)
    return torch.where(kind == 2, resized, torch.where(kind == 3, low, painted))
