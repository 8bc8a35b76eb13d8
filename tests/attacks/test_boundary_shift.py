"""Boundaries that move: exactly, where the mask is what is bright; and on a SAM of random weights."""

import numpy as np
import pytest
from linear import LinearSegmenter

from segrobust.attacks.objectives.boundary_goals import ApproachMovedEdges, MoveBoundaries
from segrobust.attacks.objectives.questions import Given
from segrobust.attacks.recipes import attack, make_recipe
from segrobust.attacks.recipes.boundaries import BOUNDARIES
from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Seen
from segrobust.errors import NoMasksError, UsageError
from segrobust.models.geometry import to_tensor
from segrobust.regions.outlines import picture_of_moved_edges
from segrobust.types import Budget, Image, Masks, Prompts

SIDE = 40
PHOTO = Image(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
DENSE = np.zeros((2, 40, 60), bool)
DENSE[0, 3:30, 4:35] = True
DENSE[1, 32:38, 40:55] = True
MASKS = Masks.from_dense(DENSE)


def bright_half(columns: int = 18) -> Image:
    """So little brighter on the left that a budget of 8 levels moves the edge of what is bright anywhere."""
    pixels = np.full((SIDE, SIDE, 3), 122, np.uint8)
    pixels[:, :columns] = 133
    return Image(pixels)


@pytest.mark.parametrize("pixels", [5, 1, -5])
def test_an_edge_moves_by_exactly_so_many_pixels(pixels: int) -> None:
    photo, asked = bright_half(), Prompts.of(points=[[3, 3]])
    masks = LinearSegmenter().answer(photo, asked)
    saved = attack(LinearSegmenter(), photo, "boundary-shift", pixels=pixels, steps=12, clean_masks=masks).image
    found = LinearSegmenter().answer(saved, asked)
    assert np.array_equal(found.mask(0), np.broadcast_to(np.arange(SIDE) < 18 + pixels, (SIDE, SIDE)))
    assert np.abs(saved.pixels.astype(int) - photo.pixels).max() == 8


def test_the_loss_wants_the_moved_mask_and_no_more_than_its_margin() -> None:
    photo = bright_half()
    scene = Scene(LinearSegmenter(), photo, to_tensor(photo.pixels)[None], Budget.parse("8/255"), 0, "test")
    goal = MoveBoundaries(Given(points=((3, 3),)), pixels=4, floor=-0.25)
    objective = goal(scene)
    wanted = np.full((SIDE, SIDE, 3), 0, np.uint8)
    wanted[:, :22] = 255  # logits of half, beyond the margin on both sides
    losses = []
    for pixels in (wanted, photo.pixels):
        probe = LinearSegmenter().observe(to_tensor(pixels)[None])
        losses.append(float(objective(Seen(probe.features, segmenter=LinearSegmenter(), geometry=scene.geometry))))
    assert losses[0] == 0
    assert losses[1] > 0.05


def test_what_would_vanish_is_wanted_as_it_is() -> None:
    photo = bright_half(columns=3)
    result = attack(LinearSegmenter(), photo, "boundary-shift", pixels=-5, steps=4, clean_masks=MASKS.select([]))
    assert any("masks would vanish and are wanted as they are" in note for note in result.notes)


def test_the_guide_is_the_photo_with_moved_edges_in_its_own_colours(tiny_sam) -> None:
    result = attack(tiny_sam, PHOTO, "boundary-shift-guide", pixels=4, steps=2, clean_masks=MASKS)
    np.testing.assert_array_equal(result.guide, picture_of_moved_edges(PHOTO.pixels, MASKS, 4))
    assert result.loss[-1] < result.loss[0]
    with pytest.raises(NoMasksError, match="changes nothing on the photo"):
        attack(tiny_sam, PHOTO, "boundary-shift-guide", steps=1, clean_masks=Masks.from_rles(PHOTO.size, []))


@pytest.mark.parametrize("pixels", [4, -4])
def test_the_guide_is_reached_as_far_as_the_budget_goes(pixels: int) -> None:
    """Where the embedding is the photo, the nearest photo to the guide is the guide cut to the budget."""
    attacked = attack(
        LinearSegmenter(), PHOTO, "boundary-shift-guide", pixels=pixels, similarity="l2", steps=12, clean_masks=MASKS
    ).image.pixels.astype(int)
    guide, clean = picture_of_moved_edges(PHOTO.pixels, MASKS, pixels).astype(int), PHOTO.pixels.astype(int)
    nearest = guide.clip(clean - 8, clean + 8)
    far = np.abs(guide - clean) > 8
    assert far.sum() > 300
    np.testing.assert_array_equal(attacked[far], nearest[far])
    assert np.abs(attacked - nearest).max() <= 1  # steps of one level go to and fro around what is reached


@pytest.mark.parametrize("name", BOUNDARIES)
@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_it_lowers_its_loss_in_the_budget_and_repeats(tiny_sam, name: str, protocol: str) -> None:
    first, again = (
        attack(tiny_sam, PHOTO, name, clean_masks=MASKS, seed=3, steps=3, pixels=-3, protocol=protocol)
        for _ in range(2)
    )
    assert first.loss[-1] < first.loss[0]
    np.testing.assert_array_equal(first.image.pixels, again.image.pixels)
    if protocol == "strict":
        assert 0 < np.abs(first.image.pixels.astype(int) - PHOTO.pixels).max() <= 8


def test_many_masks_are_asked_for_together(tiny_sam) -> None:
    many = Masks.from_dense(np.repeat(DENSE, 20, axis=0))
    assert attack(tiny_sam, PHOTO, "boundary-shift", masks=40, steps=1, clean_masks=many).encoder_backward == 1


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UsageError, match=r"at least 1 pixel, outwards .* got 0"):
        make_recipe("boundary-shift", pixels=0)
    with pytest.raises(UsageError, match="aim 'both' is not one of answers, guide"):
        make_recipe("boundary-shift", aim="both")
    with pytest.raises(UsageError, match="similarity 'l3' is not one of"):
        ApproachMovedEdges(similarity="l3")
