"""``segrobust ls``: what there is."""

from typing import Annotated

import typer

from segrobust.cli import commands, datasets
from segrobust.cli.output import need_command

app = typer.Typer(help="List what there is.", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def _ls(context: typer.Context) -> None:
    """List what there is."""
    need_command(context)


@app.command("models")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Models by name: what each can do, its licence, and whether its weights are here."""
    from segrobust.cli import catalogue

    catalogue.list_models(as_json)


@app.command("attacks")
def list_attacks(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Attacks by name, with their parameters."""
    commands.list_attacks(as_json)


@app.command("defences")
def list_defences(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Defences by name: what each does to a photo, and which values it takes."""
    from segrobust.cli import catalogue

    catalogue.list_defences(as_json)


@app.command("datasets")
def list_datasets(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Kinds of data sets: what a folder must have, where the masks come from, and the terms."""
    datasets.list_datasets(as_json)
