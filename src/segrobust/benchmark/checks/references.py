"""Is it compared with the right thing? Clean scores, references, and defences that nobody tried to get around."""

from collections.abc import Iterator
from typing import Any

from segrobust.benchmark.cells import Table
from segrobust.benchmark.checks.base import place_of
from segrobust.benchmark.facts import Facts
from segrobust.benchmark.rows import CLEAN, NO_DEFENCE, Row
from segrobust.benchmark.scores import by_image, main_score, prompt_score
from segrobust.evaluation.statistics import estimate

Found = Iterator[tuple[str, str]]

MEANINGFUL = 0.5
"""Mean IoU with the annotation below which a model has little to lose."""

FEW = 20
"""Photos; below, a percentile bootstrap is too narrow."""


def clean_score(table: Table, facts: Facts) -> Found:
    """On the original photos the model scores so low that an attack has little to take away."""
    for _, rows in _originals(table):
        if rows[0].protocol == "annotation":
            found = estimate(prompt_score(rows, "miou"), seed=facts.seed)
            if found.value < MEANINGFUL:
                yield f"mIoU {found.value:.3f} on the original photos", place_of(rows[0])


def two_clean_passes(table: Table, facts: Facts) -> Found:
    """The same model answers differently when it is shown the same original twice."""
    for _, rows in _originals(table):
        if rows[0].protocol == "annotation" or rows[0].defence != NO_DEFENCE:  # random defences may
            continue
        differing = [image for image, row in by_image(rows).items() if any(iou < 1 for iou in _ious(row))]
        if differing:
            count = f"{len(differing)} of {len(rows)} originals"
            yield f"{count} are not answered as they were before, e.g. {differing[0][1]}", place_of(rows[0])


def reference_mixed_up(table: Table, facts: Facts) -> Found:
    """The masks that answers are compared with are not those of the original photo."""
    for cell, rows in table.cells.items():
        done = [row for row in rows if row.done]
        if not done:
            continue
        before = table.before(done[0])
        changed = [row.image for row in done if _other_reference(row, before.get((row.dataset, row.image)))]
        if changed:
            yield f"other prompts or reference masks than for the original on {changed[0]}", place_of(done[0])
        ious = [iou for row in done for iou in _ious(row)]
        if not ious or min(ious) < 1:
            continue
        if cell[2] != CLEAN and all((row.made.get("linf_255") or 0) > 0 for row in done):
            yield "every answer on changed photos is the reference itself, to the pixel", place_of(done[0])
        if done[0].recipe == CLEAN and done[0].protocol == "annotation":
            yield "every answer on the original is the annotation itself, to the pixel", place_of(done[0])


def adaptive_missing(table: Table, facts: Facts) -> Found:
    """A defence was only shown attacks that did not know it."""
    knowing: dict[tuple[str, str, str], bool] = {}
    for _, rows in table.attacks():
        first = rows[0]
        if first.defence != NO_DEFENCE:
            key = (first.dataset, first.target, first.defence)
            knowing[key] = knowing.get(key, False) or first.adaptive
    for (dataset, target, defence), tried in knowing.items():
        if not tried:
            yield f"{defence} was only tried against attacks that do not know it", f"{dataset}, {target}"


def failed_rows(table: Table, facts: Facts) -> Found:
    """Items failed, so the rows of a table stand on different photos."""
    for rows in table.cells.values():
        failed = [row for row in rows if not row.done]
        if failed:
            yield (
                f"{len(failed)} of {len(rows)} photos failed, e.g. {failed[0].image}: {failed[0].error}",
                place_of(failed[0]),
            )


def few_photos(table: Table, facts: Facts) -> Found:
    """So few photos that the intervals themselves are too narrow."""
    photos = {(row.dataset, row.image) for rows in table.cells.values() for row in rows if row.done}
    if 0 < len(photos) < FEW:
        yield f"{len(photos)} photo{'s' if len(photos) > 1 else ''}", "run"


def _originals(table: Table) -> Iterator[tuple[Any, list[Row]]]:
    for cell, rows in table.cells.items():
        if rows[0].recipe == CLEAN and (done := table.done(cell)):
            yield cell, done


def _ious(row: Row) -> list[float]:
    """What a row's answers were compared by, as one list of numbers."""
    if row.protocol == "everything":
        return list(main_score([row]).sums)
    return [iou for iou in row.item["prompts"]["iou"] if iou is not None]


def _other_reference(row: Row, original: Row | None) -> bool:
    if original is None:
        return False
    if row.protocol == "everything":
        return bool(row.item.get("masks_clean") != original.item.get("masks_clean"))
    mine, other = row.item["prompts"], original.item["prompts"]
    return any(mine[column] != other[column] for column in ("kind", "mask", "area"))
