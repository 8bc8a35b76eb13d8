"""Which number opens a report, and which photos show what stands behind it."""

from collections.abc import Mapping, Sequence
from typing import Any

from segrobust.benchmark.cells import Table
from segrobust.benchmark.facts import Facts
from segrobust.benchmark.rows import CONTROLS, NO_DEFENCE, Row
from segrobust.benchmark.scores import ImageKey, by_image, main_score, photos, rounded

PREFERRED = ("annotation", "clean", "everything")
"""Which protocol opens a report: what is left of a model's use, before what changed in its answers."""


def headline_of(cells: Sequence[Mapping[str, Any]], facts: Facts) -> int | None:
    """The number of the cell that a report opens with; None if no attack has a score.

    The plan's first attack on an undefended target, white box rather than transferred, on annotated masks rather than
    on the model's own answers, on the data set with most photos; of several such the first in the order of the tables.
    """

    def rank(number: int) -> tuple[bool | int, ...]:
        cell = cells[number]
        return (
            cell["attack"] not in facts.attacks[:1],
            cell["defence"] != NO_DEFENCE,
            not cell["white_box"],
            PREFERRED.index(cell["protocol"]),
            cell["adaptive"],
            -cell["photos"],
            number,
        )

    attacked = [i for i, cell in enumerate(cells) if cell["recipe"] not in CONTROLS and cell["photos"]]
    return min(attacked, key=rank, default=None)


def choose_examples(table: Table, headline: int | None) -> list[dict[str, Any]]:
    """The photos of the headline's cell with the lowest, the middle and the highest score; fewer if it has fewer."""
    if headline is None:
        return []
    rows = by_image(list(table.cells.values())[headline])
    scores = main_score(list(rows.values())).macro()
    ranked = sorted((value, image) for value, image in zip(scores.sums, photos(scores), strict=True))
    if not ranked:
        return []
    places = {"worst": 0, "median": len(ranked) // 2, "best": len(ranked) - 1}
    found: dict[ImageKey, dict[str, Any]] = {}
    for role in ("worst", "best", "median"):  # of two photos the middle one is one of the others
        value, image = ranked[places[role]]
        if image not in found:
            found[image] = _example(role, rows[image], table.before(rows[image]).get(image), value)
    return sorted(found.values(), key=lambda example: list(places).index(example["role"]))


def _example(role: str, row: Row, before: Row | None, value: float) -> dict[str, Any]:
    was = list(main_score([before]).macro().sums) if before is not None else []
    return {
        "role": role,
        "dataset": row.dataset,
        "image": row.image,
        "surrogate": row.surrogate,
        "attack": row.attack,
        "target": row.target,
        "protocol": row.protocol,
        "score": rounded(value),
        "score_before": rounded(was[0]) if was else None,
        "ious": _ious(row),
        "ious_before": _ious(before) if before is not None else [],
        "linf_255": row.made.get("linf_255"),
        "object": row.made.get("object"),
        **_shown(before, row),
    }


def _shown(before: Row | None, row: Row) -> dict[str, Any]:
    """The answers to draw; nothing where a run has kept none."""
    after = row.item.get("shown")
    if not after:
        return {}
    was = before.item.get("shown") if before is not None else None
    alike = was is not None and all(was[key] == after[key] for key in ("prompts", "size"))
    about = {"prompts": after["prompts"], "size": after["size"]}
    return {"shown": {**about, "before": was["counts"] if was and alike else None, "after": after["counts"]}}


def _ious(row: Row) -> list[float | None]:
    """Of every prompt, points first, as the manifest of prompts has them."""
    return list(row.item.get("prompts", {}).get("iou", []))
