"""Tables as data: what stands in a cell, and what it is sorted by. Markdown and HTML are made from the same ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from segrobust.report.tables import markdown_table

DASH = "–"
Cell = Mapping[str, Any]


@dataclass(frozen=True)
class Value:
    """One cell of a table.

    Attributes:
        text: as it is read.
        sort: what it is sorted by; None comes last.
    """

    text: str
    sort: float | str | None = None


@dataclass(frozen=True)
class Grid:
    """One table.

    Attributes:
        title: what it shows.
        note: what a reader must know beside it; may be empty.
        header: names of the columns, with an arrow where one direction is good for the defender.
        rows: their cells.
        left: so many first columns are words.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Value]] = field(default_factory=tuple)
    left: int = 1
    note: str = ""

    def markdown(self) -> str:
        """The table as Markdown, under its title."""
        escaped = [[value.text.replace("|", "\\|") for value in row] for row in self.rows]
        parts = [f"**{self.title}**", *([self.note] if self.note else [])]
        return "\n\n".join([*parts, markdown_table(self.header, escaped, self.left)])


def words(text: str | None) -> Value:
    """Text, sorted as such."""
    return Value(text or DASH, (text or "").lower())


def number(value: float | None, digits: int = 3) -> Value:
    """A number; a dash where there is none."""
    return Value(DASH) if value is None else Value(f"{value:.{digits}f}", value)


def count(value: int | None) -> Value:
    """A whole number."""
    return Value(DASH) if value is None else Value(f"{value:,}".replace(",", "\u202f"), value)


def bounded(interval: Cell | None, *, percent: bool = False, sign: bool = False) -> Value:
    """A number with its interval, e.g. ``0.285 [0.247, 0.323]`` or ``62 % [50, 74]``."""
    if not interval or interval["value"] is None:
        return Value(DASH)
    scale, form, unit = (100, ".0f", " %") if percent else (1, ".3f", "")
    form = "+" + form if sign else form

    def text(key: str) -> str:
        shown = f"{scale * interval[key]:{form}}".replace("-", "−")
        return shown.replace("+0.000", "0.000").replace("−0.000", "0.000") if sign else shown

    ends = f" [{text('low')}, {text('high')}]" if interval["low"] is not None else ""
    return Value(f"{text('value')}{unit}{ends}", interval["value"])
