"""models/onnx_single.py: segmenters in one file, made by hand, of every shape that the contract allows."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import MIB, check_black_box_geometry, check_flat_memory, check_no_state, make_photo
from onnx_models import BOOL, FLOAT, INT64, UINT8, write_graph

import segrobust
from segrobust.errors import AnswerError, CapabilityError, MissingError, ModelError
from segrobust.models import load
from segrobust.models.base import EverythingFirst, Segmenter
from segrobust.models.onnx_session import Session
from segrobust.types import Image, Prompts

SIZE = (40, 60)
PHOTO = make_photo(SIZE)
TWO = Prompts.of([(3, 4)], [(5, 6, 20, 30)])

SHAPES = {
    "first": [1, 3, "h", "w"],
    "last": [1, "h", "w", 3],
    "plain": ["h", "w", 3],
    "small": [1, 3, 64, 96],
}


def bright_graph(
    file: Path,
    *,
    photo: str = "last",
    kind: int = UINT8,
    prompts: str = "rows",
    n: int | str = "n",
    answer: int = FLOAT,
) -> Path:
    """To every prompt what is brighter than grey; ``prompts``: rows (point_coords, point_labels), boxes, both, none."""
    axis = 1 if photo in ("first", "small") else -1
    nodes: list[tuple[Any, ...]] = [
        ("Cast", ["image"], ["pixels"], {"to": FLOAT}),
        ("ReduceMean", ["pixels"], ["grey"], {"axes": [axis], "keepdims": 0}),
        ("Sub", ["grey", "middle"], ["bright"]),
        ("Unsqueeze", ["bright", "first"], ["plane"]) if photo == "plain" else ("Identity", ["bright"], ["plane"]),
    ]
    inputs: dict[str, tuple[int, Sequence[int | str]]] = {"image": (kind, SHAPES[photo])}
    first: list[str] = []
    if prompts in ("rows", "both"):
        inputs |= {"point_coords": (FLOAT, [n, 2, 2]), "point_labels": (INT64, [n, 2])}
        nodes.append(("ReduceMax", ["point_coords"], ["p"], {"axes": [1, 2], "keepdims": 0}))
        first.append("p")
    if prompts in ("boxes", "both"):
        inputs["boxes"] = (FLOAT, ["b" if n == "n" else n, 4])
        nodes.append(("ReduceMax", ["boxes"], ["b"], {"axes": [1], "keepdims": 0}))
        first.append("b")
    if first:
        nodes += [
            ("Concat", first, ["each"], {"axis": 0}),
            ("Unsqueeze", ["each", "planes"], ["columns"]),
            ("Mul", ["columns", "zero"], ["nothing"]),
            ("Add", ["plane", "nothing"], ["logits"]),
        ]
    else:
        nodes += [("Neg", ["plane"], ["dark"]), ("Concat", ["plane", "dark"], ["logits"], {"axis": 0})]
    nodes.append(("Greater", ["logits", "zero"], ["masks"]) if answer == BOOL else ("Identity", ["logits"], ["masks"]))
    constants = {
        "middle": np.array(127 if kind == UINT8 else 0.5, np.float32),
        "zero": np.array(0, np.float32),
        "planes": np.array([1, 2], np.int64),
        "first": np.array([0], np.int64),
    }
    used = {name for node in nodes for name in node[1]}
    constants = {name: value for name, value in constants.items() if name in used}
    return write_graph(file, nodes, inputs, {"masks": (answer, ["k", "y", "x"])}, constants)


def open_one(file: Path) -> Segmenter:
    return load(str(file), device="cpu")


@pytest.mark.parametrize("photo", ["first", "last", "plain"])
@pytest.mark.parametrize("kind", [UINT8, FLOAT])
@pytest.mark.parametrize("answer", [FLOAT, BOOL])
def test_every_form_of_a_photo_and_of_masks(tmp_path: Path, photo: str, kind: int, answer: int) -> None:
    model = open_one(bright_graph(tmp_path / "m.onnx", photo=photo, kind=kind, answer=answer))
    found = model.answer(PHOTO, TWO)
    assert len(found) == 2
    wanted = PHOTO.pixels.astype(np.float32).mean(axis=2) > (127 if kind == UINT8 else 127.5)
    for mask in found:
        assert (mask == wanted).mean() > 0.999


@pytest.mark.parametrize(("photo", "pixels"), [("last", 4000), ("small", 64)])
def test_geometry(tmp_path: Path, photo: str, pixels: float) -> None:
    model = open_one(bright_graph(tmp_path / "m.onnx", photo=photo))
    check_black_box_geometry(model, sizes=((7, 5), (101, 131), (333, 200), (900, 1200)), pixels=pixels, examples=6)


def test_state_and_memory(tmp_path: Path) -> None:
    model = open_one(bright_graph(tmp_path / "m.onnx", photo="small", kind=FLOAT))
    check_no_state(model)
    check_flat_memory(model, photos=150, allowed=16 * MIB)
    assert len(model.fingerprint) == 64  # type: ignore[attr-defined]


@pytest.fixture
def feeds(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    fed: list[dict[str, Any]] = []
    run = Session.run

    def keep(self: Session, outputs: Any, feed: Any) -> Any:
        fed.append(dict(feed))
        return run(self, outputs, feed)

    monkeypatch.setattr(Session, "run", keep)
    return fed


PROMPTS = Prompts.of([(6, 4), (30, 20)], [(3, 4, 30, 36)])


def test_prompts_in_rows_are_in_the_graphs_pixels(tmp_path: Path, feeds: list[dict[str, Any]]) -> None:
    model = open_one(bright_graph(tmp_path / "m.onnx", photo="small"))  # 64 x 96: each side times 1.6
    assert len(model.answer(PHOTO, PROMPTS)) == 3
    points, boxes = feeds
    np.testing.assert_allclose(points["point_coords"], [[[9.6, 6.4], [0, 0]], [[48, 32], [0, 0]]])
    assert points["point_labels"].tolist() == [[1, -1], [1, -1]]
    np.testing.assert_allclose(boxes["point_coords"], [[[4.8, 6.4], [48, 57.6]]])
    assert boxes["point_labels"].tolist() == [[2, 3]]


def test_boxes_in_an_input_of_their_own(tmp_path: Path, feeds: list[dict[str, Any]]) -> None:
    model = open_one(bright_graph(tmp_path / "m.onnx", prompts="both"))
    assert len(model.answer(PHOTO, PROMPTS)) == 3
    points, boxes = feeds
    assert points["point_coords"].shape == (2, 2, 2)
    assert points["boxes"].shape == (0, 4)
    assert boxes["point_coords"].shape == (0, 2, 2)
    assert boxes["boxes"].tolist() == [[3, 4, 30, 36]]


def test_a_graph_for_one_prompt_is_run_for_each(tmp_path: Path, feeds: list[dict[str, Any]]) -> None:
    model = open_one(bright_graph(tmp_path / "m.onnx", n=1))
    assert len(model.answer(PHOTO, PROMPTS)) == 3
    assert [feed["point_coords"].shape for feed in feeds] == [(1, 2, 2)] * 3


def test_many_prompts_are_asked_in_batches(tmp_path: Path, feeds: list[dict[str, Any]]) -> None:
    model = open_one(bright_graph(tmp_path / "m.onnx"))
    assert len(model.answer(PHOTO, Prompts.of([(1, 1)] * 70))) == 70
    assert [len(feed["point_coords"]) for feed in feeds] == [64, 6]


def test_a_graph_for_boxes_takes_no_points(tmp_path: Path) -> None:
    model = open_one(bright_graph(tmp_path / "m.onnx", prompts="boxes"))
    assert model.capabilities.names() == ("boxes",)
    assert len(model.answer(PHOTO, Prompts.of(boxes=[(3, 4, 30, 36)]))) == 1
    with pytest.raises(CapabilityError, match="takes no points"):
        model.answer(PHOTO, TWO)


def test_a_graph_without_prompts_finds_everything(tmp_path: Path) -> None:
    model = open_one(bright_graph(tmp_path / "m.onnx", prompts="none"))
    assert isinstance(model, EverythingFirst)
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[10:20, 30:50] = 255
    found = segrobust.segment_everything(model, Image(pixels))
    assert found.areas.tolist() == [200, 2200]
    assert model.answer(Image(pixels), Prompts.of([(35, 15)], [(0, 0, 60, 40)])).areas.tolist() == [200, 2200]


def masks_graph(file: Path, shape: Sequence[int], kind: Any = np.float32, scores: Any = None) -> Path:
    """The same masks whatever is asked: the first two rows."""
    masks = np.zeros(shape, kind)
    masks[..., :2, :] = 1
    outputs = {"masks": ({"f": FLOAT, "u": UINT8, "b": BOOL}[masks.dtype.kind], list(shape))}
    nodes: list[tuple[Any, ...]] = [("Identity", ["m"], ["masks"])]
    constants = {"m": masks}
    if scores is not None:
        constants["s"] = np.array(scores, np.float32)
        nodes.append(("Identity", ["s"], ["scores"]))
        outputs["scores"] = (FLOAT, list(constants["s"].shape))
    inputs = {"image": (UINT8, ["h", "w", 3]), "boxes": (FLOAT, ["n", 4])}
    return write_graph(file, nodes, inputs, outputs, constants)


BOXES = Prompts.of(boxes=[(0, 0, 9, 9), (1, 1, 5, 5)])


@pytest.mark.parametrize("shape", [(2, 4, 6), (1, 2, 4, 6), (2, 1, 4, 6)])
@pytest.mark.parametrize("kind", [np.float32, np.uint8, np.bool_])
def test_masks_are_stretched_over_the_photo(tmp_path: Path, shape: Sequence[int], kind: Any) -> None:
    masks = open_one(masks_graph(tmp_path / "m.onnx", shape, kind)).answer(PHOTO, BOXES)
    edge = masks.boxes[0, 3]
    assert edge == 20 if kind != np.float32 else 20 < edge < 30  # 0 is no logit: it is between the pixels
    assert masks.boxes[:, 2].tolist() == [60, 60]


def test_scores_come_along(tmp_path: Path) -> None:
    for scores in ([0.25, 0.75], [[0.25, 0.75]], [[0.25], [0.75]]):
        model = open_one(masks_graph(tmp_path / "m.onnx", (2, 4, 6), scores=scores))
        assert model.answer(PHOTO, BOXES).predicted_iou.tolist() == [0.25, 0.75]
    with pytest.raises(AnswerError, match=r"m\.onnx answered 3 scores for 2 masks"):
        open_one(masks_graph(tmp_path / "m.onnx", (2, 4, 6), scores=[1, 2, 3])).answer(PHOTO, BOXES)


@pytest.mark.parametrize("shape", [(3, 4, 6), (2, 3, 4, 6), (4, 6)])
def test_masks_of_another_number(tmp_path: Path, shape: Sequence[int]) -> None:
    model = open_one(masks_graph(tmp_path / "m.onnx", shape))
    with pytest.raises(AnswerError, match=r"answered masks of shape .*they must be \(2, H, W\), one for each prompt"):
        model.answer(PHOTO, BOXES)


def test_a_graph_that_fails_is_the_photos_failure(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    nodes = [("Reshape", ["image", "to"], ["masks"])]
    file = write_graph(
        tmp_path / "m.onnx", nodes, {"image": (FLOAT, [3, "h", "w"])}, {"masks": (FLOAT, [1, 7, 11])},
        {"to": np.array([1, 7, 11], np.int64)},
    )  # fmt: skip
    with pytest.raises(AnswerError, match=r"m\.onnx failed: .*") as caught:
        open_one(file).answer(PHOTO, TWO)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""  # onnxruntime has said nothing of its own


@pytest.mark.parametrize(
    ("inputs", "outputs", "says"),
    [
        ({"image": [1, 3, "h", "w"], "text": [1]}, ["masks"], "nobody knows what to give to text"),
        ({"a": [1, 3, "h", "w"], "boxes": ["n", 4]}, ["masks"], "no input is called 'image'"),
        ({"image": [1, 3, "h", "w"]}, ["labels", "probabilities"], "none of its outputs is called 'masks'"),
        (
            {"image": [1, 3, "h", "w"], "point_coords": ["n", 2, 2]},
            ["masks"],
            "point_coords and point_labels go together",
        ),
        ({"image": [1, 3, "h", "w"], "boxes": [1, "n", 4]}, ["masks"], "boxes must have 2 dimensions"),
        ({"image": [1, 3, "h", "w"], "boxes": [5, 4]}, ["masks"], "must not be fixed, or be 1"),
        (
            {"image": [1, 3, 8, 8], "boxes": [1, 4], "point_coords": [1, 2, 2], "point_labels": [1, 2]},
            ["masks"],
            "where boxes have an input of their own, the number of prompts must not be fixed",
        ),
        ({"image": [1, 4, "h", "w"]}, ["masks"], "must have three channels, first or last"),
    ],
)
def test_graphs_that_cannot_be_driven(tmp_path: Path, inputs: Any, outputs: list[str], says: str) -> None:
    first = next(iter(inputs))
    file = write_graph(
        tmp_path / "m.onnx",
        [("Identity", [first], [name]) for name in outputs],
        {name: (FLOAT, shape) for name, shape in inputs.items()},
        dict.fromkeys(outputs, (FLOAT, inputs[first])),
    )
    with pytest.raises(ModelError, match=says) as caught:
        open_one(file)
    assert f"it has inputs: {first} float32 (" in str(caught.value)
    assert "outputs: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_onnxruntime_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingError, match=r"needs onnxruntime: pip install 'segrobust\[onnx\]'") as caught:
        open_one(tmp_path / "m.onnx")
    assert caught.value.exit_code == 5
