import dataclasses
import json
import logging
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from pycocotools import mask as coco
from runs import Silent, configure, make_photo, records

import segrobust.benchmark.items
import segrobust.benchmark.run
from segrobust.benchmark.run import run
from segrobust.errors import UsageError

ROWS = ["clean", "noise", "rga", "rga-untargeted", "rga-random-cells"]
KEYS = {
    "image", "attack", "model", "protocol", "epsilon", "seed", "max_linf_255", "prompts", "miou_clean_reference",
    "asr50", "asr10", "encoder_forward", "encoder_backward", "seconds", "adversarial",
}  # fmt: skip


def test_the_folder_has_exactly_the_files_of_a_run(finished: Path) -> None:
    attacked = [".noise", "", ".rga-untargeted", ".rga-random-cells"]
    expected = {"config.yaml", "run.json", "samples.jsonl", "results.json", "log.txt"}
    for stem in "ab":
        expected |= {f"adv/{stem}{row}.png" for row in attacked}
        expected |= {f"guide/{stem}.png", f"guide/{stem}.rga-random-cells.png"}  # the others move towards nothing
        expected |= {f"masks/{stem}.{row}.json" for row in ROWS[1:]} | {f"masks/{stem}.json", f"prompts/{stem}.json"}
    files = {str(f.relative_to(finished)) for f in finished.rglob("*") if f.is_file()}
    assert files == expected  # a listener that draws adds panels/, see tests/cli


def test_records_have_the_keys_and_are_in_order(finished: Path) -> None:
    lines = records(finished)
    assert [(r["image"], r["attack"]) for r in lines] == [(stem, row) for stem in "ab" for row in ROWS]
    for record in lines:
        assert not KEYS - set(record)
        assert record["state"] == "done"
        assert record["epsilon"] == "8/255"
        assert record["prompts"] == 2 * (2 + 1)
        assert ("annotation_reference" in record) == (record["image"] == "b")


def test_the_numbers_are_measured_on_the_files(finished: Path) -> None:
    for record in records(finished):
        original = np.array(PIL.Image.open(finished.parent / f"{record['image']}.png")).astype(int)
        if record["attack"] == "clean":
            assert (record["max_linf_255"], record["adversarial"], record["miou_clean_reference"]) == (0, None, 1.0)
            continue
        saved = np.array(PIL.Image.open(finished / record["adversarial"]))
        assert np.abs(saved - original).max() == record["max_linf_255"] == 8
        assert record["miou_clean_reference"] < 1
        assert record["encoder_backward"] == (0 if record["attack"] == "noise" else 2 * 3)


def test_masks_are_read_by_pycocotools(finished: Path) -> None:
    by_name = {(r["image"], r["attack"]): r for r in records(finished)}
    for stem in "ab":
        for row in [None, *ROWS[1:]]:
            document = json.loads((finished / "masks" / f"{stem}{f'.{row}' if row else ''}.json").read_text())
            found = [coco.decode(a["segmentation"]) for a in document["annotations"]]
            assert len(found) == by_name[stem, row or "clean"]["masks_found"] > 0
            assert {m.shape for m in found} == {(48, 64) if stem == "a" else (40, 30)}
            assert all(a["area"] == m.sum() for a, m in zip(document["annotations"], found, strict=True))


def test_the_prompts_on_disk_are_those_that_were_counted(finished: Path) -> None:
    manifest = json.loads((finished / "prompts" / "b.json").read_text())
    clean, annotated = manifest["references"]["clean"], manifest["references"]["annotation"]
    assert (len(clean["points"]), len(clean["boxes"])) == (4, 2)
    assert annotated["point_masks"] == [0, 0, 1, 1]
    assert "annotation" not in json.loads((finished / "prompts" / "a.json").read_text())["references"]


