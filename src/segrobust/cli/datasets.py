"""``segrobust ls datasets`` and ``segrobust datasets check``; heavy imports happen inside."""

import json
from pathlib import Path
from typing import Annotated

import typer

from segrobust.cli.output import need_command, print_text

app = typer.Typer(
    help="""Data sets: find out what is wrong with one.

\b
Example:
  segrobust datasets check examples
""",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def _datasets(context: typer.Context) -> None:
    """Data sets: find out what is wrong with one."""
    need_command(context)


@app.command(
    help="""Read every photo and every mask of a data set, and say what is wrong: a line with a place for each problem.

\b
Examples:
  segrobust datasets check examples
  segrobust datasets check examples --kind images --limit 50%

Exit code 0: nothing is wrong; 4: something is.
"""
)
def check(
    path: Annotated[Path, typer.Argument(help="A folder, or a tar archive of SA-1B.")],
    kind: Annotated[str, typer.Option("--kind", help="A kind from segrobust ls datasets.")] = "auto",
    split: Annotated[
        str | None, typer.Option("--split", help="One of the data set's own parts, e.g. val. [all]")
    ] = None,
    limit: Annotated[
        str | None, typer.Option("--limit", help="Only the first: a number (10) or a share (0.1, 10%). [all]")
    ] = None,
    shard: Annotated[str | None, typer.Option("--shard", help="Only part i of n, e.g. 1/4. [all]")] = None,
) -> None:
    """See ``segrobust datasets check --help``."""
    try:
        code = check_folder(path, kind, split, limit, shard)
    except KeyboardInterrupt:
        typer.echo("error: interrupted; nothing was changed", err=True)
        code = 130
    raise typer.Exit(code)


def check_folder(path: Path, kind: str, split: str | None, limit: str | None, shard: str | None) -> int:
    """Print the problems as they are found, and a line that sums up; the exit code is 4 if there are any."""
    from segrobust.io.datasets import check_sample, open_dataset

    dataset = open_dataset(kind, path, split=split, limit=limit, shard=shard)
    masks, problems, bad = 0, len(dataset.problems), 0
    for problem in dataset.problems:
        print_text(problem)
    for sample in dataset:
        checked = check_sample(sample)
        for problem in checked.problems:
            print_text(problem)
        problems += len(checked.problems)
        bad += bool(checked.problems)
        masks += checked.masks or 0
    annotated = "no annotations" if dataset.kind == "images" else _count(masks, "mask")
    found = f"{dataset.root}: {dataset.kind}, {_count(len(dataset), 'photo')}, {annotated}"
    if not problems:
        print_text(f"{found}: nothing is wrong")
        print_text(f"terms: {dataset.terms}")
        return 0
    print_text(f"{found}: {_count(problems, 'problem')}, {_count(bad, 'photo')} not usable as they are")
    return 4


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def list_datasets(as_json: bool) -> None:
    """Print the kinds of data sets: what they are, what a folder must have, and their terms."""
    from segrobust.io.datasets import KINDS

    fields = ("title", "masks", "layout", "splits", "terms")
    kinds = {name: {field: getattr(kind, field) for field in fields} for name, kind in KINDS.items()}
    if as_json:
        print_text(json.dumps([{"name": name} | about for name, about in kinds.items()], indent=1))
        return
    for name, about in kinds.items():
        print_text(f"{name}: {about['title']}")
        for field in fields[1:]:
            if about[field]:
                print_text(f"  {field:7}{about[field]}")
    print_text("\nTo find out what is wrong with one: segrobust datasets check PATH")
