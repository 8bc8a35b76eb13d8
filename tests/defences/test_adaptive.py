"""An attack that knows the defence: what it differentiates, what it draws, and that it is stronger."""

import copy

import numpy as np
import pytest
import torch
from contract import check_gradient
from linear import LinearSegmenter
from torch.nn import functional as F

from segrobust.attacks.loop import Trace, gradient_of
from segrobust.attacks.recipes.run import attack
from segrobust.attacks.views.scale import ScaleCopies
from segrobust.defences.adaptive import Adaptive, adaptive
from segrobust.defences.defended import defend
from segrobust.defences.names import make_defence
from segrobust.defences.placement import PlacedGeometry
from segrobust.errors import UsageError
from segrobust.io.images import read_image
from segrobust.models import load
from segrobust.models.base import EverythingSettings, require_white_box
from segrobust.models.geometry import to_tensor
from segrobust.randomness import stream, torch_stream
from segrobust.types import Image, Prompts

RANDOM = ("noise-s0.05", "resize-pad", "jpeg-q75+noise-s0.05")
FIXED = ("jpeg-q75", "blur-s1", "median-3", "bits-4", "downup-0.5", "tv-w0.05", "jpeg-q75+bits-4")


@pytest.fixture(scope="module")
def nano():
    return load("nano", device="cpu")


@pytest.fixture(scope="module")
def photo(root):
    pixels = read_image(root / "examples" / "coffee.png").pixels[100:228, 200:376]
    return Image(np.ascontiguousarray(pixels), "cup")


def image(seed=0, size=(24, 30)):
    return torch.from_numpy(np.random.default_rng(seed).uniform(0.2, 0.8, (1, 3, *size))).float()


def test_none_is_the_model_itself():
    model = LinearSegmenter()
    assert adaptive(model, "none") is model


def test_without_draws_there_is_no_expectation():
    with pytest.raises(UsageError, match="draws must be at least 1, got 0"):
        adaptive(LinearSegmenter(), "noise-s0.05", draws=0)


def test_protocol_paper_perturbs_behind_the_defence_and_is_refused():
    with pytest.raises(UsageError, match="behind the defence 'bits-4', so an attack cannot adapt to it; use"):
        attack(adaptive(LinearSegmenter(), "bits-4"), Image(np.zeros((8, 8, 3), np.uint8)), "noise", protocol="paper")


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_defence_has_one_view(name):
    model, x = adaptive(LinearSegmenter(), name), image().requires_grad_()
    assert model.name == f"linear + {name}"
    assert model.resize(x).shape == x.shape
    torch.testing.assert_close(model.resize(x), make_defence(name).surrogate(x, None))
    torch.testing.assert_close(model.embed(x).features, model.resize(x.detach()))


@pytest.mark.parametrize("name", RANDOM)
def test_draws_are_new_at_every_step_and_the_same_when_repeated(name):
    model, x = adaptive(LinearSegmenter(), name, draws=4), image().requires_grad_()
    first = model.resize(x)
    assert len(first) == 4
    assert all(not torch.equal(first[0], other) for other in first[1:])
    torch.testing.assert_close(first, adaptive(LinearSegmenter(), name, draws=4).resize(x), rtol=0, atol=0)
    torch.testing.assert_close(first, model.resize(x), rtol=0, atol=0)
    moved = (x.detach() + 1e-6).requires_grad_()
    assert float((model.resize(moved) - first).detach().abs().max()) > 0.01
    assert not torch.equal(first, adaptive(LinearSegmenter(), name, draws=4, seed=1).resize(x))


@pytest.mark.parametrize("name", RANDOM)
def test_every_photo_of_a_batch_has_its_draws_together(name):
    model, both = adaptive(LinearSegmenter(), name, draws=3), torch.cat([image(0) * 0, image(1) * 0 + 0.9])
    views = model.resize(both.requires_grad_())
    bright = views.mean((1, 2, 3)) > 0.4
    assert bright.tolist() == [False] * 3 + [True] * 3


def test_noise_is_drawn_as_it_is_scored():
    views = adaptive(LinearSegmenter(), "noise-s0.05", draws=200).resize((image() * 0 + 0.5).requires_grad_()).detach()
    assert float(views.std()) == pytest.approx(0.05, rel=0.02)
    assert float(views.mean(0).std()) == pytest.approx(0.05 / 200**0.5, rel=0.1)


@pytest.mark.parametrize("name", [*FIXED, *RANDOM])
def test_the_gradient_of_the_loop_is_the_mean_over_the_draws(name):
    """Computed again draw by draw, it is what keeping everything would give."""
    model, x = adaptive(LinearSegmenter(), name, draws=3), image()
    kept = x.clone().requires_grad_()
    views = model.resize(kept)
    weights = torch.linspace(-1, 1, views[0].numel()).view_as(views[0])
    draws = model._draws(kept)
    plain = [make_defence(name).surrogate(kept, stream(0, draw, name)) for draw in draws]
    expected = sum((picture[0] * weights).sum() for picture in plain) / len(plain)
    (slope,) = torch.autograd.grad(expected, kept)
    trace = Trace()

    def objective(seen):
        return (seen.features * weights).sum((1, 2, 3))

    loss, gradient = gradient_of(model, x, objective, (), (), torch_stream(0), trace)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-4, abs=1e-3)
    torch.testing.assert_close(gradient, slope, rtol=1e-3, atol=1e-4)
    assert trace.encoder_backward == len(draws)


