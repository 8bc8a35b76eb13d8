"""What the command for plans does; heavy imports happen inside."""

import sys
from pathlib import Path

import typer

from segrobust.cli.output import print_text
from segrobust.errors import UsageError


def run_plan(plan_file: Path, data: Path | None, out: Path | None, progress: bool) -> int:
    """Run a plan and print its tables; the exit code is 4 when an item failed."""
    from segrobust.benchmark.transfer.plan import read_plan
    from segrobust.benchmark.transfer.run import run_transfer
    from segrobust.cli.progress import make_listener
    from segrobust.io.files import atomic_write_text
    from segrobust.report.panels import PanelDrawer
    from segrobust.report.transfer import transfer_text

    if data is not None and not data.is_dir():
        raise UsageError(f"--data {data}: no such folder")
    plan = read_plan(plan_file, [str(data)] if data else [])
    folder = out or Path("runs") / plan_file.stem
    with make_listener(progress) as listener:
        drawer = PanelDrawer(listener)
        results = run_transfer(plan, folder, drawer, command=["segrobust", *sys.argv[1:]])
    for problem in drawer.problems:
        typer.echo(f"warning: {problem}", err=True)
    text = transfer_text(results)
    atomic_write_text(folder / "report.md", text + "\n")
    print_text(text)
    failures = len(results["failures"])
    print_text(f"\nsaved {folder}" + (f" ({failures} items failed)" if failures else ""))
    return 4 if failures else 0
