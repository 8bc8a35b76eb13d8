"""The way from a photo into a YOLO-like network and back: scaled to a long side, padded on both sides to whole strides.

Source: ultralytics' ``LetterBox`` with ``auto=True`` (what ``predict`` does), in its rounding. Unlike SAM's square, the
input is the smallest rectangle that fits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from segrobust.models.geometry import Geometry

STRIDE = 32
"""The input's height and width are multiples of this."""


@dataclass(frozen=True)
class Letterbox(Geometry):
    """How one photo lies in the input: ``resized`` pixels in the middle of a rectangle; ``side`` is its longer side."""

    @classmethod
    def of(cls, original: tuple[int, int], side: int) -> "Letterbox":
        """The geometry of a photo.

        Args:
            original: ``(height, width)`` of the photo.
            side: the long side it is scaled to, up or down; rounded up to a multiple of the stride.
        """
        side = max(1, -(-side // STRIDE)) * STRIDE
        ratio = side / max(original)
        height, width = (max(1, round(length * ratio)) for length in original)
        return cls(original, (height, width), side)

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Pixels added at the left, right, top and bottom."""
        return paddings(self.resized)

    def to_model(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Original-pixel coordinates ``(..., 2)`` xy to pixels of the input."""
        left, _, top, _ = self.padding
        return super().to_model(coordinates) + np.array([left, top], np.float64)

    def restore(self, logits: Tensor) -> Tensor:
        """Mask logits ``(n, k, h, w)`` of the whole input, at any resolution, to the photo ``(n, k, H, W)``."""
        left, right, top, bottom = self.padding
        height, width = self.resized
        full = (top + height + bottom, left + width + right)
        logits = F.interpolate(logits, full, mode="bilinear", align_corners=False)
        logits = logits[..., top : top + height, left : left + width]
        return F.interpolate(logits, self.original, mode="bilinear", align_corners=False)


def paddings(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Pixels to add to ``(height, width)`` at the left, right, top and bottom to reach whole strides.

    An odd pixel goes to the right or the bottom.
    """
    height, width = (-length % STRIDE for length in size)
    return width // 2, width - width // 2, height // 2, height - height // 2
