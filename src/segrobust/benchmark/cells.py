"""Rows sorted into cells: one attack on one model, shown to one target in one way, over all photos."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segrobust.benchmark.facts import Facts
from segrobust.benchmark.rows import CLEAN, CONTROLS, NO_DEFENCE, Cell, Row
from segrobust.benchmark.scores import ImageKey, by_image

CLEAN_EPSILON = "0"

Side = tuple[str, str, str, str]
"""What a cell has in common with its original: dataset, target, defence, protocol."""


@dataclass(frozen=True)
class Table:
    """All rows of a run, by cell.

    Attributes:
        cells: the rows of each cell, sorted by photo; cells in the order of tables, which numbers them.
        controls: the cell of the original photo (epsilon ``0``) and of each kind of noise, by side, recipe, epsilon.
    """

    cells: Mapping[Cell, Sequence[Row]]
    controls: Mapping[tuple[Side, str, str], Cell]

    def done(self, cell: Cell) -> list[Row]:
        """The rows of a cell that have a score."""
        return [row for row in self.cells[cell] if row.done]

    def control(self, row: Row, recipe: str) -> Cell | None:
        """The original photo, or noise of a row's epsilon, shown to the same model in the same way."""
        return self.controls.get((side(row), recipe, CLEAN_EPSILON if recipe == CLEAN else row.epsilon))

    def before(self, row: Row) -> Mapping[ImageKey, Row]:
        """What the same model answered on the original photos."""
        cell = self.control(row, CLEAN)
        return by_image(self.cells[cell]) if cell else {}

    def attacks(self) -> Iterator[tuple[Cell, list[Row]]]:
        """The cells of attacks that have a score, with those rows that have one."""
        for cell, rows in self.cells.items():
            if not rows[0].control and (done := self.done(cell)):
                yield cell, done


def side(row: Row) -> Side:
    """What a row shares with its original."""
    return row.dataset, row.target, row.defence, row.protocol


def tabulate(rows: Iterable[Row], facts: Facts) -> Table:
    """Sort rows into cells: originals first, then noise, then the attacks in the plan's order."""
    attack = {name: place for place, name in enumerate(facts.attacks)}
    surrogate = {name: place for place, name in enumerate(facts.surrogates)}
    target = {name: place for place, name in enumerate(facts.targets)}

    def place(row: Row) -> tuple[Any, ...]:
        rank = CONTROLS.index(row.recipe) - len(CONTROLS) if row.control else attack.get(row.attack, len(attack))
        return (
            row.dataset, row.protocol, target.get(row.target, len(target)), row.target, row.defence != NO_DEFENCE,
            row.defence, rank if row.control else 0, surrogate.get(row.surrogate or "", -1), row.surrogate or "", rank,
            row.attack, row.adaptive, row.image,
        )  # fmt: skip

    cells: dict[Cell, list[Row]] = {}
    controls: dict[tuple[Side, str, str], Cell] = {}
    for row in sorted(rows, key=place):
        cells.setdefault(row.cell, []).append(row)
        if row.control:
            epsilon = CLEAN_EPSILON if row.recipe == CLEAN else row.epsilon
            controls.setdefault((side(row), row.recipe, epsilon), row.cell)
    return Table(cells, controls)
