"""Ensembles in a plan: attacked by name, recorded with their members, shown to members as white boxes."""

import json
from pathlib import Path
from typing import Any

import plan_runs
import pytest
import torch
from plan_runs import Bright, make_home, run_home
from torch import Tensor

from segrobust.benchmark.plans import models
from segrobust.benchmark.plans.bench import open_data
from segrobust.benchmark.plans.estimate import count_calls, probe
from segrobust.benchmark.plans.folder import existing_folder
from segrobust.benchmark.plans.store import Store
from segrobust.benchmark.plans.verify import verify_run
from segrobust.benchmark.rows import Row
from segrobust.errors import CapabilityError
from segrobust.models.base import Segmenter
from segrobust.models.ensemble import Ensemble
from segrobust.models.ensemble_names import members_of, rule_of

PLAN = """\
surrogates: [bright, bright+glow, bright+glow@alternate]
targets: [bright, glow, dark]
attacks: [{attack: mi, steps: 4}]
data: [{kind: sa1b, path: photos, limit: 1}]
protocols: [{protocol: annotation, prompts: {masks: 1, points: 1, boxes: 0}}]
device: cpu
"""


class Glow(Bright):
    """As ``Bright``; attacks see other colours."""

    fingerprint = "c" * 64

    def __init__(self) -> None:
        super().__init__("glow", 0.3)

    def encode(self, inputs: Tensor) -> Tensor:
        weights = torch.randn((6, 3, 1, 1), generator=torch.Generator().manual_seed(5))
        return torch.tanh(torch.nn.functional.conv2d(inputs - 0.5, weights))


def load(name: str, **settings: Any) -> Segmenter:
    if name == "glow":
        return Glow()
    parts = members_of(name)
    return Ensemble([load(part) for part in parts], rule_of(name)) if parts else plan_runs.load(name)


@pytest.fixture
def patched_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "load", load)


def test_a_plan_attacks_an_ensemble(patched_here: None, tmp_path: Path) -> None:
    run_home(make_home(tmp_path, photos=1, plan=PLAN))
    _, plan = existing_folder(tmp_path / "out")
    data = open_data(plan)
    calls = count_calls(plan, data).calls
    assert {name: calls[name].gradients for name in plan.surrogates} == dict(
        zip(plan.surrogates, (4, 8, 4), strict=True)
    )
    with Store(tmp_path / "out", write=False) as store:
        rows = [row for row in store.scores("sa1b", "p0", "bright") if row["surrogate"]]
        made = {row["surrogate"]: store.made(row["made"])["result"] for row in rows}
    assert {name: part["encoder_backward"] for name, part in made.items()} == {
        name: calls[name].gradients for name in plan.surrogates
    }
    assert len({part["object"] for part in made.values()}) == 3
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    facts = results["facts"]["models"]["bright+glow@alternate"]
    assert facts["rule"] == "alternate"
    assert [(m["model"], m["sha256"], m["licence"]) for m in facts["members"]] == [
        ("bright", "a" * 64, None), ("glow", "c" * 64, None)
    ]  # fmt: skip
    white = {(cell["surrogate"], cell["target"]) for cell in results["cells"] if cell["white_box"]}
    both = [(name, target) for name in plan.surrogates[1:] for target in ("bright", "glow")]
    assert white == {("bright", "bright"), *both}
    assert verify_run(tmp_path / "out") == []
    measured = probe(plan, next(iter(data.values())).samples[0].image(), ["bright+glow", "dark"], lambda name: None)
    assert measured["bright+glow"].gradient > 0
    assert measured["dark"].gradient == 0


def test_an_ensemble_is_no_target(patched_here: None, tmp_path: Path) -> None:
    plan = PLAN.replace("targets: [bright, glow, dark]", "targets: [bright+glow]")
    with pytest.raises(CapabilityError, match=r"the ensemble 'bright\+glow' is attacked, not scored: name its members"):
        run_home(make_home(tmp_path, photos=1, plan=plan))


def test_licences_of_members_are_facts() -> None:
    facts = models._members(Ensemble([Bright("nano"), Glow()]))
    assert facts["members"][0]["licence"] == models.provenance("nano")["licence"] is not None


@pytest.mark.parametrize(("target", "white"), [("a", True), ("b", True), ("c", False)])
def test_a_member_is_a_white_box(target: str, white: bool) -> None:
    names = {"dataset": "d", "image": "i", "surrogate": "a+b@adaptive", "attack": "mi", "recipe": "mi"}
    row = Row(**names, epsilon="8/255", target=target, defence="none", protocol="clean", state="failed", error="?")
    assert row.white_box is white
