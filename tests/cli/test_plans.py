"""``segrobust run`` and ``validate``, on tiny models with weights, in this process and in others."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import Cli, make_cli
from plan_runs import outcome, stored
from runs import make_other_model, make_photo, start

from segrobust.benchmark.plans.reading import parse_plan

SMALL = """\
surrogates: [one]
targets: [one, two]
attacks: [{attack: rga, steps: 2}]
data: [{kind: images, path: "${DATA}"}]
protocols: [{protocol: clean, prompts: {masks: 2, points: 2, boxes: 1}}]
device: cpu
"""
RUN = ("run", "plan.yaml", "--data", "photos", "--no-progress")


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


def test_a_plan_is_validated_run_continued_and_verified(home: Path, cli: Cli) -> None:
    dry = cli(*RUN, "--dry-run", "-o", "out")
    assert dry.code == 0
    assert "2 photos, 6 photos to make, 16 to show to targets" in dry.out
    assert not (home / "out").exists()
    said = cli("validate", "plan.yaml", "--data", "photos")
    assert said.code == 0, said.err
    assert re.search(r"expected: about \d+ minutes", said.out)
    assert said.out.splitlines()[-1] == "ok: plan.yaml can be run"
    first = cli(*RUN, "-o", "out")
    assert (first.code, first.err) == (0, "")
    assert "saved out (the report: segrobust report out)" in first.out
    bytes_ = outcome(home / "out")
    gated = cli(*RUN, "-o", "out", "--fail-under", "miou=1")
    assert gated.code == 3
    assert gated.out.splitlines()[-1] == "FAILED: 2 gates do not hold"
    assert cli(*RUN, "-o", "out", "--fail-under", "miou=0.001").code == 0
    assert outcome(home / "out") == bytes_
    assert cli("verify", "out").out == "ok: out is as recorded\n"
    pool = cli(*RUN, "-o", "pool", "--workers", "2")
    assert pool.code == 0, pool.err
    assert (outcome(home / "pool"), stored(home / "pool")) == (bytes_, stored(home / "out"))
    assert cli(*RUN, "-o", "pool", "--workers", "2").code == 0  # nothing is left to do, and nobody waits for it
    assert outcome(home / "pool") == bytes_


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(home: Path) -> None:
    process = start(home, "run", "plan.yaml", "--data", "photos", "-o", "out")
    assert process.stderr
    line = ""
    while "noise" not in line:
        line = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1].splitlines()[-1]
    assert process.returncode == 130
    assert said.startswith(
        "error: interrupted; what is done is kept, and this continues: segrobust run plan.yaml --data"
    )
    assert (home / "out" / "store.sqlite").exists()


def test_a_failed_item_is_code_4(home: Path, cli: Cli) -> None:
    (home / "photos" / "b.png").write_bytes(b"no photo")
    said = cli(*RUN, "-o", "out", "--fail-under", "miou=1")
    assert said.code == 4
    assert said.out.splitlines()[-1] == "8 items failed; the same command tries them again"
    assert {f["image"] for f in json.loads((home / "out" / "results.json").read_text())["failures"]} == {"b"}


KILLER = """
import os, signal
import numpy as np

def segment(image, prompts):
    if os.path.exists("kill") and image.shape[1] == 40:
        os.unlink("kill")
        os.kill(os.getpid(), signal.SIGKILL)  # as the system does when memory is short
    return np.repeat((image.mean(axis=2) > 120)[None], len(prompts), axis=0)
