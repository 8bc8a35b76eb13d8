"""regions/everything.py on a segmenter that is always right."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from segrobust import segment_everything
from segrobust.errors import CapabilityError
from segrobust.models.base import Capabilities, Embedding, EverythingSettings, Prediction, Promptable
from segrobust.models.geometry import Geometry
from segrobust.types import Image, Prompts

SIZE = (120, 200)
GRID = EverythingSettings(points_per_side=20)  # a point every 10 x 6 pixels


class Oracle(Promptable):
    """Answers with all pixels of the grey level under the point; level 0 is background, which it is unsure of.

    Its three answers: the right mask; the same, undecided (stability 0); the same, with a predicted IoU of 0.5.
    """

    name = "oracle"
    capabilities = Capabilities(gradient=True, points=True, boxes=False, everything=True)

    def __init__(self) -> None:
        self.everything = GRID
        self.batches: list[int] = []

    def embed(self, images: Tensor) -> Embedding:
        size = (int(images.shape[-2]), int(images.shape[-1]))
        return Embedding(images, Geometry(size, size, max(size)))

    def masks(self, embedding: Embedding, prompts: Prompts, *, multimask: bool = False) -> Prediction:
        assert multimask
        assert not torch.is_grad_enabled()
        self.batches.append(len(prompts))
        levels = (embedding.features[0, 0] * 255).round()
        x, y = torch.from_numpy(prompts.points.astype(np.int64)).T
        asked = levels[y, x]
        side = embedding.geometry.side
        logits = torch.full((len(asked), 3, side, side), -10.0)
        found = levels == asked[:, None, None]
        logits[:, 0, : levels.shape[0], : levels.shape[1]] = torch.where(found, 10.0, -10.0)
        logits[:, 1, : levels.shape[0], : levels.shape[1]] = torch.where(found, 0.5, -0.5)
        logits[:, 2] = logits[:, 0]
        sure = torch.where(asked > 0, 0.9 + asked / 2550, 0.1)
        return Prediction(logits, torch.stack([sure, sure, sure.clamp(max=0.5)], dim=1), embedding.geometry)


def photo(*objects: tuple[int, tuple[int, int, int, int]], size: tuple[int, int] = SIZE) -> Image:
    """Rectangles ``(level, xyxy)`` on black, far edge exclusive; later ones cover earlier ones."""
    pixels = np.zeros((*size, 3), np.uint8)
    for level, (x0, y0, x1, y1) in objects:
        pixels[y0:y1, x0:x1] = level
    return Image(pixels)


def change(**settings: float) -> EverythingSettings:
    return dataclasses.replace(GRID, **settings)  # type: ignore[arg-type]


def test_every_object_is_found_once() -> None:
    image = photo((50, (20, 12, 60, 48)), (200, (100, 60, 101, 70)), (100, (96, 80, 130, 110)))
    masks = segment_everything(Oracle(), image)
    # The second object lies between the points of the grid.
    assert masks.boxes.tolist() == [[96, 80, 130, 110], [20, 12, 60, 48]]
    assert masks.areas.tolist() == [34 * 30, 40 * 36]
    assert masks.size == SIZE
    np.testing.assert_allclose(masks.predicted_iou, [0.9 + 100 / 2550, 0.9 + 50 / 2550], rtol=1e-6)
    assert masks.stability.tolist() == [1, 1]
    # Of equal masks the first in the grid stays: x at 5, 15 ..., y at 3, 9 ...
    assert masks.points.tolist() == [[105, 81], [25, 15]]
    assert np.array_equal(masks.mask(0), image.pixels[..., 0] == 100)


def test_blank_photo_has_no_masks() -> None:
    masks = segment_everything(Oracle(), photo())
    assert len(masks) == 0
    assert masks.size == SIZE


def test_filters_and_their_thresholds() -> None:
    image = photo((50, (20, 12, 60, 48)))
    inside = 4 * 6  # points on the object

    def count(**settings: float) -> int:
        return len(segment_everything(Oracle(), image, change(box_nms_threshold=1.0, **settings)))

    assert count() == inside
    assert count(stability_threshold=0) == 2 * inside
    assert count(predicted_iou_threshold=0.4) == 2 * inside
    assert count(predicted_iou_threshold=0.4, stability_threshold=0) == 3 * inside
    assert count(stability_offset=0.4) == 2 * inside
    assert count(predicted_iou_threshold=0.95) == 0
    assert count(predicted_iou_threshold=0) == 2 * inside + 2 * (400 - inside)  # and the background, now welcome


def test_overlapping_boxes_leave_the_surest() -> None:
    # An L around a square: their boxes overlap by 40 * 36 / (44 * 40) = 0.82, their pixels not at all.
    image = photo((50, (20, 12, 64, 52)), (100, (20, 12, 60, 48)))
    assert segment_everything(Oracle(), image).areas.tolist() == [40 * 36]
    assert segment_everything(Oracle(), image, change(box_nms_threshold=0.85)).areas.tolist() == [
        40 * 36,
        44 * 40 - 40 * 36,
    ]


def test_batches_change_nothing_but_the_batches() -> None:
    image = photo((50, (20, 12, 60, 48)), (100, (96, 80, 130, 110)))
    wanted = segment_everything(Oracle(), image)
    oracle = Oracle()
    masks = segment_everything(oracle, image, change(points_per_batch=150))
    assert oracle.batches == [150, 150, 100, 2]  # the last are the two that stayed
    assert masks.rles == wanted.rles
    assert np.array_equal(masks.points, wanted.points)


def test_settings_default_to_those_of_the_segmenter() -> None:
    oracle = Oracle()
    oracle.everything = change(predicted_iou_threshold=0.93)
    assert segment_everything(oracle, photo((50, (20, 12, 60, 48)), (100, (96, 80, 130, 110)))).areas.tolist() == [
        34 * 30
    ]


def test_crops_find_what_the_grid_misses() -> None:
    # Crops of 100 x 60, in photo pixels a point every 5 x 3: x at 2.5, 7.5 ..., y at 1.5, 4.5 ...
    image = photo((50, (151, 89, 154, 92)))
    assert len(segment_everything(Oracle(), image)) == 0
    masks = segment_everything(Oracle(), image, change(crop_layers=1, crop_overlap=0))
    assert masks.boxes.tolist() == [[151, 89, 154, 92]]
    assert masks.points.tolist() == [[152.5, 91.5]]


def test_smaller_crop_wins() -> None:
    masks = segment_everything(Oracle(), photo((50, (130, 84, 160, 98))), change(crop_layers=1, crop_overlap=0))
    assert masks.boxes.tolist() == [[130, 84, 160, 98]]
    assert masks.points.tolist() == [[132.5, 85.5]]  # of the crop's grid; the photo's first would be (135, 87)


def test_masks_cut_by_a_crop_are_left_to_the_whole_photo() -> None:
    cut = photo((50, (60, 6, 140, 36)))  # across the line between two crops, at x = 100
    masks = segment_everything(Oracle(), cut, change(crop_layers=1, crop_overlap=0))
    assert masks.boxes.tolist() == [[60, 6, 140, 36]]
    at_photo_edge = photo((50, (0, 0, 40, 20)))  # touches the crop only where it is the photo's edge
    masks = segment_everything(Oracle(), at_photo_edge, change(crop_layers=1, crop_overlap=0))
    assert masks.points.tolist() == [[2.5, 1.5]]


def test_crop_grid_is_divided_per_layer() -> None:
    oracle = Oracle()
    segment_everything(oracle, photo(), change(crop_layers=2, crop_points_divisor=3, points_per_batch=1000))
    assert oracle.batches == [20**2] + [6**2] * 4 + [2**2] * 16


def test_small_regions_are_cleaned_and_untouched_masks_come_first() -> None:
    holed = [(100, (20, 12, 60, 48)), (0, (40, 30, 43, 33)), (100, (150, 100, 152, 102))]
    image = photo(*holed, (50, (96, 60, 130, 90)))
    raw = segment_everything(Oracle(), image)
    assert raw.boxes.tolist() == [[20, 12, 152, 102], [96, 60, 130, 90]]
    cleaned = segment_everything(Oracle(), image, change(min_region_area=10))
    assert cleaned.boxes.tolist() == [[96, 60, 130, 90], [20, 12, 60, 48]]
    assert cleaned.areas.tolist() == [34 * 30, 40 * 36]
    assert cleaned.predicted_iou[0] < cleaned.predicted_iou[1]


def test_cleaning_drops_new_duplicates() -> None:
    # Without its island the first object's box lies on the second's.
    image = photo((50, (20, 12, 64, 52)), (100, (20, 12, 60, 48)), (50, (150, 100, 152, 102)))
    assert len(segment_everything(Oracle(), image)) == 2
    assert segment_everything(Oracle(), image, change(min_region_area=10)).areas.tolist() == [40 * 36]


def test_more_masks_than_a_byte_can_count() -> None:
    masks = segment_everything(Oracle(), photo((50, (0, 0, 200, 120))), change(box_nms_threshold=1.0))
    assert len(masks) == 400
    assert set(masks.areas.tolist()) == {200 * 120}


def test_points_are_needed() -> None:
    oracle = Oracle()
    oracle.capabilities = dataclasses.replace(oracle.capabilities, points=False)
    with pytest.raises(CapabilityError, match="'oracle' takes no point prompts"):
        segment_everything(oracle, photo())
