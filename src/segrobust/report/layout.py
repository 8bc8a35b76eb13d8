"""Which tables a report has, made from results.json. Data sets and protocols are never mixed in one table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from segrobust.benchmark.rows import CLEAN, CONTROLS, NO_DEFENCE
from segrobust.report.grids import DASH, Cell, Grid, Value, bounded, count, number, words

Results = Mapping[str, Any]
Column = tuple[str, Callable[[Cell], Value]]

PROTOCOLS = {
    "annotation": "against annotated masks",
    "clean": "against each target's own answers on the original",
    "everything": "segment everything, against what it finds on the original",
}
WHITE_BOX = "†"


def groups(results: Results) -> Iterator[tuple[str, str, list[Cell]]]:
    """Data set, protocol, and their cells in the order of tables."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in results["cells"]:
        found.setdefault((cell["dataset"], cell["protocol"]), []).append(cell)
    for (dataset, protocol), cells in found.items():
        yield dataset, protocol, cells


def attack_name(cell: Cell) -> str:
    """An attack as it is called in tables."""
    return str(cell["attack"]) + (" (adaptive)" if cell["adaptive"] else "")


def full_name(cell: Cell) -> str:
    """An attack with whom it was made on and shown to."""
    made = f" made on {cell['surrogate']}" if cell["surrogate"] and not cell["white_box"] else ""
    behind = f" behind {cell['defence']}" if cell["defence"] != NO_DEFENCE else ""
    return f"{attack_name(cell)}{made} → {cell['target']}{behind}"


def main_interval(cell: Cell) -> Cell | None:
    """The score that a cell is compared by."""
    found: Cell | None = (
        cell["everything"]["matched_miou"] if "everything" in cell else cell["all"]["miou"] if "all" in cell else None
    )
    return found


def score_name(cell: Cell) -> str:
    """What :func:`main_interval` is called."""
    return "matched mIoU" if cell["protocol"] == "everything" else "mIoU"


def tables_of(results: Results, protocol: str, cells: Sequence[Cell]) -> list[Grid]:
    """The tables of one data set and protocol."""
    open_cells = [cell for cell in cells if cell["defence"] == NO_DEFENCE]
    shown = [cell for cell in open_cells if "per_image" in cell or cell["failed"]]
    tables = [_wide("Attacks", results, shown, _MAIN[protocol == "everything"])]
    if protocol != "everything":
        tables += [
            _wide("By prompt type", results, shown, _PROMPTS),
            _wide("By size of the mask", results, shown, _SIZES, _sizes_note(results)),
            _wide("More measures", results, shown, _MORE),
        ]
    if len({cell["target"] for cell in open_cells}) > 1:
        tables.append(_by_target(open_cells))
    if len(open_cells) < len(cells):
        tables.append(by_defence(cells))
    return [table for table in tables if table.rows]


def _wide(title: str, results: Results, cells: Sequence[Cell], columns: Sequence[Column], note: str = "") -> Grid:
    rows = [[*_identity(cell), *(get(cell) for _, get in columns)] for cell in cells]
    return Grid(title, [*_IDENTITY, *(name for name, _ in columns)], rows, left=3, note=note)


_IDENTITY = ("attack", "made on", "shown to", "photos")


def _identity(cell: Cell) -> list[Value]:
    mark = f" {WHITE_BOX}" if cell["white_box"] else ""
    photos = count(cell["photos"])
    if cell["failed"]:
        photos = Value(f"{cell['photos']} of {cell['photos'] + cell['failed']}", cell["photos"])
    return [words(attack_name(cell)), words(cell["surrogate"]), words(cell["target"] + mark), photos]


def _of(*path: str, percent: bool = False) -> Callable[[Cell], Value]:
    """A column that takes an interval from inside a cell."""

    def get(cell: Cell) -> Value:
        found: Any = cell
        for key in path:
            found = (found or {}).get(key)
        return bounded(found, percent=percent)

    return get


def _plain(*path: str) -> Callable[[Cell], Value]:
    """The same without the interval."""

    def get(cell: Cell) -> Value:
        found: Any = cell
        for key in path:
            found = (found or {}).get(key)
        return number(found["value"] if found else None, 1)

    return get


