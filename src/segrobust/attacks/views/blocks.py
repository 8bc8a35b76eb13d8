"""BSR: the photo cut into blocks that are shuffled and turned.

A motion, so the maps of features that an objective compares with can be cut and moved alike. The authors attack
classifiers, where no place matters.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from segrobust.attacks.views.base import Canvas

OUTSIDE = 3.0
"""A coordinate beyond the picture: nothing is there, zero."""


def random_cuts(count: int, blocks: int, generator: torch.Generator) -> Tensor:
    """Where [0, 1] is cut into blocks of random lengths: ``(count, blocks + 1)``, from 0 to 1.

    Lengths are drawn from U(1, 2) and normalised, as in BSR's code.
    """
    lengths = 1 + torch.rand((count, blocks), generator=generator)
    edges = (lengths / lengths.sum(1, keepdim=True)).cumsum(1)
    edges[:, -1] = 1
    return torch.cat([torch.zeros(count, 1), edges], dim=1)


def _random_orders(count: int, blocks: int, generator: torch.Generator) -> Tensor:
    return torch.rand((count, blocks), generator=generator).argsort(1)


def _shuffled(at: Tensor, cuts: Tensor, order: Tensor, strip: Tensor) -> tuple[Tensor, Tensor]:
    """For points in shuffled pieces: their place before, and the number of the piece that they are in.

    Args:
        at: ``(n, k)`` in [0, 1].
        cuts: ``(n, s, b + 1)``: the original pieces of each of s strips.
        order: ``(n, s, b)``: the piece at each position.
        strip: ``(n, k)``: the strip that each point is in.
    """
    b = order.shape[-1]
    lengths = cuts.diff(dim=-1).gather(-1, order)
    ends = lengths.cumsum(-1)
    back = (cuts.gather(-1, order) - (ends - lengths)).flatten(1)  # from a position to where its piece was
    position, first = torch.zeros_like(strip), strip * b
    for i in range(b - 1):
        position += at >= ends.flatten(1).gather(1, first + i)
    index = first + position
    return at + back.gather(1, index), order.flatten(1).gather(1, index)


@dataclass(frozen=True)
class BlockShuffle:
    """Blocks shuffled and turned (BSR, Wang et al., CVPR 2024).

    As in the authors' code: the photo is cut into strips of random widths along one axis, drawn for every copy, and the
    strips are shuffled; each strip is turned by an angle of its own around its middle, black where nothing comes
    in, then cut along the other axis into blocks that are shuffled within it. Spatial targets follow.

    Attributes:
        blocks: along each axis; 3 in the code (the paper says 2).
        angle: the largest, in degrees; 24.
    """

    blocks: int = 3
    angle: float = 24.0

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise ValueError(f"blocks must be at least 1, got {self.blocks}")
        if not 0 <= self.angle <= 180:
            raise ValueError(f"angle must be in [0, 180] degrees, got {self.angle}")

    def __call__(self, canvas: Canvas, generator: torch.Generator) -> Canvas:
        """Each copy cut in its own way."""
        n, b = len(canvas), self.blocks
        along_x = torch.rand(n, generator=generator) < 0.5  # the strips lie one beside the other
        cuts, order = random_cuts(n, b, generator)[:, None], _random_orders(n, b, generator)[:, None]
        angle = (2 * torch.rand((n, b), generator=generator) - 1) * (self.angle * torch.pi / 180)
        inner_cuts = random_cuts(n * b, b, generator).view(n, b, b + 1)
        inner_order = _random_orders(n * b, b, generator).view(n, b, b)
        height, width = canvas.size
        along, across = torch.where(
            along_x[:, None], torch.tensor([[width, height]]), torch.tensor([[height, width]])
        ).T

        def move(points: Tensor) -> Tensor:
            def here(table: Tensor) -> Tensor:
                return table.to(points.device)

            swap = here(along_x)[:, None]
            x, y = ((points.reshape(n, -1, 2) + 1) / 2).unbind(-1)
            u, v = torch.where(swap, x, y), torch.where(swap, y, x)
            u, strip = _shuffled(u, here(cuts), here(order), torch.zeros_like(u, dtype=torch.int64))
            v, _ = _shuffled(v, here(inner_cuts), here(inner_order), strip)
            low, high = (here(cuts)[:, 0].gather(1, strip + i) for i in (0, 1))
            cosine, sine = here(angle.cos()).gather(1, strip), here(angle.sin()).gather(1, strip)
            ratio, middle = here(across / along)[:, None], (low + high) / 2
            du, dv = u - middle, v - 0.5
            u, v = middle + cosine * du - sine * ratio * dv, 0.5 + sine / ratio * du + cosine * dv
            outside = (u < low) | (u > high) | (v < 0) | (v > 1)
            back = torch.stack([torch.where(swap, u, v), torch.where(swap, v, u)], dim=-1) * 2 - 1
            return back.masked_fill(outside[..., None], OUTSIDE).view(points.shape)

        return canvas.moved(move)
