"""Two runs, photo by photo: what got worse."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from segrobust.errors import UsageError
from segrobust.evaluation.statistics import Estimate, Sums, difference

THRESHOLD = 0.01
SAME = ("seed", "protocol", "datasets", "models", "versions")
"""What should be equal in two runs of which only one thing was changed."""

Results = Mapping[str, Any]
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Change:
    """One row of both tables.

    Attributes:
        cell: of the second run.
        before: score of the first run, on the photos that both have.
        after: of the second.
        difference: second minus first, paired.
        worse: whether it fell by more than the threshold, and the interval lies below zero.
    """

    cell: Mapping[str, Any]
    before: float
    after: float
    difference: Estimate
    worse: bool


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common.

    Attributes:
        changes: rows of both, the largest fall first.
        gone: names of rows that only the first run has.
        added: names of rows that only the second has.
        differs: which of :data:`SAME` are not equal.
    """

    changes: tuple[Change, ...]
    gone: tuple[str, ...]
    added: tuple[str, ...]
    differs: tuple[str, ...]

    @property
    def worse(self) -> tuple[Change, ...]:
        """What got worse."""
        return tuple(change for change in self.changes if change.worse)


def compare(first: Results, second: Results, threshold: float = THRESHOLD) -> Comparison:
    """Subtract a run from another, row by row and photo by photo.

    Args:
        first: results.json of the earlier run.
        second: of the later.
        threshold: a fall of a score by more than this counts, >= 0; less is let go.

    Raises:
        UsageError: the runs have no row with a photo in common.
    """
    old, new = _cells(first), _cells(second)
    changes = [
        change
        for key, cell in new.items()
        if key in old and (change := _change(old[key], cell, threshold, second["facts"]["seed"])) is not None
    ]
    if not changes:
        raise UsageError(
            f"the two runs have no row with a photo in common: {_few(old)} against {_few(new)}; "
            "compare runs of one plan on the same data"
        )
    differs = tuple(name for name in SAME if first["facts"][name] != second["facts"][name])
    ordered = tuple(sorted(changes, key=lambda change: change.difference.value))
    return Comparison(ordered, _names(old, new), _names(new, old), differs)


def _cells(results: Results) -> dict[Key, Mapping[str, Any]]:
    names = ("dataset", "surrogate", "attack", "target", "defence", "protocol", "adaptive")
    return {tuple(cell[name] for name in names): cell for cell in results["cells"]}


def _change(old: Mapping[str, Any], new: Mapping[str, Any], threshold: float, seed: int) -> Change | None:
    before, after = _sums(old), _sums(new)
    found = difference(after, before, seed=seed)
    if not found.images:
        return None
    shared = set(before.images)
    both = tuple(image for image in after.images if image in shared)
    # One photo has no interval: then the number alone decides.
    clear = found.high < 0 if found.images > 1 else True
    return Change(new, _mean(before.at(both)), _mean(after.at(both)), found, clear and found.value < -threshold)


def _mean(sums: Sums) -> float:
    return float(sums.sums.sum() / sums.counts.sum())


def _sums(cell: Mapping[str, Any]) -> Sums:
    columns = cell.get("per_image") or {"image": [], "n": [], "score": []}
    rows = zip(columns["image"], columns["n"], columns["score"], strict=True)
    return Sums.of({image: np.full(n, score) for image, n, score in rows if score is not None})


def _names(cells: Mapping[Key, Any], others: Mapping[Key, Any]) -> tuple[str, ...]:
    return tuple(_name(key) for key in cells if key not in others)


def _name(key: Key) -> str:
    dataset, surrogate, attack, target, defence, protocol, adaptive = key
    made = f" made on {surrogate}" if surrogate else ""
    behind = f" behind {defence}" if defence != "none" else ""
    return f"{dataset}, {attack}{' (adaptive)' if adaptive else ''}{made} → {target}{behind}, {protocol}"


def _few(cells: Mapping[Key, Any]) -> str:
    names = [_name(key) for key in list(cells)[:1]]
    return (names[0] if names else "nothing") + (f" and {len(cells) - 1} more" if len(cells) > 1 else "")
