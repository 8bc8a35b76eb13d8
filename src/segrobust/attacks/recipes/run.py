"""Run a recipe on a photo."""

import math
import time
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from segrobust.attacks.band import confine
from segrobust.attacks.budget import Box
from segrobust.attacks.loop import Progress, Trace, iterate
from segrobust.attacks.queries.goal import LoseTheAnswers
from segrobust.attacks.recipes.base import Recipe, settings_of
from segrobust.attacks.recipes.blind import Blind
from segrobust.attacks.recipes.cast import Cast
from segrobust.attacks.recipes.starts import start_of
from segrobust.attacks.recipes.table import make_recipe
from segrobust.attacks.region import Where, region_mask
from segrobust.attacks.saving import round_into_budget, round_to_8_bits
from segrobust.attacks.scene import Scene
from segrobust.errors import UsageError
from segrobust.models.base import Segmenter, WhiteBox, require_white_box
from segrobust.models.ensemble import require_single
from segrobust.models.geometry import resize, to_tensor
from segrobust.types import AttackResult, Budget, Image, Masks, Pixels

Protocol = Literal["strict", "paper"]

REPEATABLE = {"enabled": True, "benchmark": False, "deterministic": True, "allow_tf32": False}
"""For cuDNN: the same seed gives the same photo."""


