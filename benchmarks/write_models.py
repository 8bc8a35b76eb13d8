"""Write the tables of docs/models.md: what the table of models says, the model cards, and the stored measurements.

    python -m benchmarks.write_models

Reads src/segrobust/models/table.py, the ``card.json`` of every embedded model that is there, and the files in
benchmarks/results/ (each says in ``command`` what made it). ``make docs`` calls it. A model that is trained here but
has no card is not published as trained.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.markers import fill

from segrobust.models.presence import where
from segrobust.models.table import ENTRIES, ModelEntry
from segrobust.report.tables import markdown_table

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/models.md"
RESULTS = ROOT / "benchmarks/results"
STATES = {"trained": "trained and scored", "parity": "parity tested", "random": "runs on random weights"}
MISSING = "not here yet: no card"
MEASURED = ("full_size", "precision", "compile_cost")
"""Benchmarks with a place in the page; each has a function ``table(rows)`` and stores its rows under its name."""


def card(entry: ModelEntry) -> dict[str, Any] | None:
    """The scores of an embedded model, if both its weights and its card are here."""
    file = (where(entry) or Path("nowhere")) / "card.json"
    return json.loads(file.read_text("utf-8")) if entry.state == "trained" and file.exists() else None


def state(entry: ModelEntry) -> str:
    """How far a model is tested; nobody's word is taken for a training."""
    return MISSING if entry.state == "trained" and card(entry) is None else STATES[entry.state]


def names_table() -> str:
    """Every name, grouped by family."""
    header = ["name", "family", "parameters", "can do", "licence", "weights", "extra", "state"]
    families = list(dict.fromkeys(entry.family for entry in ENTRIES))
    rows = [
        [
            f"`{entry.name}`",
            entry.family,
            f"{entry.parameters / 1e6:.1f} M" if entry.parameters else "not known",
            ", ".join(entry.capabilities),
            entry.licence,
            entry.source,
            f"`{entry.extra}`" if entry.extra else "–",
            state(entry),
        ]
        for entry in sorted(ENTRIES, key=lambda entry: families.index(entry.family))
    ]
    return markdown_table(header, rows, left=len(header))


def scores_table() -> str:
    """The cards of the embedded models side by side."""
    cards = {entry.name: (entry, found) for entry in ENTRIES if (found := card(entry))}
    header = ["data", "model", "MB", "point", "centre", "box", "best of three: point", "box", "cosine between photos"]
    keys = (
        "point_single", "centre_single", "box_single", "point_best_of_three", "box_best_of_three",
        "cosine_between_photos",
    )  # fmt: skip
    rows = [
        [f"{data} ({table['photos']} photos, {table['regions']} regions)", f"`{name}`", _megabytes(entry)]
        + [f"{table[key]:.3f}" if key in table else "–" for key in keys]
        for data in dict.fromkeys(data for _, found in cards.values() for data in found)
        for name, (entry, found) in cards.items()
        if (table := found.get(data))
    ]
    absent = [f"`{entry.name}`" for entry in ENTRIES if state(entry) == MISSING]
    note = f"\n\nNot here yet, so without scores: {', '.join(absent)}." if absent else ""
    return markdown_table(header, rows, left=2) + note


def _megabytes(entry: ModelEntry) -> str:
    folder = where(entry)
    assert folder is not None
    return f"{(folder / 'model.safetensors').stat().st_size / 1e6:.1f}"


def measured(name: str) -> str:
    """A stored benchmark and its circumstances; what would measure it, if it is not stored."""
    file = RESULTS / f"{name}.json"
    if not file.exists():
        by = f": `python benchmarks/{name}.py`" if (ROOT / f"benchmarks/{name}.py").exists() else ""
        return f"Not measured yet{by}."
    stored = json.loads(file.read_text("utf-8"))
    table = import_module(f"benchmarks.{name}").table(stored["rows"])
    return f"{table}\n\n{circumstances(stored)}"


def circumstances(stored: dict[str, Any]) -> str:
    """With which command and settings something was measured, and where, on one line."""
    known = ("rows", "command", "versions", "threads", "device", "machine")
    settings = [f"{key.replace('_', ' ')} {value}" for key, value in stored.items() if key not in known]
    places = [str(stored[key]) for key in ("device", "machine") if key in stored]
    about = ", ".join([*settings, *places, f"{stored['threads']} threads"])
    versions = ", ".join(f"{name} {number}" for name, number in stored["versions"].items())
    return f"`{stored['command']}`: {about}; {versions}."


def render(page: str) -> str:
    """The page with everything between its markers made anew."""
    parts = {"names": names_table(), "scores": scores_table()} | {name: measured(name) for name in MEASURED}
    for name, text in parts.items():
        page = fill(page, name, text, PAGE)
    return page


def main() -> None:
    PAGE.write_text(render(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
