import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco
from pycocotools.coco import COCO

from segrobust.errors import MissingError, PhotoError
from segrobust.io.sa1b import read_sa1b, write_sa1b
from segrobust.types import Masks, encode_mask

dense_masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9))
scores = st.one_of(st.floats(allow_infinity=False), st.just(float("nan")))


def document(annotations: list[Any], height: int = 4, width: int = 6) -> dict[str, Any]:
    return {
        "image": {"image_id": 1, "width": width, "height": height, "file_name": "a.jpg"},
        "annotations": annotations,
    }


def put(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


@given(dense_masks, st.data())
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, dense: np.ndarray, data: st.DataObject) -> None:
    n = len(dense)
    columns = {
        "predicted_iou": data.draw(st.lists(scores, min_size=n, max_size=n)),
        "stability": data.draw(st.lists(scores, min_size=n, max_size=n)),
        "points": data.draw(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=n, max_size=n)),
    }
    masks = Masks.from_dense(dense, **columns)
    path = write_sa1b(tmp_path_factory.mktemp("masks") / "a.json", masks, "a.jpg")
    back = read_sa1b(path, size=masks.size)
    assert back.size == masks.size
    assert back.rles == masks.rles
    for name in ("boxes", "areas", "predicted_iou", "stability", "points"):
        np.testing.assert_array_equal(getattr(back, name), getattr(masks, name))


def test_no_masks(tmp_path: Path) -> None:
    path = write_sa1b(tmp_path / "a.json", Masks.from_rles((4, 6), []), "a.jpg")
    assert len(read_sa1b(path)) == 0
    assert read_sa1b(path).size == (4, 6)


def test_the_layout_is_that_of_sa1b(tmp_path: Path) -> None:
    dense = np.zeros((2, 4, 6), np.bool_)
    dense[0, 1:3, 2:5] = True
    masks = Masks.from_dense(dense, predicted_iou=[0.5, np.nan], points=[[2.5, 1.5], [np.nan, np.nan]])
    text = write_sa1b(tmp_path / "a.json", masks, "a.jpg", image_id=7).read_text()
    assert "NaN" not in text
    written = json.loads(text)
    assert written["image"] == {"image_id": 7, "width": 6, "height": 4, "file_name": "a.jpg"}
    first, second = written["annotations"]
    assert first == {
        "id": 1,
        "bbox": [2.0, 1.0, 3.0, 2.0],
        "area": 6,
        "segmentation": encode_mask(dense[0]),
        "predicted_iou": 0.5,
        "stability_score": None,
        "point_coords": [[2.5, 1.5]],
        "crop_box": [0.0, 0.0, 6.0, 4.0],
    }
    assert (second["id"], second["area"], second["predicted_iou"], second["point_coords"]) == (2, 0, None, [])


def test_pycocotools_reads_what_is_written(tmp_path: Path) -> None:
    dense = np.random.default_rng(0).random((3, 20, 30)) < 0.4
    written = json.loads(write_sa1b(tmp_path / "a.json", Masks.from_dense(dense), "a.jpg", image_id=7).read_text())
    for annotation, mask in zip(written["annotations"], dense, strict=True):
        assert np.array_equal(coco.decode(annotation["segmentation"]).astype(bool), mask)
        assert coco.area(annotation["segmentation"]) == annotation["area"]
        assert coco.toBbox(annotation["segmentation"]).tolist() == annotation["bbox"]
    index = COCO()
    index.dataset = {
        "images": [{"id": 7, **written["image"]}],
        "annotations": [{**a, "image_id": 7, "category_id": 1, "iscrowd": 0} for a in written["annotations"]],
        "categories": [{"id": 1, "name": "mask"}],
    }
    index.createIndex()
    for annotation, mask in zip(index.anns.values(), dense, strict=True):
        assert np.array_equal(index.annToMask(annotation).astype(bool), mask)


@given(dense_masks.filter(lambda m: m.shape[0] == 1))
def test_uncompressed_runs_are_read(tmp_path_factory: pytest.TempPathFactory, dense: np.ndarray) -> None:
    flat = dense[0].flatten(order="F").astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    runs = [0, *runs] if flat[0] else runs
    height, width = dense.shape[1:]
    raw = {"id": 1, "segmentation": {"size": [height, width], "counts": runs}}
    masks = read_sa1b(put(tmp_path_factory.mktemp("m") / "a.json", document([raw], height, width)))
    assert masks.rles == (encode_mask(dense[0]),)
    assert np.isnan([masks.predicted_iou[0], masks.stability[0], *masks.points[0]]).all()


def test_empty_runs_inside_are_normalised(tmp_path: Path) -> None:
    raw = {"id": 1, "segmentation": {"size": [4, 6], "counts": [3, 2, 0, 4, 15, 0]}}
    masks = read_sa1b(put(tmp_path / "a.json", document([raw])))
    expected = np.zeros(24, np.bool_)
    expected[3:9] = True
    assert masks.rles == (encode_mask(expected.reshape(4, 6, order="F")),)


