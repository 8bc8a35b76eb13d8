"""What can be wrong with a data set: each is one line that says where, and an exit code that says so too."""

import gzip
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from broken_datasets import BROKEN, CANNOT_BE_OPENED, CASES, Break, remove, runs, truncate, write
from commands import Cli, make_cli
from fakes import process
from made_datasets import MAKERS, make_sa1b, make_tar


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(capsys)


def test_enough_is_broken_here() -> None:
    assert len(CASES) >= 50
    assert set(BROKEN) == set(MAKERS)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_one_line_says_where_and_why(cli: Cli, tmp_path: Path, kind: str, name: str) -> None:
    root = MAKERS[kind](tmp_path / "data")
    sound = cli("datasets", "check", root, "--kind", kind)
    assert (sound.code, sound.err) == (0, "")
    assert "nothing is wrong" in sound.out
    damage, pattern = BROKEN[kind][name]
    damage(root)
    said = cli("datasets", "check", root, "--kind", kind)
    assert (said.code, said.err) == (4, "")
    problem, summary = said.out.splitlines()
    assert re.search(pattern, problem), problem
    assert re.fullmatch(rf"{re.escape(str(root))}: {kind}, \d+ photos?, .*: 1 problem, [01] photos? .*", summary)


@pytest.mark.parametrize(("kind", "damage", "pattern", "code"), CANNOT_BE_OPENED)
def test_what_cannot_be_opened_is_an_error(
    cli: Cli, tmp_path: Path, kind: str, damage: Break, pattern: str, code: int
) -> None:
    root = MAKERS[kind](tmp_path / "data")
    damage(root)
    said = cli("datasets", "check", root, "--kind", kind)
    assert (said.code, said.out) == (code, "")
    (line,) = said.err.splitlines()
    assert line.startswith(f"error: {root}")
    assert re.search(pattern, line), line


SPLITS = {"voc": "test", "bsds500": "dev", "davis": "test-dev", "ade20k": "val", "coco": "test"}


@pytest.mark.parametrize(("kind", "split"), [*SPLITS.items(), ("sa1b", "val"), ("images", "val")])
def test_a_split_that_is_not_there(cli: Cli, tmp_path: Path, kind: str, split: str) -> None:
    said = cli("datasets", "check", MAKERS[kind](tmp_path), "--kind", kind, "--split", split)
    assert (said.code, said.out) == (2, "")
    assert re.fullmatch(rf"error: \S+: no split '{split}' \(there.*\)\n", said.err), said.err


def test_everything_that_is_wrong_is_said(cli: Cli, tmp_path: Path) -> None:
    root = make_sa1b(tmp_path / "data", (1, 2, 3))
    truncate("sa_1.jpg")(root)
    runs("sa_1.json", 0, counts="5")(root)
    runs("sa_1.json", 1, counts="\x01")(root)
    remove("sa_3.json")(root)
    write("lonely.json", b"{}")(root)
    said = cli("datasets", "check", root)
    lines = [line.removeprefix(f"{root}/") for line in said.out.splitlines()[:-1]]
    places = [re.findall(r"^[^:]+(?:: annotation \d)?", line)[0] for line in lines]
    assert places == ["lonely.json", "sa_1.jpg", "sa_1.json: annotation 1", "sa_1.json: annotation 2", "sa_3.json"]
    assert said.out.endswith(": 5 problems, 2 photos not usable as they are\n")
    assert said.code == 4


def rewrite(archive: Path, change: Callable[[bytes], bytes]) -> None:
    archive.write_bytes(change(archive.read_bytes()))


def wreck_second_header(content: bytes) -> bytes:
    where = content.index(b"./sa_1.json")
    return content[:where] + b"\xff" * 512 + content[where + 512 :]


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda content: content[: content.index(b"./sa_2.json") + 300], "damaged or truncated"),
        (lambda content: content[: content.index(b"./sa_2.json") + 512 + 20], "damaged or truncated"),
        (lambda content: content[: content.index(b"./sa_2.jpg")], "damaged or truncated: no end mark at byte"),
        (wreck_second_header, "damaged or truncated: no end mark at byte"),
    ],
    ids=["in a header", "in a member", "between members", "a bad header"],
)
def test_a_damaged_archive(cli: Cli, tmp_path: Path, change: Callable[[bytes], bytes], pattern: str) -> None:
    archive = make_tar(make_sa1b(tmp_path / "folder", (1, 2)), tmp_path / "sa_000000.tar")
    rewrite(archive, change)
    said = cli("datasets", "check", archive)
    assert said.code == 4
    assert any(line.startswith(f"{archive}: ") and pattern in line for line in said.out.splitlines()), said


def test_members_that_are_not_there_or_no_files(cli: Cli, tmp_path: Path) -> None:
    archive = make_tar(make_sa1b(tmp_path / "folder", (1, 2)), tmp_path / "sa_000000.tar")
    kept = tmp_path / "kept.tar"
    with tarfile.open(archive) as old, tarfile.open(kept, "w") as new:
        for entry in old.getmembers():
            if entry.name == "./sa_1.json":
                continue
            if entry.name == "./sa_2.json":
                entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, "elsewhere.json", 0
                new.addfile(entry)
            else:
                new.addfile(entry, old.extractfile(entry))
    said = cli("datasets", "check", kept)
    assert said.code == 4
    assert said.out.splitlines()[:-1] == [
        f"{kept}:./sa_2.json: neither a file nor a folder, so it is left out",
        f"{kept}:sa_1.json: no such member",
        f"{kept}:sa_2.json: no such member",
    ]


def test_what_is_no_archive(cli: Cli, tmp_path: Path) -> None:
    archive = make_tar(make_sa1b(tmp_path / "folder", (1,)), tmp_path / "sa_000000.tar")
    rewrite(archive, gzip.compress)
    said = cli("datasets", "check", archive)
    assert (said.code, said.out) == (4, "")
    assert said.err == f"error: {archive}: not an uncompressed tar archive: it is gzip-compressed; gunzip it first\n"
    archive.write_bytes(b"<!DOCTYPE html>" * 100)
    assert "not an uncompressed tar archive" in cli("datasets", "check", archive).err
    make_tar(tmp_path / "folder", tmp_path / "more/sa_2.tar")
    (tmp_path / "more/sa_1.tar").write_bytes(b"")
    said = cli("datasets", "check", tmp_path / "more")  # one bad archive of several is a problem, not the end
    assert said.code == 4
    assert said.out.splitlines()[0] == f"{tmp_path}/more/sa_1.tar: the file is empty (0 bytes)"


@pytest.mark.parametrize(("kind", "name"), [("sa1b", "short RLE"), ("coco", "foreign image"), ("voc", "no PNG")])
def test_a_real_process_says_the_same(tmp_path: Path, kind: str, name: str) -> None:
    root = MAKERS[kind](tmp_path / "data")
    damage, pattern = BROKEN[kind][name]
    damage(root)
    done = process("-m", "segrobust", "datasets", "check", root)
    assert (done.returncode, done.stderr) == (4, "")
    assert re.search(pattern, done.stdout.splitlines()[0])


def test_the_json_of_a_list_of_lists_does_not_overflow(cli: Cli, tmp_path: Path) -> None:
    root = make_sa1b(tmp_path / "data", (1,))
    (root / "sa_1.json").write_text("[" * 200_000)
    said = cli("datasets", "check", root)
    assert said.code == 4
    assert "sa_1.json: not JSON" in said.out
