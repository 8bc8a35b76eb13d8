"""A budget around boundaries: what each pixel may change by, in floats and on disk, for every kind of recipe."""

import dataclasses

import numpy as np
import pytest
import torch
from goals import LinearGoal
from hypothesis import given, settings
from hypothesis import strategies as st
from linear import LinearSegmenter

from segrobust.attacks.band import Band, confine
from segrobust.attacks.budget import Box
from segrobust.attacks.recipes import attack, make_recipe, settings_of
from segrobust.attacks.recipes.table import OF_ALL, RECIPES, parameters_of
from segrobust.attacks.saving import allowed_levels, round_into_budget, within
from segrobust.benchmark.config import parse_config
from segrobust.benchmark.plans.parts import AttackEntry
from segrobust.errors import NoMasksError, UsageError
from segrobust.models.base import Capabilities, EverythingSettings
from segrobust.types import Budget, Image, Masks

SIZE = (40, 60)
PHOTO = Image(np.random.default_rng(0).integers(60, 190, (*SIZE, 3), dtype=np.uint8), name="photo")


def half() -> Masks:
    mask = np.zeros((1, *SIZE), np.bool_)
    mask[:, :, :30] = True
    return Masks.from_dense(mask)


class Asked(LinearSegmenter):
    """Shows no gradient; segment everything finds its mask, whatever its stability."""

    capabilities = Capabilities(gradient=False, points=True, boxes=True, everything=True)
    everything = EverythingSettings(points_per_side=2, predicted_iou_threshold=0, stability_threshold=0)


def change(pixels: np.ndarray) -> np.ndarray:
    return np.abs(pixels.astype(int) - PHOTO.pixels).max(axis=2)


def linear(name: str = "pgd", **parameters: object) -> object:
    """A recipe whose goal has a known optimum: every value as far as it may."""
    return dataclasses.replace(make_recipe(name, steps=12, **parameters), goal=LinearGoal())


@pytest.mark.parametrize(("outside", "levels"), [(0.0, 0), (0.25, 2), (0.1, 0)])
def test_the_optimum_of_a_linear_goal_is_the_budget_map_itself(outside: float, levels: int) -> None:
    saved = attack(LinearSegmenter(), PHOTO, linear(band=5, outside=outside), clean_masks=half()).image.pixels
    wanted = np.full(SIZE, levels)
    wanted[:, 25:35] = 8
    np.testing.assert_array_equal(change(saved), wanted)


def test_the_control_is_the_same_band_at_another_place() -> None:
    band, control = (make_recipe("rga", band=5, elsewhere=flag).band for flag in (0, 1))
    assert control == Band(5, elsewhere=True)
    there, moved = band.share(half()), control.share(half())
    np.testing.assert_array_equal(moved, np.roll(there, (20, 30), axis=(0, 1)))
    assert moved[:, :5].all()
    assert not moved[:, 5:55].any()
    assert moved.sum() == there.sum()


def test_the_band_lies_inside_the_region_that_is_given_too() -> None:
    result = attack(LinearSegmenter(), PHOTO, linear(band=5), clean_masks=half(), where=(0, 10, 28, 19))
    wanted = np.zeros(SIZE, int)
    wanted[10:20, 25:29] = 8
    np.testing.assert_array_equal(change(result.image.pixels), wanted)
    assert result.notes == (
        "only 290 of 2400 pixels may change",
        "all of epsilon on 40 of 2400 pixels, 0 of it elsewhere",
    )


@settings(max_examples=60)
@given(
    st.sampled_from(["8/255", "contrast:8/255", "3/255", "l2:0.7"]), st.integers(1, 9), st.data(), st.integers(0, 99)
)
def test_no_saved_pixel_changes_by_more_than_the_map_allows(
    budget: str, pixels: int, data: st.DataObject, seed: int
) -> None:
    limit = Budget.parse(budget)
    outside = 0.0 if limit.norm == "l2" else data.draw(st.floats(0, 0.99))
    draw = np.random.default_rng(seed)
    original = draw.integers(0, 256, (12, 14, 3), dtype=np.uint8)
    mask = draw.random((1, 12, 14)) < 0.5
    share = Band(pixels, outside).share(Masks.from_dense(mask))
    saved = round_into_budget(torch.from_numpy(draw.random((3, 12, 14))), original, limit, share)
    assert within(original, saved, limit, share)
    assert within(original, saved, limit)
    moved = np.abs(saved.astype(int) - original)
    if limit.norm != "l2":
        assert (moved <= share[..., None] * limit.levels + 1e-3).all()
        assert (moved <= allowed_levels(original, limit, share)).all()
    assert not moved[share == 0].any()
    if share.all():
        return
    further = saved.copy()
    further[np.unravel_index(int(share.argmin()), share.shape)] = (
        original[np.unravel_index(int(share.argmin()), share.shape)] ^ 128
    )
    assert not within(original, further, limit, share)


