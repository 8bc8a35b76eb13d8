"""The table of docs/research/robust-targets.md: all attacks on nano and nano-robust, made on the one and on the other.

    python -m benchmarks.robust_table runs/attacks-120-gradients runs/robust

prints it; write_docs.py puts it on its page. Counted are the photos that both runs have.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.attack_variants import QUESTIONS, split
from benchmarks.plan_tables import command_of, estimate_text
from benchmarks.rivals_table import scores

from segrobust.evaluation.statistics import Sums, difference, estimate, quotient
from segrobust.report.tables import markdown_table

Cell = dict[str, Any]
Cells = dict[tuple[str, str, str], Cell]
PLAIN, ROBUST = "nano", "nano-robust"
BASE = "rga"
HALF = "rga[eps=4/255]"
CLEAN = "clean"
SAME = ("versions", "seed", "protocol")
PLANS = ("attacks-120-gradients", "robust")
HEADER = (
    "attack", f"{ROBUST}, made on {PLAIN}", f"{ROBUST}, made on itself †", "minus RGA's", f"{PLAIN}, made on itself †",
    f"{PLAIN}, made on {ROBUST}",
)  # fmt: skip


def robust_text(transferred: dict[str, Any], adaptive: dict[str, Any]) -> str:
    """What attacks take, in four columns, and what the hypotheses ask for beside it.

    Args:
        transferred: ``results.json`` of plans/attacks-120-gradients.yaml.
        adaptive: that of plans/robust.yaml.

    Raises:
        SystemExit: the runs are of other photos, prompts or models, have failures, or one lacks an attack.
    """
    seed = adaptive["facts"]["seed"]
    for key in (*SAME, "failures"):
        first, second = (run[key] if key == "failures" else run["facts"][key] for run in (transferred, adaptive))
        if first != second or (key == "failures" and first):
            raise SystemExit(f"the two runs differ in their {key}, or have some that a published table may not have")
    cells = _cells(transferred, PLAIN) | _cells(adaptive, ROBUST)
    common = _photos(transferred, adaptive)

    def taken(attack: str, made_on: str, target: str) -> Sums:
        before, after = (scores([cells[name, made_on, target]]).at(common) for name in (CLEAN, attack))
        return Sums(before.images, before.sums - after.sums, before.counts)

    columns = ((PLAIN, ROBUST), (ROBUST, ROBUST), (PLAIN, PLAIN), (ROBUST, PLAIN))
    names = list(dict.fromkeys(name for name, made_on, _ in cells if name != CLEAN and made_on == PLAIN))
    if missing := [name for name in names if any((name, *column) not in cells for column in columns)]:
        raise SystemExit(f"not in both runs: {', '.join(missing)}")
    found = {name: [taken(name, *column) for column in columns] for name in names}
    base = found[BASE][1]
    ordered = sorted(names, key=lambda name: -estimate(found[name][1], seed=seed).value)
    rows = []
    for name in ordered:
        values = [estimate_text(estimate(sums, seed=seed)) for sums in found[name]]
        minus = "–" if name == BASE else estimate_text(difference(found[name][1], base, seed=seed), sign=True)
        rows.append([f"`{name}`" + (" *" if name in QUESTIONS else ""), *values[:2], minus, *values[2:]])
    photos = len(base.images)
    half = quotient(taken(HALF, ROBUST, ROBUST), base, seed=seed)
    gain = quotient(base, found[BASE][0], seed=seed)
    share = quotient(found[BASE][3], found[BASE][2], seed=seed)
    about = (
        f"What is taken of the mIoU, {photos} photos, 8/255, 120 gradients; † looked into. In brackets 95 % intervals "
        "over photos, differences and quotients paired. * Asks for something of its own: [attacks.md](../attacks.md)."
        f"\n\nRGA made on {ROBUST}: within 4/255 it takes {estimate_text(half)} of what it takes within 8/255; it "
        f"takes {estimate_text(gain, 2)} times what RGA made on {PLAIN} does; and of {PLAIN} it takes "
        f"{estimate_text(share)} of what RGA made on {PLAIN} takes."
    )
    return f"{markdown_table(list(HEADER), rows)}\n\n{about}"


def robust_section(runs: Path) -> str:
    """The table of the two runs' folders, and their commands."""
    read = [json.loads((runs / plan / "results.json").read_text("utf-8")) for plan in PLANS]
    commands = "\n".join(command_of(runs / plan, plan) for plan in PLANS)
    return f"```\n{commands}\n```\n\n{robust_text(read[0], read[1])}"


def _cells(results: dict[str, Any], made_on: str) -> Cells:
    """By recipe (the originals, controls and RGA's half budget too), surrogate and target."""
    if results["facts"]["surrogates"] != [made_on]:
        raise SystemExit(f"expected a run made on {made_on}, got one on {', '.join(results['facts']['surrogates'])}")
    found: Cells = {}
    for cell in results["cells"]:
        named = split(cell["attack"])
        found[named[0] if named else cell["attack"], made_on, cell["target"]] = cell
    return found


def _photos(*runs: dict[str, Any]) -> tuple[Any, ...]:
    """Those that all runs have, which must have asked the same number of prompts on them."""
    asked = []
    for results in runs:
        (cell,) = (c for c in results["cells"] if (c["attack"], c["target"]) == (CLEAN, PLAIN))
        asked.append(dict(zip(cell["per_image"]["image"], cell["per_image"]["n"], strict=True)))
    common = tuple(image for image in asked[0] if all(image in others for others in asked))
    if not common or any(others[image] != asked[0][image] for image in common for others in asked):
        raise SystemExit("the runs are of other photos or prompts; give both the same --split and --limit")
    return common


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs=2, help="folders of segrobust run, the one made on nano first")
    args = parser.parse_args()
    first, second = (json.loads((run / "results.json").read_text("utf-8")) for run in args.runs)
    print(robust_text(first, second))


if __name__ == "__main__":
    main()
