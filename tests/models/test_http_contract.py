"""models/http_contract.py: the JSON of docs/black-boxes.md, and answers that are not like it."""

import base64
import inspect
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from contract import make_photo
from hypothesis import given
from hypothesis import strategies as st

from segrobust.errors import AnswerError
from segrobust.io.rle import run_lengths
from segrobust.models.http import SETTINGS, wrap_http
from segrobust.models.http_client import FIRST_WAIT, LONGEST_WAIT
from segrobust.models.http_contract import encode_photo, make_request, read_answer
from segrobust.models.options import parse_memory
from segrobust.types import Masks, Prompts, encode_mask

SIZE = (3, 4)
EMPTY = [12]


def read(document: Any, count: int | None = 1, size: tuple[int, int] = SIZE) -> Masks:
    return read_answer(json.dumps(document).encode(), size, count, "endpoint x")


def answer(*masks: Any, **more: Any) -> dict[str, Any]:
    return {"schema": "segrobust-masks/1", "masks": list(masks), **more}


def rle(counts: Any, size: tuple[int, int] = SIZE) -> dict[str, Any]:
    return {"size": list(size), "counts": counts}


def test_the_photo_is_sent_without_loss() -> None:
    photo = make_photo((31, 17))
    sent = encode_photo(photo)
    assert (sent["height"], sent["width"]) == (31, 17)
    pixels = np.array(PIL.Image.open(io.BytesIO(base64.b64decode(sent["png"]))))
    np.testing.assert_array_equal(pixels, photo.pixels)


def test_coordinates_are_sent_as_they_are() -> None:
    prompts = Prompts.of([(0.1, 2)], [(1 / 3, 0, 2, 2)])
    request = json.loads(make_request({}, prompts, "single"))
    assert request["points"] == [[0.1, 2.0]]
    assert request["boxes"] == [[1 / 3, 0, 2, 2]]
    assert "points" not in json.loads(make_request({}, None, "best"))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.02, 0.5, 0.98]))
def test_run_lengths_may_be_a_list_or_packed(seed: int, height: int, width: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    runs = run_lengths(encode_mask(mask)["counts"]).tolist()
    counted = read(answer(rle(runs, (height, width))), size=(height, width))
    assert counted.rles[0] == encode_mask(mask)
    assert read(answer(encode_mask(mask)), size=(height, width)).rles[0] == encode_mask(mask)


def test_the_parts_of_an_answer() -> None:
    mask = np.eye(3, 4, dtype=np.bool_)
    masks = read(answer(encode_mask(mask), None, rle(EMPTY), scores=[0.5, None, 1]), 3)
    np.testing.assert_array_equal(masks.mask(0), mask)
    assert masks.areas.tolist() == [3, 0, 0]
    np.testing.assert_array_equal(masks.predicted_iou, [0.5, np.nan, 1])
    assert len(read(answer(), None)) == 0


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "a JSON object is needed, got list"),
        ({"masks": []}, "schema must be 'segrobust-masks/1', got None"),
        ({"schema": "segrobust-masks/2", "masks": []}, r"got 'segrobust-masks/2'"),
        ({"schema": "segrobust-masks/1"}, "masks must be a list, got NoneType"),
        (answer(), "0 masks for 1 prompts"),
        (answer(None, None), "2 masks for 1 prompts"),
        (answer(7), "mask 0 must be a COCO RLE or null, got int"),
        (answer(rle(EMPTY, (4, 3))), r"mask 0 has size \[4, 3\], the photo \[3, 4\] \(height, width\)"),
        (answer({"counts": EMPTY}), "mask 0 has size None"),
        (answer({"size": [3, 4]}), "mask 0: counts must be a string or a list, got NoneType"),
        (answer(rle([11])), "mask 0: run lengths add up to 11, the photo has 12 pixels"),
        (answer(rle([13, -1])), "mask 0: run lengths must be whole numbers from 0"),
        (answer(rle([6.0, 6])), "must be whole numbers"),
        (answer(rle([True, 11])), "must be whole numbers"),
        (answer(rle("<" * 30)), "run lengths add up to"),
        (answer(rle("O")), "must be whole numbers from 0"),
        (answer(rle("")), "counts is no COCO run-length string: ''"),
        (answer(rle("P")), "counts breaks off"),
        (answer(rle("o" * 50)), "counts breaks off: 'ooo"),
        (answer(rle("o" * 50 + "0")), "a run is too long: 'ooo"),
        (answer(rle("\U0001f600")), "counts is no COCO run-length string"),
        (answer(None, scores=[]), "scores must be a list of 1 numbers"),
        (answer(None, scores=["1"]), "a score must be a number or null, got '1'"),
        (answer(None, scores=[float("nan")]), "a score must be a number or null, got nan"),
    ],
)
def test_what_is_no_answer(document: Any, says: str) -> None:
    with pytest.raises(AnswerError, match=says) as caught:
        read(document)
    assert str(caught.value).startswith("endpoint x answered what is no answer: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("body", [b"", b"<html>\n</html>", b"\xff", b"[" * 100_000])
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(AnswerError, match=r"answered what is no answer: not JSON: b'"):
        read_answer(body, SIZE, 1, "endpoint x")


def test_the_example_in_the_documents(root: Path) -> None:
    """The request there is what is sent for that photo and those prompts, and the answer there is read as it says."""
    text = (root / "docs" / "black-boxes.md").read_text("utf-8")
    request, reply = (json.loads(block.partition("```")[0]) for block in text.split("```json\n")[1:3])
    pixels = np.array(PIL.Image.open(io.BytesIO(base64.b64decode(request["image"]["png"]))))
    assert pixels.shape == (request["image"]["height"], request["image"]["width"], 3)
    prompts = Prompts.of(request["points"], request["boxes"])
    ours = json.loads(make_request(request["image"], prompts, request["rule"]))
    assert ours == request
    size = pixels.shape[:2]
    masks = read(reply, len(prompts), size)
    bright = pixels.mean(axis=2) > 127
    np.testing.assert_array_equal(masks.mask(0), bright)
    np.testing.assert_array_equal(masks.mask(1), bright)
    assert masks.areas.tolist() == [2, 2, 0]
    assert masks.predicted_iou.tolist() == [0.9, 0.8, 0.0]


def test_the_settings_in_the_documents(root: Path) -> None:
    text = (root / "docs" / "black-boxes.md").read_text("utf-8")
    table = dict(re.findall(r"^\| `(\w+)` \| ([\w. ]+) \|", text.partition("| setting | default")[2], re.MULTILINE))
    defaults = {name: inspect.signature(wrap_http).parameters[name].default for name in table}
    assert set(table) == set(SETTINGS)
    assert table.pop("rate") == "no limit"
    assert defaults.pop("rate") is None
    assert parse_memory(table.pop("max_answer")) == defaults.pop("max_answer")
    assert {name: float(value) for name, value in table.items()} == defaults
    assert f"after {FIRST_WAIT:g}, {2 * FIRST_WAIT:g}, {4 * FIRST_WAIT:g} ..." in text
    assert f"({LONGEST_WAIT:g} at most)" in text
