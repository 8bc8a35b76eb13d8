"""regions/colours.py: colours of neighbours that differ as much as they can."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rectangles import overlapping

from segrobust.regions.atoms import atoms, find_atoms
from segrobust.regions.colours import contrast_colours, contrasts, random_colours, smallest_last
from segrobust.regions.guide import region_guided_map
from segrobust.types import Masks


def fresh(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=40)
@given(overlapping(), st.integers(0, 3), st.booleans())
def test_neighbours_in_one_piece_are_254_levels_apart(masks: Masks, seed: int, holes: bool) -> None:
    labels = find_atoms(masks).labels + np.int32(1)
    if holes:
        labels[labels == 1] = 0
    colours = contrast_colours(labels, fresh(seed))
    assert (contrasts(labels, colours) >= 254**2).all()
    assert not colours[0].any()
    assert set(np.unique(colours[1:])) <= {1, 255}


@settings(max_examples=30)
@given(overlapping(), st.integers(0, 3))
def test_no_contrast_is_less_than_with_random_colours(masks: Masks, seed: int) -> None:
    labels = region_guided_map(masks, fresh(), dilation=3).labels
    if labels.min() < labels.max():
        ours = contrasts(labels, contrast_colours(labels, fresh(seed)))
        theirs = contrasts(labels, random_colours(labels, fresh(seed)))
        assert ours.min(initial=0) >= min(254**2, theirs.min(initial=0))


def test_on_a_chessboard_neighbours_are_far_apart() -> None:
    labels = np.arange(1, 101, dtype=np.int32).reshape(10, 10)
    ours = [contrasts(labels, contrast_colours(labels, fresh(seed))) for seed in range(10)]
    theirs = [contrasts(labels, random_colours(labels, fresh(seed))) for seed in range(10)]
    assert np.min(ours) >= 254**2
    assert np.mean(ours) > 2 * np.mean(theirs)
    assert np.min(theirs) < 60**2


def test_more_neighbours_than_corners_still_have_colours() -> None:
    # Each of 12 regions is in pieces, and all touch all: no planar graph, and more than seven colours are needed.
    labels = np.stack([fresh(seed).permutation(12) for seed in range(400)]).astype(np.int32) + np.int32(1)
    assert set(np.unique(contrast_colours(labels, fresh())[1:])) == {1, 255}


def test_only_the_generator_decides() -> None:
    labels = np.arange(1, 31, dtype=np.int32).reshape(5, 6)
    first, again, other = (contrast_colours(labels, fresh(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_nothing_painted_is_black() -> None:
    assert contrast_colours(np.zeros((3, 4), np.int32), fresh()).tolist() == [[0, 0, 0]]


def test_smallest_last_leaves_the_centre_of_a_star_early() -> None:
    star = [set(), {2, 3, 4, 5}, {1}, {1}, {1}, {1}]
    order = smallest_last(star)
    assert sorted(order) == [1, 2, 3, 4, 5]
    assert 1 in order[:2]  # when the leaves but one are gone, it has one neighbour, too
    before = [len(star[region] & set(order[:place])) for place, region in enumerate(order)]
    assert max(before) == 1


@pytest.mark.parametrize("build", [region_guided_map, atoms])
def test_guides_take_a_colouring(build) -> None:
    dense = np.zeros((2, 100, 120), np.bool_)
    dense[0, 10:80, 20:90] = dense[1, 30:40, 30:40] = True
    masks = Masks.from_dense(dense)
    plain, bright = build(masks, fresh()), build(masks, fresh(), colours=contrast_colours)
    assert np.array_equal(plain.labels, bright.labels)
    assert set(np.unique(bright.picture)) <= {0, 1, 255}
    assert not set(np.unique(plain.picture)) <= {0, 1, 255}
