"""``segrobust ls datasets`` and ``segrobust datasets check``, and the page that describes them."""

import json
import re
from pathlib import Path

import pytest
from commands import Cli, make_cli
from made_datasets import make_bsds, make_images, make_sa1b, make_voc

from segrobust.io.datasets import KINDS


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(capsys)


def test_every_kind_is_listed_with_what_a_folder_needs_and_its_terms(cli: Cli) -> None:
    said = cli("ls", "datasets")
    assert (said.code, said.err) == (0, "")
    for name, kind in KINDS.items():
        _, _, about = said.out.partition(f"{name}: {kind.title}\n")
        own = re.split(r"^\S", about, maxsplit=1, flags=re.MULTILINE)[0]
        assert kind.layout in own
        assert kind.terms in own
    assert not [line for line in said.out.splitlines() if len(line) > 110]


def test_the_list_for_programs(cli: Cli) -> None:
    listed = json.loads(cli("ls", "datasets", "--json").out)
    assert [kind["name"] for kind in listed] == list(KINDS)
    assert listed[0]["terms"] == KINDS[listed[0]["name"]].terms
    assert set(listed[0]) == {"name", "title", "masks", "layout", "splits", "terms"}


def test_a_sound_data_set(cli: Cli, tmp_path: Path) -> None:
    root = make_voc(tmp_path / "data")
    said = cli("datasets", "check", root)
    assert said == (0, f"{root}: voc, 2 photos, 4 masks: nothing is wrong\nterms: {KINDS['voc'].terms}\n", "")
    assert cli("datasets", "check", root, "--split", "val").out.startswith(f"{root}: voc, 1 photo, 2 masks: ")


def test_photos_without_annotations_say_so(cli: Cli, tmp_path: Path) -> None:
    said = cli("datasets", "check", make_images(tmp_path))
    assert said.out.startswith(f"{tmp_path}: images, 3 photos, no annotations: nothing is wrong\n")


def test_only_the_part_that_is_asked_for_is_checked(cli: Cli, tmp_path: Path) -> None:
    root = make_sa1b(tmp_path / "data")  # sa_1, sa_2, sa_10
    (root / "sa_10.json").write_text("{")
    assert cli("datasets", "check", root).code == 4
    assert cli("datasets", "check", root, "--limit", 2).code == 0
    assert cli("datasets", "check", root, "--limit", "66%").code == 0
    assert cli("datasets", "check", root, "--shard", "2/3").code == 0
    assert cli("datasets", "check", root, "--shard", "3/3").code == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--limit", "0"], "limit '0' leaves nothing"),
        (["--shard", "3/2"], "shard '3/2' does not exist"),
        (["--kind", "VOC"], "unknown kind of data set 'VOC'; choose voc, "),
        (["--kind", "voc"], "no voc data set; looked for JPEGImages/ and SegmentationObject/"),
        (["--split", "dev"], "no split 'dev' (there: test, train)"),
    ],
)
def test_what_is_asked_for_wrongly(cli: Cli, tmp_path: Path, arguments: list[str], said: str) -> None:
    answer = cli("datasets", "check", make_bsds(tmp_path), *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert said in answer.err
    assert answer.err.count("\n") == 1


def test_alone_it_shows_its_help(cli: Cli) -> None:
    said = cli("datasets")
    assert (said.code, said.out) == (2, "")
    assert "check" in said.err


def test_the_page_lists_every_kind(root: Path) -> None:
    page = (root / "docs/datasets.md").read_text("utf-8")
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in page.splitlines() if row.startswith("| `")]
    assert [row[0].strip("`") for row in rows if len(row) == 4] == list(KINDS)
    for row in (row for row in rows if len(row) == 4):
        kind = KINDS[row[0].strip("`")]
        assert row[1:] == [kind.masks, kind.splits or "–", kind.terms]
