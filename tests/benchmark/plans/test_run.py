"""A plan from its file to results.json: what is computed, how often, and what a second run finds done."""

import json
import shutil
import sqlite3
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from answering import Bright as OneAnswer
from plan_runs import MODELS, PLAN, Bright, make_home, outcome, run_home, stored

from segrobust.benchmark.plans import bench, making, scoring
from segrobust.benchmark.plans.bench import open_data
from segrobust.benchmark.plans.engine import Run
from segrobust.benchmark.plans.folder import existing_folder
from segrobust.benchmark.plans.store import Store
from segrobust.benchmark.plans.tables import rows
from segrobust.benchmark.plans.verify import verify_run
from segrobust.benchmark.rows import Row
from segrobust.errors import CapabilityError, MissingError, UsageError
from segrobust.io.images import read_image


def rows_of(root: Path) -> list[Row]:
    folder, plan = existing_folder(root)
    with Store(root, write=False) as store:
        return list(rows(Run(plan, folder, store, open_data(plan), store.meta("models"))))


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home, tmp_path / "copy"))


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


def run_again(copy: Path, **options: Any) -> list[str]:
    """Run a copied home, whose photos lie where the original's do."""
    from plan_runs import Counting

    from segrobust.benchmark.plans.run import run_plan

    listener = Counting()
    run_plan(existing_folder(copy / "out")[1], copy / "out", listener, **options)
    return listener.items


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


def test_a_lost_photo_of_an_attack_is_made_again(copy: Path) -> None:
    before = outcome(copy / "out")
    lost = next((copy / "out" / "objects").rglob("*.png"))
    lost.unlink()
    assert len(run_again(copy)) in (1, 2)  # a guide map is made with its attack, and not asked for again
    if lost.exists():
        assert outcome(copy / "out") == before


def test_a_changed_photo_is_done_again_and_the_others_are_not(patched: None, tmp_path: Path) -> None:
    home = make_home(tmp_path, 2)
    run_home(home)
    pixels = 255 - np.array(PIL.Image.open(home / "photos" / "p1.png"))
    PIL.Image.fromarray(pixels).save(home / "photos" / "p1.png")
    again = run_home(home)
    assert again
    assert all(what.startswith("p1") for what in again)
    run_home(home, out="whole")
    assert (home / "out" / "results.json").read_bytes() == (home / "whole" / "results.json").read_bytes()


def test_a_broken_photo_is_failed_rows_and_the_rest_goes_on(patched: None, tmp_path: Path) -> None:
    home = make_home(tmp_path, 2)
    (home / "photos" / "p0.png").write_bytes(b"no photo")
    (home / "photos" / "p1.json").write_text("{}")
    run_home(home)
    found = rows_of(home / "out")
    failed = [row for row in found if not row.done]
    assert {(row.image, row.protocol) for row in failed} == {
        ("p0", "annotation"), ("p0", "clean"), ("p0", "everything"), ("p1", "annotation")
    }  # fmt: skip
    assert len(found) == 2 * 2 * 15 * 3
    assert all("p0.png" in str(row.error) for row in failed if row.image == "p0")
    make_home(tmp_path, 2)
    assert run_home(home)
    assert all(row.done for row in rows_of(home / "out"))


def test_out_of_memory_halves_the_batch_then_is_a_failure(
    patched: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, tried, freed = make_home(tmp_path, 1), [], []
    attack, score = making.attack, scoring.compare

    def greedy(*given: Any, encoder_batch: int | None, **rest: Any) -> Any:
        tried.append(encoder_batch)
        if given[2].name == "rga-untargeted" and (given[2].steps == 2 or encoder_batch is None):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return attack(*given, encoder_batch=encoder_batch, **rest)

    def full(model: Any, *given: Any, everything: Any) -> Any:
        if everything.points_per_batch > 16:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return score(model, *given, everything=everything)

    monkeypatch.setattr(making, "attack", greedy)
    monkeypatch.setattr(scoring, "compare", full)
    monkeypatch.setattr(bench, "free_memory", lambda: freed.append(len(tried)))  # a collection takes long here
    run_home(home)
    assert Counter(tried) == Counter([None] * 8 + [4, 2, 1] * 2 + [4] * 2)  # two attacks, each oblivious and adaptive
    again = [number for number, batch in enumerate(tried) if batch]
    assert set(again) <= set(freed), "memory is freed before each further try"
    found = rows_of(home / "out")
    assert {row.attack for row in found if not row.done} == {"away[steps=2]"}
    assert all("out of memory" in str(row.error) for row in found if not row.done)
    notes = {row.attack: row.made["notes"] for row in found if row.done and row.made}
    assert notes["away[steps=3]"] == ["out of memory: tried again with a batch of 4"]


def test_a_full_disk_ends_the_run_and_the_next_one_finishes_it(
    patched: None, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_home(tmp_path)
    put_all = Store.put_all

    def fills(self: Store, records: Any) -> None:
        self._base.execute("PRAGMA max_page_count = 60")
        put_all(self, records)

    monkeypatch.setattr(Store, "put_all", fills)
    with pytest.raises(MissingError, match="database or disk is full; the same command continues"):
        run_home(other)
    monkeypatch.setattr(Store, "put_all", put_all)
    assert run_home(other)
    there, here = (json.loads((root / "out/results.json").read_text()) for root in (home, other))
    assert there["cells"] == here["cells"]


def test_numbers_do_not_depend_on_the_other_photos_or_their_order(home: Path, tmp_path: Path) -> None:
    one = make_home(tmp_path, 3, PLAN.replace("{kind: sa1b,", "{kind: sa1b, shard: 2/3,"))
    run_home(one)
    alone = {row.key(): row for row in rows_of(one / "out")}
    assert {row.image for row in alone.values()} == {"p1"}
    assert alone == {row.key(): row for row in rows_of(home / "out") if row.image == "p1"}


def test_a_run_killed_while_its_store_was_made_begins_again(home: Path, tmp_path: Path) -> None:
    make_home(tmp_path)
    out = tmp_path / "out"
    run_home(tmp_path, "whole")
    out.mkdir()
    shutil.copy(tmp_path / "whole" / "plan.yaml", out)
    base = sqlite3.connect(out / "store.sqlite")
    base.execute("PRAGMA journal_mode=WAL")  # and then the power went
    base.close()
    run_home(tmp_path)
    assert outcome(out) == outcome(tmp_path / "whole")
