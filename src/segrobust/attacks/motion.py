"""How a view moves what is on a photo, written so that a map of features can be moved alike.

A motion is a function from where something is seen to where it was taken from. Points are ``(n, h, w, 2)``, xy, in the
coordinates of ``torch.nn.functional.grid_sample``: -1 and 1 are the outer edges of the model's input.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Motion = Callable[[Tensor], Tensor]
"""Points ``(n, h, w, 2)`` seen in n views to the points ``(n, h, w, 2)`` they show; works at any resolution."""


def centres(count: int, size: tuple[int, int], like: Tensor) -> Tensor:
    """The centres of the pixels of ``size`` (height, width), ``(count, h, w, 2)``."""
    rows, columns = (
        (torch.arange(length, device=like.device, dtype=torch.float32) + 0.5) * 2 / length - 1 for length in size
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], dim=-1).expand(count, -1, -1, -1)


def sample(maps: Tensor, points: Tensor) -> Tensor:
    """Maps ``(n, C, h, w)`` (or one for all) read at points; bilinear, zero outside."""
    return F.grid_sample(
        maps.expand(len(points), -1, -1, -1), points.to(maps), padding_mode="zeros", align_corners=False
    )


def after(first: Motion | None, second: Motion) -> Motion:
    """The motion of a view by ``first`` that is then moved by ``second``."""
    return second if first is None else lambda points: first(second(points))


def inside(motion: Motion, low: Tensor, high: Tensor) -> Motion:
    """A motion of a part of a picture, in coordinates of its own, as a motion of the whole: the rest stays.

    Args:
        motion: of the part.
        low: its left and top edge in the whole, ``(2,)``.
        high: its right and bottom edge.
    """

    def move(points: Tensor) -> Tensor:
        middle, half = ((high + low) / 2).to(points), ((high - low) / 2).to(points)
        own = (points - middle) / half
        within = (own.abs() <= 1).all(-1, keepdim=True)
        return torch.where(within, motion(own) * half + middle, points)

    return move


def affine(matrices: Tensor) -> Motion:
    """The motion that ``affine_grid`` makes of matrices ``(n, 2, 3)``."""
    turn, shift = matrices[:, :, :2], matrices[:, :, 2]

    def move(points: Tensor) -> Tensor:
        turned = torch.einsum("nij,nhwj->nhwi", turn.to(points), points)
        return turned + shift.to(points)[:, None, None]

    return move
