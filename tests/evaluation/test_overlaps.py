"""Overlap of answers with right answers: pixel by pixel, and the one rule for empty masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segrobust.evaluation.boundaries import boundary_displacement, boundary_of
from segrobust.evaluation.overlaps import overlaps, without
from segrobust.types import Masks, encode_mask

SCORES = ("iou", "boundary_iou", "precision", "recall", "f1")
stacks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)))


def by_hand(wanted: np.ndarray, got: np.ndarray) -> dict[str, float]:
    both, either = (wanted & got).sum(), (wanted | got).sum()
    return {
        "iou": both / either,
        "precision": both / got.sum(),
        "recall": both / wanted.sum(),
        "f1": 2 * both / (wanted.sum() + got.sum()),
    }


@given(stacks, st.data(), st.sampled_from([1.0, None]))
def test_scores_are_those_of_the_pixels(wanted: np.ndarray, data: st.DataObject, both_empty: float | None) -> None:
    got = data.draw(hnp.arrays(np.bool_, wanted.shape))
    reference, predicted = Masks.from_dense(wanted), Masks.from_dense(got)
    scores = overlaps(reference, predicted, both_empty=both_empty)
    rims = zip(boundary_of(reference), boundary_of(predicted), strict=True)
    np.testing.assert_array_equal(scores.displacement, boundary_displacement(reference, predicted))
    for i, (w, g, (w_rim, g_rim)) in enumerate(zip(wanted, got, rims, strict=True)):
        if w.any() and g.any():
            for name, value in by_hand(w, g).items():
                assert getattr(scores, name)[i] == pytest.approx(value, abs=1e-12)
            assert scores.boundary_iou[i] == pytest.approx((w_rim & g_rim).sum() / (w_rim | g_rim).sum())
        else:
            rule = np.nan if both_empty is None and not w.any() else float(both_empty == 1 and not (w | g).any())
            np.testing.assert_array_equal([getattr(scores, name)[i] for name in SCORES], [rule] * 5)


def test_boundaries_that_are_known_are_not_made_again() -> None:
    dense = np.zeros((1, 30, 40), np.bool_)
    dense[:, 5:25, 5:25] = True
    masks = Masks.from_dense(dense)
    assert overlaps(masks, masks, both_empty=None).boundary_iou == 1
    assert overlaps(masks, masks, both_empty=None, boundaries=masks).boundary_iou == boundary_of(masks).areas / 400


@given(stacks, st.data())
def test_void_pixels_are_taken_away(dense: np.ndarray, data: st.DataObject) -> None:
    void = data.draw(hnp.arrays(np.bool_, dense.shape[1:]))
    scores = list(range(len(dense)))
    known = without(Masks.from_dense(dense, predicted_iou=scores), encode_mask(void))
    np.testing.assert_array_equal(known.dense(), dense & ~void)
    assert known.predicted_iou.tolist() == scores


def test_no_void_and_one_of_another_photo() -> None:
    masks = Masks.from_dense(np.ones((1, 3, 4), np.bool_))
    assert without(masks, None) is masks
    with pytest.raises(ValueError, match=r"void has size \[4, 3\], the masks \[3, 4\]"):
        without(masks, encode_mask(np.ones((4, 3), np.bool_)))
