"""A photo."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from segrobust.types.arrays import Pixels, frozen


@dataclass(frozen=True, eq=False)
class Image:
    """A photo at its original resolution.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 RGB.
        name: what to call it in tables and file names.
        path: where it was read from, if it was.
    """

    pixels: Pixels
    name: str = "image"
    path: Path | None = None

    def __post_init__(self) -> None:
        p = self.pixels
        if not isinstance(p, np.ndarray) or p.dtype != np.uint8 or p.ndim != 3 or p.shape[2] != 3:
            got = f"{getattr(p, 'dtype', type(p).__name__)} {getattr(p, 'shape', '')}"
            raise ValueError(f"an Image holds uint8 (H, W, 3) RGB pixels, got {got}")
        if min(p.shape[:2]) < 1:
            raise ValueError(f"an Image holds at least one pixel, got shape {p.shape}")
        object.__setattr__(self, "pixels", frozen(np.ascontiguousarray(p)))

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.height, self.width

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of size and pixels: the photo's identity, whatever its file is called or how it was compressed."""
        head = f"{self.height}x{self.width}:".encode()
        return hashlib.sha256(head + self.pixels.tobytes()).hexdigest()
