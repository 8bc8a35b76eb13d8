"""regions/tree.py: what is inside what, and a guide that keeps the leaves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rectangles import boxes, overlapping

from segrobust.regions.atoms import find_atoms
from segrobust.regions.guide import region_guided_map
from segrobust.regions.tree import containment, owners, tree
from segrobust.types import Masks


def fresh(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_family_of_three_generations() -> None:
    masks = boxes((100, 100), (10, 10, 20, 20), (0, 0, 100, 100), (5, 5, 50, 50), (60, 60, 90, 90))
    family = containment(find_atoms(masks))
    assert family.parents.tolist() == [2, -1, 1, 1]
    assert family.leaves.tolist() == [True, False, False, True]
    assert not family.left_out.any()


def test_nine_tenths_inside_is_inside() -> None:
    grown_out = [(0, 0, 50, 50), (41, 0, 51, 10)], [(0, 0, 50, 50), (40, 0, 51, 10)]
    nine, more = ([*pair] for pair in grown_out)
    assert containment(find_atoms(boxes((60, 60), *nine))).parents.tolist() == [-1, -1]  # 90 of 100 pixels: not more
    assert containment(find_atoms(boxes((60, 60), *more))).parents.tolist() == [-1, 0]  # 100 of 110


def test_the_same_mask_again_is_left_out() -> None:
    masks = boxes((60, 60), (0, 0, 40, 40), (0, 0, 40, 40), (0, 0, 40, 41), (5, 5, 5, 5), (3, 3, 9, 9))
    family = containment(find_atoms(masks))
    assert family.left_out.tolist() == [False, True, True, True, False]
    assert family.parents.tolist() == [-1, -1, -1, -1, 0]
    assert family.leaves.tolist() == [False, False, False, False, True]


@settings(max_examples=40)
@given(overlapping())
def test_the_tree_is_that_of_the_pixels(masks: Masks) -> None:
    family = containment(find_atoms(masks))
    dense = masks.dense()
    left = np.flatnonzero(~family.left_out)
    for i in left:
        for j in left[left > i]:
            assert (dense[i] & dense[j]).sum() <= 0.9 * (dense[i] | dense[j]).sum()
        around = [
            j for j in left if (masks.areas[i], i) < (masks.areas[j], j)
            and (dense[i] & dense[j]).sum() > 0.9 * masks.areas[i]
        ]  # fmt: skip
        assert family.parents[i] == min(around, key=lambda j: (masks.areas[j], j), default=-1)
        if around:
            assert not family.leaves[around].any()
    assert family.leaves.sum() > 0 or not len(left)


@settings(max_examples=40)
@given(overlapping(), st.sampled_from([0.05, 0.1, 0.3]), st.sampled_from([0.0, 0.1]))
def test_leaves_never_overlap_and_are_never_painted_over(masks: Masks, grid_rate: float, reach_rate: float) -> None:
    found = find_atoms(masks)
    family, dense = containment(found), masks.dense()
    owner = np.append(owners(found, masks.areas, family), -1)[found.labels]
    guide = tree(masks, fresh(), grid_rate=grid_rate, reach_rate=reach_rate)
    shown = [i for i in np.flatnonzero(family.leaves) if (owner == i).any()]
    for number, i in enumerate(shown, 1):
        assert np.array_equal(guide.labels == number, owner == i)
        assert not (guide.labels == number)[~dense[i]].any()
    inside = dense[family.leaves].any(axis=0)
    assert ((guide.labels >= 1) & (guide.labels <= len(shown)) == inside).all()
    kept = dense[~family.left_out].any(axis=0)
    assert (guide.labels[kept] > 0).all()
    assert np.array_equal(np.unique(guide.labels[guide.labels > 0]), np.arange(1, guide.labels.max() + 1))
    assert reach_rate or not guide.labels[~kept].any()


def test_of_two_leaves_the_smaller_is_whole() -> None:
    guide = tree(boxes((60, 60), (0, 0, 30, 30), (20, 20, 40, 40)), fresh())
    assert (guide.labels == 2).sum() == 400
    assert (guide.labels == 1).sum() == 900 - 100


def test_a_nested_large_leaf_keeps_its_border() -> None:
    # 100 x 100 in the whole photo; cells are 20. The paper's map has 100 cells and no trace of the smaller one.
    masks = boxes((200, 200), (0, 0, 200, 200), (50, 50, 150, 150))
    guide = tree(masks, fresh())
    assert np.array_equal(guide.labels == 1, masks.mask(1))
    assert guide.labels.max() == 1 + 100 - 16  # without the cells inside
    assert len(np.unique(region_guided_map(masks, fresh()).labels[50:150, 50:150])) == 36


def test_what_is_left_of_parents_is_cut_for_each_alone_and_grown_where_small() -> None:
    apart = tree(boxes((100, 100), (0, 0, 45, 50), (45, 0, 100, 50), (2, 2, 8, 8), (50, 2, 58, 8)), fresh())
    assert not set(np.unique(apart.labels[:, :45])) - {0} & set(np.unique(apart.labels[:, 45:]))
    rim = tree(boxes((400, 400), (100, 100, 130, 130), (102, 102, 128, 128)), fresh(), reach_rate=0.025)
    assert np.array_equal(rim.labels == 1, boxes((400, 400), (102, 102, 128, 128)).mask(0))
    assert (rim.labels == 2).sum() == 50 * 50 - 26 * 26


def test_disjoint_small_masks_are_themselves() -> None:
    masks = boxes((100, 100), (0, 0, 8, 8), (20, 20, 28, 28))
    guide = tree(masks, fresh())
    assert np.array_equal(guide.labels, masks.mask(0) + 2 * masks.mask(1))


@pytest.mark.parametrize("nothing", [boxes((30, 40)), boxes((30, 40), (3, 3, 3, 3)), boxes((1, 1))])
def test_without_a_region_the_guide_is_black_and_says_so(nothing: Masks) -> None:
    guide = tree(nothing, fresh())
    assert not guide.picture.any()
    assert guide.notes == ("no masks: the guide is black",)


def test_one_mask_of_the_whole_photo_is_a_leaf() -> None:
    for size in ((40, 60), (1, 1)):
        assert (tree(boxes(size, (0, 0, size[1], size[0])), fresh()).labels == 1).all()


def test_only_colours_are_drawn() -> None:
    masks = boxes((90, 120), (0, 0, 80, 50), (60, 30, 100, 60), (62, 32, 70, 40))
    first, again, other = tree(masks, fresh(1)), tree(masks, fresh(1)), tree(masks, fresh(2))
    assert np.array_equal(first.picture, again.picture)
    assert not np.array_equal(first.picture, other.picture)
    assert np.array_equal(first.labels, other.labels)


@pytest.mark.parametrize(
    ("wrong", "message"), [({"grid_rate": 0.0}, "grid_rate .* got 0.0"), ({"reach_rate": -0.1}, "got -0.1")]
)
def test_settings_out_of_range(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tree(boxes((50, 50), (0, 0, 5, 5)), fresh(), **wrong)
