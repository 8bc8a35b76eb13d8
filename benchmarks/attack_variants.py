"""Every recipe at two budgets: 40 update steps, and at most 120 encoder gradients. What is changed for it, and why."""

import inspect
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from benchmarks.write_attacks import gradients

from segrobust.attacks.recipes import RECIPES, make_recipe
from segrobust.benchmark.plans.parts import CONTROLS

STEPS: Final = 40
GRADIENTS: Final = 120
"""RGA's cost: 40 steps of three copies."""

EPSILON: Final = Fraction(8, 255)
BUDGETS: Final = (f"{STEPS} steps", f"{GRADIENTS} gradients")

UNTRAINED: Final = "one file for all photos, which has to be trained first: docs/universal.md"
NO_PRESENCE: Final = "the plans' attacks are made on nano, which has no presence score"
LEFT_OUT: Final[Mapping[str, Mapping[str, str]]] = {
    BUDGETS[0]: {
        "universal": UNTRAINED,
        "absence": NO_PRESENCE,
        "square": "its steps are queries, not gradients: see the other budget",
        "square-prior": "its steps are queries, not gradients: see the other budget",
    },
    BUDGETS[1]: {"universal": UNTRAINED, "absence": NO_PRESENCE},
}
"""By budget, the recipes that it says nothing about."""

CHANGED: Final[Mapping[str, Mapping[str, Any]]] = {
    "uad-paper": {"steps": STEPS, "epochs": 16},  # 5 gradients for each epoch of the deformation: 80, and 40 steps
    "square": {"queries": GRADIENTS},  # as many looks at the target as the others have gradients
    "square-prior": {"queries": GRADIENTS},
}
"""At most 120 gradients where fewer steps alone do not do it."""

CHEAPER: Final[Mapping[str, Mapping[str, Any]]] = {
    "ask-separate": {"some": 64},  # of its 400 points, drawn anew: to decode all costs many times the encoder
}
"""At both budgets, where one recipe would take as long as most others together."""

QUESTIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("attack-sam", "attack-sam-enlarge", "attack-sam-shift", "attack-sam-target"), "attacks one random point"
    ),
    **dict.fromkeys(("s-ra", "t-ra"), "attacks the region of the largest mask"),
    "vanish": "attacks the largest mask, and keeps the others on purpose",
    **dict.fromkeys(("boundary-shift", "boundary-shift-guide"), "moves boundaries by 8 pixels, and keeps the masks"),
    **dict.fromkeys(("square", "square-prior"), f"{GRADIENTS} calls of the target"),
}
"""What a recipe asks by default that the others do not: it is scored on everything all the same."""


def attacks() -> tuple[str, ...]:
    """The recipes that a plan has to name; controls are in every plan."""
    return tuple(name for name in RECIPES if name not in CONTROLS)


def label(name: str, budget: str) -> str:
    """What an attack is called in the plans."""
    return f"{name}, {budget}"


def split(text: str) -> tuple[str, str] | None:
    """The recipe and the budget of a label; None of another attack's."""
    name, comma, budget = text.rpartition(", ")
    return (name, budget) if comma and budget in BUDGETS else None


def parameters(name: str, budget: str) -> dict[str, Any]:
    """The changed parameters of a recipe at a budget.

    Raises:
        SystemExit: it takes more gradients at any number of steps; ``CHANGED`` is to say what is lowered.
    """
    cheaper = CHEAPER.get(name, {})
    takes_steps = "steps" in inspect.signature(RECIPES[name]).parameters
    if budget == BUDGETS[0]:
        return {"steps": STEPS, **cheaper} if takes_steps else {**cheaper}
    if name in CHANGED:
        return {**CHANGED[name], **cheaper}
    if not takes_steps:
        return {**cheaper}
    steps = _most_steps(name)
    return {"steps": steps, **_long_enough(name, steps), **cheaper}


def _most_steps(name: str) -> int:
    """As many as 120 gradients allow; those of a step need not be the same in every step, so they are counted."""

    def cost(steps: int) -> int:
        return gradients(make_recipe(name, steps=steps))

    steps = max(1, min(GRADIENTS, GRADIENTS * STEPS // max(1, cost(STEPS))))
    while steps and cost(steps) > GRADIENTS:
        steps -= 1
    if not steps:
        raise SystemExit(f"{name} takes more than {GRADIENTS} gradients in one step; lower its copies in CHANGED")
    while steps < GRADIENTS and cost(steps + 1) <= GRADIENTS:
        steps += 1
    return steps


def _long_enough(name: str, steps: int) -> dict[str, Any]:
    """Few steps must still be able to reach the border of the budget."""
    step = inspect.signature(RECIPES[name]).parameters.get("step_size")
    needed = EPSILON / steps
    return {"step_size": str(needed)} if step is not None and 0 < step.default < float(needed) else {}
