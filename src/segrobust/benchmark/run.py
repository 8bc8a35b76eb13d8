"""Run attacks on photos into a folder: one item per (photo, row), each finished before the next begins."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from segrobust.attacks.region import parse_region
from segrobust.benchmark.config import RunConfig
from segrobust.benchmark.folder import Record, RunFolder, open_folder, write_json
from segrobust.benchmark.items import Bench, Listener, prepare, run_item
from segrobust.benchmark.journal import logging_to, write_circumstances
from segrobust.benchmark.records import aggregate, base_record, failed
from segrobust.errors import MissingError, SegrobustError
from segrobust.evaluation.evaluate import CleanSide
from segrobust.io.images import find_photos, output_names, read_image
from segrobust.models import load
from segrobust.models.base import require_white_box
from segrobust.types import Image

log = logging.getLogger(__name__)
Done = dict[tuple[str, str], Record]


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
        MissingError: the model cannot be loaded, or the folder not be written.
        CapabilityError: it gives no gradients, and an attack needs them.
    """
    photos = find_photos([Path(p) for p in config.photos])
    names = _names(photos, config.rows())
    model = load(config.model, **config.loading())
    if not all(config.recipe(row).blind for row in config.rows() if row != "clean"):
        require_white_box(model)
    if config.within is not None:
        parse_region(config.within).check()
    if config.max_memory is not None:  # a limit that nothing fits into is told now, not after the first clean side
        require_white_box(model).views_at_a_time(1)
    folder = open_folder(out, config)
    everything = model.everything
    if config.points_per_side is not None:
        everything = dataclasses.replace(everything, points_per_side=config.points_per_side)
    bench = Bench(config, folder, model, everything, listener)
    with logging_to(folder.root / "log.txt"):
        write_circumstances(bench, command)
        return _run_photos(bench, {photo: names[photo] for photo in photos})


def _names(photos: Sequence[Path], rows: Sequence[str]) -> dict[Path, str]:
    """Stems by photo; ``a.noise.png`` must not be called like the noise row of ``a.png``."""
    names = output_names(photos)
    for path, stem in names.items():
        if any(stem.endswith(f".{row}") for row in rows):
            while stem in names.values():
                stem += "_"
            names[path] = stem
    return names


def _run_photos(bench: Bench, photos: dict[Path, str]) -> Record:
    folder, rows = bench.folder, bench.config.rows()
    records, damaged = folder.read_samples()
    if damaged:
        log.warning("%d damaged lines of samples.jsonl are left out; their items are done again", damaged)
    done = {(r["image"], r["attack"]): r for r in records if _is_finished(folder, r)}
    folder.write_samples(done.values())
    folder.results.unlink(missing_ok=True)  # the old aggregates do not hold until this run is finished
    for number, (path, stem) in enumerate(photos.items()):
        _run_photo(bench, path, stem, (number, len(photos)), done)
    ordered = [done[stem, row] for stem in photos.values() for row in rows]
    folder.write_samples(ordered)
    results = aggregate(bench.config, ordered)
    write_json(folder.results, results)
    return results


def _is_finished(folder: RunFolder, record: Record) -> bool:
    stem, row = record["image"], record["attack"]
    files = [folder.masks(stem), folder.prompts(stem)]
    if record.get("adversarial"):
        files += [folder.root / record["adversarial"], folder.masks(stem, row)]
    if record.get("guide"):
        files.append(folder.root / record["guide"])
    return record["state"] == "done" and all(file.exists() for file in files)


def _run_photo(bench: Bench, path: Path, stem: str, place: tuple[int, int], done: Done) -> None:
    """All rows of a photo that are not done yet, then its panel."""
    rows = bench.config.rows()
    image, trouble = _read(path)
    for row in rows:
        if image and (stem, row) in done and done[stem, row]["photo_sha256"] != image.fingerprint:
            log.warning("%s, %s: done again, the photo has changed", stem, row)
            del done[stem, row]
    missing = [row for row in rows if (stem, row) not in done]
    if missing:
        bench.folder.panel(stem).unlink(missing_ok=True)  # it may show what is now made anew
        clean, notes, trouble = _prepared(bench, path, stem, image, trouble)
        for row in missing:
            bench.listener.item(place[0] * len(rows) + rows.index(row), place[1] * len(rows), stem, row)
            record = base_record(bench.config, bench.model_sha256, stem, str(path.resolve()), image, row)
            if clean is None:
                record = failed(record, trouble)
            else:
                record = _attempt(bench, clean, record, notes)
            done[stem, row] = record
            bench.folder.append_sample(record)
    if all(done[stem, row]["state"] == "done" for row in rows):
        bench.listener.photo(bench.folder, stem, path)


def _read(path: Path) -> tuple[Image | None, Exception | None]:
    try:
        return read_image(path), None
    except Exception as error:
        return None, error


def _prepared(
    bench: Bench, path: Path, stem: str, image: Image | None, trouble: Exception | None
) -> tuple[CleanSide | None, list[str], Exception | None]:
    """What all rows share; a failure is returned, to be recorded for every one of them."""
    if image is not None:
        try:
            return *prepare(bench, path, stem, image), None
        except MissingError:
            raise  # a full disk is not the photo's fault
        except Exception as error:
            trouble = error
    log.error("%s: %s", stem, trouble, exc_info=None if isinstance(trouble, SegrobustError) else trouble)
    return None, [], trouble


def _attempt(bench: Bench, clean: CleanSide, record: Record, notes: list[str]) -> Record:
    stem, row = record["image"], record["attack"]
    try:
        return record | run_item(bench, clean, stem, row, notes)
    except MissingError:
        raise
    except Exception as error:
        log.error("%s, %s: %s", stem, row, error, exc_info=not isinstance(error, SegrobustError))
        return failed(record, error)
