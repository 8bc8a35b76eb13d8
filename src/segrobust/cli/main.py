"""``segrobust``: the entry point. Nothing heavy is imported before the command line is understood."""

import logging
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from segrobust import __version__
from segrobust.cli import attacking, commands, datasets, least, listing, models, plans, universal
from segrobust.cli.aloud import say_warnings_of_models
from segrobust.cli.output import need_command
from segrobust.errors import SegrobustError

EPILOG = """
Exit codes: 0 done; 1 unexpected failure; 2 wrong command line or settings; 3 something is worse than it may be; 4 done,
but some photos failed; 5 something is missing (weights, device, permission); 6 verify found differences; 130
interrupted (the same command continues).
"""

app = typer.Typer(
    name="segrobust",
    epilog=EPILOG,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(listing.app, name="ls")
app.add_typer(models.app, name="models")
app.add_typer(datasets.app, name="datasets")
app.add_typer(universal.app, name="universal")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"segrobust {__version__}")
        raise typer.Exit


@app.callback(
    help="""How easily does an image nobody would notice break a Segment Anything model?

\b
Examples (offline, with the embedded model):
  segrobust attack examples/coffee.png -o runs/coffee
  segrobust verify runs/coffee
  segrobust ls attacks
"""
)
def _main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Attack photos, verify results, list models and attacks, examine this machine."""
    need_command(context)


def _finish(work: Callable[[], int], interrupted: str) -> NoReturn:
    """Do a command's work and exit with its code; typer would swallow an interruption without a word."""
    try:
        code = work()
    except KeyboardInterrupt:
        code = _complain(interrupted, 130)
    raise typer.Exit(code)


attacking.add_command(app, _finish, EPILOG)
plans.add_commands(app, _finish, EPILOG)
least.add_commands(app, _finish, EPILOG)


@app.command(
    help="""Read the folder of a run or a plan back and measure everything again.

\b
Example:
  segrobust verify runs/coffee
""",
    epilog=EPILOG,
)
def verify(
    folder: Annotated[Path, typer.Argument(help="The folder of a run or a plan.")],
    tolerance: Annotated[
        float, typer.Option(help="Allowed difference of a score; another device may need more.", min=0)
    ] = 1e-6,
) -> None:
    """See ``segrobust verify --help``."""
    _finish(lambda: commands.verify_folder(folder, tolerance), "interrupted")


@app.command(
    help="""Write the report of a plan's run: report.html (one file, works offline) and report.md.

\b
Example:
  segrobust report runs/paper-transfer
""",
    epilog=EPILOG,
)
def report(folder: Annotated[Path, typer.Argument(help="The folder of a plan's run.")]) -> None:
    """See ``segrobust report --help``."""
    from segrobust.cli import report as reports

    _finish(lambda: reports.report(folder), "interrupted")


@app.command(
    help="""Compare two runs of a plan photo by photo: what got worse. Exit code 3 if anything did.

\b
Example:
  segrobust compare runs/before runs/after --threshold 0.02
""",
    epilog=EPILOG,
)
def compare(
    first: Annotated[Path, typer.Argument(help="The folder of the earlier run, or its results.json.")],
    second: Annotated[Path, typer.Argument(help="The folder of the later one, or its results.json.")],
    threshold: Annotated[float, typer.Option(help="A score may fall by so much.", min=0, max=1)] = 0.01,
) -> None:
    """See ``segrobust compare --help``."""
    from segrobust.cli import report as reports

    _finish(lambda: reports.compare(first, second, threshold), "interrupted")


@app.command(
    help="""Everything that is known about one model.

\b
Example:
  segrobust show nano
""",
    epilog=EPILOG,
)
def show(
    name: Annotated[str, typer.Argument(help="A name from segrobust ls models.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """See ``segrobust show --help``."""
    from segrobust.cli import catalogue

    _finish(lambda: catalogue.show_model(name, as_json), "interrupted")


@app.command(
    help="""What works on this machine, what does not, and the line that mends it.

\b
Example:
  segrobust doctor

Tries every required and optional package in a process of its own, offline. Exit code 0: everything required works,
whatever is optional; 5: something required does not.
""",
    epilog=EPILOG,
)
def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """See ``segrobust doctor --help``."""
    from segrobust.cli import doctor as examination

    _finish(lambda: examination.doctor(as_json), "interrupted")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; every deliberate error is one line on stderr and its exit code."""
    logging.getLogger("segrobust").addHandler(logging.NullHandler())
    say_warnings_of_models()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # an arrow or a file name must not end a run
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=arguments, prog_name="segrobust", standalone_mode=False) or 0
    except SegrobustError as error:
        code = _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        code = _complain("interrupted", 130)
    except Exception as error:
        # typer brings its own parser along, whose errors have only this method in common
        code = _misused(error) if hasattr(error, "format_message") else _unexpected(error)
    sys.exit(code)


def _misused(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    advice = f" (see '{context.command_path} --help')" if context else ""
    return _complain(" ".join(error.format_message().split()) + advice, 2)  # type: ignore[attr-defined]


def _unexpected(error: Exception) -> int:
    logging.getLogger("segrobust").exception("unexpected failure")
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return _complain(f"unexpected failure: {reason} (please report it)", 1)


def _complain(message: str, code: int) -> int:
    typer.echo(f"error: {message}", err=True)
    return code
