"""Text and columns on stdout; help on stderr."""

import os
import sys
from collections.abc import Sequence

import typer


def print_text(text: str) -> None:
    """To stdout; when nobody reads on (``| head``), the work and its exit code stand."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, every column as wide as its widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def need_command(context: typer.Context) -> None:
    """Show the help of a group of commands that was called without one of them, and exit with code 2."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)
