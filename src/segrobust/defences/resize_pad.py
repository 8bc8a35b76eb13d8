"""Random resizing and padding."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segrobust.defences.base import Defence, Draws, Shown, to_pixels
from segrobust.defences.placement import Placement
from segrobust.models.geometry import to_tensor
from segrobust.types import Pixels

GREY = 128 / 255


@dataclass(frozen=True)
class ResizePad(Defence):
    """The photo at a random size, at a random place of a canvas that fits the largest.

    Source: Xie et al., ICLR 2018 (arXiv 1711.01991): 299 pixels to a random size below 331, padded at random to 331.
    Here the scale is drawn from U(0.9, 1.1) and the canvas is 1.1 times the photo. It is padded and never cropped, as
    in the source: what is cropped away could not be asked for.

    Attributes:
        spread: the scale is drawn from U(1 - spread, 1 + spread).
    """

    spread: float = 0.1

    @property
    def name(self) -> str:
        """Always ``resize-pad``."""
        return "resize-pad"

    @property
    def random(self) -> bool:
        """It draws."""
        return True

    def place(self, size: tuple[int, int], draw: tuple[float, float, float]) -> Placement:
        """Where the photo lies.

        Args:
            size: ``(height, width)`` of the photo.
            draw: three numbers in [0, 1): how large, how far down, how far right.
        """
        scale = 1 - self.spread + 2 * self.spread * draw[0]
        canvas = self._sides(size, 1 + self.spread)
        resized = self._sides(size, scale)
        top, left = (int(at * (room - side + 1)) for at, room, side in zip(draw[1:], canvas, resized, strict=True))
        return Placement(size, resized, canvas, (top, left))

    @staticmethod
    def _sides(size: tuple[int, int], scale: float) -> tuple[int, int]:
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

    def _draw(self, size: tuple[int, int], generator: Draws) -> Placement:
        if generator is None:
            return self.place(size, (0.5, 0.5, 0.5))
        large, down, right = generator.random(3).tolist()
        return self.place(size, (large, down, right))

    def show(self, pixels: Pixels, generator: np.random.Generator) -> Shown:
        """Resize in float, round, and say where the photo is."""
        placement = self._draw((pixels.shape[0], pixels.shape[1]), generator)
        with torch.no_grad():
            return Shown(to_pixels(placement.put(to_tensor(pixels)[None], GREY)), (placement,))

    def surrogate(self, images: Tensor, generator: Draws) -> Tensor:
        """Linear in the photo, so its gradient is exact."""
        height, width = images.shape[-2:]
        return self._draw((height, width), generator).put(images, GREY)

    def mean_placements(self, size: tuple[int, int]) -> tuple[Placement, ...]:
        """At its own size in the middle."""
        return (self._draw(size, None),)