@pytest.mark.parametrize("outside", [0.0, 0.5])
def test_floats_start_step_and_are_projected_inside_the_map(outside: float) -> None:
    source = torch.full((1, 3, *SIZE), 0.5)
    share = torch.from_numpy(Band(5, outside).share(half()))
    box = Box.around(source, Budget.parse("8/255"), share)
    reach = share.float() * 8 / 255
    drift = box.drift(source, Budget.parse("8/255"), torch.ones_like(source))
    wild = box.project_(source + drift + torch.randn(source.shape, generator=torch.Generator().manual_seed(0)))
    assert ((wild - source).abs() <= reach + 1e-6).all()
    if outside:
        assert torch.allclose(drift[0, 0], reach)
        image = source.clone()
        box.step_(image, torch.ones_like(source), 2 / 255)
        assert torch.allclose(source - image, (share * 2 / 255).expand_as(source), atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"universal"}))
def test_every_recipe_takes_a_band_and_says_that_it_needs_masks(name: str) -> None:
    recipe = make_recipe(name, band=4, outside=0.5)
    assert recipe.band == Band(4, 0.5)
    assert "masks" in recipe.needs
    assert settings_of(recipe)["band"] == {"kind": "Band", "pixels": 4, "outside": 0.5, "elsewhere": False}
    assert "band" not in settings_of(make_recipe(name))  # records of runs without one are what they were
    assert OF_ALL.items() <= parameters_of(name).items()


@pytest.mark.parametrize("name", ["noise", "sign-noise", "square", "rga-untargeted", "mi"])
def test_recipes_of_every_kind_stay_in_the_band_and_repeat(name: str) -> None:
    more = {"queries": 8} if name == "square" else {} if "noise" in name else {"steps": 2}
    first, again = (
        attack(LinearSegmenter(), PHOTO, name, band=3, clean_masks=half(), seed=4, **more).image.pixels
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    assert 3 < change(first)[:, 27:33].max() <= 8
    assert not np.delete(change(first), np.s_[27:33], axis=1).any()


def test_masks_are_found_where_none_are_given_but_not_by_an_attack_that_counts_its_questions() -> None:
    bright = np.zeros((*SIZE, 3), np.uint8)
    bright[:, 30:] = 200  # the linear segmenter's mask is what is brighter than half
    saved = attack(Asked(), Image(bright), "noise", band=3).image.pixels
    assert not np.delete(saved != bright, np.s_[27:33], axis=1).any()
    assert (saved != bright)[:, 27:33].any()
    with pytest.raises(UsageError, match="'square' does not ask for: give clean_masks"):
        attack(LinearSegmenter(), PHOTO, "square", band=3, queries=8)


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1, got -3"):
        make_recipe("rga", band=-3)
    with pytest.raises(UsageError, match=r"below 1, got 1\.0"):
        make_recipe("rga", band=3, outside=1.0)
    with pytest.raises(UsageError, match="give band, a number of pixels"):
        make_recipe("rga", outside=0.5)
    with pytest.raises(UsageError, match="elsewhere=1 is the place of a band; give band"):
        make_recipe("rga", elsewhere=1)
    with pytest.raises(UsageError, match="no region and no band; use protocol strict"):
        attack(LinearSegmenter(), PHOTO, "rga", band=3, protocol="paper")
    with pytest.raises(UsageError, match="which l2:1 does not say"):
        confine(None, Band(3, 0.5), half, Budget.parse("l2:1"), [])
    with pytest.raises(UsageError, match="holds no pixel of the band"):
        confine(np.broadcast_to(np.arange(60) < 9, SIZE), Band(3), half, Budget.parse("8/255"), [])
    with pytest.raises(NoMasksError, match="no boundaries on the photo"):
        Band(3).share(Masks.from_rles(SIZE, []))


def test_a_plan_and_a_run_take_a_band_with_any_attack() -> None:
    entry = AttackEntry.model_validate({"attack": "tap", "outside": 0.25, "sweep": {"band": [4, 8]}})
    assert [make_recipe("tap", **changed).band for changed in entry.combinations()] == [Band(4, 0.25), Band(8, 0.25)]
    with pytest.raises(ValueError, match="band is a whole number"):
        AttackEntry.model_validate({"attack": "tap", "band": 1.5})
    config = parse_config({"photos": ["a.png"], "attacks": ["rga"], "parameters": {"band": 8}}, "test")
    assert config.recipe("rga").band == config.recipe("noise").band == Band(8)
