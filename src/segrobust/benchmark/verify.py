"""Read a run folder back, measure everything again, and say where the records differ from the files."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segrobust.attacks.recipes import settings_of
from segrobust.attacks.region import parse_region, region_mask
from segrobust.attacks.saving import within
from segrobust.benchmark.config import RunConfig
from segrobust.benchmark.folder import Record, RunFolder, existing_folder
from segrobust.benchmark.items import annotation_beside
from segrobust.benchmark.records import aggregate, base_record, score_fields
from segrobust.evaluation.evaluate import CleanSide, PromptSettings, evaluate, prompts_for, right_answers
from segrobust.evaluation.metrics import matched_miou
from segrobust.evaluation.prompts import prompts_from_json, prompts_to_json
from segrobust.io.images import read_image
from segrobust.io.sa1b import read_sa1b
from segrobust.models import load
from segrobust.models.base import Segmenter
from segrobust.types import Budget, Image, Masks

FROM_FILES = {"psnr": 1e-10, "ssim": 1e-10}
"""No model has a part in these, so they are the same everywhere: one changed pixel of ten megapixels shows."""


def verify(root: Path, *, tolerance: float = 1e-6, on_record: Callable[[str], None] = lambda _: None) -> list[str]:
    """Every difference between a run folder's records and its files; empty when there is none.

    Checked: the originals and adversarial photos are the recorded ones (sha256), and so are the weights; the budget
    holds between the photos (protocol ``strict``), and outside the region they are equal; every score and mask
    measured again from the files and the prompt manifest equals the record; the records are of this configuration;
    ``results.json`` follows from them; no record is missing, and no adversarial photo is without one.

    Args:
        root: the run folder.
        tolerance: allowed absolute difference of a score; another device may need more than the default.
        on_record: told the name of each record before it is measured.

    Raises:
        UsageError: not a run folder.
        ModelError: the model cannot be loaded.
    """
    folder, config = existing_folder(root)
    records, damaged = folder.read_samples()
    problems = [f"samples.jsonl has {damaged} lines that are no records"] if damaged else []
    problems += _check_table(folder, config, records) + _check_files(folder, config, records)
    model = load(config.model, **config.loading())
    sides: dict[str, CleanSide] = {}
    for record in (r for r in records if r["state"] == "done"):
        name = f"{record['image']} {record['attack']}"
        on_record(name)
        try:
            if record["image"] not in sides:
                sides = {record["image"]: _clean_side(folder, config, model, record)}  # one photo at a time in memory
            found = _check_record(folder, config, model, sides[record["image"]], record, tolerance)
            problems += [f"{name}: {problem}" for problem in found]
        except Exception as error:  # the files may hold anything by now
            reason = f"{type(error).__name__}: {error}" if isinstance(error, LookupError | TypeError) else str(error)
            problems.append(f"{name}: cannot be measured again: {' '.join(reason.split())}")
    return problems


def _check_table(folder: RunFolder, config: RunConfig, records: list[Record]) -> list[str]:
    """Whether the aggregates follow from the records."""
    if not folder.results.exists():
        return ["results.json is missing: the run was interrupted; the same 'segrobust attack' command continues it"]
    try:
        stored = json.loads(folder.results.read_text("utf-8"))
        same = stored == json.loads(json.dumps(aggregate(config, records)))
    except Exception as error:
        return [f"results.json cannot be compared with samples.jsonl: {type(error).__name__}: {error}"]
    return [] if same else ["results.json does not follow from samples.jsonl"]


def _check_files(folder: RunFolder, config: RunConfig, records: list[Record]) -> list[str]:
    """Whether every photo has all its records, and every adversarial photo one."""
    have = {(r["image"], r["attack"]) for r in records}
    stems = list(dict.fromkeys(r["image"] for r in records))
    problems = [f"{s} {row}: no record" for s in stems for row in config.rows() if (s, row) not in have]
    named = {folder.adversarial(stem, row) for stem, row in have}
    stray = sorted(file.name for file in (folder.root / "adv").glob("*.png") if file not in named)
    return problems + [f"adv/{name}: no record" for name in stray]


def _clean_side(folder: RunFolder, config: RunConfig, model: Segmenter, record: Record) -> CleanSide:
    """The shared side from what is on disk: original photo, saved masks, saved prompts; answers made anew."""
    path = Path(record["photo"])
    image = read_image(path)
    if image.fingerprint != record["photo_sha256"]:
        raise ValueError(f"{path} is not the photo that was attacked (its pixels differ)")
    manifest = json.loads(folder.prompts(record["image"]).read_text())
    prompts = {kind: prompts_from_json(value) for kind, value in manifest["references"].items()}
    masks = read_sa1b(folder.masks(record["image"]), size=image.size)
    plan, seed = PromptSettings(**config.prompts.model_dump()), config.seed
    for kind, asked in prompts.items():
        drawn = prompts_for(masks if kind == "clean" else _annotation(image), image, seed, kind, plan)
        if prompts_to_json(drawn) != prompts_to_json(asked):
            raise ValueError(f"the {kind} prompts in the manifest are not those that seed {seed} draws")
    annotation = _annotation(image) if "annotation" in prompts else None
    return CleanSide(image, masks, right_answers(model, image, prompts, annotation))


def _annotation(image: Image) -> Masks:
    annotation, notes = annotation_beside(image.path or Path(), image)
    if annotation is None:
        raise ValueError(f"the annotation beside {image.path} is gone or unreadable {notes}")
    return annotation


def _check_record(
    folder: RunFolder, config: RunConfig, model: Segmenter, clean: CleanSide, record: Record, tolerance: float
) -> list[str]:
    circumstances = json.loads((folder.root / "run.json").read_text("utf-8"))
    settings = type(model.everything)(**circumstances["everything"])
    sha256 = getattr(model, "fingerprint", "")
    fresh = base_record(config, sha256, record["image"], record["photo"], clean.image, record["attack"])
    problems = differences(fresh, record, 0)
    if record["attack"] != "clean" and record["settings"] != json.loads(
        json.dumps(settings_of(config.recipe(record["attack"])))
    ):
        problems.append("its settings are not those of the configuration")
    if record["adversarial"] is None:
        scored = clean.image
    else:
        scored = read_image(folder.root / record["adversarial"])
        if scored.fingerprint != record["adversarial_sha256"]:
            return [*problems, f"{record['adversarial']} is not the recorded photo (its pixels differ)"]
    scores, found = evaluate(model, clean, scored, everything=settings)
    problems += differences(json.loads(json.dumps(score_fields(scores))), record, tolerance)
    if record["adversarial"] is not None:
        file = folder.masks(record["image"], record["attack"])
        saved = read_sa1b(file, size=scored.size)
        if len(saved) != len(found) or (len(saved) and matched_miou(saved, found) < 1 - tolerance):
            problems.append(f"masks/{file.name} holds other masks than the model finds")
    budget = Budget.parse(config.eps)
    band = None if record["attack"] == "clean" else config.recipe(record["attack"]).band
    share = None if band is None else band.share(clean.masks)
    if config.protocol == "strict" and not within(clean.image.pixels, scored.pixels, budget, share):
        allowed = f"{budget.levels}/255" if budget.norm == "linf" else str(budget)
        problems.append(f"the budget is broken: max |difference| is {scores.max_linf_255}/255, allowed {allowed}")
    return problems + _check_region(config, model, clean.image, scored)


def _check_region(config: RunConfig, model: Segmenter, original: Image, scored: Image) -> list[str]:
    """Whether the photo is the original outside the region that the run was limited to."""
    if config.within is None:
        return []
    region = region_mask(model, original, parse_region(config.within).of(original))
    outside = int(((scored.pixels != original.pixels).any(axis=2) & ~region).sum())
    return [f"{outside} pixels outside {config.within} are not the original's"] if outside else []


def differences(measured: Any, recorded: Any, tolerance: float, name: str = "") -> list[str]:
    """Fields whose values differ, by path."""
    if isinstance(measured, dict):
        found = []
        for key, value in measured.items():
            there = recorded.get(key) if isinstance(recorded, dict) else None
            found += differences(value, there, tolerance, f"{name}.{key}" if name else key)
        return found
    if isinstance(measured, list) and isinstance(recorded, list) and len(measured) == len(recorded):
        pairs = enumerate(zip(measured, recorded, strict=True))
        return [problem for i, (a, b) in pairs for problem in differences(a, b, tolerance, f"{name}[{i}]")]
    if isinstance(measured, float) and isinstance(recorded, float | int):
        same = math.isclose(measured, recorded, rel_tol=0, abs_tol=min(tolerance, FROM_FILES.get(name, tolerance)))
    else:
        same = measured == recorded
    return [] if same else [f"{name} is {measured}, the record says {recorded}"]
