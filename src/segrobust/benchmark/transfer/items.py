"""The items of a plan: a saved photo is shown to a target, and its answers are compared."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segrobust.benchmark.folder import Record
from segrobust.benchmark.items import annotation_beside
from segrobust.benchmark.transfer.folder import ITEM_SCHEMA, TransferFolder
from segrobust.benchmark.transfer.models import ModelFacts
from segrobust.benchmark.transfer.plan import TransferPlan
from segrobust.benchmark.transfer.subjects import Shot, Subject
from segrobust.errors import PhotoError
from segrobust.evaluation.evaluate import Reference, answer_ious, ask, right_answers
from segrobust.evaluation.metrics import max_linf_255
from segrobust.evaluation.prompts import prompts_from_json
from segrobust.io.images import read_image
from segrobust.models.base import Segmenter
from segrobust.types import Floats, Image, Masks, Prompts

Key = tuple[str, str]
"""A photo's name and the row."""


def blank_records(
    folder: TransferFolder, target: str, facts: ModelFacts, photos: Sequence[Subject]
) -> dict[Key, Record]:
    """What identifies the records of a target, by photo and row; a record that says otherwise is outdated."""
    return {
        (subject.stem, shot.row): _blank(folder.plan, subject, shot) | {"target": target, "target_sha256": facts.sha256}
        for subject in photos
        for shot in subject.shots
    }


def _blank(plan: TransferPlan, subject: Subject, shot: Shot) -> Record:
    return {
        "schema": ITEM_SCHEMA,
        "state": "done",
        "image": subject.stem,
        "photo": subject.path,
        "photo_sha256": subject.sha256,
        "row": shot.row,
        "surrogate": shot.surrogate,
        "attack": shot.attack,
        "scored": shot.file,
        "scored_sha256": shot.sha256,
        "prompts_sha256": subject.prompts_sha256,
        "protocol": plan.protocol,
        "epsilon": plan.eps,
        "seed": plan.seed,
    }


@dataclass(frozen=True, eq=False)
class Original:
    """A photo as a target sees it before the attack: the right answer to each prompt."""

    image: Image
    references: Mapping[str, Reference]


def open_original(model: Segmenter, subject: Subject) -> Original:
    """Read a photo and its prompts, and ask the target for its own answers.

    Raises:
        PhotoError: there are no prompts, or the photo or its annotation is not what was attacked.
    """
    if subject.prompts is None:
        raise PhotoError(str(subject.error))
    image = _read(Path(subject.path), subject.sha256)
    manifest = json.loads(subject.prompts)
    prompts = {kind: prompts_from_json(value) for kind, value in manifest["references"].items()}
    annotation = _annotation(image, prompts["annotation"]) if "annotation" in prompts else None
    return Original(image, right_answers(model, image, prompts, annotation))


def _annotation(image: Image, prompts: Prompts) -> Masks:
    masks, notes = annotation_beside(image.path or Path(), image)
    asked = max([*prompts.point_masks, *prompts.box_masks], default=-1)
    if masks is None or asked >= len(masks):
        raise PhotoError(f"the annotation beside {image.path} is not the one that the prompts ask for {notes}")
    return masks


def _read(path: Path, expected: str | None) -> Image:
    image = read_image(path)
    if image.fingerprint != expected:
        raise PhotoError(f"{path} is not the recorded photo (its pixels differ)")
    return image


def score_shot(folder: TransferFolder, model: Segmenter, original: Original, shot: Shot) -> Record:
    """Show a saved photo to a target: the IoU of every answer with every reference.

    The original is asked for again like any other photo, so a target that does not repeat itself is seen.

    Raises:
        PhotoError: there is no saved photo, or another one than recorded.
    """
    if shot.error is not None:
        raise PhotoError(shot.error)
    scored = original.image if shot.file is None else _read(folder.root / shot.file, shot.sha256)
    answers = ask(model, scored, {kind: ref.prompts for kind, ref in original.references.items()})
    fields: dict[str, Any] = {"max_linf_255": max_linf_255(original.image.pixels, scored.pixels)}
    for kind, reference in original.references.items():
        fields[f"{kind}_reference"] = _prompts(reference, answer_ious(reference, answers[kind]))
    return fields


def _prompts(reference: Reference, ious: Floats) -> Record:
    """IoU by prompt (null: skipped), and how many prompts have nothing as their right answer."""
    split = len(reference.prompts.points)
    values = [None if np.isnan(value) else float(value) for value in ious]
    empty = int(np.count_nonzero(reference.masks.areas == 0))
    return {"points": values[:split], "boxes": values[split:], "empty": empty}
