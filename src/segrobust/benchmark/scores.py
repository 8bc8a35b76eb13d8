"""Rows of one cell to scores and intervals: the bridge from rows to :mod:`segrobust.evaluation.statistics`."""

import math
from collections.abc import Mapping, Sequence
from typing import cast

from segrobust.benchmark.rows import Row
from segrobust.evaluation.statistics import Estimate, Sums, estimate, photo_sums, prompt_sums

DIGITS = 6
"""Digits in results: the last bits of a sum belong to the machine, not to the model."""

QUALITY = ("precision", "recall", "f1", "boundary_iou")
DISPLACEMENT = "displacement"
"""Runs made before it was measured have none; so it is no part of what every cell has."""

ImageKey = tuple[str, str]
Interval = dict[str, float | None]


def image_key(row: Row) -> ImageKey:
    """A photo, unique in a run."""
    return row.dataset, row.image


def by_image(rows: Sequence[Row]) -> dict[ImageKey, Row]:
    """The rows of a cell that have a score, by photo."""
    return {image_key(row): row for row in rows if row.done}


def prompt_score(
    rows: Sequence[Row], measure: str, part: str = "all", originals: Mapping[ImageKey, Row] | None = None
) -> Sums:
    """A score of the prompts of a cell's rows.

    Args:
        rows: of one cell of a prompt protocol.
        measure: see :func:`segrobust.evaluation.statistics.prompt_sums`.
        part: see there.
        originals: the rows of the original photos; with them, only prompts that were answered well there count. One
            that was asked other prompts is no comparison and counts as missing; a check reports it.
    """
    items = {image: row.item for image, row in by_image(rows).items()}
    if measure in (*QUALITY, DISPLACEMENT):  # measured only where somebody asked for it
        items = {image: item for image, item in items.items() if measure in item["prompts"]}
    before = None
    if originals is not None:
        before = {image: row.item for image, row in originals.items() if _same_prompts(row, items.get(image))}
    return prompt_sums(items, measure, part, before)


def photo_score(rows: Sequence[Row], field: str) -> Sums:
    """A score with one value for each photo."""
    return photo_sums({image: {field: row.item.get(field)} for image, row in by_image(rows).items()}, field)


def photos(score: Sums) -> list[ImageKey]:
    """The photos of a score made here, whose names are keys of photos."""
    return [cast(ImageKey, image) for image in score.images]


def main_score(rows: Sequence[Row]) -> Sums:
    """The score that cells are compared by: mean IoU of the prompts, or of matched masks."""
    everything = bool(rows) and rows[0].protocol == "everything"
    return photo_score(rows, "matched_miou") if everything else prompt_score(rows, "miou")


def interval(score: Sums, seed: int) -> Interval:
    """The micro average with its interval, as it is written to results.json."""
    return plain(estimate(score, seed=seed))


def plain(found: Estimate) -> Interval:
    """An estimate as plain values."""
    return {"value": rounded(found.value), "low": rounded(found.low), "high": rounded(found.high)}


def rounded(value: float) -> float | None:
    """As it is written: None for what is not a number, no minus zero."""
    return round(float(value), DIGITS) + 0.0 if math.isfinite(value) else None


def mean(values: Sequence[float]) -> float | None:
    """A plain mean, as it is written."""
    return rounded(math.fsum(values) / len(values)) if values else None


def _same_prompts(row: Row, item: Mapping[str, object] | None) -> bool:
    if item is None:
        return False
    mine, other = row.item["prompts"], item["prompts"]
    return bool(isinstance(other, Mapping) and all(mine[column] == other[column] for column in ("kind", "mask")))
