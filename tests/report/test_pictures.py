"""Panels show what changed, and what came of the prompts."""

import base64
import io

import numpy as np
import PIL.Image
import pytest
from report_parts import PROMPTS

from segrobust.evaluation.shown import SIDE
from segrobust.report.pictures import GAIN, Pair, _marked, difference, panels
from segrobust.report.shading import FAILS, HOLDS, Answer
from segrobust.types import encode_mask

GREY = np.full((40, 60, 3), 128, np.uint8)
EXAMPLE = {"image": "a", "attack": "rga", "ious": [0.1, 0.9, 0.2, 0.5], "ious_before": [0.9] * 4, "linf_255": 8}


def near(
    picture: np.ndarray, colour: tuple[int, int, int], where: tuple[slice, slice] = (slice(None), slice(None))
) -> int:
    return int((np.abs(picture[where].astype(int) - colour).max(axis=2) < 3).sum())


def test_the_difference_is_ten_times_what_changed_around_grey():
    changed = GREY.copy()
    changed[0, 0], changed[1, 1], changed[2, 2] = (130, 127, 128), 255, 0
    seen = difference(GREY, changed)
    assert seen[0, 0].tolist() == [128 + 2 * GAIN, 128 - GAIN, 128]
    assert seen[1, 1].tolist() == [255] * 3
    assert seen[2, 2].tolist() == [0] * 3
    assert near(seen, (128, 128, 128)) == 40 * 60 - 3


def test_what_holds_and_what_fails_is_drawn_apart():
    held = np.array(_marked(GREY, PROMPTS, [0.9] * 4))
    failed = np.array(_marked(GREY, PROMPTS, [0.1] * 4))
    assert near(held, HOLDS) > 50
    assert near(held, FAILS) == near(failed, HOLDS) == 0
    assert near(failed, FAILS) > 50


def test_a_prompt_that_was_not_scored_and_a_second_box_of_a_mask_are_not_drawn():
    nothing = np.array(_marked(GREY, PROMPTS, [None] * 4))
    assert (nothing == GREY).all()
    assert (np.array(_marked(GREY, PROMPTS, [0.9] * 3)) == GREY).all()  # another number of prompts: none of these


def test_three_panels_with_words_for_who_cannot_see_them():
    before, after, change = panels(Pair(GREY, GREY + np.uint8(8), PROMPTS), EXAMPLE)
    assert before.alt == "The original photo a: 4 of 4 prompts hold"
    assert after.caption == "After: 1 of 4 prompts hold"  # 0.5 itself fails
    assert "10 times enlarged" in change.alt
    assert "8/255" in change.caption


def test_answers_that_a_run_has_kept_are_drawn_and_told():
    left = np.zeros(GREY.shape[:2], np.bool_)
    left[:, :15] = True
    counts = [encode_mask(np.asfortranarray(mask))["counts"] for mask in (left, left & False)]
    shown = {"prompts": [1, 0], "size": [40, 60], "before": [counts[0]] * 2, "after": counts}
    plain = panels(Pair(GREY, GREY, PROMPTS), EXAMPLE)
    before, after, change = panels(Pair(GREY, GREY, PROMPTS), EXAMPLE | {"shown": shown})
    told = "4 of 4 prompts hold; the answers to 2 prompts are shaded, 25 % and 25 % of the photo"
    assert before.alt == f"The original photo a: {told}"
    assert after.alt.endswith("1 of 4 prompts hold; the answers to 2 prompts are shaded, 25 % and 0 % of the photo")
    assert [panel.caption for panel in plain] == [before.caption, after.caption, change.caption]
    assert before.source != plain[0].source
    assert change.source == plain[2].source


def test_the_prompt_of_an_answer_has_a_ring():
    ringed = np.array(_marked(GREY, PROMPTS, [0.9] * 4, [Answer(0, np.zeros((40, 60), np.bool_), True)]))
    plain = np.array(_marked(GREY, PROMPTS, [0.9] * 4))
    changed = np.argwhere((ringed != plain).any(axis=2))
    assert len(changed) > 20
    assert (np.abs(changed - [8, 10]).max(axis=1) <= 13).all()


def test_without_the_saved_photo_there_is_the_original():
    assert len(panels(Pair(GREY, None, PROMPTS), EXAMPLE)) == 1


@pytest.mark.parametrize("size", [(40, 60), (SIDE * 2, 300), (3, 2000)])
def test_panels_fit_the_page_and_keep_their_shape(size):
    pixels = np.zeros((*size, 3), np.uint8)
    panel = panels(Pair(pixels, None), EXAMPLE)[0]
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(panel.source.partition(",")[2])))
    assert picture.size == (panel.width, panel.height)
    assert max(picture.size) == min(SIDE, max(size))
    assert panel.width / panel.height == pytest.approx(size[1] / size[0], rel=0.3)
