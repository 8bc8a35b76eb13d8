"""results.json: the aggregates of a run, a pure function of its rows and facts. No times: they differ every time."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from segrobust.benchmark.cells import Table, tabulate
from segrobust.benchmark.checks import run_checks
from segrobust.benchmark.comparisons import differences
from segrobust.benchmark.examples import choose_examples, headline_of
from segrobust.benchmark.facts import Facts
from segrobust.benchmark.rows import CLEAN, Cell, Row
from segrobust.benchmark.scores import (
    DISPLACEMENT,
    QUALITY,
    image_key,
    interval,
    main_score,
    mean,
    photo_score,
    photos,
    prompt_score,
    rounded,
)
from segrobust.evaluation.statistics import EVERYTHING, LEVEL, RESAMPLES, SIZES, SUCCESS, USEFUL, Sums
from segrobust.types import Budget

SCHEMA = "segrobust.results/2"
FILES = ("psnr", "ssim", "l2", "bytes")
COST = ("encoder_forward", "encoder_backward")


def aggregate(rows: Iterable[Row], facts: Facts) -> dict[str, Any]:
    """The aggregates of a run.

    Args:
        rows: of the whole run, in any order.
        facts: what the run knows about itself.

    Returns:
        What docs/results.schema.json describes; the same rows and facts give the same bytes.
    """
    table = tabulate(rows, facts)
    seed = facts.seed
    every = [row for cell in table.cells.values() for row in cell]
    cells = [_cell(table, cell, seed) for cell in table.cells]
    headline = headline_of(cells, facts)
    return {
        "schema": SCHEMA,
        "facts": facts.to_dict(),
        "intervals": {"level": LEVEL, "resamples": RESAMPLES, "drawn": "photos"},
        "definitions": {
            "sizes": {name: [low, high if math.isfinite(high) else None] for name, (low, high) in SIZES.items()},
            "useful_above": USEFUL,
            "higher_is_better": {"miou": True, "asr50": False, "asr10": False, "matched_miou": True, "map": True},
        },
        "photos": len({image_key(row) for row in every}),
        "headline": headline,
        "cells": cells,
        "differences": differences(table, facts),
        "examples": choose_examples(table, headline),
        "checks": [finding.to_dict() for finding in run_checks(every, facts)],
        "failures": [_failure(row) for row in every if not row.done],
    }


def to_json(results: Mapping[str, Any]) -> str:
    """The text of results.json: the same values give the same bytes."""
    return json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _failure(row: Row) -> dict[str, Any]:
    names = ("dataset", "image", "surrogate", "attack", "target", "defence", "protocol", "adaptive", "error")
    return {name: getattr(row, name) for name in names}


def _cell(table: Table, cell: Cell, seed: int) -> dict[str, Any]:
    rows, first = table.done(cell), table.cells[cell][0]
    names = ("dataset", "surrogate", "attack", "recipe", "epsilon", "target", "defence", "protocol", "adaptive")
    found: dict[str, Any] = {
        **{name: getattr(first, name) for name in names},
        "parameters": dict(sorted(first.parameters.items())),
        "levels": levels(first.epsilon),
        "white_box": first.white_box,
        "photos": len(rows),
        "failed": len(table.cells[cell]) - len(rows),
    }
    if rows:
        found |= _everything(rows, seed) if first.protocol == "everything" else _prompts(table, rows, seed)
        found["per_image"] = _per_image(main_score(rows))
        if first.attack != CLEAN:
            found |= _made(rows)
    return found


def levels(epsilon: str) -> float | None:
    """A budget in levels of 255, which is what a curve is drawn over; None for a norm that is not of single values."""
    budget = Budget.parse(epsilon)
    return None if budget.norm == "l2" else float(budget.epsilon * 255)


def _prompts(table: Table, rows: Sequence[Row], seed: int) -> dict[str, Any]:
    def part(name: str) -> dict[str, Any]:
        sums = {measure: prompt_score(rows, measure, name) for measure in ("miou", *SUCCESS)}
        return {"n": _n(sums["miou"]), **{measure: interval(value, seed) for measure, value in sums.items()}}

    useful = prompt_score(rows, "asr50", originals=table.before(rows[0]))
    asked, scored = sum(len(row.item["prompts"]["iou"]) for row in rows), prompt_score(rows, "miou")
    return {
        "prompts": _n(scored),
        "skipped": asked - _n(scored),
        "empty": sum(row.item.get("empty", 0) for row in rows),
        **{name: part(name) for name in ("all", "points", "boxes")},
        "sizes": {name: part(name) for name in SIZES},
        "macro": {"miou": interval(scored.macro(), seed)},
        "conditional": {"n": _n(useful), "asr50": interval(useful, seed)},
        "quality": {name: interval(prompt_score(rows, name), seed) for name in QUALITY},
        **_displacement(rows, seed),
    }


def _displacement(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """How far outlines moved, in pixels, over the prompts where both masks are there; ``n`` says how many those are."""
    if not any(DISPLACEMENT in row.item["prompts"] for row in rows):
        return {}
    moved = prompt_score(rows, DISPLACEMENT)
    return {DISPLACEMENT: {"n": _n(moved), **interval(moved, seed)}}


def _n(score: Sums) -> int:
    return int(score.counts.sum())


def _everything(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    return {"everything": {name: interval(photo_score(rows, name), seed) for name in EVERYTHING}}


def _per_image(sums: Sums) -> dict[str, Any]:
    """What a comparison with another run, and a histogram, need of each photo."""
    return {
        "image": [image for _, image in photos(sums)],
        "n": [int(count) for count in sums.counts],
        "score": [rounded(value) for value in sums.macro().sums],
    }


def _made(rows: Sequence[Row]) -> dict[str, Any]:
    """What lies on disk, and what it cost."""
    largest = [row.made["linf_255"] for row in rows if row.made.get("linf_255") is not None]
    files: dict[str, Any] = {"linf_255": max(largest, default=None)}
    for name in FILES:
        files[name] = mean([row.made[name] for row in rows if row.made.get(name) is not None])
    return {"files": files, "cost": {name: sum(int(row.made.get(name) or 0) for row in rows) for name in COST}}
