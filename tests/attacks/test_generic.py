"""What every recipe keeps: the optimum where it is known, the budget whatever it is, the numbers of its seed."""

import contextlib
import dataclasses
import inspect
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from goals import LinearGoal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from linear import LinearSegmenter

from segrobust.attacks.goals import GOALS
from segrobust.attacks.recipes import RECIPES, attack, make_recipe, settings_of
from segrobust.attacks.recipes.inputs import INPUTS
from segrobust.attacks.recipes.neighbours import NEIGHBOURS
from segrobust.attacks.recipes.queries import QUERIES
from segrobust.attacks.recipes.steps import STEPS
from segrobust.attacks.recipes.table import OF_ALL, parameters_of
from segrobust.attacks.saving import within
from segrobust.errors import UsageError
from segrobust.types import Budget, Image, Masks

RUN = [name for name in RECIPES if name != "universal"]  # needs a file: universal/test_universal.py
GENERIC = {**STEPS, **NEIGHBOURS, **INPUTS}
SMALLER = {"copies": 2, "neighbours": 2, "samples": 3, "draws": 2, "inner": 2, "images": 1, "steps": 3, "queries": 12}

IDLE = {  # numbers that belong to another aim of the same function, or to T-RA's noise: to set them changes nothing
    "attack-sam": {"right", "down"},
    "attack-sam-enlarge": {"right", "down"},
    "attack-sam-target": {"right", "down"},
    "s-ra": {"rho", "sigma"},
    "boundary-shift-guide": {"masks", "floor"},
}
REARRANGING = {  # numbers that add a part, or that another one follows from
    "s-ra": {"draws", "steps", "step_size"},
    "t-ra": {"steps", "step_size"},
    "absence": {"boxes"},
    "falsify": {"copies"},
}


def small(name, **more):
    """Parameters with which a recipe is soon done."""
    known = inspect.signature(RECIPES[name]).parameters
    fixed = getattr(RECIPES[name], "keywords", {})
    return {key: value for key, value in {**SMALLER, **more}.items() if key in known and key not in fixed}


def on_a_line(name, **more):
    """The recipe with an objective whose optimum is known."""
    return dataclasses.replace(make_recipe(name, **small(name, **more)), goal=LinearGoal())


def photo(seed=0, size=(9, 12)):
    return Image(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def test_the_family_is_complete():
    names = "fgsm bim pgd apgd mi ni vmi vni pgn emi rap gra dim tim si-ni admix ssa bsr sia eot-pgd"
    assert set(GENERIC) == set(names.split())
    assert set(GENERIC) < set(RECIPES)


@pytest.mark.parametrize("name", [name for name in RECIPES if make_recipe(name).steps and name not in QUERIES])
def test_the_optimum_of_a_linear_objective(name):
    """Whatever the views and the update, every value ends at its side of the budget."""
    image = photo()
    result = attack(LinearSegmenter(), image, on_a_line(name, steps=14, step_size=4 / 255))
    signs = np.array([-1, 1, -1])
    best = (image.pixels.astype(int) + 8 * signs).clip(0, 255)
    assert np.mean(result.image.pixels == best) > 0.98
    assert result.loss[-1] < result.loss[0] or name == "fgsm"


@pytest.mark.parametrize("name", RUN)
@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 99),
    budget=st.builds(
        Budget,
        st.integers(1, 60).map(lambda levels: Fraction(levels, 255)),
        st.sampled_from(["linf", "l2", "contrast"]),
    ),
    size=st.tuples(st.integers(2, 12), st.integers(2, 12)),
    part=st.floats(0.3, 1.0),
)
def test_the_budget_holds_whatever_the_recipe(name, seed, budget, size, part):
    image = photo(seed, size)
    where = np.random.default_rng(seed).random(size) < part
    where[0, 0] = True
    saved = attack(LinearSegmenter(), image, on_a_line(name), budget=budget, seed=seed, where=where).image.pixels
    assert within(image.pixels, saved, budget)
    assert not (saved != image.pixels)[~where].any()


