"""Names of several models at once: ``nano+nano-hiera``, with a rule behind an ``@``. Importing this module is cheap."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from segrobust.errors import ModelError

MEAN, ADAPTIVE, ALTERNATE = "mean", "adaptive", "alternate"
RULES: Mapping[str, str] = {
    MEAN: "all members' gradients at every step, each divided by its size",
    ADAPTIVE: "as mean, and members that the attack has moved least count more",
    ALTERNATE: "one member at every step, in turn: a step costs what it costs on one model",
}
"""How the members of an ensemble share an attack; ``mean`` is not written."""


def members_of(name: str) -> tuple[str, ...]:
    """The models that a name joins with ``+``, in order; none if it names one model, a path or an address."""
    return _parts(name)[0]


def rule_of(name: str) -> str:
    """The rule of an ensemble's name."""
    return _parts(name)[1]


def ensemble_name(members: tuple[str, ...], rule: str = MEAN) -> str:
    """The name of an ensemble, by which it is known in tables."""
    return "+".join(members) + ("" if rule == MEAN else f"@{rule}")


def check_rule(rule: str) -> None:
    """Refuse a rule that is not there.

    Raises:
        ModelError: with those that are.
    """
    if rule not in RULES:
        raise ModelError(
            f"an ensemble's rule is one of {', '.join(RULES)}, got {rule!r}; write nano+nano-hiera@alternate"
        )


def _parts(name: str) -> tuple[tuple[str, ...], str]:
    if "+" not in name or "://" in name or Path(name).exists():
        return (), MEAN
    models, _, rule = name.rpartition("@")
    if "+" in models and (rule in RULES or get_close_matches(rule, RULES, n=1)):  # FastSAM-s@photo is a model
        return tuple(models.split("+")), rule
    return tuple(name.split("+")), MEAN
