import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segrobust.errors import UsageError
from segrobust.evaluation.prompts import SCHEMA, by_predicted_iou, draw_prompts, prompts_from_json, prompts_to_json
from segrobust.randomness import stream
from segrobust.types import Image, Masks, Prompts

dense_masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=12))


def rectangles(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (40, 60), **columns: list[float]) -> Masks:
    dense = np.zeros((len(boxes), *size), np.bool_)
    for mask, (x1, y1, x2, y2) in zip(dense, boxes, strict=True):
        mask[y1:y2, x1:x2] = True
    return Masks.from_dense(dense, **columns)


def test_by_predicted_iou_is_stable_and_puts_nan_last() -> None:
    masks = rectangles(
        *[(0, 0, k, 1) for k in range(1, 6)], predicted_iou=[0.5, np.nan, 0.9, 0.5, 0.9]
    )  # the areas tell them apart
    assert by_predicted_iou(masks).areas.tolist() == [3, 5, 1, 4, 2]
    many = rectangles(*[(0, 0, k, 1) for k in range(1, 60)], predicted_iou=[k % 2 for k in range(1, 60)])
    assert by_predicted_iou(many).areas.tolist() == [*range(1, 60, 2), *range(2, 60, 2)]


@given(dense_masks, st.integers(0, 2**32), st.integers(1, 6), st.integers(0, 7), st.integers(1, 4))
def test_points_lie_inside_and_boxes_are_jittered_and_clipped(
    dense: np.ndarray, seed: int, limit: int, per_point: int, per_box: int
) -> None:
    masks = Masks.from_dense(dense)
    height, width = masks.size
    prompts = draw_prompts(masks, stream(seed), limit=limit, points_per_mask=per_point, boxes_per_mask=per_box)
    asked = [i for i in range(min(limit, len(dense))) if dense[i].any()]
    assert prompts.point_masks.tolist() == [i for i in asked for _ in range(per_point)]
    assert prompts.box_masks.tolist() == [i for i in asked for _ in range(per_box)]
    for (x, y), i in zip(prompts.points.astype(int), prompts.point_masks, strict=True):
        assert dense[i, y, x]
    for i in asked:
        mine = prompts.points[prompts.point_masks == i]
        distinct = len(np.unique(mine, axis=0))
        assert distinct == per_point or (dense[i].sum() < per_point and distinct <= dense[i].sum())
    for box, i in zip(prompts.boxes, prompts.box_masks, strict=True):
        x1, y1, x2, y2 = masks.boxes[i]
        slack_x, slack_y = 0.05 * (x2 - x1) + 1e-9, 0.05 * (y2 - y1) + 1e-9
        assert 0 <= box[0] < box[2] <= width
        assert 0 <= box[1] < box[3] <= height
        assert (np.abs(box - masks.boxes[i]) <= [slack_x, slack_y, slack_x, slack_y]).all()


def test_boxes_keep_the_centre_and_draw_width_and_height_apart() -> None:
    masks = rectangles((20, 10, 40, 30))
    boxes = draw_prompts(masks, stream(0), boxes_per_mask=4000, points_per_mask=0).boxes
    np.testing.assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, [[30.0, 20.0]] * 4000)
    factors = (boxes[:, 2:] - boxes[:, :2]) / 20
    assert 0.9 <= factors.min() < 0.901
    assert 1.099 < factors.max() <= 1.1
    np.testing.assert_allclose(factors.mean(axis=0), 1, atol=0.005)
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.06


def test_boxes_are_clipped_to_the_photo() -> None:
    boxes = draw_prompts(rectangles((0, 0, 60, 40)), stream(0), boxes_per_mask=200).boxes
    assert boxes.min() == 0
    assert (boxes.max(axis=0) == [boxes[:, 0].max(), boxes[:, 1].max(), 60, 40]).all()
    assert (boxes[:, 2] == 60).any()
    assert (boxes[:, 2] < 60).any()


def test_points_are_uniform_over_the_pixels() -> None:
    masks = rectangles((50, 30, 54, 32))  # 8 pixels
    points = np.concatenate([draw_prompts(masks, stream(seed), points_per_mask=2).points for seed in range(2000)])
    _, counts = np.unique(points, axis=0, return_counts=True)
    assert len(counts) == 8
    assert np.abs(counts / 500 - 1).max() < 0.2


def test_a_mask_of_one_pixel() -> None:
    prompts = draw_prompts(rectangles((59, 39, 60, 40)), stream(0))
    assert prompts.points.tolist() == [[59.0, 39.0]] * 5
    assert ((prompts.boxes[:, 2:] - prompts.boxes[:, :2]) >= 0.9).all()
    assert len(np.unique(prompts.boxes, axis=0)) == 3


