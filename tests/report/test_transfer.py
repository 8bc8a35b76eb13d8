from typing import Any

import pytest

from segrobust.report.transfer import transfer_text


def scores(miou: float | None, drop: float | None = 0.0, **rest: Any) -> dict[str, Any]:
    part = {"n": 8, "skipped": 1, "miou": miou, "asr50": 0.25, "asr10": 0.0, "drop": drop}
    part["conditional"] = {"n": 4, "asr50": 0.5}
    return {"all": part, "points": part | {"miou": 0.1}, "boxes": part | {"miou": 0.2}, "photos": 2, "empty": 0} | rest


def cell(surrogate: str | None, attack: str, target: str, **rest: Any) -> dict[str, Any]:
    row = {"surrogate": surrogate, "attack": attack, "target": target, "white_box": surrogate == target}
    return row | {"photos": 2, "failed": 0, "max_linf_255": 8} | rest


@pytest.fixture
def results() -> dict[str, Any]:
    clean = {"annotation_reference": scores(0.75), "clean_reference": scores(1.0)}
    return {
        "protocol": "strict", "epsilon": "8/255", "seed": 7, "photos": 2, "parameters": {"steps": 3},
        "dtype": "bfloat16", "autocast": None, "points_per_side": None,
        "prompts_per_photo": {"masks": 4, "points": 2, "boxes": 1},
        "prompts_from": "one", "surrogates": ["one"], "targets": ["one", "two"],
        "models": {
            "one": {"sha256": "0123456789abcdef", "licence": "research use", "gradient": True, "loaded": {}},
            "two": {"sha256": "", "licence": None, "gradient": False, "loaded": {"checkpoint": "w.pt"}},
        },
        "rows": [
            cell(None, "clean", "one", **clean),
            cell(None, "clean", "two", **clean | {"clean_reference": scores(1.0, empty=3)}),
            cell("one", "rga", "one", annotation_reference=scores(0.25, 0.5), clean_reference=scores(0.3, 0.7)),
            cell("one", "rga", "two", photos=1, failed=1, clean_reference=scores(0.9, -0.001)),
        ],
        "failures": [{"image": "a", "photo": "a.png", "row": "rga on one", "target": "two", "error": "no mood"}],
    }  # fmt: skip


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_reader_sees_what_the_numbers_are(results: dict[str, Any]) -> None:
    text = transfer_text(results)
    head = text[: text.index("Reference")]
    for said in (
        "attacked on one", "on 2 targets", "protocol strict", "8/255", "seed 7", "2 photos", "first 4 masks",
        "2 points and 1 boxes", "steps=3", "dtype=bfloat16", "ask for the masks of one", "saved photo 8/255",
        "† white box",
    ):  # fmt: skip
        assert said in head
    assert "| one | surrogate, target | 0123456789ab | research use |" in squeezed(text)
    assert "| two | target; checkpoint=w.pt | not known | not known |" in squeezed(text)


def test_rows_are_attacks_and_columns_targets(results: dict[str, Any]) -> None:
    text = transfer_text(results)
    annotation, _, own = text.partition("Reference: each target's own answers")
    assert "Reference: the annotation beside the photo (2 photos, 9 prompts, 1 skipped (empty))" in annotation
    lines = squeezed(annotation)
    assert lines.count("| made on | attack | one | two |") == 4
    assert "| – | clean | 0.750 | 0.750 |" in lines
    assert "| one | rga | 0.250 (−0.500) † | – |" in lines
    assert "| one | rga | 0.100 / 0.200 † | – |" in lines
    assert "| one | rga | 25.0 % † | – |" in lines
    assert "| – | clean | 50.0 % of 4 | 50.0 % of 4 |" in lines
    assert "(2 photos, 9 prompts; with an empty answer: two 3)" in own
    lines = squeezed(own)
    assert lines.count("| made on | attack | one | two |") == 3
    assert "| one | rga | 0.300 (−0.700) † | 0.900 (+0.001) (1 of 2) |" in lines
    assert lines[-1] == "failed: a.png (rga on one → two): no mood"


def test_a_plan_whose_photos_all_failed(results: dict[str, Any]) -> None:
    rows = [cell(None, "clean", t, photos=0, failed=2) for t in ("one", "two")]
    for row in rows:
        del row["max_linf_255"]
    text = transfer_text(results | {"rows": rows})
    assert "Reference" not in text
    assert "failed: a.png" in text
