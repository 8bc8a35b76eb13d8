"""The table of attacks: names to recipes."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from segrobust.attacks.band import Band
from segrobust.attacks.recipes.answers import ANSWERS
from segrobust.attacks.recipes.base import Recipe
from segrobust.attacks.recipes.boundaries import BOUNDARIES
from segrobust.attacks.recipes.falsify import FALSIFY
from segrobust.attacks.recipes.features import FEATURES
from segrobust.attacks.recipes.inputs import INPUTS
from segrobust.attacks.recipes.neighbours import NEIGHBOURS
from segrobust.attacks.recipes.queries import QUERIES
from segrobust.attacks.recipes.rga import RGA
from segrobust.attacks.recipes.steps import STEPS
from segrobust.attacks.recipes.universal import UNIVERSAL
from segrobust.attacks.universal.files import FromFile
from segrobust.errors import UsageError

R = TypeVar("R")

RECIPES: Mapping[str, Callable[..., Recipe]] = {
    **RGA,
    **STEPS,
    **NEIGHBOURS,
    **INPUTS,
    **FEATURES,
    **ANSWERS,
    **BOUNDARIES,
    **FALSIFY,
    **UNIVERSAL,
    **QUERIES,
}
"""What each makes can be changed by its parameters; those of a ``partial`` are what it is defined by."""


OF_ALL: Mapping[str, Any] = {"band": 0, "outside": 0.0, "elsewhere": 0, "start": ""}
"""Parameters of every recipe.

``band``, ``outside`` and ``elsewhere`` (1: the control): see ``attacks.band``; a band of 0 pixels is none: the same
budget everywhere. ``start``: the file of a universal perturbation to begin at, as UMI-GRAT (Xia et al., NeurIPS 2024)
does; empty: the recipe's own.
"""


def parameters_of(name: str) -> dict[str, Any]:
    """The parameters of a recipe, its own and those of all, with their defaults."""
    own = inspect.signature(RECIPES[name]).parameters
    return {key: parameter.default for key, parameter in own.items() if key != "name"} | dict(OF_ALL)


def make_recipe(name: str, **overrides: Any) -> Recipe:
    """A recipe by name, with some of its parameters changed.

    Args:
        name: one of ``RECIPES``.
        **overrides: its own parameters; and ``band`` (pixels) and ``outside`` (a share of epsilon), with which all
            recipes spend their budget around boundaries, see ``attacks.band.Band``; and ``start``, the file of a
            universal perturbation (docs/universal.md) to begin at, all of it whatever the recipe's own reach.

    Raises:
        UsageError: unknown name or parameter, or a value outside its range.
        MissingError: a file that is not there.
    """
    own = {key: value for key, value in overrides.items() if key not in OF_ALL}
    recipe = make_from(RECIPES, name, "attack", "see 'segrobust ls attacks'", own)
    pixels, outside, elsewhere, start = (overrides.get(key, default) for key, default in OF_ALL.items())
    if start and recipe.blind:
        raise UsageError(f"start={start} is where gradient steps begin, and {name!r} takes none; see --universal")
    if start:
        recipe = dataclasses.replace(recipe, start=FromFile.of(start), reach=1.0)
    if (outside or elsewhere) and not pixels:
        what = f"outside={outside} is a share of epsilon outside" if outside else f"elsewhere={elsewhere} is the place"
        raise UsageError(f"{what} of a band; give band, a number of pixels")
    return dataclasses.replace(recipe, band=Band(pixels, outside, bool(elsewhere))) if pixels else recipe


def make_from(
    table: Mapping[str, Callable[..., R]], name: str, what: str, where: str, overrides: Mapping[str, Any]
) -> R:
    """What a table makes of a name and some changed parameters.

    Args:
        table: names to functions.
        name: one of them.
        what: what the table holds, for the error.
        where: where its names are listed, likewise.
        overrides: the parameters.

    Raises:
        UsageError: unknown name or parameter, or a value outside its range.
    """
    if name not in table:
        close = get_close_matches(name, table, n=1, cutoff=0.5)
        advice = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"unknown {what} {name!r}{advice} ({where})")
    allowed = set(inspect.signature(table[name]).parameters) - {"name"}
    for key in overrides:
        if key not in allowed:
            close = get_close_matches(key, allowed, n=1, cutoff=0.4)
            advice = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"{what} {name!r} has no parameter {key!r}{advice}")
    try:
        return table[name](**overrides)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
