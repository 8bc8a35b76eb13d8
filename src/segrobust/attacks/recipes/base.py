"""A recipe: a frozen composition of a goal, views and an update."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from torch import Tensor

from segrobust.attacks.band import Band
from segrobust.attacks.queries.goal import LoseTheAnswers
from segrobust.attacks.scene import Goal
from segrobust.attacks.updates.base import Update
from segrobust.attacks.views.base import View
from segrobust.errors import UsageError

Drawn = Literal["uniform", "corners", "stripes"]


class Pattern(Protocol):
    """A start that is not drawn: a frozen setting."""

    def unit(self, size: tuple[int, int]) -> Tensor:
        """The change of a photo of a size (height, width), as a share of the budget: ``(1, 3, H, W)`` in [-1, 1]."""
        ...

    def require_ready(self) -> None:
        """Refuse to start without what the pattern needs, e.g. a file: a ``UsageError``."""
        ...


Start = Drawn | Pattern


@dataclass(frozen=True)
class Recipe:
    """An attack, ready to run.

    Attributes:
        name: as in tables.
        steps: updates; 0 leaves the random start (the noise baselines).
        goal: makes the objective, see ``attacks.goals``; or says what a black box is asked.
        update: see ``attacks.updates``.
        pixel_views: see ``attacks.views``.
        input_views: see ``attacks.views``.
        start: the random start: ``uniform`` in the budget, or ``corners``: the whole budget up or down,
            or ``stripes``: the same, but one sign for a column and channel; or a pattern.
        reach: what share of the budget the start takes. Not 0: at the photo itself the gradient of a cosine vanishes.
        band: where the budget is spent; None: everywhere.
    """

    name: str
    steps: int
    goal: Goal | LoseTheAnswers
    update: Update
    pixel_views: tuple[View, ...] = ()
    input_views: tuple[View, ...] = ()
    start: Start = "uniform"
    reach: float = 1.0
    band: Band | None = None

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise UsageError(f"steps must not be negative, got {self.steps}")
        if isinstance(self.start, str) and self.start not in get_args(Drawn):
            raise UsageError(f"start {self.start!r} is not one of {', '.join(get_args(Drawn))}")
        if not 0 <= self.reach <= 1:
            raise UsageError(f"reach must be in [0, 1], got {self.reach}")

    @property
    def blind(self) -> bool:
        """It can be made on a black box: it takes no steps, or only asks."""
        return self.steps == 0 or isinstance(self.goal, LoseTheAnswers)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the goal needs, and the masks for a band."""
        return tuple(dict.fromkeys((*getattr(self.goal, "needs", ()), *(("masks",) if self.band else ()))))

    def require_ready(self) -> None:
        """Refuse a recipe that was made without something it needs, as ``make_recipe("universal")`` is.

        Raises:
            UsageError: with what to give.
        """
        if not isinstance(self.start, str):
            self.start.require_ready()


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Everything a recipe is made of, as plain values for a record; without a band it is as before there were any."""
    return {key: plain(value) for key, value in vars(recipe).items() if key != "band" or value is not None}


def plain(part: Any) -> Any:
    """A frozen dataclass, and those inside it, by its kind and fields."""
    if hasattr(part, "__dataclass_fields__"):
        return {"kind": type(part).__name__, **{key: plain(value) for key, value in vars(part).items()}}
    return [plain(value) for value in part] if isinstance(part, tuple | list) else part
