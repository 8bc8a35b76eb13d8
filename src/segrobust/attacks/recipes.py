"""Named attacks: frozen compositions of an objective, views and an update, and :func:`attack`, which runs one."""

import dataclasses
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from segrobust.attacks.budget import Box, round_into_budget, round_to_8_bits
from segrobust.attacks.loop import Progress, Trace, descend
from segrobust.attacks.objectives import SIMILARITIES, AwayAndToward, Objective
from segrobust.attacks.updates import MomentumSign, Update
from segrobust.attacks.views import InputView, PixelView, RandomSimilarity, ScaleCopies
from segrobust.errors import UsageError
from segrobust.models.base import Segmenter, WhiteBox, require_white_box
from segrobust.models.geometry import resize, to_tensor
from segrobust.randomness import stream, torch_stream
from segrobust.regions.everything import segment_everything
from segrobust.regions.guide import Guide, GuideBuilder, random_cells, region_guided_map
from segrobust.types import AttackResult, Budget, Image, Masks, Pixels

Protocol = Literal["strict", "paper"]

GUIDES: Mapping[str, GuideBuilder] = {"regions": region_guided_map, "random-cells": random_cells}


@dataclass(frozen=True)
class Recipe:
    """An attack, ready to run.

    Attributes:
        name: as in tables.
        steps: gradient steps; 0 leaves the random start (the noise baseline).
        objective: name of the similarity that is lowered to the photo and raised to the guide (``SIMILARITIES``).
        guide: name of the guide map (``GUIDES``), or None.
        guide_weight: lambda.
        pixel_views: see ``attacks.views``.
        input_views: see ``attacks.views``.
        update: see ``attacks.updates``.
    """

    name: str
    steps: int
    objective: str
    guide: str | None
    guide_weight: float
    pixel_views: tuple[PixelView, ...]
    input_views: tuple[InputView, ...]
    update: Update

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise UsageError(f"steps must not be negative, got {self.steps}")
        if self.objective not in SIMILARITIES:
            raise UsageError(f"objective {self.objective!r} is not one of {', '.join(SIMILARITIES)}")
        if self.guide is not None and self.guide not in GUIDES:
            raise UsageError(f"guide {self.guide!r} is not one of {', '.join(GUIDES)}")


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
    """Region-Guided Attack (Liu, Shen and Zhao, arXiv 2411.02974), with the defaults of the authors' code.

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
        guide: ``regions`` (F_sad) or ``random-cells`` (a control that ignores the photo's regions).
        smoothing: side of the Gaussian on the gradient (TI), 0 = off.

    Raises:
        UsageError: a value outside its range.
    """
    try:
        return Recipe(
            name=name,
            steps=steps,
            objective=objective,
            guide=guide if weight else None,
            guide_weight=weight,
            pixel_views=(ScaleCopies(copies),),
            input_views=(RandomSimilarity(beta),) if beta else (),
            update=MomentumSign(step_size, momentum, smoothing),
        )
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def noise(*, name: str = "noise") -> Recipe:
    """Uniform random noise of the same budget: what any attack must beat."""
    return Recipe(name, 0, "cosine", None, 0.0, (), (), MomentumSign())


RECIPES: Mapping[str, Callable[..., Recipe]] = {
    "noise": noise,
    "rga": rga,
    "rga-untargeted": partial(rga, name="rga-untargeted", weight=0.0),
    "rga-random-cells": partial(rga, name="rga-random-cells", guide="random-cells"),
}


def make_recipe(name: str, **overrides: Any) -> Recipe:
    """A recipe by name, with some of its parameters changed.

    Raises:
        UsageError: unknown name or parameter.
    """
    if name not in RECIPES:
        close = get_close_matches(name, RECIPES, n=1, cutoff=0.5)
        advice = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"unknown attack {name!r}{advice} (see 'segrobust ls attacks')")
    allowed = set(inspect.signature(RECIPES[name]).parameters) - {"name"}
    for key in overrides:
        if key not in allowed:
            close = get_close_matches(key, allowed, n=1, cutoff=0.4)
            advice = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"attack {name!r} has no parameter {key!r}{advice}")
    return RECIPES[name](**overrides)


