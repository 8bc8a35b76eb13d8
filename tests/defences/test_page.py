"""The page of defences and ``segrobust ls defences`` say what the table says."""

import json

import pytest
from commands import Cli, make_cli

from segrobust.defences.table import KINDS, NAMES


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(capsys)


def test_the_page_has_the_table(root):
    page = (root / "docs" / "defences.md").read_text("utf-8")
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in page.splitlines() if row.startswith("| `")]
    expected = [
        [
            f"`{kind.form}`",
            ", ".join(f"`{name}`" for name in kind.names),
            kind.does,
            kind.values or "–",
            kind.gradient,
            "yes" if kind.random else "no",
            kind.source or "–",
        ]
        for kind in KINDS.values()
    ]
    assert rows == expected


def test_ls_defences_names_them_all(cli):
    said = cli("ls", "defences")
    assert said.code == 0
    assert all(name in said.out for name in NAMES)
    assert max(len(line) for line in said.out.splitlines()) < 170


def test_ls_defences_as_json(cli):
    listed = json.loads(cli("ls", "defences", "--json").out)
    assert [entry["kind"] for entry in listed] == list(KINDS)
    assert next(entry for entry in listed if entry["kind"] == "jpeg")["names"][1] == "jpeg-q75"
