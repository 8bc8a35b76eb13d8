"""Named attacks: frozen compositions of a goal, views and an update, and :func:`attack`, which runs one."""

from segrobust.attacks.goals import GUIDES
from segrobust.attacks.recipes.base import Recipe, settings_of
from segrobust.attacks.recipes.rga import noise, rga, sign_noise
from segrobust.attacks.recipes.run import Protocol, attack
from segrobust.attacks.recipes.table import RECIPES, make_recipe

__all__ = [
    "GUIDES",
    "RECIPES",
    "Protocol",
    "Recipe",
    "attack",
    "make_recipe",
    "noise",
    "rga",
    "settings_of",
    "sign_noise",
]
