"""The aggregates of a plan: a pure function of its targets' records."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from segrobust.benchmark.folder import Record
from segrobust.benchmark.records import number, prompt_fields
from segrobust.benchmark.transfer.models import ModelFacts, facts_to_json, same_model
from segrobust.benchmark.transfer.plan import TransferPlan
from segrobust.evaluation.metrics import summarise
from segrobust.types import Floats

RESULTS_SCHEMA = "segrobust.transfer/1"
USEFUL = 0.5
"""A prompt whose IoU with the annotation is at most this on the original photo was never answered well."""


def aggregate_transfer(
    plan: TransferPlan, facts: dict[str, ModelFacts], records: Mapping[str, Sequence[Record]]
) -> Record:
    """The numbers behind the tables.

    Args:
        plan: what was run.
        facts: about its models.
        records: all of them, by target.
    """
    every = [record for target in plan.targets for record in records[target]]
    names = dict.fromkeys((r["surrogate"], r["attack"]) for r in every)
    rows = [
        {
            "surrogate": surrogate,
            "attack": attack,
            "target": target,
            "white_box": surrogate is not None and same_model(facts, surrogate, target),
            **_cell(surrogate, attack, records[target]),
        }
        for surrogate, attack in names
        for target in plan.targets
    ]
    return {
        "schema": RESULTS_SCHEMA,
        **{key: getattr(plan, key) for key in ("protocol", "seed", "dtype", "autocast", "points_per_side")},
        "epsilon": plan.eps,
        "parameters": dict(plan.parameters),
        "prompts_per_photo": plan.prompts.model_dump(),
        "prompts_from": plan.prompt_source,
        "photos": len({r["image"] for r in every}),
        "surrogates": list(plan.surrogates),
        "targets": list(plan.targets),
        "models": facts_to_json(facts),
        "higher_is_better": {"miou": True, "asr50": False, "asr10": False, "drop": False},
        "rows": rows,
        "failures": [_failure(r) for r in every if r["state"] == "failed"],
    }


def _failure(record: Record) -> Record:
    photo = PurePath(record["photo"]).name
    return {"photo": photo, **{key: record[key] for key in ("image", "row", "target", "error")}}


def _cell(surrogate: str | None, attack: str, records: Sequence[Record]) -> Record:
    """One target's scores in one row, with those of the same photos before the attack."""
    here = [r for r in records if (r["surrogate"], r["attack"]) == (surrogate, attack)]
    originals = {r["image"]: r for r in records if r["surrogate"] is None and r["state"] == "done"}
    done = [r for r in here if r["state"] == "done" and r["image"] in originals]
    cell: Record = {"photos": len(done), "failed": len(here) - len(done)}
    if done:
        cell["max_linf_255"] = max(r["max_linf_255"] for r in done)
    for kind in ("annotation_reference", "clean_reference"):
        pairs = [(r[kind], originals[r["image"]][kind]) for r in done if kind in r]
        if pairs:
            cell[kind] = _reference([after for after, _ in pairs], [before for _, before in pairs])
            cell[kind]["photos"] = len(pairs)
            cell[kind]["empty"] = sum(after["empty"] for after, _ in pairs)
    return cell


def _reference(after: Sequence[Record], before: Sequence[Record]) -> dict[str, Any]:
    """Micro averages over prompts, and the same of the prompts that were answered well before the attack."""
    scores: dict[str, Any] = {}
    for part, kinds in (("all", ("points", "boxes")), ("points", ("points",)), ("boxes", ("boxes",))):
        now, then = _ious(after, kinds), _ious(before, kinds)
        useful = now[then > USEFUL]  # NaN is not above: a skipped prompt stays out
        scores[part] = prompt_fields(summarise(now))
        scores[part]["drop"] = number(summarise(then).miou - summarise(now).miou)
        scores[part]["conditional"] = {"n": int(useful.size), "asr50": number(summarise(useful).asr50)}
    return scores


def _ious(scores: Sequence[Record], kinds: Sequence[str]) -> Floats:
    values = [value for score in scores for kind in kinds for value in score[kind]]
    return np.array([np.nan if value is None else value for value in values], np.float64)
