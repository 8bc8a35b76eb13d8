"""Defences that are a filter of the pixels: blur, median, bit depth, down-up resize, noise."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segrobust.defences.base import Draws, Filter, straight_through
from segrobust.models.geometry import resize

CHUNK = 1 << 20
"""Output values of which a median's windows are held at a time."""


@dataclass(frozen=True)
class Blur(Filter):
    """Gaussian blur; the border is continued by its own pixels.

    Attributes:
        sigma: of the Gaussian in pixels, above 0; the kernel has ``2 ceil(3 sigma) + 1`` pixels.
    """

    sigma: float

    def __post_init__(self) -> None:
        if not 0 < self.sigma <= 50:
            raise ValueError(f"sigma must be above 0 and at most 50 pixels, got {self.sigma:g}")

    @property
    def name(self) -> str:
        """E.g. ``blur-s0.5``."""
        return f"blur-s{self.sigma:g}"

    def filtered(self, images: Tensor, generator: Draws) -> Tensor:
        """Rows, then columns."""
        radius = math.ceil(3 * self.sigma)
        x = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
        kernel = torch.exp(-x.square() / (2 * self.sigma**2))
        kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
        padded = F.pad(images, (radius, radius, radius, radius), mode="replicate")
        across = F.conv2d(padded, kernel, groups=images.shape[1])
        return F.conv2d(across, kernel.mT, groups=images.shape[1])


@dataclass(frozen=True)
class Median(Filter):
    """The median of a square window around each pixel, channel by channel; the border is continued by its own pixels.

    Source: Xu, Evans and Qi, NDSS 2018 (arXiv 1704.01155), spatial smoothing.

    Attributes:
        side: of the window in pixels, odd, 3 to 15.
    """

    side: int

    def __post_init__(self) -> None:
        if self.side % 2 == 0 or not 3 <= self.side <= 15:
            raise ValueError(f"the window's side must be odd, 3 to 15 pixels, got {self.side}")

    @property
    def name(self) -> str:
        """E.g. ``median-3``."""
        return f"median-{self.side}"

    @torch.no_grad()
    def filtered(self, images: Tensor, generator: Draws) -> Tensor:
        """Some rows at a time: all windows of a photo at once would be gigabytes."""
        padded, rows = self._padded(images), max(1, CHUNK // images[:, :, 0].numel())
        medians = torch.empty_like(images)
        for top in range(0, images.shape[-2], rows):
            part = padded[:, :, top : top + rows + self.side - 1]
            windows = part.unfold(2, self.side, 1).unfold(3, self.side, 1).flatten(-2)
            medians[:, :, top : top + rows] = windows.median(dim=-1).values
        return medians

    def surrogate(self, images: Tensor, generator: Draws) -> Tensor:
        """Exact, and on the way back the mean of the window.

        A median's own slope is that of one pixel of the window: exact for a step that changes no order, but a step of
        an attack changes most, and attacks that follow it are weaker.
        """
        return straight_through(self.filtered(images, generator), F.avg_pool2d(self._padded(images), self.side, 1))

    def _padded(self, images: Tensor) -> Tensor:
        radius = self.side // 2
        return F.pad(images, (radius, radius, radius, radius), mode="replicate")


@dataclass(frozen=True)
class Bits(Filter):
    """Fewer levels per channel.

    Source: Xu, Evans and Qi, NDSS 2018 (arXiv 1704.01155), section 5.1: ``round(x (2^b - 1)) / (2^b - 1)``.

    Attributes:
        bits: 1 to 7.
    """

    bits: int

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 7:
            raise ValueError(f"bits must be 1 to 7, got {self.bits}")

    @property
    def name(self) -> str:
        """E.g. ``bits-4``."""
        return f"bits-{self.bits}"

    def filtered(self, images: Tensor, generator: Draws) -> Tensor:
        """Exact, and straight-through on the way back."""
        steps = 2**self.bits - 1
        return straight_through((images * steps).round() / steps, images)


@dataclass(frozen=True)
class DownUp(Filter):
    """Resized to a share of its sides and back; bilinear, with antialias on the way down.

    Attributes:
        share: above 0 and below 1.
    """

    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"the share must be above 0 and below 1, got {self.share:g}")

    @property
    def name(self) -> str:
        """E.g. ``downup-0.5``."""
        return f"downup-{self.share:g}"

    def filtered(self, images: Tensor, generator: Draws) -> Tensor:
        """Linear, so its gradient is exact."""
        height, width = images.shape[-2:]
        small = max(1, round(height * self.share)), max(1, round(width * self.share))
        return resize(resize(images, small), (height, width))


@dataclass(frozen=True)
class Noise(Filter):
    """Gaussian noise on every value, clipped to the pixel range.

    Attributes:
        sigma: standard deviation, share of the pixel range; above 0, at most 1.
    """

    sigma: float

    def __post_init__(self) -> None:
        if not 0 < self.sigma <= 1:
            raise ValueError(f"sigma is a share of the pixel range, above 0 and at most 1, got {self.sigma:g}")

    @property
    def name(self) -> str:
        """E.g. ``noise-s0.05``."""
        return f"noise-s{self.sigma:g}"

    @property
    def random(self) -> bool:
        """It draws."""
        return True

    def filtered(self, images: Tensor, generator: Draws) -> Tensor:
        """The same noise on all n images; no gradient where it is clipped."""
        if generator is None:
            return images
        drawn = generator.standard_normal(tuple(images.shape[1:]), np.float32)
        return (images + self.sigma * torch.from_numpy(drawn).to(images)).clamp(0, 1)


@dataclass(frozen=True)
class Smoothing(Noise):
    """Randomised smoothing: every answer is the vote, pixel by pixel, of the answers under several draws of noise.

    Source: Cohen, Rosenfeld and Kolter, ICML 2019 (arXiv 1902.02918); for segmentation Fischer, Baader and Vechev,
    ICML 2021 (arXiv 2107.00228). Where we differ: nothing is certified, and no pixel abstains.

    Attributes:
        sigma: standard deviation of the noise, share of the pixel range.
        votes: draws; 2 to 1000.
    """

    votes: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.votes <= 1000:
            raise ValueError(f"the vote is over 2 to 1000 draws, got {self.votes}")

    @property
    def name(self) -> str:
        """E.g. ``smooth-s0.05-n8``."""
        return f"smooth-s{self.sigma:g}-n{self.votes}"
