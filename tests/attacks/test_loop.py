import numpy as np
import pytest
import torch
from linear import LinearSegmenter

from segrobust.attacks.budget import Box
from segrobust.attacks.loop import GradientCheck, Trace, descend, gradient_of, iterate
from segrobust.attacks.objectives import AwayAndToward
from segrobust.attacks.together import Together
from segrobust.attacks.updates import (
    AutoStep,
    EnhancedMomentum,
    Expectation,
    FlatMinimum,
    GradientRelevance,
    MomentumSign,
    Nesterov,
    ReversePush,
    State,
    VarianceTuned,
)
from segrobust.attacks.views import RandomSimilarity, ScaleCopies, warp
from segrobust.errors import GradientError
from segrobust.types import Budget

EPSILON = Budget.parse("8/255")


class RecordedWarps:
    """The affine matrices that the authors' code drew, instead of our own."""

    def __init__(self, matrices: torch.Tensor, copies: int) -> None:
        self.left = list(matrices.split(copies))

    def __call__(self, canvas, generator):
        return canvas.painted(warp(canvas.values, self.left.pop(0)))


@pytest.mark.parametrize(
    ("case", "copies", "momentum", "smoothing"),
    [
        ("plain", 1, 0.0, 0),
        ("si", 3, 0.0, 0),
        ("si_momentum", 3, 0.4, 0),
        ("full", 3, 0.4, 0),
        ("full_ti", 3, 0.4, 15),
    ],
)
def test_agrees_with_the_authors_code(tiny_sam, golden, case, copies, momentum, smoothing):
    data = np.load(golden / "rga_steps.npz")
    source, guide, noise = (torch.from_numpy(data[k]) for k in ("source", "guide", "start"))
    with torch.no_grad():
        objective = AwayAndToward(tiny_sam.embed(source).features, tiny_sam.embed(guide).features, 1.0)
    compared = 0
    for steps in (1, 3, 10):
        key = f"{case}_{steps}"
        if key not in data:
            continue
        theta = f"{key}_theta"
        warps = (RecordedWarps(torch.from_numpy(data[theta]), copies),) if theta in data else ()
        final, trace = descend(
            tiny_sam,
            source + noise,
            Box.around(source, EPSILON),
            objective,
            MomentumSign(2 / 255, momentum, smoothing),
            steps=steps,
            pixel_views=(ScaleCopies(copies),),
            input_views=warps,
            generator=torch.Generator(),
        )
        ours, theirs = (final - source).numpy(), data[key].astype(np.float64) / 255 / 1000
        assert (np.abs(ours - theirs) < 1e-4).mean() >= 0.999
        assert trace.loss[-1] == pytest.approx(float(data[f"{key}_loss"]), abs=1e-5)
        assert trace.encoder_backward == steps * copies
        compared += 1
    assert compared >= 2


def linear_run(weights, source, steps=30, momentum=0.4, **changes):
    """Minimise <weights, image> around source."""
    settings = {
        "steps": steps,
        "pixel_views": (),
        "input_views": (),
        "generator": torch.Generator(),
    } | changes
    return descend(
        LinearSegmenter(),
        source,
        Box.around(source, EPSILON),
        lambda seen: (seen.features * weights).sum((1, 2, 3)),
        MomentumSign(2 / 255, momentum),
        **settings,
    )


@pytest.mark.parametrize("momentum", [0.0, 0.4, 1.0])
def test_reaches_the_optimum_of_a_linear_objective(momentum):
    generator = torch.Generator().manual_seed(1)
    source = torch.rand((1, 3, 9, 11), generator=generator)
    weights = torch.randn((1, 3, 9, 11), generator=generator)
    final, trace = linear_run(weights, source, momentum=momentum)
    best = (source - EPSILON.value * weights.sign()).clamp(0, 1)
    assert torch.allclose(final, best, atol=1e-6)
    assert trace.loss[-1] == pytest.approx(float((best * weights).sum()), abs=1e-3)
    assert len(trace.loss) == 31


def test_momentum_is_the_recursion_of_the_docstring():
    """Two steps by hand, with a gradient that flips: a long memory keeps the first direction, a short one turns."""
    for momentum, sign in ((0.4, -1.0), (1.5, 1.0)):
        update, image = MomentumSign(0.1, momentum), torch.zeros(1, 3, 1, 1)
        state = State(Box(image - 1, image + 1))
        assert update(image, lambda _: (0.5, torch.full((1, 3, 1, 1), 3.0)), state) == 0.5
        assert torch.allclose(image, torch.full_like(image, -0.1))
        update(image, lambda _: (0.0, torch.full((1, 3, 1, 1), -7.0)), state)
        assert torch.allclose(image, torch.full_like(image, -0.1 - 0.1 * sign))


