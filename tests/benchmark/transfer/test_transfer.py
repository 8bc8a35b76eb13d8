import json
import re
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import PIL.Image
import pytest
from plans import make_plan, outcome, target_records
from runs import Silent, make_other_model, numbers

import segrobust.benchmark.transfer.models
from segrobust import Image, Prompts
from segrobust.benchmark.config import read_config
from segrobust.benchmark.run import run
from segrobust.benchmark.transfer.plan import TransferPlan
from segrobust.benchmark.transfer.run import run_transfer
from segrobust.errors import CapabilityError, UsageError
from segrobust.models import load
from segrobust.models.functions import wrap

ROWS = ["clean", "noise on {0}/one", "rga on {0}/one", "noise on {0}/two", "rga on {0}/two"]


def cells(results: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """By surrogate, attack and target, all as folder names."""
    return {
        (Path(row["surrogate"] or "").name, row["attack"], Path(row["target"]).name): row for row in results["rows"]
    }


def results_of(root: Path) -> dict[str, Any]:
    return json.loads((root / "results.json").read_text())


def test_every_target_has_a_record_of_every_photo_and_row_in_order(home: Path, transferred: Path) -> None:
    wanted = [(image, row.format(home)) for image in "ab" for row in ROWS]
    for name in ("one", "two"):
        assert [(r["image"], r["row"]) for r in target_records(transferred, name)] == wanted
    results = results_of(transferred)
    assert (results["photos"], results["failures"]) == (2, [])
    assert [len(str(facts["sha256"])) for facts in results["models"].values()] == [64, 64]


def test_a_surrogates_run_is_that_of_the_attack_command(home: Path, transferred: Path, tmp_path: Path) -> None:
    config = read_config(transferred / "surrogates/two/config.yaml")
    assert config.model == str(home / "two")
    run(config, tmp_path / "alone", Silent())
    assert numbers(tmp_path / "alone") == numbers(transferred / "surrogates/two")


def test_all_targets_answer_the_prompts_of_the_named_surrogate(home: Path, transferred: Path, tmp_path: Path) -> None:
    for image in "ab":
        manifest = json.loads((transferred / f"prompts/{image}.json").read_text())
        assert manifest.pop("prompts_from") == str(home / "one")
        assert manifest == json.loads((transferred / f"surrogates/one/prompts/{image}.json").read_text())
        assert manifest != json.loads((transferred / f"surrogates/two/prompts/{image}.json").read_text())
        records = [r for name in ("one", "two") for r in target_records(transferred, name) if r["image"] == image]
        assert len({r["prompts_sha256"] for r in records}) == 1
    other = make_plan(home, "one", "two", targets=("two",), prompts_from=str(home / "two"))
    run_transfer(other, tmp_path / "out", Silent())
    kept = json.loads((transferred / "surrogates/two/prompts/a.json").read_text())["references"]
    assert json.loads((tmp_path / "out/prompts/a.json").read_text())["references"] == kept


def pixels(file: Path) -> Image:
    return Image(np.array(PIL.Image.open(file).convert("RGB")))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_what_is_scored_is_the_file_of_one_model_shown_to_another(home: Path, transferred: Path) -> None:
    """Measured again with nothing but the target, the two pictures and the prompts as they lie there."""
    target = load(str(home / "two"), device="cpu")
    document = json.loads((transferred / "prompts/b.json").read_text())["references"]
    record = next(
        r for r in target_records(transferred, "two") if r["row"] == f"rga on {home}/one" and r["image"] == "b"
    )
    assert record["scored"] == "surrogates/one/adv/b.png"
    before, after = pixels(home / "photos/b.png"), pixels(transferred / record["scored"])
    assert record["max_linf_255"] == np.abs(before.pixels.astype(int) - after.pixels.astype(int)).max() == 8
    annotated = np.zeros((2, 40, 30), np.bool_)
    annotated[0, 5:20, 5:25], annotated[1, 25:, :15] = True, True
    for kind in ("clean", "annotation"):
        prompts = Prompts.of(**{k: document[kind][k] for k in ("points", "boxes", "point_masks", "box_masks")})
        wanted = list(target.answer(before, prompts))
        if kind == "annotation":
            wanted = [annotated[i] for i in [*prompts.point_masks, *prompts.box_masks]]
        ious = [overlap(a, b) for a, b in zip(wanted, target.answer(after, prompts), strict=True)]
        found = record[f"{kind}_reference"]
        assert found["points"] + found["boxes"] == pytest.approx(ious, abs=1e-9)
        assert (len(found["points"]), len(found["boxes"]), found["empty"]) == (4, 2, 0)
        assert min(ious) < 0.99


def test_the_table_follows_from_the_records_by_hand(home: Path, transferred: Path) -> None:
    table = cells(results_of(transferred))
    assert len(table) == len(ROWS) * 2
    for (surrogate, attack, target), cell in table.items():
        records = target_records(transferred, target)
        row = "clean" if not surrogate else f"{attack} on {home}/{surrogate}"
        here = [r for r in records if r["row"] == row]
        clean = [r for r in records if r["row"] == "clean"]
        for kind, photos in (("clean_reference", 2), ("annotation_reference", 1)):
            now = [v for r in here if kind in r for v in r[kind]["points"] + r[kind]["boxes"]]
            then = [v for r in clean if kind in r for v in r[kind]["points"] + r[kind]["boxes"]]
            scores = cell[kind]["all"]
            assert (len(now), cell[kind]["photos"]) == (6 * photos, photos)
            assert scores["miou"] == pytest.approx(mean(now))
            assert scores["drop"] == pytest.approx(mean(then) - mean(now))
            assert scores["asr50"] == pytest.approx(mean(v <= 0.5 for v in now))
            useful = [a for a, b in zip(now, then, strict=True) if b > 0.5]
            assert scores["conditional"]["n"] == len(useful)
            if useful:
                assert scores["conditional"]["asr50"] == pytest.approx(mean(v <= 0.5 for v in useful))
            boxes = [v for r in here if kind in r for v in r[kind]["boxes"]]
            assert cell[kind]["boxes"]["miou"] == pytest.approx(mean(boxes))
    assert {key for key, cell in table.items() if cell["white_box"]} == {
        (name, attack, name) for name in ("one", "two") for attack in ("noise", "rga")
    }
    assert table["one", "rga", "one"]["clean_reference"]["all"]["miou"] < 1


def test_the_original_scores_one_against_itself(transferred: Path) -> None:
    for name in ("one", "two"):
        for record in target_records(transferred, name):
            if record["row"] == "clean":
                scores = record["clean_reference"]
                assert {*scores["points"], *scores["boxes"]} == {1.0}


def test_the_same_weights_under_two_names_are_a_white_box(home: Path, tmp_path: Path) -> None:
    make_other_model(home / "one", tmp_path / "twin")
    (tmp_path / "twin/model.safetensors").write_bytes((home / "one/model.safetensors").read_bytes())
    plan = make_plan(home, "one", targets=("two",), parameters={"steps": 1})
    results = run_transfer(plan.model_copy(update={"targets": (str(tmp_path / "twin"),)}), tmp_path / "out", Silent())
    assert [row["white_box"] for row in results["rows"]] == [False, True, True]


# --- black boxes and failures ------------------------------------------------------------------------------------


def put_function(monkeypatch: pytest.MonkeyPatch, function: Any, **takes: bool) -> None:
    """``mine:segment`` becomes this function."""
    genuine = segrobust.benchmark.transfer.models.load

    def find(name: str, **rest: Any) -> Any:
        return wrap(function, name=name, **takes) if name == "mine:segment" else genuine(name, **rest)

    monkeypatch.setattr(segrobust.benchmark.transfer.models, "load", find)


def bright(photo: np.ndarray, prompts: Prompts) -> np.ndarray:
    """Whatever is brighter than grey, but for the first prompt: nothing."""
    found = np.repeat((photo.mean(axis=2) > 128)[None], len(prompts), axis=0)
    found[0] = False
    return found


def test_a_function_is_a_target(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_function(monkeypatch, bright)
    results = run_transfer(make_plan(home, "one", targets=("mine:segment",)), tmp_path / "out", Silent())
    facts = results["models"]["mine:segment"]
    assert (facts["sha256"], facts["licence"], facts["gradient"]) == ("", None, False)
    assert results["models"][str(home / "one")]["everything"]["points_per_side"] == 2
    for record in target_records(tmp_path / "out", "mine_segment"):
        scores = record["clean_reference"]
        assert (scores["points"][0], scores["empty"]) == (1.0, 1)  # nothing before, nothing after: counted as 1
        assert record["row"] != "clean" or {*scores["points"], *scores["boxes"]} == {1.0}
    clean = results["rows"][0]
    assert clean["clean_reference"]["empty"] == 2
    assert [row["white_box"] for row in results["rows"]] == [False] * 3


def test_a_target_that_fails_on_a_photo_is_recorded_and_tried_again(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moody(photo: np.ndarray, prompts: Prompts) -> np.ndarray:
        if photo.shape[0] == 48:
            raise RuntimeError("no\nmood")
        return bright(photo, prompts)

    plan = make_plan(home, "one", targets=("mine:segment", "one"))
    with monkeypatch.context() as patch:
        put_function(patch, moody)
        results = run_transfer(plan, tmp_path / "out", Silent())
    states = {(r["image"], r["row"]): r["state"] for r in target_records(tmp_path / "out", "mine_segment")}
    assert set(states.values()) == {"done", "failed"}
    assert {image for (image, _), state in states.items() if state == "failed"} == {"a"}
    assert len(results["failures"]) == 3
    assert {(f["photo"], f["target"]) for f in results["failures"]} == {("a.png", "mine:segment")}
    assert "no mood" in results["failures"][0]["error"]
    cell = cells(results)["one", "rga", "mine:segment"]
    assert (cell["photos"], cell["failed"], cell["clean_reference"]["photos"]) == (1, 1, 1)
    assert all(r["state"] == "done" for r in target_records(tmp_path / "out", "one"))
    put_function(monkeypatch, bright)
    listener = Silent()
    assert run_transfer(plan, tmp_path / "out", listener)["failures"] == []
    assert [item.split(" ", 1)[1] for item in listener.items] == [
        f"mine:segment: a {row}" for row in ("clean", f"noise on {home}/one", f"rga on {home}/one")
    ]


def test_a_photo_that_cannot_be_read_fails_for_every_target(home: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no photo")
    plan = make_plan(home, "one", photos=(str(home / "photos/a.png"), str(tmp_path / "broken.png")))
    results = run_transfer(plan, tmp_path / "out", Silent())
    assert [f["image"] for f in results["failures"]] == ["broken"] * 6
    assert results["failures"][0]["error"].startswith(f"no prompts: on {home}/one, ")
    assert all(row["photos"] == 1 and row["failed"] == 1 for row in results["rows"])


def test_what_cannot_be_meant_is_refused_before_anything_is_attacked(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_function(monkeypatch, bright, boxes=False)
    with pytest.raises(CapabilityError, match=r"'mine:segment' takes no boxes.*set 'prompts: {boxes: 0}'"):
        run_transfer(make_plan(home, "one", targets=("mine:segment",)), tmp_path / "out", Silent())
    attacked = make_plan(home, "one", prompts={"boxes": 0}).model_copy(update={"surrogates": ("mine:segment",)})
    with pytest.raises(CapabilityError, match="gives no gradients"):
        run_transfer(attacked, tmp_path / "out", Silent())
    assert not (tmp_path / "out").exists()


# --- the folder --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut line", "no target", "no attack", "no prompts", "other scores", "nonsense"])
def test_a_damaged_folder_is_repaired_to_the_same_bytes(home: Path, tmp_path: Path, once: Path, damage: str) -> None:
    out = once
    whole = outcome(out)
    records = out / "targets/two.jsonl"
    lines = records.read_bytes().splitlines(keepends=True)
    if damage == "cut line":
        records.write_bytes(b"".join(lines)[:-60])
    elif damage == "no target":
        records.unlink()
    elif damage == "no attack":
        (out / "surrogates/one/adv/b.png").unlink()
    elif damage == "no prompts":
        (out / "prompts/a.json").unlink()
    elif damage == "nonsense":
        records.write_bytes(b"\0" * 50 + b"\n" + lines[0] + b"[]\n")
    else:  # scored when the saved photo was another one
        records.write_bytes(b"".join(lines[:-1]) + lines[-1].replace(b'"scored_sha256": "', b'"scored_sha256": "0'))
    (out / "results.json").unlink()
    listener = Silent()
    run_transfer(make_plan(home, "one"), out, listener)
    assert outcome(out) == whole
    redone = {"cut line": 1, "no target": 6, "no attack": 1, "no prompts": 0, "other scores": 1, "nonsense": 5}
    assert len(listener.items) == redone[damage]


@pytest.fixture(scope="module")
def once(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished plan that tests damage and mend."""
    out = tmp_path_factory.mktemp("once") / "out"
    run_transfer(make_plan(home, "one"), out, Silent())
    return out


def test_a_finished_plan_is_not_done_again(home: Path, transferred: Path) -> None:
    before, listener = outcome(transferred), Silent()
    run_transfer(make_plan(home, "one", "two"), transferred, listener)
    assert listener.items == []
    assert outcome(transferred) == before


def test_another_plan_is_refused_and_named(home: Path, transferred: Path) -> None:
    plan = make_plan(home, "one", "two", seed=3, targets=("two",))
    with pytest.raises(UsageError, match=r"another run \(seed, targets: seed is 0 there, 3 here\)"):
        run_transfer(plan, transferred, Silent())
    with pytest.raises(UsageError, match="not empty"):
        run_transfer(plan, transferred / "surrogates", Silent())


def test_other_weights_under_the_same_name_are_refused(home: Path, tmp_path: Path) -> None:
    make_other_model(home / "one", tmp_path / "model", seed=2)
    plan = make_plan(home, "one").model_copy(update={"targets": (str(tmp_path / "model"),)})
    run_transfer(plan, tmp_path / "out", Silent())
    weights = (home / "two/model.safetensors").read_bytes()
    (tmp_path / "model/model.safetensors").write_bytes(weights)
    with pytest.raises(UsageError, match=r"other circumstances \(models"):
        run_transfer(plan, tmp_path / "out", Silent())


def test_the_page_lists_what_there_is(root: Path, transferred: Path) -> None:
    page = (root / "docs/transfer.md").read_text("utf-8")

    def table(title: str) -> set[str]:
        section = page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        first = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
        return {name for cell in first for name in re.findall(r"`([^`]+)`", cell)}

    assert table("The plan") == set(TransferPlan.model_fields)
    records = [record for name in ("one", "two") for record in target_records(transferred, name)]
    assert table("The records of a target") == {key for record in records for key in record}
    assert table("results.json") == set(results_of(transferred))
    rows = page.partition("\n## results.json\n")[2]
    assert {key for row in results_of(transferred)["rows"] for key in row} <= set(re.findall(r"`(\w+)`", rows))
    files = {part.name for part in transferred.iterdir()} | {"report.md"}
    named = {name.partition("/")[0] for name in table("The folder")}
    assert named == files
