"""The tables of a transfer experiment: rows are attacks and whom they were made on, columns are targets."""

from collections.abc import Callable, Mapping
from typing import Any

from segrobust.report.tables import failure_lines, markdown_table, percent, settings_text, share

Cell = Mapping[str, Any]
REFERENCES = (
    ("annotation_reference", "the annotation beside the photo"),
    ("clean_reference", "each target's own answers on the original photo"),
)
WHITE_BOX = " †"


def transfer_text(results: Mapping[str, Any]) -> str:
    """Everything a reader needs beside the numbers (rule 3 of the house), and the tables.

    Args:
        results: the ``results.json`` of a plan.
    """
    parts = [_headline(results), _models(results)]
    for kind, title in REFERENCES:
        cells = [row for row in results["rows"] if kind in row]
        if cells:
            parts.append(f"Reference: {title} ({_counted(results, cells, kind)})")
            parts += [f"{name}\n\n{_table(results, kind, text)}" for name, text in _METRICS[kind].items()]
    failures = failure_lines(_as_items(results["failures"]))
    return "\n\n".join(parts + (["\n".join(failures)] if failures else []))


def _headline(results: Mapping[str, Any]) -> str:
    worst = max((row["max_linf_255"] for row in results["rows"] if "max_linf_255" in row), default=0)
    return (
        f"transfer: attacked on {', '.join(results['surrogates'])}, the saved photos scored on "
        f"{len(results['targets'])} targets; {settings_text(results)}\n"
        f"prompts shared by all targets; those of the clean reference ask for the masks of {results['prompts_from']}; "
        f"largest difference of a saved photo {worst}/255\n"
        f"{WHITE_BOX.strip()} white box: the target is the model that was attacked; all other cells are transfer"
    )


def _models(results: Mapping[str, Any]) -> str:
    header = ["model", "role", "weights sha256", "licence of the weights"]
    rows = []
    for name, facts in results["models"].items():
        roles = [role for role in ("surrogate", "target") if name in results[f"{role}s"]]
        loaded = "".join(f"; {key}={value}" for key, value in facts["loaded"].items())
        known = [facts["sha256"][:12] or "not known", facts["licence"] or "not known"]
        rows.append([name, ", ".join(roles) + loaded, *known])
    return markdown_table(header, rows, left=4)


def _counted(results: Mapping[str, Any], cells: list[Cell], kind: str) -> str:
    """How much the numbers stand on, where no photo failed."""
    full = max(cells, key=lambda cell: cell[kind]["photos"])[kind]
    text = f"{full['photos']} photos, {full['all']['n'] + full['all']['skipped']} prompts"
    if kind == "annotation_reference":
        return text + (f", {full['all']['skipped']} skipped (empty)" if full["all"]["skipped"] else "")
    empty = {c["target"]: c[kind]["empty"] for c in cells if c["surrogate"] is None and c[kind]["empty"]}
    return text + (f"; with an empty answer: {', '.join(f'{k} {v}' for k, v in empty.items())}" if empty else "")


def _table(results: Mapping[str, Any], kind: str, text: Callable[[Cell], str]) -> str:
    """One metric: a line for each attack, a column for each target."""
    cells = {(row["surrogate"], row["attack"], row["target"]): row for row in results["rows"]}
    lines = []
    for surrogate, attack in dict.fromkeys((s, a) for s, a, _ in cells):
        line = [cells[surrogate, attack, target] for target in results["targets"]]
        lines.append([surrogate or "–", attack, *(_cell(cell, kind, text) for cell in line)])
    return markdown_table(["made on", "attack", *results["targets"]], lines, left=2)


def _cell(cell: Cell, kind: str, text: Callable[[Cell], str]) -> str:
    """A number, on how few photos it stands where some failed, and whether it is white box."""
    mark = WHITE_BOX if cell["white_box"] else ""
    if kind not in cell:
        return "–" + mark
    partial = f" ({cell['photos']} of {cell['photos'] + cell['failed']})" if cell["failed"] else ""
    return text(cell[kind]) + partial + mark


def _miou(scores: Cell) -> str:
    drop = scores["all"]["drop"]
    change = f" ({-drop:+.3f})".replace("-", "−") if drop else ""
    return share(scores["all"]["miou"], 3) + change


def _parts(scores: Cell) -> str:
    return f"{share(scores['points']['miou'], 3)} / {share(scores['boxes']['miou'], 3)}"


def _asr(scores: Cell) -> str:
    return percent(scores["all"]["asr50"])


def _conditional(scores: Cell) -> str:
    of = scores["all"]["conditional"]
    return f"{percent(of['asr50'])} of {of['n']}"


_COMMON: dict[str, Callable[[Cell], str]] = {
    "mIoU ↑ (and its change from the original photos)": _miou,
    "mIoU ↑ of points / of boxes": _parts,
    "ASR@50 ↓: prompts with IoU ≤ 0.5": _asr,
}
_METRICS = {
    "annotation_reference": {**_COMMON, "ASR@50 ↓ among the prompts with IoU > 0.5 on the original": _conditional},
    "clean_reference": _COMMON,
}


def _as_items(failures: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [{**failure, "attack": f"{failure['row']} → {failure['target']}"} for failure in failures]
