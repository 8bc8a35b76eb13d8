"""Keeping a perturbation inside its budget: while it is optimised (floats) and on disk (8 bits)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segrobust.types import Budget, Pixels


@dataclass(frozen=True)
class Box:
    """The images inside a budget: everything between ``low`` and ``high``, both ``(1, 3, H, W)`` in [0, 1]."""

    low: Tensor
    high: Tensor

    @classmethod
    def around(cls, source: Tensor, budget: Budget) -> "Box":
        """The L-infinity ball around ``source`` (``(1, 3, H, W)`` in [0, 1]) cut with the pixel range."""
        return cls((source - budget.value).clamp_(min=0.0), (source + budget.value).clamp_(max=1.0))

    def project_(self, image: Tensor) -> Tensor:
        """Move ``image`` to the nearest one inside, in place."""
        torch.maximum(image, self.low, out=image)
        return torch.minimum(image, self.high, out=image)


def round_into_budget(adversarial: Tensor, original: Pixels, budget: Budget) -> Pixels:
    """The 8-bit photo that is saved: rounded, then projected onto the integer budget around the original.

    Truncation instead of rounding would turn a change of 8 levels into 9.

    Args:
        adversarial: ``(3, H, W)`` float in [0, 1].
        original: ``(H, W, 3)`` uint8.
        budget: its whole levels hold in the result.
    """
    rounded = (adversarial.detach() * 255).round().to("cpu", torch.int16).permute(1, 2, 0).numpy()
    centre = original.astype(np.int16)
    inside = np.clip(rounded, centre - budget.levels, centre + budget.levels)
    pixels: Pixels = np.ascontiguousarray(np.clip(inside, 0, 255).astype(np.uint8))
    return pixels


def round_to_8_bits(adversarial: Tensor) -> Pixels:
    """The 8-bit photo of ``(3, H, W)`` floats in [0, 1], rounded, with no budget (protocol ``paper``)."""
    rounded = (adversarial.detach() * 255).round().clamp(0, 255).to("cpu", torch.uint8)
    return np.ascontiguousarray(rounded.permute(1, 2, 0).numpy())
