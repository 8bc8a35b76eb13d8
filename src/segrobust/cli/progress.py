"""Progress on stderr: a bar on a terminal, one line per item elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from segrobust.benchmark.folder import RunFolder
from segrobust.benchmark.items import Listener


class _Quiet:
    """Says nothing."""

    def item(self, done: int, total: int, image: str, row: str) -> None:
        """Nothing to say."""

    def step(self, done: int, total: int, loss: float) -> None:
        """Nothing to say."""

    def photo(self, folder: RunFolder, stem: str, path: Path) -> None:
        """Nothing to say."""


class _Lines(_Quiet):
    """One line per item, for logs."""

    def item(self, done: int, total: int, image: str, row: str) -> None:
        """Say which item begins."""
        typer.echo(f"[{done + 1}/{total}] {image}: {row}", err=True)


class _Bar(_Quiet):
    """A bar with the items, and the steps of the current one."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.items = self.progress.add_task("items", total=None)
        self.steps = self.progress.add_task("steps", total=None, visible=False)

    def item(self, done: int, total: int, image: str, row: str) -> None:
        """Move on to the next item."""
        self.progress.update(self.items, completed=done, total=total, description=f"{image}: {row}")
        self.progress.update(self.steps, visible=False)

    def step(self, done: int, total: int, loss: float) -> None:
        """Show the attack's loss."""
        self.progress.update(
            self.steps, completed=done, total=total, visible=done < total, description=f"loss {loss:.3f}"
        )


@contextmanager
def make_listener(progress: bool) -> Iterator[Listener]:
    """The listener that fits where stderr goes."""
    if not progress:
        yield _Quiet()
    elif sys.stderr.isatty():
        bar = _Bar()
        with bar.progress:
            yield bar
    else:
        yield _Lines()
