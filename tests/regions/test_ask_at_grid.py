"""regions/everything.py on a black box: a grid of points, asked in batches, with only boxes and scores to go by."""

import dataclasses
import tracemalloc
from typing import Any

import numpy as np
import pytest

import segrobust
from segrobust import segment_everything
from segrobust.models.base import EverythingSettings
from segrobust.types import Bools, Image, Masks, Pixels, Prompts

SIZE = (120, 200)
GRID = EverythingSettings(points_per_side=20)  # a point every 10 x 6 pixels


class Levels:
    """Answers a point with all pixels of its grey level; level 0 is background, where nothing is found."""

    def __init__(self, scores: dict[int, float] | None = None) -> None:
        self.scores = scores
        self.batches: list[int] = []

    def __call__(self, image: Pixels, prompts: Prompts) -> Masks:
        self.batches.append(len(prompts))
        x, y = prompts.points.astype(int).T
        asked = image[y, x, 0]
        dense: Bools = (image[..., 0] == asked[:, None, None]) & (asked > 0)[:, None, None]
        scores = None if self.scores is None else [self.scores.get(int(level), np.nan) for level in asked]
        return Masks.from_dense(dense, predicted_iou=scores)


def photo(*objects: tuple[int, tuple[int, int, int, int]]) -> Image:
    pixels = np.zeros((*SIZE, 3), np.uint8)
    for level, (x0, y0, x1, y1) in objects:
        pixels[y0:y1, x0:x1] = level
    return Image(pixels)


def found(image: Image, scores: dict[int, float] | None = None, **settings: Any) -> Masks:
    return segment_everything(segrobust.wrap(Levels(scores)), image, dataclasses.replace(GRID, **settings))


TWO = photo((50, (20, 12, 60, 48)), (100, (96, 80, 130, 110)))


def test_every_object_is_found_once() -> None:
    masks = found(TWO)
    assert masks.boxes.tolist() == [[20, 12, 60, 48], [96, 80, 130, 110]]
    assert masks.areas.tolist() == [40 * 36, 34 * 30]
    # Of equal masks the first in the grid stays: x at 5, 15 ..., y at 3, 9 ...
    assert masks.points.tolist() == [[25, 15], [105, 81]]
    assert np.isnan(masks.predicted_iou).all()
    assert np.isnan(masks.stability).all()
    assert np.array_equal(masks.mask(1), TWO.pixels[..., 0] == 100)


def test_a_blank_photo_has_no_masks() -> None:
    assert len(found(photo())) == 0


def test_scores_order_and_filter() -> None:
    scores = {50: 0.9, 100: 0.95}
    assert found(TWO, scores).predicted_iou.tolist() == [0.95, 0.9]
    assert found(TWO, scores, predicted_iou_threshold=0.92).predicted_iou.tolist() == [0.95]
    assert len(found(TWO, {50: 0.88, 100: 0.88})) == 0  # a score must be above the threshold
    # Without a score a mask passes, as if it had the best one; a threshold of 0 is no filter.
    assert found(TWO, {50: 0.9}).boxes[:, 0].tolist() == [96, 20]
    assert len(found(TWO, {50: -1.0, 100: 0.0}, predicted_iou_threshold=0.0)) == 2


def test_boxes_are_compared_with_their_far_edge_inclusive() -> None:
    # Level 100 hides most of level 50, whose first row is left: boxes of 41 x 41 and 41 x 30 pixels.
    image = photo((50, (20, 10, 61, 51)), (100, (20, 11, 61, 41)))
    assert found(image, box_nms_threshold=0.99).boxes.tolist() == [[20, 11, 61, 41], [20, 10, 61, 51]]
    as_the_generator_does, by_pixels = 40 * 29 / (40 * 40), 41 * 30 / (41 * 41)
    assert len(found(image, box_nms_threshold=(as_the_generator_does + by_pixels) / 2)) == 2
    assert len(found(image, box_nms_threshold=as_the_generator_does - 1e-6)) == 1


def test_masks_of_one_column_are_found_once() -> None:
    assert found(photo((50, (25, 10, 26, 110)))).boxes.tolist() == [[25, 10, 26, 110]]


def test_the_grid_is_asked_in_batches() -> None:
    levels = Levels()
    segment_everything(segrobust.wrap(levels), TWO, dataclasses.replace(GRID, points_per_batch=64))
    assert levels.batches == [64] * 6 + [16]


def test_the_answer_does_not_depend_on_the_batches() -> None:
    scores = {50: 0.9, 100: 0.95}
    one, many = (found(TWO, scores, points_per_batch=n) for n in (400, 7))
    assert one.rles == many.rles
    assert one.points.tolist() == many.points.tolist()


def test_a_big_grid_needs_the_memory_of_a_batch() -> None:
    image = Image(np.full((300, 400, 3), 9, np.uint8))
    one_mask = 300 * 400
    settings = EverythingSettings(points_per_side=40, points_per_batch=16)
    segmenter = segrobust.wrap(Levels())
    segment_everything(segmenter, image, EverythingSettings(points_per_side=1))
    tracemalloc.start()
    try:
        masks = segment_everything(segmenter, image, settings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(masks) == 1
    assert peak < 16 * 4 * one_mask  # 1600 masks at once would be 25 times more


def test_small_regions_are_removed_if_asked() -> None:
    image = photo((50, (20, 12, 60, 48)), (100, (30, 20, 33, 23)), (100, (100, 80, 140, 100)))
    before, after = found(image), found(image, min_region_area=20)
    assert sorted(before.areas.tolist()) == [809, 1431]
    assert sorted(after.areas.tolist()) == [800, 1440]  # the hole is filled, the island gone


def test_crops_are_off() -> None:
    assert found(TWO, crop_layers=2).rles == found(TWO).rles


@pytest.mark.parametrize("side", [1, 3])
def test_a_photo_smaller_than_the_grid(side: int) -> None:
    image = Image(np.full((side, side, 3), 9, np.uint8))
    assert segment_everything(segrobust.wrap(Levels()), image, GRID).areas.tolist() == [side * side]
