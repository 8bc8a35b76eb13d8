"""The items of a target: a saved photo is shown to it, and its answers are compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from segrobust.benchmark.plans.bench import Bench, halving
from segrobust.benchmark.plans.plan import Plan
from segrobust.benchmark.rows import NO_DEFENCE
from segrobust.defences.defended import defend
from segrobust.errors import NoMasksError, PhotoError
from segrobust.evaluation.evaluate import Reference, answer_ious, ask
from segrobust.evaluation.metrics import matched_miou
from segrobust.evaluation.prompts import by_predicted_iou, prompts_from_json
from segrobust.io.datasets.base import Sample
from segrobust.models.base import EverythingSettings, Segmenter
from segrobust.regions.everything import segment_everything
from segrobust.types import Image, Masks, Prompts

Record = dict[str, Any]
Outcome = Record | Exception


@dataclass(frozen=True, eq=False)
class Original:
    """A photo as a target, behind a defence, sees it before the attack: what is right there.

    Attributes:
        image: the photo.
        references: what is right for each prompt, by protocol.
        masks: what segment everything finds; None if nobody asks.
        wrong: why a protocol cannot be scored, by protocol.
    """

    image: Image
    references: Mapping[str, Reference]
    masks: Masks | None
    wrong: Mapping[str, str]


def behind(bench: Bench, model: Segmenter, defence: str) -> Segmenter:
    """A target behind a defence."""
    return model if defence == NO_DEFENCE else defend(model, defence, bench.plan.seed)


def open_original(bench: Bench, model: Segmenter, sample: Sample, photo: Record) -> Original:
    """Ask a target for its own answers on the original.

    Raises:
        PhotoError: the photo or its annotation is not what was prepared.
    """
    image = bench.photo(sample, photo["sha256"])
    asked = photo["prompts"]["references"]
    prompts = {kind: prompts_from_json(v) for kind, v in asked.items() if kind != "everything" and "error" not in v}
    references = {}
    if "clean" in prompts:
        answers = _ask(bench.plan, model, image, prompts)["clean"]  # asked as the attacked photo is: see ``ask``
        references["clean"] = Reference("clean", prompts["clean"], answers)
    if "annotation" in prompts:
        references["annotation"] = Reference("annotation", prompts["annotation"], _annotation(sample, prompts))
    wrong = {kind: value["error"] for kind, value in asked.items() if "error" in value}
    masks = _everything(bench, model, image) if "everything" in asked else None
    return Original(image, references, masks, wrong)


def _annotation(sample: Sample, prompts: Mapping[str, Prompts]) -> Masks:
    annotated = sample.annotation()
    wanted = np.concatenate([prompts["annotation"].point_masks, prompts["annotation"].box_masks])
    if annotated is None or wanted.max(initial=-1) >= len(annotated.masks):
        raise PhotoError(f"the annotation of {sample.path} has changed while it was worked on")
    return annotated.masks.select(wanted)


def score(bench: Bench, model: Segmenter, original: Original, image: Image) -> dict[str, Outcome]:
    """Show a photo to a target: by protocol, what was measured, or why nothing could be.

    The original is asked for again like any other photo, so a target that does not repeat itself is seen.
    """
    found: dict[str, Outcome] = {kind: NoMasksError(reason) for kind, reason in original.wrong.items()}
    if original.references:
        prompts = {kind: reference.prompts for kind, reference in original.references.items()}
        answers = _ask(bench.plan, model, image, prompts)
        found |= {kind: _prompt_item(ref, answers[kind]) for kind, ref in original.references.items()}
    if original.masks is not None:
        found["everything"] = _everything_item(original.masks, _everything(bench, model, image))
    return found


def _ask(plan: Plan, model: Segmenter, image: Image, prompts: Mapping[str, Prompts]) -> dict[str, Masks]:
    return ask(model, image, prompts)


def _everything(bench: Bench, model: Segmenter, image: Image) -> Masks:
    settings = bench.everything(model)

    def work(batch: int | None) -> Masks:
        smaller: EverythingSettings = settings if batch is None else replace(settings, points_per_batch=batch)
        return by_predicted_iou(segment_everything(model, image, smaller))

    return halving(work, lambda: settings.points_per_batch, [])


def _prompt_item(reference: Reference, answers: Masks) -> Record:
    ious = answer_ious(reference, answers)
    prompts = reference.prompts
    kinds: Sequence[str] = ["point"] * len(prompts.points) + ["box"] * len(prompts.boxes)
    return {
        "prompts": {
            "kind": list(kinds),
            "mask": np.concatenate([prompts.point_masks, prompts.box_masks]).tolist(),
            "area": reference.masks.areas.tolist(),
            "iou": [None if np.isnan(value) else float(value) for value in ious],
        },
        "empty": int(np.count_nonzero(reference.masks.areas == 0)),
    }


def _everything_item(clean: Masks, found: Masks) -> Record:
    matched = matched_miou(clean, found)
    return {
        "masks_clean": len(clean),
        "masks_found": len(found),
        "matched_miou": None if np.isnan(matched) else matched,
        "map": None,
    }
