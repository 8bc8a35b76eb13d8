"""The commands report and compare, on a run folder that no model was needed for."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import Cli, make_cli
from report_parts import PROMPTS
from scored import FACTS, made, prompts, row, run_of

from segrobust.benchmark.plans.folder import open_folder
from segrobust.benchmark.plans.reading import parse_plan
from segrobust.benchmark.results import aggregate, to_json
from segrobust.evaluation.prompts import prompts_to_json
from segrobust.io.images import write_png
from segrobust.report.pictures import Pair
from segrobust.report.run_pictures import RunPictures
from segrobust.report.write import read_results

SCORES = {"a": [0.1] * 4, "b": [0.5] * 4}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(capsys)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run: two photos, one attack, its pictures where the engine puts them."""
    photos = tmp_path / "photos"
    photos.mkdir()
    plan, _ = parse_plan(f"surrogates: [nano]\ntargets: [nano]\ndata: [{{path: {photos}, kind: images}}]\n", "plan")
    folder = open_folder(tmp_path / "run", plan)
    rows = []
    for number, (image, ious) in enumerate(SCORES.items()):
        original = np.full((40, 60, 3), 100 + number, np.uint8)
        write_png(photos / f"{image}.png", original)
        saved = folder.save(original + np.uint8(8))
        rows.append(row("clean", [0.9] * 4, image))
        rows.append(row("rga", ious, image, made=made(object=saved), item=prompts(ious)))
        manifest = {"references": {"annotation": prompts_to_json(PROMPTS)}}
        folder.prompts("photos", image).parent.mkdir(parents=True, exist_ok=True)
        folder.prompts("photos", image).write_text(json.dumps(manifest))
    folder.results.write_text(to_json(aggregate(rows, FACTS)))
    return folder.root


def examples(run: Path) -> dict[str, dict]:
    return {example["image"]: example for example in read_results(run)["examples"]}


def test_report_writes_both_forms_and_says_the_verdict(run, cli):
    said = cli("report", run)
    assert said.code == 0
    assert said.out.startswith("rga within 8/255 breaks nano: on 2 photos")
    assert "info: few-photos: 2 photos (run)" in said.out
    assert said.out.rstrip().endswith(f"saved {run / 'report.html'}")
    page = (run / "report.html").read_text("utf-8")
    assert page.count("<img ") == 6
    assert "4 of 4 prompts hold" in page
    assert (run / "report.md").read_text("utf-8").startswith("# segrobust: example")


def test_pictures_are_the_files_of_the_run_and_the_data(run):
    pair = RunPictures(run).pair(examples(run)["b"])
    assert isinstance(pair, Pair)
    assert (pair.original == 101).all()
    assert (pair.attacked == 109).all()
    assert np.array_equal(pair.prompts.boxes, PROMPTS.boxes)


def test_what_is_gone_is_told_and_the_report_is_still_written(run, cli):
    gone = examples(run)
    (run.parent / "photos" / "b.png").unlink()
    RunPictures(run)._folder.object(gone["a"]["object"]).unlink()
    (run / "prompts" / "photos" / "a.json").write_text("{")
    assert cli("report", run).code == 0
    page = (run / "report.html").read_text("utf-8")
    assert "b is not in the data any more" in page
    assert "The attacked photo is not in the run folder any more" in page
    assert page.count("<img ") == 1


def test_data_that_moved_away_is_told(run, cli):
    (run.parent / "photos").rename(run.parent / "elsewhere")
    assert cli("report", run).code == 0
    assert "The photos cannot be shown: " in (run / "report.html").read_text("utf-8")


def test_a_photo_that_became_another_is_not_shown_as_the_one_that_was_attacked(run):
    write_png(run.parent / "photos" / "a.png", np.zeros((30, 60, 3), np.uint8))
    assert RunPictures(run).pair(examples(run)["a"]).attacked is None


@pytest.mark.parametrize("make", [lambda p: p / "nothing", lambda p: p])
def test_a_folder_without_a_run_is_one_line_and_code_2(tmp_path, cli, make):
    said = cli("report", make(tmp_path))
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """The results of two runs, of which the second is worse."""
    worse = [replace(one, item=prompts([0.0] * 4)) if one.attack == "ask" and "prompts" in one.item else one
             for one in run_of()]  # fmt: skip
    paths = tmp_path / "first.json", tmp_path / "second.json"
    for path, rows in zip(paths, (run_of(), worse), strict=True):
        path.write_text(to_json(aggregate(rows, FACTS)))
    return paths


def test_compare_names_what_got_worse_and_ends_with_3(two, cli):
    said = cli("compare", *two)
    assert said.code == 3
    first = next(line for line in said.out.splitlines() if line.startswith("| worse"))
    assert "ask" in first
    assert "[−" in first
    assert said.out.splitlines()[-1].startswith("4 of 47 rows got worse (a fall of more than 0.01")


def test_compare_ends_with_0_below_the_threshold_and_the_other_way_round(two, cli):
    assert cli("compare", *two, "--threshold", "0.99").code == 0
    assert cli("compare", two[0], two[0]).out.splitlines()[-1].startswith("none of 47 rows got worse")
    assert cli("compare", two[1], two[0]).code == 0


def test_compare_says_what_differs_and_what_is_in_one_run_only(tmp_path, two, cli):
    fewer = [one for one in run_of() if one.attack != "ask"]
    other = tmp_path / "other.json"
    other.write_text(to_json(aggregate(fewer, replace(FACTS, seed=9))))
    said = cli("compare", two[0], other)
    assert "Not the same in both runs: seed." in said.out
    assert "Only in the first run: photos, ask made on nano → nano, annotation" in said.out
    assert "second run:" not in said.out


def test_runs_that_have_nothing_in_common_are_refused(two, tmp_path, cli):
    (tmp_path / "x.json").write_text(to_json(aggregate([row("rga", [0.1], "z")], FACTS)))
    said = cli("compare", two[0], tmp_path / "x.json")
    assert said.code == 2
    assert "no row with a photo in common" in said.err
