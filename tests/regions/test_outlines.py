"""Where regions end: against all pairs of pixels, and on shapes whose edges are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist

from segrobust.regions.outlines import edges, moved_edge, near_edges, picture_of_moved_edges
from segrobust.types import Masks

stacks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)))


def square(left: int, right: int, size: tuple[int, int] = (40, 50)) -> np.ndarray:
    mask = np.zeros(size, np.bool_)
    mask[left:right, left:right] = True
    return mask


def edges_by_hand(dense: np.ndarray) -> np.ndarray:
    found = np.zeros(dense.shape[1:], np.bool_)
    for mask in dense:
        for y, x in np.ndindex(mask.shape):
            for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                other = (y + down, x + right)
                if 0 <= other[0] < mask.shape[0] and 0 <= other[1] < mask.shape[1]:
                    found[y, x] |= mask[y, x] != mask[other]
    return found


def within_reach(pixels: np.ndarray, reach: float) -> np.ndarray:
    """All pixels at most so far from one of these."""
    every = np.argwhere(np.ones_like(pixels))
    if not pixels.any():
        return np.zeros_like(pixels)
    return (cdist(every, np.argwhere(pixels)).min(axis=1) <= reach).reshape(pixels.shape)


@given(stacks, st.integers(1, 5))
def test_edges_and_bands_are_those_of_all_pairs_of_pixels(dense: np.ndarray, pixels: int) -> None:
    masks = Masks.from_dense(dense)
    np.testing.assert_array_equal(edges(masks), edges_by_hand(dense))
    np.testing.assert_array_equal(near_edges(masks, pixels), within_reach(edges_by_hand(dense), pixels - 1))


@pytest.mark.parametrize("pixels", [1, 4, 9])
def test_a_band_has_as_many_pixels_on_each_side_of_a_straight_edge(pixels: int) -> None:
    half = np.zeros((1, 30, 60), np.bool_)
    half[:, :, :25] = True  # its other edges are the photo's border, and no edges
    band = near_edges(Masks.from_dense(half), pixels)
    assert np.array_equal(np.flatnonzero(band.all(axis=0)), np.arange(25 - pixels, 25 + pixels))
    assert band.sum() == 30 * 2 * pixels


def test_without_masks_there_is_no_band_and_none_is_less_than_a_pixel_wide() -> None:
    assert not near_edges(Masks.from_rles((20, 30), []), 8).any()
    assert not near_edges(Masks.from_dense(np.ones((1, 20, 30), np.bool_)), 8).any()
    with pytest.raises(ValueError, match="at least 1 pixel wide on each side, got 0"):
        near_edges(Masks.from_rles((20, 30), []), 0)


@given(stacks, st.integers(-4, 4))
def test_edges_move_by_euclidean_distance(dense: np.ndarray, pixels: int) -> None:
    mask = dense[0]
    if pixels >= 0:
        wanted = within_reach(mask, pixels)
    else:
        wanted = ~within_reach(~mask, -pixels)
    np.testing.assert_array_equal(moved_edge(mask, pixels), wanted)


def test_the_photos_border_is_no_edge_that_could_move() -> None:
    half = np.zeros((20, 30), np.bool_)
    half[:, :10] = True
    assert np.array_equal(moved_edge(half, -3), np.arange(30)[None] < np.full((20, 1), 7))
    assert np.array_equal(moved_edge(half, 3), np.arange(30)[None] < np.full((20, 1), 13))


@pytest.mark.parametrize("pixels", [3, -3])
def test_of_flat_colours_the_picture_is_the_moved_mask(pixels: int) -> None:
    mask = square(10, 30)
    photo = np.where(mask[..., None], (200, 30, 40), (10, 90, 160)).astype(np.uint8)
    picture = picture_of_moved_edges(photo, Masks.from_dense(mask[None]), pixels)
    wanted = np.where(moved_edge(mask, pixels)[..., None], (200, 30, 40), (10, 90, 160))
    np.testing.assert_array_equal(picture, wanted)


def test_what_a_region_gains_mirrors_its_rim() -> None:
    photo = np.zeros((20, 30, 3), np.uint8)
    photo[..., 0] = np.arange(30)
    half = np.broadcast_to(np.arange(30) < 12, (1, 20, 30)).copy()
    grown = picture_of_moved_edges(photo, Masks.from_dense(half), 4)
    assert grown[5, :, 0].tolist() == [*range(12), 11, 10, 9, 8, *range(16, 30)]
    shrunk = picture_of_moved_edges(photo, Masks.from_dense(half), -4)
    assert shrunk[5, :, 0].tolist() == [*range(8), 15, 14, 13, 12, *range(12, 30)]


def test_a_small_region_stays_visible_on_a_large_one() -> None:
    large, small = square(5, 35), square(18, 22)
    photo = np.where(small[..., None], 250, np.where(large[..., None], 120, 10)).astype(np.uint8).repeat(3, axis=-1)
    picture = picture_of_moved_edges(photo, Masks.from_dense(np.stack([small, large])), 2)
    wanted = np.where(moved_edge(small, 2), 250, np.where(moved_edge(large, 2), 120, 10))
    np.testing.assert_array_equal(picture[..., 0], wanted)


@settings(max_examples=40)
@given(stacks, st.integers(-3, 3), st.integers(0, 99))
def test_a_picture_has_the_photos_colours_and_changes_only_what_edges_pass(
    dense: np.ndarray, pixels: int, seed: int
) -> None:
    photo = np.random.default_rng(seed).integers(0, 256, (*dense.shape[1:], 3), dtype=np.uint8)
    picture = picture_of_moved_edges(photo, Masks.from_dense(dense), pixels)
    passed = np.logical_or.reduce([mask ^ moved_edge(mask, pixels) for mask in dense])
    np.testing.assert_array_equal(picture[~passed], photo[~passed])
    assert {tuple(pixel) for pixel in picture.reshape(-1, 3)} <= {tuple(pixel) for pixel in photo.reshape(-1, 3)}
