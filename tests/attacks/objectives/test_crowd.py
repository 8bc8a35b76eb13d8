"""Many clicks as one prompt, and prompts that move: against the network asked directly, and by what they promise."""

import numpy as np
import pytest
import torch
from linear import LinearSegmenter

from segrobust.attacks.objectives.answers import Answers
from segrobust.attacks.objectives.clicks import joined, prompt_encoder, shifted
from segrobust.attacks.objectives.crowd import HardestEmbeddings, HardestPositions, Joint, one_by_one
from segrobust.attacks.objectives.masks import Removed, clip_mse
from segrobust.attacks.seen import Seen
from segrobust.errors import CapabilityError, UsageError
from segrobust.models.efficient_sam import CONFIGS
from segrobust.models.efficient_sam_net import PromptEncoder
from segrobust.types import Prompts

SIZE = (40, 60)
POINTS = np.random.default_rng(0).uniform(0, 39, (20, 2))
PROMPTS = Prompts.of(points=POINTS[:3], boxes=[[1, 2, 20, 30], [5, 5, 39, 39]])


@pytest.fixture
def seen(tiny_sam):
    photo = torch.rand((2, 3, *SIZE), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features = tiny_sam.embed(photo).features
    return Seen(features.requires_grad_(), {}, (), tiny_sam, tiny_sam.geometry(SIZE), count=2)


def first_of(seen):
    return next(one_by_one(seen))


def test_a_joint_prompt_is_the_networks_own_with_many_points(tiny_sam, seen):
    """transformers' SamModel, asked with one prompt of 20 clicks."""
    loss = Joint(POINTS)(seen)
    clicks = torch.from_numpy(seen.geometry.to_model(POINTS)).float()[None, None]
    for view in range(2):
        with torch.no_grad():
            out = tiny_sam.module(
                image_embeddings=seen.features[view : view + 1].detach(),
                input_points=clicks,
                input_labels=torch.ones(1, 1, len(POINTS), dtype=torch.int64),
                multimask_output=False,
            )
        assert loss[view].item() == pytest.approx(float(clip_mse(out.pred_masks).mean()), rel=1e-4)
    assert torch.autograd.grad(loss.sum(), seen.features)[0].abs().sum() > 0


def test_one_joint_click_is_a_click(seen):
    alone = Answers(Prompts.of(points=POINTS[:1]), Removed())(seen)
    assert torch.allclose(Joint(POINTS[:1])(seen), alone)


def test_nothing_stays_on_the_prompt_encoder(tiny_sam, seen):
    encoder, answers = prompt_encoder(tiny_sam), Answers(PROMPTS, Removed())
    before = answers(seen).detach()
    with joined(encoder, POINTS):
        pass
    shifts = []
    with shifted(encoder, shifts):
        assert torch.equal(answers(first_of(seen)).detach(), before[:1])  # no shift yet
    assert [tuple(shift.shape[1:3]) for shift in shifts] == [(3, 2), (2, 2)]
    with shifted(encoder, [shift + 0.5 for shift in shifts]):
        assert not torch.allclose(answers(first_of(seen)), before[:1])
    assert torch.equal(answers(seen).detach(), before)
    assert not encoder._forward_hooks
    assert not encoder._forward_pre_hooks


def test_a_family_without_prompt_encoder_is_named():
    with pytest.raises(CapabilityError, match="'linear' has no prompt encoder"):
        prompt_encoder(LinearSegmenter())


def test_a_family_whose_prompts_hold_few_clicks_says_so():
    """EfficientSAM's prompts have six places; its encoder cuts the rest off."""
    torch.manual_seed(0)
    encoder = PromptEncoder(CONFIGS["efficient_sam_vitt"])
    one = torch.ones(1, 1, 2), torch.ones(1, 1, dtype=torch.int64)
    with torch.no_grad(), joined(encoder, POINTS[:5]):
        together = encoder(*one)
    expected = encoder(torch.from_numpy(POINTS[None, :5]).float(), torch.ones(1, 5, dtype=torch.int64))
    assert torch.allclose(together, expected)
    with joined(encoder, POINTS), pytest.raises(CapabilityError, match="holds 6 clicks, not 20"):
        encoder(*one)
    assert not encoder._forward_hooks


def test_embeddings_ascend_at_every_third_gradient_within_their_ball(seen):
    answers = Answers(PROMPTS, Removed())
    objective = HardestEmbeddings(answers, every=3, radius=0.25, step=0.1)
    clean = answers(seen).detach()
    losses = [objective(seen).detach() for _ in range(12)]
    assert torch.allclose(losses[0], clean)
    assert torch.equal(losses[1], losses[0])
    for early, late in ((1, 2), (4, 5), (7, 8)):
        assert losses[late][0] > losses[early][0]  # the first view is what they ascend on
    reached = torch.cat([shift.flatten() for shift in objective.shifts]).abs().max()
    assert float(reached) == pytest.approx(0.25)
    first = torch.cat([shift.flatten() for shift in HardestEmbeddings(answers).shifts] or [torch.zeros(1)])
    assert first.abs().max() == 0


def test_a_look_without_gradient_and_parts_of_a_gradient_are_not_counted(seen):
    objective = HardestEmbeddings(Answers(PROMPTS, Removed()), every=2)
    with torch.no_grad():
        for _ in range(3):
            objective(seen)
    objective(first_of(seen))
    for view in list(one_by_one(seen))[1:]:
        objective(view)
    assert objective.gradients == 1


def test_one_by_one_keeps_their_place(seen):
    views = list(one_by_one(seen))
    assert [view.first for view in views] == [0, 1]
    assert all(view.count == 2 and len(view) == 1 for view in views)
    assert torch.equal(views[1].features, seen.features[1:])


class Farthest(LinearSegmenter):
    """Answers with logits as large as the prompt is far to the right."""

    def masks(self, embedding, prompts, *, multimask=False):
        answer = super().masks(embedding, prompts, multimask=multimask)
        right = np.concatenate([prompts.points[:, 0], prompts.boxes[:, 2]])
        logits = answer.logits * 0 + torch.from_numpy(right).float().view(-1, 1, 1, 1)
        return type(answer)(logits, answer.predicted_iou, answer.geometry)


def far_seen():
    model = Farthest()
    return Seen(torch.rand(1, 3, 30, 40), {}, (), model, model.geometry((30, 40)), count=1)


def test_positions_move_to_the_worst_that_was_tried_and_not_beyond_their_reach():
    home = Prompts.of(points=[[10.0, 10.0], [20.0, 5.0]], boxes=[[5, 5, 15, 25]])
    draw = np.random.default_rng(0)
    objective = HardestPositions(Answers(home, Removed()), (30, 40), draw, reach=3.0, every=2, tries=50)
    right = [home.points[:, 0]]
    for _ in range(6):
        objective(far_seen())
        right.append(objective.answers.prompts.points[:, 0])
    assert np.array_equal(right[1], right[0])  # not yet
    assert (right[2] > right[0] + 2).all()
    assert (np.diff(right, axis=0) >= 0).all()  # a place is kept unless another is worse
    moved = objective.answers.prompts
    assert np.abs(moved.points - home.points).max() <= 3
    assert np.abs(moved.boxes - home.boxes).max() <= 3
    assert moved.boxes[0, 2] > 17
    assert np.array_equal(moved.point_masks, home.point_masks)


def test_positions_stay_on_the_photo_and_repeat():
    home = Prompts.of(points=[[38.0, 1.0]], boxes=[[0, 0, 39, 29]])

    def run():
        answers = Answers(home, Removed())
        objective = HardestPositions(answers, (30, 40), np.random.default_rng(3), reach=20.0, every=1, tries=8)
        objective(far_seen())
        return objective.answers.prompts

    first, second = run(), run()
    assert np.array_equal(first.points, second.points)
    assert first.points.min() >= 0
    assert first.points[0, 0] <= 39
    assert (first.boxes >= 0).all()
    assert (first.boxes[:, 2:] <= [39, 29]).all()


def test_prompts_that_move_must_fit_together():
    with pytest.raises(UsageError, match="at most 4 of them, got 5"):
        HardestEmbeddings(Answers(PROMPTS, Removed(), at_a_time=4))
