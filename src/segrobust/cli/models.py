"""``segrobust models``: download, verify, path, convert."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from segrobust.cli.output import need_command, print_text
from segrobust.errors import ModelError, UsageError
from segrobust.models.registry import find_entry
from segrobust.models.weights import FILES, cache_folder, locate, weights_file

app = typer.Typer(
    help="""Weights: download, verify, find and convert.

\b
Example:
  segrobust models verify
""",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def _models(context: typer.Context) -> None:
    """Weights: download, verify, find and convert."""
    need_command(context)


@app.command(
    help="""Download weights, check them, and keep them where models are looked for.

An interrupted download goes on where it stopped. Files lie in $SEGROBUST_CACHE/weights (default
~/.cache/segrobust/weights), models by Hugging Face name in huggingface_hub's cache ($HF_HOME).
"""
)
def download(
    names: Annotated[list[str], typer.Argument(help="Names, as for path; or addresses (https://...) of files.")],
    url: Annotated[
        str | None, typer.Option("--url", help="Take the file from here; its size and hash are checked all the same.")
    ] = None,
    digest: Annotated[
        str | None, typer.Option("--sha256", help="What the sha256 must be, for a file whose hash is not known here.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also what is already here.")] = False,
    progress: Annotated[bool, typer.Option(help="Show progress on stderr.")] = True,
) -> None:
    """See ``segrobust models download --help``."""
    if len(names) > 1 and (url or digest):
        raise UsageError("--url and --sha256 go with one name")
    if digest and (len(digest) != 64 or set(digest.lower()) - set("0123456789abcdef")):
        raise UsageError(f"--sha256 takes 64 hexadecimal digits, got {digest!r}")
    try:
        for name in names:
            _download(name, url, digest, force=force, progress=progress)
    except KeyboardInterrupt:
        typer.echo("error: interrupted; the same command goes on where it stopped", err=True)
        raise typer.Exit(130) from None


def _download(name: str, url: str | None, digest: str | None, *, force: bool, progress: bool) -> None:
    from dataclasses import replace

    from segrobust.models.store import download, unlisted

    if _is_on_the_hub(name):
        if url or digest:
            raise UsageError(f"{name} comes from Hugging Face; --url and --sha256 go with names of single files")
        from segrobust.models.hub import download_from_hub

        print_text(f"{name}: {download_from_hub(name)}")
        return
    known = unlisted(name) if "://" in name else weights_file(name)
    if url:
        known = replace(known, urls=(url,), member="" if not url.endswith(".zip") else known.member)
    if digest:
        if known.sha256 and known.sha256 != digest.lower():
            raise UsageError(f"the sha256 of {name} is {known.sha256}, you asked for {digest}")
        known = replace(known, sha256=digest.lower())
    with _shown(known.file, progress) as listener:
        checked = download(known, listener, force=force)
    print_text(f"{known.name}: {checked.path}\n  sha256 {checked.sha256} ({checked.how}); licence: {known.licence}")


def _is_on_the_hub(name: str) -> bool:
    """Whether huggingface_hub keeps it; what came with segrobust is refused in words."""
    entry = find_entry(name)
    if entry is not None and entry.loader == "loading:load_embedded":
        raise UsageError(f"model {name!r} is {entry.source}; there is nothing to download or verify")
    if entry is not None:
        return entry.loader == "loading:load_hub"
    return "://" not in name and name.count("/") == 1 and not Path(name).exists()


@contextmanager
def _shown(file: str, wanted: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on a terminal, a line for every tenth elsewhere."""
    if not wanted:
        yield lambda here, total: None
    elif not sys.stderr.isatty():
        yield _Tenths(file)
    else:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

        parts = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(file, total=None)
            yield lambda here, total: bar.update(task, completed=here, total=total)


class _Tenths:
    """Says how far a download is, ten times."""

    def __init__(self, file: str) -> None:
        self.file, self.said = file, -1

    def __call__(self, here: int, total: int | None) -> None:
        tenth = here * 10 // total if total else 0
        if tenth != self.said:
            self.said = tenth
            share = f" ({tenth * 10} %)" if total else ""
            typer.echo(f"{self.file}: {here / 1e6:.0f} MB{share}", err=True)


@app.command(
    help="""Hash weights again and compare with what is known of them.

\b
Example:
  segrobust models verify

Exit code 6: a file is not what it should be.
"""
)
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names; without any, all files that are here.")] = None,
) -> None:
    """See ``segrobust models verify --help``."""
    wrong = 0
    for name in names or _here():
        wrong += _verify_on_the_hub(name) if _is_on_the_hub(name) else _verify_file(name)
    if not names and not _here():
        print_text(f"no weights in {cache_folder()}")
    raise typer.Exit(6 if wrong else 0)


def _here() -> list[str]:
    folder = cache_folder()
    return [known.name for known in FILES if any((folder / f).is_file() for f in (known.file, known.converted))]


def _verify_file(name: str) -> int:
    from dataclasses import replace

    from segrobust.models.store import check, recorded

    known, path = weights_file(name), locate(name)
    if path.name == known.converted:  # written here; what is published says nothing about it
        known = replace(known, size=None, sha256=None, digest="")
    try:
        checked = check(path, known, recorded(path))
    except ModelError as error:
        print_text(f"differs: {error}")
        return 1
    print_text(f"ok: {path}\n  sha256 {checked.sha256} ({checked.how})")
    return 0


def _verify_on_the_hub(name: str) -> int:
    from segrobust.models.hub import damaged_in_cache

    wrong = 0
    for file, damaged in damaged_in_cache(name):
        wrong += damaged
        print_text(f"differs: {file} is damaged; delete it and download it again" if damaged else f"ok: {file}")
    return wrong


@app.command(
    help="""Print where the weights of a model are on this machine.

\b
Example:
  segrobust models path nano
"""
)
def path(name: Annotated[str, typer.Argument(help="A name from segrobust ls models, or a Hugging Face name.")]) -> None:
    """See ``segrobust models path --help``."""
    entry = find_entry(name)
    if entry is not None and entry.loader == "loading:load_embedded":
        from segrobust.models.presence import where

        folder = where(entry)
        if folder is None:
            raise ModelError(f"model {name!r} is {entry.source}, not in the installed package")
        print_text(str(folder))
        return
    if _is_on_the_hub(name):
        from segrobust.models.hub import find_in_cache

        print_text(str(find_in_cache(name)))
        return
    print_text(str(locate(name)))


@app.command(
    help="""Write weights as safetensors, without pickle.

A SAM or SAM-HQ becomes a folder in transformers' layout; anything else one .safetensors file. A pickle of whole
Python objects (FastSAM's) may run any program when it is opened: only with --trust-pickle.
"""
)
def convert(
    file: Annotated[Path, typer.Argument(help="A .pth, .pt or .safetensors file.")],
    out: Annotated[Path, typer.Argument(help="A new folder, or a new .safetensors file.")],
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Open a pickle: I trust where it comes from.")
    ] = False,
) -> None:
    """See ``segrobust models convert --help``."""
    from segrobust.models.convert import convert
    from segrobust.models.store import record

    converted = convert(file, out, trust_pickle=trust_pickle)
    if converted.path.parent == cache_folder():
        record(converted.path)
    print_text(f"{converted.title}: {converted.path}\n  use it with: {converted.use}")
