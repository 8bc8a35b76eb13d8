"""Total variation denoising."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from segrobust.defences.base import Draws, Filter

ITERATIONS, SEGMENT = 30, 5
"""Iterations in all, and between two states that are kept for the gradient; the others are computed again."""

TAU = 0.25
TINY = 1e-12
"""Keeps the slope of a length finite at 0; too small to change a value."""


@dataclass(frozen=True)
class TotalVariation(Filter):
    """The image ``u`` near the photo ``f`` that minimises ``|u - f|^2 / 2 + weight TV(u)``, channel by channel.

    Source: Rudin, Osher and Fatemi, Physica D 60 (1992), by the iteration of Chambolle, J. Math. Imaging and Vision 20
    (2004), eq. 9, with the step 1/4. As a defence: Guo et al., ICLR 2018 (arXiv 1711.00117), which minimises
    on a random part of the pixels. 30 iterations, always; they are unrolled for the gradient.

    Attributes:
        weight: above 0 and at most 1, for pixels in [0, 1].
    """

    weight: float

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise ValueError(f"the weight must be above 0 and at most 1, got {self.weight:g}")

    @property
    def name(self) -> str:
        """E.g. ``tv-w0.05``."""
        return f"tv-w{self.weight:g}"

    def filtered(self, images: Tensor, generator: Draws) -> Tensor:
        """Differentiable, through all iterations."""
        down, right = torch.zeros_like(images), torch.zeros_like(images)
        for _ in range(ITERATIONS // SEGMENT):
            if torch.is_grad_enabled() and images.requires_grad:
                down, right = checkpoint(
                    self._iterate, images, down, right, use_reentrant=False, preserve_rng_state=False
                )
            else:
                down, right = self._iterate(images, down, right)
        return (images + _divergence(down, right)).clamp(0, 1)

    def _iterate(self, images: Tensor, down: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Some iterations on the dual field, which is kept as ``weight`` times minus Chambolle's p."""
        for _ in range(SEGMENT):
            u = images + _divergence(down, right)
            slope_down = F.pad(u.diff(dim=-2), (0, 0, 0, 1))
            slope_right = F.pad(u.diff(dim=-1), (0, 1))
            length = (slope_down.square() + slope_right.square() + TINY).sqrt()
            shrink = 1 + TAU / self.weight * length
            down, right = (down + TAU * slope_down) / shrink, (right + TAU * slope_right) / shrink
        return down, right


def _divergence(down: Tensor, right: Tensor) -> Tensor:
    """Minus the adjoint of the forward differences, which are zero at the far border."""
    return F.pad(down, (0, 0, 1, 0)).diff(dim=-2) + F.pad(right, (1, 0)).diff(dim=-1)
