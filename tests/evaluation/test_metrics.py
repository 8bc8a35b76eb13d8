import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from segrobust.evaluation.metrics import (
    iou,
    l2,
    matched_miou,
    max_linf_255,
    prompt_ious,
    psnr,
    ssim,
    summarise,
    summarise_by_kind,
)
from segrobust.types import Masks, Prompts

photos = hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)))


def strip(*widths: int | tuple[int, int]) -> Masks:
    """Masks that cover columns of a 10-pixel strip: ``4`` is the first four, ``(2, 5)`` from 2 up to 5."""
    dense = np.zeros((len(widths), 1, 10), np.bool_)
    for mask, width in zip(dense, widths, strict=True):
        start, end = (0, width) if isinstance(width, int) else width
        mask[:, start:end] = True
    return Masks.from_dense(dense)


def noisy(height: int, width: int, amplitude: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 255, width)[None, :, None] * np.linspace(0.2, 1, 3)
    a = np.clip(ramp + rng.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)
    change = rng.integers(-amplitude, amplitude + 1, a.shape)
    return a, np.clip(a.astype(int) + change, 0, 255).astype(np.uint8)


def test_iou_of_known_masks() -> None:
    a, b = np.zeros((4, 4), np.bool_), np.zeros((4, 4), np.bool_)
    a[:2], b[1:3] = True, True
    assert iou(a, b) == 4 / 12
    assert iou(a, a) == 1
    assert iou(a, ~a) == iou(a, np.zeros_like(a)) == 0
    assert math.isnan(iou(np.zeros_like(a), np.zeros_like(a)))


@pytest.mark.parametrize("other", [np.zeros((4, 5), np.bool_), np.zeros((4, 4), np.uint8), np.zeros((1, 4), np.bool_)])
def test_iou_takes_masks_of_one_shape(other: np.ndarray) -> None:
    with pytest.raises(ValueError, match="bool of one shape"):
        iou(np.zeros((4, 4), np.bool_), other)


@given(st.data(), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9))
def test_prompt_ious_are_those_of_the_pixels(data: st.DataObject, n: int, height: int, width: int) -> None:
    a, b = (data.draw(hnp.arrays(np.bool_, (n, height, width))) for _ in range(2))
    expected = np.array([iou(x, y) for x, y in zip(a, b, strict=True)])
    clean = prompt_ious(Masks.from_dense(a), Masks.from_dense(b), both_empty=1.0)
    np.testing.assert_array_equal(clean, np.where(np.isnan(expected), 1.0, expected))
    annotated = prompt_ious(Masks.from_dense(a), Masks.from_dense(b), both_empty=None)
    np.testing.assert_array_equal(annotated, np.where(a.any(axis=(1, 2)), expected, np.nan))


def test_the_empty_rules() -> None:
    reference, predicted = strip(0, 0, 5, 5), strip(0, 5, 0, 10)
    assert prompt_ious(reference, predicted, both_empty=1.0).tolist() == [1.0, 0.0, 0.0, 0.5]
    annotated = prompt_ious(reference, predicted, both_empty=None)
    np.testing.assert_array_equal(annotated, [np.nan, np.nan, 0.0, 0.5])
    scores = summarise(annotated)
    assert (scores.n, scores.skipped, scores.miou) == (2, 2, 0.25)


def test_prompt_ious_refuse_what_does_not_pair() -> None:
    with pytest.raises(ValueError, match="one prediction per reference, got 2 and 1"):
        prompt_ious(strip(1, 2), strip(1), both_empty=1.0)
    with pytest.raises(ValueError, match="one size"):
        prompt_ious(strip(1), Masks.from_dense(np.ones((1, 10, 1), np.bool_)), both_empty=1.0)


def test_success_is_inclusive_and_nan_is_counted_apart() -> None:
    scores = summarise(np.array([0.1, 0.5, 0.50001, 0.11, 1.0, np.nan, 0.0, 0.9]))
    assert (scores.n, scores.skipped) == (7, 1)
    assert scores.asr10 == 2 / 7
    assert scores.asr50 == 4 / 7
    assert scores.miou == pytest.approx((0.1 + 0.5 + 0.50001 + 0.11 + 1.0 + 0.9) / 7)


def test_half_of_a_mask_counts_as_success() -> None:
    ious = prompt_ious(strip(10, 10, 10), strip(5, 1, 6), both_empty=None)
    assert (summarise(ious).asr50, summarise(ious).asr10) == (2 / 3, 1 / 3)


@pytest.mark.parametrize("ious", [np.array([]), np.array([np.nan, np.nan])])
def test_nothing_to_score_is_not_a_zero(ious: np.ndarray) -> None:
    scores = summarise(ious)
    assert (scores.n, scores.skipped) == (0, ious.size)
    assert np.isnan([scores.miou, scores.asr50, scores.asr10]).all()


def test_points_and_boxes_apart() -> None:
    prompts = Prompts.of(points=[[0, 0], [1, 1]], boxes=[[0, 0, 1, 1]])
    kinds = summarise_by_kind(np.array([0.2, 0.4, 0.9]), prompts)
    assert {kind: (s.n, s.asr50) for kind, s in kinds.items()} == {
        "all": (3, 2 / 3),
        "points": (2, 1.0),
        "boxes": (1, 0.0),
    }
    with pytest.raises(ValueError, match="one IoU per prompt"):
        summarise_by_kind(np.array([0.2]), prompts)


def test_matching_is_optimal_not_greedy() -> None:
    # Greedy would take the pair of IoU 0.8 and leave the other two with 0.
    reference, predicted = strip((0, 5), (0, 4)), strip((0, 4), (4, 10))
    # pairs: (r0, p0) 4/5, (r0, p1) 1/10, (r1, p0) 4/4, (r1, p1) 0
    assert matched_miou(reference, predicted) == pytest.approx((0.1 + 1.0) / 2)


