"""A plan from its file to results.json: what is computed, how often, and what a second run finds done."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import Bright as OneAnswer
from plan_runs import MODELS, PLAN, Bright, make_home, outcome, rows_of, run_again, run_home, stored

from segrobust.benchmark.plans import making
from segrobust.errors import CapabilityError
from segrobust.io.images import read_image


def test_every_row_is_there_once(home: Path) -> None:
    found = rows_of(home / "out")
    shots = 1 + 2 + 3, 1 + 2 + 3 + 3  # without defence; behind the one that attacks are adapted to
    assert len(found) == len({row.key() for row in found}) == 3 * 2 * sum(shots) * 3
    assert {row.state for row in found} == {"done"}
    assert {row.attack for row in found} == {
        "clean", "noise", "sign-noise", "rga[steps=3]", "away[steps=2]", "away[steps=3]"
    }  # fmt: skip
    assert {(row.defence, row.adaptive) for row in found} == {("none", False), ("bits-4", False), ("bits-4", True)}
    assert all((row.surrogate is None) == row.control for row in found)


def test_the_original_keeps_its_own_answers_and_attacks_stay_in_the_budget(home: Path) -> None:
    for row in rows_of(home / "out"):
        if row.attack == "clean" and row.protocol == "clean":
            assert set(row.item["prompts"]["iou"]) == {1.0}
        if row.attack != "clean":
            assert row.made["linf_255"] == 8 if row.recipe != "rga-untargeted" else row.made["linf_255"] <= 8


def test_what_is_recorded_is_measured_on_the_files(home: Path) -> None:
    row = next(row for row in rows_of(home / "out") if row.recipe == "rga")
    path = home / "out" / "objects" / row.made["object"][:2] / f"{row.made['object']}.png"
    saved, original = read_image(path).pixels, read_image(home / "photos" / f"{row.image}.png").pixels
    change = saved.astype(int) - original
    assert row.made["linf_255"] == np.abs(change).max()
    assert row.made["l2"] == pytest.approx(np.sqrt(((change / 255) ** 2).sum()))
    assert row.made["bytes"] == path.stat().st_size
    assert "seconds" not in row.made


def test_a_finished_run_has_nothing_left_to_do(copy: Path) -> None:
    before, records = outcome(copy / "out"), stored(copy / "out")
    assert run_again(copy) == []
    assert (outcome(copy / "out"), stored(copy / "out")) == (before, records)


def test_an_attack_is_made_once_for_all_targets_defences_protocols_and_labels(
    patched: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = PLAN.replace(
        "  - {attack: rga, steps: 3}", "  - {attack: rga, steps: 3}\n  - {attack: rga, label: b, steps: 3}"
    )
    home, made = make_home(tmp_path, 2, twice), Counter[str]()
    attack = making.attack

    def counted(white: Any, image: Any, recipe: Any, **rest: Any) -> Any:
        made[f"{image.name} {recipe.name} {recipe.steps} {white.name}"] += 1
        return attack(white, image, recipe, **rest)

    monkeypatch.setattr(making, "attack", counted)
    run_home(home)
    assert set(made.values()) == {1}
    assert len(made) == 2 * (2 + 3 + 3)
    found = {row.attack: row.made for row in rows_of(home / "out") if row.image == "p0" and not row.adaptive}
    assert found["b"] == found["rga[steps=3]"]


def test_results_follow_from_the_rows_and_hold_no_time(home: Path) -> None:
    text = (home / "out" / "results.json").read_text()
    results = json.loads(text)
    assert results["schema"] == "segrobust.results/2"
    assert results["facts"]["plan"] == "plan"
    assert results["facts"]["defences"] == {"bits-4": "fewer levels per channel"}
    assert results["failures"] == []
    assert '"seconds"' not in text


def test_every_protocol_with_prompts_takes_the_rule_oracle(patched: None, tmp_path: Path) -> None:
    asked = "annotation, prompts: {masks: 2, points: 3, boxes: 1}", "clean, prompts: {masks: 2, points: 2, boxes: 1}"
    plan = PLAN
    for protocol in asked:
        assert protocol in plan
        plan = plan.replace(protocol, f"{protocol}, rule: oracle")
    make_home(tmp_path, 1, plan)
    run_home(tmp_path)
    found = rows_of(tmp_path / "out")
    assert {row.state for row in found} == {"done"}
    own = [row.item["prompts"]["iou"] for row in found if (row.attack, row.protocol) == ("clean", "clean")]
    assert own
    assert {iou for ious in own for iou in ious} == {1.0}
    assert '"multimask": "oracle"' in (tmp_path / "out" / "results.json").read_text()


def test_the_oracle_of_a_model_that_shows_one_answer_is_refused_before_anything_is_done(
    patched: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "dark", OneAnswer)
    make_home(tmp_path, 1, PLAN.replace("clean, prompts", "clean, rule: oracle, prompts"))
    with pytest.raises(CapabilityError, match="shows one answer to a prompt, so the rule 'oracle'"):
        run_home(tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_photo_is_embedded_once_for_all_protocols(
    patched: None, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[bytes] = []

    class Counted(Bright):
        def embed(self, images: Any) -> Any:
            embedded.append(images.numpy().tobytes())
            return super().embed(images)

    monkeypatch.setitem(MODELS, "bright", Counted)
    plan = PLAN.replace("clean, prompts", "clean, rule: best, prompts").replace(
        "targets: [bright, dark]", "targets: [bright]"
    )
    make_home(tmp_path, 1, plan.split("attacks:")[0] + "attacks: []\ndata" + plan.split("data", 1)[1])
    run_home(tmp_path)
    at_first = 1  # what the prompts are drawn from
    looks = 2 * (1 + 3)  # without and behind the defence: what is right, then the original and two kinds of noise
    assert len(embedded) == at_first + looks


def test_prompts_may_come_from_a_target(patched: None, tmp_path: Path) -> None:
    """From what it finds, and not from what the surrogate does; one that finds nothing is refused."""
    make_home(tmp_path, 1, PLAN + "prompts_from: dark\n")
    run_home(tmp_path)
    (prompts,) = (tmp_path / "out" / "prompts").rglob("*.json")
    manifest = json.loads(prompts.read_text())
    make_home(tmp_path / "other", 1)
    run_home(tmp_path / "other")
    (before,) = (tmp_path / "other" / "out" / "prompts").rglob("*.json")
    assert manifest["prompts_from"] == "dark"
    assert manifest["references"]["clean"] != json.loads(before.read_text())["references"]["clean"]
    assert manifest["references"]["annotation"] == json.loads(before.read_text())["references"]["annotation"]


def test_prompts_come_from_a_model_that_segments_everything(
    patched: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "dark", lambda: OneAnswer(points=False))
    plan = PLAN.replace("  - everything\n", "").replace("[bright, dark]", "[dark]")
    make_home(tmp_path, 1, plan + "prompts_from: dark\n")
    with pytest.raises(CapabilityError, match="'dark' cannot segment everything: let prompts_from name one"):
        run_home(tmp_path)


def test_numbers_do_not_depend_on_the_other_photos_or_their_order(home: Path, tmp_path: Path) -> None:
    one = make_home(tmp_path, 3, PLAN.replace("{kind: sa1b,", "{kind: sa1b, shard: 2/3,"))
    run_home(one)
    alone = {row.key(): row for row in rows_of(one / "out")}
    assert {row.image for row in alone.values()} == {"p1"}
    assert alone == {row.key(): row for row in rows_of(home / "out") if row.image == "p1"}
