"""Budgets of every norm are measured on the saved photos of a plan, and a broken one is said."""

import json
from pathlib import Path

import numpy as np
import pytest
from plan_runs import make_home, run_home

from segrobust.attacks.recipes import run as attacks
from segrobust.benchmark.plans.verify import verify_run
from segrobust.types import Pixels

PLAN = """\
surrogates: [bright]
targets: [bright]
attacks: [{attack: bim, steps: 2}]
epsilons: ["l2:0.5", "contrast:8/255"]
data: [{kind: sa1b, path: photos}]
protocols: [{protocol: annotation, prompts: {masks: 1, points: 1, boxes: 0}}]
device: cpu
"""


def checks_of(out: Path) -> set[str]:
    return {finding["id"] for finding in json.loads((out / "results.json").read_text())["checks"]}


def test_budgets_of_other_norms_are_kept(patched: None, tmp_path: Path) -> None:
    run_home(make_home(tmp_path, photos=1, plan=PLAN))
    assert verify_run(tmp_path / "out") == []
    assert "budget-on-disk" not in checks_of(tmp_path / "out")


def test_broken_budgets_of_other_norms_are_said(patched: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Eight levels everywhere: no value differs by more than eight, but flat areas and the L2 ball allow less."""

    def everywhere(final: object, original: Pixels, *_: object) -> Pixels:
        return np.where(original < 128, original + 8, original - 8).astype(np.uint8)

    monkeypatch.setattr(attacks, "round_into_budget", everywhere)
    run_home(make_home(tmp_path, photos=1, plan=PLAN))
    problems = verify_run(tmp_path / "out")
    for budget in ("l2:0.5", "contrast:8/255"):
        said = [p for p in problems if "the budget is broken: max |difference| is 8/255" in p and p.endswith(budget)]
        assert len(said) == 3, problems  # the attack and two controls
    assert "budget-on-disk" in checks_of(tmp_path / "out")
