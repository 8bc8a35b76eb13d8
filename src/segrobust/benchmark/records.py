"""Records: one photo and one attack; and their aggregates."""

import math
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from segrobust.attacks.recipes import Protocol
from segrobust.benchmark.config import RunConfig
from segrobust.benchmark.folder import SAMPLES_SCHEMA, Record
from segrobust.errors import SegrobustError
from segrobust.evaluation.evaluate import PartScores, Scores
from segrobust.evaluation.metrics import PromptScores
from segrobust.models.registry import provenance
from segrobust.types import AttackResult, Image

RESULTS_SCHEMA = "segrobust.results/1"


def base_record(config: RunConfig, model_sha256: str, stem: str, path: str, image: Image | None, attack: str) -> Record:
    """What identifies a record, done or failed."""
    protocol: Protocol = config.protocol
    return {
        "schema": SAMPLES_SCHEMA,
        "state": "done",
        "image": stem,
        "photo": path,
        "photo_sha256": image.fingerprint if image else None,
        "size": list(image.size) if image else None,
        "attack": attack,
        "model": config.model,
        "model_sha256": model_sha256,
        "protocol": protocol,
        "epsilon": config.eps,
        "within": config.within,
        "seed": config.seed,
    }


def failed(record: Record, error: Exception | None) -> Record:
    """The record of an item that could not be done; the reason is one line."""
    kind = type(error).__name__
    reason = " ".join(str(error).split())
    if not isinstance(error, SegrobustError):  # the message alone, e.g. of a KeyError, says little
        reason = f"{kind}: {reason}" if reason else kind
    return {**record, "state": "failed", "error": reason, "error_kind": kind}


def score_fields(scores: Scores) -> Record:
    """The measured part of a record; ``verify`` measures it again and compares."""
    clean = scores.references["clean"]
    pooled = clean["all"]
    fields: Record = {
        "max_linf_255": scores.max_linf_255,
        "psnr": number(scores.psnr),
        "ssim": number(scores.ssim),
        "prompts": pooled.n,
        "miou_clean_reference": number(pooled.miou),
        "asr50": number(pooled.asr50),
        "asr10": number(pooled.asr10),
        "clean_reference": _reference(clean),
        "masks_clean": scores.masks_clean,
        "masks_found": scores.masks_found,
        "masks_matched_miou": number(scores.masks_matched_miou),
    }
    if "annotation" in scores.references:
        fields["annotation_reference"] = _reference(scores.references["annotation"])
    return fields


def attack_fields(result: AttackResult | None) -> Record:
    """What the attack cost and how it went; nothing for the clean row."""
    if result is None:
        return {"encoder_forward": 0, "encoder_backward": 0, "queries": 0, "seconds": 0.0, "notes": []}
    return {
        "encoder_forward": result.encoder_forward,
        "encoder_backward": result.encoder_backward,
        "queries": result.queries,
        "seconds": round(result.seconds, 3),
        "loss_first": number(result.loss[0]) if result.loss else None,
        "loss_last": number(result.loss[-1]) if result.loss else None,
        "notes": list(result.notes),
        "settings": result.settings,
    }


def _reference(scores: PartScores) -> Record:
    return {part: prompt_fields(value) for part, value in scores.items()}


def prompt_fields(scores: PromptScores) -> Record:
    """Scores of prompts as plain values."""
    return {
        "n": scores.n,
        "skipped": scores.skipped,
        "miou": number(scores.miou),
        "asr50": number(scores.asr50),
        "asr10": number(scores.asr10),
    }


def number(value: float) -> float | None:
    """JSON has no NaN and no infinity: None (an identical photo has PSNR infinity)."""
    return float(value) if math.isfinite(value) else None


def aggregate(config: RunConfig, records: Sequence[Record]) -> Record:
    """The table of a run: micro averages over prompts, plain means over photos for the rest."""
    photos = list(dict.fromkeys(r["image"] for r in records))
    rows = [_row(name, [r for r in records if r["attack"] == name]) for name in config.rows()]
    return {
        "schema": RESULTS_SCHEMA,
        "model": config.model,
        "licence": provenance(config.model)["licence"],
        "parameters": dict(config.parameters),
        "dtype": config.dtype,
        "autocast": config.autocast,
        "points_per_side": config.points_per_side,
        "protocol": config.protocol,
        "epsilon": config.eps,
        "seed": config.seed,
        "photos": len(photos),
        "prompts_per_photo": config.prompts.model_dump(),
        "higher_is_better": {"miou": True, "asr50": False, "asr10": False},
        "rows": rows,
        "failures": [
            {"image": r["image"], "photo": PurePath(r["photo"]).name, "attack": r["attack"], "error": r["error"]}
            for r in records
            if r["state"] == "failed"
        ],
    }


def _row(name: str, records: Sequence[Record]) -> Record:
    done = [r for r in records if r["state"] == "done"]
    row: Record = {"attack": name, "photos": len(done), "failed": len(records) - len(done)}
    if not done:
        return row
    for kind in ("clean_reference", "annotation_reference"):
        having = [r[kind] for r in done if kind in r]
        if having:
            row[kind] = {part: _pool([h[part] for h in having]) for part in ("all", "points", "boxes")}
            row[kind]["photos"] = len(having)
    row["max_linf_255"] = max(r["max_linf_255"] for r in done)
    for key in ("psnr", "ssim", "masks_clean", "masks_found", "masks_matched_miou", "seconds"):
        values = [r[key] for r in done if r[key] is not None]
        row[key] = float(np.mean(values)) if values else None
    row["encoder_forward"] = sum(r["encoder_forward"] for r in done)
    row["encoder_backward"] = sum(r["encoder_backward"] for r in done)
    return row


def _pool(parts: Sequence[Record]) -> dict[str, Any]:
    """Micro average: every prompt counts the same."""
    counts = np.array([p["n"] for p in parts])
    pooled: dict[str, Any] = {"n": int(counts.sum()), "skipped": int(sum(p["skipped"] for p in parts))}
    for key in ("miou", "asr50", "asr10"):
        values = np.array([p[key] if p["n"] else 0.0 for p in parts], np.float64)
        pooled[key] = float((values * counts).sum() / counts.sum()) if counts.sum() else None
    return pooled
