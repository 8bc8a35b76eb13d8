"""Depths, pictures and questions: what goals are made of."""

import numpy as np
import pytest
import torch
from linear import LinearSegmenter
from scipy import ndimage

from segrobust.attacks.objectives.depths import UAD_BLOCKS, inner_layers
from segrobust.attacks.objectives.pictures import dead_leaves, leaf_radii, other_picture
from segrobust.attacks.objectives.questions import Anywhere, Given, Grid, OnMasks, grid_points
from segrobust.attacks.recipes.values import a_box, a_point, numbers, whole_numbers
from segrobust.attacks.scene import Scene
from segrobust.errors import CapabilityError, PhotoError, UsageError
from segrobust.io.images import write_png
from segrobust.models.geometry import to_tensor
from segrobust.types import Budget, Image, Masks

PHOTO = Image(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
DENSE = np.zeros((3, 30, 40), bool)
DENSE[0, 2:12, 3:20] = True
DENSE[2, 20:28, 10:39] = True


def scene(masks=DENSE, seed=0):
    source = to_tensor(PHOTO.pixels)[None]
    return Scene(LinearSegmenter(), PHOTO, source, Budget.parse("8/255"), seed, "test", Masks.from_dense(masks))


class Deep(LinearSegmenter):
    def __init__(self, depth):
        self._depth = depth

    @property
    def depth(self):
        return self._depth


@pytest.mark.parametrize(
    ("depth", "layers"),
    [(12, (3, 4, 5, 6)), (24, (7, 9, 11, 13)), (32, (10, 12, 15, 18)), (13, (3, 4, 6, 7)), (2, (0,)), (1, (0,))],
)
def test_blocks_of_twelve_lie_as_deep_in_other_encoders(depth, layers):
    assert inner_layers(Deep(depth), UAD_BLOCKS) == layers


def test_layers_can_be_named_one_by_one_and_what_is_not_there_is_refused(tiny_sam):
    assert inner_layers(Deep(13), (1, 13, 7), of=13) == (0, 6, 12)
    assert inner_layers(Deep(0), ()) == ()
    with pytest.raises(UsageError, match="block 13 is not one of the 12"):
        inner_layers(Deep(12), (4, 13))
    with pytest.raises(CapabilityError, match="blocks=\\(\\) attacks its embedding"):
        inner_layers(Deep(0), UAD_BLOCKS)
    assert inner_layers(tiny_sam, (4, 12)) == (0, 2)


def test_dead_leaves_are_flat_discs_of_many_sizes():
    picture = dead_leaves((60, 90), np.random.default_rng(0))
    assert picture.shape == (60, 90, 3)
    colours, sizes = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    assert len(colours) > 30
    assert sizes.max() > 20 * np.median(sizes)
    assert np.array_equal(picture, dead_leaves((60, 90), np.random.default_rng(0)))
    one = dead_leaves((200, 200), np.random.default_rng(3), leaves=1)
    disc = (one != one[0, 0]).any(axis=2) if (one[0, 0] == one[-1, -1]).all() else (one != one[0, -1]).any(axis=2)
    rows, columns = ndimage.find_objects(disc.astype(int))[0]
    extent = max(rows.stop - rows.start, columns.stop - columns.start)
    assert 4 <= extent <= 202


def test_later_leaves_lie_over_earlier_ones():
    """Painted pixel by pixel from the same draws."""
    size, leaves, draw = (12, 17), 30, np.random.default_rng(5)
    radii = leaf_radii(leaves, 1.0, 6.0, draw)
    centres = draw.uniform(0, 1, (leaves, 2)) * size
    colours = draw.integers(0, 256, (leaves, 3), dtype=np.uint8)
    painted = np.tile(draw.integers(0, 256, 3, dtype=np.uint8), (*size, 1))
    for (y, x), radius, colour in zip(centres, radii, colours, strict=True):
        for row in range(12):
            for column in range(17):
                if (row - y) ** 2 + (column - x) ** 2 <= radius**2:
                    painted[row, column] = colour
    assert np.array_equal(dead_leaves(size, np.random.default_rng(5), leaves), painted)


def test_radii_have_the_density_of_the_model():
    """With density 1 / r^3 between a and b, the share below r is (1 / a^2 - 1 / r^2) / (1 / a^2 - 1 / b^2)."""
    radii = np.sort(leaf_radii(4000, 2.0, 40.0, np.random.default_rng(0)))
    assert radii[0] >= 2
    assert radii[-1] <= 40
    share = (1 / 4 - 1 / radii**2) / (1 / 4 - 1 / 1600)
    assert np.abs(share - (np.arange(4000) + 0.5) / 4000).max() < 0.03


def test_other_pictures_have_the_photos_size(tmp_path):
    draw = np.random.default_rng(0)
    assert other_picture("leaves", PHOTO, draw).shape == PHOTO.pixels.shape
    flat = Image(np.full((30, 40, 3), 77, np.uint8))
    assert (other_picture("crop", flat, draw) == 77).all()
    crops = [other_picture("crop", PHOTO, np.random.default_rng(seed)) for seed in range(2)]
    assert not np.array_equal(*crops)
    path = write_png(tmp_path / "small.png", np.full((5, 9, 3), 200, np.uint8))
    assert (other_picture(str(path), PHOTO, draw) == 200).all()
    with pytest.raises(PhotoError):
        other_picture(str(tmp_path / "none.png"), PHOTO, draw)


def test_a_crop_is_a_quarter_of_the_photo_enlarged():
    left = np.zeros((40, 40, 3), np.uint8)
    left[:, 20:] = 255
    means = [other_picture("crop", Image(left), np.random.default_rng(seed)).mean() for seed in range(40)]
    assert min(means) < 30
    assert max(means) > 225


def test_points_anywhere_fill_the_photo_and_repeat():
    points = Anywhere(500)(scene()).points
    assert points.min() >= 0
    assert (points.max(0) <= [39, 29]).all()
    assert (points.max(0) > [37, 28]).all()
    assert np.array_equal(points, Anywhere(500)(scene()).points)
    assert not np.array_equal(points, Anywhere(500)(scene(seed=1)).points)


def test_a_grid_includes_the_boxs_border():
    points = grid_points(3, (10, 20, 14, 30))
    assert points.tolist() == [[x, y] for y in (20, 25, 30) for x in (10, 12, 14)]
    assert grid_points(1, (10, 20, 14, 30)).tolist() == [[12, 25]]
    assert len(Grid(5, (0, 0, 9, 9))(scene())) == 25


def test_a_grid_without_box_is_on_the_largest_mask():
    points = Grid(2)(scene()).points
    assert points.tolist() == [[10, 20], [38, 20], [10, 27], [38, 27]]
    none = Grid(2)(scene(DENSE[:0])).points
    assert none.tolist() == [[0, 0], [39, 0], [0, 29], [39, 29]]
    assert Grid(2).needs == ("masks",)
    assert Grid(2, (0, 0, 1, 1)).needs == ()


def test_prompts_of_masks_lie_in_them():
    prompts = OnMasks(points=4, boxes=True)(scene())
    assert prompts.point_masks.tolist() == [0] * 4 + [2] * 4
    for (x, y), number in zip(prompts.points.astype(int), prompts.point_masks, strict=True):
        assert DENSE[number, y, x]
    assert prompts.boxes.tolist() == [[3, 2, 19, 11], [10, 20, 38, 27]]
    assert prompts.box_masks.tolist() == [0, 2]
    assert len(OnMasks(points=2, boxes=False, most=1)(scene())) == 2
    empty = scene(DENSE[1:2])
    assert len(OnMasks(most=5)(empty)) == 5
    assert "no masks" in empty.notes[0]


def test_given_prompts_are_the_users():
    prompts = Given(((3.0, 4.0),), ((0.0, 0.0, 40.0, 30.0),))(scene())
    assert prompts.points.tolist() == [[3, 4]]
    assert prompts.boxes.tolist() == [[0, 0, 40, 30]]
    with pytest.raises(UsageError, match=r"\(41.0, 2.0\) is outside the photo of 40x30"):
        Given(((41.0, 2.0),))(scene())


@pytest.mark.parametrize(
    "make", [Given, lambda: Anywhere(0), lambda: Grid(0), lambda: OnMasks(0, False), lambda: OnMasks(most=0)]
)
def test_questions_that_ask_nothing_are_refused(make):
    with pytest.raises(UsageError, match="at least one"):
        make()


def test_values_are_read_from_text_and_from_numbers():
    assert a_point("120, 80", "click") == a_point((120, 80), "click") == (120.0, 80.0)
    assert a_box("1,2,3,4", "box") == a_box([1, 2, 3, 4], "box") == (1.0, 2.0, 3.0, 4.0)
    assert whole_numbers("4,5", "blocks") == whole_numbers((4, 5), "blocks") == (4, 5)
    assert a_point("", "click") is None
    assert whole_numbers("8,", "blocks") == (8,)
    assert numbers("", "x", (2,)) == ()


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (a_point, "a,b", "e.g. 120,80; got 'a,b'"),
        (a_point, "1,2,3", "is 2 numbers, got 3"),
        (a_box, "5,5,1,9", "x1 <= x2"),
        (whole_numbers, "4.5", "whole numbers"),
    ],
)
def test_values_that_cannot_be_read_are_refused(read, text, said):
    with pytest.raises(UsageError, match=said):
        read(text, "click")


def test_everything_is_drawn_from_the_scenes_streams():
    torch.manual_seed(0)
    first = OnMasks()(scene()).points
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - a global generator must not matter
    assert np.array_equal(first, OnMasks()(scene()).points)
