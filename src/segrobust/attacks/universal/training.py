"""Train one perturbation on many photos: the room's loop, asked by a probe that answers for a batch of photos."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segrobust.attacks.budget import Box
from segrobust.attacks.loop import GradientCheck, Progress, Trace, Views, gradient_of, iterate
from segrobust.attacks.scene import Goal, Scene
from segrobust.attacks.seen import Objective
from segrobust.attacks.universal.album import Album
from segrobust.attacks.universal.contrast import LookLikeThePerturbation
from segrobust.attacks.universal.darken import Unnormalised
from segrobust.attacks.universal.files import Universal
from segrobust.attacks.universal.fit import Fit, fitted, natural_fit
from segrobust.attacks.universal.haar import Bands, with_gradient
from segrobust.attacks.universal.recipe import UniversalRecipe, make_universal
from segrobust.errors import UsageError
from segrobust.models.base import Segmenter, require_white_box
from segrobust.models.ensemble import require_single
from segrobust.randomness import torch_stream
from segrobust.types import Budget, Image


@dataclass(frozen=True, eq=False)
class OnPhotos:
    """The probe of a perturbation ``(1, 3, S, S)``: its mean loss over a batch of photos, and the gradient.

    All that an update asks in one step it is told about the same photos.
    """

    album: Album
    goal: Goal
    fit: Fit
    bands: Bands | None
    generator: torch.Generator
    trace: Trace
    check: GradientCheck

    def __call__(self, image: Tensor) -> tuple[float, Tensor]:
        """Mean loss over the step's photos, and its gradient. A single photo may have none: it may be beyond help.

        Raises:
            GradientError: the mean is not finite, or there was none in a whole round.
        """
        numbers = self.album.batch_of(len(self.trace.loss))
        total, slope = (0.0, torch.zeros_like(image)) if self.bands is None else with_gradient(self.bands, image)
        for number in numbers:
            scene, objective = self._photo(number)
            leaf = image.detach().requires_grad_(True)
            with torch.enable_grad():
                shown = self._shown(scene, leaf)
            loss, gradient = gradient_of(scene.segmenter, shown.detach(), objective, (), (), self.generator, self.trace)
            self.trace.encoder_backward += getattr(objective, "further_passes", 0)
            (back,) = torch.autograd.grad(shown, leaf, gradient)
            slope.add_(back, alpha=1 / len(numbers))
            total += loss / len(numbers)
        self.check(slope, total, len(self.trace.loss))
        return total, slope

    @torch.no_grad()
    def loss(self, image: Tensor) -> float:
        """The same loss without views or gradient."""
        numbers = self.album.batch_of(len(self.trace.loss))
        total = 0.0 if self.bands is None else float(self.bands(image))
        for number in numbers:
            scene, objective = self._photo(number)
            probe = Views(scene.segmenter, objective, (), (), self.generator, self.trace, Box(image, image))
            total += probe.loss(self._shown(scene, image)) / len(numbers)
        return total

    def _shown(self, scene: Scene, pattern: Tensor) -> Tensor:
        """The photo with the perturbation on it."""
        size = scene.source.shape[-2], scene.source.shape[-1]
        return (scene.source + fitted(pattern, size, self.fit)).clamp(0, 1)

    def _photo(self, number: int) -> tuple[Scene, Objective]:
        """One photo, and its objective; what that took is counted."""
        scene, objective = self.album.visit(len(self.trace.loss), number, self.goal)
        self.trace.encoder_forward += scene.encoded + getattr(objective, "further_passes", 0)
        self.trace.encoder_backward += scene.differentiated
        return scene, objective


def train_universal(
    segmenter: Segmenter,
    photos: Sequence[Image],
    recipe: str | UniversalRecipe = "uap-momentum",
    *,
    budget: str | Budget | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **overrides: Any,
) -> Universal:
    """Train one perturbation on photos.

    Args:
        segmenter: a white box.
        photos: of any sizes; a sequence may read each when it is asked for.
        recipe: a name from ``attacks.universal.recipe.UNIVERSAL``, or a ``UniversalRecipe``.
        budget: L-infinity, written ``8/255``; None: the recipe's own.
        seed: of every random number.
        progress: called after every step.
        **overrides: parameters of a recipe given by name.

    Returns:
        The perturbation and its card.

    Raises:
        UsageError: no photos, an unknown recipe or parameter, or another norm than L-infinity.
        CapabilityError: the segmenter gives no gradients, or is an ensemble.
        GradientError: a gradient vanished or is not finite.
    """
    if isinstance(recipe, UniversalRecipe) and overrides:
        raise UsageError(f"parameters {', '.join(overrides)} go with a recipe's name, not with a UniversalRecipe")
    chosen = make_universal(recipe, **overrides) if isinstance(recipe, str) else recipe
    limit = training_budget(chosen, budget)
    if not len(photos):
        raise UsageError("a universal perturbation is trained on photos; got none")
    white = require_single(require_white_box(segmenter), "a universal perturbation is trained on")
    white = white if chosen.normalised else Unnormalised(white)
    begin = time.perf_counter()
    side = chosen.side or white.geometry(photos[0].size).side
    fit = cast("Fit", chosen.fit or natural_fit(white))
    album = Album(white, photos, limit, seed, chosen.name, min(chosen.batch, len(photos)), chosen.augment)
    trace = Trace()
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        pattern = _optimise(album, chosen, side, fit, trace, progress)
    card = {
        "recipe": chosen.name,
        "settings": chosen.settings(),
        "epsilon": str(limit),
        "seed": seed,
        "fit": fit,
        "side": side,
        "model": white.name,
        "model_sha256": str(getattr(white, "fingerprint", "")),
        "photos": [{"name": photo.name, "sha256": photo.fingerprint} for photo in photos],
        "loss": trace.loss,
        "encoder_forward": trace.encoder_forward,
        "encoder_backward": trace.encoder_backward,
        "seconds": round(time.perf_counter() - begin, 3),
    }
    return Universal(pattern, str(limit), fit, card)


def training_budget(recipe: UniversalRecipe, budget: str | Budget | None) -> Budget:
    """What a perturbation is trained with: the recipe's own budget if none is given.

    Raises:
        UsageError: another norm than L-infinity, or less than a level.
    """
    limit = Budget.parse(recipe.epsilon if budget is None else budget)
    if limit.norm != "linf":
        raise UsageError(f"a universal perturbation is trained under L-infinity, written 8/255; got {limit}")
    if not limit.levels:
        raise UsageError(f"epsilon {limit} is less than one level of an 8-bit pixel")
    return limit


def _optimise(
    album: Album, recipe: UniversalRecipe, side: int, fit: Fit, trace: Trace, progress: Progress | None
) -> NDArray[np.float32]:
    """From a uniformly random start to the last iterate."""
    goal = recipe.goal
    if isinstance(goal, LookLikeThePerturbation):
        others, passes = album.embeddings(goal.negatives)
        trace.encoder_forward += passes
        goal = goal.among(others)
    draw = torch_stream(album.seed, "universal", recipe.name, "start")
    unit = (2 * torch.rand((1, 3, side, side), generator=draw) - 1).to(album.segmenter.device)
    epsilon = album.budget.value
    box = Box(torch.full_like(unit, -epsilon), torch.full_like(unit, epsilon), epsilon=epsilon)
    generator = torch_stream(album.seed, "universal", recipe.name, "views")
    probe = OnPhotos(album, goal, fit, recipe.bands, generator, trace, GradientCheck(album.steps_per_round))
    steps = recipe.epochs * album.steps_per_round
    last = iterate(
        probe, unit * epsilon, box, recipe.update, steps=steps, generator=generator, trace=trace, progress=progress
    )
    largest = np.float32(epsilon)  # on its way through the devices no last digit may have grown
    pattern: NDArray[np.float32] = last[0].cpu().numpy().clip(-largest, largest)
    return pattern
