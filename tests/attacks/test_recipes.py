import dataclasses

import numpy as np
import pytest
import torch
from linear import LinearSegmenter

from segrobust.attacks.goals import LeaveTheEmbedding
from segrobust.attacks.objectives import SIMILARITIES
from segrobust.attacks.recipes import attack, make_recipe, rga, settings_of
from segrobust.attacks.recipes.rga import RGA
from segrobust.attacks.updates import MomentumSign
from segrobust.attacks.views import RandomSimilarity, ScaleCopies
from segrobust.errors import CapabilityError, GradientError, UsageError
from segrobust.models.base import Capabilities
from segrobust.regions.guide import region_guided_map
from segrobust.types import Image, Masks

SIZE = (60, 80)


@pytest.fixture(scope="module")
def photo():
    return Image(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8), name="photo")


@pytest.fixture(scope="module")
def masks():
    dense = np.zeros((2, *SIZE), bool)
    dense[0, 5:45, 5:60] = True
    dense[1, 50:54, 70:75] = True
    return Masks.from_dense(dense)


def largest_difference(a, b):
    return int(np.abs(a.pixels.astype(int) - b.pixels).max())


def test_rga_has_the_authors_defaults():
    recipe = rga()
    assert recipe.steps == 40
    assert recipe.update == MomentumSign(step=2 / 255, momentum=0.4, smoothing=0)
    assert recipe.pixel_views == (ScaleCopies(3),)
    assert recipe.input_views == (RandomSimilarity(0.01),)
    assert recipe.goal == LeaveTheEmbedding("cosine", "regions", 1.0)


@pytest.mark.parametrize("name", RGA)
def test_every_recipe_stays_in_the_budget_and_repeats(tiny_sam, photo, masks, name):
    changes = {} if name.endswith("noise") else {"steps": 3}
    first = attack(tiny_sam, photo, name, clean_masks=masks, seed=5, **changes)
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002 - a global generator must not matter
    attack(tiny_sam, photo, "noise", seed=9)
    again = attack(tiny_sam, photo, name, clean_masks=masks, seed=5, **changes)
    other = attack(tiny_sam, photo, name, clean_masks=masks, seed=6, **changes)
    assert np.array_equal(first.image.pixels, again.image.pixels)
    assert not np.array_equal(first.image.pixels, other.image.pixels)
    assert largest_difference(first.image, photo) == 8
    assert first.loss == again.loss


def test_rga_lowers_its_loss_and_counts_its_passes(tiny_sam, photo, masks):
    result = attack(tiny_sam, photo, "rga", clean_masks=masks, steps=10)
    assert result.loss[-2] < result.loss[0] - 0.1  # both are means over the views
    assert result.encoder_backward == 30
    assert result.encoder_forward == 30 + 3  # the photo, the guide, the final image
    assert result.guide is not None
    assert result.guide.shape == photo.pixels.shape
    untargeted = attack(tiny_sam, photo, "rga-untargeted", clean_masks=masks, steps=2, copies=1)
    assert (untargeted.encoder_backward, untargeted.encoder_forward) == (2, 2 + 2)
    assert untargeted.guide is None


@pytest.mark.parametrize("objective", SIMILARITIES)
def test_every_objective_leaves_the_photo_for_the_guide(tiny_sam, photo, masks, objective):
    result = attack(tiny_sam, photo, "rga", clean_masks=masks, steps=8, objective=objective)
    assert result.loss[-2] < result.loss[0]
    assert result.settings["goal"]["similarity"] == objective


def test_a_budget_below_one_level_is_refused(tiny_sam, photo):
    with pytest.raises(UsageError, match="less than one level"):
        attack(tiny_sam, photo, "noise", budget="0.5/255")
    unchanged = attack(tiny_sam, photo, "noise", budget="0")
    assert largest_difference(unchanged.image, photo) == 0


def test_a_smaller_budget_is_kept(tiny_sam, photo, masks):
    result = attack(tiny_sam, photo, "rga", budget="3/255", clean_masks=masks, steps=3)
    assert largest_difference(result.image, photo) == 3


