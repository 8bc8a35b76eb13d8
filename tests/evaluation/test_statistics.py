"""Means over prompts and intervals over photos: arithmetic by hand, and what an interval promises."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segrobust.evaluation.statistics import Estimate, Sums, difference, estimate, photo_sums, prompt_sums, quotient

NaN = math.nan


def item(ious: list[float | None], kinds: str = "", areas: list[int] | None = None, **columns: Any) -> dict[str, Any]:
    """What scoring a photo gives; kinds as letters, p(oint) or b(ox)."""
    kinds = kinds or "p" * len(ious)
    return {
        "prompts": {
            "kind": ["point" if k == "p" else "box" for k in kinds],
            "mask": list(range(len(ious))),
            "area": areas or [100] * len(ious),
            "iou": ious,
            **columns,
        },
        "empty": 0,
    }


def value(items: dict[str, Any], measure: str, part: str = "all", **more: Any) -> float:
    return estimate(prompt_sums(items, measure, part, **more), seed=0).value


ITEMS = {
    "b": item([0.2, 0.4, 0.9], "ppb", [1023, 1024, 9216], f1=[0.3, None, 0.6]),
    "a": item([0.5, None, 0.1, 0.05], "ppbb", [9215, 5, 0, 10**6], f1=[1.0, None, None, 0.1]),
}


def test_micro_means_by_part() -> None:
    assert value(ITEMS, "miou") == pytest.approx((0.2 + 0.4 + 0.9 + 0.5 + 0.1 + 0.05) / 6)
    assert value(ITEMS, "asr50") == pytest.approx(5 / 6)  # 0.5 itself is a success
    assert value(ITEMS, "asr10") == pytest.approx(2 / 6)
    assert value(ITEMS, "miou", "points") == pytest.approx(1.1 / 3)
    assert value(ITEMS, "asr50", "boxes") == pytest.approx(2 / 3)
    assert value(ITEMS, "f1") == pytest.approx(0.5)
    assert value(ITEMS, "miou", "small") == pytest.approx((0.2 + 0.1) / 2)
    assert value(ITEMS, "miou", "medium") == pytest.approx((0.4 + 0.5) / 2)
    assert value(ITEMS, "miou", "large") == pytest.approx((0.9 + 0.05) / 2)


def test_macro_counts_every_photo_once() -> None:
    macro = prompt_sums(ITEMS, "miou").macro()
    assert estimate(macro, seed=0).value == pytest.approx((1.5 / 3 + 0.65 / 3) / 2)
    uneven = prompt_sums({"a": item([1.0]), "b": item([0.0] * 9)}, "miou")
    assert estimate(uneven, seed=0).value == pytest.approx(0.1)
    assert estimate(uneven.macro(), seed=0).value == 0.5


def test_conditional_success_leaves_out_what_was_never_answered_well() -> None:
    attacked = {"a": item([0.1, 0.1, 0.9, None]), "b": item([0.0]), "c": item([0.0])}
    originals = {"a": item([0.5, 0.51, 0.9, 0.9]), "b": item([0.3])}
    assert value(attacked, "asr50") == pytest.approx(4 / 5)
    conditional = prompt_sums(attacked, "asr50", originals=originals)
    assert (estimate(conditional, seed=0).value, conditional.images, conditional.counts.sum()) == (0.5, ("a",), 2)
    with pytest.raises(ValueError, match="a: the original was asked other prompts"):
        prompt_sums({"a": item([0.1])}, "asr50", originals=originals)


def test_one_value_per_photo() -> None:
    found = photo_sums({"a": {"map": 0.25}, "b": {"map": None}, "c": {"map": 0.75}}, "map")
    assert (found.images, estimate(found, seed=0).value) == (("a", "c"), 0.5)


def test_nothing_and_one_photo() -> None:
    nothing = estimate(prompt_sums({"a": item([]), "b": item([None])}, "miou"), seed=0)
    assert (nothing.images, nothing.n) == (0, 0)
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()
    one = estimate(prompt_sums({"a": item([0.25, 0.75]), "b": item([])}, "miou"), seed=0)
    assert (one.value, one.images, one.n) == (0.5, 1, 2)
    assert np.isnan([one.low, one.high]).all()
    apart = difference(Sums.of({"a": np.array([1.0])}), Sums.of({"b": np.array([1.0])}), seed=0)
    assert math.isnan(apart.value)
    assert apart.images == 0


def test_equal_photos_have_no_width() -> None:
    same = Sums.of({str(i): np.array([0.3, 0.5]) for i in range(5)})
    got = estimate(same, seed=0)
    assert (got.low, got.high) == pytest.approx((0.4, 0.4))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="got mean, all"):
        prompt_sums(ITEMS, "mean")
    with pytest.raises(ValueError, match="got miou, tiny"):
        prompt_sums(ITEMS, "miou", "tiny")


def test_photos_are_drawn_with_all_their_prompts() -> None:
    """Two photos: the resamples are aa, ab, ba, bb, so the interval's ends are the photos' means."""
    got = estimate(Sums.of({"a": np.zeros(1), "b": np.ones(9)}), seed=0)
    assert (got.value, got.low, got.high) == (0.9, 0.0, 1.0)


values = st.dictionaries(
    st.text("abcdef", max_size=3), st.lists(st.floats(0, 1) | st.just(NaN), max_size=5).map(np.array), max_size=6
)


@settings(max_examples=60)
@given(values, st.integers(0, 2**40), st.randoms(use_true_random=False))
def test_an_interval_holds_its_value_and_does_not_depend_on_the_order(
    data: dict[str, Any], seed: int, rng: Any
) -> None:
    got = estimate(Sums.of(data), seed=seed, resamples=200)
    every = np.concatenate([np.zeros(0), *data.values()]).astype(float)
    every = every[~np.isnan(every)]
    assert got.n == every.size
    if every.size:
        assert got.value == pytest.approx(every.mean())
    if got.images > 1:
        assert every.min() - 1e-12 <= got.low <= got.high <= every.max() + 1e-12
    shuffled = list(data.items())
    rng.shuffle(shuffled)
    again = estimate(Sums.of(dict(shuffled)), seed=seed, resamples=200)
    np.testing.assert_equal(vars(again), vars(got))


@given(values, values, st.integers(0, 1000))
def test_a_difference_is_that_of_the_means_on_common_photos(a: dict[str, Any], b: dict[str, Any], seed: int) -> None:
    first, second = Sums.of(a), Sums.of(b)
    got = difference(first, second, seed=seed, resamples=50)
    back = difference(second, first, seed=seed, resamples=50)
    common = sorted(set(first.images) & set(second.images))
    assert got.images == back.images == len(common)
    if common:
        means = [np.nanmean(np.concatenate([side[c] for c in common])) for side in (a, b)]
        assert got.value == pytest.approx(means[0] - means[1])
    np.testing.assert_allclose([got.value, got.low, got.high], [-back.value, -back.high, -back.low], atol=1e-12)


def test_a_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    hard = rng.uniform(0, 0.8, 40)  # how hard the photo is, for every attack
    a = Sums.of({i: np.array([h + 0.02]) for i, h in enumerate(hard)})
    b = Sums.of({i: np.array([h]) for i, h in enumerate(hard)})
    got = difference(a, b, seed=0)
    assert got.low == pytest.approx(0.02)
    assert got.high == pytest.approx(0.02)
    assert estimate(a, seed=0).low < estimate(b, seed=0).value  # what the intervals apart cannot tell


def test_a_quotient_is_paired_and_of_the_means() -> None:
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.2, 0.8, 40)
    b = Sums.of({i: np.array([h, h]) for i, h in enumerate(hard)})
    a = Sums.of({i: np.array([0.7 * h]) for i, h in enumerate(hard) if i != 3})
    got = quotient(a, b, seed=0)
    assert (got.value, got.low, got.high) == pytest.approx((0.7, 0.7, 0.7))
    assert (got.images, got.n) == (39, 39)
    uneven = quotient(
        Sums.of({1: np.array([1.0, 2.0]), 2: np.array([6.0])}),
        Sums.of({1: np.array([1.0]), 2: np.array([2.0])}),
        seed=0,
    )
    assert uneven.value == pytest.approx(3.0 / 1.5)  # not the mean of 1.5 and 3


def covered(photos: int, repeats: int, level: float) -> float:
    """How often the interval holds the true mean, where the prompts of a photo share most of their value."""
    rng, hits = np.random.default_rng(7), 0
    for _ in range(repeats):
        means = rng.beta(2, 3, photos)  # of mean 0.4
        data = {i: np.clip(m + rng.uniform(-0.05, 0.05, 4), -1, 2) for i, m in enumerate(means)}
        got = estimate(Sums.of(data), seed=int(rng.integers(2**31)), resamples=400, level=level)
        hits += got.low <= 0.4 <= got.high
    return hits / repeats


def test_intervals_cover_what_they_promise() -> None:
    assert 0.91 <= covered(60, 400, 0.95) <= 0.98
    assert 0.44 <= covered(60, 400, 0.5) <= 0.56


def test_drawing_prompts_instead_of_photos_would_be_too_narrow() -> None:
    rng = np.random.default_rng(1)
    data = {i: np.full(50, m) for i, m in enumerate(rng.uniform(0, 1, 20))}
    as_photos = estimate(Sums.of(data), seed=0)
    as_prompts = estimate(Sums.of({(i, j): each[[j]] for i, each in data.items() for j in range(50)}), seed=0)
    assert as_photos.high - as_photos.low > 5 * (as_prompts.high - as_prompts.low)
    assert isinstance(as_photos, Estimate)