def attack(
    segmenter: Segmenter,
    image: Image,
    recipe: str | Recipe = "rga",
    *,
    budget: str | Budget = "8/255",
    protocol: Protocol = "strict",
    seed: int = 0,
    where: Where | None = None,
    clean_masks: Masks | None = None,
    encoder_batch: int | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> AttackResult:
    """Attack one photo.

    Args:
        segmenter: a white box, or several (``models.ensemble.Ensemble``); for recipes that ask, and for noise, anything
            that answers prompts.
        image: the photo, original resolution.
        recipe: a name from ``RECIPES`` or a ``Recipe``.
        budget: L-infinity, written ``8/255``, or another norm, see ``Budget``.
        protocol: ``strict``: the perturbation lives on the original pixels, the resize is inside the gradient, and the
            8-bit result is inside the budget. ``paper``: as the authors' code, it lives on the photo resized to the
            model's resolution, and the result is resized back, which leaves the budget.
        seed: of every random number.
        where: only these pixels are changed: a mask, a box or a click (``attacks.region``); None: all.
        clean_masks: the photo's masks from ``segment_everything``; made here when a goal needs them and they are None.
        encoder_batch: views per encoder pass (None: what fits into memory).
        progress: called after every step.
        **overrides: parameters of a recipe given by name; ``band`` and ``outside`` of any, see ``attacks.band``.

    Returns:
        The adversarial photo and what it cost.

    Raises:
        UsageError: unknown recipe, parameter or protocol; or an ensemble where one model is needed.
        CapabilityError: the segmenter gives no gradients, and the recipe needs them.
        GradientError: the gradient vanished or is not finite.
    """
    if isinstance(recipe, Recipe) and overrides:
        raise UsageError(f"parameters {', '.join(overrides)} go with a recipe's name, not with a Recipe")
    limit = Budget.parse(budget)
    chosen = make_recipe(recipe, **overrides) if isinstance(recipe, str) else recipe
    _check(limit, protocol, where is not None or chosen.band is not None)
    begin = time.perf_counter()
    if chosen.blind and (chosen.steps or not segmenter.capabilities.gradient):
        if protocol == "paper":
            raise UsageError(f"protocol paper is of a model's resolution, unknown to {chosen.name!r}; use strict")
        return _attack_blindly(Blind(segmenter, image, chosen, limit, seed, where, clean_masks, progress), begin)
    white = require_white_box(segmenter)
    if protocol == "paper":
        require_single(white, "protocol paper is of the resolution of")
    source = to_tensor(image.pixels, white.device)[None]
    if protocol == "paper":  # from here on the photo is the resized one
        _require_no_defence(white)
        source = white.resize(source)
    region = None if where is None else region_mask(white, image, where)
    scene = Scene(white, image, source, limit, seed, chosen.name, clean_masks)
    scene.where = confine(region, chosen.band, lambda: scene.masks, limit, scene.notes)
    with torch.backends.cudnn.flags(**REPEATABLE):
        final, trace, cast = _optimise(scene, chosen, encoder_batch, progress)
        pixels = _pixels(final, scene, protocol)
        given_back = None if cast is None else _given_back(scene, cast, pixels, trace.loss[-1])
    return AttackResult(
        image=Image(pixels, name=image.name),
        attack=chosen.name,
        protocol=protocol,
        budget=limit,
        seed=seed,
        loss=tuple(trace.loss),
        encoder_forward=trace.encoder_forward,
        encoder_backward=trace.encoder_backward,
        seconds=time.perf_counter() - begin,
        guide=scene.guide,
        notes=tuple(scene.notes),
        settings=settings_of(chosen),
        float_to_8bit=given_back,
    )


def _attack_blindly(blind: Blind, begin: float) -> AttackResult:
    with torch.backends.cudnn.flags(**REPEATABLE):
        pixels = blind.run()
    return AttackResult(
        image=Image(pixels, name=blind.image.name),
        attack=blind.recipe.name,
        protocol="strict",
        budget=blind.budget,
        seed=blind.seed,
        loss=tuple(blind.trace.loss),
        encoder_forward=blind.trace.encoder_forward,
        encoder_backward=blind.trace.encoder_backward,
        seconds=time.perf_counter() - begin,
        notes=tuple(blind.notes),
        settings=settings_of(blind.recipe),
        queries=blind.queries,
    )


def _check(budget: Budget, protocol: Protocol, confined: bool) -> None:
    if protocol not in ("strict", "paper"):
        raise UsageError(f"protocol {protocol!r} is not one of strict, paper")
    if budget.epsilon and not budget.levels:
        raise UsageError(
            f"epsilon {budget} is less than one level of an 8-bit pixel: the saved photo would be the original"
        )
    if protocol == "paper" and (budget.norm != "linf" or confined):
        raise UsageError("protocol paper knows no norm but L-infinity, no region and no band; use protocol strict")


def _require_no_defence(white: WhiteBox) -> None:
    """Protocol ``paper`` perturbs what comes after the resize, and a defence stands before: nothing would adapt."""
    if (defence := getattr(white, "defence", None)) is not None:
        raise UsageError(
            f"protocol paper perturbs what the model sees behind the defence {defence.name!r}, so an attack cannot "
            "adapt to it; use protocol strict"
        )


def _optimise(
    scene: Scene, recipe: Recipe, encoder_batch: int | None, progress: Progress | None
) -> tuple[Tensor, Trace, Cast | None]:
    source, trace = scene.source, Trace()
    where = None if scene.where is None else torch.from_numpy(np.ascontiguousarray(scene.where)).to(source.device)
    box = Box.around(source, scene.budget, where)
    start = start_of(recipe, source, box, scene.budget, scene.torch_stream("start"))
    if recipe.steps == 0 or isinstance(recipe.goal, LoseTheAnswers):
        return box.project_(start), trace, None
    cast, drawn = Cast.of(scene, recipe), scene.torch_stream("views")
    probe = cast.probe(box, trace, drawn, (recipe.pixel_views, recipe.input_views), encoder_batch)
    final = iterate(
        probe, start, box, recipe.update, steps=recipe.steps, generator=drawn, trace=trace, progress=progress
    )
    trace.loss.append(probe.loss(final))
    cast.account(scene, trace)
    return final, trace, cast


def _given_back(scene: Scene, cast: Cast, saved: Pixels, reached: float) -> float | None:
    """See ``AttackResult.float_to_8bit``. Two looks at plain images, not counted: they are no attack's cost."""
    white = scene.segmenter
    view = cast.probe(Box.around(scene.source, scene.budget), Trace(), scene.torch_stream("saved"))
    shown = to_tensor(saved, white.device)[None]
    if shown.shape != scene.source.shape:  # protocol paper: the loss is that of the resized photo
        shown = white.resize(shown)
    before, after = view.loss(scene.source), view.loss(shown)
    gain = before - reached
    share = (after - reached) / gain if gain > 0 else math.nan
    return share if math.isfinite(share) else None


def _pixels(final: Tensor, scene: Scene, protocol: Protocol) -> Pixels:
    if protocol == "paper":
        return round_to_8_bits(resize(final, scene.image.size)[0])
    return round_into_budget(final[0], scene.image.pixels, scene.budget, scene.where)
