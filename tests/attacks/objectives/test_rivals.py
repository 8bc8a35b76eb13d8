"""The published attacks as recipes, each on a SAM of random weights: the loss falls, the budget holds, it repeats."""

import inspect

import numpy as np
import pytest

from segrobust.attacks.recipes import RECIPES, attack, make_recipe
from segrobust.attacks.recipes.answers import ANSWERS
from segrobust.attacks.recipes.features import FEATURES
from segrobust.errors import UsageError
from segrobust.types import Image, Masks

SIZE = (40, 60)
PHOTO = Image(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8))
DENSE = np.zeros((2, *SIZE), bool)
DENSE[0, 3:30, 4:35] = True
DENSE[1, 32:38, 40:55] = True
MASKS = Masks.from_dense(DENSE)
SMALL = {"steps": 3, "points": 6, "epochs": 2, "proxy": 1, "masks": 2, "every": 2, "side": 2, "step_size": 2 / 255}
QUIET = {"ilpd-paper": {"sigma": 0}}
"""Its noise inside the encoder is a larger change than three steps make on random weights."""


def small(name):
    known = inspect.signature(RECIPES[name]).parameters
    return {key: value for key, value in SMALL.items() if key in known} | QUIET.get(name, {})


@pytest.mark.parametrize("name", [name for name in (*FEATURES, *ANSWERS) if name != "absence"])  # test_absence.py
def test_every_rival_lowers_its_loss_in_the_budget_and_repeats(tiny_sam, name):
    first, again = (
        attack(tiny_sam, PHOTO, name, clean_masks=MASKS, seed=3, encoder_batch=batch, **small(name))
        for batch in (None, 1)
    )
    assert first.loss[-1] < first.loss[0]
    change = np.abs(first.image.pixels.astype(int) - PHOTO.pixels)
    assert 0 < change.max() <= 8
    assert np.mean(first.image.pixels == again.image.pixels) > 0.99
    assert first.loss == pytest.approx(again.loss, rel=1e-3, abs=1e-4)


def test_a_rival_draws_from_its_seed_alone(tiny_sam):
    for name in ("pata++", "gr-code", "uad-code", "ask-separate", "cross-prompt-positions", "falsify"):
        runs = [attack(tiny_sam, PHOTO, name, clean_masks=MASKS, seed=seed, **small(name)).loss for seed in (1, 1, 2)]
        assert runs[0] == runs[1], name
        assert runs[0] != runs[2], name


@pytest.mark.parametrize("name", [name for name in (*FEATURES, *ANSWERS) if name != "absence"])
def test_the_same_seed_gives_the_same_bits_with_the_recipes_own_goal(tiny_sam, name):
    runs = [attack(tiny_sam, PHOTO, name, clean_masks=MASKS, seed=5, **{**small(name), "steps": 2}) for _ in range(2)]
    assert np.array_equal(runs[0].image.pixels, runs[1].image.pixels)
    assert runs[0].loss == runs[1].loss


def test_doubt_is_of_all_three_masks(tiny_sam, monkeypatch):
    asked = []
    masks = type(tiny_sam).masks

    def noted(self, embedding, prompts, *, multimask=False):
        asked.append(multimask)
        return masks(self, embedding, prompts, multimask=multimask)

    monkeypatch.setattr(type(tiny_sam), "masks", noted)
    attack(tiny_sam, PHOTO, "doubt", clean_masks=MASKS, steps=1, points=2, least=-100.0)
    assert asked
    assert all(asked)


def test_the_record_says_which_inner_layers_were_attacked(tiny_sam):
    result = attack(tiny_sam, PHOTO, "tap", steps=1)
    assert result.notes == ("inner layers 0, 1 of 0 to 2",)
    assert result.settings["goal"]["blocks"] == [4, 5, 6, 7]
    assert result.settings["goal"]["of"] == 12
    assert attack(tiny_sam, PHOTO, "tap", steps=1, blocks="").notes == ()
    own = attack(tiny_sam, PHOTO, "aa", steps=1, blocks="3,", of=3)
    assert own.notes == ("inner layers 2 of 0 to 2",)


def test_a_new_rival_costs_a_pass_for_every_gradient(tiny_sam):
    one, more = (attack(tiny_sam, PHOTO, name, steps=3) for name in ("pata", "pata++"))
    assert one.encoder_forward == 3 + 1 + 2
    assert more.encoder_forward == 3 + 1 + 1 + 3
    assert one.encoder_backward == more.encoder_backward == 3


def test_pata_differs_from_aa_only_where_the_dominance_is_heard(tiny_sam):
    aa = attack(tiny_sam, PHOTO, "aa", steps=1).loss[0]
    for balanced in (0, 1):
        losses = [attack(tiny_sam, PHOTO, "pata", steps=1, balanced=balanced, dominance=d).loss[0] for d in (0.0, 1.0)]
        assert abs(losses[0] - losses[1]) < 3
        share = abs(losses[0] - losses[1]) / losses[0]
        assert share < 0.01 if not balanced else share > 0.01
    assert aa > 100


def test_the_users_prompts_are_asked(tiny_sam):
    at = [attack(tiny_sam, PHOTO, "attack-sam", steps=1, point=p).loss[0] for p in ("5,5", (5, 5), "50,30")]
    assert at[0] == at[1] != at[2]
    boxed = make_recipe("attack-sam", box="1,2,30,20")
    assert boxed.goal.questions.boxes == ((1.0, 2.0, 30.0, 20.0),)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("attack-sam", {"aim": "fame"}, "not one of removal"),
        ("attack-sam", {"floor": 3.0}, "below 0"),
        ("attack-sam", {"point": "5"}, "2 numbers"),
        ("s-ra", {"box": "9,9,1,1"}, "x1 <= x2"),
        ("cross-prompt", {"move": "house"}, "embeddings, positions"),
        ("tap", {"decay": 1.0}, r"in \[0, 1\)"),
        ("gr-code", {"some": 0}, "some >= 1"),
        ("ask-separate", {"some": -1}, "0 for all"),
        ("ask-joint", {"points": 0}, "at least one"),
        ("vanish", {"click": "1,2", "box": "1,2,3,4"}, "not several"),
    ],
)
def test_settings_that_mean_nothing_are_refused(name, changes, said):
    with pytest.raises(UsageError, match=said):
        make_recipe(name, **changes)


def test_a_block_that_is_not_there_is_refused(tiny_sam):
    with pytest.raises(UsageError, match="block 14 is not one of the 12"):
        attack(tiny_sam, PHOTO, "tap", steps=1, blocks="4,14")
