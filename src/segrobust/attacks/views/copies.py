"""Copies of the image for views that draw: as they are, and mixed with other pictures."""

from dataclasses import dataclass

import torch
from torch import Tensor

from segrobust.attacks.views.base import Canvas
from segrobust.attacks.views.scale import ScaleCopies


@dataclass(frozen=True)
class Copies:
    """Equal copies of the image, for the views after it to draw something else for each.

    Attributes:
        copies: how many.
    """

    copies: int

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ValueError(f"copies must be at least 1, got {self.copies}")

    def __call__(self, canvas: Canvas, generator: torch.Generator) -> Canvas:
        """All of n images, then all of them again, and so on."""
        return canvas.copied(canvas.values.expand(self.copies, -1, -1, -1, -1))


@dataclass(frozen=True)
class Admixtures:
    """The image with a little of other pictures added (Admix, Wang et al., ICCV 2021, equation 5).

    The authors take photos of other classes from the batch. Here a photo is attacked alone, so the others are pieces of
    itself: cut at random, a quarter to a half of each side, mirrored or not, and enlarged to its size. They are
    constants: no gradient goes through them.

    Attributes:
        images: other pictures, one for each of the mixed images.
        strength: how much of them is added.
        copies: scale copies of each mixed image, see ``ScaleCopies``.
    """

    images: int = 3
    strength: float = 0.2
    copies: int = 5

    def __post_init__(self) -> None:
        if self.images < 1:
            raise ValueError(f"images must be at least 1, got {self.images}")
        if self.strength < 0:
            raise ValueError(f"strength must not be negative, got {self.strength}")

    def __call__(self, canvas: Canvas, generator: torch.Generator) -> Canvas:
        """Mixed images, then their scale copies."""
        pixels = canvas.values.detach()
        others = torch.stack([_piece(pixels, generator) for _ in range(self.images)])
        mixed = canvas.copied(canvas.values + self.strength * others)
        return ScaleCopies(self.copies)(mixed, generator)


def _piece(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """A random piece of ``(n, 3, h, w)``, enlarged to its size."""
    side, top, left, mirrored = torch.rand(4, generator=generator).tolist()
    height, width = pixels.shape[-2:]
    share = 0.25 + 0.25 * side
    rows, columns = max(1, round(share * height)), max(1, round(share * width))
    y, x = int(top * (height - rows + 1)), int(left * (width - columns + 1))
    piece = pixels[..., y : y + rows, x : x + columns]
    piece = piece.flip(-1) if mirrored < 0.5 else piece
    return torch.nn.functional.interpolate(piece, (height, width), mode="bilinear", align_corners=False)
