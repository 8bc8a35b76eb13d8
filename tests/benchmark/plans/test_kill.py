"""SIGKILL at any moment, again and again: in the end there are the bytes that an uninterrupted run leaves."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from plan_runs import make_home, outcome, stored
from runs import environment

PLAN = """\
surrogates: [bright]
targets: [bright, dark]
attacks: [{attack: rga, steps: 2}]
data: [{kind: sa1b, path: photos}]
protocols:
  - {protocol: annotation, prompts: {masks: 1, points: 1, boxes: 1}}
  - {protocol: clean, prompts: {masks: 1, points: 1, boxes: 0}}
defences: [bits-4]
device: cpu
"""


class Runs:
    """Runs of one plan, each in a process that can be killed."""

    def __init__(self, home: Path) -> None:
        search = os.pathsep.join([str(Path(__file__).parents[2] / "support"), str(Path(__file__).parents[3] / "src")])
        words = [sys.executable, str(Path(__file__).parents[2] / "support" / "killed.py"), str(home)]
        self.process = subprocess.Popen(
            words, env=environment() | {"PYTHONPATH": search}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._said() == "ready"

    def run(self, out: str, seconds: float | None = None) -> bool:
        """Whether a run came to its end before it was killed after so many seconds."""
        assert self.process.stdin
        self.process.stdin.write(f"{out}\n")
        self.process.stdin.flush()
        child = int(self._said())
        if seconds is not None:
            time.sleep(seconds)
            with suppress(ProcessLookupError):  # it has ended
                os.kill(child, signal.SIGKILL)
        status = int(self._said())
        assert status in (0, signal.SIGKILL)
        return status == 0

    def _said(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    make_home(tmp_path, 2, PLAN)
    runs = Runs(tmp_path)
    yield runs
    runs.process.kill()
    runs.process.communicate()


def kill_again_and_again(runs: Runs, home: Path, times: int) -> None:
    begin = time.perf_counter()
    assert runs.run("whole")
    length = time.perf_counter() - begin
    draw = random.Random(0)
    killed = folders = 0
    while killed < times:
        # A short way into what is left: a folder sees several deaths before it is finished.
        if runs.run(f"out{folders}", draw.uniform(0, length / 2)):
            folders += 1
        else:
            killed += 1
    for number in range(folders + 1):
        assert runs.run(f"out{number}")
        assert outcome(home / f"out{number}") == outcome(home / "whole")
        assert stored(home / f"out{number}") == stored(home / "whole")
    assert "results.json" in outcome(home / "whole")


def test_a_killed_run_goes_on_to_the_same_bytes(runs: Runs, tmp_path: Path) -> None:
    kill_again_and_again(runs, tmp_path, 6)


@pytest.mark.slow
def test_a_run_killed_thirty_times_goes_on_to_the_same_bytes(runs: Runs, tmp_path: Path) -> None:
    kill_again_and_again(runs, tmp_path, 30)
