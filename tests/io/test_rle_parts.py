"""Masks that are encoded and decoded only where they are: the same as whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segrobust.io.rle import decode_part, encode_part, run_lengths
from segrobust.types import Masks, encode_mask


@given(
    part=hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6)),
    margins=st.tuples(*[st.integers(0, 2)] * 4),
)
def test_a_part_is_encoded_as_coco_does_the_whole(part: np.ndarray, margins: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = margins
    whole = np.pad(part, ((top, bottom), (left, right)))
    if whole.size:
        assert encode_part(part, whole.shape, (top, left)) == encode_mask(whole)


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
def test_run_lengths_are_those_of_pycocotools(mask: np.ndarray) -> None:
    runs = run_lengths(encode_mask(mask)["counts"])
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    np.testing.assert_array_equal(flat.reshape(mask.shape[::-1]).T, mask)


def test_long_runs() -> None:
    mask = np.zeros((3000, 4000), np.bool_)
    mask[:, 1000:3000] = True
    assert run_lengths(encode_mask(mask)["counts"]).tolist() == [3_000_000, 6_000_000, 3_000_000]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ("", "counts is no COCO run-length string: ''"),
        ("12 3", "counts is no COCO run-length string: '12 3'"),
        ("p5", "counts is no COCO run-length string: 'p5'"),
        ("ü5", "counts is no COCO run-length string: 'ü5'"),
        ("\U0001f600", "counts is no COCO run-length string"),
        ("5P", "counts breaks off: '5P'"),
        ("o" * 8 + "0", "counts is no COCO run-length string, a run is too long: 'oooooooo0'"),
    ],
)
def test_what_is_no_run_length_string(counts: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        run_lengths(counts)


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
def test_the_part_of_a_mask_in_its_box(mask: np.ndarray) -> None:
    masks = Masks.from_dense(mask[None])
    x0, y0, x1, y1 = masks.boxes[0].astype(int)
    np.testing.assert_array_equal(decode_part(masks.rles[0], masks.boxes[0]), mask[y0:y1, x0:x1])


@pytest.mark.parametrize("top", [0, 1, 333])
def test_the_part_of_a_mask_with_long_and_shrinking_runs(top: int) -> None:
    rows, columns = np.mgrid[:1000, :700]
    mask = (rows >= top) & (rows - top < 3000 // (1 + columns)) | (columns == 600)
    masks = Masks.from_dense(mask[None])
    np.testing.assert_array_equal(decode_part(masks.rles[0], masks.boxes[0]), mask[:, : int(masks.boxes[0, 2])])
