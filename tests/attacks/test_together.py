"""Several white boxes attacked at once: what the rules make of their gradients, what it costs, what is recorded."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from linear import LinearSegmenter

from segrobust.attacks.budget import Box
from segrobust.attacks.loop import Trace, iterate
from segrobust.attacks.recipes import RECIPES, attack, make_recipe
from segrobust.attacks.together import Together
from segrobust.attacks.universal.training import train_universal
from segrobust.attacks.updates import MomentumSign
from segrobust.errors import CapabilityError, UsageError
from segrobust.models.base import Observed
from segrobust.models.ensemble import Ensemble
from segrobust.types import Budget, Image, Masks


class Slope:
    """A linear loss: its gradient is known."""

    def __init__(self, weights: torch.Tensor, loss: float = 1.0) -> None:
        self.weights, self.start, self.asked = weights, loss, 0

    def __call__(self, image):
        self.asked += 1
        return self.loss(image), self.weights.clone()

    def loss(self, image):
        return self.start + float((self.weights * image).sum())


class Askew(LinearSegmenter):
    """Sees other colours, and all of it much louder."""

    name = "askew"

    def encode(self, inputs):
        weights = torch.randn((6, 3, 1, 1), generator=torch.Generator().manual_seed(5))
        return 100 * torch.tanh(torch.nn.functional.conv2d(inputs - 0.5, weights))

    def observe(self, inputs, layers=()):
        features = self.encode(inputs)
        return Observed(features, layers={layer: (layer + 1) * features for layer in layers})


def photo(seed: int = 0, size: tuple[int, int] = (10, 12)) -> Image:
    return Image(np.random.default_rng(seed).integers(30, 220, (*size, 3), dtype=np.uint8), name="photo")


def masks(size: tuple[int, int] = (10, 12)) -> Masks:
    dense = np.zeros((2, *size), np.bool_)
    dense[0, :5, :5] = dense[1, 5:, 2:] = True
    return Masks.from_dense(dense)


X = torch.zeros((1, 3, 2, 2))


def test_the_mean_does_not_know_the_scale_of_a_loss() -> None:
    one, two = torch.randn((2, 1, 3, 2, 2), generator=torch.Generator().manual_seed(0))
    loss, gradient = Together([Slope(one, 3.0), Slope(1000 * two, 5.0)], Trace())(X)
    wanted = (one / one.abs().sum() + two / two.abs().sum()) / 2
    assert loss == pytest.approx(4.0)
    size = (one.abs().sum() + 1000 * two.abs().sum()) / 2
    torch.testing.assert_close(gradient, wanted * size)


@given(st.floats(1e-6, 1e6), st.integers(0, 5))
def test_members_that_agree_give_the_mean_of_their_gradients(scale: float, seed: int) -> None:
    weights = torch.randn((1, 3, 2, 2), generator=torch.Generator().manual_seed(seed))
    _, gradient = Together([Slope(weights), Slope(scale * weights)], Trace())(X)
    torch.testing.assert_close(gradient, weights * (1 + scale) / 2, rtol=1e-4, atol=0)


def test_the_optimum_of_two_linear_losses_is_reached() -> None:
    """Where both agree the sign is theirs; elsewhere that of the larger share of the whole gradient."""
    one, two = torch.randn((2, 1, 3, 5, 5), generator=torch.Generator().manual_seed(1))
    start, trace = torch.full((1, 3, 5, 5), 0.5), Trace()
    box = Box.around(start, Budget.parse("8/255"))
    probe = Together([Slope(one), Slope(100 * two)], trace)
    update = MomentumSign(2 / 255, 0.4)
    final = iterate(probe, start, box, update, steps=10, generator=torch.Generator(), trace=trace)
    best = start - 8 / 255 * (one / one.abs().sum() + two / two.abs().sum()).sign()
    assert torch.allclose(final, best, atol=1e-6)


def test_adaptive_weights_follow_what_was_reached_by_hand() -> None:
    one, two = torch.eye(2).reshape(2, 1, 1, 1, 2)
    members = [Slope(one, 4.0), Slope(two, 4.0)]
    probe = Together(members, Trace(), "adaptive")
    image = torch.zeros((1, 1, 1, 2))
    torch.testing.assert_close(probe(image)[1], (one + two) / 2)  # nothing was moved yet
    members[0].start = 2.0  # progress (4 - 2) / (4 + 2) = 1/3, and 0
    share = math.exp(-4 / 3) / (1 + math.exp(-4 / 3))
    torch.testing.assert_close(probe(image)[1], share * one + (1 - share) * two)
    members[0].start, members[1].start = 4.0, 8.0  # the second is worse than it began: -1/3
    torch.testing.assert_close(probe(image)[1], share * one + (1 - share) * two)


def test_alternate_asks_one_member_a_step_however_often() -> None:
    one, two, three = (Slope(torch.full((1, 3, 2, 2), value)) for value in (1.0, 2.0, 3.0))
    trace = Trace()
    probe = Together([one, two, three], trace, "alternate")
    seen = []

    def update(image, probe, state):
        seen.append([float(probe(image)[1][0, 0, 0, 0]) for _ in range(2)])
        return 0.0

    iterate(probe, X, Box(X, X), update, steps=5, generator=torch.Generator(), trace=trace)
    assert seen == [[1, 1], [2, 2], [3, 3], [1, 1], [2, 2]]
    assert [member.asked for member in (one, two, three)] == [4, 4, 2]
    assert probe.loss(X) == 1.0


@pytest.mark.parametrize("name", ["rga", "mi", "vmi", "tap", "pgd", "apgd", "clip-mse"])
@pytest.mark.parametrize("rule", ["mean", "adaptive"])
def test_an_ensemble_of_one_model_twice_is_that_model(name: str, rule: str) -> None:
    """But for the views, which members draw one after the other: where there are none to draw."""
    recipe = {
        "rga": make_recipe("rga", steps=4, beta=0),
        "vmi": make_recipe("vmi", steps=3, neighbours=2),
        "clip-mse": make_recipe("mi", steps=4, objective="clip-mse"),
    }.get(name) or make_recipe(name, steps=6)
    alone = attack(LinearSegmenter(), photo(), recipe, clean_masks=masks())
    twice = attack(Ensemble([LinearSegmenter(), LinearSegmenter()], rule), photo(), recipe, clean_masks=masks())
    if name == "vmi":  # its neighbours are drawn from the same stream as by one model
        assert twice.encoder_backward == 2 * alone.encoder_backward
    assert np.array_equal(twice.image.pixels, alone.image.pixels)
    assert twice.loss == pytest.approx(alone.loss, rel=1e-5)
    assert (twice.guide is None) == (alone.guide is None)


@pytest.mark.parametrize(("rule", "share"), [("mean", 2), ("adaptive", 2), ("alternate", 1)])
def test_all_gradients_are_counted(rule: str, share: int) -> None:
    both = Ensemble([LinearSegmenter(), Askew()], rule)
    result = attack(both, photo(), "rga", steps=4, clean_masks=masks())
    assert result.encoder_backward == 4 * 3 * share
    assert result.encoder_forward == 4 * 3 * share + 2 + 2 * 2  # the plain image at the end, and photo and guide
    assert len(result.loss) == 5
    assert result.float_to_8bit is not None


@pytest.mark.parametrize("rule", ["mean", "adaptive", "alternate"])
@pytest.mark.parametrize("name", ["rga", "mi", "tap", "dim", "attack-sam-target"])
def test_it_keeps_the_budget_repeats_itself_and_differs(name: str, rule: str) -> None:
    both = Ensemble([LinearSegmenter(), Askew()], rule)
    first, second = (attack(both, photo(), name, steps=4, budget="4/255", clean_masks=masks()) for _ in range(2))
    assert np.array_equal(first.image.pixels, second.image.pixels)
    change = first.image.pixels.astype(int) - photo().pixels
    assert 0 < np.abs(change).max() <= 4
    alone = attack(LinearSegmenter(), photo(), name, steps=4, budget="4/255", clean_masks=masks())
    assert not np.array_equal(first.image.pixels, alone.image.pixels)


def test_the_record_says_who_took_part() -> None:
    result = attack(Ensemble([LinearSegmenter(), Askew()]), photo(), "tap", steps=2)
    assert result.notes[-1] == "made on linear, askew (mean); masks and answers are those of the first"
    assert any(note.startswith("askew: inner layers") for note in result.notes)
    assert attack(LinearSegmenter(), photo(), "pgd", steps=1).notes == ()


def test_members_share_guide_and_questions() -> None:
    """The guide is made of the first member's masks; the second alone would find others."""
    one = attack(LinearSegmenter(), photo(), "rga", steps=1)
    both = attack(Ensemble([LinearSegmenter(), Askew()]), photo(), "rga", steps=1)
    assert np.array_equal(both.guide, one.guide)


def test_a_region_limits_an_ensemble_too() -> None:
    where = np.zeros((10, 12), np.bool_)
    where[2:5, 3:9] = True
    both = Ensemble([LinearSegmenter(), Askew()], "alternate")
    result = attack(both, photo(), "pgd", steps=3, where=where)
    changed = (result.image.pixels != photo().pixels).any(-1)
    assert changed.any()
    assert not changed[~where].any()


def test_what_cannot_be_made_on_several() -> None:
    both = Ensemble([LinearSegmenter(), Askew()], "alternate")
    with pytest.raises(UsageError, match=r"^'apgd' compares the losses .* use the rule mean: linear\+askew$"):
        attack(both, photo(), "apgd", steps=2)
    with pytest.raises(CapabilityError, match="protocol paper is of the resolution of one model"):
        attack(both, photo(), "pgd", steps=2, protocol="paper")
    with pytest.raises(CapabilityError, match="a universal perturbation is trained on one model"):
        train_universal(both, [photo()], "uap-momentum")
    assert attack(both, photo(), "noise").encoder_backward == 0
    assert "square" in RECIPES
    assert attack(both, photo(), "square", queries=5).queries <= 5
