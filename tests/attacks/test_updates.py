"""What updates ask and how they step, against their formulas worked out beside them."""

import pytest
import torch
from torch.nn import functional as F

from segrobust.attacks.budget import Box
from segrobust.attacks.loop import Trace, iterate
from segrobust.attacks.updates import (
    AutoStep,
    EnhancedMomentum,
    Expectation,
    FlatMinimum,
    GradientRelevance,
    MomentumSign,
    Nesterov,
    ReversePush,
    VarianceTuned,
)
from segrobust.attacks.updates.apgd import checkpoints
from segrobust.types import Budget

STEP, EPSILON = 2 / 255, Budget.parse("8/255")
SHAPE = (1, 3, 4, 5)


class Bowl:
    """``sum(slope (x - middle)^2) / 2``: a loss whose gradient is known; remembers where it was asked."""

    def __init__(self, seed=0):
        draw = torch.Generator().manual_seed(seed)
        self.slope, self.middle = 0.5 + torch.rand(SHAPE, generator=draw), torch.rand(SHAPE, generator=draw)
        self.asked = []

    def gradient(self, image):
        return self.slope * (image - self.middle)

    def __call__(self, image):
        self.asked.append(image.clone())
        return self.loss(image), self.gradient(image)

    def loss(self, image):
        return float((self.slope * (image - self.middle).square()).sum() / 2)


SOURCE = torch.rand(SHAPE, generator=torch.Generator().manual_seed(7))


def run(update, steps, bowl, budget=EPSILON):
    box = Box.around(SOURCE, budget)
    trace = Trace()
    final = iterate(bowl, SOURCE, box, update, steps=steps, generator=torch.Generator().manual_seed(3), trace=trace)
    return final, trace.loss


def unit(gradient):
    return gradient / gradient.abs().sum()


def noise(draw, radius):
    return radius * (2 * torch.rand(SHAPE, generator=draw) - 1)


def test_nesterov_looks_where_the_momentum_leads():
    bowl = Bowl()
    final, losses = run(Nesterov(STEP, 0.7), 2, bowl)
    g = unit(bowl.gradient(SOURCE))
    first = SOURCE - STEP * g.sign()
    there = first - STEP * 0.7 * g * g.numel()
    assert torch.allclose(bowl.asked[1], there, atol=1e-6)
    g = 0.7 * g + unit(bowl.gradient(there))
    inside = Box.around(SOURCE, EPSILON).project_(first - STEP * g.sign())
    assert torch.allclose(final, inside, atol=1e-6)
    assert losses == pytest.approx([bowl.loss(SOURCE), bowl.loss(there)], rel=1e-5)


@pytest.mark.parametrize("nesterov", [False, True])
def test_variance_tuning(nesterov):
    bowl, n, beta = Bowl(), 3, 1.5
    final, _ = run(VarianceTuned(STEP, 1.0, neighbours=n, beta=beta, nesterov=nesterov), 2, bowl)
    assert len(bowl.asked) == n + 2  # nobody uses the variance of the last step
    draw = torch.Generator().manual_seed(3)
    g = unit(bowl.gradient(SOURCE))
    near = [bowl.gradient(SOURCE + noise(draw, beta * EPSILON.value)) for _ in range(n)]
    variance = sum(near) / n - bowl.gradient(SOURCE)
    first = Box.around(SOURCE, EPSILON).project_(SOURCE - STEP * g.sign())
    there = first - STEP * g * g.numel() if nesterov else first
    g = g + unit(bowl.gradient(there) + variance)
    wanted = Box.around(SOURCE, EPSILON).project_(first - STEP * g.sign())
    assert torch.allclose(final, wanted, atol=1e-6)


def test_flat_minimum_asks_in_pairs():
    bowl = Bowl()
    final, _ = run(FlatMinimum(STEP, 1.0, neighbours=2, beta=3.0, delta=0.3), 1, bowl)
    draw, total = torch.Generator().manual_seed(3), 0
    for i in range(2):
        near = SOURCE + noise(draw, 3 * EPSILON.value)
        g = bowl.gradient(near)
        up = near + STEP * g / g.abs().mean()
        assert torch.allclose(bowl.asked[2 * i], near, atol=1e-6)
        assert torch.allclose(bowl.asked[2 * i + 1], up, atol=1e-5)
        assert bowl.loss(up) > bowl.loss(near)
        total = total + 0.7 * g + 0.3 * bowl.gradient(up)
    assert torch.allclose(final, (SOURCE - STEP * total.sign()).clamp(0, 1), atol=1e-6)


def test_enhanced_momentum_samples_along_the_last_direction():
    bowl = Bowl()
    run(EnhancedMomentum(STEP, 1.0, samples=3, radius=7.0), 2, bowl)
    assert len(bowl.asked) == 1 + 3
    g = bowl.gradient(SOURCE)
    first = (SOURCE - STEP * g.sign()).clamp(0, 1)
    for place, point in zip((-7, 0, 7), bowl.asked[1:], strict=True):
        assert torch.allclose(point, first + place * STEP * g / g.abs().mean(), atol=1e-5)


