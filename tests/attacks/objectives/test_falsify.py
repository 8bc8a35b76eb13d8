"""The soft IoU against arithmetic, the optimum on a segmenter of known answers, and what is drawn for views."""

import numpy as np
import pytest
import torch
from linear import LinearSegmenter

from segrobust.attacks.objectives.falsify import Falsify, LeaveTokens, WrongAnswers, soft_iou
from segrobust.attacks.objectives.questions import OnMasks
from segrobust.attacks.recipes import attack, make_recipe
from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Seen
from segrobust.errors import UsageError
from segrobust.models.geometry import to_tensor
from segrobust.types import Budget, Image, Masks, Prompts

SIZE = (30, 30)  # square: the linear segmenter pads nothing


def bright_square(low=90, high=170):
    """A photo on which the linear segmenter answers a square, far from its threshold of 127.5."""
    pixels = np.full((*SIZE, 3), low, np.uint8)
    pixels[6:18, 5:20] = high
    inside = np.zeros(SIZE, bool)
    inside[6:18, 5:20] = True
    return Image(pixels), inside


def scene(photo, masks):
    return Scene(LinearSegmenter(), photo, to_tensor(photo.pixels)[None], Budget.parse("8/255"), 0, "test", masks)


def look(features, **where):
    white = LinearSegmenter()
    layers = {number: (number + 1) * features for number in range(3)}
    return Seen(features, layers, (), white, white.geometry(tuple(features.shape[-2:])), **where)


def test_of_sure_answers_it_is_the_iou():
    generator = np.random.default_rng(0)
    a, b = generator.random((2, 7, 1, 9, 11)) < 0.4
    iou = (a & b).sum((1, 2, 3)) / (a | b).sum((1, 2, 3))
    logits = torch.from_numpy(np.where(a, 60.0, -60.0))
    assert soft_iou(logits, torch.from_numpy(b).double(), torch.ones(9, 11)).numpy() == pytest.approx(iou, abs=1e-12)


