"""Boundaries: against erosion step by step, all pairs of pixels, and shapes whose outlines are known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.spatial.distance import cdist

from segrobust.evaluation.boundaries import boundary_displacement, boundary_of, boundary_width
from segrobust.types import Masks

any_mask = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=25))


def rectangles(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (60, 80)) -> Masks:
    dense = np.zeros((len(boxes), *size), np.bool_)
    for mask, (x0, y0, x1, y1) in zip(dense, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return Masks.from_dense(dense)


def test_the_width_is_a_share_of_the_diagonal_and_never_nothing() -> None:
    assert boundary_width((300, 400)) == 10
    assert boundary_width((1500, 2250)) == 54
    assert boundary_width((5, 5)) == 1


@given(any_mask, st.floats(0.01, 0.3))
def test_the_boundary_is_what_step_by_step_erosion_takes_away(mask: np.ndarray, dilation: float) -> None:
    steps = max(1, round(dilation * math.hypot(*mask.shape)))
    wanted = mask & ~binary_erosion(mask, np.ones((3, 3)), iterations=steps, border_value=0)
    np.testing.assert_array_equal(boundary_of(Masks.from_dense(mask[None]), dilation).mask(0), wanted)


def test_boundaries_of_several_masks_keep_their_order() -> None:
    masks = rectangles((10, 10, 50, 40), (0, 0, 0, 0), (10, 10, 50, 40), (0, 0, 80, 60))
    rims = boundary_of(masks)  # two pixels wide
    assert rims.areas.tolist() == [40 * 30 - 36 * 26, 0, 40 * 30 - 36 * 26, 80 * 60 - 76 * 56]


def outline(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask & ~binary_erosion(mask, border_value=0))


@given(any_mask, st.data())
def test_the_displacement_is_that_of_all_pairs_of_outline_pixels(a: np.ndarray, data: st.DataObject) -> None:
    b = data.draw(hnp.arrays(np.bool_, a.shape))
    got = boundary_displacement(Masks.from_dense(a[None]), Masks.from_dense(b[None]))[0]
    if not a.any() or not b.any():
        assert math.isnan(got)
    else:
        pairs = cdist(outline(a), outline(b))
        assert got == pytest.approx((pairs.min(0).sum() + pairs.min(1).sum()) / sum(pairs.shape))


def test_the_displacement_of_a_grown_and_of_a_shifted_shape() -> None:
    thin = boundary_displacement(rectangles((5, 0, 6, 60)), rectangles((12, 0, 13, 60)))
    assert thin.tolist() == [7.0]
    same = boundary_displacement(rectangles((5, 5, 30, 30)), rectangles((5, 5, 30, 30)))
    assert same.tolist() == [0.0]
    a, b = rectangles((20, 20, 40, 40)), rectangles((17, 17, 43, 43))
    assert 3.0 < boundary_displacement(a, b)[0] < 3.2  # three pixels out, more at the corners


@given(any_mask, st.data())
def test_the_displacement_is_that_of_scipys_distance_transforms(a: np.ndarray, data: st.DataObject) -> None:
    b = data.draw(hnp.arrays(np.bool_, a.shape))
    if a.any() and b.any():
        rims = [mask & ~binary_erosion(mask, border_value=0) for mask in (a, b)]
        there = distance_transform_edt(~rims[1])[rims[0]]
        back = distance_transform_edt(~rims[0])[rims[1]]
        got = boundary_displacement(Masks.from_dense(a[None]), Masks.from_dense(b[None]))[0]
        assert got == pytest.approx(np.concatenate([there, back]).mean())


@pytest.mark.parametrize("further", [-12, -5, 4, 9])
def test_the_displacement_of_discs_is_the_difference_of_their_radii(further: int) -> None:
    y, x = np.mgrid[:160, :170]
    distance = np.hypot(y - 80, x - 82)
    inner, outer = (Masks.from_dense((distance <= radius)[None]) for radius in (50, 50 + further))
    assert boundary_displacement(inner, outer)[0] == pytest.approx(abs(further), abs=0.35)  # rims of whole pixels


def test_of_an_empty_mask_there_is_no_displacement() -> None:
    some, nothing = rectangles((5, 5, 30, 30)), rectangles((0, 0, 0, 0))
    for pair in ((some, nothing), (nothing, some), (nothing, nothing)):
        assert math.isnan(boundary_displacement(*pair)[0])