def test_unmatched_references_count_zero_and_surplus_predictions_nothing() -> None:
    assert matched_miou(strip(4, (6, 10)), strip(4)) == 0.5
    assert matched_miou(strip(4), strip(4, (6, 10), 9)) == 1.0
    assert matched_miou(strip(4, 0), strip(4, 0)) == 1.0
    assert matched_miou(strip(4), strip(0)) == matched_miou(strip(4), strip()) == 0.0
    assert math.isnan(matched_miou(strip(), strip(4)))
    assert math.isnan(matched_miou(strip(0), strip(4)))
    with pytest.raises(ValueError, match="one size"):
        matched_miou(strip(1), Masks.from_dense(np.ones((1, 10, 1), np.bool_)))


@given(st.lists(st.integers(1, 10), min_size=1, max_size=4), st.lists(st.integers(1, 10), min_size=1, max_size=4))
def test_matching_is_the_best_of_all_assignments(wanted: list[int], got: list[int]) -> None:
    table = np.array([[min(r, p) / max(r, p) for p in got] for r in wanted])
    padded = np.zeros((len(wanted), max(len(wanted), len(got))))
    padded[:, : len(got)] = table
    orders = itertools.permutations(range(padded.shape[1]), len(wanted))
    best = max(sum(padded[i, j] for i, j in enumerate(order)) for order in orders)
    assert matched_miou(strip(*wanted), strip(*got)) == pytest.approx(best / len(wanted))


def test_the_largest_difference_does_not_wrap() -> None:
    a, b = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)
    b[1, 1, 2] = 255
    assert max_linf_255(a, b) == max_linf_255(b, a) == 255
    assert max_linf_255(a, a) == 0
    assert type(max_linf_255(a, b)) is int


@given(photos, st.data())
def test_the_largest_difference_and_psnr_match_wide_integers(a: np.ndarray, data: st.DataObject) -> None:
    b = data.draw(hnp.arrays(np.uint8, a.shape))
    wide = a.astype(np.int64) - b
    assert max_linf_255(a, b) == np.abs(wide).max()
    if wide.any():
        assert psnr(a, b) == pytest.approx(10 * np.log10(255**2 / np.mean(wide**2)))
        assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b))
    else:
        assert psnr(a, b) == math.inf


def test_psnr_of_a_known_change() -> None:
    a = np.full((10, 10, 3), 100, np.uint8)
    assert psnr(a, a + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)
    black, white = np.zeros((500, 600, 3), np.uint8), np.full((500, 600, 3), 255, np.uint8)
    assert psnr(black, white) == 0.0  # the sum of squares passes 32 bits


def reference_ssim(a: np.ndarray, b: np.ndarray) -> float:
    return float(
        structural_similarity(
            a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
    )


@pytest.mark.parametrize(("height", "width"), [(11, 11), (12, 40), (266, 13), (267, 30), (530, 21)])
@pytest.mark.parametrize("amplitude", [1, 8, 200])
def test_ssim_is_that_of_scikit_image(height: int, width: int, amplitude: int) -> None:
    a, b = noisy(height, width, amplitude)
    assert ssim(a, b) == pytest.approx(reference_ssim(a, b), abs=1e-6)
    assert ssim(a, b) < 0.9999


@settings(max_examples=30)
@given(hnp.arrays(np.uint8, (13, 14, 3)), hnp.arrays(np.uint8, (13, 14, 3)))
def test_ssim_of_anything(a: np.ndarray, b: np.ndarray) -> None:
    assert ssim(a, b) == pytest.approx(reference_ssim(a, b), abs=1e-6)
    assert ssim(a, b) == pytest.approx(ssim(b, a), abs=1e-12)
    assert ssim(a, a) == pytest.approx(1.0, abs=1e-12)


def test_ssim_of_flat_photos_has_a_closed_form() -> None:
    a, b = np.full((20, 20, 3), 100, np.uint8), np.full((20, 20, 3), 110, np.uint8)
    c1 = 2.55**2
    assert ssim(a, b) == pytest.approx((2 * 100 * 110 + c1) / (100**2 + 110**2 + c1), abs=1e-9)


def test_ssim_is_the_mean_over_channels() -> None:
    a, b = noisy(30, 30, 40)
    apart = [ssim(a[..., [c]], b[..., [c]]) for c in range(3)]
    assert ssim(a, b) == pytest.approx(np.mean(apart))
    assert max(apart) - min(apart) > 0.001


def test_ssim_is_undefined_below_its_window() -> None:
    assert math.isnan(ssim(np.zeros((10, 50, 3), np.uint8), np.zeros((10, 50, 3), np.uint8)))
    assert math.isnan(ssim(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)))
    with pytest.raises(ValueError, match="channels"):
        ssim(np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8))


@pytest.mark.parametrize("measure", [psnr, ssim, l2, max_linf_255])
def test_photos_must_agree(measure) -> None:  # type: ignore[no-untyped-def]
    a = np.zeros((20, 20, 3), np.uint8)
    for other in (np.zeros((20, 21, 3), np.uint8), np.zeros((1, 1, 3), np.uint8), np.zeros((20, 20, 3))):
        with pytest.raises(ValueError, match="uint8 of one shape"):
            measure(a, other)


@given(photos, st.data())
def test_l2_is_the_length_of_the_difference(a: np.ndarray, data: st.DataObject) -> None:
    b = data.draw(hnp.arrays(np.uint8, a.shape))
    assert l2(a, b) == pytest.approx(np.linalg.norm(a.astype(float).ravel() / 255 - b.astype(float).ravel() / 255))
    assert l2(a, a) == 0
