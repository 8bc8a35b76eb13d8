"""The rules by which found masks answer prompts: arithmetic by hand, and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segrobust.models.everything_first import (
    answer_boxes,
    answer_points,
    box_candidates,
    box_ious,
    contains,
    point_candidates,
)
from segrobust.types import Bools, Masks

SIZE = (6, 8)


def rectangle(x0: int, y0: int, x1: int, y1: int) -> Bools:
    mask = np.zeros(SIZE, np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def nested() -> Masks:
    """Whole photo, a 4x4 square in it, a 2x2 square in that; the middle one scores best."""
    dense = np.stack([rectangle(0, 0, 8, 6), rectangle(1, 1, 5, 5), rectangle(2, 2, 4, 4)])
    return Masks.from_dense(dense, predicted_iou=[0.5, 0.9, 0.7])


def no_masks() -> Masks:
    return Masks.from_rles(SIZE, [])


def test_a_point_unites_all_masks_that_contain_it() -> None:
    masks = Masks.from_dense(
        np.stack([rectangle(0, 0, 3, 3), rectangle(2, 2, 5, 5), rectangle(6, 4, 8, 6)]), predicted_iou=[0.5, 0.9, 0.7]
    )
    answers = answer_points(masks, np.array([[2, 2], [0, 0], [7, 5]]))
    np.testing.assert_array_equal(answers.mask(0), rectangle(0, 0, 3, 3) | rectangle(2, 2, 5, 5))
    np.testing.assert_array_equal(answers.mask(1), rectangle(0, 0, 3, 3))
    np.testing.assert_array_equal(answers.mask(2), rectangle(6, 4, 8, 6))
    np.testing.assert_array_equal(answers.predicted_iou, [0.9, 0.5, 0.7])


def test_the_rule_best_takes_the_highest_score_of_those_that_contain_the_point() -> None:
    answers = answer_points(nested(), np.array([[3, 3], [7, 0]]), "best")
    np.testing.assert_array_equal(answers.mask(0), rectangle(1, 1, 5, 5))
    np.testing.assert_array_equal(answers.mask(1), rectangle(0, 0, 8, 6))
    np.testing.assert_array_equal(answers.predicted_iou, [0.9, 0.5])


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(ValueError, match="'single'"):
        answer_points(nested(), np.array([[3, 3]]), "single")


def test_candidates_come_best_first_and_no_more_than_wanted() -> None:
    points = np.array([[3, 3], [7, 0], [9, 9]])
    assert [list(c) for c in point_candidates(nested(), points)] == [[1, 2, 0], [0], []]
    assert [list(c) for c in point_candidates(nested(), points, 2)] == [[1, 2], [0], []]
    assert [list(c) for c in box_candidates(nested(), np.array([[2, 2, 4, 4]]))] == [[2, 1, 0]]
    assert [list(c) for c in box_candidates(nested(), np.array([[2, 2, 4, 4]]), 1)] == [[2]]


def test_masks_without_a_score_come_last_and_equals_as_they_lie() -> None:
    dense = np.stack([rectangle(0, 0, 8, 6)] * 4)
    masks = Masks.from_dense(dense, predicted_iou=[np.nan, 0.5, 0.8, 0.5])
    assert [list(c) for c in point_candidates(masks, np.array([[1, 1]]), None)] == [[2, 1, 3, 0]]


def test_the_nearest_pixel_counts_and_outside_the_photo_there_is_none() -> None:
    masks = Masks.from_dense(rectangle(2, 2, 4, 4)[None])
    inside = [(1.5, 2), (3.49, 3.49), (2, 1.6)]
    outside = [(1.49, 2), (3.5, 3), (-1, 3), (8, 3), (3, 6), (-0.6, -0.6)]
    np.testing.assert_array_equal(contains(masks, np.array(inside)), [[True]] * 3)
    np.testing.assert_array_equal(contains(masks, np.array(outside)), [[False]] * 6)


def test_box_ious_by_hand() -> None:
    whole, middle, small = box_ious(nested(), np.array([[1, 1, 5, 3]]))[0]
    assert whole == 8 / 48  # the box lies inside
    assert middle == 8 / 16
    assert small == 2 / (8 + 4 - 2)


def test_a_box_gets_the_mask_whose_pixels_fit_it_best() -> None:
    answers = answer_boxes(nested(), np.array([[2, 2, 4, 4], [0, 0, 8, 6], [1, 1, 5, 4]]))
    for mask, wanted in zip(answers, [(2, 2, 4, 4), (0, 0, 8, 6), (1, 1, 5, 5)], strict=True):
        np.testing.assert_array_equal(mask, rectangle(*wanted))
    np.testing.assert_array_equal(answers.predicted_iou, [0.7, 0.5, 0.9])


def test_corners_are_rounded_and_clipped_to_the_photo() -> None:
    wanted = box_ious(nested(), np.array([[0, 0, 5, 6]]))
    np.testing.assert_array_equal(box_ious(nested(), np.array([[-3, -0.4, 5.4, 99]])), wanted)


def test_a_box_without_width_or_height_is_one_pixel_wide() -> None:
    ious = box_ious(nested(), np.array([[3, 3, 3, 3], [3, 2, 3.2, 4], [0, 0, 0, 0], [0, 0, 0, 6]]))
    np.testing.assert_array_equal(ious[:, 0], [1 / 48, 2 / 48, 1 / 48, 6 / 48])
    np.testing.assert_array_equal(ious[:, 2], [1 / 4, 2 / 4, 0, 0])
    answers = answer_boxes(nested(), np.array([[0, 0, 0, 6]]))  # the official code asserts x2 != 0
    np.testing.assert_array_equal(answers.mask(0), rectangle(0, 0, 8, 6))


def test_what_meets_no_mask_gets_an_empty_one_of_score_0() -> None:
    masks = Masks.from_dense(rectangle(0, 0, 2, 2)[None], predicted_iou=[0.9])
    points, boxes = np.array([[5, 5], [-4, 1], [99, 99]]), np.array([[5, 3, 7, 5], [50, 50, 60, 60], [-9, -9, -5, -5]])
    for found in (masks, no_masks()):
        for answers in (answer_points(found, points), answer_points(found, points, "best"), answer_boxes(found, boxes)):
            assert answers.size == SIZE
            np.testing.assert_array_equal(answers.areas, [0, 0, 0])
            np.testing.assert_array_equal(answers.predicted_iou, [0, 0, 0])


def test_no_prompts_no_answers() -> None:
    for masks in (nested(), no_masks()):
        assert len(answer_points(masks, np.zeros((0, 2)))) == 0
        assert len(answer_boxes(masks, np.zeros((0, 4)))) == 0


photos = st.integers(0, 2**32 - 1)


def random_masks(random: np.random.Generator) -> tuple[Masks, Bools]:
    count, size = random.integers(1, 6), random.integers(1, 12, 2)
    dense = random.random((count, *size)) < random.random()
    return Masks.from_dense(dense, predicted_iou=random.random(count)), dense


@settings(max_examples=60)
@given(photos)
def test_points_agree_with_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    masks, dense = random_masks(random)
    height, width = masks.size
    x, y = random.integers(width), random.integers(height)
    union = answer_points(masks, np.array([[x, y]]))
    best = answer_points(masks, np.array([[x, y]]), "best")
    here = dense[:, y, x]
    np.testing.assert_array_equal(union.mask(0), dense[here].any(axis=0))
    if here.any():
        assert union.mask(0)[y, x]
        assert best.mask(0)[y, x]
        top = np.argmax(np.where(here, masks.predicted_iou, -1))
        np.testing.assert_array_equal(best.mask(0), dense[top])
        assert best.predicted_iou[0] == union.predicted_iou[0] == masks.predicted_iou[top]


@settings(max_examples=60)
@given(photos)
def test_boxes_agree_with_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    masks, dense = random_masks(random)
    height, width = masks.size
    x0, y0 = random.integers(width), random.integers(height)
    x1, y1 = random.integers(x0 + 1, width + 1), random.integers(y0 + 1, height + 1)
    drawn = np.zeros(masks.size, np.bool_)
    drawn[y0:y1, x0:x1] = True
    ious = [(mask & drawn).sum() / (mask | drawn).sum() for mask in dense]
    np.testing.assert_allclose(box_ious(masks, np.array([[x0, y0, x1, y1]]))[0], ious)
    answer = answer_boxes(masks, np.array([[x0, y0, x1, y1]])).mask(0)
    chosen = (answer & drawn).sum() / (answer | drawn).sum()
    assert chosen == pytest.approx(max(ious))
