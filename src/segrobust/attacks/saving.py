"""The 8-bit photo that is saved: rounded, and still inside the budget."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from segrobust.attacks.band import Share
from segrobust.attacks.budget import contrast_share
from segrobust.models.geometry import to_tensor
from segrobust.types import Budget, Pixels


def round_into_budget(adversarial: Tensor, original: Pixels, budget: Budget, where: Share | None = None) -> Pixels:
    """The 8-bit photo that is saved: rounded, then brought into the budget around the original in whole levels.

    Truncation instead of rounding would turn a change of 8 levels into 9. Under L2, rounding may leave the ball: then
    the values that rounding moved farthest away are rounded towards the original instead, as few as it takes.

    Args:
        adversarial: ``(3, H, W)`` float in [0, 1].
        original: ``(H, W, 3)`` uint8.
        budget: holds in the result.
        where: ``(H, W)``, how much of the budget each pixel has: bool, or numbers in [0, 1] under a norm of single
            values (None: all of it everywhere).
    """
    wanted = (adversarial.detach() * 255).to("cpu").permute(1, 2, 0)
    rounded = wanted.round().numpy().astype(np.int16)
    centre = original.astype(np.int16)
    change = rounded - centre
    if budget.norm == "l2":
        change = np.clip(rounded, 0, 255) - centre
        change = change if where is None else change * (where[..., None] > 0)
    else:
        allowed = allowed_levels(original, budget, where)
        change = np.clip(change, -allowed, allowed)
    if budget.norm == "l2":
        change = _into_ball(change.astype(np.int64), wanted.double().numpy() - centre, budget)
    return np.ascontiguousarray(np.clip(centre + change, 0, 255).astype(np.uint8))


def allowed_levels(original: Pixels, budget: Budget, where: Share | None = None) -> int | NDArray[np.int16]:
    """How many whole levels each value of a photo may be changed, ``(H, W, 1)`` or one number for all."""
    if budget.norm != "contrast" and where is None:
        return budget.levels
    share = np.ones(original.shape[:2])
    if budget.norm == "contrast":
        share = contrast_share(to_tensor(original)[None]).double()[0, 0].numpy()
    if where is not None:
        share = share * where
    allowed: NDArray[np.int16] = (share * budget.value * 255 + 1e-3).astype(np.int16)[..., None]
    return allowed


def within(original: Pixels, saved: Pixels, budget: Budget, where: Share | None = None) -> bool:
    """Whether a saved photo is inside a budget around the original, as its files say; ``where`` as when it was made."""
    change = np.abs(saved.astype(np.int64) - original)
    if budget.norm == "l2":
        elsewhere = where is not None and bool(change[where == 0].any())
        return not elsewhere and int(np.square(change).sum()) <= _square_levels(budget)
    return bool((change <= allowed_levels(original, budget, where)).all())


def round_to_8_bits(adversarial: Tensor) -> Pixels:
    """The 8-bit photo of ``(3, H, W)`` floats in [0, 1], rounded, with no budget (protocol ``paper``)."""
    rounded = (adversarial.detach() * 255).round().clamp(0, 255).permute(1, 2, 0).to("cpu").numpy()
    return np.ascontiguousarray(rounded.astype(np.uint8))


def _square_levels(budget: Budget) -> float:
    return float((budget.epsilon * 255) ** 2)


def _into_ball(change: NDArray[np.int64], wanted: NDArray[np.float64], budget: Budget) -> NDArray[np.int64]:
    """Whole levels in an L2 ball: those that rounding moved outwards most are moved one level inwards."""
    excess = int(np.square(change).sum()) - _square_levels(budget)
    if excess <= 0:
        return change
    flat, outwards = change.ravel().copy(), (np.abs(change) - np.abs(wanted)).ravel()
    order = np.argsort(-outwards, kind="stable")
    order = order[flat[order] != 0]
    saved = np.cumsum(2 * np.abs(flat[order]) - 1)
    count = int(np.searchsorted(saved, excess)) + 1
    flat[order[:count]] -= np.sign(flat[order[:count]])
    return _into_ball(flat.reshape(change.shape), wanted, budget)
