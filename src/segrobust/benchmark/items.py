"""The items of a run: what is made for a photo once, and one (photo, row) after the other, from photo to record."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from segrobust.attacks.recipes import attack
from segrobust.attacks.region import parse_region
from segrobust.benchmark.config import RunConfig
from segrobust.benchmark.folder import Record, RunFolder, write_json
from segrobust.benchmark.records import attack_fields, score_fields
from segrobust.errors import PhotoError
from segrobust.evaluation.evaluate import CleanSide, PromptSettings, Scores, clean_side, evaluate
from segrobust.evaluation.prompts import prompts_to_json
from segrobust.io.images import read_image, write_png
from segrobust.io.sa1b import read_sa1b, write_sa1b
from segrobust.models.base import EverythingSettings, Segmenter
from segrobust.types import AttackResult, Image, Masks

log = logging.getLogger(__name__)
PROMPTS_SCHEMA = "segrobust.manifest/1"


class Listener(Protocol):
    """Who wants to know how a run goes."""

    def item(self, done: int, total: int, image: str, row: str) -> None:
        """An item begins."""
        ...

    def step(self, done: int, total: int, loss: float) -> None:
        """An attack has made a step."""
        ...

    def photo(self, folder: RunFolder, stem: str, path: Path) -> None:
        """All rows of a photo are in the folder."""
        ...


@dataclass(frozen=True, eq=False)
class Bench:
    """What all items of a run share."""

    config: RunConfig
    folder: RunFolder
    model: Segmenter
    everything: EverythingSettings
    listener: Listener

    @property
    def model_sha256(self) -> str:
        """sha256 of the weights file, where known."""
        return str(getattr(self.model, "fingerprint", ""))


def prepare(bench: Bench, path: Path, stem: str, image: Image) -> tuple[CleanSide, list[str]]:
    """Segment the original, draw the prompts, and save both; with notes for the records.

    Raises:
        NoMasksError: there is nothing to ask for.
    """
    annotation, notes = annotation_beside(path, image)
    plan = bench.config.prompts
    clean = clean_side(
        bench.model,
        image,
        seed=bench.config.seed,
        annotation=annotation,
        prompts=PromptSettings(plan.masks, plan.points, plan.boxes),
        everything=bench.everything,
    )
    write_sa1b(bench.folder.masks(stem), clean.masks, path.name)
    manifest = {
        "schema": PROMPTS_SCHEMA,
        "image": stem,
        "photo_sha256": image.fingerprint,
        "seed": bench.config.seed,
        "references": {kind: prompts_to_json(ref.prompts) for kind, ref in clean.references.items()},
    }
    write_json(bench.folder.prompts(stem), manifest)
    return clean, notes


def annotation_beside(path: Path, image: Image) -> tuple[Masks | None, list[str]]:
    """The SA-1B annotation in ``<photo>.json``, if there is one; any other JSON file is noted and left alone."""
    file = path.with_suffix(".json")
    if not file.exists():
        return None, []
    try:
        return read_sa1b(file, size=image.size), []
    except PhotoError as error:
        log.warning("annotation not used: %s", error)
        return None, [f"annotation not used: {error}"]


def run_item(bench: Bench, clean: CleanSide, stem: str, row: str, notes: list[str]) -> Record:
    """Attack, save, read back, score: what is scored is what is on disk."""
    if row == "clean":
        scores, _ = evaluate(bench.model, clean, clean.image, everything=bench.everything)
        return _finish(None, scores, notes) | {"adversarial": None, "guide": None}
    result = _attack(bench, clean, row)
    file = bench.folder.adversarial(stem, row)
    write_png(file, result.image.pixels)
    guide = None if result.guide is None else bench.folder.guide(stem, row)
    if guide is not None and result.guide is not None:
        write_png(guide, result.guide)
    saved = read_image(file)
    scores, found = evaluate(bench.model, clean, saved, everything=bench.everything)
    write_sa1b(bench.folder.masks(stem, row), found, file.name)
    return _finish(result, scores, notes) | {
        "adversarial": str(file.relative_to(bench.folder.root)),
        "adversarial_sha256": saved.fingerprint,
        "guide": guide and str(guide.relative_to(bench.folder.root)),
    }


def _attack(bench: Bench, clean: CleanSide, row: str) -> AttackResult:
    config = bench.config
    return attack(
        bench.model,
        clean.image,
        config.recipe(row),
        budget=config.eps,
        protocol=config.protocol,
        seed=config.seed,
        where=None if config.within is None else parse_region(config.within).of(clean.image),
        clean_masks=clean.masks,
        progress=bench.listener.step,
    )


def _finish(result: AttackResult | None, scores: Scores, notes: list[str]) -> Record:
    fields = score_fields(scores) | attack_fields(result)
    fields["notes"] = notes + fields["notes"]
    return fields
