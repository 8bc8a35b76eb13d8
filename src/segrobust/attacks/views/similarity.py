"""RGA's random similarity F_2d."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segrobust.attacks.motion import affine
from segrobust.attacks.views.base import Canvas


def similarity_matrices(count: int, beta: float, generator: torch.Generator) -> Tensor:
    """Random affine matrices ``(count, 2, 3)`` for ``affine_grid``: RGA's F_2d.

    Shift U(-beta, beta) of the half side on each axis, angle U(-90 beta, 90 beta) degrees, scale U(1 - beta, 1 + beta).
    As in the authors' code the scale multiplies only the diagonal: a similarity up to a shear of order beta**2.
    """
    drawn = 2 * torch.rand((count, 4), generator=generator) - 1
    angle = drawn[:, 2] * beta * (torch.pi / 2)
    scale = 1 + beta * drawn[:, 3]
    rows = torch.stack(
        [scale * angle.cos(), angle.sin(), beta * drawn[:, 0], -angle.sin(), scale * angle.cos(), beta * drawn[:, 1]],
        dim=1,
    )
    return rows.view(count, 2, 3)


def warp(inputs: Tensor, matrices: Tensor) -> Tensor:
    """Warp ``(n, 3, S, S)`` by ``(n, 2, 3)`` affine matrices; bilinear, outside is zero (the mean colour)."""
    grid = F.affine_grid(matrices.to(inputs), list(inputs.shape), align_corners=False)
    return F.grid_sample(inputs, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@dataclass(frozen=True)
class RandomSimilarity:
    """A small random shift, turn and scale of every copy, drawn anew at every step.

    Attributes:
        beta: strength in [0, 1); 0.01 moves a point by at most one or two hundredths of the side.
        follow: spatial targets are moved alike; the authors leave them where they are.
    """

    beta: float = 0.01
    follow: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.beta < 1:
            raise ValueError(f"beta must be in [0, 1), got {self.beta}")

    def __call__(self, canvas: Canvas, generator: torch.Generator) -> Canvas:
        """Warp each input by its own matrix."""
        matrices = similarity_matrices(len(canvas), self.beta, generator)
        if self.follow:
            return canvas.moved(affine(matrices))
        return canvas.painted(warp(canvas.values, matrices))
