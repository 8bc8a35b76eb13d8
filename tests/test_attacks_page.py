"""docs/attacks.md says what the table of recipes says."""

import dataclasses
import json
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from segrobust.attacks.recipes import RECIPES, make_recipe
from segrobust.attacks.updates import MomentumSign
from segrobust.attacks.views import ScaleCopies


@pytest.fixture
def writer(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``benchmarks/write_attacks.py``, which is no part of the package."""
    monkeypatch.syspath_prepend(str(root))
    return import_module("benchmarks.write_attacks")


def rows(page: str) -> dict[str, list[str]]:
    found = re.search(r"<!-- begin attacks -->\n(.*?)<!-- end attacks -->", page, re.S)
    assert found
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()[2:]]
    return {line[0].strip("`"): line for line in lines}


def test_the_page_is_what_would_be_written_now(writer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the counted gradients, which the slow test counts."""
    page = writer.PAGE.read_text("utf-8")
    listed = rows(page)
    assert list(listed) == list(RECIPES)
    monkeypatch.setattr(writer, "gradients", lambda recipe: listed[recipe.name][-1])
    assert page == writer.render(page), "stale: python -m benchmarks.write_attacks"


@pytest.mark.slow
def test_the_gradients_are_counted(writer: ModuleType) -> None:
    page = writer.PAGE.read_text("utf-8")
    assert page == writer.render(page), "stale: python -m benchmarks.write_attacks"


def test_gradients_are_counted_on_the_stand_in(writer: ModuleType) -> None:
    few = dataclasses.replace(make_recipe("rga-untargeted"), steps=2)
    assert writer.gradients(few) == 6
    assert writer.gradients(make_recipe("ask-joint", steps=3)) == 3  # it cannot run there
    assert writer.gradients(make_recipe("noise")) == 0


def test_parts_show_what_is_not_their_default(writer: ModuleType) -> None:
    assert writer.part(MomentumSign(smoothing=15)) == "`MomentumSign` (smoothing=15)"
    assert writer.part(ScaleCopies()) == "`ScaleCopies`"
    assert writer.part(make_recipe("rga").goal) == "`LeaveTheEmbedding` (guide=regions, weight=1)"


def test_a_recipe_without_a_source_is_refused(writer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def mine() -> None:
        """What I thought of."""

    monkeypatch.setattr(writer, "RECIPES", {"mine": mine})
    with pytest.raises(SystemExit, match="mine says no 'Source"):
        writer.source("mine")


def test_what_was_measured_is_shown(writer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MEASURED", tmp_path / "attacks.json")
    assert writer.measured_table() == "Not measured yet."

    def row(name: str, note: str, value: float) -> dict[str, Any]:
        changed = {"steps": 40} if note else {}
        scores = {"nano": [value, value - 0.1, value + 0.1], "other": [0.5, None, None]}
        return {"attack": name, "gradients": 120.0, "changed": changed, "note": note, "miou": scores}

    table = {
        "budget": "40 steps", "photos": 2, "targets": ["nano", "other"], "made_on": "nano", "left_out": {},
        "rows": [row("pgd", "", 0.5), row("vanish", "keeps others", 0.25)], "command": "run it", "seed": 0,
        "data": {"bsds500": "free"}, "protocol": {"masks": 10, "points": 5, "boxes": 3}, "level": 0.95,
    }  # fmt: skip
    (tmp_path / "attacks.json").write_text(json.dumps({"tables": [table]}))
    lines = writer.measured_table().splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:6]]
    assert cells[0] == ["attack", "changed", "gradients", "nano †", "other"]
    assert cells[2] == ["`vanish` (1)", "steps=40", "120", "0.250 [0.150, 0.350]", "0.500"]
    assert cells[3] == ["`pgd`", "–", "120", "0.500 [0.400, 0.600]", "0.500"]
    assert "(1) keeps others." in lines[7]
    assert lines[-2] == "run it"
