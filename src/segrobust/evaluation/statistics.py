"""From scores of prompts to numbers with intervals: means over prompts, and what they would be on other photos.

Prompts of one photo share its content and its attack, so they are not independent; photos are. Every mean is kept as a
sum and a count per photo (:class:`Sums`), and photos, not prompts, are drawn again. Pure numpy.
"""

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segrobust.randomness import stream
from segrobust.types import Bools, Floats

RESAMPLES = 2000
LEVEL = 0.95

USEFUL = 0.5
"""A prompt whose IoU on the original is not above this was never answered well: no attack can be credited with it."""

SIZES: Mapping[str, tuple[float, float]] = {
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, math.inf),
}
"""Pixels of the reference mask, from and below: COCO's bins."""

KINDS: Mapping[str, str] = {"points": "point", "boxes": "box"}
PARTS = ("all", *KINDS, *SIZES)
SUCCESS: Mapping[str, float] = {"asr50": 0.5, "asr10": 0.1}
MEASURES = ("miou", *SUCCESS, "boundary_iou", "precision", "recall", "f1", "displacement")
EVERYTHING = ("matched_miou", "map", "masks_clean", "masks_found")

_AT_ONCE = 2**22  # numbers of a bootstrap that are drawn at a time


@dataclass(frozen=True)
class Estimate:
    """A number and its interval.

    Attributes:
        value: NaN if there is nothing to average.
        low: NaN with fewer than two photos: one photo says nothing about others.
        high: as ``low``.
        images: photos with at least one value.
        n: values, over all of them.
    """

    value: float
    low: float
    high: float
    images: int
    n: int


@dataclass(frozen=True, eq=False)
class Sums:
    """One score, photo by photo, as a sum and a count; photos without a value are not in it.

    Attributes:
        images: what each photo is called, without repeats.
        sums: ``(images,)`` the sum of a photo's values.
        counts: ``(images,)`` how many there are, >= 1.
    """

    images: tuple[Hashable, ...]
    sums: Floats
    counts: Floats

    @classmethod
    def of(cls, values: Mapping[Any, Floats]) -> "Sums":
        """From the values of every photo; NaN is left out, and so is a photo with nothing else.

        The photos are sorted, so that the order in which they were computed changes nothing.
        """
        there = {image: each[~np.isnan(each)] for image, each in values.items()}
        images = tuple(sorted(image for image, each in there.items() if each.size))
        return cls(
            images,
            np.array([there[image].sum() for image in images], np.float64),
            np.array([there[image].size for image in images], np.float64),
        )

    def macro(self) -> "Sums":
        """Every photo's own mean, each counting once."""
        return Sums(self.images, self.sums / self.counts, np.ones_like(self.counts))

    def at(self, images: "tuple[Hashable, ...]") -> "Sums":
        """The same for some of the photos, in this order."""
        place = {image: i for i, image in enumerate(self.images)}
        index = np.array([place[image] for image in images], np.int64)
        return Sums(images, self.sums[index], self.counts[index])


def prompt_sums(
    items: Mapping[Any, Mapping[str, Any]],
    measure: str,
    part: str = "all",
    originals: Mapping[Any, Mapping[str, Any]] | None = None,
) -> Sums:
    """A score of the prompts of many photos.

    Args:
        items: by photo, what ``protocols.score`` gave for one attack, target and prompt protocol.
        measure: ``miou``; ``asr50`` or ``asr10``, the share of prompts with IoU <= 0.5 or 0.1; or a column that is
            averaged: ``boundary_iou``, ``precision``, ``recall``, ``f1``, ``displacement`` (pixels).
        part: ``all``, ``points``, ``boxes``, or by size of the reference mask: ``small`` (below 32 x 32 pixels),
            ``medium`` (below 96 x 96), ``large``. The ASR of boxes, which most attacks hardly touch, is ``asr50`` of
            the part ``boxes``.
        originals: by photo, the items of the original photo. With them only prompts that had an IoU above 0.5 there
            count (conditional ASR); a photo without an original has none.

    Raises:
        ValueError: an unknown measure or part, or an original with other prompts.
    """
    if measure not in MEASURES or part not in PARTS:
        raise ValueError(
            f"measure is one of {', '.join(MEASURES)} and part of {', '.join(PARTS)}, got {measure}, {part}"
        )
    values = {}
    for image, item in items.items():
        wanted = _belongs(item["prompts"], part)
        if originals is not None:
            wanted = wanted & _was_useful(item, originals.get(image), image)
        values[image] = _measured(item["prompts"], measure)[wanted]
    return Sums.of(values)


def photo_sums(items: Mapping[Any, Mapping[str, Any]], field: str) -> Sums:
    """A score with one value per photo, e.g. one of :data:`EVERYTHING`; None is left out."""
    return Sums.of({image: _floats([item[field]]) for image, item in items.items()})


