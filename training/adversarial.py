"""The inner attack of adversarial training: PGD on the distance of embeddings, at the model's resolution."""

from collections.abc import Callable

import numpy as np
import torch
from batches import STD
from torch import Tensor


def farthest(encode: Callable[[Tensor], Tensor], pixels: Tensor, goal: Tensor, epsilon: float, steps: int) -> Tensor:
    """Inputs within epsilon whose embedding is as far as PGD gets it from a goal.

    Random start, steps of epsilon / 2. The padding is left alone; the bounds of the pixel range are not kept.

    Args:
        encode: normalised pixels to embeddings.
        pixels: ``(B, 3, S, S)`` normalised, padding exactly zero.
        goal: ``(B, C, h, w)``.
        epsilon: share of the pixel range.
        steps: gradient steps.

    Returns:
        ``(B, 3, S, S)`` normalised.
    """
    radius = epsilon * torch.from_numpy(255 / np.asarray(STD)).view(3, 1, 1).float()
    photo = (pixels != 0).any(1, keepdim=True)
    drift = (2 * torch.rand_like(pixels) - 1) * radius * photo
    for _ in range(steps):
        drift.requires_grad_(True)
        distance = (encode(pixels + drift).float() - goal).square().sum() / goal.square().sum()
        (slope,) = torch.autograd.grad(distance, drift)
        with torch.no_grad():
            drift = drift + 0.5 * radius * slope.sign() * photo
            drift = torch.minimum(torch.maximum(drift, -radius), radius)
    return (pixels + drift).detach()
