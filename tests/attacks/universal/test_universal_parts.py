"""The parts that only universal perturbations have, held to their formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from linear import LinearSegmenter
from scipy.special import log_softmax

from segrobust.attacks.budget import Box
from segrobust.attacks.objectives.questions import Anywhere
from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Seen
from segrobust.attacks.universal.contrast import LookLikeThePerturbation
from segrobust.attacks.universal.darken import AscendLossTimesGradient, Darken, Darkened, Unnormalised
from segrobust.attacks.universal.haar import Bands, haar, with_gradient
from segrobust.attacks.universal.recipe import make_universal
from segrobust.attacks.universal.training import train_universal
from segrobust.attacks.updates import State
from segrobust.errors import UsageError
from segrobust.models.base import Prediction
from segrobust.models.geometry import Geometry, to_tensor
from segrobust.types import Budget, Image, Prompts

BUDGET = Budget.parse("10/255")


def photo(seed=0, size=(40, 56)):
    return Image(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def scene_of(segmenter, image):
    return Scene(segmenter, image, to_tensor(image.pixels)[None], BUDGET, 0, "x")


def test_haar_by_hand():
    bands = haar(torch.tensor([[1.0, 2], [3, 4]]))
    assert [band.item() for band in bands] == [5, -2, -1, 0]
    stripes = torch.tensor([[1.0, -1], [1, -1]])
    assert [band.item() for band in haar(stripes)] == [0, 0, 2, 0]
    assert [band.item() for band in haar(torch.tensor([[1.0, -1], [-1, 1]]))] == [0, 0, 0, 2]
    assert haar(torch.ones(2, 3, 5))[0].tolist() == torch.full((2, 2, 3), 2.0).tolist()


@settings(max_examples=20)
@given(seed=st.integers(0, 99), height=st.integers(1, 6), width=st.integers(1, 6))
def test_haar_keeps_the_energy_and_can_be_undone(seed, height, width):
    image = torch.randn((3, 2 * height, 2 * width), generator=torch.Generator().manual_seed(seed)).double()
    low, lh, hl, high = bands = haar(image)
    assert sum(band.square().sum() for band in bands) == pytest.approx(float(image.square().sum()))
    assert torch.allclose((low + lh + hl + high) / 2, image[:, 0::2, 0::2])
    assert torch.allclose((low - lh - hl + high) / 2, image[:, 1::2, 1::2])


def test_the_bands_are_those_of_the_low_part_and_the_high_part_transformed_back():
    """The authors' way: transform back each band alone, compare the photos; the gradient of LL is twice block means."""
    change = torch.randn((1, 3, 8, 6), generator=torch.Generator().manual_seed(0)).double()
    low, _, _, high = haar(change)
    smooth = low.repeat_interleave(2, -2).repeat_interleave(2, -1) / 2
    signs = torch.tensor([[1.0, -1], [-1, 1]]).repeat(4, 3)
    rough = high.repeat_interleave(2, -2).repeat_interleave(2, -1) / 2 * signs
    expected = 2 * float(smooth.square().sum()) - 0.5 * float(rough.square().sum())
    value, gradient = with_gradient(Bands(2.0, 0.5, "sum"), change)
    assert value == pytest.approx(expected)
    assert torch.allclose(gradient, 2 * (2 * smooth - 0.5 * rough))
    assert float(Bands(2.0, 0.5)(change)) == pytest.approx(expected / change.numel())
    with pytest.raises(UsageError, match="reduction 'max' is not one of mean, sum"):
        Bands(reduction="max")


def test_the_loss_of_masks_by_hand():
    logits = torch.tensor([[[[2.0, -3.0], [1.0, 0.5]]]])
    foreground = torch.tensor([[True, False], [False, True]])
    loss = Darkened(foreground)(Prediction(logits, torch.ones(1, 1), Geometry((2, 2), (2, 2), 2)))
    inside, outside = np.array([2, 0, 0, 0.5]), np.array([0, -3, 1, 0])
    assert loss.item() == pytest.approx(np.mean((inside + 1) ** 2) + 0.1 * np.mean((outside - 1) ** 2))