def estimate(score: Sums, *, seed: int, resamples: int = RESAMPLES, level: float = LEVEL) -> Estimate:
    """The mean over all values (micro average), and its interval over photos.

    Source: percentile bootstrap (Efron 1979) of clusters (Davison & Hinkley 1997, section 3.8): photos are drawn with
    replacement, each with all of its values. With few photos (below some 20) such intervals are too narrow.

    Args:
        score: sums and counts per photo.
        seed: of the run. Two scores of equally many photos see the same draws.
        resamples: how often.
        level: of the interval, in (0, 1).
    """
    return _estimate(len(score.images), int(score.counts.sum()), lambda i: _ratio(score, i), seed, resamples, level)


def difference(a: Sums, b: Sums, *, seed: int, resamples: int = RESAMPLES, level: float = LEVEL) -> Estimate:
    """``a`` minus ``b`` on the photos that both have, drawing the same photos for both (paired).

    What all attacks find hard in a photo cancels out, so the interval is narrower than the two apart would suggest.

    Args:
        a: a score, e.g. the mIoU under one attack.
        b: the same score under another attack.
        seed: of the run.
        resamples: how often.
        level: of the interval, in (0, 1).

    Returns:
        The difference of the two micro averages; ``n`` counts the values of ``a``.
    """
    a, b = _paired(a, b)
    return _estimate(len(a.images), int(a.counts.sum()), lambda i: _ratio(a, i) - _ratio(b, i), seed, resamples, level)


def quotient(a: Sums, b: Sums, *, seed: int, resamples: int = RESAMPLES, level: float = LEVEL) -> Estimate:
    """``a`` divided by ``b`` on the photos that both have, paired as in :func:`difference`.

    Args:
        a: a score, e.g. the mIoU under one attack.
        b: the same score under another attack; its micro average must not be 0.
        seed: of the run.
        resamples: how often.
        level: of the interval, in (0, 1).

    Returns:
        The quotient of the two micro averages; ``n`` counts the values of ``a``.
    """
    a, b = _paired(a, b)
    return _estimate(len(a.images), int(a.counts.sum()), lambda i: _ratio(a, i) / _ratio(b, i), seed, resamples, level)


def _paired(a: Sums, b: Sums) -> tuple[Sums, Sums]:
    """Both on the photos that both have, in the order of ``a``."""
    common = set(b.images)
    both = tuple(image for image in a.images if image in common)
    return a.at(both), b.at(both)


def _estimate(
    images: int, n: int, statistic: Callable[[NDArray[np.int64]], Floats], seed: int, resamples: int, level: float
) -> Estimate:
    if not images:
        return Estimate(math.nan, math.nan, math.nan, 0, 0)
    value = float(statistic(np.arange(images)[None])[0])
    if images < 2:
        return Estimate(value, math.nan, math.nan, images, n)
    generator = stream(seed, "bootstrap over photos")
    step = max(1, _AT_ONCE // images)
    drawn = [
        statistic(generator.integers(0, images, (min(step, resamples - start), images)))
        for start in range(0, resamples, step)
    ]
    low, high = np.quantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), images, n)


def _ratio(score: Sums, index: NDArray[np.int64]) -> Floats:
    """Micro averages of photos drawn as the rows of ``index`` say."""
    means: Floats = score.sums[index].sum(axis=1) / score.counts[index].sum(axis=1)
    return means


def _floats(values: Any) -> Floats:
    return np.array([math.nan if value is None else value for value in values], np.float64)


def _measured(prompts: Mapping[str, Any], measure: str) -> Floats:
    if measure in SUCCESS or measure == "miou":
        ious = _floats(prompts["iou"])
        return np.where(np.isnan(ious), np.nan, ious <= SUCCESS[measure]) if measure in SUCCESS else ious
    return _floats(prompts[measure])


def _belongs(prompts: Mapping[str, Any], part: str) -> Bools:
    if part in SIZES:
        low, high = SIZES[part]
        areas = _floats(prompts["area"])
        return np.asarray((areas >= low) & (areas < high), np.bool_)
    kinds = np.array(prompts["kind"], np.str_)
    return np.asarray(np.full(kinds.shape, True) if part == "all" else kinds == KINDS[part], np.bool_)


def _was_useful(item: Mapping[str, Any], original: Mapping[str, Any] | None, image: Any) -> Bools:
    prompts = item["prompts"]
    if original is None:
        return np.zeros(len(prompts["iou"]), np.bool_)
    before = original["prompts"]
    if any(before[column] != prompts[column] for column in ("kind", "mask")):
        raise ValueError(f"{image}: the original was asked other prompts than the attacked photo")
    return np.asarray(_floats(before["iou"]) > USEFUL, np.bool_)
