"""The items before a model is scored: photos and their prompts, and attacks, as they lie on disk."""

import hashlib
import json
from typing import Any

import numpy as np

from segrobust.attacks.recipes import attack
from segrobust.attacks.saving import within
from segrobust.benchmark.items import PROMPTS_SCHEMA
from segrobust.benchmark.plans.bench import Bench, halving
from segrobust.benchmark.plans.parts import ProtocolEntry
from segrobust.benchmark.plans.scoring import prompt_settings
from segrobust.benchmark.plans.variants import Shot
from segrobust.benchmark.records import number
from segrobust.benchmark.rows import NO_DEFENCE
from segrobust.defences.adaptive import adaptive
from segrobust.errors import PhotoError
from segrobust.evaluation.manifest import draw_manifest, manifest_to_json
from segrobust.evaluation.metrics import max_linf_255, psnr, ssim
from segrobust.io.datasets.base import Sample
from segrobust.models.base import WhiteBox, require_white_box
from segrobust.types import RLE, AttackResult, Budget, Image, Masks

Record = dict[str, Any]


def stat_of(sample: Sample) -> str:
    """What tells, without reading it, that a photo or its annotation has changed."""
    parts = []
    for file in (sample.photo, *sample.marks):
        try:
            status = file.path.stat()
            parts.append(f"{status.st_size}:{status.st_mtime_ns}:{file.offset}")
        except OSError:
            parts.append("missing")
    entry = hashlib.sha256(json.dumps(sample.entry, sort_keys=True, default=str).encode()).hexdigest()[:16]
    return " ".join([*parts, entry])


def prepare(bench: Bench, sample: Sample) -> Record:
    """Read a photo and draw its prompts; they are the same for every attack and every target.

    Returns:
        The record of the photo. Its prompts are by protocol; a protocol that the photo has none for is left out where
        it is not annotated, and holds the reason where the model found no masks.
    """
    image, plan = sample.image(), bench.plan
    asked: dict[str, Any] = {}
    for entry in plan.protocols:
        if entry.protocol == "everything":
            asked["everything"] = {}
        elif entry.protocol == "clean":
            asked["clean"] = _draw(plan.seed, image, entry, bench.clean_masks(plan.prompt_source, image))
            none = f"{plan.prompt_source} finds no masks on the photo, so there is nothing to ask for"
            asked["clean"] = asked["clean"] or {"error": none}
        elif (found := _annotation(bench, sample, image, entry)) is not None:
            asked["annotation"] = found
    manifest = {
        "schema": PROMPTS_SCHEMA,
        "image": sample.id,
        "photo_sha256": image.fingerprint,
        "seed": plan.seed,
        "prompts_from": plan.prompt_source,
        "references": asked,
    }
    return {"sha256": image.fingerprint, "state": "done", "error": None, "prompts": manifest}


def _annotation(bench: Bench, sample: Sample, image: Image, entry: ProtocolEntry) -> Record | None:
    """The prompts for annotated masks; None without any, and the reason where they cannot be read."""
    try:
        annotated = sample.annotation()
    except PhotoError as error:
        return {"error": str(error)}
    if annotated is None:
        return None
    return _draw(bench.plan.seed, image, entry, annotated.masks, annotated.void)  # they may all be empty


def _draw(seed: int, image: Image, entry: ProtocolEntry, masks: Masks, void: RLE | None = None) -> Record | None:
    """The prompts of a protocol, as JSON; None if there is nothing to ask for."""
    manifest = draw_manifest(masks, image, entry.protocol, seed=seed, settings=prompt_settings(entry), void=void)
    return manifest_to_json(manifest) if len(manifest.prompts) else None


def make(bench: Bench, image: Image, shot: Shot) -> Record:
    """Attack a photo and save what comes of it; the record says what is on disk.

    Raises:
        SegrobustError: the attack cannot be made on this photo.
    """
    name = shot.surrogate or bench.plan.surrogates[0]
    plain = require_white_box(bench.model(name))
    recipe = shot.variant.make()
    masks: Masks | None = bench.clean_masks(name, image) if "masks" in recipe.needs else None
    white = _adapted(plain, shot.adaptive, bench.plan.seed)
    notes: list[str] = []
    result = halving(
        lambda batch: attack(
            white,
            image,
            recipe,
            budget=shot.variant.epsilon,
            protocol=bench.plan.space,
            seed=bench.plan.seed,
            clean_masks=masks,
            encoder_batch=batch,
        ),
        lambda: white.views_at_a_time(8),
        notes,
    )
    saved = bench.folder.save(result.image.pixels)
    guide = bench.folder.save(result.guide) if result.guide is not None else None
    measured = file_part(bench, image, saved, shot)
    fields = {**measured, **attack_part(result, notes), "object": saved, "guide": guide}
    return {"state": "done", "error": None, "object": saved, "result": fields}


def _adapted(white: WhiteBox, defence: str, seed: int) -> WhiteBox:
    return white if defence == NO_DEFENCE else adaptive(white, defence, seed=seed)


def file_part(bench: Bench, image: Image, name: str, shot: Shot) -> Record:
    """What is on disk, compared with the original; ``inside``: whether it keeps the budget of its norm and band."""
    saved, band = bench.saved(name), shot.variant.make().band
    where = None
    if band is not None:
        where = band.share(bench.clean_masks(shot.surrogate or bench.plan.surrogates[0], image))
    change = (saved.pixels.astype(np.float64) - image.pixels) / 255
    return {
        "inside": within(image.pixels, saved.pixels, Budget.parse(shot.variant.epsilon), where),
        "linf_255": max_linf_255(image.pixels, saved.pixels),
        "l2": float(np.sqrt(np.square(change).sum())),
        "psnr": number(psnr(image.pixels, saved.pixels)),
        "ssim": number(ssim(image.pixels, saved.pixels)),
        "bytes": bench.folder.object(name).stat().st_size,
    }


def attack_part(result: AttackResult, notes: list[str]) -> Record:
    """How the attack went; no seconds, which are never the same twice."""
    return {
        "loss": [number(loss) for loss in result.loss],
        "encoder_forward": result.encoder_forward,
        "encoder_backward": result.encoder_backward,
        "queries": result.queries,
        "settings": dict(result.settings),
        "notes": [*result.notes, *notes],
        "float_to_8bit": None if result.float_to_8bit is None else number(result.float_to_8bit),
    }
