"""The table of attacks on an adversarially trained model: what two runs took, on the photos that both have."""

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scored import FACTS, row

from segrobust.benchmark.results import aggregate


@pytest.fixture
def table(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root))
    return import_module("benchmarks.robust_table")


def run(made_on: str, scores: dict[str, tuple[float, float]], images: str, prompts: int = 4) -> dict[str, Any]:
    """What is left of nano and of nano-robust under attacks made on one of them."""
    rows = [
        row(attack, [iou] * prompts, image, target=target, protocol="clean", **_made_on(attack, made_on))
        for attack, left in (("clean", (1.0, 1.0)), *scores.items())
        for target, iou in zip(("nano", "nano-robust"), left, strict=True)
        for image in images
    ]
    found = aggregate(rows, FACTS)
    found["facts"] |= {"surrogates": [made_on], "targets": ["nano", "nano-robust"], "seed": 0}
    return found


def _made_on(attack: str, surrogate: str) -> dict[str, Any]:
    if attack == "clean":
        return {}
    return {"surrogate": surrogate, "recipe": attack.partition(",")[0].partition("[")[0]}


TRANSFERRED = {"rga, 120 gradients": (0.5, 0.9), "pgd, 120 gradients": (0.4, 0.95)}
ADAPTIVE = {"rga, 120 gradients": (0.8, 0.6), "pgd, 120 gradients": (0.9, 0.5), "rga[eps=4/255]": (0.95, 0.9)}


def test_what_is_taken_is_what_is_missing_in_order_of_the_adaptive_ones(table: ModuleType) -> None:
    text = table.robust_text(run("nano", TRANSFERRED, "abc"), run("nano-robust", ADAPTIVE, "ab"))
    lines = text.splitlines()
    rows = [[cell.strip().partition(" ")[0] for cell in line.split("|")[1:-1]] for line in lines[2:4]]
    assert rows == [
        ["`pgd`", "0.050", "0.500", "+0.100", "0.600", "0.100"],
        ["`rga`", "0.100", "0.400", "–", "0.500", "0.200"],
    ]
    assert "2 photos" in text
    assert "within 4/255 it takes 0.250 [0.250, 0.250] of" in text
    assert "4.00 [4.00, 4.00] times what RGA made on nano does" in text
    assert "of nano it takes 0.400 [0.400, 0.400] of what RGA made on nano takes" in text


def test_runs_of_other_photos_or_prompts_are_refused(table: ModuleType) -> None:
    mine = run("nano", TRANSFERRED, "ab")
    for other in (run("nano-robust", ADAPTIVE, "xy"), run("nano-robust", ADAPTIVE, "ab", prompts=3)):
        with pytest.raises(SystemExit, match="of other photos or prompts"):
            table.robust_text(mine, other)
    swapped = run("nano-robust", TRANSFERRED, "ab"), run("nano", ADAPTIVE, "ab")
    with pytest.raises(SystemExit, match="expected a run made on nano, got one on nano-robust"):
        table.robust_text(*swapped)
    other = run("nano-robust", ADAPTIVE, "ab")
    other["facts"]["protocol"] = {"prompts_from": "nano-robust"}
    with pytest.raises(SystemExit, match="differ in their protocol"):
        table.robust_text(mine, other)
    other = run("nano-robust", ADAPTIVE, "ab")
    other["failures"] = mine["failures"] = [{}]
    with pytest.raises(SystemExit, match="failures, or have some"):
        table.robust_text(mine, other)
    other["failures"] = mine["failures"] = []
    other["cells"] = [cell for cell in other["cells"] if cell["attack"] != "pgd, 120 gradients"]
    with pytest.raises(SystemExit, match="not in both runs: pgd"):
        table.robust_text(mine, other)


def test_the_page_gets_both_commands(table: ModuleType, tmp_path: Path) -> None:
    for plan, made_on, scores in (
        ("attacks-120-gradients", "nano", TRANSFERRED),
        ("robust", "nano-robust", ADAPTIVE),
    ):
        (tmp_path / plan).mkdir()
        (tmp_path / plan / "results.json").write_text(json.dumps(run(made_on, scores, "ab")))
        (tmp_path / plan / "plan.yaml").write_text("data: [{kind: bsds500, path: x, split: test, limit: '2'}]\n")
    text = table.robust_section(tmp_path)
    assert "segrobust run plans/robust.yaml --data FOLDER --split test --limit 2 -o runs/robust" in text
    assert "segrobust run plans/attacks-120-gradients.yaml --data FOLDER --split test --limit 2" in text
    assert "| `pgd`" in text
