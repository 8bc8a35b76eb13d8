"""The commands for plans, ``run`` and ``validate``; heavy imports happen inside."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from segrobust.cli.output import columns, print_text
from segrobust.errors import UsageError

if TYPE_CHECKING:
    from segrobust.benchmark.plans.engine import Listener
    from segrobust.benchmark.plans.estimate import Estimate
    from segrobust.benchmark.plans.plan import Plan

GATE = 3
"""Exit code of ``run`` when a gate does not hold."""


@dataclass(frozen=True)
class Wanted:
    """What ``segrobust run`` was asked for; see its options."""

    file: Path
    data: Sequence[str]
    split: str | None
    limit: str | None
    out: Path | None
    dry: bool
    resume: bool
    workers: int


@dataclass(frozen=True)
class Gates:
    """What must hold for exit code 0, beside that nothing failed."""

    under: Sequence[str]
    checks: bool


def run_plan(wanted: Wanted, gates: Gates, progress: bool) -> int:
    """Run a plan; the exit code is 4 when an item failed, and 3 when a gate does not hold."""
    from segrobust.benchmark.plans.gates import parse_gate

    limits = [parse_gate(text) for text in gates.under]
    plan = _read(wanted.file, wanted.data, wanted.split, wanted.limit)
    if wanted.dry:
        from segrobust.benchmark.plans.bench import open_data
        from segrobust.benchmark.plans.estimate import count_calls

        _print_estimate(count_calls(plan, open_data(plan)))
        print_text("\nnothing was computed (--dry-run)")
        return 0
    check_workers(wanted.workers)
    from segrobust.benchmark.plans.run import run_plan as run

    folder = wanted.out or Path("runs") / wanted.file.stem
    with make_listener(progress) as listener:
        results = run(
            plan,
            folder,
            listener,
            name=wanted.file.stem,
            command=["segrobust", *sys.argv[1:]],
            resume=wanted.resume,
            workers=wanted.workers,
        )
    return _conclude(results, folder, limits, gates.checks)


def _conclude(results: dict[str, Any], folder: Path, wanted: Sequence[tuple[str, float]], checks: bool) -> int:
    """Print what a run found; the last line says what the exit code says."""
    from segrobust.benchmark.plans.gates import failing_checks, under
    from segrobust.report.story import findings_lines, verdict
    from segrobust.report.summaries import worst_table

    print_text(verdict(results))
    grid = worst_table(results)
    for line in columns([grid.header, *([value.text for value in row] for row in grid.rows)]):
        print_text(line)
    for line in findings_lines(results):
        print_text(line)
    broken = [line for name, limit in wanted for line in under(results, name, limit)]
    broken += failing_checks(results) if checks else []
    for line in broken:
        print_text(f"gate: {line}")
    failures = len(results["failures"])
    print_text(f"\nsaved {folder} (the report: segrobust report {folder})")
    if failures:
        print_text(f"{failures} items failed; the same command tries them again")
        return 4
    if broken:
        print_text(f"FAILED: {len(broken)} gates do not hold")
    return GATE if broken else 0


def validate_plan(file: Path, data: Sequence[str], split: str | None, limit: str | None) -> int:
    """Check a plan's data and models, and say what it would cost."""
    from segrobust.benchmark.plans.bench import open_data
    from segrobust.benchmark.plans.estimate import count_calls, probe

    plan = _read(file, data, split, limit)
    sets = open_data(plan)
    estimate = count_calls(plan, sets)
    first = next(iter(sets.values())).samples[0]
    estimate.seconds = probe(plan, first.image(), plan.models, lambda name: typer.echo(f"measuring {name}", err=True))
    for name, dataset in sets.items():
        print_text(f"data {name}: {len(dataset)} photos, {dataset.kind}, {dataset.terms}")
        for problem in dataset.problems:
            typer.echo(f"warning: {problem}", err=True)
    _print_estimate(estimate)
    _print_machine(plan)
    print_text(f"\nok: {file} can be run")
    return 0


def _read(file: Path, data: Sequence[str], split: str | None, limit: str | None) -> "Plan":
    from segrobust.benchmark.plans.reading import read_plan

    return read_plan(file, data, limit, split)


def _print_estimate(estimate: "Estimate") -> None:
    print_text(f"{estimate.photos} photos, {estimate.attacks} photos to make, {estimate.scores} to show to targets\n")
    rows = [["model", "gradients", "photos asked", "segment everything", "minutes"]]
    for name, calls in estimate.calls.items():
        seconds = estimate.seconds.get(name)
        minutes = f"{calls.minutes(seconds):.1f}" if seconds else "-"
        rows.append([name, *(f"{count:,}" for count in (calls.gradients, calls.passes, calls.everything)), minutes])
    for line in columns(rows):
        print_text(line)
    if estimate.seconds:
        print_text(f"\nexpected: about {estimate.minutes:.0f} minutes with one worker, measured on one photo")


def _print_machine(plan: "Plan") -> None:
    from segrobust.models.machine import memory, processors
    from segrobust.models.options import pick_device

    free = memory()
    room = f", {free.available / 2**30:.1f} GiB of memory free" if free else ""
    print_text(f"device {pick_device(plan.device)}, {processors()} processors{room}")


class _Quiet:
    """Says nothing."""

    def item(self, done: int, total: int, what: str, miou: float | None) -> None:
        """Nothing to say."""


class _Lines:
    """One line per item, for logs."""

    def item(self, done: int, total: int, what: str, miou: float | None) -> None:
        """Say which item is done."""
        typer.echo(f"[{done}/{total}] {what}{_score(miou)}", err=True)


class _Bar:
    """One bar: items, time left, and the mean IoU of the attacked photos so far."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            transient=True,
        )
        self.items = self.progress.add_task("", total=None)

    def item(self, done: int, total: int, what: str, miou: float | None) -> None:
        """Move on."""
        self.progress.update(self.items, completed=done, total=total, description=f"{what}{_score(miou)}")


def _score(miou: float | None) -> str:
    return "" if miou is None else f", mIoU {miou:.3f}"


@contextmanager
def make_listener(progress: bool) -> Iterator["Listener"]:
    """The listener that fits where stderr goes."""
    if not progress:
        yield _Quiet()
    elif sys.stderr.isatty():
        bar = _Bar()
        with bar.progress:
            yield bar
    else:
        yield _Lines()


def check_workers(workers: int) -> None:
    """Say when workers would be in each other's way.

    Raises:
        UsageError: fewer than one.
    """
    if workers < 1:
        raise UsageError(f"--workers must be at least 1, got {workers}")
    if workers == 1:
        return
    import torch

    from segrobust.models.machine import processors

    threads, have = torch.get_num_threads(), processors()
    if workers * threads > have:
        advice = f"set OMP_NUM_THREADS={max(1, have // workers)}"
        typer.echo(f"warning: {workers} workers of {threads} threads on {have} processors; {advice}", err=True)
