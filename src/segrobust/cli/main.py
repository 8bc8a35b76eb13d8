"""``segrobust``: the entry point. Nothing heavy is imported before the command line is understood."""

import logging
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from segrobust import __version__
from segrobust.cli import commands, datasets, least, models, plans, universal
from segrobust.cli.aloud import say_warnings_of_models
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
listing = typer.Typer(help="List what there is.", invoke_without_command=True, rich_markup_mode=None)
app.add_typer(listing, name="ls")
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
    _need_command(context)


@listing.callback()
def _ls(context: typer.Context) -> None:
    """List what there is."""
    _need_command(context)


def _need_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def _finish(work: Callable[[], int], interrupted: str) -> NoReturn:
    """Do a command's work and exit with its code; typer would swallow an interruption without a word."""
    try:
        code = work()
    except KeyboardInterrupt:
        code = _complain(interrupted, 130)
    raise typer.Exit(code)


@app.command(
    help="""Attack photos and measure what is left of their segmentation.

\b
Examples (offline, with the embedded model):
  segrobust attack examples/coffee.png -o runs/coffee
  segrobust attack examples --controls --steps 20 -o runs/controls
  segrobust attack -c runs/coffee/config.yaml -o runs/again
""",
    epilog=EPILOG,
)
def attack(
    photos: Annotated[list[Path] | None, typer.Argument(help="Photos and folders of photos.")] = None,
    config: Annotated[
        Path | None, typer.Option("-c", "--config", help="Settings of an earlier run; flags override.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("-m", "--model", help="Name, folder or file (segrobust ls models). [nano]")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", help="File of weights for the named model. [where they are cached]")
    ] = None,
    attacks: Annotated[
        list[str] | None, typer.Option("--attack", help="Recipe (segrobust ls attacks); repeatable. [rga]")
    ] = None,
    pattern: Annotated[
        Path | None,
        typer.Option("--universal", help="Also, or only, a perturbation made by segrobust universal train."),
    ] = None,
    controls: Annotated[
        bool, typer.Option("--controls", help="Also run the controls: untargeted (lambda = 0), and random cells.")
    ] = False,
    protocol: Annotated[
        str | None,
        typer.Option(help="strict: budget on the original pixels. paper: at the model's resolution. [strict]"),
    ] = None,
    eps: Annotated[str | None, typer.Option(help="Largest change of a pixel, e.g. 8/255 or 8px. [8/255]")] = None,
    within: Annotated[
        str | None,
        typer.Option(help="Change only a region: box:x1,y1,x2,y2, click:x,y or mask:FILE.png. [everywhere]"),
    ] = None,
    band: Annotated[
        int | None, typer.Option(help="Spend the budget within so many pixels of boundaries. [everywhere]", min=1)
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Gradient steps. [40]")] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a parameter of the recipes, e.g. --set weight=0.5; repeatable."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random. [0]")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps. [auto]")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. [float32]")] = None,
    autocast: Annotated[
        str | None, typer.Option(help="bfloat16 or float16: multiply in this type, float32 weights stay. [off]")
    ] = None,
    max_memory: Annotated[
        str | None, typer.Option(help="What the process may take for a gradient, e.g. 6GiB. [what is free]")
    ] = None,
    compile_: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Compile the encoder with torch.compile. [off]")
    ] = None,
    points_per_side: Annotated[
        int | None, typer.Option(help="Segment everything's grid; the paper uses 64. [the model's own]")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--output", help="Run folder. [runs/MODEL-ATTACK]")] = None,
    progress: Annotated[bool, typer.Option(help="Show a progress bar on stderr.")] = True,
) -> None:
    """See ``segrobust attack --help``."""
    if pattern is not None:
        attacks, parameters = [*(attacks or ()), "universal"], [*(parameters or ()), f"file={pattern}"]
    if band is not None:
        parameters = [*(parameters or ()), f"band={band}"]
    flags = {
        "model": model,
        "checkpoint": checkpoint,
        "attacks": attacks,
        "protocol": protocol,
        "eps": eps,
        "within": within,
        "seed": seed,
        "device": device,
        "dtype": dtype,
        "autocast": autocast,
        "max_memory": max_memory,
        "compile": compile_,
        "points_per_side": points_per_side,
    }
    changed = {key: value for key, value in flags.items() if value is not None}
    _finish(
        lambda: commands.attack_photos(photos or [], config, changed, steps, parameters or [], controls, out, progress),
        "interrupted; the same command continues where it stopped",
    )


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


@listing.command("models")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Models by name: what each can do, its licence, and whether its weights are here."""
    from segrobust.cli import catalogue

    catalogue.list_models(as_json)


@listing.command("attacks")
def list_attacks(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Attacks by name, with their parameters."""
    commands.list_attacks(as_json)


@listing.command("defences")
def list_defences(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Defences by name: what each does to a photo, and which values it takes."""
    from segrobust.cli import catalogue

    catalogue.list_defences(as_json)


@listing.command("datasets")
def list_datasets(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Kinds of data sets: what a folder must have, where the masks come from, and the terms."""
    datasets.list_datasets(as_json)


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
