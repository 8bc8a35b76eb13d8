"""The least perturbation that does what is wanted: the smallest budget under which an attack still reaches it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from segrobust.attacks.objectives.questions import of_masks
from segrobust.attacks.queries.goal import mean_iou
from segrobust.attacks.recipes.base import Recipe
from segrobust.attacks.recipes.run import attack
from segrobust.errors import NoMasksError, UsageError
from segrobust.models.base import Segmenter
from segrobust.randomness import stream
from segrobust.regions.everything import segment_everything
from segrobust.types import AttackResult, Budget, Image, Masks, Prompts

USUAL = 8 / 255
LEAST_L2 = 1 / 255
"""One value that changes by one level: less than that is no change."""


@dataclass(frozen=True)
class Tried:
    """One budget, and what came of it on the 8-bit photo.

    Attributes:
        budget: as it is written.
        miou: mean IoU of the answers to the attacker's prompts with those on the original.
        l2: length of the change, of values in [0, 1].
        linf_255: its largest value, of 255.
        reached: whether the mIoU is as low as wanted.
    """

    budget: str
    miou: float
    l2: float
    linf_255: int
    reached: bool


@dataclass(frozen=True, eq=False)
class Least:
    """What a search found.

    Attributes:
        result: the photo with the least perturbation that reached what was wanted; None: not one budget did.
        found: its line of the trail; None likewise.
        trail: all that was tried, in order.
        wanted_miou: what was wanted.
        prompts: the attacker's: they steer the search and must not be scored with.
    """

    result: AttackResult | None
    found: Tried | None
    trail: tuple[Tried, ...]
    wanted_miou: float
    prompts: Prompts


def least(
    segmenter: Segmenter,
    image: Image,
    recipe: str | Recipe = "rga",
    *,
    wanted_miou: float = 0.5,
    norm: str = "l2",
    most: str | Budget | None = None,
    tries: int = 8,
    masks: int = 16,
    seed: int = 0,
    clean_masks: Masks | None = None,
    on_try: Callable[[Tried], None] = lambda _: None,
    **settings: Any,
) -> Least:
    """Find the least perturbation that brings the mIoU of the attacker's own prompts down to a wanted value.

    Each budget is one whole attack, measured on the 8-bit photo as it would be saved. The largest is tried first; if
    that does not do, nothing is found. Then the budget is bisected: under L2 between one changed level and the largest,
    each time to the geometric mean; under the norms of single values in whole levels, which ends by itself. The
    smallest change of all that reached it is returned. It is an upper bound of the least there is: it is of this
    recipe, and an attack need not be monotone in its budget. Ours; methods that minimise the norm itself are FMN
    (Pintor et al., NeurIPS 2021) and DDN (Rony et al., CVPR 2019).

    Args:
        segmenter: as for ``attack``.
        image: the photo.
        recipe: likewise.
        wanted_miou: in [0, 1).
        norm: ``l2``, ``linf`` or ``contrast`` (texture hides more), see ``Budget``.
        most: the largest budget (None: 8/255; under L2 what that is if every value changes by so much).
        tries: budgets at most, the largest included; at least 1.
        masks: so many of the masks found on the photo are asked for, each by a point and its box. The prompts come from
            a stream of their own: they are neither those of the recipe nor those that a protocol scores with.
        seed: of every random number; the same for each budget.
        clean_masks: the photo's masks from ``segment_everything`` (None: found here).
        on_try: called after each budget.
        **settings: what else ``attack`` takes, and the recipe's parameters.

    Raises:
        UsageError: a value outside its range, or a largest budget of another norm.
        NoMasksError: nothing to ask for on the photo.
    """
    largest = _largest(image, norm, most)
    if not 0 <= wanted_miou < 1:
        raise UsageError(f"the wanted mIoU is at least 0 and below 1, got {wanted_miou}")
    if tries < 1 or masks < 1:
        raise UsageError(f"tries and masks are at least 1, got {tries} and {masks}")
    found = segment_everything(segmenter, image) if clean_masks is None else clean_masks
    prompts = attackers_prompts(found, image, masks, seed)
    clean = segmenter.answer(image, prompts)
    trail: list[Tried] = []
    good: list[tuple[Tried, AttackResult]] = []

    def reaches(budget: Budget) -> bool:
        result = attack(segmenter, image, recipe, budget=budget, seed=seed, clean_masks=found, **settings)
        change = (result.image.pixels.astype(np.float64) - image.pixels) / 255
        miou = mean_iou(clean, segmenter.answer(result.image, prompts))
        length, highest = float(np.sqrt(np.square(change).sum())), round(255 * float(np.abs(change).max()))
        tried = Tried(str(budget), miou, length, highest, miou <= wanted_miou)
        trail.append(tried)
        if tried.reached:
            good.append((tried, result))
        on_try(tried)
        return tried.reached

    _bisect(largest, tries, reaches)
    line, result = min(good, key=lambda pair: _size(pair[0]), default=(None, None))
    return Least(result, line, tuple(trail), wanted_miou, prompts)


def attackers_prompts(masks: Masks, image: Image, most: int, seed: int) -> Prompts:
    """A point in and the box of each of some masks, from a stream that nothing else draws from.

    Raises:
        NoMasksError: there is no mask.
    """
    there = np.flatnonzero(masks.areas > 0)
    if not len(there):
        raise NoMasksError("the model finds no masks on the photo, so there is nothing that an attack could take away")
    draw = stream(seed, image.fingerprint, "least", "the attacker's prompts")
    return of_masks(masks, sorted(draw.permutation(there)[:most].tolist()), 1, True, draw)


def _largest(image: Image, norm: str, most: str | Budget | None) -> Budget:
    if most is None:
        values = math.sqrt(3 * image.height * image.width)
        most = f"l2:{USUAL * values:.6g}" if norm == "l2" else "8/255" if norm == "linf" else f"{norm}:8/255"
    budget = Budget.parse(most)
    if budget.norm != norm:
        raise UsageError(f"the largest budget {budget} is of norm {budget.norm}, not {norm}")
    if not budget.levels:
        raise UsageError(f"the largest budget {budget} is less than one level of an 8-bit pixel")
    return budget


def _bisect(largest: Budget, tries: int, reaches: Callable[[Budget], bool]) -> None:
    if not reaches(largest):
        return
    if largest.norm == "l2":
        low, high = LEAST_L2, largest.value
        for _ in range(tries - 1):
            middle = float(f"{math.sqrt(low * high):.6g}")
            if not low < middle < high:
                return
            low, high = (low, middle) if reaches(Budget.parse(f"l2:{middle:.6g}")) else (middle, high)
        return
    few, enough = 0, largest.levels
    for _ in range(tries - 1):
        if enough - few <= 1:
            return
        levels = (few + enough) // 2
        few, enough = (few, levels) if reaches(Budget.parse(f"{largest.norm}:{levels}/255")) else (levels, enough)


def _size(tried: Tried) -> tuple[float, float]:
    """What is to be least: the norm that was searched in; among equals the shorter change."""
    budget = Budget.parse(tried.budget)
    return (tried.l2 if budget.norm == "l2" else budget.value, tried.l2)
