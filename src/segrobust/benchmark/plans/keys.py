"""What decides an attack's pixels, as a hash: the same attack is made once, whoever is shown its photo."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from segrobust.attacks.recipes import settings_of
from segrobust.benchmark.plans.plan import Plan
from segrobust.benchmark.plans.variants import Shot

CODE = "1"
"""Changes when the same settings make another photo than before."""


def canonical(value: Any) -> str:
    """JSON that is the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def digest(value: Any) -> str:
    """sha256 of the canonical JSON."""
    return sha256(canonical(value).encode()).hexdigest()


def attack_key(plan: Plan, shot: Shot, photo: str, models: Mapping[str, Mapping[str, Any]]) -> str:
    """The key of an attack on a photo.

    Args:
        plan: its space, seed and loading decide too.
        shot: the attack; not the original.
        photo: fingerprint of the original.
        models: facts about the plan's models.
    """
    settings = settings_of(shot.variant.make())
    what = {
        "code": CODE, "photo": photo, "recipe": shot.variant.recipe, "settings": settings,
        "epsilon": shot.variant.epsilon, "space": plan.space, "seed": plan.seed,
    }  # fmt: skip
    if shot.surrogate is not None or plan.space == "paper":
        name = shot.surrogate or plan.surrogates[0]
        facts = models[name]
        what |= {
            "model": facts["sha256"] or name,
            "loading": {key: value for key, value in plan.loading(name).items() if key in ("dtype", "autocast")},
            "everything": facts["everything"],
            "adaptive": shot.adaptive,
        }
    return digest(what)
