"""The measured tables of docs/attacks.md: every recipe at 40 steps and at 120 encoder gradients.

    python -m benchmarks.attack_table plans                    write the two plans, one for each budget
    segrobust run plans/attacks-40-steps.yaml --data FOLDER --limit 8 -o runs/attacks-40-steps
    segrobust run plans/attacks-120-gradients.yaml --data FOLDER --limit 8 -o runs/attacks-120-gradients
    python -m benchmarks.attack_table table runs/attacks-40-steps runs/attacks-120-gradients

The last one writes benchmarks/results/attacks.json, of which ``make docs`` makes the tables. A budget may come from
several runs on the same photos, so that a recipe that was added later needs a run of its own only.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from benchmarks.attack_variants import BUDGETS, LEFT_OUT, QUESTIONS, attacks, label, parameters, split
from benchmarks.plan_tables import command_of

from segrobust.benchmark.plans.parts import CONTROLS
from segrobust.benchmark.rows import CLEAN

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks/results/attacks.json"
SURROGATE, TARGETS = "nano", ("nano", "nano-hiera", "nano-robust")
SAME = ("datasets", "models", "protocol", "seed", "versions")
"""Facts that runs of one table must share."""

Results = dict[str, Any]


def plan_file(budget: str) -> Path:
    """Where the plan of a budget is."""
    return ROOT / "plans" / f"attacks-{budget.replace(' ', '-')}.yaml"


def plan_text(budget: str) -> str:
    """The plan of a budget: all recipes but those that it says nothing about."""
    name = plan_file(budget).name
    head = f"""# segrobust run plans/{name} --data FOLDER --limit 8 -o runs/{plan_file(budget).stem}
#
# FOLDER holds photos, with or without annotations. Written by: python -m benchmarks.attack_table plans
# Expected time: many minutes a photo; 'segrobust validate plans/{name} --data FOLDER' measures it.
# What it shows: every recipe, with its authors' numbers, at {budget}. docs/attacks.md has the table made of it.
"""
    entries = [
        {"attack": name, "label": label(name, budget), **parameters(name, budget)}
        for name in attacks()
        if name not in LEFT_OUT[budget]
    ]
    listed = "".join(
        f"  - {yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=1000)}" for entry in entries
    )
    return f"""{head}
surrogates: [{SURROGATE}]
targets: [{", ".join(TARGETS)}]
epsilons: [8/255]
data:
  - {{kind: auto, path: "${{DATA}}"}}
protocols: [clean]
seed: 0
attacks:
{listed}"""


def tables(runs: Sequence[Results]) -> list[dict[str, Any]]:
    """One table for each budget that the runs have something of.

    Raises:
        SystemExit: a run has failures, a recipe has no row and no reason, or runs of a table differ in what counts.
    """
    found = []
    for budget in BUDGETS:
        parts = [run for run in runs if any(_cells(run, budget))]
        if parts:
            found.append(_table(budget, parts))
    if not found:
        raise SystemExit(f"no attack in these runs is at one of the budgets {', '.join(BUDGETS)}")
    return found


def _table(budget: str, runs: Sequence[Results]) -> dict[str, Any]:
    facts = runs[0]["facts"]
    rows: dict[str, dict[str, Any]] = {}
    for run in runs:
        if run["failures"]:
            raise SystemExit(f"{budget}: a run has failures; a published table may not")
        if different := [key for key in SAME if run["facts"][key] != facts[key]]:
            raise SystemExit(f"{budget}: a run has another {different[0]} than the first")
        for name, cell in _cells(run, budget):
            _add(rows, name, cell)
    for cell in (cell for cell in runs[0]["cells"] if cell["recipe"] in (CLEAN, *CONTROLS)):
        _add(rows, cell["recipe"], cell)
    wanted = [name for name in attacks() if name not in LEFT_OUT[budget]]
    if missing := [name for name in wanted if name not in rows]:
        raise SystemExit(f"{budget}: no row of {', '.join(missing)}; run the plan of: attack_table plans")
    return {
        "budget": budget,
        "photos": runs[0]["photos"],
        "targets": facts["targets"],
        "white_box": [name for name in facts["targets"] if name in facts["surrogates"]],
        "rows": list(rows.values()),
        "left_out": {name: reason for name, reason in LEFT_OUT[budget].items() if name not in rows},
        "data": {name: about["terms"] for name, about in facts["datasets"].items()},
        "seed": facts["seed"],
        "protocol": facts["protocol"],
        "level": runs[0]["intervals"]["level"],
    }


def _cells(run: Results, budget: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for cell in run["cells"]:
        named = split(cell["attack"])
        if named is not None and named[1] == budget:
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
        for budget in BUDGETS:
            plan_file(budget).write_text(plan_text(budget), "utf-8")
            print(plan_file(budget).relative_to(ROOT))
        return
    results = [json.loads((run / "results.json").read_text("utf-8")) for run in args.runs]
    found = tables(results)
    for made in found:
        budget = made["budget"]
        first = next(run for run, result in zip(args.runs, results, strict=True) if any(_cells(result, budget)))
        made["command"] = command_of(first, plan_file(budget).stem)
    RESULTS.write_text(json.dumps({"tables": found}, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for made in found:
        print(f"{RESULTS.relative_to(ROOT)}: {len(made['rows'])} rows at {made['budget']}")


if __name__ == "__main__":
    main()
