"""What a check is, and what it finds."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from segrobust.benchmark.cells import Table
from segrobust.benchmark.facts import Facts
from segrobust.benchmark.rows import ADAPTIVE_MARK, NO_DEFENCE, Row

Level = Literal["error", "warning", "info"]
Look = Callable[[Table, Facts], Iterator[tuple[str, str]]]
"""Looks at a run and yields what is wrong: a message with its numbers, and where."""


@dataclass(frozen=True)
class Check:
    """One way in which an evaluation lies.

    Attributes:
        id: what it is called on the command line and in results.json.
        level: ``error``: the numbers are wrong; ``warning``: what they seem to say may not be so; ``info``: know this
            before you quote them.
        fires_when: the condition, in a line.
        advice: what to do about it.
        look: the function that looks.
    """

    id: str
    level: Level
    fires_when: str
    advice: str
    look: Look


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        id: the check's.
        level: the check's.
        message: what is wrong here, with the numbers.
        advice: the check's.
        where: the row of the table, or the photo.
    """

    id: str
    level: Level
    message: str
    advice: str
    where: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in results.json."""
        return dataclasses.asdict(self)


def place_of(row: Row, *, image: bool = False) -> str:
    """Where a row stands, as a person would say it."""
    parts = [row.dataset] + ([row.image] if image else []) + [row.attack + (ADAPTIVE_MARK if row.adaptive else "")]
    if row.surrogate:
        parts.append(f"made on {row.surrogate}")
    shown = row.target if row.defence == NO_DEFENCE else f"{row.target} behind {row.defence}"
    return ", ".join([*parts, f"shown to {shown}", f"protocol {row.protocol}"])
