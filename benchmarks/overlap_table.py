"""The tables of docs/research/overlap.md: what all plans show, and the pairs of guides that the hypotheses name."""

from typing import Any

from benchmarks.plan_tables import estimate_text, plan_section
from benchmarks.rivals_table import scores

from segrobust.evaluation.statistics import difference
from segrobust.report.tables import markdown_table

WITHOUT = "without a guide"
PAIRS = (
    ("crossing", "rga"), ("tree", "rga"), ("tree", "uncut"), ("atoms", "crossing"), ("atoms", "tree"),
    ("regions, contrast", "rga"), ("atoms, contrast", "atoms"), ("rga", "random cells"), ("rga", WITHOUT),
    ("atoms", WITHOUT), ("crossing", WITHOUT), ("tree", WITHOUT),
)  # fmt: skip
"""Each: what the first leaves minus what the second does."""


def pairs_text(results: dict[str, Any]) -> str:
    """Paired differences of mIoU in protocol clean, on each target.

    Args:
        results: ``results.json`` of plans/overlap.yaml.
    """
    targets, seed = results["facts"]["targets"], results["facts"]["seed"]
    cells = {(c["attack"], c["target"]): c for c in results["cells"] if c["protocol"] == "clean"}
    rows = []
    for first, second in PAIRS:
        sums = [[scores([cells[name, target]]) for name in (first, second)] for target in targets]
        found = [difference(a, b, seed=seed) for a, b in sums]
        rows.append([f"{first} − {second}", *(estimate_text(one, sign=True) for one in found)])
    return markdown_table(["guides", *targets], rows)


def overlap_section(results: dict[str, Any], command: str) -> str:
    """The pairs, then what all plans show.

    Args:
        results: ``results.json`` of plans/overlap.yaml, without failures.
        command: that makes it again.
    """
    return (
        "Differences of mIoU, protocol clean, with 95 % intervals over photos (paired); below zero the first guide is "
        f"stronger:\n\n{pairs_text(results)}\n\n{plan_section(results, command)}"
    )
