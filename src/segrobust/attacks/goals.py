"""Goals of the embedding, and the table of goals that a recipe can be given by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

from segrobust.attacks.objectives import SIMILARITIES, AwayAndToward
from segrobust.attacks.objectives.table import OBJECTIVES
from segrobust.attacks.scene import Goal, Scene
from segrobust.attacks.seen import Objective
from segrobust.errors import UsageError
from segrobust.regions.atoms import atoms
from segrobust.regions.colours import contrast_colours
from segrobust.regions.crossing import crossing
from segrobust.regions.guide import GuideBuilder, random_cells, region_guided_map
from segrobust.regions.tree import tree

GUIDES: Mapping[str, GuideBuilder] = {
    "regions": region_guided_map,
    "random-cells": random_cells,
    "undilated": partial(region_guided_map, dilation=0),
    "uncut": partial(region_guided_map, grid=False),
    "tree": tree,
    "atoms": atoms,
    "crossing": crossing,
    "regions-contrast": partial(region_guided_map, colours=contrast_colours),
    "atoms-contrast": partial(atoms, colours=contrast_colours),
}
"""The paper's map, our control, the map without one of its two steps (small regions grown, large ones cut), and ours
for masks that overlap (docs/research/overlap.md)."""


@dataclass(frozen=True)
class LeaveTheEmbedding:
    """Away from the photo's embedding and, with a guide, toward that of a guide picture: ``AwayAndToward``.

    Attributes:
        similarity: what is lowered to the photo and raised to the guide, a name from ``SIMILARITIES``.
        guide: name of the guide map (``GUIDES``), or None: only away.
        weight: lambda, of the guide.
    """

    similarity: str = "cosine"
    guide: str | None = None
    weight: float = 0.0

    def __post_init__(self) -> None:
        if self.similarity not in SIMILARITIES:
            raise UsageError(f"objective {self.similarity!r} is not one of {', '.join(SIMILARITIES)}")
        if self.guide is not None and self.guide not in GUIDES:
            raise UsageError(f"guide {self.guide!r} is not one of {', '.join(GUIDES)}")

    @property
    def needs(self) -> tuple[str, ...]:
        """Masks, to make the guide of."""
        return ("masks",) if self.guide else ()

    def __call__(self, scene: Scene) -> Objective:
        """RGA's loss, or the untargeted one of Segment (Almost) Nothing (Croce and Hein, SaTML 2024)."""
        goal = None
        if self.guide is not None:
            guide = GUIDES[self.guide](scene.masks, scene.stream("guide"))
            scene.guide = guide.picture
            scene.notes += guide.notes
            goal = scene.observe(scene.place(guide.picture)).features
        return AwayAndToward(scene.observe(scene.source).features, goal, self.weight, self.similarity)


GOALS: Mapping[str, Callable[[], Goal]] = {
    **{name: partial(LeaveTheEmbedding, name) for name in SIMILARITIES},
    **OBJECTIVES,
}
"""What ``objective=`` of the generic recipes may be."""


def make_goal(name: str) -> Goal:
    """A goal with its defaults, by name.

    Raises:
        UsageError: no such goal.
    """
    if name not in GOALS:
        close = get_close_matches(name, GOALS, n=1, cutoff=0.5)
        advice = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"objective {name!r} is not one of {', '.join(GOALS)}{advice}")
    return GOALS[name]()
