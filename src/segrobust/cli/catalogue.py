"""``segrobust ls models``, ``segrobust ls defences`` and ``segrobust show``: tables, for people and for programs."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from typing import Any

from segrobust.cli.output import columns, print_text
from segrobust.defences.table import KINDS
from segrobust.errors import ModelError
from segrobust.models.presence import file_of, where
from segrobust.models.registry import entries, find_entry
from segrobust.models.table import ModelEntry
from segrobust.models.weights import FILES

CAPABILITIES = ("gradient", "points", "boxes", "everything")

STATES = {
    "trained": "trained here; its model card has the scores",
    "parity": "agrees with its authors' code on the same weights",
    "random": "runs with random weights; never compared with its authors' code on real ones",
    "plug-in": "of another package",
}

OTHERS = """
Instead of a name: a folder (config.json, model.safetensors); a Hugging Face name of one of these
families; a file of weights (.pth, .pt, .safetensors); an ONNX file (model.onnx, or
encoder.onnx,decoder.onnx); an HTTP address; a Python function (package.module:function).
All about one of them: segrobust show NAME
"""


def list_models(as_json: bool) -> None:
    """Print the table of models, a group for each family."""
    if as_json:
        print_text(json.dumps([_plain(entry) for entry in entries()], indent=1))
        return
    for line in listing(entries()):
        print_text(line)


def list_defences(as_json: bool) -> None:
    """Print the table of defences."""
    if as_json:
        print_text(json.dumps([{"kind": kind} | dataclasses.asdict(entry) for kind, entry in KINDS.items()], indent=1))
        return
    rows = [[", ".join(entry.names), entry.does, entry.values] for entry in KINDS.values()]
    for line in columns([["names", "what is done to the photo", "values"], *rows]):
        print_text(line)
    print_text("\nAny value in its range is a name too. One after the other: jpeg-q75+bits-4. No defence: none.")


def show_model(name: str, as_json: bool) -> int:
    """Print everything that is known about one model.

    Raises:
        ModelError: the table has no such name.
    """
    entry = find_entry(name)
    if entry is None:
        close = get_close_matches(name, [e.name for e in entries()], n=1, cutoff=0.5)
        advice = f"; did you mean {close[0]!r}?" if close else ""
        raise ModelError(f"unknown model {name!r}{advice} (names: 'segrobust ls models')")
    if as_json:
        print_text(json.dumps(_plain(entry) | {"file": _file(name), "scores": _scores(entry)}, indent=1))
        return 0
    for line in columns(list(facts(entry))):
        print_text(line)
    return 0


def listing(models: Sequence[ModelEntry]) -> Iterator[str]:
    """The lines of ``segrobust ls models``, at most 100 columns wide for the names that are known here."""
    header = ["", "size", "can do", "licence", "weights", "here", "state", "needs"]
    families = list(dict.fromkeys(entry.family for entry in models))
    ordered = sorted(models, key=lambda entry: families.index(entry.family))
    lines = columns([header, *(_row(entry) for entry in ordered)])
    yield lines[0]
    for family, group in groupby(zip(ordered, lines[1:], strict=True), key=lambda pair: pair[0].family):
        yield family
        yield from (line for _, line in group)
    yield "\ncan do: G gradient (white box), P points, B boxes, E everything; needs: an extra"
    shown = {entry.state for entry in models}
    yield from (f"state {name}: {meaning}" for name, meaning in STATES.items() if name in shown)
    yield OTHERS.rstrip()


def _row(entry: ModelEntry) -> list[str]:
    able = "".join(word[0].upper() if word in entry.capabilities else "-" for word in CAPABILITIES)
    here = "yes" if where(entry) else "?" if entry.state == "plug-in" else "no"
    can = able if entry.capabilities else "?"
    return [
        f"  {entry.name}",
        _size(entry.parameters),
        can,
        entry.licence,
        _kind(entry),
        here,
        entry.state,
        entry.extra,
    ]


def _kind(entry: ModelEntry) -> str:
    """Where the weights come from, in a word."""
    if entry.loader == "loading:load_embedded":
        return "shipped" if entry.source.startswith("shipped") else "repository"
    if entry.loader == "loading:load_hub":
        return "hub"
    return "plug-in" if entry.state == "plug-in" else "download"


def _size(parameters: int) -> str:
    if not parameters:
        return "?"
    millions = parameters / 1e6
    return f"{millions:.0f} M" if millions >= 100 else f"{millions:.1f} M"


def _plain(entry: ModelEntry) -> dict[str, Any]:
    path = where(entry)
    values = vars(entry) | {"capabilities": list(entry.capabilities), "parameters": entry.parameters or None}
    return values | {"here": path is not None, "path": None if path is None else str(path)}


def _file(name: str) -> dict[str, Any] | None:
    """What is known of a model's single file of weights; None if it has none."""
    return next((dataclasses.asdict(file) for file in FILES if file.name == file_of(name)), None)


def _scores(entry: ModelEntry) -> dict[str, Any] | None:
    """The scores of a model's card; None if it has none here."""
    card = (where(entry) or Path()) / "card.json"
    return json.loads(card.read_text("utf-8")) if entry.state == "trained" and card.is_file() else None


def facts(entry: ModelEntry) -> Iterator[tuple[str, str]]:
    """What ``segrobust show`` says of a model, line by line."""
    path, file = where(entry), _file(entry.name)
    yield "name", entry.name
    yield "family", entry.family
    yield "parameters", f"{entry.parameters:,}" if entry.parameters else "not known before it is loaded"
    yield "can do", ", ".join(entry.capabilities) or "only the plug-in knows"
    yield "licence", entry.licence
    yield "state", f"{entry.state}: {STATES[entry.state]}"
    if entry.extra:
        yield "needs", f"pip install 'segrobust[{entry.extra}]'"
    yield "weights", entry.source
    yield "here", str(path) if path else "only the plug-in knows" if entry.state == "plug-in" else "no"
    if _kind(entry) == "hub" and path is None:
        yield "to get it", f"segrobust models download {entry.name}"
    if file:
        yield from _about_file(file)
    if "gradient" in entry.capabilities:
        yield "to attack it", f"segrobust attack PHOTO -m {entry.name}"
    else:
        yield "to attack it", "make the photo on a white box such as nano, and score it on this one"
    yield "in Python", f"segrobust.load({entry.name!r})"
    for data, table in (_scores(entry) or {}).items():
        scores = ", ".join(f"{kind} {table[f'{kind}_single']:.3f}" for kind in ("point", "centre", "box"))
        yield f"mIoU, {data}", f"{scores} (single mask; {table['photos']} photos)"


def _about_file(file: dict[str, Any]) -> Iterator[tuple[str, str]]:
    size = f", {file['size']:,} bytes" if file["size"] else ""
    known = file["sha256"] or (f"{file['digest']}..." if file["digest"] else "")
    yield "file", f"{file['file']}{size}{f', sha256 {known}' if known else ''}"
    yield "published at", file["page"]
    yield "to get it", f"segrobust models download {file['name']}"
