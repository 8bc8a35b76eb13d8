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


def _shuffled(at: Tensor, cuts: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """For points in shuffled pieces: their place before, and the number of the piece that they are in.

    Args:
        at: ``(n, k)`` in [0, 1].
        cuts: ``(n, k, b + 1)`` of the original, for each point, or broadcast.
        order: ``(n, k, b)``: the piece at each position, likewise.
    """
    lengths = (cuts[..., 1:] - cuts[..., :-1]).gather(-1, order)
    ends = lengths.cumsum(-1)
    position = (at[..., None] >= ends[..., :-1]).sum(-1, keepdim=True)
    piece = order.gather(-1, position)
    start = ends.gather(-1, position) - lengths.gather(-1, position)
    return at - start[..., 0] + cuts.gather(-1, piece)[..., 0], piece[..., 0]


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
        first = torch.rand(n, generator=generator) < 0.5  # the strips lie along x
        cuts, order = random_cuts(n, b, generator), _random_orders(n, b, generator)
        turn = (2 * torch.rand((n, b), generator=generator) - 1) * (self.angle * torch.pi / 180)
        inner_cuts = random_cuts(n * b, b, generator).view(n, b, b + 1)
        inner_order = _random_orders(n * b, b, generator).view(n, b, b)
        height, width = canvas.size

        def move(points: Tensor) -> Tensor:
            shape, device = points.shape, points.device
            at = (points.reshape(n, -1, 2) + 1) / 2
            swap = first.to(device)[:, None, None]
            across, along = torch.where(swap, at, at.flip(-1)).unbind(-1)
            k = across.shape[1]
            all_cuts = cuts.to(device)[:, None].expand(n, k, -1)
            source, strip = _shuffled(across, all_cuts, order.to(device)[:, None].expand(n, k, -1))
            rows = torch.arange(n, device=device)[:, None]
            other, _ = _shuffled(along, inner_cuts.to(device)[rows, strip], inner_order.to(device)[rows, strip])
            low, high = (all_cuts.gather(-1, (strip + i)[..., None])[..., 0] for i in (0, 1))
            lengths = torch.where(swap[..., 0], float(width), float(height))
            others = torch.where(swap[..., 0], float(height), float(width))
            angle = turn.to(device)[rows, strip]
            u, v = (source - (low + high) / 2) * lengths, (other - 0.5) * others
            turned = torch.stack(
                [(angle.cos() * u - angle.sin() * v) / lengths + (low + high) / 2,
                 (angle.sin() * u + angle.cos() * v) / others + 0.5], dim=-1
            )  # fmt: skip
            out = (turned[..., 0] < low) | (turned[..., 0] > high) | (turned[..., 1] < 0) | (turned[..., 1] > 1)
            back = torch.where(swap, turned, turned.flip(-1)) * 2 - 1
            return torch.where(out[..., None], OUTSIDE, back).view(shape)

        return canvas.moved(move)
