"""Read the folder of a plan's run back, measure everything again, and say where the store differs from the files."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from segrobust.benchmark.plans.bench import Bench, open_data
from segrobust.benchmark.plans.engine import Run
from segrobust.benchmark.plans.folder import existing_folder, object_name
from segrobust.benchmark.plans.making import file_part, prepare
from segrobust.benchmark.plans.store import Store
from segrobust.benchmark.plans.tables import aggregate_run
from segrobust.benchmark.plans.tasks import score_all
from segrobust.benchmark.results import to_json
from segrobust.benchmark.rows import CLEAN
from segrobust.benchmark.scores import DISPLACEMENT
from segrobust.benchmark.verify import differences

Said = Callable[[str], None]


def verify_run(root: Path, *, tolerance: float = 1e-6, on_record: Said = lambda _: None) -> list[str]:
    """Every difference between a run's store and its files; empty when there is none.

    Checked: the originals are those that were attacked, and draw these prompts; the saved photos are those recorded,
    and keep their budget (space ``strict``); every model is the recorded one, and every score measured again equals
    the record; no item is missing, and no saved photo is without a record; ``results.json`` follows from the store.
    What failed is not tried again.

    Args:
        root: the folder.
        tolerance: allowed absolute difference of a score.
        on_record: told the name of each record before it is measured.

    Raises:
        UsageError: not the folder of a plan, or a model that is not the recorded one.
        ModelError: a model cannot be loaded.
    """
    folder, plan = existing_folder(root)
    with Store(root, write=False) as store:
        facts = store.meta("models")
        if not facts:
            return ["the store is empty: the run was interrupted; the same 'segrobust run' command continues it"]
        run = Run(plan, folder, store, open_data(plan), facts)
        bench = Bench(plan, folder, dict(facts))
        return [
            *_check_table(run),
            *_check_photos(run, bench, on_record),
            *_check_made(run, bench),
            *_check_scores(run, bench, tolerance, on_record),
        ]


def _check_table(run: Run) -> list[str]:
    if not run.folder.results.exists():
        return ["results.json is missing: the run was interrupted; the same 'segrobust run' command continues it"]
    try:
        same = run.folder.results.read_text("utf-8") == to_json(aggregate_run(run))
    except Exception as error:  # the file may hold anything by now
        return [f"results.json cannot be compared with the store: {type(error).__name__}: {error}"]
    return [] if same else ["results.json does not follow from the store"]


def _check_photos(run: Run, bench: Bench, on_record: Said) -> Iterator[str]:
    for dataset, position, image in run.photos():
        record = run.store.photo(dataset, image)
        if record is None:
            yield f"{dataset}/{image}: no record"
        elif record["state"] == "done":
            on_record(f"{dataset}/{image}: prompts")
            try:
                fresh = prepare(bench, bench.sample(dataset, position))
                file = json.loads(run.folder.prompts(dataset, image).read_text("utf-8"))
            except Exception as error:
                yield f"{dataset}/{image}: cannot be prepared again: {' '.join(str(error).split())}"
                continue
            if fresh["sha256"] != record["sha256"]:
                yield f"{dataset}/{image}: not the photo that was attacked (its pixels differ)"
            elif fresh["prompts"] != record["prompts"] or file != record["prompts"]:
                yield f"{dataset}/{image}: its prompts are not those that seed {run.plan.seed} draws"


def _check_made(run: Run, bench: Bench) -> Iterator[str]:
    """Every saved photo against its original: its pixels, its budget, what is recorded of the file."""
    known = set()
    for dataset, position, image in run.photos():
        photo = run.store.photo(dataset, image)
        if photo is None or photo["state"] != "done":
            continue
        for shot in run.shots:
            if shot.variant.recipe == CLEAN:
                continue
            name = f"{dataset}/{image}: {' '.join(part for part in shot.name if part)}"
            made = run.store.made(run.key(shot, photo))
            if made is None:
                yield f"{name}: no record"
                continue
            if made["state"] != "done":
                continue
            known |= {object_name(part) for part in (made["object"], made["result"]["guide"]) if part}
            try:
                original = bench.photo(bench.sample(dataset, position), photo["sha256"])
                measured = file_part(bench, original, made["object"], shot)
            except Exception as error:
                yield f"{name}: {' '.join(str(error).split())}"
                continue
            yield from (f"{name}: {problem}" for problem in differences(measured, made["result"], 1e-10))
            if run.plan.space == "strict" and not measured["inside"]:
                found = f"max |difference| is {measured['linf_255']}/255, L2 {measured['l2']:.6g}"
                yield f"{name}: the budget is broken: {found}, allowed {shot.variant.epsilon}"
    there = (path.relative_to(run.folder.root).as_posix() for path in run.folder.root.glob("objects/*/*.png"))
    yield from (f"{name}: no record" for name in sorted(there) if name not in known)


def _check_scores(run: Run, bench: Bench, tolerance: float, on_record: Said) -> Iterator[str]:
    for target in run.plan.targets:
        bench.model(target)
        for dataset, position, image in run.photos():
            photo = run.store.photo(dataset, image)
            if photo is None:
                continue
            task = run.to_show(target, dataset, position, image, photo)
            records = {_key(row): row for row in run.store.scores(dataset, image, target)}
            for done in score_all(bench, task):
                on_record(f"{target}: {dataset}/{done.what}")
                for measured in done.records:
                    yield from _compare(measured, records.pop(_key(measured), None), tolerance)
            for key in records:
                yield f"{dataset}/{image}: a record of nothing that the plan has: {' '.join(key)} on {target}"


def _key(record: dict[str, Any]) -> tuple[str, ...]:
    names = ("attack", "surrogate", "adaptive", "defence", "protocol")
    return tuple(str(record[name]) for name in names)


def _compare(measured: dict[str, Any], record: dict[str, Any] | None, tolerance: float) -> Iterator[str]:
    name = f"{measured['dataset']}/{measured['image']}: {' '.join(_key(measured))} on {measured['target']}"
    if record is None:
        yield f"{name}: no record"
    elif record["state"] == "done":
        if measured["state"] != "done":
            yield f"{name}: cannot be measured again: {measured['error']}"
        else:
            result = {key: value for key, value in measured["result"].items() if key != "shown"}  # pictures, no numbers
            fresh = json.loads(json.dumps({"made": measured["made"], **result}))
            _forget_what_was_not_measured(fresh.get("prompts", {}), record["result"].get("prompts", {}))
            yield from (
                f"{name}: {p}" for p in differences(fresh, {"made": record["made"], **record["result"]}, tolerance)
            )


def _forget_what_was_not_measured(fresh: dict[str, Any], recorded: dict[str, Any]) -> None:
    """Records of older runs have no displacement; what they have is compared."""
    if DISPLACEMENT not in recorded:
        fresh.pop(DISPLACEMENT, None)
