"""Losses of inner features against numpy, by hand, and on a segmenter whose optimum is known."""

import numpy as np
import pytest
import torch
from linear import LinearSegmenter

from segrobust.attacks.motion import affine
from segrobust.attacks.objectives.inner import (
    ApproachInner,
    AwayAndTowardInner,
    LeaveInner,
    distance,
    dominance,
    look,
    mean_cosine,
    root,
)
from segrobust.attacks.objectives.inner_goals import SmoothResidual
from segrobust.attacks.recipes import attack, make_recipe
from segrobust.attacks.seen import Seen
from segrobust.io.images import write_png
from segrobust.types import Image

SHAPES = {3: (2, 3, 3), 7: (5, 2, 1)}


def layers(seed, views=1):
    draw = np.random.default_rng(seed)
    return {number: torch.from_numpy(draw.normal(size=(views, *shape))) for number, shape in SHAPES.items()}


def stack(of):
    return tuple(of[number] for number in SHAPES)


def flat(of, view=0):
    return np.concatenate([of[number][view].numpy().ravel() for number in SHAPES])


def cosine(a, b):
    a, b = a.numpy().ravel(), b.numpy().ravel()
    return a @ b / np.sqrt((a @ a) * (b @ b))


@pytest.fixture
def seen():
    return Seen(torch.zeros(2, 4, 3, 3), layers(0, views=2))


def test_tap_is_the_distance_of_square_roots(seen):
    clean = layers(1)
    losses = LeaveInner(stack(clean), tuple(SHAPES))(seen)

    def tap(a):
        return np.sign(a) * np.sqrt(np.abs(a))

    for view in range(2):
        expected = -np.linalg.norm(tap(flat(seen.layers, view)) - tap(flat(clean)))
        assert float(losses[view]) == pytest.approx(expected)


def test_ilpd_mixes_the_features_before_the_square_root(seen):
    clean = layers(1)
    (loss, _) = LeaveInner(stack(clean), tuple(SHAPES), decay=0.25)(seen)
    mixed = 0.75 * flat(seen.layers) + 0.25 * flat(clean)
    difference = np.sign(mixed) * np.abs(mixed) ** 0.5 - np.sign(flat(clean)) * np.abs(flat(clean)) ** 0.5
    assert float(loss) == pytest.approx(-np.sqrt((difference**2).sum()))


def test_zeros_after_a_relu_give_no_infinite_slope():
    features = torch.tensor([[0.0, 4.0, -9.0]], requires_grad=True)
    assert torch.equal(root(features), torch.tensor([[0.0, 2.0, -3.0]]))
    (slope,) = torch.autograd.grad(root(features).sum(), features)
    assert torch.allclose(slope, torch.tensor([[0.0, 1 / 4, 1 / 6]]))
    same = features.detach().requires_grad_()
    (slope,) = torch.autograd.grad(distance([same], [features.detach()]).sum(), same)
    assert torch.equal(slope, torch.zeros_like(slope))


def test_aa_is_the_distance_over_all_layers(seen):
    target = layers(2)
    losses = ApproachInner(stack(target), None, tuple(SHAPES), scale=2.0)(seen)
    for view in range(2):
        expected = np.linalg.norm(flat(seen.layers, view) - flat(target)) / 2
        assert float(losses[view]) == pytest.approx(expected)


def test_pata_subtracts_how_much_the_rival_is_dominated(seen):
    target, rival = layers(2), layers(3)
    losses = ApproachInner(stack(target), stack(rival), tuple(SHAPES), dominance=5.0)(seen)
    for view in range(2):
        terms = []
        for number in SHAPES:
            f, c = seen.layers[number][view], rival[number][0]
            terms.append(cosine(f, f + c) - cosine(c, f + c))
        expected = np.linalg.norm(flat(seen.layers, view) - flat(target)) - 5 * np.mean(terms)
        assert float(losses[view]) == pytest.approx(expected)


def test_dominance_of_one_over_its_half_and_over_itself():
    """Parallel features share every sum alike; of orthogonal ones of lengths 3 and 4 the sum is (3, 4) / 5."""
    f, c = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    assert float(dominance([f], [f / 2])) == pytest.approx(0, abs=1e-6)
    assert float(dominance([f], [c])) == pytest.approx(0.6 - 0.8)


