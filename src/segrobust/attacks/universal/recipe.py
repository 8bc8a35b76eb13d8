"""How a universal perturbation is trained: frozen compositions of the room's parts, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from segrobust.attacks.goals import make_goal
from segrobust.attacks.objectives.questions import Anywhere
from segrobust.attacks.recipes.base import plain
from segrobust.attacks.recipes.table import make_from
from segrobust.attacks.scene import Goal
from segrobust.attacks.universal.contrast import LookLikeThePerturbation
from segrobust.attacks.universal.darken import AscendLossTimesGradient, Darken
from segrobust.attacks.universal.fit import check_fit
from segrobust.attacks.universal.haar import Bands
from segrobust.attacks.updates import MomentumSign, Update
from segrobust.errors import UsageError

MOST_SIDE = 4096


@dataclass(frozen=True)
class UniversalRecipe:
    """A training of one perturbation.

    Attributes:
        name: as in tables.
        goal: makes the objective of each photo; or a contrast, which needs other photos too.
        update: see ``attacks.updates``.
        epochs: rounds through the photos.
        batch: photos for a step.
        side: of the square perturbation in pixels; 0 = the model's input.
        fit: how it comes to a photo's size (``attacks.universal.fit.Fit``); empty = the model's own way.
        bands: a term of the perturbation's frequencies, or None.
        augment: train on random crops, mirrored half of the time.
        normalised: feed the model what it was trained on.
        epsilon: the budget that its authors take.
    """

    name: str
    goal: Goal | LookLikeThePerturbation
    update: Update
    epochs: int = 10
    batch: int = 1
    side: int = 0
    fit: str = ""
    bands: Bands | None = None
    augment: bool = False
    normalised: bool = True
    epsilon: str = "8/255"

    def __post_init__(self) -> None:
        for key in ("epochs", "batch"):
            if getattr(self, key) < 1:
                raise UsageError(f"{key} must be at least 1, got {getattr(self, key)}")
        if not 0 <= self.side <= MOST_SIDE:
            raise UsageError(f"side must be in 1 .. {MOST_SIDE}, or 0 for the model's input; got {self.side}")
        check_fit(self.fit)

    def settings(self) -> dict[str, Any]:
        """Everything it is made of, as plain values for the card."""
        return {key: plain(value) for key, value in vars(self).items()}


def uap_momentum(
    *,
    name: str = "uap-momentum",
    epochs: int = 10,
    batch: int = 4,
    step_size: float = 1 / 255,
    momentum: float = 0.9,
    objective: str = "cosine",
    side: int = 0,
    fit: str = "",
) -> UniversalRecipe:
    """One perturbation for all photos, by sign steps along a momentum of the gradients of batches.

    Source: ours, of known parts: universal perturbations (Moosavi-Dezfooli et al., CVPR 2017, arXiv 1610.08401), the
    momentum of MI-FGSM (Dong et al., CVPR 2018), and the loss of Segment (Almost) Nothing, which reports universal
    perturbations too (Croce and Hein, SaTML 2024, arXiv 2311.14450).

    Args:
        name: as in tables.
        epochs: rounds through the photos.
        batch: photos for a step.
        step_size: alpha.
        momentum: mu.
        objective: of each photo, a name from ``attacks.goals.GOALS``.
        side: of the perturbation; 0 = the model's input.
        fit: ``long-side``, ``stretch`` or ``tile``; empty = the model's own way.

    Raises:
        UsageError: a value outside its range.
    """
    update = MomentumSign(step_size, momentum)
    return UniversalRecipe(name, make_goal(objective), update, epochs, batch, side, fit)


def darksam(
    *,
    name: str = "darksam",
    epochs: int = 10,
    batch: int = 1,
    step_size: float = 1 / 255,
    prompts: int = 10,
    low: float = 1.0,
    high: float = 0.01,
    target: float = 1.0,
    background: float = 0.1,
    side: int = 0,
    fit: str = "",
) -> UniversalRecipe:
    """DarkSAM as its paper describes it: photos normalised, the loss lowered, all its terms means.

    Source: Zhou et al., NeurIPS 2024 (arXiv 2409.17874).

    Masks: where anything is found at any of the prompts (the shadow target) logits go to -1, elsewhere to 1.
    Frequencies: low ones kept, high ones changed. Epsilon 10/255, the weights and ten points a photo are the authors';
    ten epochs are ours.

    Args:
        name: as in tables.
        epochs: rounds through the photos.
        batch: photos for a step.
        step_size: alpha, 1/255.
        prompts: points drawn on each photo, 10.
        low: Wl, 1.
        high: Wh, 0.01.
        target: Wt, 1.
        background: Wf, 0.1.
        side: of the perturbation; 0 = the model's input.
        fit: as in :func:`uap_momentum`.

    Raises:
        UsageError: a value outside its range.
    """
    goal = Darken(Anywhere(prompts), target=target, background=background)
    update = MomentumSign(step_size, 0.0)
    return UniversalRecipe(name, goal, update, epochs, batch, side, fit, Bands(low, high), epsilon="10/255")


def darksam_code(
    *, name: str = "darksam-code", epochs: int = 1, step_size: float = 1 / 255, prompts: int = 10, side: int = 0
) -> UniversalRecipe:
    """DarkSAM as its authors' code has it, with what looks unintended.

    Source: Zhou et al., NeurIPS 2024 (arXiv 2409.17874); their code.

    The photos are not normalised, neither clean nor perturbed; the step is up ``loss * gradient`` of a loss written to
    be lowered; the terms of frequencies are sums beside means over masks at the photo's size; each prompt has a
    foreground of its own; one pass. Not as there: a step takes all ten points of a photo, theirs takes one of them.

    Args:
        name: as in tables.
        epochs: rounds through the photos, 1.
        step_size: alpha, 1/255.
        prompts: points drawn on each photo, 10.
        side: of the perturbation; 0 = the model's input.

    Raises:
        UsageError: a value outside its range.
    """
    goal = Darken(Anywhere(prompts), full=True, blueprint=False)
    update, bands = AscendLossTimesGradient(step_size), Bands(reduction="sum")
    return UniversalRecipe(
        name, goal, update, epochs, side=side, bands=bands, normalised=False, epsilon="10/255"
    )  # fmt: skip


def sam_uap(
    *,
    name: str = "sam-uap",
    epochs: int = 10,
    batch: int = 4,
    step_size: float = 1 / 255,
    momentum: float = 0.9,
    negatives: int = 8,
    temperature: float = 0.1,
    side: int = 0,
    fit: str = "",
) -> UniversalRecipe:
    """A perturbation that photos look like, by contrast: it is the anchor, photos with it are the positives.

    Source: Han et al., arXiv 2310.12431.

    The loss is InfoNCE on embeddings; positives are augmented (here: random crops, mirrored half of the time),
    negatives are other photos. The numbers are ours: see ``attacks.universal.contrast``.

    Args:
        name: as in tables.
        epochs: rounds through the photos.
        batch: photos for a step.
        step_size: alpha.
        momentum: mu.
        negatives: photos that are embedded once, or all there are.
        temperature: of the softmax.
        side: of the perturbation; 0 = the model's input.
        fit: as in :func:`uap_momentum`.

    Raises:
        UsageError: a value outside its range.
    """
    goal, update = LookLikeThePerturbation(negatives, temperature), MomentumSign(step_size, momentum)
    return UniversalRecipe(name, goal, update, epochs, batch, side, fit, augment=True, epsilon="10/255")


UNIVERSAL: Mapping[str, Callable[..., UniversalRecipe]] = {
    "uap-momentum": uap_momentum,
    "darksam": darksam,
    "darksam-code": darksam_code,
    "sam-uap": sam_uap,
}
"""What ``segrobust universal train --recipe`` knows."""


def make_universal(name: str, **overrides: Any) -> UniversalRecipe:
    """A recipe of a universal perturbation by name, with some of its parameters changed.

    Raises:
        UsageError: unknown name or parameter, or a value outside its range.
    """
    return make_from(UNIVERSAL, name, "recipe", f"one of {', '.join(UNIVERSAL)}", overrides)
