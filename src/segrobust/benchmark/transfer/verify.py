"""Read a plan's folder back, measure everything again, and say where the records differ from the files."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from segrobust.benchmark.folder import Record
from segrobust.benchmark.transfer.folder import TransferFolder, existing_transfer
from segrobust.benchmark.transfer.items import Key, Original, blank_records, open_original, score_shot
from segrobust.benchmark.transfer.models import ModelFacts, check_models, load_model
from segrobust.benchmark.transfer.results import aggregate_transfer
from segrobust.benchmark.transfer.subjects import Subject, subjects
from segrobust.benchmark.verify import differences, verify


def verify_transfer(
    root: Path, *, tolerance: float = 1e-6, on_record: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Every difference between a plan's records and its files; empty when there is none.

    Checked: the run of every surrogate, see ``benchmark.verify``; the prompts are those of the named surrogate; every
    target has a record of every photo and row, of these files and these weights; every score measured again equals
    the record; ``results.json`` follows from the records. What failed is not tried again.

    Args:
        root: the folder.
        tolerance: allowed absolute difference of a score.
        on_record: told the name of each record before it is measured.

    Raises:
        UsageError: not the folder of a plan, or one whose runs were interrupted.
        ModelError: a model cannot be loaded.
    """
    folder = existing_transfer(root)
    problems = []
    for surrogate in folder.plan.surrogates:
        home = folder.surrogate(surrogate)
        found = verify(home, tolerance=tolerance, on_record=on_record)
        problems += [f"{home.relative_to(root)}: {problem}" for problem in found]
    facts = check_models(folder.plan)
    try:
        photos = subjects(folder)
    except (LookupError, OSError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        return [*problems, f"the runs of the surrogates do not hold what the targets were shown ({reason})"]
    problems += _check_prompts(folder, photos)
    for target in folder.plan.targets:
        problems += [f"{target}: {p}" for p in _check_target(folder, target, facts, photos, tolerance, on_record)]
    return problems + _check_table(folder, facts)


def _check_prompts(folder: TransferFolder, photos: Sequence[Subject]) -> list[str]:
    problems = []
    for subject in photos:
        file = folder.prompts(subject.stem)
        if subject.prompts is not None and (not file.exists() or file.read_text("utf-8") != subject.prompts):
            problems.append(f"prompts/{file.name} does not hold the prompts of {folder.plan.prompt_source}")
    return problems


def _check_target(
    folder: TransferFolder,
    target: str,
    facts: dict[str, ModelFacts],
    photos: Sequence[Subject],
    tolerance: float,
    on_record: Callable[[str], None],
) -> list[str]:
    records, damaged = folder.read(target)
    problems = [f"{damaged} lines are no records"] if damaged else []
    named: dict[Key, Record] = {(record["image"], record["row"]): record for record in records}
    blank = blank_records(folder, target, facts[target], photos)
    problems += [f"{' '.join(key)}: a record of nothing that is here" for key in named if key not in blank]
    model = load_model(folder.plan, target)
    for subject in photos:
        original: Original | None = None
        for shot in subject.shots:
            name, record = f"{subject.stem} {shot.row}", named.get((subject.stem, shot.row))
            if record is None:
                problems.append(f"{name}: no record")
            elif record["state"] == "done":
                on_record(f"{target}: {name}")
                try:
                    original = original or open_original(model, subject)
                    measured = blank[subject.stem, shot.row] | score_shot(folder, model, original, shot)
                except Exception as error:  # the files may hold anything by now
                    problems.append(f"{name}: cannot be measured again: {' '.join(str(error).split())}")
                else:
                    problems += [f"{name}: {problem}" for problem in differences(measured, record, tolerance)]
    return problems


def _check_table(folder: TransferFolder, facts: dict[str, ModelFacts]) -> list[str]:
    """Whether the aggregates follow from the records."""
    if not folder.results.exists():
        return ["results.json is missing: the run was interrupted; the same 'segrobust run' command continues it"]
    records = {target: folder.read(target)[0] for target in folder.plan.targets}
    try:
        stored = json.loads(folder.results.read_text("utf-8"))
        same = stored == json.loads(json.dumps(aggregate_transfer(folder.plan, facts, records)))
    except Exception as error:
        return [f"results.json cannot be compared with the records: {type(error).__name__}: {error}"]
    return [] if same else ["results.json does not follow from the records of the targets"]
