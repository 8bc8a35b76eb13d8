"""Where attacks start."""

import torch
from torch import Tensor

from segrobust.attacks.budget import Box
from segrobust.attacks.recipes.base import Recipe
from segrobust.types import Budget


def start_of(recipe: Recipe, source: Tensor, box: Box, budget: Budget, generator: torch.Generator) -> Tensor:
    """The image that an attack starts at, ``(1, 3, H, W)``; not yet projected into the box.

    Args:
        recipe: says how, see ``Recipe.start``.
        source: the photo, ``(1, 3, H, W)`` in [0, 1].
        box: the budget around it.
        budget: the same, as it is written.
        generator: what is drawn from; on the CPU.
    """
    if not isinstance(recipe.start, str):
        unit = recipe.start.unit((source.shape[-2], source.shape[-1]))
    else:
        shape = (*source.shape[:2], 1, source.shape[-1]) if recipe.start == "stripes" else source.shape
        unit = 2 * torch.rand(shape, generator=generator) - 1
        if recipe.start != "uniform":
            unit = torch.where(unit < 0, -1.0, 1.0).expand(source.shape)
    return source + box.drift(source, budget, unit, recipe.reach)
