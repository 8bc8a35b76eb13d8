"""The measured tables of docs/attacks.md: every recipe at 40 steps and at 120 encoder gradients, and on a robust model.

    python -m benchmarks.attack_table plans                    write the plans, one for each table
    segrobust run plans/attacks-40-steps.yaml --data FOLDER --limit 8 -o runs/attacks-40-steps
    segrobust run plans/attacks-120-gradients.yaml --data FOLDER --limit 8 -o runs/attacks-120-gradients
    segrobust run plans/robust.yaml --data FOLDER --limit 8 -o runs/robust
    python -m benchmarks.attack_table table runs/attacks-40-steps runs/attacks-120-gradients runs/robust

The last one writes benchmarks/results/attacks.json, of which ``make docs`` makes the tables. A table may come from
several runs on the same photos, so that a recipe that was added later needs a run of its own only.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from benchmarks.attack_variants import BUDGETS, LEFT_OUT, QUESTIONS, attacks, label, parameters, split
from benchmarks.plan_tables import command_of

from segrobust.benchmark.plans.parts import CONTROLS
from segrobust.benchmark.rows import CLEAN

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks/results/attacks.json"
EMBEDDED = ("nano", "nano-hiera", "nano-vit", "nano-conv", "nano-robust")
SAME = ("datasets", "models", "protocol", "seed", "versions")
"""Facts that runs of one table must share."""

Results = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """What a table is of: all recipes at a budget, made on one model.

    Attributes:
        plan: its name.
        budget: one of ``BUDGETS``.
        made_on: the surrogate.
        targets: models that the photos are shown to.
        shows: what its plan is for, in two lines at most.
        further: entries of the plan that are in no table of this kind.
    """

    plan: str
    budget: str
    made_on: str
    targets: tuple[str, ...]
    shows: str
    further: tuple[dict[str, Any], ...] = ()

    @property
    def file(self) -> Path:
        """Where its plan is."""
        return ROOT / "plans" / f"{self.plan}.yaml"


KINDS = (
    Kind(
        "attacks-40-steps",
        BUDGETS[0],
        "nano",
        EMBEDDED,
        "every recipe, with its authors' numbers, at 40 steps. docs/attacks.md has the table made of it.",
    ),
    Kind(
        "attacks-120-gradients",
        BUDGETS[1],
        "nano",
        EMBEDDED,
        "every recipe, with its authors' numbers, at 120 gradients. docs/attacks.md has the table made of it.",
    ),
    Kind(
        "robust",
        BUDGETS[1],
        "nano-robust",
        ("nano-robust", "nano"),
        "every recipe, at 120 gradients, made on a model that was trained against attacks within 4/255, so\n"
        "# RGA is made there too. Beside attacks-120-gradients.yaml it answers docs/research/robust-targets.md.",
        ({"attack": "rga", "epsilons": ["4/255"]},),
    ),
)


def plan_text(kind: Kind) -> str:
    """The plan of a table: all recipes but those that it says nothing about."""
    name = kind.file.name
    head = f"""# segrobust run plans/{name} --data FOLDER --limit 8 -o runs/{kind.plan}
#
# FOLDER holds photos, with or without annotations. Written by: python -m benchmarks.attack_table plans
# Expected time: many minutes a photo; 'segrobust validate plans/{name} --data FOLDER' measures it.
# What it shows: {kind.shows}
"""
    entries = [
        {"attack": name, "label": label(name, kind.budget), **parameters(name, kind.budget)}
        for name in attacks()
        if name not in LEFT_OUT[kind.budget]
    ]
    listed = "".join(
        f"  - {yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=1000)}"
        for entry in (*entries, *kind.further)
    )
    prompts = "" if kind.made_on == EMBEDDED[0] else f"prompts_from: {EMBEDDED[0]}\n"  # the same in all tables
    return f"""{head}
surrogates: [{kind.made_on}]
targets: [{", ".join(kind.targets)}]
epsilons: [8/255]
data:
  - {{kind: auto, path: "${{DATA}}"}}