"""


def test_a_killed_worker_is_one_failure_and_the_rest_goes_on(home: Path, cli: Cli) -> None:
    (home / "killer.py").write_text(KILLER)
    plan = SMALL.replace("[one, two]", "['killer:segment']").replace("[{attack: rga, steps: 2}]", "[]")
    (home / "plan.yaml").write_text(plan)
    assert cli(*RUN, "-o", "whole").code == 0
    (home / "kill").touch()
    said = cli(*RUN, "-o", "out", "--workers", "2")
    assert said.code == 4
    assert said.out.splitlines()[-1] == "1 items failed; the same command tries them again"
    (failure,) = json.loads((home / "out" / "results.json").read_text())["failures"]
    assert (failure["image"], failure["attack"]) == ("b", "clean")
    assert "the worker was killed (out of memory?)" in json.dumps(failure)
    assert cli(*RUN, "-o", "out", "--workers", "2").code == 0
    assert outcome(home / "out") == outcome(home / "whole")


@pytest.mark.parametrize(
    ("plan", "arguments", "said"),
    [
        (SMALL + "sead: 1\n", [], "error: plan.yaml:7: unknown key 'sead'; did you mean 'seed'?"),
        (SMALL.replace("two", "nanoo"), [], "error: unknown model 'nanoo'"),
        (SMALL.replace("{attack: rga, steps: 2}", "{attack: rga, stps: 2}"), [], "error: plan.yaml:3: attacks.0.stps:"),
        (SMALL, ["--data", "nowhere"], "error: nowhere: no such folder"),
        (SMALL, ["--limit", "none"], "error: plan.yaml:4: data.0.limit: limit 'none' is no number"),
        (SMALL, ["--fail-under", "iou=1"], "error: --fail-under 'iou=1' is not of the form miou=0.5"),
        (SMALL, ["--workers", "0"], "error: --workers must be at least 1, got 0"),
    ],
)
def test_what_is_wrong_is_one_line(home: Path, cli: Cli, plan: str, arguments: list[str], said: str) -> None:
    (home / "plan.yaml").write_text(plan)
    code, out, err = cli("run", "plan.yaml", "--data", "photos", "-o", "out", *arguments)
    assert (code, out) == (5 if "nanoo" in plan else 2, "")
    assert err.startswith(said)
    assert err.count("\n") == 1
    assert not (home / "out").exists()


def plans(root: Path) -> dict[str, dict[str, Any]]:
    return {file.stem: yaml.safe_load(file.read_text("utf-8")) for file in sorted((root / "plans").glob("*.yaml"))}


PAPER = ("paper-white-box", "paper-ablation", "paper-transfer", "datasets", "defences")
"""Those whose question is about the models of the paper; others ask about the embedded models and have no twin."""


def test_the_plans_that_ship_are_plans_and_say_how_they_are_run(root: Path) -> None:
    twins = {f"{name}-real" for name in PAPER}
    assert {name for name in plans(root) if name.endswith("-real")} == twins
    assert set(PAPER) < set(plans(root)) - twins
    for name in plans(root):
        text = (root / "plans" / f"{name}.yaml").read_text("utf-8")
        assert text.startswith(f"# segrobust run plans/{name}.yaml --data ")
        assert "# Expected time: " in text or "Written by: " in text
        parse_plan(text, name)


def test_the_plan_of_robust_targets_looks_into_the_robust_model(root: Path) -> None:
    """That none of its attacks costs more than 120 gradients is held with the other tables of all recipes."""
    plan, _ = parse_plan((root / "plans/robust.yaml").read_text("utf-8"), "robust")
    assert (set(plan.surrogates), set(plan.targets)) == ({"nano-robust"}, {"nano", "nano-robust"})
    page = (root / "docs/research/robust-targets.md").read_text("utf-8")
    assert all(f"<!-- {side} robust -->" in page for side in ("begin", "end"))


@pytest.mark.parametrize("name", PAPER)
def test_the_real_twin_differs_in_models_and_data_alone(root: Path, name: str) -> None:
    here, there = plans(root)[name], plans(root)[f"{name}-real"]
    differing = {key for key in here | there if here.get(key) != there.get(key)}
    assert differing <= {"surrogates", "targets", "prompts_from", "data"}
    assert all("nano" not in model for model in there["surrogates"] + there["targets"])


def test_the_help_comes_without_anything_heavy(root: Path) -> None:
    code = (
        "import sys, segrobust.cli.main as m\ntry: m.main(['run', '-h'])\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: segrobust run")
    assert "plans/paper-white-box.yaml" in done.stdout
    assert not {"torch", "numpy", "yaml", "segrobust.benchmark"} & set(done.stderr.split())
