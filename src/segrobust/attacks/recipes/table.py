"""The table of attacks: names to recipes."""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from segrobust.attacks.recipes.answers import ANSWERS
from segrobust.attacks.recipes.base import Recipe
from segrobust.attacks.recipes.features import FEATURES
from segrobust.attacks.recipes.inputs import INPUTS
from segrobust.attacks.recipes.neighbours import NEIGHBOURS
from segrobust.attacks.recipes.rga import RGA
from segrobust.attacks.recipes.steps import STEPS
from segrobust.errors import UsageError

RECIPES: Mapping[str, Callable[..., Recipe]] = {**RGA, **STEPS, **NEIGHBOURS, **INPUTS, **FEATURES, **ANSWERS}
"""What each makes can be changed by its parameters; those of a ``partial`` are what it is defined by."""


def make_recipe(name: str, **overrides: Any) -> Recipe:
    """A recipe by name, with some of its parameters changed.

    Raises:
        UsageError: unknown name or parameter, or a value outside its range.
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
    try:
        return RECIPES[name](**overrides)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
