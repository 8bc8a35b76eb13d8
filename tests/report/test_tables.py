import copy
import json
from pathlib import Path
from typing import Any

import pytest

from segrobust.report.tables import failure_lines, markdown_table, results_text


@pytest.fixture
def results(finished: Path) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads((finished / "results.json").read_text())
    return copy.deepcopy(stored)


def cells(line: str) -> list[str]:
    assert line.startswith("| ")
    assert line.endswith(" |")
    return [cell.strip() for cell in line[1:-1].split("|")]


def tables(text: str) -> list[list[list[str]]]:
    """The Markdown tables of a text, checked: a header, a rule, and rows of one width."""
    found = []
    for block in text.split("\n\n"):
        lines = block.split("\n")
        if lines[0].startswith("|"):
            assert len({len(line) for line in lines}) == 1
            assert set(lines[1]) == set("|-:")
            columns = [len(cells(line)) for line in (lines[0], *lines[2:])]
            assert set(columns) == {lines[1].count("|") - 1}
            found.append([cells(line) for line in (lines[0], *lines[2:])])
    return found


def test_a_markdown_table() -> None:
    assert markdown_table(["attack", "n"], [["a", "1"], ["longer name", "12345"]]).split("\n") == [
        "| attack      |     n |",
        "|-------------|------:|",
        "| a           |     1 |",
        "| longer name | 12345 |",
    ]


def test_the_tables_of_a_run(results: dict[str, Any]) -> None:
    clean, annotated, photos = tables(results_text(results))
    for table in (clean, annotated, photos):
        assert [row[0] for row in table[1:]] == ["clean", "noise", "rga", "rga-untargeted", "rga-random-cells"]
    assert clean[0] == ["attack", "mIoU ↑", "points", "boxes", "ASR@50 ↓", "ASR@10 ↓"]
    row = results["rows"][2]["clean_reference"]
    parts = [f"{row[part]['miou']:.3f}" for part in ("all", "points", "boxes")]
    assert clean[3][1:] == [*parts, f"{100 * row['all']['asr50']:.1f} %", f"{100 * row['all']['asr10']:.1f} %"]
    assert clean[1][1:] == ["1.000", "1.000", "1.000", "0.0 %", "0.0 %"]
    whole = results["rows"][2]
    assert photos[3][1:7] == [
        f"{whole['masks_found']:.1f}", f"{whole['masks_matched_miou']:.3f}", "8", f"{whole['psnr']:.1f}",
        f"{whole['ssim']:.4f}", "6",
    ]  # fmt: skip
    assert photos[1][4] == "–"  # an identical photo has no PSNR


def test_everything_a_reader_needs_stands_beside_the_numbers(results: dict[str, Any]) -> None:
    results["model"], results["licence"] = "nano", "research use only"
    results["parameters"], results["dtype"], results["points_per_side"] = {"steps": 2}, "bfloat16", 16
    results["autocast"] = "float16"
    text = results_text(results)
    for words in (
        "model nano, white box, protocol strict, L-infinity 8/255, seed 0, 2 photos",
        "first 2 masks, 2 points and 1 boxes each, single-mask answers\n",
        "\nchanged: steps=2, dtype=bfloat16, autocast=float16, points_per_side=16\n",
        "points_per_side=16\nlicence of the weights: research use only",
        "Reference: the model's own answers on the original photo (2 photos, 12 prompts)",
        "Reference: the annotation beside the photo (1 photos, 6 prompts)",
    ):
        assert words in text


def test_skipped_prompts_are_counted(results: dict[str, Any]) -> None:
    results["rows"][0]["annotation_reference"]["all"]["skipped"] = 3
    assert "6 prompts, 3 skipped (empty))" in results_text(results)


def test_a_row_with_failures_says_on_how_many_photos_it_stands(results: dict[str, Any]) -> None:
    results["rows"][2] |= {"photos": 1, "failed": 1}
    results["rows"][3] = {"attack": "rga-untargeted", "photos": 0, "failed": 2}
    for table in tables(results_text(results)):
        assert [row[0] for row in table[3:5]] == ["rga (1 of 2)", "rga-untargeted (0 of 2)"]
        assert set(table[4][1:]) == {"–"}


def test_nothing_but_failures(results: dict[str, Any]) -> None:
    results["rows"] = [{"attack": "clean", "photos": 0, "failed": 1}]
    results["failures"] = [{"image": "a", "photo": "a.jpg", "attack": "clean", "error": "no"}]
    text = results_text(results)
    assert tables(text) == []
    assert text.endswith("\n\nfailed: a.jpg (clean): no")


def test_one_line_for_a_photo_and_a_reason() -> None:
    failures = [
        {"photo": photo, "attack": attack, "error": error}
        for photo, attack, error in [("a", "clean", "x"), ("a", "rga", "x"), ("b", "rga", "x"), ("a", "noise", "y")]
    ]
    assert failure_lines(failures) == ["failed: a (clean, rga): x", "failed: b (rga): x", "failed: a (noise): y"]
