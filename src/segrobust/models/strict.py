"""Filling a network with weights that must fit it exactly."""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from segrobust.errors import ModelError

if TYPE_CHECKING:
    from segrobust.models.checkpoint import State


def fill(model: nn.Module, state: "State", path: Path) -> None:
    """Fill a network with a state dict in which every tensor has its name and shape, and no other.

    Args:
        model: is filled; its types and devices stay.
        state: tensors by name.
        path: where they come from, for the error.

    Raises:
        ModelError: they do not fit; names the first difference.
    """
    own = model.state_dict()
    problems = [f"{key!r} is missing" for key in own if key not in state]
    problems += [f"{key!r} is none of the model's" for key in state if key not in own]
    problems += [
        f"{key!r} has the shape {tuple(state[key].shape)}, not {tuple(value.shape)}"
        for key, value in own.items()
        if key in state and state[key].shape != value.shape
    ]
    if problems:
        more = f" (and {len(problems) - 1} more differences)" if len(problems) > 1 else ""
        raise ModelError(f"the weights in {path} do not fit: {problems[0]}{more}")
    model.load_state_dict(state)
