"""Our own: stronger than RGA at equal budget, white box and transferred; docs/research/falsify.md says how it came."""

from collections.abc import Callable, Mapping

from segrobust.attacks.objectives.falsify import Falsify
from segrobust.attacks.objectives.questions import OnMasks
from segrobust.attacks.recipes.base import Recipe
from segrobust.attacks.recipes.values import Numbers, whole_numbers
from segrobust.attacks.updates import MomentumSign
from segrobust.attacks.views import RandomSimilarity, ScaleCopies, UniformNoise
from segrobust.errors import UsageError


def falsify(
    *,
    name: str = "falsify",
    steps: int = 120,
    step_size: float = 1 / 255,
    momentum: float = 0.95,
    copies: int = 1,
    noise: float = 16 / 255,
    beta: float = 0.01,
    prompts: int = 6,
    weight: float = 3.0,
    blocks: Numbers = "2,4,6,8,10,11",
    smoothing: int = 15,
) -> Recipe:
    """Wrong answers to points and boxes, and features that are left at every depth.

    Source: ours.
    Minimises the soft IoU of the answers to a few random points and boxes with what they were on the photo, plus
    ``weight`` times the mean cosine of the tokens of six inner layers and the embedding with the photo's. RGA's cost,
    120 gradients, but as 120 steps of one view each: a small random similarity, as RGA's, of the photo with noise
    (twice a budget of 8/255, whatever the budget is). ``copies=3, steps=40`` spends them as RGA does.

    Args:
        name: as in tables.
        steps: 120.
        step_size: share of the pixel range.
        momentum: mu.
        copies: the image divided by 1, 2, 4 ...; 1 = off.
        noise: uniform, of each view; share of the pixel range; 0 = off.
        beta: strength of the random similarity; 0 = off.
        prompts: points and boxes that are asked on each copy, drawn anew for each gradient; 0 = features alone.
        weight: of the features; 0 = answers alone.
        blocks: inner layers, by their depth among 12 blocks; empty = the embedding alone.
        smoothing: side of the Gaussian on the gradient (TI), odd; 0 = off.

    Raises:
        UsageError: a value outside its range.
    """
    if copies < 1:
        raise UsageError(f"{name}: copies must be at least 1, got {copies}")
    goal = Falsify(OnMasks(points=2, boxes=True, most=40), prompts, weight, whole_numbers(blocks, "blocks"))
    try:
        return Recipe(
            name=name,
            steps=steps,
            goal=goal,
            update=MomentumSign(step_size, momentum, smoothing),
            pixel_views=(
                *([ScaleCopies(copies)] if copies > 1 else []),
                *([UniformNoise(noise)] if noise else []),
            ),
            input_views=(RandomSimilarity(beta),) if beta else (),
        )
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


FALSIFY: Mapping[str, Callable[..., Recipe]] = {"falsify": falsify}
