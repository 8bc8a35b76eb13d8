"""Write the measured tables into the documents, from stored runs.

    python -m benchmarks.write_docs [--runs runs]

Reads ``RUNS/sa1b/results.json`` and ``RUNS/demo/results.json`` (written by ``segrobust attack``; the commands are in
the documents), ``RUNS/PLAN/results.json`` of the plans that ship (by ``segrobust run``), ``RUNS/gradient_cost.txt`` and
``RUNS/guide.txt`` (the benchmarks' output) and the scores in the embedded models' ``card.json`` (training/score.py).
Copies the README's picture, and replaces what stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` in
README.md, docs/benchmarks.md, docs/research/ and the model cards; docs/models.md is write_models.py's and
docs/attacks.md write_attacks.py's. What has no stored run keeps the table it has.
"""

import argparse
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import robust_table, write_attacks, write_models
from benchmarks.boundary_table import boundaries_section
from benchmarks.markers import fill
from benchmarks.overlap_table import overlap_section
from benchmarks.plan_tables import command_of, plan_section
from benchmarks.rivals_table import ensembles_section, falsify_section, headline

from segrobust.models.presence import where
from segrobust.models.table import ENTRIES
from segrobust.report.tables import markdown_table, results_text

ROOT = Path(__file__).resolve().parent.parent
PICTURE = "chelsea.png"
PLANS = ("paper-white-box", "paper-ablation", "paper-transfer", "datasets", "defences")


def replace(document: Path, name: str, text: str) -> None:
    """Put text between the markers of a name."""
    document.write_text(fill(document.read_text(), name, text, document))


def run_text(folder: Path) -> str:
    """The tables of a run and the circumstances they were measured under."""
    results = json.loads((folder / "results.json").read_text())
    if results["failures"]:
        raise SystemExit(f"{folder} has failures; a published table may not")
    run = json.loads((folder / "run.json").read_text())
    grid = f"segment everything with {run['everything']['points_per_side']} points per side"
    weights = f"weights sha256 {run['model_sha256'][:12]}"
    return f"{results_text(results)}\n\n{circumstances(run)}; {grid}; {weights}."


def plan_text(folder: Path, section: Callable[[dict[str, Any], str], str] = plan_section) -> str:
    """The tables of a plan's run, in a folder of the plan's name."""
    results = json.loads((folder / "results.json").read_text())
    if results["failures"]:
        raise SystemExit(f"{folder} has failures; a published table may not")
    return section(results, command_of(folder, folder.name))


def circumstances(run: dict[str, Any]) -> str:
    """Where a run was made, and with what."""
    versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    return f"device {run['device']}, {run['threads']} threads, {run['dtype']}; {versions}"


def card_text(card: dict[str, Any]) -> str:
    """The scores of the model card as a table."""
    header = ["data", "prompt", "best of three", "best predicted", "single mask", "rank correlation"]
    rows = []
    for data, table in card.items():
        for kind in ("point", "centre", "box"):
            keys = ("best_of_three", "best_predicted", "single", "rank_correlation")
            rows.append([f"{data} ({table['photos']} photos, {table['regions']} regions)", kind])
            rows[-1] += [f"{table[f'{kind}_{key}']:.3f}" for key in keys]
    cosines = ", ".join(f"{data} {table['cosine_between_photos']:.3f}" for data, table in card.items())
    return f"{markdown_table(header, rows)}\n\nMean cosine between the embeddings of two photos: {cosines}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    args = parser.parse_args()
    for document, name, make in (
        ("docs/benchmarks.md", "sa1b", run_text),
        ("README.md", "demo", run_text),
        *(("docs/benchmarks.md", plan, plan_text) for plan in PLANS),
        ("docs/research/overlap.md", "overlap", partial(plan_text, section=overlap_section)),
        ("docs/research/falsify.md", "falsify-ideas", plan_text),
        ("docs/research/falsify.md", "falsify", partial(plan_text, section=falsify_section)),
        ("docs/research/falsify.md", "ensembles", partial(plan_text, section=ensembles_section)),
        ("README.md", "falsify", partial(plan_text, section=headline)),
        ("docs/research/boundaries.md", "boundaries", partial(plan_text, section=boundaries_section)),
    ):
        if (args.runs / name / "results.json").exists():
            replace(ROOT / document, name, make(args.runs / name))
        else:
            print(f"{document}: left as it is, there is no {args.runs / name}")
    if all((args.runs / plan / "results.json").exists() for plan in robust_table.PLANS):
        replace(ROOT / "docs/research/robust-targets.md", "robust", robust_table.robust_section(args.runs))
    if (args.runs / "demo/panels" / PICTURE).exists():
        shutil.copy(args.runs / "demo/panels" / PICTURE, ROOT / "docs/images/panel.png")
    files = [args.runs / name for name in ("gradient_cost.txt", "guide.txt")]
    if all(file.exists() for file in files):
        cost = "\n".join(file.read_text().strip() for file in files)
        replace(ROOT / "docs/benchmarks.md", "cost", f"```\n{cost}\n```")
    for entry in ENTRIES:
        if (scores := write_models.card(entry)) is not None:
            replace(where(entry) / "README.md", "scores", card_text(scores))
    write_models.main()
    write_attacks.main()


if __name__ == "__main__":
    main()