protocols: [clean]
{prompts}seed: 0
attacks:
{listed}"""


def tables(runs: Sequence[Results]) -> list[dict[str, Any]]:
    """One table for each kind that the runs have something of.

    Raises:
        SystemExit: a run has failures, a recipe has no row and no reason, or runs of a table differ in what counts.
    """
    found = [_table(kind, parts) for kind in KINDS if (parts := [run for run in runs if any(_cells(run, kind))])]
    if not found:
        raise SystemExit(f"no attack in these runs is at one of the budgets {', '.join(BUDGETS)}")
    return found


def _table(kind: Kind, runs: Sequence[Results]) -> dict[str, Any]:
    facts, budget, what = runs[0]["facts"], kind.budget, f"{kind.budget}, made on {kind.made_on}"
    rows: dict[str, dict[str, Any]] = {}
    for run in runs:
        if run["failures"]:
            raise SystemExit(f"{what}: a run has failures; a published table may not")
        if different := [key for key in SAME if run["facts"][key] != facts[key]]:
            raise SystemExit(f"{what}: a run has another {different[0]} than the first")
        for name, cell in _cells(run, kind):
            _add(rows, name, cell)
    for cell in (cell for cell in runs[0]["cells"] if cell["attack"] in (CLEAN, *CONTROLS)):  # at the table's budget
        _add(rows, cell["recipe"], cell)
    wanted = [name for name in attacks() if name not in LEFT_OUT[budget]]
    if missing := [name for name in wanted if name not in rows]:
        raise SystemExit(f"{what}: no row of {', '.join(missing)}; run the plan of: attack_table plans")
    return {
        "budget": budget,
        "made_on": kind.made_on,
        "photos": runs[0]["photos"],
        "targets": facts["targets"],
        "rows": list(rows.values()),
        "left_out": {name: reason for name, reason in LEFT_OUT[budget].items() if name not in rows},
        "data": {name: about["terms"] for name, about in facts["datasets"].items()},
        "seed": facts["seed"],
        "protocol": facts["protocol"],
        "level": runs[0]["intervals"]["level"],
    }


def _cells(run: Results, kind: Kind) -> Iterator[tuple[str, dict[str, Any]]]:
    for cell in run["cells"]:
        named = split(cell["attack"])
        if named is not None and named[1] == kind.budget and cell["surrogate"] == kind.made_on:
            yield named[0], cell


def _add(rows: dict[str, dict[str, Any]], name: str, cell: dict[str, Any]) -> None:
    """A cell is one target's part of a row."""
    cost = cell.get("cost", {"encoder_backward": 0})
    row = rows.setdefault(
        name,
        {
            "attack": name,
            "gradients": round(cost["encoder_backward"] / cell["photos"], 1),
            "changed": {key: value for key, value in cell["parameters"].items() if cell["recipe"] == name},
            "note": QUESTIONS.get(name, ""),
            "miou": {},
        },
    )
    if cell["target"] in row["miou"]:
        raise SystemExit(f"{name} is in several runs or data sets, which cannot be one row")
    score = cell["all"]["miou"]
    row["miou"][cell["target"]] = [score["value"], score["low"], score["high"]]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    what.add_parser("plans", help="write the plans")
    table = what.add_parser("table", help="write the table of finished runs")
    table.add_argument("runs", nargs="+", type=Path, help="folders of segrobust run")
    args = parser.parse_args(argv)
    if args.what == "plans":
        for kind in KINDS:
            kind.file.write_text(plan_text(kind), "utf-8")
            print(kind.file.relative_to(ROOT))
        return
    results = [json.loads((run / "results.json").read_text("utf-8")) for run in args.runs]
    found = tables(results)
    for made in found:
        kind = next(kind for kind in KINDS if (kind.budget, kind.made_on) == (made["budget"], made["made_on"]))
        first = next(run for run, result in zip(args.runs, results, strict=True) if any(_cells(result, kind)))
        made["command"] = command_of(first, kind.plan)
    RESULTS.write_text(json.dumps({"tables": found}, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for made in found:
        print(f"{RESULTS.relative_to(ROOT)}: {len(made['rows'])} rows at {made['budget']}, made on {made['made_on']}")


if __name__ == "__main__":
    main()