_MAIN: tuple[tuple[Column, ...], ...] = (
    (
        ("mIoU ↑", _of("all", "miou")),
        ("ASR@50 ↓", _of("all", "asr50", percent=True)),
        ("ASR@10 ↓", _of("all", "asr10", percent=True)),
        ("ASR@50 of prompts that worked ↓", _of("conditional", "asr50", percent=True)),
    ),
    (
        ("matched mIoU ↑", _of("everything", "matched_miou")),
        ("mAP ↑", _of("everything", "map")),
        ("masks on the original", _plain("everything", "masks_clean")),
        ("masks found", _plain("everything", "masks_found")),
    ),
)
_PROMPTS: tuple[Column, ...] = (
    ("points: mIoU ↑", _of("points", "miou")),
    ("points: ASR@50 ↓", _of("points", "asr50", percent=True)),
    ("boxes: mIoU ↑", _of("boxes", "miou")),
    ("boxes: ASR@50 ↓", _of("boxes", "asr50", percent=True)),
)
_SIZES: tuple[Column, ...] = tuple(
    (f"{name}: mIoU ↑", _of("sizes", name, "miou")) for name in ("small", "medium", "large")
)
_MORE: tuple[Column, ...] = (
    ("mIoU per photo ↑", _of("macro", "miou")),
    ("boundary IoU ↑", _of("quality", "boundary_iou")),
    ("outline moved, pixels", _of("displacement")),
    ("precision ↑", _of("quality", "precision")),
    ("recall ↑", _of("quality", "recall")),
    ("F1 ↑", _of("quality", "f1")),
)


def _sizes_note(results: Results) -> str:
    sizes = results["definitions"]["sizes"]
    small, medium = round(sizes["small"][1] ** 0.5), round(sizes["medium"][1] ** 0.5)
    return f"Small: below {small} × {small} pixels; medium: below {medium} × {medium}; large: the rest."


def _by_target(cells: Sequence[Cell]) -> Grid:
    targets = list(dict.fromkeys(cell["target"] for cell in cells))
    lines: dict[tuple[str, str | None], dict[str, Cell]] = {}
    for cell in cells:
        lines.setdefault((attack_name(cell), cell["surrogate"]), {})[cell["target"]] = cell
    rows = []
    for (attack, surrogate), there in lines.items():
        shown = []
        for target in targets:
            value = bounded(main_interval(there[target])) if target in there else Value(DASH)
            marked = target in there and there[target]["white_box"]
            shown.append(Value(f"{value.text} {WHITE_BOX}", value.sort) if marked else value)
        rows.append([words(attack), words(surrogate), *shown])
    note = f"{score_name(cells[0])} ↑; {WHITE_BOX} white box, the rest is transfer."
    return Grid("By target", ["attack", "made on", *targets], rows, left=2, note=note)


def by_defence(cells: Sequence[Cell]) -> Grid:
    """No attack, the attack that did not know the defence, the one that did."""
    original = {(c["target"], c["defence"]): c for c in cells if c["recipe"] == CLEAN}
    lines: dict[tuple[str, str | None, str, str], dict[bool, Cell]] = {}
    for cell in cells:
        if cell["recipe"] not in CONTROLS:
            key = (cell["attack"], cell["surrogate"], cell["target"], cell["defence"])
            lines.setdefault(key, {})[cell["adaptive"]] = cell
    defended = {key[:3] for key in lines if key[3] != NO_DEFENCE}
    rows = []
    for (attack, surrogate, target, defence), there in lines.items():
        if (attack, surrogate, target) not in defended:
            continue
        clean = original.get((target, defence))
        ends = [bounded(main_interval(there[knows])) if knows in there else Value(DASH) for knows in (False, True)]
        if defence == NO_DEFENCE:
            ends[1] = Value(DASH)
        before = bounded(main_interval(clean)) if clean else Value(DASH)
        rows.append([words(defence), words(target), words(attack), words(surrogate), before, *ends])
    rows.sort(key=lambda row: (row[1].text, row[2].text, row[0].text != NO_DEFENCE))
    note = f"{score_name(cells[0])} ↑. A defence is worth what is left of it under the attack that knows it."
    header = ["defence", "target", "attack", "made on", "no attack", "attack that does not know it", "adaptive attack"]
    return Grid("By defence", header, rows, left=4, note=note)
