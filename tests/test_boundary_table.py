"""The table of docs/research/boundaries.md says what results.json says."""

import json
import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from scored import FACTS, run_of

from segrobust.benchmark.plans.reading import read_plan
from segrobust.benchmark.plans.variants import variants
from segrobust.benchmark.results import aggregate


@pytest.fixture
def results() -> dict[str, object]:
    rows = []
    for row in run_of(3):
        if row.protocol != "everything" and row.attack == "rga":
            moved = {"displacement": [2.0, 4.0, None, None]}
            row = replace(row, item=row.item | {"prompts": row.item["prompts"] | moved})
        rows.append(row)
    facts = replace(FACTS, protocol=dict(FACTS.protocol) | {"prompts_from": "nano"})
    return aggregate(rows, facts) | {"failures": []}


@pytest.fixture
def writer(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root))
    return import_module("benchmarks.write_docs")


def test_rows_hold_what_was_measured(
    root: Path, writer: ModuleType, results: dict[str, object], tmp_path: Path
) -> None:
    run = tmp_path / "boundaries"
    run.mkdir()
    shutil.copy(root / "plans/boundaries.yaml", run / "plan.yaml")
    (run / "results.json").write_text(json.dumps(results))
    text = writer.plan_text(run, section=writer.boundaries_section)
    assert "```\nsegrobust run plans/boundaries.yaml --data" in text
    assert "photos, shown to nano, protocol annotation (3 photos)" in text
    table = text.partition("shown to nano, protocol annotation")[2].partition("shown to")[0]
    rows = {
        line.split("|")[1].strip(): [c.strip() for c in line.split("|")[1:-1]]
        for line in table.splitlines()[2:]
        if "|" in line
    }
    assert rows["attack"][3:5] == ["outline moved, px", "of prompts"]
    assert rows["rga"][3:5] == ["3.0 [3.0, 3.0]", "50 %"]
    assert rows["rga"][7:] == ["9.5", "33.0"]
    assert rows["clean"][3:5] == rows["clean"][7:] == ["–", "–"]  # an older run has none; the original has no file


def test_the_plan_can_be_read_and_its_page_is_waiting(root: Path, tmp_path: Path, writer: ModuleType) -> None:
    (tmp_path / "a.png").touch()
    plan = read_plan(root / "plans/boundaries.yaml", [str(tmp_path)], None)
    bands = {v.label: v.make().band for v in variants(plan)}
    assert (bands["rga"], bands["within 8 px"].pixels, bands["within 8 px, elsewhere"].elsewhere) == (None, 8, True)
    assert {"shift[pixels=-8]", "shift by guide[pixels=16]", "rga[eps=4/255]"} <= set(bands)
    page = (root / "docs/research/boundaries.md").read_text("utf-8")
    assert page.count("<!-- begin boundaries -->") == page.count("<!-- end boundaries -->") == 1