def test_uad_is_a_mean_of_cosines_of_whole_layers(seen):
    source, target = layers(4), layers(5)
    losses = AwayAndTowardInner(stack(source), stack(target), tuple(SHAPES), weight=0.5)(seen)
    for view in range(2):
        away = np.mean([cosine(seen.layers[number][view], source[number]) for number in SHAPES])
        near = np.mean([cosine(seen.layers[number][view], target[number]) for number in SHAPES])
        assert float(losses[view]) == pytest.approx(away - 0.5 * near)
    alone = AwayAndTowardInner(stack(source), None, tuple(SHAPES))(seen)
    assert float(alone[0]) == pytest.approx(np.mean([cosine(seen.layers[n][0], source[n]) for n in SHAPES]))


def test_no_layers_means_the_final_embedding(seen):
    assert look(seen, ()) == (seen.features,)
    target = torch.ones(1, 4, 3, 3)
    assert float(ApproachInner((target,))(seen)[0]) == pytest.approx(6.0)


@pytest.mark.parametrize("kind", ["leave", "approach", "uad"])
def test_gradients_are_those_of_finite_differences(kind):
    clean, other = stack(layers(1)), stack(layers(2))
    objective = {
        "leave": LeaveInner(clean, tuple(SHAPES), 0.5),
        "approach": ApproachInner(clean, other, tuple(SHAPES), dominance=1.0),
        "uad": AwayAndTowardInner(clean, other, tuple(SHAPES)),
    }[kind]
    features = torch.zeros(2, 1, 1, 1, dtype=torch.float64)
    start = [layer.requires_grad_() for layer in stack(layers(9, views=2))]
    assert torch.autograd.gradcheck(
        lambda *parts: objective(Seen(features, dict(zip(SHAPES, parts, strict=True)))), start
    )


def test_targets_follow_views_that_moved():
    """A view that mirrors the photo is compared with the mirrored target: nothing is left to do."""
    target = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    mirror = affine(torch.tensor([[[-1.0, 0, 0], [0, 1.0, 0]]]))
    features = target.flip(-1)
    moved = Seen(features, {0: features}, motion=mirror, count=1)
    unmoved = Seen(features, {0: features})
    for objective in (ApproachInner((target,), layers=(0,)), ApproachInner((target,))):
        assert float(objective(moved)) == pytest.approx(0, abs=1e-5)
        assert float(objective(unmoved)) > 0.5
    assert float(AwayAndTowardInner((target,), None, (0,))(moved)) == pytest.approx(1, abs=1e-6)
    assert float(mean_cosine([features], [target])) < 0.99


def test_the_smooth_residual_is_what_pooling_leaves():
    clean = torch.zeros(1, 3, 4, 4)
    seen_inputs = torch.zeros(1, 3, 4, 4)
    seen_inputs[0, 0, 1, 1] = 9.0  # one pixel: pooling spreads it over nine, each a ninth
    seen = Seen(torch.zeros(1, 1, 1, 1), inputs=seen_inputs)
    loss = SmoothResidual(lambda _: torch.tensor([5.0]), clean, 0.5)(seen)
    assert float(loss) == pytest.approx(5 - 0.5 * 9)
    checkered = (-1.0) ** (torch.arange(4)[:, None] + torch.arange(4)).expand(1, 3, 4, 4)
    fine = SmoothResidual(lambda _: torch.zeros(1), clean, 1.0)(Seen(torch.zeros(1, 1, 1, 1), inputs=checkered))
    coarse = SmoothResidual(lambda _: torch.zeros(1), clean, 1.0)(Seen(torch.zeros(1, 1, 1, 1), inputs=clean + 1))
    assert float(coarse) < 2 * float(fine)  # both are negative: the smooth change is worth more


def test_aa_reaches_the_nearest_picture_in_the_budget(tmp_path):
    """Features are pixels: the optimum is the other picture, cut to the budget."""
    draw = np.random.default_rng(0)
    photo, other = (draw.integers(0, 256, (6, 7, 3), dtype=np.uint8) for _ in range(2))
    path = write_png(tmp_path / "other.png", other)
    result = attack(LinearSegmenter(), Image(photo), "aa", picture=str(path), blocks="", steps=12, step_size=1 / 255)
    expected = np.clip(other.astype(int), photo.astype(int) - 8, photo.astype(int) + 8)
    assert np.abs(result.image.pixels.astype(int) - expected).max() <= 1
    assert np.array_equal(result.guide, other)


def test_tap_of_pixels_leaves_the_photo_until_the_border(tmp_path):
    photo = np.random.default_rng(0).integers(64, 192, (6, 7, 3), dtype=np.uint8)
    recipe = make_recipe("tap", blocks="", smooth=0.0, steps=8)
    result = attack(LinearSegmenter(), Image(photo), recipe)
    assert np.array_equal(np.abs(result.image.pixels.astype(int) - photo), np.full(photo.shape, 8))