def test_encoder_batches_change_memory_not_the_gradient(tiny_sam):
    image = torch.rand((1, 3, 40, 60), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        objective = AwayAndToward(tiny_sam.embed(image).features, tiny_sam.embed(image.flip(-1)).features, 1.0)
    moved = (image + 0.02).clamp(0, 1)
    views = (tiny_sam, moved, objective, (ScaleCopies(3),), (RandomSimilarity(0.05),))
    loss, gradient = gradient_of(*views, torch.Generator().manual_seed(2), Trace())
    for batch in (1, 2):
        loss_b, gradient_b = gradient_of(*views, torch.Generator().manual_seed(2), Trace(), batch)
        assert loss_b == pytest.approx(loss, abs=1e-6)
        assert (gradient_b - gradient).abs().max() < 1e-5 * gradient.abs().max()


def test_gradient_agrees_with_finite_differences(tiny_sam):
    image = torch.rand((1, 3, 48, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        objective = AwayAndToward(tiny_sam.embed(image).features, tiny_sam.embed(image.flip(-1)).features, 1.0)

    def loss_at(point):
        return gradient_of(
            tiny_sam,
            point,
            objective,
            (ScaleCopies(2),),
            (RandomSimilarity(0.02),),
            torch.Generator().manual_seed(3),
            Trace(),
        )

    point = (image + 0.05 * torch.rand(image.shape, generator=torch.Generator().manual_seed(4))).clamp(0, 1)
    _, gradient = loss_at(point)
    direction = gradient.sign()
    h = 2e-3
    slope = (loss_at(point + h * direction)[0] - loss_at(point - h * direction)[0]) / (2 * h)
    assert slope == pytest.approx(float((gradient * direction).sum()), rel=0.05)


def test_a_zero_gradient_is_an_error_that_says_where():
    source = torch.rand(1, 3, 4, 4)
    with pytest.raises(GradientError, match="step 0: the gradient is zero everywhere"):
        linear_run(torch.zeros(1, 3, 4, 4), source)


class Hinge:
    """What lies above a half is lowered, and nothing else; as a model's probe it refuses a first gradient of zero."""

    def __init__(self):
        self.check, self.asked, self.flat = GradientCheck(), 0, 0

    def __call__(self, image):
        left = (image - 0.5).clamp(min=0)
        self.check(slope := (left > 0).float(), float(left.sum()), self.asked)
        self.asked += 1
        self.flat += not slope.any()
        return float(left.sum()), slope

    def loss(self, image):
        return float((image - 0.5).clamp(min=0).sum())


def run_down(probe, update, steps=4, start=0.51):
    trace, source = Trace(), torch.full((1, 3, 2, 2), start)
    draw = torch.Generator().manual_seed(2)
    return iterate(probe, source, Box.around(source, EPSILON), update, steps=steps, generator=draw, trace=trace), trace


def test_a_zero_gradient_later_means_that_nothing_is_left_to_gain():
    """A hinge that the second step reaches: the third and fourth leave the image where it is."""
    final, trace = run_down(Hinge(), MomentumSign(0.008, 0.0))
    assert torch.allclose(final, torch.full_like(final, 0.51 - 2 * 0.008))
    assert trace.loss == pytest.approx([12 * 0.01, 12 * 0.002, 0, 0], abs=1e-6)
    with pytest.raises(GradientError, match="step 0: the gradient is zero everywhere"):
        run_down(Hinge(), MomentumSign(0.008, 0.0), start=0.4)


@pytest.mark.parametrize(
    "update",
    [
        MomentumSign(0.008, 1.0),
        Nesterov(0.008, 1.0),
        VarianceTuned(0.008, 1.0, neighbours=2, beta=0.1),
        FlatMinimum(0.008, 1.0, neighbours=2, beta=0.1),
        EnhancedMomentum(0.008, 1.0, samples=3, radius=0.1),
        GradientRelevance(0.008, 0.0, neighbours=2, beta=0.1),
        Expectation(0.008, 0.0, draws=2),
        ReversePush(0.008, 0.0, inner=2, reach=0.1),
        AutoStep(),
    ],
    ids=lambda update: type(update).__name__,
)
def test_every_update_lives_with_a_goal_that_is_reached(update):
    probe = Hinge()
    final, _ = run_down(probe, update, steps=12)
    assert torch.isfinite(final).all()
    assert probe.loss(final) == 0
    assert probe.flat > 0


@pytest.mark.parametrize("rule", ["mean", "adaptive"])
def test_a_member_that_has_reached_its_goal_leaves_the_step_to_the_others(rule):
    low = torch.zeros((1, 3, 2, 2))

    def always(image):
        return float(image.sum()), torch.ones_like(image)

    together = Together([Hinge(), always], Trace(), rule)
    assert together(low + 0.6)[1].min() > 0
    assert together(low + 0.4)[1].min() > 0


def test_a_member_that_never_depends_on_the_image_is_an_error_when_its_turn_comes():
    trace, source = Trace(), torch.full((1, 3, 2, 2), 0.51)
    together = Together([Hinge(), lambda image: GradientCheck()(image * 0, 1.0, len(trace.loss))], trace, "alternate")
    box, draw = Box.around(source, EPSILON), torch.Generator()
    with pytest.raises(GradientError, match="step 1: the gradient is zero everywhere"):
        iterate(together, source, box, MomentumSign(0.008, 0.0), steps=3, generator=draw, trace=trace)


def test_a_nan_gradient_is_an_error_that_says_where_and_how_much():
    weights = torch.ones(1, 3, 4, 4)
    weights[0, 0, 0, 0] = float("nan")
    with pytest.raises(GradientError, match=r"step 0: the gradient is not finite \(1 of 48 values"):
        linear_run(weights, torch.rand(1, 3, 4, 4))


def test_progress_sees_every_step():
    seen = []
    linear_run(torch.ones(1, 3, 2, 2), torch.rand(1, 3, 2, 2), steps=4, progress=lambda *a: seen.append(a[:2]))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
