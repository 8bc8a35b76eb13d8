"""Who takes part in an attack: a model with its objective, or the members of an ensemble, each with its own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from segrobust.attacks.budget import Box
from segrobust.attacks.loop import Trace, Views
from segrobust.attacks.recipes.base import Recipe
from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Objective
from segrobust.attacks.together import Together
from segrobust.attacks.updates.base import Probe
from segrobust.attacks.views.base import View
from segrobust.errors import UsageError
from segrobust.models.ensemble import Ensemble, members
from segrobust.models.ensemble_names import ALTERNATE, MEAN

PixelAndInputViews = tuple[Sequence[View], Sequence[View]]


@dataclass(frozen=True, eq=False)
class Cast:
    """Scenes, one for each model, and what the goal made of them.

    Every member's objective is made by the goal from the same streams and from the first member's masks, so that guides
    and questions are the same pictures and clicks for all of them.

    Attributes:
        scenes: one for each model, the first member's first.
        objectives: of each.
        rule: how members share the attack, see ``together.Together``.
    """

    scenes: tuple[Scene, ...]
    objectives: tuple[Objective, ...]
    rule: str = MEAN

    @classmethod
    def of(cls, scene: Scene, recipe: Recipe) -> "Cast":
        """Make the objectives.

        Raises:
            UsageError: members take turns, and the update compares the losses of its steps.
            CapabilityError: a member has not what the goal needs.
        """
        white = scene.segmenter
        if not isinstance(white, Ensemble):
            return cls((scene,), (recipe.goal(scene),))  # type: ignore[operator]
        if white.rule == ALTERNATE and getattr(recipe.update, "compares_losses", False):
            raise UsageError(
                f"{recipe.name!r} compares the losses of its steps, which are of different models where they take "
                f"turns; use the rule mean: {white.name.removesuffix('@' + ALTERNATE)}"
            )
        found = scene.masks if "masks" in recipe.needs else None
        scenes = tuple(replace(scene, segmenter=member, found=found, guide=None, notes=[]) for member in members(white))
        return cls(scenes, tuple(recipe.goal(part) for part in scenes), white.rule)  # type: ignore[operator]

    def probe(
        self,
        box: Box,
        trace: Trace,
        generator: torch.Generator,
        views: PixelAndInputViews = ((), ()),
        encoder_batch: int | None = None,
    ) -> Probe:
        """Whom the update asks.

        Args:
            box: the allowed images.
            trace: every member's passes are counted in it.
            generator: of the views; members draw from it in turn, so their views differ.
            views: pixel views and input views.
            encoder_batch: see ``loop.descend``.
        """
        probes = [
            Views(scene.segmenter, objective, *views, generator, trace, box, encoder_batch)
            for scene, objective in zip(self.scenes, self.objectives, strict=True)
        ]
        return Together(probes, trace, self.rule) if len(probes) > 1 else probes[0]

    def account(self, scene: Scene, trace: Trace) -> None:
        """Add what the objectives cost to the trace; the first guide and every note go to the attack's scene."""
        for number, part in enumerate(self.scenes):
            trace.encoder_forward += part.encoded
            trace.encoder_backward += part.differentiated
            if part is not scene:
                scene.notes += [f"{part.segmenter.name}: {note}" for note in part.notes]
                scene.guide = part.guide if number == 0 else scene.guide
        if len(self.scenes) > 1:
            names = ", ".join(part.segmenter.name for part in self.scenes)
            scene.notes.append(f"made on {names} ({self.rule}); masks and answers are those of the first")
