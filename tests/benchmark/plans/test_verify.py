"""What was changed in a run's folder after it was measured is said."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from segrobust.benchmark.plans.store import Store
from segrobust.benchmark.plans.verify import _compare, verify_run
from segrobust.errors import UsageError
from segrobust.io.images import read_image, write_png


@pytest.fixture
def out(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home / "out", tmp_path / "out"))


def change(out: Path, *statements: str) -> None:
    base = sqlite3.connect(out / "store.sqlite")
    for statement in statements:
        assert base.execute(statement).rowcount == 1
    base.commit()
    base.close()


def test_a_run_is_as_recorded(home: Path) -> None:
    seen: list[str] = []
    assert verify_run(home / "out", on_record=seen.append) == []
    assert len(seen) == 3 + 3 * 2 * 15
    assert "dark: sa1b/p1: rga[steps=3] → dark" in seen


def test_whatever_was_changed_is_said(out: Path) -> None:
    with Store(out, write=False) as store:
        rga = next(row for row in store._many("SELECT * FROM made WHERE attack = 'rga[steps=3] on bright'", ()))
    photo = out / "objects" / rga["object"][:2] / f"{rga['object']}.png"
    pixels = read_image(photo).pixels.copy()
    pixels[0, 0] ^= 1
    write_png(photo, pixels)
    write_png(out / "objects" / "zz" / "stray.png", pixels)
    manifest = json.loads((out / "prompts" / "sa1b" / "p1.json").read_text())
    (out / "prompts" / "sa1b" / "p1.json").write_text(json.dumps(manifest | {"seed": 5}))
    where = "WHERE image = 'p2' AND target = 'dark' AND defence = 'none' AND attack = 'noise'"
    change(
        out,
        f"UPDATE scores SET result = replace(result, '\"empty\": 0', '\"empty\": 3') {where} AND protocol = 'clean'",
        f"DELETE FROM scores {where} AND protocol = 'everything'",
    )
    problems = verify_run(out)
    for text in (
        "results.json does not follow from the store",
        "sa1b/p1: its prompts are not those that seed 0 draws",
        "objects/zz/stray.png: no record",
        "sa1b/p2: noise  none none clean on dark: empty is 0, the record says 3",
        "sa1b/p2: noise  none none everything on dark: no record",
    ):
        assert text in problems, problems
    broken = [problem for problem in problems if "its pixels differ" in problem]
    assert rga["image"] in broken[0]
    assert len(broken) == 1 + 2 * 2 * 3  # the file, and every score that was made from it
    assert len(problems) == 5 + len(broken)


def test_an_interrupted_run_and_a_foreign_folder(out: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not the folder of a plan: it has no plan\.yaml"):
        verify_run(tmp_path)
    (out / "results.json").unlink()
    assert verify_run(out) == [
        "results.json is missing: the run was interrupted; the same 'segrobust run' command continues it"
    ]
    (out / "store.sqlite").unlink()
    with pytest.raises(UsageError, match=r"it has no store\.sqlite"):
        verify_run(out)


def test_a_store_of_another_version_is_refused(out: Path) -> None:
    change(out, "UPDATE meta SET value = '\"segrobust.store/9\"' WHERE key = 'schema'")
    with pytest.raises(UsageError, match="is of another version of segrobust"):
        Store(out)


def test_records_of_runs_that_measured_no_displacement_are_compared_without_it() -> None:
    names = ("attack", "surrogate", "adaptive", "defence", "protocol", "dataset", "image", "target", "made", "state")

    def record(**prompts: list[float]) -> dict[str, object]:
        return dict.fromkeys(names, "x") | {"state": "done", "result": {"prompts": prompts, "empty": 0}}

    fresh = record(iou=[0.5], displacement=[2.0])
    assert list(_compare(fresh, record(iou=[0.5]), 1e-6)) == []
    assert "iou[0] is 0.5" in next(_compare(fresh, record(iou=[0.25]), 1e-6))
    assert "displacement[0] is 2.0" in next(_compare(fresh, record(iou=[0.5], displacement=[3.0]), 1e-6))
