"""regions/boxes.py: crops, the point grid, the edge rule, non-maximum suppression, region clean-up."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segrobust.regions.boxes import Crop, box_nms, crop_boxes, cut_by_crop, point_grid, remove_small_regions


def naive_nms(boxes: NDArray[np.float64], scores: NDArray[np.float64], threshold: float) -> list[int]:
    """Box by box, pair by pair."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        for k in kept:
            width = min(boxes[i][2], boxes[k][2]) - max(boxes[i][0], boxes[k][0])
            height = min(boxes[i][3], boxes[k][3]) - max(boxes[i][1], boxes[k][1])
            shared = width * height if width > 0 and height > 0 else 0.0
            union = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (boxes[i], boxes[k])) - shared
            overlap = shared / union if union > 0 else float((boxes[i] == boxes[k]).all())
            if overlap > threshold:
                break
        else:
            kept.append(i)
    return kept


@settings(max_examples=200)
@given(
    # Few distinct places and scores: overlaps, duplicates, ties and boxes without area are then common.
    corners=st.lists(st.tuples(*[st.integers(0, 12)] * 4, st.integers(0, 4)), max_size=40),
    threshold=st.sampled_from([0.0, 0.25, 0.5, 0.7, 1.0]),
)
@example(corners=[], threshold=0.7)
@example(corners=[(0, 0, 10, 7, 1), (0, 0, 10, 10, 1)], threshold=0.7)  # IoU 0.7 is not above 0.7
def test_nms_is_the_naive_one(corners: list[tuple[int, ...]], threshold: float) -> None:
    raw = np.array(corners, np.float64).reshape(-1, 5)
    boxes = np.concatenate([np.minimum(raw[:, :2], raw[:, 2:4]), np.maximum(raw[:, :2], raw[:, 2:4])], axis=1)
    assert box_nms(boxes, raw[:, 4], threshold).tolist() == naive_nms(boxes, raw[:, 4], threshold)


def test_nms_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [2, 0, 12, 10], [50, 50, 60, 60]], np.float64)
    # 1 beats both neighbours; without it, 0 and 2 overlap by 8/12 only.
    assert box_nms(boxes, np.array([0.8, 0.9, 0.8, 0.1]), 0.7).tolist() == [1, 3]
    assert box_nms(boxes, np.array([0.9, 0.8, 0.7, 0.95]), 0.7).tolist() == [3, 0, 2]


def test_crops_by_hand() -> None:
    assert crop_boxes((1500, 2250), 0, 512 / 1500) == [Crop(0, 0, 2250, 1500, 0)]
    # Neighbours share 512 pixels: 1006 = (1500 + 512) / 2 high, 1381 = (2250 + 512) / 2 wide.
    assert crop_boxes((1500, 2250), 1, 512 / 1500)[1:] == [
        Crop(0, 0, 1381, 1006, 1),
        Crop(0, 494, 1381, 1500, 1),
        Crop(869, 0, 2250, 1006, 1),
        Crop(869, 494, 2250, 1500, 1),
    ]


@given(
    height=st.integers(1, 90), width=st.integers(1, 90), layers=st.integers(0, 3), overlap=st.floats(0, 0.5)
)  # fmt: skip
@example(height=3, width=90, layers=3, overlap=0.3)
def test_every_layer_covers_the_photo(height: int, width: int, layers: int, overlap: float) -> None:
    crops = crop_boxes((height, width), layers, overlap)
    for layer in range(layers + 1):
        covered = np.zeros((height, width), np.bool_)
        of_layer = [c for c in crops if c.layer == layer]
        for crop in of_layer:
            assert 0 <= crop.x0 < crop.x1 <= width
            assert 0 <= crop.y0 < crop.y1 <= height
            covered[crop.y0 : crop.y1, crop.x0 : crop.x1] = True
        assert covered.all()
        assert len(of_layer) == 4**layer or min(height, width) < 8**2


def test_point_grid_is_half_a_cell_in_and_row_by_row() -> None:
    assert point_grid(2, (100, 200)).tolist() == [[50, 25], [150, 25], [50, 75], [150, 75]]
    assert point_grid(1, (7, 9)).tolist() == [[4.5, 3.5]]


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ((150, 60, 170, 90), False),  # inside
        ((120, 60, 170, 90), True),  # 20 from the crop's left edge
        ((121, 60, 170, 90), False),  # 21 from it
        ((150, 60, 180, 90), True),  # 20 from the right edge
        ((150, 20, 170, 90), False),  # near the top edge, but that is the photo's too
        ((150, 60, 170, 130), True),  # 20 from the bottom edge
    ],
)
def test_edge_rule(box: tuple[int, int, int, int], cut: bool) -> None:
    assert cut_by_crop(box, Crop(100, 0, 200, 150, 1), (300, 300)) is cut


def test_edge_rule_never_cuts_in_the_whole_photo() -> None:
    assert not cut_by_crop((0, 0, 299, 299), Crop(0, 0, 300, 300, 0), (300, 300))


def square_with_hole_and_island() -> NDArray[np.bool_]:
    mask = np.zeros((60, 80), np.bool_)
    mask[10:40, 10:40] = True
    mask[20:23, 20:23] = False  # a hole of 9
    mask[50:52, 60:65] = True  # an island of 10
    return mask


def test_small_regions_go_and_large_ones_stay() -> None:
    mask = square_with_hole_and_island()
    whole = mask.copy()
    whole[20:23, 20:23] = True
    without_island = whole.copy()
    without_island[50:52, 60:65] = False
    for area, wanted, changed in [(9, mask, False), (10, whole, True), (11, without_island, True)]:
        cleaned, did = remove_small_regions(mask, area)
        assert did is changed
        assert np.array_equal(cleaned, wanted)


def test_diagonal_neighbours_belong_together() -> None:
    mask = np.eye(8, dtype=np.bool_)
    cleaned, changed = remove_small_regions(mask, 8)
    assert not changed
    assert np.array_equal(cleaned, mask)


def test_largest_island_stays_when_all_are_small() -> None:
    mask = np.zeros((40, 40), np.bool_)
    mask[5:7, 5:7] = mask[20:23, 20:23] = True
    cleaned, changed = remove_small_regions(mask, 100)
    assert changed
    assert cleaned.sum() == 9
    assert cleaned[20:23, 20:23].all()


def test_mask_without_background_is_left_alone() -> None:
    cleaned, changed = remove_small_regions(np.ones((20, 20), np.bool_), 10)
    assert cleaned.all()
    assert not changed
