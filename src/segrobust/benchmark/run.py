"""Run attacks on photos into a folder: one item per (photo, row), each finished before the next begins."""

import dataclasses
import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from segrobust import __version__
from segrobust.attacks.recipes import attack, make_recipe
from segrobust.benchmark.config import BASELINE, RunConfig
from segrobust.benchmark.folder import Record, RunFolder, open_folder, write_json
from segrobust.benchmark.records import aggregate, attack_fields, base_record, failed, score_fields
from segrobust.errors import PhotoError, SegrobustError
from segrobust.evaluation.evaluate import CleanSide, PromptSettings, Scores, clean_side, evaluate
from segrobust.evaluation.prompts import prompts_to_json
from segrobust.io.images import find_photos, output_names, read_image, write_png
from segrobust.io.sa1b import read_sa1b, write_sa1b
from segrobust.models import load
from segrobust.models.base import EverythingSettings, WhiteBox, require_white_box
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
    model: WhiteBox
    everything: EverythingSettings
    listener: Listener

    @property
    def model_sha256(self) -> str:
        """sha256 of the weights file, where known."""
        return str(getattr(self.model, "fingerprint", ""))


def run(config: RunConfig, out: Path, listener: Listener, command: Sequence[str] = ()) -> Record:
    """Attack every photo, score what is on disk, and write the folder.

    A folder that holds the same run is continued: finished items are kept, failed ones tried again.

    Args:
        config: what to do.
        out: the run folder.
        listener: told about progress.
        command: the command line, for the record.

    Returns:
        The aggregates, as in ``results.json``.

    Raises:
        UsageError: no photos, or the folder belongs to something else.
        ModelError: the model cannot be loaded.
        CapabilityError: it gives no gradients.
    """
    photos = find_photos([Path(p) for p in config.photos])
    names = output_names(photos)
    model = require_white_box(load(config.model, device=config.device, dtype=config.dtype))
    folder = open_folder(out, config)
    everything = model.everything
    if config.points_per_side is not None:
        everything = dataclasses.replace(everything, points_per_side=config.points_per_side)
    bench = Bench(config, folder, model, everything, listener)
    _log_to(folder.root / "log.txt")
    write_json(folder.root / "run.json", _circumstances(bench, command))
    done = {(r["image"], r["attack"]): r for r in folder.read_samples() if _is_finished(folder, r)}
    folder.write_samples(done.values())
    for number, photo in enumerate(photos):
        _run_photo(bench, photo, names[photo], number, len(photos), done)
    ordered = [done[names[p], row] for p in photos for row in config.rows()]
    folder.write_samples(ordered)
    results = aggregate(config, ordered)
    write_json(folder.results, results)
    return results


def _is_finished(folder: RunFolder, record: Record) -> bool:
    file = record.get("adversarial")
    return record["state"] == "done" and (file is None or (folder.root / file).exists())


def _run_photo(
    bench: Bench, path: Path, stem: str, number: int, total: int, done: dict[tuple[str, str], Record]
) -> None:
    rows = bench.config.rows()
    missing = [row for row in rows if (stem, row) not in done]
    if missing:
        image, clean, notes, trouble = _prepare(bench, path, stem)
        for row in missing:
            bench.listener.item(number * len(rows) + rows.index(row), total * len(rows), stem, row)
            record = base_record(bench.config, bench.model_sha256, stem, str(path.resolve()), image, row)
            try:
                if clean is None:
                    raise trouble or PhotoError(f"{path}: could not be prepared")
                record.update(_run_item(bench, clean, stem, row, notes))
            except Exception as error:
                record = failed(record, error)
                log.error("%s, %s: %s", stem, row, error, exc_info=not isinstance(error, SegrobustError))
            done[stem, row] = record
            bench.folder.append_sample(record)
    if all(done[stem, row]["state"] == "done" for row in rows):
        bench.listener.photo(bench.folder, stem, path)


def _prepare(bench: Bench, path: Path, stem: str) -> tuple[Image | None, CleanSide | None, list[str], Exception | None]:
    """Read the photo, segment the original, draw and save the prompts. A failure is returned, to be recorded."""
    image = None
    try:
        image = read_image(path)
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
        write_sa1b(bench.folder.masks(stem), clean.masks, f"{stem}.png")
        write_json(
            bench.folder.prompts(stem),
            {
                "schema": PROMPTS_SCHEMA,
                "image": stem,
                "photo_sha256": image.fingerprint,
                "seed": bench.config.seed,
                "references": {kind: prompts_to_json(ref.prompts) for kind, ref in clean.references.items()},
            },
        )
    except Exception as error:
        log.error("%s: %s", path, error, exc_info=not isinstance(error, SegrobustError))
        return image, None, [], error
    return image, clean, notes, None


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


def _run_item(bench: Bench, clean: CleanSide, stem: str, row: str, notes: list[str]) -> Record:
    if row == "clean":
        scores, _ = evaluate(bench.model, clean, clean.image, everything=bench.everything)
        return _finish(None, scores, notes) | {"adversarial": None}
    result = _attack(bench, clean, row)
    file = bench.folder.adversarial(stem, row)
    write_png(file, result.image.pixels)
    if result.guide is not None:
        write_png(bench.folder.guide(stem, row), result.guide)
    saved = read_image(file)  # what is scored is what is on disk
    scores, found = evaluate(bench.model, clean, saved, everything=bench.everything)
    write_sa1b(bench.folder.masks(stem, row), found, f"{stem}.png")
    relative = str(file.relative_to(bench.folder.root))
    return _finish(result, scores, notes) | {"adversarial": relative, "adversarial_sha256": saved.fingerprint}


def _attack(bench: Bench, clean: CleanSide, row: str) -> AttackResult:
    config = bench.config
    recipe = make_recipe(row) if row == BASELINE else make_recipe(row, **config.parameters)
    return attack(
        bench.model,
        clean.image,
        recipe,
        budget=config.eps,
        protocol=config.protocol,
        seed=config.seed,
        clean_masks=clean.masks,
        progress=bench.listener.step,
    )


def _finish(result: AttackResult | None, scores: Scores, notes: list[str]) -> Record:
    fields = score_fields(scores) | attack_fields(result)
    fields["notes"] = notes + fields["notes"]
    return fields


def _log_to(file: Path) -> None:
    """Send this package's log to the run's file (once per process and file)."""
    root = logging.getLogger("segrobust")
    for old in [h for h in root.handlers if isinstance(h, logging.FileHandler)]:
        root.removeHandler(old)
        old.close()
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    log.info("run in %s", file.parent)


def _circumstances(bench: Bench, command: Sequence[str]) -> dict[str, Any]:
    import torch

    packages = ("torch", "transformers", "numpy", "pillow", "scipy", "pycocotools")
    return {
        "schema": "segrobust.run/1",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(command),
        "seed": bench.config.seed,
        "device": str(bench.model.device),
        "dtype": bench.config.dtype,
        "threads": torch.get_num_threads(),
        "model_sha256": bench.model_sha256,
        "everything": dataclasses.asdict(bench.everything),
        "versions": {
            "segrobust": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "platform": f"{platform.system()} {platform.machine()}",
    }
