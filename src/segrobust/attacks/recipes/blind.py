"""Attacks that need no gradient of the target: noise, saved perturbations, and those that ask."""

from dataclasses import dataclass, field

import numpy as np
import torch

from segrobust.attacks.band import Share, confine
from segrobust.attacks.budget import Box
from segrobust.attacks.loop import Progress, Trace, iterate
from segrobust.attacks.queries.asked import Asked
from segrobust.attacks.queries.counting import Counted
from segrobust.attacks.queries.goal import LoseTheAnswers
from segrobust.attacks.queries.prior import Case
from segrobust.attacks.recipes.base import Recipe
from segrobust.attacks.recipes.starts import start_of
from segrobust.attacks.region import Where, region_mask
from segrobust.attacks.saving import round_into_budget
from segrobust.errors import UsageError
from segrobust.models.base import Segmenter
from segrobust.models.geometry import to_tensor
from segrobust.randomness import torch_stream
from segrobust.regions.everything import segment_everything
from segrobust.types import Budget, Image, Masks, Pixels


@dataclass(eq=False)
class Blind:
    """An attack on a target of which only the answers are known.

    Attributes:
        segmenter: the target.
        image: the photo.
        recipe: one that needs no gradients, see ``Recipe.blind``.
        budget: holds in all that is shown and in the result.
        seed: of every random number.
        where: the only pixels that may be changed; None: all. Asking what is under a click is a query.
        masks: of the photo, for a recipe with a band; whoever must not ask more than it says is given them.
        progress: called after every step.
        trace: what happened; it counts what a surrogate computes.
        notes: conditions worth a line in the record.
    """

    segmenter: Segmenter
    image: Image
    recipe: Recipe
    budget: Budget
    seed: int
    where: Where | None = None
    masks: Masks | None = None
    progress: Progress | None = None
    trace: Trace = field(default_factory=Trace)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        goal = self.recipe.goal
        self.goal = goal if isinstance(goal, LoseTheAnswers) and self.recipe.steps else None
        self.target = Counted(self.segmenter, self.goal.queries if self.goal else 1)

    @property
    def queries(self) -> int:
        """How often the target was asked."""
        return self.target.asked

    def run(self) -> Pixels:
        """The attacked photo, ``(H, W, 3)`` uint8, in the budget.

        Raises:
            UsageError: there are fewer queries than the photo and one other need.
        """
        region = None if self.where is None else region_mask(self.target, self.image, self.where)
        share = confine(region, self.recipe.band, self._masks, self.budget, self.notes)
        source = to_tensor(self.image.pixels)[None]
        inside = None if share is None else torch.from_numpy(np.ascontiguousarray(share))
        box = Box.around(source, self.budget, inside)
        start = start_of(self.recipe, source, box, self.budget, self._stream("start"))
        if self.goal is None:
            return round_into_budget(box.project_(start)[0], self.image.pixels, self.budget, share)
        probe = self._probe(self.goal, share)
        steps = self.target.left // self.target.cost(probe.prompts)
        drawn, trace = self._stream("squares"), self.trace
        update, progress = self.recipe.update, self.progress
        iterate(probe, start, box, update, steps=steps, generator=drawn, trace=trace, progress=progress)
        self.trace.loss.append(probe.best)
        return probe.pixels

    def _masks(self) -> Masks:
        if self.masks is not None:
            return self.masks
        if self.goal is not None:
            raise UsageError(
                f"a band around boundaries takes the photo's masks, which {self.recipe.name!r} does not ask for: give "
                "clean_masks"
            )
        return segment_everything(self.segmenter, self.image)

    def _probe(self, goal: LoseTheAnswers, share: Share | None) -> Asked:
        prompts = goal.prompts(self.segmenter, self.image.size)
        needed = 2 * self.target.cost(prompts)
        if self.target.left < needed:
            raise UsageError(
                f"{len(prompts)} prompts on the photo and on one other take {needed} queries of model "
                f"{self.segmenter.name!r}, and {self.target.left} of {self.target.queries} are left; "
                "allow more with --set queries=N"
            )
        case = Case(self.image, self.budget, self.seed, self.recipe.name, share, self.trace)
        prior = goal.prior(case) if goal.prior else None
        probe = Asked(self.target, self.image, prompts, self.budget, share, prior)
        if not probe.clean.areas.any():
            self.notes.append("the target answers the attack's prompts with nothing on the photo itself")
        return probe

    def _stream(self, purpose: str) -> torch.Generator:
        return torch_stream(self.seed, self.image.fingerprint, self.recipe.name, purpose)
