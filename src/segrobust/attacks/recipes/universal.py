"""The attack that takes its perturbation from a file."""

from collections.abc import Callable, Mapping

from segrobust.attacks.goals import LeaveTheEmbedding
from segrobust.attacks.recipes.base import Recipe
from segrobust.attacks.universal.files import FromFile
from segrobust.attacks.updates import MomentumSign


def universal(*, name: str = "universal", file: str = "") -> Recipe:
    """A universal perturbation from a file, brought to the photo's size and to the budget.

    Source: trained by ``segrobust universal train`` (docs/universal.md).

    No gradient is asked for: the perturbation is scaled to the budget of the run, whatever it was trained with.

    Args:
        name: as in tables.
        file: the ``.npy`` file, its card beside it.

    Raises:
        UsageError: it is none.
        MissingError: there is no such file.
    """
    return Recipe(name, 0, LeaveTheEmbedding(), MomentumSign(), start=FromFile.of(file) if file else FromFile())


UNIVERSAL: Mapping[str, Callable[..., Recipe]] = {"universal": universal}
