"""``segrobust``: the entry point. Nothing heavy is imported before the command line is understood."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import click
import typer

from segrobust import __version__
from segrobust.cli import commands
from segrobust.errors import SegrobustError

EPILOG = """
Exit codes: 0 done; 1 unexpected failure; 2 wrong command line or settings; 4 done, but some photos failed;
5 something is missing (weights, device, permission); 6 verify found differences; 130 interrupted (the same
command continues).
"""

app = typer.Typer(
    name="segrobust",
    help="How easily does an image nobody would notice break a Segment Anything model?",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
listing = typer.Typer(help="List what there is.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(listing, name="ls")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"segrobust {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Attack photos, verify results, list models and attacks."""


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
        str | None, typer.Option("-m", "--model", help="Name or folder (segrobust ls models). [nano]")
    ] = None,
    attacks: Annotated[
        list[str] | None, typer.Option("--attack", help="Recipe (segrobust ls attacks); repeatable. [rga]")
    ] = None,
    controls: Annotated[
        bool, typer.Option("--controls", help="Also run the controls: untargeted (lambda = 0), and random cells.")
    ] = False,
    protocol: Annotated[
        str | None,
        typer.Option(help="strict: budget on the original pixels. paper: at the model's resolution. [strict]"),
    ] = None,
    eps: Annotated[str | None, typer.Option(help="Largest change of a pixel, e.g. 8/255 or 8px. [8/255]")] = None,
    steps: Annotated[int | None, typer.Option(help="Gradient steps. [40]")] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a parameter of the recipes, e.g. --set weight=0.5; repeatable."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random. [0]")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps. [auto]")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. [float32]")] = None,
    points_per_side: Annotated[
        int | None, typer.Option(help="Segment everything's grid; the paper uses 64. [the model's own]")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--output", help="Run folder. [runs/MODEL-ATTACK]")] = None,
    progress: Annotated[bool, typer.Option(help="Show a progress bar on stderr.")] = True,
) -> None:
    """See ``segrobust attack --help``."""
    flags = {
        "model": model,
        "attacks": attacks,
        "protocol": protocol,
        "eps": eps,
        "seed": seed,
        "device": device,
        "dtype": dtype,
        "points_per_side": points_per_side,
    }
    changed = {key: value for key, value in flags.items() if value is not None}
    raise typer.Exit(
        commands.attack_photos(photos or [], config, changed, steps, parameters or [], controls, out, progress)
    )


@app.command(
    help="""Read a run folder back and measure everything again.

\b
Example:
  segrobust verify runs/coffee
""",
    epilog=EPILOG,
)
def verify(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
    tolerance: Annotated[
        float, typer.Option(help="Allowed difference of a score; another device may need more.", min=0)
    ] = 1e-6,
) -> None:
    """See ``segrobust verify --help``."""
    raise typer.Exit(commands.verify_folder(folder, tolerance))


@listing.command("models")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Models by name."""
    commands.list_models(as_json)


@listing.command("attacks")
def list_attacks(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Attacks by name, with their parameters."""
    commands.list_attacks(as_json)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; every deliberate error is one line on stderr and its exit code."""
    logging.getLogger("segrobust").addHandler(logging.NullHandler())
    try:
        code = app(args=list(arguments) if arguments is not None else None, standalone_mode=False) or 0
    except SegrobustError as error:
        code = _complain(str(error), error.exit_code)
    except click.exceptions.Abort:
        code = _complain("interrupted", 130)
    except click.ClickException as error:
        code = _complain(error.format_message(), 2)
    except KeyboardInterrupt:
        code = _complain("interrupted; the same command continues where it stopped", 130)
    except BrokenPipeError:
        code = 0
    except Exception as error:
        logging.getLogger("segrobust").exception("unexpected failure")
        code = _complain(f"unexpected failure: {type(error).__name__}: {error} (please report it)", 1)
    sys.exit(code)


def _complain(message: str, code: int) -> int:
    click.echo(f"error: {message}", err=True)
    return code
