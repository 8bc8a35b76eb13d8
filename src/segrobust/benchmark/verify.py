"""Read a run folder back, measure everything again, and say where the records differ from the files."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from segrobust.benchmark.config import RunConfig
from segrobust.benchmark.folder import Record, RunFolder, existing_folder
from segrobust.benchmark.records import aggregate, score_fields
from segrobust.benchmark.run import annotation_beside
from segrobust.errors import SegrobustError
from segrobust.evaluation.evaluate import CleanSide, Reference, answer, evaluate
from segrobust.evaluation.prompts import prompts_from_json
from segrobust.io.images import read_image
from segrobust.io.sa1b import read_sa1b
from segrobust.models import load
from segrobust.models.base import WhiteBox
from segrobust.types import Budget, Image, Prompts

Complain = Callable[[str], None]


def verify(root: Path, *, tolerance: float = 1e-6, on_record: Callable[[str], None] = lambda _: None) -> list[str]:
    """Every difference between a run folder's records and its files; empty when there is none.

    Checked: the originals and adversarial photos are the recorded ones (sha256), the budget holds between them
    (protocol ``strict``), every score measured again from the files and the prompt manifest equals the record,
    ``results.json`` follows from the records, and no record is missing.

    Args:
        root: the run folder.
        tolerance: allowed absolute difference of a score; another device may need more than the default.
        on_record: told the name of each record before it is measured.

    Raises:
        UsageError: not a run folder.
        ModelError: the model cannot be loaded.
    """
    folder, config = existing_folder(root)
    problems: list[str] = []
    records = folder.read_samples()
    done = [r for r in records if r["state"] == "done"]
    problems += _check_table(folder, config, records)
    model = load(config.model, device=config.device, dtype=config.dtype)
    sides: dict[str, CleanSide] = {}
    for record in done:
        name = f"{record['image']} {record['attack']}"
        on_record(name)
        try:
            if record["image"] not in sides:
                sides = {record["image"]: _clean_side(folder, model, record)}  # one photo at a time in memory
            problems += [
                f"{name}: {p}" for p in _check_record(folder, config, model, sides[record["image"]], record, tolerance)
            ]
        except (SegrobustError, OSError, KeyError, ValueError) as error:
            problems.append(f"{name}: cannot be measured again: {error}")
    return problems


def _check_table(folder: RunFolder, config: RunConfig, records: list[Record]) -> list[str]:
    problems = []
    if not folder.results.exists():
        return ["results.json is missing: the run was interrupted; the same 'segrobust attack' command continues it"]
    stored = json.loads(folder.results.read_text())
    if stored != json.loads(json.dumps(aggregate(config, records))):
        problems.append("results.json does not follow from samples.jsonl")
    stems = list(dict.fromkeys(r["image"] for r in records))
    have = {(r["image"], r["attack"]) for r in records}
    problems += [f"{s} {row}: no record" for s in stems for row in config.rows() if (s, row) not in have]
    return problems


def _clean_side(folder: RunFolder, model: WhiteBox, record: Record) -> CleanSide:
    """The shared side from what is on disk: original photo, saved masks, saved prompts; answers made anew."""
    path = Path(record["photo"])
    image = read_image(path)
    if image.fingerprint != record["photo_sha256"]:
        raise ValueError(f"{path} is not the photo that was attacked (its pixels differ)")
    manifest = json.loads(folder.prompts(record["image"]).read_text())
    prompts = {kind: prompts_from_json(value) for kind, value in manifest["references"].items()}
    masks = read_sa1b(folder.masks(record["image"]), size=image.size)
    references = {kind: _reference(model, kind, path, image, asked) for kind, asked in prompts.items()}
    return CleanSide(image, masks, references)


def _reference(model: WhiteBox, kind: str, path: Path, image: Image, prompts: Prompts) -> Reference:
    if kind == "clean":
        return Reference(kind, prompts, answer(model, image, prompts))
    annotation, notes = annotation_beside(path, image)
    if annotation is None:
        raise ValueError(f"the annotation beside {path} is gone or unreadable {notes}")
    which = np.concatenate([prompts.point_masks, prompts.box_masks])
    return Reference(kind, prompts, annotation.select(which))


def _check_record(
    folder: RunFolder, config: RunConfig, model: WhiteBox, clean: CleanSide, record: Record, tolerance: float
) -> list[str]:
    everything = json.loads((folder.root / "run.json").read_text())["everything"]
    settings = type(model.everything)(**everything)
    if record["adversarial"] is None:
        scored = clean.image
    else:
        scored = read_image(folder.root / record["adversarial"])
        if scored.fingerprint != record["adversarial_sha256"]:
            return [f"{record['adversarial']} is not the recorded photo (its pixels differ)"]
    scores, _ = evaluate(model, clean, scored, everything=settings)
    problems = _differences(json.loads(json.dumps(score_fields(scores))), record, tolerance)
    levels = Budget.parse(config.eps).levels
    if config.protocol == "strict" and scores.max_linf_255 > levels:
        problems.append(f"the budget is broken: max |difference| is {scores.max_linf_255}/255, allowed {levels}/255")
    return problems


def _differences(measured: Any, recorded: Any, tolerance: float, name: str = "") -> list[str]:
    """Fields whose values differ, by path."""
    if isinstance(measured, dict):
        found = []
        for key, value in measured.items():
            there = recorded.get(key) if isinstance(recorded, dict) else None
            found += _differences(value, there, tolerance, f"{name}.{key}" if name else key)
        return found
    if isinstance(measured, float) and isinstance(recorded, float | int):
        same = math.isclose(measured, recorded, rel_tol=0, abs_tol=tolerance)
    else:
        same = measured == recorded
    return [] if same else [f"{name} is {measured}, the record says {recorded}"]
