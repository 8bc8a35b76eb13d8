"""``segrobust run`` and ``segrobust validate``: their options. What they do is in ``benchmark``."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

Finish = Callable[[Callable[[], int], str], NoReturn]

PLAN = Annotated[Path, typer.Argument(help="A YAML file, see plans/ and docs/plans.md.")]
DATA = Annotated[
    list[str] | None,
    typer.Option("--data", help="Data instead of the plan's: PATH, KIND:PATH, or NAME=PATH for ${NAME} in it."),
]
SPLIT = Annotated[str | None, typer.Option(help="The part of every data set that is taken, e.g. test or val2017.")]
LIMIT = Annotated[str | None, typer.Option(help="Of every data set: a number of photos (10) or a share (10%).")]

RUN = """Run a plan: attacks on some models, shown to others, with and without defences, on any data.

\b
Examples (offline, with the embedded models; any folder of photos will do):
  segrobust run plans/paper-white-box.yaml --data examples --limit 2 -o runs/white-box
  segrobust run plans/paper-transfer.yaml --data examples --dry-run
"""
VALIDATE = """Check a plan before hours are spent: data, models, memory; and what it would cost.

\b
Example:
  segrobust validate plans/paper-white-box.yaml --data examples
"""


def add_commands(app: typer.Typer, finish: Finish, epilog: str) -> None:
    """Give the command line its commands for plans.

    Args:
        app: the command line.
        finish: does a command's work and exits with its code.
        epilog: of every help.
    """

    @app.command(help=RUN, epilog=epilog)
    def run(
        plan: PLAN,
        data: DATA = None,
        split: SPLIT = None,
        limit: LIMIT = None,
        out: Annotated[Path | None, typer.Option("-o", "--output", help="Run folder. [runs/PLAN]")] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be done.")] = False,
        resume: Annotated[bool, typer.Option(help="Continue a folder of this plan, or of less of it.")] = True,
        workers: Annotated[int, typer.Option(help="Processes that compute; numbers do not depend on it.")] = 1,
        fail_under: Annotated[
            list[str] | None,
            typer.Option(help="Exit code 3 if an attack leaves less, e.g. miou=0.5; repeatable."),
        ] = None,
        fail_on_check: Annotated[
            bool, typer.Option("--fail-on-check", help="Exit code 3 if a check finds an error.")
        ] = False,
        progress: Annotated[bool, typer.Option(help="Show progress on stderr.")] = True,
    ) -> None:
        """See ``segrobust run --help``."""
        from segrobust.cli import benchmark

        gates = benchmark.Gates(tuple(fail_under or ()), fail_on_check)
        finish(
            lambda: benchmark.run_plan(
                benchmark.Wanted(plan, tuple(data or ()), split, limit, out, dry_run, resume, workers), gates, progress
            ),
            f"interrupted; what is done is kept, and this continues: {shlex.join(['segrobust', *sys.argv[1:]])}",
        )

    @app.command(help=VALIDATE, epilog=epilog)
    def validate(plan: PLAN, data: DATA = None, split: SPLIT = None, limit: LIMIT = None) -> None:
        """See ``segrobust validate --help``."""
        from segrobust.cli import benchmark

        finish(lambda: benchmark.validate_plan(plan, tuple(data or ()), split, limit), "interrupted")
