"""A recipe: a frozen composition of a goal, views and an update."""

from dataclasses import dataclass
from typing import Any, Literal

from segrobust.attacks.scene import Goal
from segrobust.attacks.updates.base import Update
from segrobust.attacks.views.base import View
from segrobust.errors import UsageError

Start = Literal["uniform", "corners"]


@dataclass(frozen=True)
class Recipe:
    """An attack, ready to run.

    Attributes:
        name: as in tables.
        steps: updates; 0 leaves the random start (the noise baselines).
        goal: makes the objective, see ``attacks.goals``.
        update: see ``attacks.updates``.
        pixel_views: see ``attacks.views``.
        input_views: see ``attacks.views``.
        start: the random start: ``uniform`` in the budget, or ``corners``: the whole budget up or down.
        reach: what share of the budget the start takes. Not 0: at the photo itself the gradient of a cosine vanishes.
    """

    name: str
    steps: int
    goal: Goal
    update: Update
    pixel_views: tuple[View, ...] = ()
    input_views: tuple[View, ...] = ()
    start: Start = "uniform"
    reach: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise UsageError(f"steps must not be negative, got {self.steps}")
        if self.start not in ("uniform", "corners"):
            raise UsageError(f"start {self.start!r} is not one of uniform, corners")
        if not 0 <= self.reach <= 1:
            raise UsageError(f"reach must be in [0, 1], got {self.reach}")


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Everything a recipe is made of, as plain values for a record."""
    plain = dict(vars(recipe))
    for key in ("pixel_views", "input_views"):
        plain[key] = [_plain(view) for view in getattr(recipe, key)]
    return plain | {"goal": _plain(recipe.goal), "update": _plain(recipe.update)}


def _plain(part: Any) -> Any:
    """A frozen dataclass, and those inside it, by its kind and fields."""
    if hasattr(part, "__dataclass_fields__"):
        return {"kind": type(part).__name__, **{key: _plain(value) for key, value in vars(part).items()}}
    return [_plain(value) for value in part] if isinstance(part, tuple | list) else part
