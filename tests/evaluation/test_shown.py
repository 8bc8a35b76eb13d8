"""A few answers to draw: which, how small, and that they are the answers."""

import json

import numpy as np
import pytest

from segrobust.evaluation.manifest import Manifest
from segrobust.evaluation.shown import COUNT, SIDE, choose_prompts, picture_size, resample, shown_answers, shown_mask
from segrobust.types import Masks, Prompts


def manifest(*columns: int, points: tuple[int, ...] = (), boxes: tuple[int, ...] = (), width: int = 20) -> Manifest:
    """Masks of so many columns of ten pixels each, and prompts that ask for them."""
    dense = np.zeros((len(columns), 10, width), np.bool_)
    for mask, count in zip(dense, columns, strict=True):
        mask[:, :count] = True
    prompts = Prompts(
        np.zeros((len(points), 2)), np.array(points, int), np.zeros((len(boxes), 4)), np.array(boxes, int)
    )
    return Manifest("annotation", prompts, Masks.from_dense(dense))


@pytest.mark.parametrize(
    ("size", "small"), [((40, 60), (40, 60)), ((2 * SIDE, SIDE), (SIDE, SIDE // 2)), ((3, 5000), (1, SIDE))]
)
def test_pictures_fit_and_are_never_enlarged(size: tuple[int, int], small: tuple[int, int]) -> None:
    assert picture_size(size) == small


def test_a_mask_keeps_its_shape_when_it_is_resampled() -> None:
    mask = np.zeros((4, 6), np.bool_)
    mask[1:, 2:4] = True
    np.testing.assert_array_equal(resample(mask, (4, 6)), mask)
    np.testing.assert_array_equal(resample(mask.repeat(3, 0).repeat(5, 1), (4, 6)), mask)


def test_the_largest_masks_are_shown_by_their_first_prompt_and_what_covers_all_comes_last() -> None:
    asked = manifest(3, 19, 5, 0, 9, points=(0, 1, 2, 3, 4, 4), boxes=(0, 1))
    assert choose_prompts(asked) == [4, 2, 0]
    assert choose_prompts(manifest(3, 19, 5, points=(1, 0), boxes=(2, 0))) == [2, 1, 0]
    assert choose_prompts(manifest(0, points=(0,))) == choose_prompts(manifest(4)) == []


def test_the_answers_are_kept_and_nothing_else() -> None:
    asked = manifest(3, 5, points=(0, 0, 1))
    answers = Masks.from_dense(np.random.default_rng(0).random((3, 10, 20)) < 0.5)
    kept = shown_answers(asked, answers)
    assert json.loads(json.dumps(kept)) == kept
    assert (kept["prompts"], kept["size"]) == ([2, 0], [10, 20])
    for place, counts in zip(kept["prompts"], kept["counts"], strict=True):
        np.testing.assert_array_equal(shown_mask(counts, (10, 20)), answers.mask(place))


def test_a_large_photo_takes_little_room() -> None:
    rows, columns = np.mgrid[:1500, :2250]
    ragged = (rows - 700 + 40 * np.sin(columns / 9)) ** 2 + (columns - 1100) ** 2 < 500**2
    answers = Masks.from_dense(np.repeat(ragged[None], 5, axis=0))
    asked = Manifest("clean", Prompts.of([(0, 0)] * 5), Masks.from_dense(np.repeat(ragged[None], 5, axis=0)))
    kept = shown_answers(asked, answers)
    assert kept["size"] == [373, SIDE]
    assert len(kept["counts"]) == COUNT
    assert len(json.dumps(kept)) < 15_000  # a thousand: 15 MB
