import json
import math
from pathlib import Path

import numpy as np
import pytest

from segrobust.benchmark.config import RunConfig
from segrobust.benchmark.folder import Record, RunFolder
from segrobust.benchmark.records import aggregate, attack_fields, base_record, failed, score_fields
from segrobust.errors import MissingError, PhotoError
from segrobust.evaluation.evaluate import Scores
from segrobust.evaluation.metrics import PromptScores
from segrobust.types import Image

CONFIG = RunConfig(photos=("a.png",), model="nano", seed=5)
NOTHING = PromptScores(math.nan, math.nan, math.nan, 0, 3)


def scores(miou: float = 0.5, n: int = 4, **changes: object) -> Scores:
    part = PromptScores(miou, 0.25, 0.0, n, 0)
    values = {
        "references": {"clean": {"all": part, "points": part, "boxes": NOTHING}},
        "masks_clean": 3, "masks_found": 2, "masks_matched_miou": 0.4, "max_linf_255": 8, "psnr": 30.0, "ssim": 0.9,
    }  # fmt: skip
    return Scores(**(values | changes))  # type: ignore[arg-type]


def record(image: str, attack: str, **changes: object) -> Record:
    base = base_record(CONFIG, "sha", image, f"/photos/{image}.png", None, attack)
    return base | score_fields(scores()) | attack_fields(None) | changes


def test_a_record_holds_no_nan_and_no_infinity() -> None:
    fields = score_fields(scores(psnr=math.inf, ssim=math.nan))
    assert (fields["psnr"], fields["ssim"]) == (None, None)
    assert fields["clean_reference"]["boxes"] == {"n": 0, "skipped": 3, "miou": None, "asr50": None, "asr10": None}
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields


def test_who_a_record_is_about() -> None:
    image = Image(np.zeros((2, 3, 3), np.uint8))
    mine = base_record(CONFIG, "sha", "a", "/a.png", image, "rga")
    assert (mine["photo_sha256"], mine["size"]) == (image.fingerprint, [2, 3])
    assert (mine["model"], mine["protocol"], mine["epsilon"], mine["seed"]) == ("nano", "strict", "8/255", 5)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PhotoError("a.png: the file is empty"), "a.png: the file is empty"),
        (RuntimeError("CUDA\n out of  memory"), "RuntimeError: CUDA out of memory"),
        (KeyError("x"), "KeyError: 'x'"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_a_failure_is_one_line(error: Exception, said: str) -> None:
    failure = failed({"image": "a"}, error)
    assert (failure["state"], failure["error"], failure["error_kind"]) == ("failed", said, type(error).__name__)


def test_prompts_are_pooled_and_photos_averaged() -> None:
    one = record("a", "rga", **score_fields(scores(0.5, 4)))
    two = record("b", "rga", **score_fields(scores(1.0, 12, psnr=40.0, max_linf_255=3)))
    row = aggregate(CONFIG, [one, two])["rows"][2]
    assert row["clean_reference"]["all"]["miou"] == (0.5 * 4 + 1.0 * 12) / 16
    assert row["clean_reference"]["boxes"]["miou"] is None
    assert row["clean_reference"]["boxes"]["skipped"] == 6
    assert (row["psnr"], row["max_linf_255"], row["photos"]) == (35.0, 8, 2)


def test_failures_are_counted_beside_the_done() -> None:
    lines = [record("a", "rga"), failed(base_record(CONFIG, "", "b", "/x/b.jpg", None, "rga"), PhotoError("no"))]
    results = aggregate(CONFIG, lines)
    assert results["failures"] == [{"image": "b", "photo": "b.jpg", "attack": "rga", "error": "no"}]
    assert [(r["photos"], r["failed"]) for r in results["rows"]] == [(0, 0), (0, 0), (1, 1)]
    assert results["photos"] == 2
    assert "research use" in results["licence"]


def test_lines_that_are_no_records_are_counted(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "rga")
    assert folder.read_samples() == ([], 0)
    mine = record("a", "rga")
    folder.append_sample(mine)
    with folder.samples.open("ab") as file:
        file.write(b'[1]\n{"image": 3, "attack": "x", "state": "done"}\n\xff\n\n{"image": "a", "att')
    assert folder.read_samples() == ([mine], 4)
    folder.write_samples([mine, mine])
    assert folder.read_samples() == ([mine, mine], 0)


def test_a_record_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="cannot write"):
        RunFolder(tmp_path / "gone", "rga").append_sample({})


def test_names_in_the_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "rga")
    assert folder.adversarial("a", "rga") == tmp_path / "adv/a.png"
    assert folder.adversarial("a", "noise") == tmp_path / "adv/a.noise.png"
    assert folder.guide("a", "rga-random-cells") == tmp_path / "guide/a.rga-random-cells.png"
    assert (folder.masks("a"), folder.masks("a", "rga")) == (tmp_path / "masks/a.json", tmp_path / "masks/a.rga.json")
