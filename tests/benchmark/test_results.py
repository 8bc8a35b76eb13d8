"""results.json: arithmetic done by hand, one shape whatever happened, the same bytes in whatever order."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from scored import FACTS, made, prompts, row, run_of

from segrobust.benchmark.results import aggregate, levels, to_json
from segrobust.benchmark.rows import Row

NUMBERS = [0.2, 0.4, 0.6, 0.05]


@pytest.fixture(scope="module")
def validator(root):
    schema = json.loads((root / "docs" / "results.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.fixture(scope="module")
def results():
    return aggregate(run_of(), FACTS)


def cell(results, attack, **wanted):
    wanted = {"target": "nano", "defence": "none", "protocol": "annotation", "adaptive": False} | wanted
    (found,) = [
        c for c in results["cells"] if c["attack"] == attack and all(c[key] == value for key, value in wanted.items())
    ]
    return found


def small() -> list[Row]:
    """Two photos; the second has one prompt without a reference, and one that was never answered well."""
    return [
        row("clean", [0.9, 0.9, 0.9, 0.9], "a"),
        row("clean", [0.8, 0.4, None, 0.8], "b"),
        row("rga", NUMBERS, "a", item=prompts(NUMBERS) | {"empty": 1}),
        row("rga", [0.5, 0.3, None, 0.7], "b"),
    ]


def test_micro_averages_by_hand():
    found = cell(aggregate(small(), FACTS), "rga")
    assert (found["photos"], found["prompts"], found["skipped"], found["empty"]) == (2, 7, 1, 1)
    assert found["all"]["miou"]["value"] == pytest.approx((0.2 + 0.4 + 0.6 + 0.05 + 0.5 + 0.3 + 0.7) / 7, abs=1e-6)
    assert found["all"]["asr50"]["value"] == pytest.approx(5 / 7, abs=1e-6)  # 0.5 itself counts
    assert found["all"]["asr10"]["value"] == pytest.approx(1 / 7, abs=1e-6)
    assert found["points"]["miou"]["value"] == pytest.approx((0.2 + 0.4 + 0.5 + 0.3) / 4)
    assert found["boxes"]["miou"]["value"] == pytest.approx((0.6 + 0.05 + 0.7) / 3)
    assert found["macro"]["miou"]["value"] == pytest.approx((1.25 / 4 + 1.5 / 3) / 2)
    assert found["per_image"] == {"image": ["a", "b"], "n": [4, 3], "score": [0.3125, 0.5]}


def test_sizes_are_of_the_reference_mask():
    found = cell(aggregate(small(), FACTS), "rga")["sizes"]
    assert [found[name]["n"] for name in ("small", "medium", "large")] == [4, 2, 1]
    assert found["large"]["miou"]["value"] == 0.6


def test_conditional_asr_counts_what_was_answered_well_before():
    found = cell(aggregate(small(), FACTS), "rga")["conditional"]
    assert found["n"] == 6  # not the prompt with 0.4 on the original
    assert found["asr50"]["value"] == pytest.approx(4 / 6, abs=1e-6)


def test_an_interval_holds_its_number_and_needs_two_photos(results):
    found = cell(results, "rga")["all"]["miou"]
    assert found["low"] < found["value"] < found["high"]
    alone = cell(aggregate(small()[::2], FACTS), "rga")["all"]["miou"]
    assert alone == {"value": 0.3125, "low": None, "high": None}


def test_everything_is_a_mean_over_photos(results):
    found = cell(results, "rga", protocol="everything")
    assert found["everything"]["matched_miou"]["value"] == 0.3
    assert found["everything"]["masks_found"]["value"] == 9
    assert "all" not in found


def test_what_lies_on_disk_and_what_it_cost():
    rows = small()
    rows[2] = replace(rows[2], made=made(linf_255=7, psnr=None, encoder_backward=10))
    found = cell(aggregate(rows, FACTS), "rga")
    assert found["files"] == {"linf_255": 8, "psnr": 33.0, "ssim": 0.91, "l2": 9.5, "bytes": 120_000.0}
    assert found["cost"] == {"encoder_forward": 84, "encoder_backward": 50}
    assert "files" not in cell(aggregate(rows, FACTS), "clean")


def test_differences_are_paired_and_against_whom_a_row_is_judged(results):
    cells = results["cells"]
    ask = cells.index(cell(results, "ask"))
    found = {d["kind"]: d for d in results["differences"] if d["cell"] == ask}
    assert set(found) == {"clean", "noise", "sign-noise", "headline"}
    assert cells[found["headline"]["against"]] == cell(results, "rga")
    assert found["headline"]["score"] == {"value": 0.1, "low": 0.1, "high": 0.1}  # on every photo the same: no width
    alone = cells.index(cell(results, "rga", defence="jpeg-q75", adaptive=True))
    (unaware,) = [d for d in results["differences"] if d["cell"] == alone and d["kind"] == "unaware"]
    assert unaware["score"]["value"] == pytest.approx(-0.3)


def test_noise_is_that_of_the_same_epsilon(results):
    cells = results["cells"]
    half = cells.index(cell(results, "rga[eps=4/255]"))
    (noise,) = [d for d in results["differences"] if d["cell"] == half and d["kind"] == "noise"]
    assert cells[noise["against"]] == cell(results, "noise[eps=4/255]")


def test_the_report_opens_with_the_first_attack_white_box_on_annotated_masks(results):
    assert results["cells"][results["headline"]] == cell(results, "rga")
    assert aggregate([row("clean", [1.0])], FACTS)["headline"] is None


def test_of_several_data_sets_the_one_with_most_photos_opens() -> None:
    rows = [row("rga", [0.5], image, dataset=data) for data, images in (("a", "x"), ("b", "xyz")) for image in images]
    found = aggregate(rows, FACTS)
    assert found["cells"][found["headline"]]["dataset"] == "b"


def test_examples_are_the_worst_the_middle_and_the_best_photo(results):
    assert [(e["role"], e["image"]) for e in results["examples"]] == [
        ("worst", "photo-00"), ("median", "photo-06"), ("best", "photo-11")
    ]  # fmt: skip
    assert results["examples"][0]["score_before"] == pytest.approx(0.795)
    two = aggregate(run_of(2), FACTS)["examples"]
    assert [e["role"] for e in two] == ["worst", "best"]


def test_a_failure_is_counted_listed_and_leaves_the_others(validator):
    rows = [*small(), replace(row("rga", NUMBERS, "c"), state="failed", error="no masks", item={}, made={})]
    rows += [replace(row("ask", NUMBERS, "a"), state="failed", error="no masks", item={}, made={})]
    found = aggregate(rows, FACTS)
    validator.validate(found)
    assert cell(found, "rga")["failed"] == 1
    assert "all" not in cell(found, "ask")
    assert [(f["image"], f["attack"]) for f in found["failures"]] == [("c", "rga"), ("a", "ask")]


def test_an_original_with_other_prompts_is_no_comparison_but_a_finding():
    rows = small()
    rows[0] = replace(rows[0], item=prompts([0.9, 0.9]))
    found = aggregate(rows, FACTS)
    assert cell(found, "rga")["conditional"]["n"] == 2
    assert "reference-mixed-up" in {check["id"] for check in found["checks"]}


def test_real_output_follows_the_schema(validator, results):
    validator.validate(results)
    validator.validate(aggregate([], FACTS))
    broken = json.loads(to_json(results))
    broken["cells"][0]["seconds"] = 1.0
    assert not validator.is_valid(broken)


def test_the_displacement_is_of_the_prompts_that_have_one_and_older_runs_have_none(validator, results):
    rows = small()
    assert all("displacement" not in c for c in results["cells"])
    for place, moved in ((2, [1.0, 2.0, 6.0, None]), (3, [0.0, 3.0, None, None])):
        item = rows[place].item
        rows[place] = replace(rows[place], item=item | {"prompts": item["prompts"] | {"displacement": moved}})
    found = aggregate(rows, FACTS)
    validator.validate(found)
    moved = cell(found, "rga")["displacement"]
    assert (moved["n"], moved["value"]) == (5, pytest.approx(12 / 5))
    assert moved["low"] <= moved["value"] <= moved["high"]
    assert "displacement" not in cell(found, "clean")
    rows[3] = row("rga", [0.5, 0.3, None, 0.7], "b")  # made before it was measured, continued since
    assert cell(aggregate(rows, FACTS), "rga")["displacement"] == {"n": 3, "value": 3.0, "low": None, "high": None}


def test_the_schema_of_the_checks_levels(validator, results):
    assert results["checks"]  # twelve photos are few
    assert not validator.is_valid(results | {"checks": [results["checks"][0] | {"level": "fatal"}]})


def test_the_same_bytes_whatever_the_order_and_no_times(results):
    rows = run_of()
    random.Random(1).shuffle(rows)
    again = [replace(r, made={**r.made, "seconds": 99.0} if r.made else {}) for r in rows]
    assert to_json(aggregate(again, FACTS)) == to_json(results)
    assert json.loads(to_json(results)) == results


def test_parts_average_to_the_whole(results):
    for found in results["cells"]:
        if "all" in found:
            parts = [found[name] for name in ("points", "boxes")]
            total = np.average([p["miou"]["value"] for p in parts], weights=[p["n"] for p in parts])
            assert found["all"]["miou"]["value"] == pytest.approx(total, abs=2e-6)


@pytest.mark.parametrize(("text", "value"), [("8/255", 8.0), ("0", 0.0), ("l2:3", None)])
def test_levels_of_a_budget(text, value):
    assert levels(text) == value


def test_an_example_has_the_answers_that_a_run_has_kept() -> None:
    def kept(counts: str, prompts_: int = 0) -> dict[str, object]:
        return prompts([0.5]) | {"shown": {"prompts": [prompts_], "size": [2, 3], "counts": [counts]}}

    def example(before: dict[str, object]) -> dict[str, object]:
        rows = [row("clean", [0.5], item=before), row("rga", [0.5], item=kept("after"))]
        return aggregate(rows, FACTS)["examples"][0]

    about = {"prompts": [0], "size": [2, 3], "after": ["after"]}
    assert example(kept("before"))["shown"] == {**about, "before": ["before"]}
    assert example(kept("before", 1))["shown"] == example(prompts([0.5]))["shown"] == {**about, "before": None}
    assert "shown" not in aggregate([row("rga", [0.5])], FACTS)["examples"][0]