def attack(
    segmenter: Segmenter,
    image: Image,
    recipe: str | Recipe = "rga",
    *,
    budget: str | Budget = "8/255",
    protocol: Protocol = "strict",
    seed: int = 0,
    clean_masks: Masks | None = None,
    encoder_batch: int | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> AttackResult:
    """Attack one photo.

    Args:
        segmenter: a white box.
        image: the photo, original resolution.
        recipe: a name from ``RECIPES`` or a ``Recipe``.
        budget: L-infinity, written ``8/255``.
        protocol: ``strict``: the perturbation lives on the original pixels, the resize is inside the gradient, and the
            8-bit result is inside the budget. ``paper``: as the authors' code, it lives on the photo resized to the
            model's resolution, and the result is resized back, which leaves the budget.
        seed: of every random number.
        clean_masks: the photo's masks from ``segment_everything``; made here when a guide needs them and they are None.
        encoder_batch: views per encoder pass (None: what fits into memory).
        progress: called after every step.
        **overrides: parameters of a recipe given by name.

    Returns:
        The adversarial photo and what it cost.

    Raises:
        UsageError: unknown recipe, parameter or protocol.
        CapabilityError: the segmenter gives no gradients.
        GradientError: the gradient vanished or is not finite.
    """
    if protocol not in ("strict", "paper"):
        raise UsageError(f"protocol {protocol!r} is not one of strict, paper")
    if isinstance(recipe, Recipe) and overrides:
        raise UsageError(f"parameters {', '.join(overrides)} go with a recipe's name, not with a Recipe")
    chosen = make_recipe(recipe, **overrides) if isinstance(recipe, str) else recipe
    white = require_white_box(segmenter)
    limit = Budget.parse(budget)
    if limit.epsilon and not limit.levels:
        raise UsageError(
            f"epsilon {limit} is less than one level of an 8-bit pixel: the saved photo would be the original"
        )
    begin = time.perf_counter()
    guide = _make_guide(white, image, chosen, seed, clean_masks)
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        adversarial, trace = _optimise(white, image, chosen, limit, protocol, seed, guide, encoder_batch, progress)
    return AttackResult(
        image=Image(adversarial, name=image.name),
        attack=chosen.name,
        protocol=protocol,
        budget=limit,
        seed=seed,
        loss=tuple(trace.loss),
        encoder_forward=trace.encoder_forward,
        encoder_backward=trace.encoder_backward,
        seconds=time.perf_counter() - begin,
        guide=guide.picture if guide else None,
        notes=guide.notes if guide else (),
        settings=settings_of(chosen),
    )


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Everything a recipe is made of, as plain values for a record."""
    plain = dataclasses.asdict(recipe)
    for key in ("pixel_views", "input_views"):
        plain[key] = [{"kind": type(view).__name__, **vars(view)} for view in getattr(recipe, key)]
    plain["update"] = {"kind": type(recipe.update).__name__, **vars(recipe.update)}
    return plain


def _make_guide(white: WhiteBox, image: Image, recipe: Recipe, seed: int, masks: Masks | None) -> Guide | None:
    if recipe.guide is None:
        return None
    masks = segment_everything(white, image) if masks is None else masks
    return GUIDES[recipe.guide](masks, stream(seed, image.fingerprint, recipe.name, "guide"))


def _optimise(
    white: WhiteBox,
    image: Image,
    recipe: Recipe,
    budget: Budget,
    protocol: Protocol,
    seed: int,
    guide: Guide | None,
    encoder_batch: int | None,
    progress: Progress | None,
) -> tuple[Pixels, Trace]:
    source = to_tensor(image.pixels, white.device)[None]
    target = to_tensor(guide.picture, white.device)[None] if guide else None
    if protocol == "paper":  # from here on the photo is the resized one
        source = white.resize(source)
        target = None if target is None else white.resize(target)
    box = Box.around(source, budget)
    draw = torch_stream(seed, image.fingerprint, recipe.name, "start")
    drift = (2 * torch.rand(source.shape, generator=draw) - 1) * budget.value
    start = source + drift.to(white.device)
    if recipe.steps == 0:
        final, trace = box.project_(start), Trace()
    else:
        objective, passes = _objective(white, source, target, recipe)
        final, trace = descend(
            white,
            start,
            box,
            objective,
            recipe.update,
            steps=recipe.steps,
            pixel_views=recipe.pixel_views,
            input_views=recipe.input_views,
            generator=torch_stream(seed, image.fingerprint, recipe.name, "views"),
            encoder_batch=encoder_batch,
            progress=progress,
        )
        trace.encoder_forward += passes
    if protocol == "paper":
        return round_to_8_bits(resize(final, image.size)[0]), trace
    return round_into_budget(final[0], image.pixels, budget), trace


@torch.no_grad()
def _objective(white: WhiteBox, source: Tensor, target: Tensor | None, recipe: Recipe) -> tuple[Objective, int]:
    """The loss, and how many images were embedded to make it."""
    clean = white.embed(source).features
    goal = None if target is None else white.embed(target).features
    return AwayAndToward(clean, goal, recipe.guide_weight, recipe.objective), 1 if goal is None else 2