def test_empty_masks_are_skipped_and_not_replaced() -> None:
    masks = rectangles((0, 0, 5, 5), (0, 0, 0, 0), (5, 5, 9, 9), (1, 1, 2, 2))
    prompts = draw_prompts(masks, stream(0), limit=3, points_per_mask=1, boxes_per_mask=1)
    assert prompts.point_masks.tolist() == prompts.box_masks.tolist() == [0, 2]
    nothing = draw_prompts(rectangles((0, 0, 0, 0)), stream(0))
    assert (len(nothing), nothing.points.shape, nothing.boxes.shape) == (0, (0, 2), (0, 4))
    assert len(draw_prompts(Masks.from_rles((4, 4), []), stream(0))) == 0


def test_the_generator_decides_and_a_smaller_limit_is_a_beginning() -> None:
    masks = rectangles((0, 0, 30, 20), (10, 10, 50, 30), (5, 5, 40, 35))
    first, again, other = (draw_prompts(masks, stream(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.points, again.points)
    assert np.array_equal(first.boxes, again.boxes)
    assert not np.array_equal(first.points, other.points)
    fewer = draw_prompts(masks, stream(1), limit=2)
    assert np.array_equal(fewer.points, first.points[:10])
    assert np.array_equal(fewer.boxes, first.boxes[:6])


@pytest.mark.parametrize(
    "counts",
    [
        {"limit": 0},
        {"points_per_mask": -1},
        {"boxes_per_mask": -1},
        {"points_per_mask": 0, "boxes_per_mask": 0},
    ],
)
def test_impossible_counts(counts: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="got"):
        draw_prompts(rectangles((0, 0, 5, 5)), stream(0), **counts)


@given(dense_masks, st.integers(0, 2**32))
def test_manifest_round_trip_is_exact(dense: np.ndarray, seed: int) -> None:
    prompts = draw_prompts(Masks.from_dense(dense), stream(seed))
    image = Image(np.zeros((3, 4, 3), np.uint8), "a")
    manifest = json.loads(json.dumps(prompts_to_json(prompts, image=image, about={"seed": seed}), allow_nan=False))
    assert (manifest["schema"], manifest["about"]) == ("segrobust.prompts/1", {"seed": seed})
    assert manifest["image"] == {"name": "a", "size": [3, 4], "fingerprint": image.fingerprint}
    for back in (prompts_from_json(manifest), prompts_from_json(manifest, image=image)):
        for name in ("points", "point_masks", "boxes", "box_masks"):
            assert np.array_equal(getattr(back, name), getattr(prompts, name))
            assert getattr(back, name).dtype == getattr(prompts, name).dtype


def test_a_manifest_of_another_photo_is_refused() -> None:
    mine, other = (Image(np.full((3, 4, 3), value, np.uint8), "mine") for value in (0, 1))
    prompts = Prompts.of(points=[[1, 2]])
    with pytest.raises(UsageError, match="another photo than mine"):
        prompts_from_json(prompts_to_json(prompts, image=other), image=mine)
    assert len(prompts_from_json(prompts_to_json(prompts), image=mine)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "segrobust.prompts/2"},
        {"schema": None},
        {"points": [[1.0, 2.0, 3.0]]},
        {"points": [[1.0, 2.0], [3.0]]},
        {"points": [[float("nan"), 2.0]]},
        {"points": [["1", 2.0]]},
        {"points": 5},
        {"point_masks": [0.5]},
        {"point_masks": [-1]},
        {"point_masks": [10**30]},
        {"point_masks": [0, 1]},
        {"boxes": [[5, 0, 1, 1]]},
        {"box_masks": None},
        {"image": "a.jpg"},
    ],
)
def test_bad_manifests_are_refused(change: dict[str, object]) -> None:
    manifest = prompts_to_json(Prompts.of(points=[[1, 2]], boxes=[[0, 0, float(Fraction(1, 3)), 1]]))
    assert prompts_from_json(manifest).boxes[0, 2] == 1 / 3
    with pytest.raises(UsageError, match="manifest"):
        prompts_from_json(manifest | change)


def test_a_manifest_must_be_complete() -> None:
    with pytest.raises(UsageError, match="'points' is missing"):
        prompts_from_json({"schema": SCHEMA})
    with pytest.raises(UsageError, match="schema"):
        prompts_from_json([1])  # type: ignore[arg-type]
