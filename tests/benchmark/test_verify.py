import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from runs import Silent, configure, make_photo, records

from segrobust.benchmark.config import read_config
from segrobust.benchmark.folder import write_json
from segrobust.benchmark.records import aggregate
from segrobust.benchmark.run import run
from segrobust.benchmark.verify import verify
from segrobust.errors import UsageError
from segrobust.io.images import read_image


@pytest.fixture(scope="module")
def small(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on one annotated photo."""
    home = tmp_path_factory.mktemp("small")
    photo = make_photo(home / "photo.png", 3)
    run(configure(tiny_model, photo, prompts={"masks": 1, "points": 2, "boxes": 1}), home / "out", Silent())
    return home / "out"


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    """The same run, free to be tampered with; its photo lies beside it."""
    shutil.copytree(small.parent, tmp_path / "copy")
    out = tmp_path / "copy" / "out"
    text = (out / "samples.jsonl").read_text()
    (out / "samples.jsonl").write_text(text.replace(str(small.parent), str(out.parent)))
    (out / "config.yaml").write_text((out / "config.yaml").read_text().replace(str(small.parent), str(out.parent)))
    return out


def edit(out: Path, row: str, change: Callable[[dict[str, Any]], None], *, consistent: bool = False) -> None:
    """Change a record; with ``consistent`` the aggregates follow, as a careful forger would see to."""
    lines = records(out)
    change(next(r for r in lines if r["attack"] == row))
    (out / "samples.jsonl").write_text("".join(json.dumps(r) + "\n" for r in lines))
    if consistent:
        write_json(out / "results.json", aggregate(read_config(out / "config.yaml"), lines))


def repaint(file: Path, value: int | None = None) -> None:
    """Change one value of a PNG: to ``value``, or by one level."""
    pixels = np.array(PIL.Image.open(file))
    pixels[7, 9, 1] = value if value is not None else pixels[7, 9, 1] ^ 1
    PIL.Image.fromarray(pixels).save(file)


def forge(out: Path) -> None:
    """Record the photo that is there now."""
    sha = read_image(out / "adv/photo.png").fingerprint
    edit(out, "rga", lambda r: r.update(adversarial_sha256=sha), consistent=True)


def test_a_fresh_folder_is_as_recorded(finished: Path) -> None:
    measured: list[str] = []
    assert verify(finished, on_record=measured.append) == []
    assert len(measured) == 10


def test_a_copy_elsewhere_is_as_recorded(copy: Path) -> None:
    assert verify(copy) == []


def test_a_changed_pixel(copy: Path) -> None:
    repaint(copy / "adv/photo.png")
    assert verify(copy) == ["photo rga: adv/photo.png is not the recorded photo (its pixels differ)"]


def test_a_changed_pixel_behind_a_forged_sum(copy: Path) -> None:
    repaint(copy / "adv/photo.png")
    forge(copy)
    assert any(problem.startswith("photo rga: psnr is") for problem in verify(copy))


def test_a_pixel_over_the_budget_behind_a_forged_sum(copy: Path) -> None:
    original = np.array(PIL.Image.open(copy.parent / "photo.png"))[7, 9, 1]
    repaint(copy / "adv/photo.png", int(original) + 9)
    forge(copy)
    problems = verify(copy)
    assert "photo rga: max_linf_255 is 9, the record says 8" in problems
    assert "photo rga: the budget is broken: max |difference| is 9/255, allowed 8/255" in problems


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("miou_clean_reference", 0.123),
        ("asr50", 0.9),
        ("psnr", 99.0),
        ("masks_found", 3),
        ("max_linf_255", 7),
        ("prompts", 80),
        ("epsilon", "4/255"),
        ("protocol", "paper"),
        ("model_sha256", "0" * 64),
        ("seed", 7),
    ],
)
def test_an_edited_record_is_named_even_when_the_table_was_made_to_fit(copy: Path, key: str, value: object) -> None:
    edit(copy, "rga", lambda r: r.update({key: value}), consistent=True)
    problems = verify(copy)
    assert [p for p in problems if p.startswith(f"photo rga: {key} is ") and p.endswith(f"the record says {value}")]
    assert len(problems) == 1


def test_an_edited_score_inside(copy: Path) -> None:
    edit(copy, "noise", lambda r: r["clean_reference"]["boxes"].update(miou=0.5))
    problems = verify(copy)
    assert "results.json does not follow from samples.jsonl" in problems
    assert any("photo noise: clean_reference.boxes.miou is" in p and "the record says 0.5" in p for p in problems)


def test_the_tolerance_is_for_scores_not_for_what_the_files_say(copy: Path) -> None:
    edit(copy, "rga", lambda r: r.update(miou_clean_reference=r["miou_clean_reference"] + 1e-3), consistent=True)
    assert len(verify(copy)) == 1
    assert verify(copy, tolerance=0.01) == []
    edit(copy, "rga", lambda r: r.update(psnr=r["psnr"] + 1e-6), consistent=True)
    assert ["psnr" in problem for problem in verify(copy, tolerance=0.01)] == [True]


def test_another_photo(copy: Path) -> None:
    make_photo(copy.parent / "photo.png", 4)
    problems = verify(copy)
    assert len(problems) == 3
    assert all("photo.png is not the photo that was attacked" in problem for problem in problems)
    (copy.parent / "photo.png").unlink()
    assert all("no such file" in problem for problem in verify(copy))


@pytest.mark.parametrize("content", ['{"rows": []}', "{broken", "[]"])
def test_edited_results(copy: Path, content: str) -> None:
    (copy / "results.json").write_text(content)
    (problem,) = verify(copy)
    assert problem.startswith("results.json ")


@pytest.mark.parametrize("row", ["clean", "noise", "rga"])
def test_a_deleted_record(copy: Path, row: str) -> None:
    kept = [r for r in records(copy) if r["attack"] != row]
    (copy / "samples.jsonl").write_text("".join(json.dumps(r) + "\n" for r in kept))
    write_json(copy / "results.json", aggregate(read_config(copy / "config.yaml"), kept))
    assert f"photo {row}: no record" in verify(copy)


def test_a_photo_without_any_record(copy: Path) -> None:
    (copy / "samples.jsonl").write_text("")
    write_json(copy / "results.json", aggregate(read_config(copy / "config.yaml"), []))
    assert verify(copy) == ["adv/photo.noise.png: no record", "adv/photo.png: no record"]


def test_a_line_that_is_no_record(copy: Path) -> None:
    with (copy / "samples.jsonl").open("a") as file:
        file.write('{"image": "pho')
    assert verify(copy) == ["samples.jsonl has 1 lines that are no records"]


def test_other_prompts(copy: Path) -> None:
    manifest = json.loads((copy / "prompts/photo.json").read_text())
    manifest["references"]["clean"]["points"][0] = [1.0, 1.0]
    write_json(copy / "prompts/photo.json", manifest)
    problems = verify(copy)
    assert len(problems) == 3
    assert "the clean prompts in the manifest are not those that seed 0 draws" in problems[0]


def test_other_masks(copy: Path) -> None:
    file = copy / "masks/photo.rga.json"
    document = json.loads(file.read_text())
    document["annotations"].pop()
    file.write_text(json.dumps(document))
    assert verify(copy) == ["photo rga: masks/photo.rga.json holds other masks than the model finds"]


@pytest.mark.parametrize("name", ["run.json", "prompts/photo.json", "masks/photo.json", "adv/photo.png"])
def test_a_file_that_is_gone(copy: Path, name: str) -> None:
    (copy / name).unlink()
    problems = verify(copy)
    assert problems
    assert all("cannot be measured again" in problem for problem in problems)


def test_an_interrupted_run(copy: Path) -> None:
    (copy / "results.json").unlink()
    assert verify(copy) == [
        "results.json is missing: the run was interrupted; the same 'segrobust attack' command continues it"
    ]


def test_failures_are_part_of_the_record(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no")
    run(configure(tiny_model, tmp_path / "bad.png"), tmp_path / "out", Silent())
    assert verify(tmp_path / "out") == []


def test_the_annotation_is_measured_again(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.parent, tmp_path / "copy")
    out = tmp_path / "copy" / "out"
    for name in ("samples.jsonl", "config.yaml"):
        (out / name).write_text((out / name).read_text().replace(str(finished.parent), str(out.parent)))
    file = out.parent / "b.json"
    document = json.loads(file.read_text())
    document["annotations"] = document["annotations"][:1]
    file.write_text(json.dumps(document))
    problems = verify(out)
    assert len(problems) == 5
    assert all(p.startswith("b ") and "annotation prompts" in p for p in problems)


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a run folder: it has no config\.yaml"):
        verify(tmp_path)