def test_its_gradient_is_that_of_the_quotient():
    """Inside, only what is common changes: p' / U. Outside, only the union: -I p' / U^2."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((1, 1, 6, 5), generator=generator, dtype=torch.float64, requires_grad=True)
    mask = (torch.rand((1, 1, 6, 5), generator=generator) < 0.5).double()
    p = logits.detach().sigmoid()
    common, slope = (p * mask).sum(), p * (1 - p)
    union = (p + mask - p * mask).sum()
    (gradient,) = torch.autograd.grad(soft_iou(logits, mask, torch.ones(6, 5)).sum(), logits)
    assert torch.allclose(gradient, torch.where(mask > 0, slope / union, -common * slope / union**2))


def test_answers_that_are_empty_both_times_overlap_in_nothing():
    empty = torch.zeros((1, 1, 4, 4))
    assert soft_iou(torch.full_like(empty, -100.0), empty, torch.ones(4, 4)).item() == 0


def test_what_lies_in_the_padding_counts_on_neither_side(tiny_sam):
    """As scoring has it: the logits of the padding are cut away before masks are compared."""
    photo = Image(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    found = Masks.from_dense(np.ones((1, 40, 60), bool))
    where = Scene(tiny_sam, photo, to_tensor(photo.pixels)[None], Budget.parse("8/255"), 0, "test", found)
    answers = Falsify(weight=0)(where).answers
    photo_rows = round(answers.where.shape[-2] * 40 / 60)
    assert answers.where[: photo_rows - 1].min() == 1
    assert answers.where[photo_rows + 1 :].max() == 0
    logits = torch.randn(answers.clean.shape, generator=torch.Generator().manual_seed(0))
    logits[..., photo_rows + 1 :, :] = 50.0
    painted = logits.clone()
    painted[..., photo_rows + 1 :, :] = -50.0
    assert torch.equal(soft_iou(logits, answers.clean, answers.where), soft_iou(painted, answers.clean, answers.where))


def test_the_optimum_on_known_answers_is_darker_inside_and_brighter_outside():
    photo, inside = bright_square()
    found = Masks.from_dense(inside[None])
    plain = {"noise": 0, "beta": 0, "smoothing": 0, "momentum": 0, "weight": 0}
    result = attack(LinearSegmenter(), photo, "falsify", clean_masks=found, steps=20, **plain)
    change = result.image.pixels.astype(int) - photo.pixels
    assert (change[inside] == -8).all()
    assert (change[~inside] == 8).all()


def test_features_alone_are_tokens_of_all_layers():
    photo, inside = bright_square()
    objective = Falsify(some=0)(scene(photo, Masks.from_dense(inside[None])))
    assert objective.layers == (0, 1, 2)
    moved = torch.rand((2, 3, *SIZE), generator=torch.Generator().manual_seed(0))
    source = to_tensor(photo.pixels)[None].expand_as(moved)
    cosine = (moved * source).sum(1) / (moved.norm(dim=1) * source.norm(dim=1))
    # The linear segmenter's layers are multiples of its embedding, which no cosine sees.
    assert objective(look(moved)).numpy() == pytest.approx(cosine.mean((1, 2)).numpy(), rel=1e-5)


def test_the_weight_is_of_the_features():
    photo, inside = bright_square()
    where = scene(photo, Masks.from_dense(inside[None]))
    moved = torch.rand((1, 3, *SIZE), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answers = Falsify(weight=0)(where)(look(moved))
        features = Falsify(some=0)(where)(look(moved))
        both = Falsify(weight=2.5)(where)(look(moved))
    assert both.item() == pytest.approx(answers.item() + 2.5 * features.item(), rel=1e-5)


def test_draws_do_not_depend_on_how_views_are_parted(tiny_sam):
    generator = torch.Generator().manual_seed(3)
    prompts = Prompts.of(points=np.random.default_rng(0).uniform(0, 40, (9, 2)))
    with torch.no_grad():
        features = tiny_sam.embed(torch.rand((3, 3, 40, 60), generator=generator)).features
        size = Seen(features[:1], {}, (), tiny_sam, tiny_sam.geometry((40, 60))).decode(prompts)[0].logits.shape
    clean = (torch.rand(size, generator=generator) < 0.5).float()

    def losses(parts):
        objective = WrongAnswers(prompts, clean, torch.ones(size[-2:]), 2, torch.Generator().manual_seed(7))
        geometry = tiny_sam.geometry((40, 60))
        views = features.clone().requires_grad_()
        return torch.cat([objective(Seen(part, {}, (), tiny_sam, geometry)) for part in views.split(parts)]).detach()

    together, apart = losses(3), losses(1)
    assert torch.allclose(together, apart, rtol=1e-4)
    assert len(set(together.tolist())) == 3


def test_a_look_at_the_loss_asks_all_and_draws_nothing(tiny_sam):
    prompts = Prompts.of(points=np.random.default_rng(0).uniform(0, 40, (5, 2)))
    with torch.no_grad():
        features = tiny_sam.embed(torch.rand((1, 3, 40, 60), generator=torch.Generator().manual_seed(1))).features
        seen = Seen(features, {}, (), tiny_sam, tiny_sam.geometry((40, 60)))
        logits = seen.decode(prompts)[0].logits
        objective = WrongAnswers(prompts, torch.ones_like(logits), torch.ones(logits.shape[-2:]), 2)
        before = objective.generator.get_state()
        assert objective(seen).item() == pytest.approx(logits.sigmoid().mean((1, 2, 3)).mean().item(), rel=1e-4)
    assert torch.equal(objective.generator.get_state(), before)


def test_prompts_without_an_answer_are_not_asked_and_none_at_all_leaves_the_features():
    photo, inside = bright_square()
    dark, _ = bright_square(20, 40)
    found = Masks.from_dense(inside[None])
    answers = Falsify(OnMasks(2, True))(scene(photo, found)).answers
    assert len(answers.prompts) == 3
    assert np.array_equal(answers.clean[:, 0].numpy() > 0, np.repeat(inside[None], 3, 0))
    where = scene(dark, found)
    objective = Falsify()(where)
    assert objective.answers is None
    assert isinstance(objective.features, LeaveTokens)
    assert any("no answers" in note for note in where.notes)
    assert objective(look(torch.rand((2, 3, *SIZE)))).shape == (2,)


def test_what_it_needs_is_said():
    assert Falsify().needs == ("decoder", "masks", "layers")
    assert Falsify(some=0).needs == ("layers",)
    assert Falsify(weight=0).needs == ("decoder", "masks")
    assert Falsify(blocks=()).needs == ("decoder", "masks")


@pytest.mark.parametrize(("some", "weight"), [(0, 0), (-1, 1), (1, -1)])
def test_a_goal_of_nothing_is_refused(some, weight):
    with pytest.raises(UsageError, match="answers or features must count"):
        Falsify(some=some, weight=weight)


def test_no_copies_are_refused():
    with pytest.raises(UsageError, match="falsify: copies must be at least 1, got 0"):
        make_recipe("falsify", copies=0)
