"""What a run folder takes: more attacks, targets and surrogates; and what it refuses."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from plan_runs import MODELS, PLAN, Bright, make_home, outcome, rows_of, run_again, run_home

from segrobust.benchmark.plans.verify import verify_run
from segrobust.errors import CapabilityError, UsageError


def test_another_plan_on_the_same_folder_is_refused_with_the_keys(copy: Path) -> None:
    (copy / "plan.yaml").write_text(PLAN.replace("3}", "4}", 1) + "seed: 3\n")
    with pytest.raises(UsageError, match=r"holds another run \(attacks, data, seed: attacks is .* there, .* here\)"):
        run_home(copy)
    (copy / "plan.yaml").write_text(PLAN)
    with pytest.raises(UsageError, match="choose another folder with -o, or continue it with --resume"):
        run_again(copy, resume=False)
    with pytest.raises(UsageError, match="is not empty and holds no run of a plan"):
        run_home(copy, out="photos")


@pytest.mark.parametrize("left_out", ["  - {attack: rga, steps: 3}\n", ", dark"])
def test_a_plan_with_more_continues_a_folder_and_ends_as_if_it_had_been_there_from_the_start(
    patched: None, tmp_path: Path, left_out: str
) -> None:
    fewer = PLAN.replace(left_out, "")
    make_home(tmp_path, 2, fewer)
    before = run_home(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN)
    added = run_home(tmp_path)
    whole = run_home(tmp_path, out="whole")
    assert outcome(tmp_path / "out") == outcome(tmp_path / "whole")
    assert len(before) + len(added) == len(whole)
    (tmp_path / "plan.yaml").write_text(fewer)
    with pytest.raises(UsageError, match="holds another run"):  # less would leave rows that no plan names
        run_home(tmp_path)


def test_an_attack_on_a_surrogate_of_its_own_is_added_to_what_is_there(
    patched: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Glow(Bright):
        fingerprint = "c" * 64

    monkeypatch.setitem(MODELS, "glow", lambda: Glow("glow", 0.4))
    plan = PLAN.replace("  - {attack: rga-untargeted, label: away, sweep: {steps: [2, 3]}}\n", "")
    before = run_home(make_home(tmp_path, 1, plan))
    own = "{attack: %s, surrogates: [glow]}"
    first, last = own % "mi, steps: 2", own % "rga, steps: 3"
    (tmp_path / "plan.yaml").write_text(
        plan.replace("attacks:", f"attacks:\n  - {first}").replace("epsilons:", f"  - {last}\nepsilons:")
    )
    added = run_home(tmp_path)
    found = {(row.attack, row.surrogate, row.target) for row in rows_of(tmp_path / "out") if not row.control}
    made = [("rga[steps=3]", "bright"), ("rga[steps=3]", "glow"), ("mi[steps=2]", "glow")]
    assert found == {(*one, target) for one in made for target in ("bright", "dark")}
    whole = run_home(tmp_path, out="whole")
    assert outcome(tmp_path / "out") == outcome(tmp_path / "whole")
    assert len(before) + len(added) == len(whole)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["facts"]["surrogates"] == ["bright", "glow"]
    assert results["facts"]["attacks"] == ["mi[steps=2]", "rga[steps=3]"], "in the plan's order, not the surrogates'"
    assert results["facts"]["models"]["glow"]["sha256"] == "c" * 64
    assert verify_run(tmp_path / "out") == []


def test_a_folder_grows_with_the_models_it_was_begun_with(
    patched: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home(tmp_path, 1, PLAN.replace(", dark", ""))
    run_home(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN + "seed: 3\n")
    with pytest.raises(UsageError, match=r"holds another run \(seed: seed is 0 there, 3 here\)"):  # targets are more
        run_home(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN)
    monkeypatch.setattr(Bright, "fingerprint", "c" * 64)
    with pytest.raises(UsageError, match="model 'bright' is not the one this run was begun with"):
        run_home(tmp_path)


def test_a_surrogate_that_becomes_a_target_is_looked_at_as_one(
    patched: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And refused before the folder is another plan's."""

    class NoBoxes(Bright):
        capabilities = replace(Bright.capabilities, boxes=False)

    monkeypatch.setitem(MODELS, "bright", NoBoxes)
    make_home(tmp_path, 1, PLAN.replace("[bright, dark]", "[dark]"))
    run_home(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN.replace("[bright, dark]", "[dark, bright]"))
    with pytest.raises(CapabilityError, match="model 'bright' takes no boxes"):
        run_home(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN.replace("[bright, dark]", "[dark]"))
    assert run_home(tmp_path) == []


@pytest.mark.parametrize("targets", ["[bright]", "[bright, dark]"])  # unknown before, and known as a target
def test_a_surrogate_of_one_attack_must_give_gradients(patched: None, tmp_path: Path, targets: str) -> None:
    plan = PLAN.replace("[bright, dark]", targets)
    own = plan.replace("steps: 3}", "steps: 3, surrogates: [dark]}")
    with pytest.raises(CapabilityError, match="dark"):
        run_home(make_home(tmp_path, 1, own))
    assert not (tmp_path / "out").exists()
    (tmp_path / "plan.yaml").write_text(plan)
    run_home(tmp_path)
    more = "  - {attack: mi, surrogates: [dark]}\n"
    (tmp_path / "plan.yaml").write_text(plan.replace("epsilons:", more + "epsilons:"))
    with pytest.raises(CapabilityError, match="dark"):
        run_home(tmp_path)
    (tmp_path / "plan.yaml").write_text(plan)
    assert run_home(tmp_path) == []


def test_other_weights_or_circumstances_are_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bright, "fingerprint", "c" * 64)
    (copy / "out" / "objects").rename(copy / "out" / "elsewhere")
    with pytest.raises(UsageError, match=r"model 'bright' is not the one this run was begun with \(sha256 was 'aaa"):
        run_again(copy)
    with sqlite3.connect(copy / "out" / "store.sqlite") as base:
        base.execute(
            "UPDATE meta SET value = replace(value, '\"threads\": 1', '\"threads\": 7') WHERE key = 'circumstances'"
        )
    base.close()
    with pytest.raises(UsageError, match=r"begun under other circumstances \(threads was 7, is 1\)"):
        run_again(copy)