def test_results_pool_the_prompts_of_all_photos(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    assert [row["attack"] for row in results["rows"]] == ROWS
    row = results["rows"][2]
    mine = [r for r in records(finished) if r["attack"] == "rga"]
    assert row["clean_reference"]["all"]["n"] == 12
    assert row["clean_reference"]["all"]["miou"] == pytest.approx(np.mean([r["miou_clean_reference"] for r in mine]))
    assert row["annotation_reference"]["photos"] == 1
    assert (row["max_linf_255"], row["photos"], row["failed"]) == (8, 2, 0)


def test_bad_photos_are_recorded_and_the_good_one_done(tiny_model: Path, tmp_path: Path) -> None:
    good = make_photo(tmp_path / "good.png", 1)
    whole = make_photo(tmp_path / "whole.jpg", 2).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("not a photo")
    (tmp_path / "empty.png").write_bytes(b"")
    deep = (np.arange(48 * 64).reshape(48, 64) * 20).astype(np.uint16)
    PIL.Image.fromarray(deep).save(tmp_path / "deep.png")
    names = ["cut.jpg", "text.png", "empty.png", "gone.png"]
    photos = [tmp_path / name for name in [*names, "good.png", "deep.png"]]
    results = run(configure(tiny_model, *photos), tmp_path / "out", Silent())
    failed = {f["photo"]: f["error"] for f in results["failures"]}
    assert list(failed) == names
    reasons = ["truncated", "not a photo", "0 bytes", "no such file"]
    assert all(why in failed[name].lower() and name in failed[name] for name, why in zip(names, reasons, strict=True))
    assert all("\n" not in error for error in failed.values())
    by_state = {(r["image"], r["attack"]): r["state"] for r in records(tmp_path / "out")}
    assert len(by_state) == 6 * 3  # never a missing row
    assert {i for (i, _), state in by_state.items() if state == "done"} == {"good", "deep"}
    run(configure(tiny_model, good), tmp_path / "alone", Silent())
    assert (tmp_path / "alone/adv/good.png").read_bytes() == (tmp_path / "out/adv/good.png").read_bytes()


def test_no_masks_and_tiny_photos_are_failures_not_crashes(tmp_path: Path, golden: Path, tiny_model: Path) -> None:
    one = make_photo(tmp_path / "one.png", size=(1, 1))
    results = run(configure(golden / "tiny-sam", one), tmp_path / "strict", Silent())
    assert {f["error"] for f in results["failures"]} == {
        "one: the model finds no masks on the photo, so there is nothing to score"
    }
    results = run(configure(tiny_model, one, make_photo(tmp_path / "a.png")), tmp_path / "out", Silent())
    assert {r["attack"]: r["state"] for r in records(tmp_path / "out") if r["image"] == "a"}["rga"] == "done"
    assert all(f["photo"] == "one.png" for f in results["failures"])


def test_an_annotation_for_another_photo_is_noted(tiny_model: Path, tmp_path: Path, finished: Path) -> None:
    photo = make_photo(tmp_path / "a.png")
    (tmp_path / "a.json").write_bytes((finished.parent / "b.json").read_bytes())
    run(configure(tiny_model, photo), tmp_path / "out", Silent())
    for record in records(tmp_path / "out"):
        assert "annotation_reference" not in record
        assert "annotation not used" in record["notes"][0]


def test_the_circumstances_are_written_and_the_log_is_let_go(finished: Path) -> None:
    about = json.loads((finished / "run.json").read_text())
    assert set(about["versions"]) >= {"segrobust", "python", "torch", "transformers", "numpy", "pillow"}
    assert (about["seed"], about["device"]) == (0, "cpu")
    assert about["everything"]["points_per_side"] == 2
    assert "run in" in (finished / "log.txt").read_text()
    assert not [h for h in logging.getLogger("segrobust").handlers if isinstance(h, logging.FileHandler)]


def test_points_per_side_reaches_segment_everything(tiny_model: Path, tmp_path: Path) -> None:
    config = configure(tiny_model, make_photo(tmp_path / "a.png"), points_per_side=1)
    run(config, tmp_path / "out", Silent())
    assert {r["masks_clean"] for r in records(tmp_path / "out")} <= {1, 2, 3}
    assert json.loads((tmp_path / "out" / "run.json").read_text())["everything"]["points_per_side"] == 1


def test_the_paper_protocol_says_how_far_it_goes(tiny_model: Path, tmp_path: Path) -> None:
    noisy = tmp_path / "noisy.png"
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(noisy)
    run(configure(tiny_model, noisy, protocol="paper"), tmp_path / "out", Silent())
    worst = {r["attack"]: r["max_linf_255"] for r in records(tmp_path / "out")}
    assert worst["rga"] > 8
    saved = np.array(PIL.Image.open(tmp_path / "out/adv/noisy.png")).astype(int)
    assert np.abs(saved - np.array(PIL.Image.open(noisy))).max() == worst["rga"]


def test_a_black_box_is_refused_before_anything_is_written(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = segrobust.benchmark.run.load

    def blind(*args: object, **kwargs: object):  # type: ignore[no-untyped-def]
        model = genuine(*args, **kwargs)  # type: ignore[arg-type]
        model.capabilities = dataclasses.replace(model.capabilities, gradient=False)
        return model

    monkeypatch.setattr(segrobust.benchmark.run, "load", blind)
    with pytest.raises(UsageError, match="no gradients"):
        run(configure(tiny_model, make_photo(tmp_path / "a.png")), tmp_path / "out", Silent())
    assert not (tmp_path / "out").exists()


def test_photos_whose_names_would_meet_get_files_of_their_own(tiny_model: Path, tmp_path: Path) -> None:
    names = ["a", "a.noise", "a.rga"]
    photos = [make_photo(tmp_path / f"{name}.png", seed, (16, 16)) for seed, name in enumerate(names)]
    run(configure(tiny_model, *photos), tmp_path / "out", Silent())
    assert len(list((tmp_path / "out/adv").iterdir())) == 6
    assert len(list((tmp_path / "out/masks").iterdir())) == 9
    assert {r["image"] for r in records(tmp_path / "out")} == {"a", "a.noise_", "a.rga_"}
