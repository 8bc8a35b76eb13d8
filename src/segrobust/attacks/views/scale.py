"""Copies of the image whose pixel values differ: RGA's, which are SI's."""

from dataclasses import dataclass

import torch

from segrobust.attacks.views.base import Canvas


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

    def __call__(self, canvas: Canvas, generator: torch.Generator) -> Canvas:
        """All of n images, then all of them at half their values, and so on."""
        pixels = canvas.values
        factors = 0.5 ** torch.arange(self.copies, device=pixels.device, dtype=pixels.dtype)
        return canvas.copied(pixels * factors.view(-1, 1, 1, 1, 1))
