"""SSA: the image with noise and its frequencies scaled at random."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from segrobust.attacks.views.base import Canvas


@lru_cache(maxsize=16)
def _cosines(side: int) -> Tensor:
    """The orthonormal DCT-II as a matrix ``(side, side)``, in double."""
    index = torch.arange(side, dtype=torch.float64)
    matrix = torch.cos(math.pi / side * (index + 0.5) * index[:, None]) * math.sqrt(2 / side)
    matrix[0] /= math.sqrt(2)
    return matrix


def dct(images: Tensor) -> Tensor:
    """The orthonormal two-dimensional cosine transform (DCT-II) of ``(..., h, w)``."""
    rows, columns = (_cosines(side).to(images) for side in images.shape[-2:])
    return rows @ images @ columns.T


def inverse_dct(frequencies: Tensor) -> Tensor:
    """The images of cosine coefficients ``(..., h, w)``."""
    rows, columns = (_cosines(side).to(frequencies) for side in frequencies.shape[-2:])
    return rows.T @ frequencies @ columns


def low_frequencies(images: Tensor, share: float) -> Tensor:
    """Images ``(..., h, w)`` without the cosines above this share of each axis."""
    rows, columns = (_low(side, share).to(images) for side in images.shape[-2:])
    return rows @ images @ columns


@lru_cache(maxsize=16)
def _low(side: int, share: float) -> Tensor:
    """Transform, cut and back as one matrix ``(side, side)``."""
    kept = _cosines(side)[torch.arange(side) < share * side]
    return kept.T @ kept


@dataclass(frozen=True)
class SpectrumNoise:
    """Spectrum simulation (SSA, Long et al., ECCV 2022, equation 8): ``IDCT(DCT(x + n) * m)``.

    n is normal with deviation ``sigma``, m uniform in [1 - rho, 1 + rho] for every coefficient; both are drawn for
    every image. Its content stays where it is.

    Attributes:
        rho: 0.5.
        sigma: share of the pixel range; the authors take epsilon.
    """

    rho: float = 0.5
    sigma: float = 8 / 255

    def __post_init__(self) -> None:
        if not 0 <= self.rho <= 1:
            raise ValueError(f"rho must be in [0, 1], got {self.rho}")
        if not 0 <= self.sigma <= 1:
            raise ValueError(f"sigma must be in [0, 1], got {self.sigma}; write 8/255 for eight levels")

    def __call__(self, canvas: Canvas, generator: torch.Generator) -> Canvas:
        """Each image with noise of its own."""
        pixels = canvas.values
        noise = self.sigma * torch.randn(pixels.shape, generator=generator)
        mask = 1 + self.rho * (2 * torch.rand(pixels.shape, generator=generator) - 1)
        return canvas.painted(inverse_dct(dct(pixels + noise.to(pixels)) * mask.to(pixels)))
