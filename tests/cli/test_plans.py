"""``segrobust run``: a plan in a process of its own."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import Cli, make_cli
from plans import outcome
from runs import command, environment, make_other_model, make_photo

from segrobust.benchmark.transfer.plan import read_plan

SMALL = """\
surrogates: [one]
targets: [one, two]
parameters: {steps: 2}
prompts: {masks: 2, points: 2, boxes: 1}
"""


@pytest.fixture
def home(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, tmp_path / "one")
    make_other_model(tiny_model, tmp_path / "two")
    for seed, name in enumerate(["a.png", "b.png"]):
        make_photo(tmp_path / "photos" / name, seed, (40, 30 + 10 * seed))
    (tmp_path / "plan.yaml").write_text(SMALL)
    return tmp_path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(capsys)


def kill_when(home: Path, file: str, lines: int) -> None:
    """Start the plan and SIGKILL it when a file has so many lines."""
    words = command("run", "plan.yaml", "--data", "photos", "-o", "out", "--no-progress")
    process = subprocess.Popen(words, cwd=home, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    path = home / "out" / file
    while process.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") >= lines):
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def check_resumed(home: Path, cli: Cli) -> None:
    assert not (home / "out/results.json").exists()
    resumed = cli("run", "plan.yaml", "--data", "photos", "-o", "out", "--no-progress")
    whole = cli("run", "plan.yaml", "--data", "photos", "-o", "whole", "--no-progress")
    assert (resumed.code, resumed.err) == (0, "")
    assert resumed.out == whole.out.replace("saved whole", "saved out")
    assert outcome(home / "out") == outcome(home / "whole")
    assert (home / "out/report.md").read_text() == (home / "whole/report.md").read_text()
    assert (home / "out/report.md").read_text() in resumed.out


def test_a_killed_plan_resumes_to_the_same_bytes_which_verify(home: Path, cli: Cli) -> None:
    kill_when(home, "targets/two.jsonl", 3)
    check_resumed(home, cli)
    assert cli("verify", "out").code == 0
    record = (home / "out/targets/two.jsonl").read_text().replace('"max_linf_255": 8', '"max_linf_255": 7', 1)
    (home / "out/targets/two.jsonl").write_text(record)
    said = cli("verify", "out")
    assert said.code == 6
    assert "max_linf_255 is 8, the record says 7" in said.out


@pytest.mark.slow
def test_a_plan_killed_again_and_again_resumes_to_the_same_bytes(home: Path, cli: Cli) -> None:
    kill_when(home, "plan.yaml", 1)
    kill_when(home, "surrogates/one/samples.jsonl", 2)
    kill_when(home, "surrogates/one/results.json", 1)
    kill_when(home, "targets/one.jsonl", 1)
    kill_when(home, "targets/two.jsonl", 4)
    check_resumed(home, cli)


FUNCTION = """\
import numpy as np

def segment(photo, prompts):
    if photo.shape[1] == 40:
        raise RuntimeError("no mood")
    return np.repeat((photo.mean(axis=2) > 128)[None], len(prompts), axis=0)
"""


def test_a_function_that_fails_on_one_photo(home: Path, cli: Cli) -> None:
    (home / "moody.py").write_text(FUNCTION)
    (home / "plan.yaml").write_text(SMALL.replace("[one, two]", "['moody:segment']"))
    said = cli("run", "plan.yaml", "--data", "photos", "-o", "out", "--no-progress")
    assert said.code == 4, said.err
    assert said.out.splitlines()[-1] == "saved out (3 items failed)"
    assert (
        "failed: b.png (clean → moody:segment, noise on one → moody:segment, rga on one → moody:segment): " in said.out
    )
    assert "(1 of 2)" in said.out
    failures = json.loads((home / "out/results.json").read_text())["failures"]
    assert {f["image"] for f in failures} == {"b"}


@pytest.mark.parametrize(
    ("plan", "arguments", "said"),
    [
        (SMALL + "sead: 1\n", ["--data", "photos"], "error: plan.yaml: unknown key 'sead'; did you mean 'seed'?"),
        (SMALL, [], "error: plan.yaml names no photos; give a folder of them with --data"),
        (SMALL, ["--data", "nowhere"], "error: --data nowhere: no such folder"),
        (SMALL, ["--data", "one"], "error: folder one has no photos directly inside"),
        (SMALL.replace("two", "nanoo"), ["--data", "photos"], "error: unknown model 'nanoo'"),
    ],
)
def test_what_is_wrong_is_one_line(home: Path, cli: Cli, plan: str, arguments: list[str], said: str) -> None:
    (home / "plan.yaml").write_text(plan)
    code, out, err = cli("run", "plan.yaml", *arguments, "-o", "out")
    assert (code, out) == (5 if "nanoo" in plan else 2, "")
    assert err.startswith(said)
    assert err.count("\n") == 1
    assert not (home / "out").exists()


def test_the_plans_that_ship_are_plans(root: Path) -> None:
    plans = sorted((root / "plans").glob("*.yaml"))
    assert {"transfer.yaml", "transfer-real.yaml"} <= {file.name for file in plans}
    for file in plans:
        first = file.read_text("utf-8").splitlines()[0]
        assert first.startswith("# segrobust run plans/")
        assert file.name in first
        assert len(read_plan(file, ["photos"]).targets) > 1


def test_the_help_comes_without_anything_heavy(root: Path) -> None:
    code = (
        "import sys, segrobust.cli.main as m\ntry: m.main(['run', '-h'])\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: segrobust run")
    assert "plans/transfer.yaml" in done.stdout
    assert (root / "plans/transfer.yaml").exists()
    assert not {"torch", "numpy", "yaml", "segrobust.benchmark"} & set(done.stderr.split())
