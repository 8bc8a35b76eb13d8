"""Run a plan: attack every surrogate, then show every saved photo to every target, one target in memory at a time."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from segrobust.benchmark.folder import Record, write_json
from segrobust.benchmark.items import Listener
from segrobust.benchmark.journal import logging_to, write_journal
from segrobust.benchmark.records import failed
from segrobust.benchmark.run import run
from segrobust.benchmark.transfer.folder import TransferFolder, open_transfer
from segrobust.benchmark.transfer.items import Key, Original, blank_records, open_original, score_shot
from segrobust.benchmark.transfer.models import ModelFacts, check_models, facts_to_json, load_model
from segrobust.benchmark.transfer.plan import TransferPlan
from segrobust.benchmark.transfer.results import aggregate_transfer
from segrobust.benchmark.transfer.subjects import Subject, subjects
from segrobust.errors import SegrobustError
from segrobust.io.files import atomic_write_text
from segrobust.io.images import find_photos
from segrobust.models.options import pick_device

log = logging.getLogger(__name__)
T = TypeVar("T")


def run_transfer(plan: TransferPlan, out: Path, listener: Listener, command: Sequence[str] = ()) -> Record:
    """Run a plan into a folder; a folder that holds the same plan is continued.

    Args:
        plan: what to do.
        out: the folder.
        listener: told about progress, of the runs on the surrogates too.
        command: the command line, for the record.

    Returns:
        The aggregates, as in ``results.json``.

    Raises:
        UsageError: no photos, or the folder belongs to something else.
        CapabilityError: a surrogate gives no gradients.
        MissingError: a model cannot be loaded, or the folder not be written.
    """
    find_photos([Path(p) for p in plan.photos])
    facts = check_models(plan)
    folder = open_transfer(out, plan)
    with logging_to(folder.root / "log.txt"):
        write_journal(folder.root, plan, pick_device(plan.device), {"models": facts_to_json(facts)}, command)
        folder.results.unlink(missing_ok=True)  # the old aggregates do not hold until this run is finished
        for surrogate in plan.surrogates:
            run(plan.run_config(surrogate), folder.surrogate(surrogate), listener, command)
        photos = subjects(folder)
        for subject in photos:
            if subject.prompts is not None:
                atomic_write_text(folder.prompts(subject.stem), subject.prompts)
        for target in plan.targets:
            _score_target(folder, target, facts[target], photos, listener)
        results = aggregate_transfer(plan, facts, {target: folder.read(target)[0] for target in plan.targets})
        write_json(folder.results, results)
        return results


def _score_target(
    folder: TransferFolder, target: str, facts: ModelFacts, photos: Sequence[Subject], listener: Listener
) -> None:
    """Score what is not scored yet; in the end the records are in the order of the photos and rows."""
    blank = blank_records(folder, target, facts, photos)
    done = _kept(folder, target, blank)
    folder.write(target, list(done.values()))
    if len(done) < len(blank):
        model = load_model(folder.plan, target)
        for subject in photos:
            missing = [shot for shot in subject.shots if (subject.stem, shot.row) not in done]
            original = (
                _attempt(partial(open_original, model, subject), f"{target}, {subject.stem}") if missing else None
            )
            for shot in missing:
                key = subject.stem, shot.row
                listener.item(len(done), len(blank), f"{target}: {subject.stem}", shot.row)
                found: Any = original  # the reason, where there is no original
                if isinstance(original, Original):
                    found = _attempt(partial(score_shot, folder, model, original, shot), f"{target}, {' '.join(key)}")
                done[key] = failed(blank[key], found) if isinstance(found, Exception) else blank[key] | found
                folder.append(target, done[key])
    folder.write(target, [done[key] for key in blank])


def _kept(folder: TransferFolder, target: str, blank: Mapping[Key, Record]) -> dict[Key, Record]:
    """The finished records that are still of these photos, prompts, weights and settings."""
    records, damaged = folder.read(target)
    if damaged:
        log.warning("%d damaged lines of %s are left out; their items are done again", damaged, folder.target(target))
    named = {(record["image"], record.get("row")): record for record in records}
    return {key: named[key] for key in blank if key in named and blank[key].items() <= named[key].items()}


def _attempt(work: Callable[[], T], what: str) -> T | Exception:
    """What comes of it, or the reason why nothing did: a target may raise anything, and the others go on."""
    try:
        return work()
    except Exception as error:
        log.error("%s: %s", what, error, exc_info=not isinstance(error, SegrobustError))
        return error