@pytest.mark.parametrize("name", RUN)
def test_the_same_seed_gives_the_same_photo(name):
    image = photo()
    run = partial(attack, LinearSegmenter(), image, on_a_line(name, steps=1))
    first, again, other = (run(seed=seed) for seed in (1, 1, 2))
    in_parts = run(seed=1, encoder_batch=1)
    assert np.array_equal(first.image.pixels, again.image.pixels)
    assert first.loss == again.loss
    same = np.array_equal(first.image.pixels, other.image.pixels) and first.loss == other.loss
    # Those that start at the photo may draw in their goals alone, and that of ``square-prior`` is soon reached.
    assert not same or make_recipe(name).reach == 0 or name in QUERIES
    assert np.mean(first.image.pixels == in_parts.image.pixels) > 0.99


@pytest.mark.parametrize("name", GENERIC)
@pytest.mark.parametrize("objective", ["l2", "token-cosine"])
def test_every_generic_recipe_takes_every_objective(name, objective):
    recipe = make_recipe(name, objective=objective)
    assert recipe.goal == GOALS[objective]()
    with pytest.raises(UsageError, match="did you mean 'token-cosine'"):
        make_recipe(name, objective="token-cosin")


@pytest.mark.parametrize("name", ["mi", "dim", "emi"])
@pytest.mark.parametrize("objective", sorted(GOALS))
def test_updates_and_views_lower_whatever_objective_there_is(tiny_sam, name, objective):
    """One recipe each of plain steps, of views and of a neighbourhood, on a real network."""
    result = attack(tiny_sam, photo(1, (60, 80)), make_recipe(name, steps=5, objective=objective))
    assert result.loss[-1] < result.loss[0]
    assert (result.image.pixels != photo(1, (60, 80)).pixels).any()


@pytest.mark.parametrize("name", INPUTS)
def test_what_makes_an_input_attack_is_in_it(tiny_sam, name):
    """Without its view, or without TIM's smoothing, another photo comes out."""
    image, recipe = photo(1, (60, 80)), make_recipe(name, **small(name, steps=2, probability=1.0))
    plain = dataclasses.replace(recipe, pixel_views=(), update=dataclasses.replace(recipe.update, smoothing=0))
    photos = [attack(tiny_sam, image, one).image.pixels for one in (recipe, plain)]
    assert np.mean(photos[0] != photos[1]) > 0.05


def other_than(value):
    """Values near a default, of which a recipe takes at least one."""
    if isinstance(value, int):
        return [value + 2, value - 1] if value else [1]
    return [value / 2, value * 1.5] if value else [0.1, -0.1]


def leaves(part, path=()):
    """The values of nested settings by their path."""
    if not isinstance(part, dict | list):
        return {path: part}
    inner = part.items() if isinstance(part, dict) else enumerate(part)
    return {place: value for key, one in inner for place, value in leaves(one, (*path, key)).items()}


def with_another(name, key, default):
    """A value that the recipe takes instead of a default, and its settings then."""
    for value in other_than(default):
        with contextlib.suppress(UsageError):
            return value, leaves(settings_of(make_recipe(name, **{key: value})))
    pytest.fail(f"{name}: no other {key} is taken")


@pytest.mark.parametrize("name", RECIPES)
def test_every_number_that_can_be_set_stands_where_its_default_stood(name):
    before = leaves(settings_of(make_recipe(name)))
    numbers = {key: default for key, default in parameters_of(name).items() if isinstance(default, int | float)}
    for key in set(numbers) - set(OF_ALL) - set(getattr(RECIPES[name], "keywords", {})):
        value, after = with_another(name, key, numbers[key])
        changed = [(before.get(place), after.get(place)) for place in before | after]
        changed = [(was, now) for was, now in changed if was != now]
        assert bool(changed) == (key not in IDLE.get(name, ())), key
        if key not in REARRANGING.get(name, ()):
            assert set(changed) <= {(numbers[key], value)}, key


