"""The README's table of attacks at equal budget says what results.json says, with quotients of the means."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scored import FACTS, row

from segrobust.benchmark.results import aggregate

IOUS = {
    ("clean", "nano"): 1.0, ("clean", "vit"): 1.0, ("clean", "conv"): 0.9,
    ("noise", "nano"): 0.9, ("noise", "vit"): 1.0, ("noise", "conv"): 0.9,
    ("rga", "nano"): 0.5, ("rga", "vit"): 0.8, ("rga", "conv"): 0.7,
    ("ours", "nano"): 0.25, ("ours", "vit"): 0.7, ("ours", "conv"): 0.5,
}  # fmt: skip


@pytest.fixture
def table(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root))
    return import_module("benchmarks.rivals_table")


@pytest.fixture
def results() -> dict[str, Any]:
    rows = [
        row(attack, [iou] * 4, image, target=target, protocol="clean")
        for (attack, target), iou in IOUS.items()
        for image in "abc"
    ]
    found = aggregate(rows, FACTS)
    found["facts"] |= {"surrogates": ["nano"], "targets": ["nano", "vit", "conv"], "seed": 0}
    return found


def test_quotients_are_those_of_the_means(table: ModuleType, results: dict[str, Any]) -> None:
    text = table.rivals_text(results, ["nano"])
    rows = {line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]] for line in text.splitlines()[2:5]}
    assert rows["rga"] == ["40", "0.500 [0.500, 0.500]", "1", "100.0 [100.0, 100.0]", "0.200 [0.200, 0.200]", "1"]
    assert rows["ours"][1:3] == ["0.250 [0.250, 0.250]", "0.50 [0.50, 0.50]"]
    assert rows["ours"][4:] == ["0.350 [0.350, 0.350]", "1.75 [1.75, 1.75]"]
    assert rows["noise"][0] == "0"
    assert rows["noise"][4] == "0.000 [0.000, 0.000]"


def test_ours_is_compared_with_each_of_the_others(
    table: ModuleType, results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "OURS", "ours")
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in table.against_text(results).splitlines()]
    assert lines[2:] == [["ours − rga", "-0.250 [-0.250, -0.250]", "+0.150 [+0.150, +0.150]"]]


def test_ensembles_have_rows_of_their_own_and_only_strangers_count(
    table: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second member of the ensemble is looked into as well, so ``conv`` alone is another model."""
    scores = {
        ("clean", None): (1.0, 1.0, 1.0),
        ("rga", "nano"): (0.5, 0.9, 0.8),
        ("rga", "nano+vit@alternate"): (0.6, 0.4, 0.5),
    }
    rows = [
        row(attack, [iou] * 4, image, target=target, protocol="clean", surrogate=made_on)
        for (attack, made_on), ious in scores.items()
        for target, iou in zip(("nano", "vit", "conv"), ious, strict=True)
        for image in "abc"
    ]
    found = aggregate(rows, FACTS)
    both = ["nano", "nano+vit@alternate"]
    found["facts"] |= {"surrogates": both, "targets": ["nano", "vit", "conv"], "seed": 0}
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in table.rivals_text(found, both).splitlines()]
    assert lines[0][1:4] == ["made on", "gradients", "nano: mIoU ↑"]
    assert lines[2][:2] + lines[2][4:5] + lines[2][-1:] == ["rga", "nano", "1", "1"]
    assert lines[3][:2] == ["rga", "nano+vit@alternate"]
    assert lines[3][4] == "1.20 [1.20, 1.20]"
    assert lines[3][-2:] == ["0.500 [0.500, 0.500]", "2.50 [2.50, 2.50]"]
    alone = [[c.strip() for c in line.split("|")[1:-1]] for line in table.headline(found, "").splitlines()]
    assert [line[0] for line in alone[2:-2]] == ["rga"]
    assert alone[2][-2] == "0.150 [0.150, 0.150]", "made on nano, both others count"
    monkeypatch.setattr(table, "plan_section", lambda results, command: command)
    monkeypatch.setattr(table, "OURS", "rga")
    said = table.falsify_section(found, "COMMAND").split("\n\n")
    assert [("vit, conv," in part, "other models: conv," in part) for part in (said[1], said[5])] == [
        (True, False), (False, True)
    ]  # fmt: skip
    gained = [cell.strip() for cell in said[6].splitlines()[2].split("|")[1:-1]]
    assert gained == [f"rga: {both[1]} − nano", "+0.100 [+0.100, +0.100]", "+0.300 [+0.300, +0.300]"]
    assert said[-1] == "COMMAND"
    assert table.ensembles_section(found, "COMMAND").split("\n\n")[:2] == said[4:6]


def test_cells_of_other_photos_are_not_compared(table: ModuleType, results: dict[str, Any]) -> None:
    for cell in results["cells"]:
        if (cell["attack"], cell["target"]) == ("ours", "conv"):
            cell["per_image"]["image"] = ["a", "b", "d"]
    with pytest.raises(SystemExit, match="ours on conv is scored on other photos or prompts"):
        table.rivals_text(results, ["nano"])


def test_the_command_is_the_plans_with_what_the_run_limited(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(root))
    command_of = import_module("benchmarks.plan_tables").command_of
    plan = tmp_path / "plan.yaml"
    plan.write_text("data: [{kind: bsds500, path: x, limit: 50, split: test}]\n")
    assert command_of(tmp_path, "falsify") == "segrobust run plans/falsify.yaml --data BSDS500_FOLDER -o runs/falsify"
    plan.write_text("data: [{kind: bsds500, path: x, limit: '7', split: test}]\n")
    assert "--data BSDS500_FOLDER --limit 7 -o runs/falsify" in command_of(tmp_path, "falsify")
    plan.write_text("data: [{kind: bsds500, path: x, limit: '7', split: val}]\n")
    assert "--data BSDS500_FOLDER --split val --limit 7 -o runs/falsify" in command_of(tmp_path, "falsify")
    plan.write_text("data: [{kind: bsds500, path: x, limit: '4', split: train}]\n")
    assert "--data BSDS500_FOLDER --limit 4 -o runs" in command_of(tmp_path, "falsify-ideas")  # its head has --limit 8
    plan.write_text("data: [{kind: bsds500, split: test, limit: '7'}, {kind: coco, split: test, limit: '8'}]\n")
    with pytest.raises(SystemExit, match="no --limit says"):
        command_of(tmp_path, "falsify")


def test_pairs_of_guides_are_differences_of_the_same_photos(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(root))
    pairs = import_module("benchmarks.overlap_table")
    left = {"rga": 0.5, "tree": 0.6, "uncut": 0.65, "atoms": 0.45}
    names = dict.fromkeys(name for pair in pairs.PAIRS for name in pair)
    rows = [
        row(name, [left.get(name, 0.5) + shift] * 4, image, target="nano", protocol="clean")
        for name in names
        for image, shift in (("a", 0.0), ("b", 0.1))
    ]
    found = aggregate(rows, FACTS)
    found["facts"] |= {"surrogates": ["nano"], "targets": ["nano"], "seed": 0}
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in pairs.pairs_text(found).splitlines()]
    assert ["tree − rga", "+0.100 [+0.100, +0.100]"] in lines
    assert ["tree − uncut", "-0.050 [-0.050, -0.050]"] in lines
    assert ["atoms − crossing", "-0.050 [-0.050, -0.050]"] in lines
