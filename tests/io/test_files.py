import os
from pathlib import Path

import pytest

from segrobust.errors import MissingError
from segrobust.io.files import atomic_write_bytes, atomic_write_text


def test_writes_and_replaces_and_makes_folders(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "note.txt"
    assert atomic_write_text(target, "eins\n") == target
    atomic_write_text(target, "zwei ü\n")
    assert target.read_bytes() == "zwei ü\n".encode()
    assert [p.name for p in target.parent.iterdir()] == ["note.txt"]


def test_a_write_that_breaks_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "results.json"
    atomic_write_bytes(target, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MissingError, match="No space left") as caught:
        atomic_write_bytes(target, b"new")
    assert str(tmp_path) in str(caught.value)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupt_leaves_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write_bytes(tmp_path / "x", b"new")
    assert not list(tmp_path.iterdir())


def test_the_mode_is_that_of_a_plain_file(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    written = atomic_write_bytes(tmp_path / "written", b"")
    assert written.stat().st_mode == plain.stat().st_mode


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where a folder should be")  # stops root as well, unlike permissions
    for target in (tmp_path / "file" / "x.txt", tmp_path / "file" / "deeper" / "x.txt"):
        with pytest.raises(MissingError) as caught:
            atomic_write_text(target, "x")
        assert caught.value.exit_code == 5
        assert str(target.parent) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(MissingError, match="taken"):
        atomic_write_text(tmp_path / "taken", "x")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_the_longest_name_still_works(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    assert atomic_write_text(target, "x").read_text() == "x"
