"""docs/models.md says what the table of models, the model cards and the stored measurements say."""

import json
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from segrobust.models.table import ENTRIES, ModelEntry

MADE_UP = ModelEntry("made-up", "nobody's", 0, ("points",), "none", "nowhere", "loading:load_embedded", "trained")


@pytest.fixture
def writer(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``benchmarks/write_models.py``, which is no part of the package."""
    monkeypatch.syspath_prepend(str(root))
    return import_module("benchmarks.write_models")


def block(page: str, name: str) -> str:
    found = re.search(rf"<!-- begin {name} -->\n(.*?)<!-- end {name} -->", page, re.S)
    assert found
    return found[1]


def test_the_page_lists_exactly_the_names_of_the_table(root: Path) -> None:
    table = block((root / "docs/models.md").read_text("utf-8"), "names")
    listed = re.findall(r"^\| `([^`]+)`", table, re.M)
    assert sorted(listed) == sorted(entry.name for entry in ENTRIES)


def test_the_page_is_what_would_be_written_now(writer: ModuleType) -> None:
    page = writer.PAGE.read_text("utf-8")
    assert page == writer.render(page), "stale: python -m benchmarks.write_models"


def test_what_has_no_card_is_not_published_as_trained(writer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "ENTRIES", (*ENTRIES, MADE_UP))
    (row,) = [line for line in writer.names_table().splitlines() if "`made-up`" in line]
    assert row.endswith("| not here yet: no card  |")
    assert "trained and scored" in next(line for line in writer.names_table().splitlines() if "`nano` " in line)
    assert "Not here yet, so without scores: " in writer.scores_table()
    assert "`made-up`" in writer.scores_table().splitlines()[-1]


def test_the_scores_are_those_of_the_cards(writer: ModuleType, root: Path) -> None:
    card = json.loads((root / "src/segrobust/models/embedded/nano/card.json").read_text())
    rows = [line for line in writer.scores_table().splitlines() if "| `nano` " in line]
    assert len(rows) == len(card)
    assert f"{card['sa1b']['box_single']:.3f}" in rows[list(card).index("sa1b")]


def test_what_was_measured_is_shown_with_its_circumstances(
    writer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RESULTS", tmp_path)
    assert writer.measured("full_size") == "Not measured yet: `python benchmarks/full_size.py`."
    made = {
        "device": "cpu",
        "machine": "x86_64",
        "threads": 3,
        "versions": {"torch": "9.9"},
        "command": "measure it",
        "size_of": [2, 3],
    }
    (tmp_path / "full_size.json").write_text(json.dumps(made | {"rows": [1, 2]}))
    monkeypatch.setattr(writer, "import_module", lambda name: type(name, (), {"table": lambda rows: f"{name} {rows}"}))
    assert writer.measured("full_size") == (
        "benchmarks.full_size [1, 2]\n\n`measure it`: size of [2, 3], cpu, x86_64, 3 threads; torch 9.9."
    )


def test_a_page_without_a_place_for_a_table_is_refused(writer: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no pair of markers 'names'"):
        writer.render("# Models\n")
