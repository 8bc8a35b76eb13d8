"""What a run knows about itself beside its rows: what a reader needs to believe a number, and to make it again."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segrobust.errors import UsageError


@dataclass(frozen=True)
class Facts:
    """About a run; everything is plain data and has a default, so that less than all of it can still be reported.

    Attributes:
        plan: the plan's name.
        command: one line that makes the run again.
        seed: of everything random, the intervals among it.
        attacks: the labels of the attacks in the plan's order; the first is the headline.
        surrogates: names of the models that were attacked, in order.
        targets: names of the models that answered, in order.
        datasets: by name: ``kind``, ``photos``, ``sha256``, ``terms``.
        models: by name: ``sha256``, ``licence``, ``family``, whatever is known.
        defences: by name: what it does, in one line.
        protocol: the settings that decide a score: ``multimask`` (single, best or oracle), ``masks``, ``points``,
            ``boxes``, ``prompts_from``, ``perturbation`` (strict or paper).
        versions: of python and libraries, the device, the threads.
        notes: limits of this run that a reader should know.
    """

    plan: str = ""
    command: str = ""
    seed: int = 0
    attacks: tuple[str, ...] = ()
    surrogates: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    datasets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    defences: Mapping[str, str] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON takes them."""
        values = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Facts":
        """The facts that :meth:`to_dict` wrote.

        Raises:
            UsageError: a field that facts do not have.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        if odd := sorted(set(values) - known):
            raise UsageError(f"facts have the fields {', '.join(sorted(known))}; unknown: {', '.join(odd)}")
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return cls(**plain)
