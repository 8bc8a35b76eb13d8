"""What is asked for and what is found stay in the photo's pixels, wherever the photo is laid."""

import numpy as np
import pytest
import torch
from answering import Bright
from hypothesis import given, settings
from hypothesis import strategies as st

from segrobust.defences.defended import defend
from segrobust.defences.placement import PlacedGeometry, Placement, vote
from segrobust.defences.resize_pad import ResizePad
from segrobust.models.geometry import Geometry
from segrobust.randomness import stream
from segrobust.types import Image, Masks, Prompts

unit = st.floats(0, 1, exclude_max=True)
sides = st.tuples(st.integers(1, 200), st.integers(1, 200))


def within_a_pixel(found, drawn, reach=1):
    """Both masks differ only where the other's edge is at most ``reach`` pixels away."""
    height, width = drawn.shape
    padded = [np.pad(mask, reach, mode="edge") for mask in (found, drawn)]
    shifts = [(y, x) for y in range(2 * reach + 1) for x in range(2 * reach + 1)]
    grown, shrunk = [], []
    for mask in padded:
        parts = np.stack([mask[y : y + height, x : x + width] for y, x in shifts])
        grown.append(parts.any(0))
        shrunk.append(parts.all(0))
    return not (found & ~grown[1]).any() and not (shrunk[1] & ~found).any()


@given(size=sides, draw=st.tuples(unit, unit, unit))
def test_the_photo_lies_on_its_canvas(size, draw):
    placement = ResizePad().place(size, draw)
    for original, resized, canvas, offset in zip(
        size, placement.resized, placement.canvas, placement.offset, strict=True
    ):
        assert 0 <= offset <= canvas - resized
        assert abs(resized - original * (0.9 + 0.2 * draw[0])) <= max(0.5, 1 - original * 0.9) + 1e-9
        assert canvas == max(1, round(1.1 * original))


@given(size=sides, draw=st.tuples(unit, unit, unit), seed=st.integers(0, 99))
@settings(max_examples=60, database=None)
def test_a_mask_on_the_canvas_comes_back_to_where_it_was(size, draw, seed):
    rng, placement = np.random.default_rng(seed), ResizePad().place(size, draw)
    (y0, y1), (x0, x1) = (np.sort(rng.integers(0, side + 1, 2)) for side in size)
    drawn = np.zeros(size, np.bool_)
    drawn[y0:y1, x0:x1] = True
    (left, top), (right, bottom) = placement.edges(np.array([[x0, y0], [x1, y1]], np.float64)).round().astype(int)
    canvas = np.zeros((1, *placement.canvas), np.bool_)
    canvas[0, top:bottom, left:right] = True
    back = placement.back(Masks.from_dense(canvas, predicted_iou=[0.7], points=[(left, top)]))
    assert back.size == size
    assert back.predicted_iou.tolist() == [0.7]
    assert within_a_pixel(back.mask(0), drawn)


@given(size=sides, draw=st.tuples(unit, unit, unit))
@settings(database=None)
def test_points_go_there_and_back(size, draw):
    placement = ResizePad().place(size, draw)
    corners = [(0.0, 0.0), (size[1] - 1.0, size[0] - 1.0)]
    moved = placement.prompts(Prompts.of(points=corners))
    (top, left), (height, width) = placement.offset, placement.resized
    assert (moved.points >= np.array([left, top]) - 0.5).all()
    assert (moved.points <= np.array([left + width, top + height]) - 0.5).all()
    empty = np.zeros((2, *placement.canvas), np.bool_)
    back = placement.back(Masks.from_dense(empty, points=moved.points))
    np.testing.assert_allclose(back.points, corners, atol=1e-9)


def test_the_whole_photo_is_the_whole_box():
    placement = ResizePad().place((40, 60), (0.2, 0.3, 0.9))
    box = placement.prompts(Prompts.of(boxes=[(0, 0, 60, 40)])).boxes[0]
    (top, left), (height, width) = placement.offset, placement.resized
    np.testing.assert_allclose(box, [left, top, left + width, top + height])


@pytest.mark.parametrize("size", [(90, 130), (31, 200), (64, 40)])
@pytest.mark.parametrize("seed", range(6))
def test_a_bright_thing_comes_back_at_its_place(size, seed):
    pixels = np.full((*size, 3), 40, np.uint8)
    height, width = size
    drawn = np.zeros(size, np.bool_)
    drawn[height // 4 : height // 2, width // 3 : width * 3 // 4] = True
    pixels[drawn] = 240
    model = Bright()
    middle = (width // 2, height // 3)
    prompts = Prompts.of(points=[middle], boxes=[(width // 3, height // 4, width * 3 // 4, height // 2)])
    answers = defend(model, "resize-pad", seed).answer(Image(pixels), prompts)
    assert model.seen[0].size == tuple(round(1.1 * side) for side in size)
    assert answers.size == size
    for mask in answers:
        assert within_a_pixel(mask, drawn)


def test_draws_are_of_all_sizes_and_places():
    generator = stream(0)
    placements = [ResizePad().show(np.zeros((100, 100, 3), np.uint8), generator).placements[0] for _ in range(80)]
    heights = [p.resized[0] for p in placements]
    assert min(heights) < 93 < 107 < max(heights)
    assert len({p.offset for p in placements}) > 30
    assert {p.canvas for p in placements} == {(110, 110)}


def test_the_padding_is_grey():
    shown = ResizePad().show(np.zeros((50, 50, 3), np.uint8), stream(1)).pixels
    assert set(np.unique(shown[[0, -1]])) <= {0, 128}
    assert 128 in shown


def test_a_placement_off_its_canvas_is_refused():
    with pytest.raises(ValueError, match="leaves its canvas"):
        Placement((10, 10), (11, 11), (12, 12), (2, 0))


def test_logits_come_back_through_both_geometries():
    """A photo in the middle of a canvas, which fills the model: a line of logits is cut and stretched."""
    placement = Placement((10, 20), (10, 20), (30, 40), (10, 10))
    geometry = PlacedGeometry.of(Geometry((30, 40), (30, 40), 40), placement)
    logits = torch.arange(40.0).expand(1, 1, 40, 40)
    torch.testing.assert_close(geometry.restore(logits)[0, 0, 0], torch.arange(10.0, 30.0))
    np.testing.assert_allclose(geometry.to_model(np.array([[0.0, 0.0]])), [[10, 10]])


@given(st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=30, database=None)
def test_a_vote_is_won_by_more_than_half(voters, seed):
    masks = list(np.random.default_rng(seed).random((voters, 5, 6)) > 0.5)
    np.testing.assert_array_equal(vote(masks), np.mean(masks, axis=0) > 0.5)
