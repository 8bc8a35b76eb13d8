"""ILPD of its paper: what the network computes while a gradient is taken, against the same by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from linear import LinearSegmenter

from segrobust.attacks.goals import LeaveTheEmbedding
from segrobust.attacks.loop import Trace, gradient_of
from segrobust.attacks.objectives.decay import DecayInside
from segrobust.attacks.recipes import attack, make_recipe
from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Seen
from segrobust.attacks.views import ScaleCopies
from segrobust.defences.adaptive import adaptive
from segrobust.errors import CapabilityError, UsageError
from segrobust.models.activations import edited
from segrobust.models.base import Observed, check_layers
from segrobust.models.geometry import to_tensor
from segrobust.types import Budget, Image


class TwoLayers(LinearSegmenter):
    """``tanh(A x)``, then ``B`` of it; inner layer 0 is the tanh."""

    name = "two layers"
    depth = 1

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(3)
        self.first = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 1, bias=False), torch.nn.Tanh())
        self.second = torch.nn.Conv2d(5, 4, 1, bias=False)
        with torch.no_grad():
            for weight in (*self.first.parameters(), *self.second.parameters()):
                weight.copy_(torch.randn(weight.shape, generator=draw))
                weight.requires_grad_(False)

    def encode(self, inputs):
        return self.second(self.first(inputs))

    def observe(self, inputs, layers=()):
        check_layers(self.name, self.depth, layers)
        return Observed(self.encode(inputs), layers={layer: self.first(inputs) for layer in layers})

    def edited(self, layer, edit):
        check_layers(self.name, self.depth, [layer])
        return edited(self.first, edit)


def photo() -> Image:
    return Image(np.random.default_rng(0).integers(30, 220, (9, 8, 3), dtype=np.uint8), name="photo")


def scene(white) -> Scene:
    image = photo()
    return Scene(white, image, to_tensor(image.pixels)[None], Budget.parse("8/255"), 0, "ilpd-paper")


def test_the_gradient_is_that_of_the_rest_of_the_network_at_the_decayed_features() -> None:
    white = TwoLayers()
    there = scene(white)
    objective = DecayInside(LeaveTheEmbedding("l2"), keep=0.25, sigma=0.1)(there)
    image = (there.source + 0.02).clamp(0, 1)
    loss, gradient = gradient_of(white, image, objective, (), (), torch.Generator(), Trace())

    noise = torch.randn(image.shape, generator=scene(white).torch_stream("noise on the photo"))
    leaf = image.clone().requires_grad_(True)
    mix = 0.25 * white.first(leaf) + 0.75 * white.first(there.source + 0.1 * noise)
    clean = white.encode(there.source)
    wanted = LeaveTheEmbedding("l2")(scene(white))
    by_hand = wanted(Seen(white.second(mix))).sum()
    torch.testing.assert_close(loss, float(by_hand.detach()))
    torch.testing.assert_close(gradient, torch.autograd.grad(by_hand, leaf)[0])
    assert not torch.allclose(white.second(mix), clean)
    assert there.encoded == 2  # the photo's own embedding, and the noisy photo


def test_the_noise_is_new_for_every_gradient_and_the_same_for_its_parts() -> None:
    white = TwoLayers()
    there = scene(white)
    objective = DecayInside(LeaveTheEmbedding(), sigma=0.1)(there)
    image = (there.source + 0.02).clamp(0, 1)

    def slope(batch=None):
        return gradient_of(white, image, objective, (ScaleCopies(3),), (), torch.Generator(), Trace(), batch)[1]

    before = there.encoded
    whole = slope()
    assert not torch.equal(whole, slope())
    assert there.encoded == before + 2
    fresh = DecayInside(LeaveTheEmbedding(), sigma=0.1)(scene(white))
    objective = fresh
    torch.testing.assert_close(slope(1), whole)


def test_without_decay_it_is_the_plain_attack() -> None:
    plain = attack(TwoLayers(), photo(), "bim", steps=5)
    same = attack(TwoLayers(), photo(), dataclasses.replace(make_recipe("ilpd-paper", keep=1.0, steps=5), name="bim"))
    assert np.array_equal(plain.image.pixels, same.image.pixels)
    assert same.loss == pytest.approx(plain.loss)
    decayed = attack(TwoLayers(), photo(), "ilpd-paper", steps=5)
    assert not np.array_equal(plain.image.pixels, decayed.image.pixels)


def test_budget_determinism_cost_and_notes() -> None:
    first, second = (attack(TwoLayers(), photo(), "ilpd-paper", steps=6, budget="3/255") for _ in range(2))
    assert np.array_equal(first.image.pixels, second.image.pixels)
    assert np.abs(first.image.pixels.astype(int) - photo().pixels).max() == 3
    assert first.encoder_backward == 6
    assert first.encoder_forward == 6 + 6 + 1 + 1  # views, noisy photos, the photo itself, the end
    assert first.notes == ("decayed at inner layer 0 of 0 to 0",)
    quiet = attack(TwoLayers(), photo(), "ilpd-paper", steps=20, sigma=0.0)
    assert quiet.loss[-1] < quiet.loss[0]


def test_it_goes_through_a_defence_and_any_objective() -> None:
    behind = adaptive(TwoLayers(), "bits-4")
    assert attack(behind, photo(), "ilpd-paper", steps=2).encoder_backward == 2
    assert attack(TwoLayers(), photo(), "ilpd-paper", steps=2, objective="l2").encoder_backward == 2


def test_on_a_real_encoder_the_layer_is_changed_and_changed_back(tiny_sam) -> None:
    pixels = tiny_sam.prepare(tiny_sam.resize(torch.rand((1, 3, 60, 80), generator=torch.Generator().manual_seed(0))))
    with torch.no_grad():
        before = tiny_sam.encode(pixels)
        with tiny_sam.edited(0, torch.zeros_like):
            changed = tiny_sam.encode(pixels)
        with tiny_sam.edited(0, lambda features: features):
            assert torch.equal(tiny_sam.encode(pixels), before)
        assert not torch.allclose(changed, before)
        assert torch.equal(tiny_sam.encode(pixels), before)
    with pytest.raises(CapabilityError, match="has no inner layer 99"):
        tiny_sam.edited(99, torch.zeros_like)


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"keep": 0.0}, r"keep must be in \(0, 1\], got 0.0"), ({"sigma": -1.0}, "sigma must not be negative, got -1.0")],
)
def test_bad_settings(changed, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_recipe("ilpd-paper", **changed)


def test_a_model_that_hides_its_layers_is_refused() -> None:
    with pytest.raises(CapabilityError, match="model 'linear' does not let its inner layers be changed"):
        attack(LinearSegmenter(), photo(), "ilpd-paper", steps=1)
