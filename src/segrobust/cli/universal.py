"""``segrobust universal train``; heavy imports happen inside."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segrobust.cli.output import need_command, print_text
from segrobust.errors import PhotoError, SegrobustError, UsageError

if TYPE_CHECKING:
    from segrobust.attacks.loop import Progress

app = typer.Typer(
    help="""Universal perturbations: one change for all photos.

\b
Example:
  segrobust universal train examples --limit 1 --set epochs=1 -o runs/uap.npy
""",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def _universal(context: typer.Context) -> None:
    """Universal perturbations: one change for all photos."""
    need_command(context)


@dataclass(frozen=True)
class Training:
    """What ``segrobust universal train`` was asked for; see its options."""

    data: Path
    kind: str
    split: str | None
    limit: str | None
    model: str
    loading: dict[str, Any]
    recipe: str
    eps: str | None
    parameters: Sequence[str]
    seed: int
    out: Path | None


@app.command(
    help="""Train one perturbation on photos, and save it with a picture and a card.

\b
Example (offline, with the embedded model):
  segrobust universal train examples --limit 1 --recipe darksam --set epochs=1 -o runs/darksam.npy

Exit code 4: done, but some photos could not be read; the card names them.
"""
)
def train(
    data: Annotated[Path, typer.Argument(help="A folder of photos, or a data set (segrobust ls datasets).")],
    model: Annotated[str, typer.Option("-m", "--model", help="Name, folder or file (segrobust ls models).")] = "nano",
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", help="File of weights for the named model. [where they are cached]")
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="uap-momentum, darksam, darksam-code or sam-uap (docs/universal.md).")
    ] = "uap-momentum",
    eps: Annotated[str | None, typer.Option(help="Largest change of a pixel, e.g. 8/255. [the recipe's]")] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a parameter of the recipe, e.g. --set epochs=3; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    kind: Annotated[str, typer.Option("--kind", help="A kind from segrobust ls datasets.")] = "auto",
    split: Annotated[str | None, typer.Option("--split", help="One of the data set's own parts. [all]")] = None,
    limit: Annotated[
        str | None, typer.Option("--limit", help="Only the first: a number (10) or a share (10%). [all]")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    max_memory: Annotated[
        str | None, typer.Option(help="What the process may take for a gradient, e.g. 6GiB. [what is free]")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--output", help="A new .npy file. [runs/MODEL-RECIPE.npy]")] = None,
    progress: Annotated[bool, typer.Option(help="Show progress on stderr.")] = True,
) -> None:
    """See ``segrobust universal train --help``."""
    loading = {"checkpoint": checkpoint, "device": device, "dtype": dtype, "max_memory": max_memory}
    wanted = Training(data, kind, split, limit, model, loading, recipe, eps, tuple(parameters or ()), seed, out)
    try:
        code = train_on(wanted, progress)
    except KeyboardInterrupt:
        typer.echo("error: interrupted; nothing was saved", err=True)
        code = 130
    raise typer.Exit(code)


def train_on(wanted: Training, progress: bool) -> int:
    """Train, save and sum up; the exit code is 4 when photos were left out."""
    from segrobust import __version__
    from segrobust.attacks.universal.album import Shelf
    from segrobust.attacks.universal.files import SUFFIX, save_universal
    from segrobust.attacks.universal.recipe import make_universal
    from segrobust.attacks.universal.training import train_universal, training_budget
    from segrobust.models import load

    recipe = make_universal(wanted.recipe, **_parameters(wanted))
    budget = training_budget(recipe, wanted.eps)
    out = wanted.out or Path("runs") / f"{Path(wanted.model).name}-{wanted.recipe}{SUFFIX}"
    if out.suffix != SUFFIX:
        raise UsageError(f"a universal perturbation is a {SUFFIX} file, got {str(out)!r}")
    if out.exists():
        raise UsageError(f"{out} is there already; choose another file with -o")
    readers, left_out = _photos(wanted)
    model = load(wanted.model, **wanted.loading)
    with _shown(progress) as listener:
        trained = train_universal(model, Shelf(readers), recipe, budget=budget, seed=wanted.seed, progress=listener)
    about = {"segrobust": __version__, "command": ["segrobust", *sys.argv[1:]], "left_out": left_out}
    save_universal(out, type(trained)(trained.pattern, trained.epsilon, trained.fit, {**trained.card, **about}))
    loss, gradients = trained.card["loss"], trained.card["encoder_backward"]
    print_text(
        f"{wanted.recipe} on {len(readers)} photos: loss {loss[0]:.4g} at first, {loss[-1]:.4g} at last; "
        f"{len(loss)} steps, {gradients} encoder gradients"
    )
    names = ", ".join(str(out.with_suffix(suffix)) for suffix in (SUFFIX, ".png", ".json"))
    print_text(f"saved {names}\n  use it with: segrobust attack PHOTOS --universal {out}")
    if left_out:
        print_text(f"{len(left_out)} photos could not be read and were left out")
    return 4 if left_out else 0


def _parameters(wanted: Training) -> dict[str, Any]:
    """The changed parameters, each of the kind of its default."""
    import inspect

    from segrobust.attacks.universal.recipe import UNIVERSAL
    from segrobust.cli.commands import checked_parameters

    known = inspect.signature(UNIVERSAL[wanted.recipe]).parameters if wanted.recipe in UNIVERSAL else {}
    defaults = {key: parameter.default for key, parameter in known.items()}
    return checked_parameters(wanted.parameters, defaults, f"{wanted.recipe}: ")


def _photos(wanted: Training) -> tuple[list[Any], list[dict[str, str]]]:
    """Who reads each photo; and which cannot be read, and why."""
    from segrobust.io.datasets import open_dataset

    dataset = open_dataset(wanted.kind, wanted.data, split=wanted.split, limit=wanted.limit)
    readers, left_out = [], []
    for sample in dataset:
        try:
            sample.image()
            readers.append(sample.image)
        except SegrobustError as error:
            typer.echo(f"warning: left out: {error}", err=True)
            left_out.append({"name": sample.id, "error": str(error)})
    if not readers:
        raise PhotoError(f"{wanted.data}: none of {len(left_out)} photos can be read")
    return readers, left_out


@contextmanager
def _shown(wanted: bool) -> "Iterator[Progress | None]":
    """A bar on a terminal, a line for every tenth of the steps elsewhere."""
    if not wanted:
        yield None
    elif not sys.stderr.isatty():
        yield _say_tenths
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("training", total=None)
            yield lambda done, total, loss: bar.update(
                task, completed=done, total=total, description=f"loss {loss:.4g}"
            )


def _say_tenths(done: int, total: int, loss: float) -> None:
    if done * 10 // total != (done - 1) * 10 // total:
        typer.echo(f"step {done}/{total}: loss {loss:.4g}", err=True)
