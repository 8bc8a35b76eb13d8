"""The Haar wavelet of one level, and DarkSAM's terms of low and high frequencies."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from segrobust.errors import UsageError


def haar(images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The orthonormal two-dimensional Haar transform, one level (Haar 1910; Mallat 1989, section III).

    Args:
        images: ``(..., H, W)``; an odd last row or column is repeated.

    Returns:
        LL, LH (across columns: low, across rows: high), HL and HH, each ``(..., ceil(H / 2), ceil(W / 2))``. Of even
        sizes, their squares sum up to those of ``images``.
    """
    height, width = images.shape[-2:]
    if height % 2 or width % 2:
        flat = images.reshape(-1, 1, height, width)
        padded = F.pad(flat, (0, width % 2, 0, height % 2), mode="replicate")
        images = padded.reshape(*images.shape[:-2], *padded.shape[-2:])
    a, b = images[..., 0::2, 0::2], images[..., 0::2, 1::2]
    c, d = images[..., 1::2, 0::2], images[..., 1::2, 1::2]
    return (a + b + c + d) / 2, (a + b - c - d) / 2, (a - b + c - d) / 2, (a - b - c + d) / 2


@dataclass(frozen=True)
class Bands:
    """DarkSAM's frequency attack, of the perturbation alone (arXiv 2409.17874; the authors' code).

    ``low * |LL(x') - LL(x)|^2 - high * |HH(x') - HH(x)|^2``, minimised: the photo keeps its low frequencies and loses
    its high ones. The transform is linear, so the differences are the bands of the perturbation itself; where x' is
    clipped to the pixel range the authors' differ. They transform back before they square, which changes nothing: the
    transform is orthonormal.

    Attributes:
        low: Wl.
        high: Wh.
        reduction: ``mean``, over the pixels; or ``sum``, as the authors code it beside means over masks.
    """

    low: float = 1.0
    high: float = 0.01
    reduction: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        if self.reduction not in ("mean", "sum"):
            raise UsageError(f"reduction {self.reduction!r} is not one of mean, sum")

    def __call__(self, pattern: Tensor) -> Tensor:
        """The term, a number, for a perturbation ``(1, 3, S, S)``."""
        low, _, _, high = haar(pattern)
        total = self.low * low.square().sum() - self.high * high.square().sum()
        return total / pattern.numel() if self.reduction == "mean" else total


def with_gradient(bands: Bands, pattern: Tensor) -> tuple[float, Tensor]:
    """The term and its gradient."""
    with torch.enable_grad():
        leaf = pattern.detach().requires_grad_(True)
        value = bands(leaf)
        (gradient,) = torch.autograd.grad(value, leaf)
    return float(value.detach()), gradient
