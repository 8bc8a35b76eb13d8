"""Run a plan: prepare photos, make attacks model by model, show the saved photos to targets one after the other."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segrobust.benchmark.journal import logging_to
from segrobust.benchmark.plans.bench import Bench, open_data
from segrobust.benchmark.plans.circumstances import circumstances, require_same_circumstances
from segrobust.benchmark.plans.engine import Listener, Run, Tally
from segrobust.benchmark.plans.folder import (
    PLAN,
    PlanFolder,
    existing_folder,
    keep_plan,
    only_writer,
    open_folder,
    sweep,
)
from segrobust.benchmark.plans.models import Facts
from segrobust.benchmark.plans.plan import Plan
from segrobust.benchmark.plans.pool import executor
from segrobust.benchmark.plans.store import Store, is_begun
from segrobust.benchmark.plans.tables import write_results


def run_plan(
    plan: Plan,
    out: Path,
    listener: Listener,
    *,
    name: str = "",
    command: Sequence[str] = (),
    resume: bool = True,
    workers: int = 1,
) -> dict[str, Any]:
    """Run a plan into a folder; one that holds the same plan, or less of it, is continued.

    Args:
        plan: what to do.
        out: the folder.
        listener: told about progress.
        name: of the plan, for tables.
        command: the command line, for the record.
        resume: continue a folder that holds this plan, or one with fewer attacks or targets; otherwise it is refused.
        workers: processes that compute; the numbers do not depend on it.

    Returns:
        The aggregates, as in ``results.json``.

    Raises:
        UsageError: no photos, or the folder belongs to something else.
        CapabilityError: a model cannot do what the plan asks of it.
        MissingError: a model cannot be loaded, or the folder not be written.
    """
    data = open_data(plan)
    known = _known_models(plan, out)
    folder = open_folder(out, plan, resume)
    with only_writer(folder.root), logging_to(folder.root / "log.txt"), Store(folder.root) as store:
        sweep(folder)
        facts = known
        now = circumstances(plan, data)
        require_same_circumstances(folder.root, store.meta("circumstances"), now)
        store.put_all(
            [
                ("meta", {"key": key, "value": value})
                for key, value in _metas(facts, now, command, store.meta("name") or name)
            ]
        )
        # After the facts about its models, or a kill between the two would leave the plan without them.
        keep_plan(folder, plan)
        folder.results.unlink(missing_ok=True)  # the old aggregates do not hold until this run is finished
        run = Run(plan, folder, store, data, facts)
        tally = Tally(listener, run.expected())
        with executor(plan, folder, facts, workers) as work:
            for stage in (run.to_prepare, run.to_make, run.to_score):
                for done in work(stage(tally)):
                    run.write(done)
                    tally.add(done)
        return write_results(run)


def _known_models(plan: Plan, out: Path) -> dict[str, Facts]:
    """Facts about the models: loaded before the folder is made, or remembered from when it was.

    A plan that has more to do than the folder's is looked at as a new one, with the models that are known already.
    """
    known: dict[str, Facts] = {}
    if is_begun(out) and (out / PLAN).exists():
        with Store(out, write=False) as store:
            known = dict(store.meta("models") or {})
        if set(plan.models) <= set(known) and existing_folder(out)[1].roles == plan.roles:
            return {name: known[name] for name in plan.models}
    bench = Bench(plan, PlanFolder(out), {name: known[name] for name in plan.models if name in known})
    for name in plan.models:
        bench.model(name)
    return {name: bench.facts[name] for name in plan.models}  # in the plan's order, however the folder came about


def _metas(facts: Mapping[str, Facts], now: dict[str, Any], command: Sequence[str], name: str) -> list[tuple[str, str]]:
    values = {"models": dict(facts), "circumstances": now, "command": list(command), "name": name}
    return [(key, json.dumps(value)) for key, value in values.items()]
