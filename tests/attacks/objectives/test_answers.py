"""Prompts decoded together, part by part, or only some of them; and the optimum on a segmenter of known answers."""

import numpy as np
import pytest
import torch
from linear import LinearSegmenter

from segrobust.attacks.loop import LOSS_SCALE
from segrobust.attacks.objectives.answers import Answers, SomeAnswers, split, take
from segrobust.attacks.objectives.masks import Removed, Shown
from segrobust.attacks.recipes import attack
from segrobust.attacks.seen import Seen
from segrobust.types import Image, Prompts

PROMPTS = Prompts.of(
    points=np.random.default_rng(0).uniform(0, 40, (5, 2)),
    boxes=[[1, 2, 20, 30], [5, 5, 39, 39], [0, 10, 30, 12]],
)


def embedded(white, views=1):
    photo = torch.rand((views, 3, 40, 60), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features = white.embed(photo).features
    return features.requires_grad_()


def look(white, features, **where):
    return Seen(features, {}, (), white, white.geometry((40, 60)), **where)


@pytest.mark.parametrize("multimask", [False, True])
def test_each_prompt_is_answered_on_its_own_and_counts_alike(tiny_sam, multimask):
    features = embedded(tiny_sam, 2)
    losses = Answers(PROMPTS, Removed(), multimask)(look(tiny_sam, features))
    for view in range(2):
        single = look(tiny_sam, features[view : view + 1])
        one_by_one = [
            Removed()(single.decode(take(PROMPTS, np.array([i])), multimask=multimask)[0]) for i in range(len(PROMPTS))
        ]
        assert losses[view].item() == pytest.approx(torch.cat(one_by_one).mean().item(), rel=1e-4)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_parts_bound_the_memory_not_the_loss_or_its_gradient(tiny_sam, size):
    def run(at_a_time):
        features = embedded(tiny_sam, 2)
        losses = Answers(PROMPTS, Removed(), at_a_time=at_a_time)(look(tiny_sam, features))
        (slope,) = torch.autograd.grad(losses.sum(), features)
        return losses.detach(), slope

    (whole, slope), (parted, parted_slope) = run(64), run(size)
    assert torch.allclose(whole, parted, rtol=1e-4)
    assert (slope - parted_slope).abs().max() < 1e-3 * slope.abs().max()


def test_what_is_decoded_part_by_part_is_decoded_once_and_to_the_same_digits(tiny_sam, monkeypatch):
    """Against a sum that autograd differentiates as a whole."""
    answers = Answers(PROMPTS, Removed(), at_a_time=3)
    features = embedded(tiny_sam, 2)
    seen = look(tiny_sam, features)
    total = torch.zeros(2)
    for part in split(PROMPTS, 3):
        total = total + answers._sum(seen, part)
    whole = total / len(PROMPTS)
    (slope,) = torch.autograd.grad(whole.sum() * LOSS_SCALE, features)

    asked = []
    decode = Seen.decode
    monkeypatch.setattr(Seen, "decode", lambda view, part, **how: asked.append(len(part)) or decode(view, part, **how))
    parted = answers(seen)
    (parted_slope,) = torch.autograd.grad(parted.sum() * LOSS_SCALE, features)
    assert asked == [3, 2, 3]
    assert torch.equal(whole.detach(), parted.detach())
    assert torch.equal(slope, parted_slope)


def test_parts_of_each_view_weigh_as_the_view_does(tiny_sam):
    features = embedded(tiny_sam, 2)
    weights = torch.tensor([2.0, -0.5])

    def slope(at_a_time):
        losses = Answers(PROMPTS, Removed(), at_a_time=at_a_time)(look(tiny_sam, features))
        return torch.autograd.grad((losses * weights).sum(), features)[0]

    assert torch.allclose(slope(64), slope(3), rtol=1e-3, atol=1e-6)
    frozen = look(tiny_sam, features.detach())
    assert not Answers(PROMPTS, Removed(), at_a_time=3)(frozen).requires_grad


def test_prompts_are_split_in_order():
    parts = split(PROMPTS, 2)
    assert [(len(p.points), len(p.boxes)) for p in parts] == [(2, 0), (2, 0), (1, 0), (0, 2), (0, 1)]
    assert np.array_equal(np.concatenate([p.points for p in parts]), PROMPTS.points)
    assert np.array_equal(np.concatenate([p.box_masks for p in parts]), PROMPTS.box_masks)
    assert split(PROMPTS, 8) == [PROMPTS]


def test_masks_of_their_own_are_not_parted():
    with pytest.raises(ValueError, match="at most 4"):
        Answers(PROMPTS, Shown(torch.zeros(8, 4, 4)), at_a_time=4)


def test_some_prompts_are_drawn_for_each_gradient_and_shared_by_its_parts(tiny_sam):
    features = embedded(tiny_sam, 2)
    whole = Answers(PROMPTS, Removed())
    objective = SomeAnswers(whole, 3, torch.Generator().manual_seed(0))
    first = objective(look(tiny_sam, features[:1], first=0, count=2))
    drawn = objective._drawn
    assert len(drawn.prompts) == 3
    objective(look(tiny_sam, features[1:], first=1, count=2))
    assert objective._drawn is drawn
    assert first.item() == pytest.approx(drawn(look(tiny_sam, features[:1])).item())
    sets = set()
    for _ in range(20):
        objective(look(tiny_sam, features[:1]))
        sets.add(objective._drawn.prompts.points.tobytes() + objective._drawn.prompts.boxes.tobytes())
    assert len(sets) > 5
    with torch.no_grad():
        assert float(objective(look(tiny_sam, features[:1]))) == pytest.approx(
            float(whole(look(tiny_sam, features[:1])))
        )


@pytest.mark.parametrize(
    ("name", "changes", "sign"),
    [
        ("attack-sam", {}, -1),
        ("attack-sam-enlarge", {}, 1),
        ("ask-separate", {"points": 70}, -1),
        ("ask-separate", {"points": 9, "some": 4}, -1),
        ("s-ra", {}, -1),
        ("attack-sam-shift", {"right": 0.5, "down": 0.0, "point": "2,3"}, 0),
    ],
)
def test_masks_of_brightness_are_darkened_or_brightened(name, changes, sign):
    """The linear segmenter's mask is where a pixel is bright: every attack has its optimum at the budget's border."""
    levels = np.random.default_rng(0).integers(20, 230, (8, 10, 3), dtype=np.uint8)
    if sign == 0:  # bright left half, to be shown on the right
        levels = np.full((8, 10, 3), 140, np.uint8)
        levels[:, 5:] = 110
    result = attack(LinearSegmenter(), Image(levels), name, steps=6, **changes)
    change = result.image.pixels.astype(int) - levels
    if sign == 0:
        assert (change[:, :5] == -8).all()
        assert (change[:, 5:] == 8).all()
    else:
        assert (change == 8 * sign).all()
    assert result.loss[-1] < result.loss[0]
