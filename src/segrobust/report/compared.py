"""Two runs compared, as text."""

from collections.abc import Sequence

from segrobust.benchmark.compare import Change, Comparison
from segrobust.benchmark.scores import plain
from segrobust.report.grids import Grid, bounded, count, number, words
from segrobust.report.layout import full_name

SHOWN = 5


def comparison_text(found: Comparison, threshold: float) -> str:
    """What changed, the largest fall first, and whether anything got worse.

    Args:
        found: the comparison.
        threshold: that it was made with.
    """
    parts = [_grid(found.changes).markdown()]
    if found.differs:
        parts.append(f"Not the same in both runs: {', '.join(found.differs)}.")
    for names, only in ((found.gone, "first"), (found.added, "second")):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            parts.append(f"Only in the {only} run: {'; '.join(names[:SHOWN])}{more}.")
    worse = len(found.worse)
    rows = f"{len(found.changes)} row" + ("s" if len(found.changes) > 1 else "")
    verdict = f"{worse} of {rows} got worse" if worse else f"none of {rows} got worse"
    parts.append(f"{verdict} (a fall of more than {threshold:g}, and the 95 % interval below zero).")
    return "\n\n".join(parts)


def _grid(changes: Sequence[Change]) -> Grid:
    rows = [
        [
            words("worse" if change.worse else ""), words(full_name(change.cell)),
            words(f"{change.cell['dataset']}, {change.cell['protocol']}"), count(change.difference.images),
            number(change.before), number(change.after), bounded(plain(change.difference), sign=True),
        ]
        for change in changes
    ]  # fmt: skip
    header = ["", "row", "data", "photos", "first ↑", "second ↑", "second − first"]
    return Grid("Scores on the photos that both runs have", header, rows, left=3)
