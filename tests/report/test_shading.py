"""Answers over a photo: filled where they are, outlined, and told in words."""

import numpy as np
import pytest
from PIL import Image as Pil

from segrobust.report.shading import FAILS, HOLDS, Answer, answers_of, covered, shade
from segrobust.types import encode_mask

GREY = Pil.fromarray(np.full((60, 90, 3), 100, np.uint8))
MASK = np.zeros((60, 90), np.bool_)
MASK[10:40, 20:70] = True


def drawn(holds: bool) -> np.ndarray:
    return np.array(shade(GREY, [Answer(0, MASK, holds)])).astype(int)


@pytest.mark.parametrize(("holds", "colour"), [(True, HOLDS), (False, FAILS)])
def test_an_answer_is_filled_and_outlined_and_nothing_else_is_touched(holds: bool, colour: tuple[int, ...]) -> None:
    picture = drawn(holds)
    np.testing.assert_allclose(picture[25, 45], 0.65 * 100 + 0.35 * np.array(colour), atol=1)
    assert (picture[5, 5] == 100).all()
    assert (picture[25, 19] == 255).all()  # the rim around it
    rim = picture[10, 20:70]
    share = (np.abs(rim - colour).max(axis=1) < 2).mean()
    assert share == 1 if holds else 0.3 < share < 0.7


def test_a_mask_of_another_size_fits_the_picture() -> None:
    small = shade(GREY, [Answer(0, MASK[::2, ::2], True)])
    assert np.abs(np.array(small).astype(int) - drawn(True)).mean() < 5


def test_nothing_to_draw_is_the_picture_itself() -> None:
    assert shade(GREY, []) is GREY
    np.testing.assert_array_equal(np.array(shade(GREY, [Answer(0, MASK & False, False)])), np.array(GREY))


def test_what_is_shaded_is_told() -> None:
    half, none, all_ = (Answer(i, mask, True) for i, mask in enumerate((MASK, MASK & False, MASK | True)))
    assert covered([]) == ""
    assert covered([half]) == "; the answer to one prompt is shaded, 28 % of the photo"
    assert covered([half, none, all_]) == "; the answers to 3 prompts are shaded, 28 %, 0 % and 100 % of the photo"


def test_the_answers_of_an_example() -> None:
    counts = encode_mask(np.asfortranarray(MASK))["counts"]
    shown = {"prompts": [2, 0, 1], "size": [60, 90], "before": None, "after": [counts] * 3}
    example = {"ious": [0.5, None, 0.6], "ious_before": [1.0] * 3, "shown": shown}
    assert answers_of(example, "before") == answers_of({"ious": []}, "after") == []
    found = answers_of(example, "after")
    assert [(answer.prompt, answer.holds) for answer in found] == [(2, True), (0, False)]  # the other was not scored
    np.testing.assert_array_equal(found[0].mask, MASK)
    assert len(answers_of(example | {"shown": shown | {"before": [counts] * 3}}, "before")) == 3
