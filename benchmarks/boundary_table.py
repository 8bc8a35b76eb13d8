"""The table of docs/research/boundaries.md: how far outlines moved, in which direction, and how loud the change is."""

from typing import Any

from benchmarks.plan_tables import interval, number, plan_section

from segrobust.report.tables import markdown_table

Cell = dict[str, Any]
HEADER = (
    "attack", "mIoU ↑", "boundary IoU ↑", "outline moved, px", "of prompts", "precision", "recall", "L2 ↓", "PSNR dB ↑"
)  # fmt: skip


def boundaries_section(results: dict[str, Any], command: str) -> str:
    """What the plan found: for each target and protocol one table of boundaries, then what all plans show.

    Args:
        results: ``results.json`` of plans/boundaries.yaml, without failures.
        command: that makes it again.
    """
    cells = [cell for cell in results["cells"] if cell["protocol"] != "everything"]
    parts = []
    for target, protocol, dataset in dict.fromkeys((c["target"], c["protocol"], c["dataset"]) for c in cells):
        rows = [c for c in cells if (c["target"], c["protocol"], c["dataset"]) == (target, protocol, dataset)]
        parts.append(f"{dataset}, shown to {target}, protocol {protocol} ({max(c['photos'] for c in rows)} photos)")
        parts.append(markdown_table(list(HEADER), [_row(cell) for cell in rows]))
    parts.append("In brackets 95 % intervals over photos. The same rows with their paired differences:")
    return "\n\n".join([*parts, plan_section(results, command)])


def _row(cell: Cell) -> list[str]:
    moved, files = cell.get("displacement", {}), cell.get("files", {})
    share = f"{100 * moved['n'] / cell['prompts']:.0f} %" if moved and cell["prompts"] else "–"
    return [
        cell["attack"],
        interval(cell["all"]["miou"], 3),
        interval(cell["quality"]["boundary_iou"], 3),
        interval(moved, 1),
        share,
        number(cell["quality"]["precision"]["value"], 3),
        number(cell["quality"]["recall"]["value"], 3),
        number(files.get("l2"), 1),
        number(files.get("psnr"), 1),
    ]
