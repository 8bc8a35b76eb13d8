"""regions/crossing.py: cells through whose middle the photo's borders run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rectangles import boxes, overlapping
from scipy import ndimage

from segrobust.regions.atoms import atoms, find_atoms
from segrobust.regions.crossing import border_pixels, crossing, place_centres
from segrobust.regions.guide import region_guided_map
from segrobust.types import Masks


def fresh(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def followed(masks: Masks, labels: np.ndarray) -> float:
    """The share of the true border that has a border of the guide within two pixels."""
    near = ndimage.binary_dilation(border_pixels(labels), np.ones((5, 5)))
    return float(near[border_pixels(find_atoms(masks).labels)].mean())


@settings(max_examples=40)
@given(overlapping(), st.floats(3, 20), st.integers(0, 3))
def test_centres_are_apart_and_leave_no_border_alone(masks: Masks, spacing: float, seed: int) -> None:
    border = border_pixels(find_atoms(masks).labels)
    centres = place_centres(border, spacing, fresh(seed))
    assert len(centres) >= 1
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2) + 1e9 * np.eye(len(centres))
    assert gaps.min() >= spacing
    on_border = border[centres[:, 0], centres[:, 1]]
    places = np.argwhere(border)
    distances = np.linalg.norm(places[:, None] - centres[None], axis=2)
    if len(places):
        assert (distances.min(axis=1) < spacing).all()
        near = np.argwhere(ndimage.distance_transform_edt(~border) < spacing / 4)
        distances = np.linalg.norm(near[:, None] - centres[None], axis=2)
        assert on_border[distances.argmin(axis=1)].all()  # what is near a border is in a cell centred on one


@settings(max_examples=40)
@given(overlapping(), st.sampled_from([0.05, 0.1, 0.3]))
def test_every_pixel_has_one_region_and_none_is_black(masks: Masks, grid_rate: float) -> None:
    guide = crossing(masks, fresh(), grid_rate=grid_rate)
    assert np.array_equal(np.unique(guide.labels), np.arange(1, guide.labels.max() + 1))
    assert guide.picture.min() > 0


def test_borders_of_cells_cross_a_straight_border_at_a_right_angle() -> None:
    masks = boxes((200, 200), (0, 0, 200, 100))
    labels = crossing(masks, fresh()).labels
    near = labels[95:104]  # up to d / 4 from the border: centres lie on it, so cuts are columns
    cuts = np.flatnonzero((near[:, 1:] != near[:, :-1]).any(axis=0))
    straight = np.flatnonzero((near[:, 1:] != near[:, :-1]).all(axis=0))
    assert np.array_equal(cuts, straight)
    assert 6 <= len(cuts) <= 12
    assert (near == near[0]).all()


def test_it_follows_far_less_of_the_borders_than_guides_made_of_masks() -> None:
    masks = boxes((300, 300), (30, 40, 210, 160), (100, 90, 270, 280), (120, 100, 190, 150), (20, 200, 60, 240))
    ours = np.mean([followed(masks, crossing(masks, fresh(seed)).labels) for seed in range(5)])
    assert ours < 0.25
    assert followed(masks, atoms(masks, fresh(), reach_rate=0).labels) == 1
    assert followed(masks, region_guided_map(masks, fresh()).labels) > 2 * ours


def test_cells_are_about_as_many_as_those_of_the_grid() -> None:
    counts = [crossing(boxes((400, 400)), fresh(seed)).labels.max() for seed in range(5)]
    assert 75 <= np.mean(counts) <= 115  # g = 40: the grid has 100


def test_without_borders_cells_are_anywhere() -> None:
    for masks in (boxes((40, 60)), boxes((40, 60), (0, 0, 60, 40)), boxes((1, 1), (0, 0, 1, 1)), boxes((1, 1))):
        guide = crossing(masks, fresh())
        assert guide.labels.min() == 1
        assert guide.notes == ("no borders: the cells of the guide are anywhere",)


def test_only_the_generator_decides() -> None:
    masks = boxes((90, 120), (0, 0, 80, 50), (60, 30, 100, 60))
    first, again, other = crossing(masks, fresh(1)), crossing(masks, fresh(1)), crossing(masks, fresh(2))
    assert np.array_equal(first.picture, again.picture)
    assert not np.array_equal(first.labels, other.labels)


def test_settings_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"grid_rate .* got 0\.0"):
        crossing(boxes((50, 50), (0, 0, 5, 5)), fresh(), grid_rate=0.0)