@pytest.mark.parametrize(
    ("update", "asked"),
    [
        (Nesterov(STEP, 0.7), 1),
        (VarianceTuned(STEP, 0.7, neighbours=1, nesterov=True), 2),
        (FlatMinimum(STEP, 1.0, neighbours=1, beta=0.0), 1),
        (EnhancedMomentum(STEP, 1.0, samples=2, radius=1.0), 2),
    ],
)
def test_ways_follow_a_ball_as_the_steps_do(update, asked):
    """Under L2 a way is the same share of the ball as it is of 8/255: half the ball, half as far."""
    ways = []
    for radius in (0.02, 0.01):
        bowl, box = Bowl(), Box.around(SOURCE, Budget.parse(f"l2:{radius}"))
        iterate(bowl, SOURCE, box, update, steps=2, generator=torch.Generator().manual_seed(3), trace=Trace())
        ways.append(float((bowl.asked[asked] - SOURCE).norm()))
    assert ways[0] == pytest.approx(2 * ways[1], rel=0.02)
    assert ways[0] < 0.1


def test_gradient_relevance_mixes_by_likeness_and_slows_where_it_turns():
    bowl = Bowl()
    box = Box.around(SOURCE, Budget.parse("100/255"))
    update = GradientRelevance(STEP, 0.0, neighbours=2, beta=3.5)
    trace = Trace()
    final = iterate(bowl, SOURCE, box, update, steps=2, generator=torch.Generator().manual_seed(3), trace=trace)
    draw, point, pace, before = torch.Generator().manual_seed(3), SOURCE, 1 / 0.94, None
    for _ in range(2):
        g = bowl.gradient(point)
        near = sum(bowl.gradient(point + noise(draw, 3.5 * 100 / 255)) for _ in range(2)) / 2
        s = F.cosine_similarity(g.flatten(), near.flatten(), dim=0)
        sign = (s * g + (1 - s) * near).sign()
        pace = pace * torch.where(sign == (sign if before is None else before), 1.0, 0.94)
        before, point = sign, (point - STEP * pace * sign).clamp(0, 1)
    assert torch.allclose(final, point, atol=1e-5)


def test_the_reverse_push_is_up_the_loss_and_begins_late():
    bowl = Bowl()
    run(ReversePush(STEP, 0.0, late=0.5, inner=4), 4, bowl)
    assert len(bowl.asked) == 2 + 2 * (4 + 1)
    pushed = bowl.asked[2:7]
    start, worst = pushed[0], pushed[-1]
    assert bowl.loss(worst) > bowl.loss(start)
    third = bowl.asked[2] - noise(torch.Generator().manual_seed(3), EPSILON.value)
    assert (worst - third).abs().max() <= EPSILON.value + 1e-6


def test_an_expectation_is_a_mean_of_gradients():
    class Drawing(Bowl):
        def __call__(self, image):
            loss, _ = super().__call__(image)
            return loss + len(self.asked), torch.full(SHAPE, (-3.0, 1.0, 1.0)[len(self.asked) % 3])

    bowl = Drawing()
    final, losses = run(Expectation(STEP, 0.0, draws=3), 1, bowl)
    assert torch.allclose(final, (SOURCE + STEP).clamp(max=1.0))  # the mean is -1/3, though most are positive
    assert losses == pytest.approx([bowl.loss(SOURCE) + 2])


def test_the_checkpoints_of_the_paper():
    assert sorted(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert sorted(checkpoints(40)) == [9, 17, 23, 28, 32, 35, 38, 40]


def test_auto_step_follows_the_paper_until_it_looks_back():
    bowl, box = Bowl(), Box.around(SOURCE, EPSILON)
    run(AutoStep(), 40, bowl)
    first = box.project_(SOURCE - 2 * EPSILON.value * bowl.gradient(SOURCE).sign())
    pushed = box.project_(first - 2 * EPSILON.value * bowl.gradient(first).sign())
    second = box.project_(first + 0.75 * (pushed - first) + 0.25 * (first - SOURCE))
    assert torch.allclose(bowl.asked[1], first, atol=1e-6)
    assert torch.allclose(bowl.asked[2], second, atol=1e-6)
    assert len(bowl.asked) == 40


def test_auto_step_finds_what_fixed_steps_jump_over_and_keeps_the_best():
    """The bowl's lowest point inside the box is known; sign steps of 2/255 cannot rest on it."""
    bowl = Bowl()
    bowl.middle = SOURCE + 3.1 / 255
    found, losses = run(AutoStep(), 60, bowl)
    fixed, _ = run(MomentumSign(STEP, 0.0), 60, bowl)
    lowest = Box.around(SOURCE, EPSILON).project_(bowl.middle.clone())
    assert (found - lowest).abs().max() < 0.3 / 255
    assert bowl.loss(found) == min(losses)
    assert bowl.loss(found) < 0.1 * bowl.loss(fixed)


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (VarianceTuned, {"neighbours": 0}),
        (VarianceTuned, {"step": 0}),
        (FlatMinimum, {"delta": 1.5}),
        (EnhancedMomentum, {"samples": 0}),
        (GradientRelevance, {"beta": -1}),
        (ReversePush, {"late": 2}),
        (ReversePush, {"inner": 0}),
        (Expectation, {"draws": 0}),
        (AutoStep, {"rho": -1}),
        (AutoStep, {"momentum": 2}),
    ],
)
def test_settings_that_mean_nothing_are_refused(kind, bad):
    with pytest.raises(ValueError, match="must"):
        kind(**bad)
