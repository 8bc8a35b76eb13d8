"""What is left of a photo's masks: against COCO's own evaluation, and by hand."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segrobust.evaluation.everything import compare_everything, mean_average_precision
from segrobust.types import Masks

SIZE = (24, 24)


def squares(*corners: tuple[int, int, int, int], scores: list[float] | None = None) -> Masks:
    dense = np.zeros((len(corners), *SIZE), np.bool_)
    for mask, (x, y, w, h) in zip(dense, corners, strict=True):
        mask[y : y + h, x : x + w] = True
    return Masks.from_dense(dense, predicted_iou=scores)


def coco_map(reference: Masks, predicted: Masks) -> float:
    """The average precision of pycocotools, without its limit to 100 masks."""
    image, category = {"id": 1, "height": SIZE[0], "width": SIZE[1]}, {"id": 1, "name": "thing"}

    def file(masks: Masks) -> COCO:
        rows: list[dict[str, Any]] = [
            {"id": i + 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": dict(rle), "score": score,
             "area": int(area), "bbox": [0, 0, 1, 1]}
            for i, (rle, area, score) in enumerate(zip(masks.rles, masks.areas, masks.predicted_iou, strict=True))
        ]  # fmt: skip
        data = COCO()
        data.dataset = {"info": {}, "images": [image], "categories": [category], "annotations": rows}
        data.createIndex()
        return data

    evaluation = COCOeval(file(reference), file(predicted), "segm")
    evaluation.params.maxDets = [10**6]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    return float(evaluation.eval["precision"].mean())


box = st.tuples(st.integers(0, 14), st.integers(0, 14), st.integers(1, 10), st.integers(1, 10))


@settings(max_examples=60)
@given(st.lists(box, min_size=1, max_size=6), st.data())
def test_average_precision_is_cocos(wanted: list[Any], data: st.DataObject) -> None:
    nearby = st.sampled_from(wanted).map(lambda b: (b[0], b[1], min(b[2] + 1, 10), b[3]))
    got = data.draw(st.lists(box | st.sampled_from(wanted) | nearby, min_size=1, max_size=10))
    scores = data.draw(st.lists(st.sampled_from([0.1, 0.5, 0.7, 0.9]), min_size=len(got), max_size=len(got)))
    reference, predicted = squares(*wanted), squares(*got, scores=scores)
    assert mean_average_precision(reference, predicted) == pytest.approx(coco_map(reference, predicted), abs=1e-9)


def test_average_precision_by_hand() -> None:
    reference = squares((0, 0, 10, 10), (12, 12, 10, 10))
    surplus = (0, 12, 4, 4)
    perfect = squares((0, 0, 10, 10), (12, 12, 10, 10), surplus, scores=[0.9, 0.8, 0.1])
    assert mean_average_precision(reference, perfect) == 1.0  # what comes after everything was found costs nothing
    late = squares(surplus, (0, 0, 10, 10), (12, 12, 10, 10), scores=[0.9, 0.8, 0.1])
    assert mean_average_precision(reference, late) == pytest.approx(2 / 3)
    half = squares((0, 0, 10, 10), scores=[0.9])
    assert mean_average_precision(reference, half) == pytest.approx(51 / 101)  # recalls 0, 0.01 ... 0.50
    loose = squares((0, 0, 10, 8), (12, 12, 10, 10), scores=[0.9, 0.8])  # of IoU 0.8: found at 7 of 10 thresholds
    strict = (51 * 0.5) / 101  # the second alone, behind a wrong one
    assert mean_average_precision(reference, loose) == pytest.approx((7 + 3 * strict) / 10)


def test_masks_without_a_score_come_last() -> None:
    reference = squares((0, 0, 10, 10))
    wrong_first = squares((12, 12, 5, 5), (0, 0, 10, 10), scores=[0.1, math.nan])
    assert mean_average_precision(reference, wrong_first) == pytest.approx(0.5)
    assert mean_average_precision(reference, squares((0, 0, 10, 10))) == 1.0


def test_compared_by_number_match_and_precision() -> None:
    reference, found = squares((0, 0, 10, 10), (12, 12, 10, 10)), squares((0, 0, 10, 8), (0, 15, 3, 3), (15, 0, 3, 3))
    scores = compare_everything(reference, found)
    assert scores == {
        "masks_clean": 2, "masks_found": 3, "matched_miou": 0.4, "map": pytest.approx(0.7 * 51 / 101)
    }  # fmt: skip


def test_nothing_on_either_photo() -> None:
    some, nothing = squares((0, 0, 5, 5)), squares()
    assert compare_everything(some, nothing) == {"masks_clean": 1, "masks_found": 0, "matched_miou": 0.0, "map": 0.0}
    gone = {"masks_clean": 0, "matched_miou": None, "map": None}
    assert compare_everything(nothing, some) == gone | {"masks_found": 1}
    assert compare_everything(nothing, nothing) == gone | {"masks_found": 0}
    empty = squares((0, 0, 0, 0))
    assert compare_everything(some, empty) == {"masks_clean": 1, "masks_found": 1, "matched_miou": 0.0, "map": 0.0}
    with pytest.raises(ValueError, match="one size"):
        compare_everything(some, Masks.from_dense(np.ones((1, 3, 3), np.bool_)))