def test_every_draw_is_copied_and_memory_is_asked_for_all_views():
    class Careful(LinearSegmenter):
        def __init__(self):
            self.batches = []

        def views_at_a_time(self, views):
            assert views == 15
            return 4

        def encode(self, inputs):
            self.batches.append(len(inputs))
            return inputs

    white = Careful()
    model = adaptive(white, "noise-s0.05", draws=5)
    x = image() * 0 + 0.5
    loss, _ = gradient_of(
        model, x, lambda seen: seen.features.mean((1, 2, 3)), (ScaleCopies(3),), (), torch_stream(0), Trace()
    )
    assert white.batches == [4, 4, 4, 3]
    assert loss == pytest.approx(0.5 * (1 + 1 / 2 + 1 / 4) / 3, abs=0.002)


def test_the_way_into_the_model_is_open(tiny_sam):
    for name in ("jpeg-q75", "median-3", "resize-pad"):
        model = adaptive(tiny_sam, name, draws=2)
        assert require_white_box(model) is model
        x = to_tensor(np.zeros((40, 60, 3), np.uint8))[None]
        torch.testing.assert_close(model.embed(x).features, model.encode(model.prepare(model.resize(x))))
        assert model.depth == tiny_sam.depth
        assert set(model.observe(model.prepare(model.resize(x)), (0,)).layers) == {0}
        assert model.fingerprint == tiny_sam.fingerprint
        assert model.module is tiny_sam.module
        with pytest.raises(AttributeError):
            _ = model.no_such_thing


def test_a_gradient_reaches_every_pixel(tiny_sam):
    check_gradient(adaptive(tiny_sam, "blur-s1"), (40, 60))


def test_it_can_be_copied():
    assert copy.copy(adaptive(LinearSegmenter(), "blur-s1")).name == "linear + blur-s1"


def test_prompts_are_answered_where_the_middle_of_the_draws_is():
    model = adaptive(LinearSegmenter(), "resize-pad")
    assert isinstance(model, Adaptive)
    x = image(size=(40, 60)) * 0 + 0.1
    x[..., 10:20, 15:30] = 0.9
    embedding = model.embed(x)
    assert embedding.features.shape[-2:] == (44, 66)
    geometry = model.geometry((40, 60))
    assert isinstance(geometry, PlacedGeometry)
    np.testing.assert_allclose(geometry.to_model(np.array([[0.0, 0.0]])), [[3, 2]])
    logits = F.pad(embedding.features.mean(1, keepdim=True) - 0.5, (0, 0, 0, 22))  # a square, as models have it
    torch.testing.assert_close((geometry.restore(logits) > 0)[0, 0], x[0, 0] > 0.5)


def test_what_is_scored_is_the_real_defence(tiny_sam, photo):
    model, real = adaptive(tiny_sam, "smooth-s0.05-n3", seed=4), defend(tiny_sam, "smooth-s0.05-n3", 4)
    prompts = Prompts.of(points=[(30, 40), (90, 60)])
    assert model.answer(photo, prompts).rles == real.answer(photo, prompts).rles
    few = EverythingSettings(points_per_side=2, predicted_iou_threshold=0, stability_threshold=0)
    assert model.find_masks(photo, few).rles == real.find_masks(photo, few).rles


def cosine(model, defence, clean, changed):
    """What the attack lowers, through the real defence (of a random one, the mean of eight draws)."""
    draws = range(8 if defence.random else 1)

    def seen(image):
        shown = [defence.show(image.pixels, stream(9, "scored", str(i), image.fingerprint)).pixels for i in draws]
        return [model.embed(to_tensor(pixels)[None]).features.flatten() for pixels in shown]

    with torch.no_grad():
        middle = torch.stack(seen(clean)).mean(0)
        return np.mean([float(F.cosine_similarity(features, middle, dim=0)) for features in seen(changed)])


SLOW = (
    "blur-s1",
    "median-5",
    "bits-3",
    "downup-0.5",
    "tv-w0.05",
    "jpeg-q75+bits-4",
    "noise-s0.05",
    "resize-pad",
)
SETTINGS = {"copies": 1, "beta": 0, "weight": 0, "seed": 1}


@pytest.fixture(scope="module")
def oblivious(nano, photo):
    return attack(nano, photo, "rga", steps=10, **SETTINGS).image


def test_an_attack_that_knows_the_defence_is_stronger(nano, photo, oblivious):
    defence = make_defence("jpeg-q50")
    knowing = attack(adaptive(nano, defence), photo, "rga", steps=10, **SETTINGS).image
    assert cosine(nano, defence, photo, knowing) < cosine(nano, defence, photo, oblivious) - 0.01


@pytest.fixture(scope="module")
def longer(nano, photo):
    return attack(nano, photo, "rga", steps=20, **SETTINGS).image


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_so_it_is_with_the_others_and_more_steps(nano, photo, longer, name):
    defence = make_defence(name)
    knowing = attack(adaptive(nano, defence, draws=4), photo, "rga", steps=20, **SETTINGS).image
    assert cosine(nano, defence, photo, knowing) < cosine(nano, defence, photo, longer) - 0.01


def test_an_attack_on_a_random_defence_repeats_itself():
    pixels = (image(size=(20, 24))[0] * 255).permute(1, 2, 0).round().byte().numpy()
    model = adaptive(LinearSegmenter(), "noise-s0.05", draws=10)
    first, second = (attack(model, Image(pixels), "rga", steps=3, **SETTINGS) for _ in range(2))
    assert first.encoder_backward == 30
    assert first.loss == second.loss
    np.testing.assert_array_equal(first.image.pixels, second.image.pixels)
