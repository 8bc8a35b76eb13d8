"""What is done to the image before the gradient is taken.

Two kinds, because they act at two places: pixel views on resized pixels in [0, 1] (one becomes several copies),
input views on the normalised, padded input that the encoder sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class PixelView(Protocol):
    """Resized pixels ``(n, 3, h, w)`` in [0, 1] to one or several copies of each."""

    def __call__(self, pixels: Tensor) -> Tensor:
        """Differentiable."""
        ...


class InputView(Protocol):
    """Prepared input ``(n, 3, S, S)`` to a transformed one; draws from the generator it is given."""

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Differentiable."""
        ...


@dataclass(frozen=True)
class ScaleCopies:
    """Copies of the image with its pixel values divided by 1, 2, 4 ... (scale invariance, Lin et al., ICLR 2020).

    Attributes:
        copies: how many; RGA uses 3.
    """

    copies: int = 3

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ValueError(f"copies must be at least 1, got {self.copies}")

    def __call__(self, pixels: Tensor) -> Tensor:
        """``(1, 3, h, w)`` to ``(copies, 3, h, w)``."""
        factors = 0.5 ** torch.arange(self.copies, device=pixels.device, dtype=pixels.dtype)
        return pixels * factors.view(-1, 1, 1, 1)


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
    """

    beta: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.beta < 1:
            raise ValueError(f"beta must be in [0, 1), got {self.beta}")

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Warp each of ``(n, 3, S, S)`` by its own matrix."""
        return warp(inputs, similarity_matrices(inputs.shape[0], self.beta, generator))


def apply_pixel_views(views: Sequence[PixelView], pixels: Tensor) -> Tensor:
    """All pixel views, one after the other."""
    for view in views:
        pixels = view(pixels)
    return pixels


def apply_input_views(views: Sequence[InputView], inputs: Tensor, generator: torch.Generator) -> Tensor:
    """All input views, one after the other."""
    for view in views:
        inputs = view(inputs, generator)
    return inputs