@pytest.mark.parametrize("name", GENERIC)
def test_the_embedding_is_left(tiny_sam, name):
    """On a real network, from a start near the photo, each goes farther than noise of the same size does."""
    image = photo(1, (60, 80))
    noise = attack(tiny_sam, image, dataclasses.replace(make_recipe("pgd"), steps=1))
    result = attack(tiny_sam, image, name, **small(name, steps=6))
    assert result.loss[-1] < noise.loss[0] - 0.005


def test_fgsm_takes_the_whole_budget_in_one_step():
    image, seen = photo(), []
    result = attack(LinearSegmenter(), image, on_a_line("fgsm"), progress=lambda *a: seen.append(a[:2]))
    assert seen == [(1, 1)]
    assert result.encoder_backward == 1
    change = result.image.pixels.astype(int) - image.pixels
    inner = (image.pixels > 8) & (image.pixels < 247)
    assert set(np.unique(np.abs(change[inner]))) == {8}


def test_costs_are_those_of_the_formulas():
    """Gradients of n steps, with the authors' numbers."""
    counts = {
        name: attack(LinearSegmenter(), photo(), dataclasses.replace(make_recipe(name), goal=LinearGoal(), steps=4))
        for name in GENERIC
    }
    one = dict.fromkeys(("fgsm", "bim", "pgd", "apgd", "mi", "ni", "dim", "tim"), 4)
    many = {"vmi": 3 * 21 + 1, "vni": 3 * 21 + 1, "pgn": 4 * 40, "emi": 1 + 3 * 11, "gra": 4 * 21, "rap": 4 + 3 * 8}
    views = {"si-ni": 4 * 5, "admix": 4 * 15, "ssa": 4 * 20, "bsr": 4 * 20, "sia": 4 * 20, "eot-pgd": 4 * 10}
    assert {name: result.encoder_backward for name, result in counts.items()} == one | many | views


def test_noise_is_uniform_in_the_budget():
    grey = Image(np.full((60, 60, 3), 128, np.uint8))
    change = attack(LinearSegmenter(), grey, "noise").image.pixels.astype(int) - 128
    counts = np.bincount(change.ravel() + 8, minlength=17)
    expected = change.size / 16 * np.array([0.5, *[1] * 15, 0.5])  # of a level at the border, half is inside
    assert len(counts) == 17
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


@pytest.mark.parametrize(("name", "reach"), [("pgd", 1.0), ("bim", 0.1), ("rga", 1.0), ("attack-sam", 0.0)])
def test_attacks_start_where_their_authors_start(name, reach):
    """From the whole budget, from a tenth of it where nothing is to be gained at the photo, or from the photo."""
    grey = Image(np.full((40, 40, 3), 128, np.uint8))
    start = attack(LinearSegmenter(), grey, dataclasses.replace(make_recipe(name), goal=LinearGoal(), steps=0))
    change = start.image.pixels.astype(int) - 128
    assert np.abs(change).max() == round(8 * reach)


def test_sign_noise_is_the_whole_budget_up_or_down():
    grey = Image(np.full((40, 40, 3), 128, np.uint8))
    change = attack(LinearSegmenter(), grey, "sign-noise").image.pixels.astype(int) - 128
    assert set(np.unique(change)) == {-8, 8}
    assert abs(change.mean()) < 0.6
    assert Masks.from_dense(change[None, ..., 0] > 0).areas[0] / 1600 == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("vmi", {"neighbours": 0}, "vmi: neighbours must be at least 1"),
        ("bsr", {"angle": 360.0}, "bsr: angle"),
        ("apgd", {"step_size": 0.1}, "no parameter 'step_size'"),
        ("mi", {"step_size": 2.0}, "write 2/255"),
    ],
)
def test_wrong_parameters_are_refused(name, changes, said):
    with pytest.raises(UsageError, match=said):
        make_recipe(name, **changes)
