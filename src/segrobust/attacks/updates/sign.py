"""RGA's update, which is MI-FGSM's."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segrobust.attacks.updates.base import Probe, State


@dataclass(frozen=True)
class MomentumSign:
    """Sign descent with momentum (MI-FGSM, Dong et al., CVPR 2018).

    ``g_t = G / |G|_1 + momentum * g_{t-1}``, then ``x <- x - step * sign(g_t)``. Without momentum the
    normalisation changes no sign and is left out. Under another norm than L-infinity: ``Box.step_``.

    Attributes:
        step: alpha, share of the pixel range; RGA uses 2/255.
        momentum: mu; RGA uses 0.4, 0 switches it off.
        smoothing: side of a Gaussian kernel (3 sigma at its edge) that smooths G first (TI, Dong et al., CVPR 2019);
            odd; 0 = off, RGA's default; the authors' option uses 15.
    """

    step: float = 2 / 255
    momentum: float = 0.4
    smoothing: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.step <= 1:
            raise ValueError(f"step must be in (0, 1], got {self.step}; write 2/255 for two levels")
        if self.momentum < 0:
            raise ValueError(f"momentum must not be negative, got {self.momentum}")
        if self.smoothing and self.smoothing % 2 == 0:
            raise ValueError(f"smoothing must be an odd kernel side or 0, got {self.smoothing}")

    def __call__(self, image: Tensor, probe: Probe, state: State) -> float:
        """One step."""
        loss, gradient = probe(image)
        self.move(image, gradient, state)
        return loss

    def move(self, image: Tensor, gradient: Tensor, state: State) -> None:
        """The step that a gradient, which is overwritten, makes of ``image``, in place."""
        if self.smoothing:
            gradient = smooth(gradient, self.smoothing)
        if self.momentum:
            share = 1 / (float(gradient.abs().sum()) or 1.0)
            if state.velocity is None:
                state.velocity = gradient.mul_(share)
            else:
                state.velocity.mul_(self.momentum).add_(gradient, alpha=share)
            gradient = state.velocity
        state.box.step_(image, gradient, self.step)


def gaussian_kernel(side: int) -> Tensor:
    """A normalised ``(side, side)`` Gaussian that reaches 3 sigma at its edges."""
    # scipy.stats.norm.pdf, written out to the last bit: to be imported scipy.stats takes nearly as long as torch.
    profile = np.exp(-(np.linspace(-3, 3, side) ** 2) / 2) / np.sqrt(2 * np.pi)
    kernel = np.outer(profile, profile)
    return torch.from_numpy(kernel / kernel.sum()).to(torch.float32)


def smooth(gradient: Tensor, side: int) -> Tensor:
    """Convolve each channel of ``(1, 3, H, W)`` with :func:`gaussian_kernel`; zero outside."""
    # The kernel is a column times a row, so it is a convolution with one and then the other: 2 side taps, not side^2.
    row = gaussian_kernel(side).sum(0).to(gradient)
    channels = gradient.shape[1]
    along = F.conv2d(gradient, row.expand(channels, 1, 1, side), padding=(0, side // 2), groups=channels)
    return F.conv2d(
        along, row.view(1, 1, side, 1).expand(channels, 1, side, 1), padding=(side // 2, 0), groups=channels
    )
