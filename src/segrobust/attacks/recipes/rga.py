"""RGA, its controls, and the noise that any attack must beat."""

from collections.abc import Callable, Mapping
from functools import partial

from segrobust.attacks.goals import LeaveTheEmbedding
from segrobust.attacks.recipes.base import Recipe
from segrobust.attacks.updates import MomentumSign
from segrobust.attacks.views import RandomSimilarity, ScaleCopies
from segrobust.errors import UsageError


def rga(
    *,
    name: str = "rga",
    steps: int = 40,
    step_size: float = 2 / 255,
    momentum: float = 0.4,
    copies: int = 3,
    beta: float = 0.01,
    weight: float = 1.0,
    objective: str = "cosine",
    guide: str = "regions",
    smoothing: int = 0,
) -> Recipe:
    """Region-Guided Attack (RGA), with the defaults of the authors' code.

    Source: Liu, Shen and Zhao, arXiv 2411.02974; their code.

    With y_s, y_g and y_a the encoder's embeddings of the photo, of its region-guided map and of the adversarial
    image seen through F_2d, minimise ``L(y_a, y_s, y_g) = cos(y_a, y_s) - lambda cos(y_a, y_g)`` within epsilon
    (8/255, the default budget of :func:`attack`).

    Args:
        name: as in tables.
        steps: T, 40.
        step_size: alpha, 2/255.
        momentum: mu, 0.4; 0 = off.
        copies: S, 3: the image divided by 1, 2, 4; 1 = off.
        beta: strength of the random similarity F_2d, 0.01; 0 = off.
        weight: lambda, 1; 0 = untargeted, only away from the photo.
        objective: the similarity in L: ``cosine`` (RGA's), ``token-cosine`` (mean over tokens) or ``l2``.
        guide: ``regions`` (F_sad), ``random-cells`` (a control that ignores the photo's regions), ``undilated`` or
            ``uncut`` (F_sad without growing small regions, without cutting large ones); ours for masks that overlap:
            ``tree``, ``atoms``, ``crossing``, ``regions-contrast``, ``atoms-contrast`` (``segrobust.regions``).
        smoothing: side of the Gaussian on the gradient (TI), 0 = off.

    Raises:
        UsageError: a value outside its range.
    """
    try:
        return Recipe(
            name=name,
            steps=steps,
            goal=LeaveTheEmbedding(objective, guide if weight else None, weight),
            update=MomentumSign(step_size, momentum, smoothing),
            pixel_views=(ScaleCopies(copies),),
            input_views=(RandomSimilarity(beta),) if beta else (),
        )
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def noise(*, name: str = "noise") -> Recipe:
    """Uniform random noise of the same budget: what any attack must beat.

    Source: a control.
    """
    return Recipe(name, 0, LeaveTheEmbedding(), MomentumSign())


def sign_noise(*, name: str = "sign-noise") -> Recipe:
    """Random signs of the whole epsilon: noise with as much energy as a sign attack has.

    Source: a control.
    """
    return Recipe(name, 0, LeaveTheEmbedding(), MomentumSign(), start="corners")


RGA: Mapping[str, Callable[..., Recipe]] = {
    "noise": noise,
    "sign-noise": sign_noise,
    "rga": rga,
    "rga-untargeted": partial(rga, name="rga-untargeted", weight=0.0),
    "rga-random-cells": partial(rga, name="rga-random-cells", guide="random-cells"),
}