def test_polygons_are_read(tmp_path: Path) -> None:
    square, triangle = [1, 1, 4, 1, 4, 3, 1, 3], [5.0, 0.0, 6.0, 0.0, 6.0, 4.0]
    raw = {"id": 1, "segmentation": [square, triangle], "predicted_iou": 0.9, "point_coords": [[1, 2], [3, 3]]}
    masks = read_sa1b(put(tmp_path / "a.json", document([raw])))
    assert masks.mask(0)[1:3, 1:4].all()
    parts = coco.decode(coco.frPyObjects([square, triangle], 4, 6)).any(axis=2)
    assert np.array_equal(masks.mask(0), parts)
    assert masks.areas[0] == parts.sum() > 6
    assert (masks.predicted_iou[0], masks.points[0].tolist()) == (0.9, [1.0, 2.0])


def test_the_order_of_the_file_is_kept_and_its_boxes_are_not_believed(tmp_path: Path) -> None:
    dense = np.zeros((3, 4, 6), np.bool_)
    for k in range(3):
        dense[k, k, : k + 1] = True
    raw = [{"id": 99 - k, "bbox": [0, 0, 0, 0], "area": 1000, "segmentation": encode_mask(dense[k])} for k in range(3)]
    masks = read_sa1b(put(tmp_path / "a.json", document(raw)))
    assert masks.areas.tolist() == [1, 2, 3]
    assert masks.boxes.tolist() == [[0, 0, 1, 1], [0, 1, 2, 2], [0, 2, 3, 3]]


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ({"size": [4, 6], "counts": "zzz\x7f"}, "run-length string"),
        ({"size": [4, 6], "counts": ""}, "run-length string"),
        ({"size": [4, 6], "counts": "ü"}, "run-length string: 'ü'"),
        ({"size": [4, 6], "counts": "5"}, "cover 5 pixels of 24"),
        ({"size": [4, 6], "counts": "ooooooooo0"}, "too long"),
        ({"size": [4, 6], "counts": "n0J"}, "negative length, -6"),
        ({"size": [4, 6], "counts": [10, 10]}, "cover 20 pixels of 24"),
        ({"size": [4, 6], "counts": [30, -6]}, "run lengths"),
        ({"size": [4, 6], "counts": [24.0]}, "run lengths"),
        ({"size": [4, 6], "counts": 24}, "run lengths"),
        ({"size": [6, 4], "counts": [24]}, "size"),
        ({"counts": [24]}, "segmentation"),
        ([[1, 1, 2, 2]], "three finite points"),
        ([[1, 1, 2, 2, 3, float("nan")]], "three finite points"),
        ([[0, 0, 1e12, 0, 1e12, 1e12]], "far outside"),
        ([], "empty list"),
        (None, "subscriptable"),
    ],
)
def test_bad_segmentations_name_file_and_annotation(tmp_path: Path, segmentation: Any, reason: str) -> None:
    good = {"id": 1, "segmentation": {"size": [4, 6], "counts": [24]}}
    path = put(tmp_path / "masks.json", document([good, {"id": 4711, "segmentation": segmentation}]))
    with pytest.raises(PhotoError) as caught:
        read_sa1b(path)
    assert "masks.json: annotation 4711: " in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"predicted_iou": "high"}, {"stability_score": True}, {"point_coords": [[1]]}])
def test_bad_columns_name_the_annotation(tmp_path: Path, change: dict[str, Any]) -> None:
    raw = {"segmentation": {"size": [4, 6], "counts": [24]}, **change}
    with pytest.raises(PhotoError, match=r"number 1 \(no id\)"):
        read_sa1b(put(tmp_path / "a.json", document([raw])))


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"image": {"height": 4}},
        {"image": {"height": 4, "width": 0}, "annotations": []},
        {"image": {"height": 4, "width": 6}},
        {"image": {"height": 10**6, "width": 10**6}, "annotations": []},
        document([5]),
        document([{"id": 3}]),
    ],
)
def test_what_is_not_sa1b_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(PhotoError, match=r"a\.json"):
        read_sa1b(put(tmp_path / "a.json", content))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_what_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(PhotoError, match=r"a\.json: not JSON"):
        read_sa1b(path)


def test_missing_file_and_other_size_and_unwritable_folder(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"gone\.json: No such file"):
        read_sa1b(tmp_path / "gone.json")
    masks = Masks.from_rles((4, 6), [])
    path = write_sa1b(tmp_path / "a.json", masks, "a.jpg")
    with pytest.raises(PhotoError, match="4 x 6 photo, this one is 6 x 4"):
        read_sa1b(path, size=(6, 4))
    with pytest.raises(MissingError):
        write_sa1b(path / "b.json", masks, "a.jpg")
