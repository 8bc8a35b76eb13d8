"""What only a process of its own can show: kills, interruptions, closed pipes."""

import shutil
import signal
import time
from pathlib import Path

import pytest
from commands import Cli, make_cli
from runs import FAST, make_photo, numbers, pictures, start


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(["a.png", "b.png"]):
        make_photo(tmp_path / "photos" / name, seed)
    return tmp_path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(capsys)


def kill_at(home: Path, count: int, *arguments: object) -> bool:
    """SIGKILL when the folder holds ``count`` files; whether it came in time."""
    process = start(home, *arguments)
    while process.poll() is None and sum(1 for f in (home / "out").rglob("*") if f.is_file()) < count:
        time.sleep(0.001)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def check_resumed(home: Path, cli: Cli, tiny_model: Path, *counts: int) -> None:
    flags = ("photos", "-m", tiny_model, *FAST)
    for count in counts:
        assert kill_at(home, count, "attack", *flags, "-o", "out")
    assert cli("attack", *flags, "-o", "out").code == 0
    if not (home / "whole").exists():
        assert cli("attack", *flags, "-o", "whole").code == 0
    assert len(pictures(home / "whole")) == 2 * 8
    assert pictures(home / "out") == pictures(home / "whole")
    assert numbers(home / "out") == numbers(home / "whole")
    assert not [f for f in (home / "out").rglob("*") if f.name.startswith(".") or f.suffix in (".part", ".tmp")]


def test_a_killed_run_resumes_to_the_same_files(home: Path, cli: Cli, tiny_model: Path) -> None:
    check_resumed(home, cli, tiny_model, 9)


@pytest.mark.slow
def test_a_run_killed_anywhere_resumes_to_the_same_files(home: Path, cli: Cli, tiny_model: Path) -> None:
    check_resumed(home, cli, tiny_model, 3, 8, 12, 17)  # and again, and again
    for count in (1, 2, 5, 6, 7, 10, 14, 18, 19):  # 20 files are there before results.json ends it
        shutil.rmtree(home / "out")
        check_resumed(home, cli, tiny_model, count)


def test_an_interrupted_run_says_how_to_go_on_and_does(home: Path, cli: Cli, tiny_model: Path) -> None:
    flags = ("attack", "photos/a.png", "-m", tiny_model, "--steps", "60", "-o", "out")
    process = start(home, *flags)
    while process.poll() is None and not (home / "out/adv/a.noise.png").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "error: interrupted; the same command continues where it stopped"
    assert "Traceback" not in err
    assert "interrupted" in (home / "out/log.txt").read_text()
    said = cli(*flags)
    assert said.code == 0
    assert "a: clean" not in said.err
    assert "a: rga" in said.err
    assert said.out.splitlines()[-1] == "saved out"


def test_a_reader_that_stops_reading_changes_nothing(home: Path, tiny_model: Path) -> None:
    process = start(home, "ls", "attacks")
    assert process.stdout
    process.stdout.close()
    _, err = process.communicate()
    assert (process.returncode, err) == (0, "")
