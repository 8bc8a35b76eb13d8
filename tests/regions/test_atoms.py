"""regions/atoms.py: pieces in which all pixels are in the same masks, and the guide without holes made of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rectangles import boxes, overlapping
from scipy.spatial import cKDTree
from skimage import measure

from segrobust.regions.atoms import Atoms, atoms, find_atoms, nearest
from segrobust.types import Masks


def fresh(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def by_hand(dense: np.ndarray) -> np.ndarray:
    """Connected pieces of equal sets of masks, from 1, as scikit-image finds them."""
    powers = 2 ** np.arange(len(dense))[:, None, None]
    return measure.label((dense * powers).sum(axis=0) + 1, connectivity=1)


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = len(np.unique(np.stack([a.ravel(), b.ravel()]), axis=1).T)
    return pairs == len(np.unique(a)) == len(np.unique(b))


stacks = hnp.arrays(np.bool_, st.tuples(st.integers(0, 4), st.integers(1, 12), st.integers(1, 12)))


@settings(max_examples=40)
@given(stacks)
def test_atoms_are_what_a_pixel_by_pixel_search_finds(dense: np.ndarray) -> None:
    found = find_atoms(Masks.from_dense(dense))
    assert same_partition(found.labels, by_hand(dense))
    assert np.array_equal(found.areas, np.bincount(found.labels.ravel()))
    for i, mask in enumerate(dense):
        assert np.array_equal(found.members[i][found.labels], mask)


def test_two_overlapping_masks_make_four_atoms() -> None:
    found: Atoms = find_atoms(boxes((10, 20), (2, 2, 10, 8), (6, 4, 16, 9)))
    assert sorted(found.areas.tolist()) == [16, 32, 34, 118]
    assert found.labels[0, 0] == 0
    assert found.members[:, found.labels[5, 7]].all()


def test_identical_masks_make_no_atoms_of_their_own() -> None:
    found = find_atoms(boxes((10, 10), (2, 2, 7, 7), (2, 2, 7, 7)))
    assert len(found.areas) == 2
    assert found.members.sum() == 2


@settings(max_examples=40)
@given(overlapping(), st.sampled_from([0.05, 0.1, 0.3, 1.0]), st.sampled_from([0.0, 0.05, 1.0]))
def test_every_pixel_has_one_region_and_none_is_black(masks: Masks, grid_rate: float, reach_rate: float) -> None:
    guide = atoms(masks, fresh(), grid_rate=grid_rate, reach_rate=reach_rate)
    assert np.array_equal(np.unique(guide.labels), np.arange(1, guide.labels.max() + 1))
    assert guide.picture.min() > 0
    sizes = np.bincount(guide.labels.ravel())[1:]
    side = max(1, int(grid_rate * min(masks.size)))
    assert len(sizes) == 1 or sizes.min() >= (side / 4) ** 2


@settings(max_examples=30)
@given(stacks.filter(lambda dense: dense.any()))
def test_nearest_is_what_a_tree_of_points_says(dense: np.ndarray) -> None:
    labels = np.where(dense.any(axis=0), np.arange(dense[0].size).reshape(dense[0].shape) + 1, 0).astype(np.int32)
    owner, far = nearest(labels)
    there = np.argwhere(labels)
    y, x = np.indices(labels.shape)
    distance = cKDTree(there).query(np.stack([y.ravel(), x.ravel()], axis=1))[0]
    np.testing.assert_allclose(far.ravel(), distance**2, rtol=1e-5)
    assert (owner > 0).all()
    assert np.array_equal(owner[labels > 0], labels[labels > 0])


def test_small_atoms_meet_halfway() -> None:
    guide = atoms(boxes((200, 300), (100, 90, 110, 110), (130, 90, 140, 110)), fresh(), reach_rate=0.1)
    left, right = guide.labels[100, 105], guide.labels[100, 135]
    assert (guide.labels[100, 85:119] == left).all()  # the gap is from 110 to 129
    assert (guide.labels[100, 121:155] == right).all()
    assert (guide.labels == left).sum() == pytest.approx((guide.labels == right).sum(), rel=0.02)
    assert guide.labels[100, 60] not in (left, right)  # beyond its 20 pixels, and a piece large enough to stay


def test_a_nested_object_stays_and_grows() -> None:
    # The paper joins all large masks, and a nested large one is lost in it.
    masks = boxes((200, 200), (0, 0, 200, 200), (75, 75, 125, 125))
    inside = atoms(masks, fresh()).labels[75:125, 75:125]
    assert not np.isin(inside, atoms(masks, fresh()).labels[0]).any()
    borders = atoms(masks, fresh()).labels
    assert (borders[100, 74] != borders[100, 75]).all()
    small = atoms(boxes((200, 200), (0, 0, 200, 200), (95, 95, 105, 105)), fresh()).labels
    assert (small[100, 83:117] == small[100, 100]).all()  # 13 pixels farther on each side
    assert small[100, 100] not in (small[100, 78], small[100, 122])


def test_large_atoms_are_cut_each_on_its_own() -> None:
    guide = atoms(boxes((100, 100), (0, 0, 45, 100)), fresh())
    assert guide.labels.max() == 100 + 10  # the mask's border cuts a column of cells in two
    assert not set(np.unique(guide.labels[:, :45])) & set(np.unique(guide.labels[:, 45:]))


def test_a_sliver_is_no_region_but_a_thin_mask_is() -> None:
    twice = atoms(boxes((200, 200), (40, 40, 160, 100), (40, 40, 160, 101)), fresh())
    once = atoms(boxes((200, 200), (40, 40, 160, 100)), fresh())
    assert same_partition(twice.labels, once.labels)
    pole = atoms(boxes((200, 200), (100, 40, 101, 160)), fresh(), reach_rate=0.02)
    assert len(np.unique(pole.labels[40:160, 100])) == 1
    assert (pole.labels[40:160, 97:104] == pole.labels[100, 100]).all()


def test_without_masks_it_is_the_grid_and_says_so() -> None:
    for masks in (boxes((40, 60)), boxes((40, 60), (5, 5, 5, 9))):
        guide = atoms(masks, fresh())
        assert guide.labels.max() == 10 * 15
        assert guide.notes == ("no masks: the guide is the grid alone",)


def test_one_mask_of_the_whole_photo_is_cut() -> None:
    guide = atoms(boxes((40, 60), (0, 0, 60, 40)), fresh())
    assert guide.labels.max() == 10 * 15
    assert guide.notes == ()


@pytest.mark.parametrize("given_masks", [(), ((0, 0, 1, 1),)])
def test_a_photo_of_one_pixel_is_one_region(given_masks: tuple) -> None:
    assert atoms(boxes((1, 1), *given_masks), fresh()).labels.tolist() == [[1]]


def test_only_colours_are_drawn_and_mask_order_does_not_matter() -> None:
    some = [(0, 0, 80, 50), (60, 30, 100, 60), (62, 32, 70, 40)]
    masks, turned = boxes((90, 120), *some), boxes((90, 120), *some[::-1])
    first, again, other = atoms(masks, fresh(1)), atoms(masks, fresh(1)), atoms(turned, fresh(2))
    assert np.array_equal(first.picture, again.picture)
    assert not np.array_equal(first.picture, other.picture)
    assert np.array_equal(first.labels, other.labels)


@pytest.mark.parametrize(
    ("wrong", "message"), [({"grid_rate": 0.0}, "grid_rate .* got 0.0"), ({"reach_rate": -0.1}, "got -0.1")]
)
def test_settings_out_of_range(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        atoms(boxes((50, 50), (0, 0, 5, 5)), fresh(), **wrong)