def test_the_blueprint_is_the_union_of_what_is_found(tiny_sam):
    image = photo()
    scene = scene_of(tiny_sam, image)
    prompts = Anywhere(3)(scene)
    logits = tiny_sam.masks(tiny_sam.embed(scene.source), prompts).logits
    together = Darken(Anywhere(3))(scene).goal.foreground
    assert together.equal((logits > 0).flatten(0, 1).any(0))
    alone = Darken(Anywhere(3), blueprint=False)(scene).goal.foreground
    assert alone.equal(logits > 0)
    full = Darken(Anywhere(3), blueprint=False, full=True)(scene)
    assert full.goal.goal.foreground.shape == (3, 1, *image.size)


def test_the_update_as_coded_goes_up_where_the_loss_is_positive():
    box = Box(torch.full((1, 1, 1, 2), -1.0), torch.full((1, 1, 1, 2), 1.0))
    for loss, moved in [(2.0, [0.1, -0.1]), (-2.0, [-0.1, 0.1])]:
        image = torch.zeros(1, 1, 1, 2)
        gradient = torch.tensor([3.0, -4.0]).view(1, 1, 1, 2)
        assert AscendLossTimesGradient(0.1)(image, lambda _, v=(loss, gradient): v, State(box)) == loss
        assert image.flatten().tolist() == pytest.approx(moved)


def test_not_normalised_is_the_pixels_themselves(tiny_sam):
    raw, source = Unnormalised(tiny_sam), to_tensor(photo().pixels)[None]
    resized = tiny_sam.resize(source)
    inputs = raw.prepare(resized)
    height, width = resized.shape[-2:]
    assert torch.allclose(inputs[..., :height, :width], resized, atol=1e-6)
    assert inputs.shape == tiny_sam.prepare(resized).shape
    assert not inputs[..., height:, :].any()
    assert torch.equal(raw.embed(source).features, tiny_sam.encode(inputs))
    assert not torch.allclose(raw.embed(source).features, tiny_sam.embed(source).features, atol=1e-3)
    assert raw.fingerprint == tiny_sam.fingerprint
    prompts = Prompts.of(points=[(5, 5)])
    assert raw.answer(photo(), prompts).areas[0] == raw.masks(raw.embed(source), prompts).choose().areas[0]


def test_darksam_code_feeds_what_is_not_normalised_and_climbs(tiny_sam):
    """Its sums of low frequencies decide: they grow."""
    recipe = make_universal("darksam-code", prompts=2, side=32)
    photos = [photo(seed) for seed in range(6)]
    trained = train_universal(tiny_sam, photos, recipe)
    assert trained.card["loss"][-1] > trained.card["loss"][0]
    assert not recipe.normalised
    kept = train_universal(tiny_sam, photos, "darksam", prompts=2, side=32, epochs=1)

    def low(pattern):
        return float(haar(torch.from_numpy(pattern))[0].square().mean())

    assert low(trained.pattern) > 1.2 * low(kept.pattern)


def test_infonce_by_hand():
    """On pixels as features: the anchor is what was added to the photo."""
    image, segmenter = photo(1, (4, 5)), LinearSegmenter()
    scene = scene_of(segmenter, image)
    others = [to_tensor(photo(seed, (4, 5)).pixels)[None] for seed in (2, 3, 4)]
    change = 0.05 * torch.randn(scene.source.shape, generator=torch.Generator().manual_seed(0))
    shown = (scene.source + change).requires_grad_(True)
    objective = LookLikeThePerturbation(3, 0.2).among(others)(scene)
    loss = objective(Seen(shown, segmenter=segmenter, inputs=shown))

    def cosine(a, b):
        a, b = a.detach().double().numpy().ravel(), b.detach().double().numpy().ravel()
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    logits = [cosine(change, shown), *(cosine(change, other) for other in others)]
    assert loss.item() == pytest.approx(-log_softmax(np.array(logits) / 0.2)[0], rel=1e-4)
    (slope,) = torch.autograd.grad(loss.sum(), shown)
    step = 1e-3 * slope / slope.norm()
    with torch.no_grad():
        up, down = (objective(Seen(shown + s, segmenter=segmenter, inputs=shown + s)) for s in (step, -step))
    assert float(up - down) == pytest.approx(2e-3 * float(slope.norm()), rel=0.02)  # anchor and positive both count
