"""Paired differences: two rows of a table on the same photos."""

from collections.abc import Iterator, Sequence
from typing import Any

from segrobust.benchmark.cells import Table
from segrobust.benchmark.facts import Facts
from segrobust.benchmark.rows import CLEAN, CONTROLS, Cell, Row
from segrobust.benchmark.scores import main_score, plain, prompt_score
from segrobust.evaluation.statistics import Estimate, difference


def differences(table: Table, facts: Facts) -> list[dict[str, Any]]:
    """Every row of a table minus the rows that it is judged by.

    Those are: the original photo; both kinds of noise of the same epsilon; the headline attack, the plan's first; and
    for an attack that knew the defence, the same one that did not.
    """
    number = {cell: place for place, cell in enumerate(table.cells)}
    found = []
    for cell in table.cells:
        for kind, other in _opponents(table, cell, facts):
            compared = _compare(table.done(cell), table.done(other), facts.seed)
            if compared is not None:
                found.append({"cell": number[cell], "against": number[other], "kind": kind, **compared})
    return found


def minus(rows: Sequence[Row], others: Sequence[Row], seed: int) -> Estimate:
    """The score of a cell minus that of another, on the photos that both have (none: NaN)."""
    return difference(main_score(rows), main_score(others), seed=seed)


def _compare(rows: Sequence[Row], others: Sequence[Row], seed: int) -> dict[str, Any] | None:
    found = minus(rows, others, seed)
    if not found.images:
        return None
    compared: dict[str, Any] = {"photos": found.images, "score": plain(found)}
    if rows[0].protocol != "everything":
        successes = [prompt_score(one, "asr50") for one in (rows, others)]
        compared["asr50"] = plain(difference(*successes, seed=seed))
    return compared


def _opponents(table: Table, cell: Cell, facts: Facts) -> Iterator[tuple[str, Cell]]:
    """What a cell is judged by, each with its kind: ``clean``, ``noise``, ``sign-noise``, ``headline``, ``unaware``."""
    first = table.cells[cell][0]
    for control in () if first.recipe == CLEAN else (CLEAN,) if first.control else CONTROLS:
        other = table.control(first, control)
        if other is not None:
            yield control, other
    if first.control:
        return
    dataset, surrogate, attack, target, defence, protocol, adaptive = cell
    headline = (dataset, surrogate, facts.attacks[0] if facts.attacks else "", target, defence, protocol, adaptive)
    if headline in table.cells and headline != cell:
        yield "headline", headline
    unaware = (dataset, surrogate, attack, target, defence, protocol, False)
    if adaptive and unaware in table.cells:
        yield "unaware", unaware