def test_protocol_paper_leaves_the_budget_and_strict_does_not(tiny_sam, masks):
    """A photo of fine stripes does not survive the way to the model's resolution and back."""
    stripes = np.zeros((600, 800, 3), np.uint8)
    stripes[:, ::2] = 255
    photo = Image(stripes)
    paper = attack(tiny_sam, photo, "noise", protocol="paper")
    strict = attack(tiny_sam, photo, "noise", protocol="strict")
    assert largest_difference(paper.image, photo) > 100
    assert largest_difference(strict.image, photo) == 8


def test_random_cells_differ_from_the_regions(tiny_sam, photo, masks):
    masks = masks.select([0])  # the large one: the small one would be grown over the whole photo
    regions = region_guided_map(masks, np.random.default_rng(0)).labels
    for name, same in (("rga", True), ("rga-random-cells", False)):
        guide = attack(tiny_sam, photo, name, clean_masks=masks, steps=1).guide
        _, colours = np.unique(guide.reshape(-1, 3), axis=0, return_inverse=True)
        pairs = len(np.unique(np.stack([colours.ravel(), regions.ravel()]), axis=1).T)
        assert (pairs == len(np.unique(regions))) == same
        assert len(np.unique(colours)) == len(np.unique(regions))


def test_no_masks_is_a_recorded_condition(tiny_sam, photo):
    none = Masks.from_dense(np.zeros((0, *SIZE), bool))
    result = attack(tiny_sam, photo, "rga", clean_masks=none, steps=1)
    assert any("no masks" in note for note in result.notes)
    assert result.guide is not None
    assert result.guide.max() == 0


def test_settings_say_everything():
    plain = settings_of(make_recipe("rga", steps=7, beta=0.5))
    assert plain["steps"] == 7
    assert plain["input_views"] == [{"kind": "RandomSimilarity", "beta": 0.5, "follow": False}]
    assert plain["update"] == {"kind": "MomentumSign", "step": 2 / 255, "momentum": 0.4, "smoothing": 0}


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("rgaa", {}, "did you mean 'rga'"),
        ("rga", {"stepz": 3}, "did you mean 'steps'"),
        ("noise", {"steps": 3}, "no parameter 'steps'"),
        ("rga", {"steps": -1}, "steps must not be negative"),
        ("rga", {"copies": 0}, "copies must be at least 1"),
        ("rga", {"guide": "stars"}, "'stars' is not one of regions, random-cells"),
        ("rga", {"step_size": 2}, "2/255"),
    ],
)
def test_wrong_recipes_are_refused_with_advice(name, changes, said):
    with pytest.raises(UsageError, match=said):
        make_recipe(name, **changes)


def test_wrong_calls_are_refused(photo):
    linear = LinearSegmenter()
    with pytest.raises(UsageError, match="protocol 'loose'"):
        attack(linear, photo, "noise", protocol="loose")
    with pytest.raises(UsageError, match="go with a recipe's name"):
        attack(linear, photo, rga(), steps=3)


def test_a_black_box_is_told_what_to_do(photo):
    class BlackBox(LinearSegmenter):
        capabilities = dataclasses.replace(LinearSegmenter.capabilities, gradient=False)

    assert isinstance(BlackBox.capabilities, Capabilities)
    with pytest.raises(CapabilityError, match="attack a surrogate"):
        attack(BlackBox(), photo, "rga")


def test_an_embedding_that_ignores_the_photo_is_an_error_not_a_photo(photo, masks):
    class Constant(LinearSegmenter):
        def encode(self, inputs):
            return inputs * 0 + 1

    with pytest.raises(GradientError, match="zero everywhere"):
        attack(Constant(), photo, "rga", clean_masks=masks)


def test_what_saving_gives_back_is_a_share_of_what_the_steps_gained():
    grey = Image(np.full((8, 8, 3), 128, np.uint8), name="grey")
    whole = attack(LinearSegmenter(), grey, "pgd", objective="l2", budget="3/255", steps=10, step_size=1 / 255)
    half = attack(LinearSegmenter(), grey, "pgd", objective="l2", budget="2.5/255", steps=10, step_size=1 / 255)
    assert whole.float_to_8bit == pytest.approx(0, abs=1e-4)
    assert half.float_to_8bit == pytest.approx(1 - (2 / 2.5) ** 2, abs=1e-4)  # two and a half levels are saved as two
    assert attack(LinearSegmenter(), grey, "noise").float_to_8bit is None
