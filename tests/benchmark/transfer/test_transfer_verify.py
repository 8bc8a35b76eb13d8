import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from plans import target_records

from segrobust.benchmark.folder import write_json
from segrobust.benchmark.transfer.verify import verify_transfer
from segrobust.errors import UsageError
from segrobust.io.images import read_image, write_png


@pytest.fixture
def copy(transferred: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(transferred, tmp_path / "copy"))


def test_a_plan_is_measured_again(home: Path, copy: Path) -> None:
    seen: list[str] = []
    assert verify_transfer(copy, on_record=seen.append) == []
    assert len(seen) == 2 * 2 * 3 + 2 * 2 * 5  # the runs on the surrogates, then the targets
    assert f"{home}/two: b rga on {home}/one" in seen


def change(root: Path, number: int, edit: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    records = target_records(root, "two")
    edit(records[number])
    (root / "targets/two.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def test_whatever_was_changed_is_said(home: Path, copy: Path) -> None:
    change(copy, 2, lambda r: r["clean_reference"]["points"].__setitem__(1, 0.25))
    change(copy, 3, lambda r: r.update(target_sha256="0", max_linf_255=9))
    manifest = json.loads((copy / "prompts/a.json").read_text())
    write_json(copy / "prompts/a.json", manifest | {"seed": 5})
    photo = read_image(copy / "surrogates/two/adv/b.png").pixels.copy()
    photo[0, 0] ^= 1
    write_png(copy / "surrogates/two/adv/b.png", photo)
    lines = (copy / "targets/one.jsonl").read_text().splitlines(keepends=True)
    (copy / "targets/one.jsonl").write_text("".join(lines[1:]) + "{\n")
    problems = verify_transfer(copy)
    expected = [
        "surrogates/two: b rga: surrogates",
        "prompts/a.json does not hold the prompts of",
        f"{home}/one: 1 lines are no records",
        f"{home}/one: a clean: no record",
        f"{home}/two: a rga on {home}/one: clean_reference.points[1] is ",
        f"{home}/two: a noise on {home}/two: target_sha256 is ",
        f"{home}/two: a noise on {home}/two: max_linf_255 is 8, the record says 9",
        f"{home}/two: b rga on {home}/two: cannot be measured again",
        "results.json does not follow from the records of the targets",
    ]
    for text in expected[1:]:
        assert any(problem.startswith(text) for problem in problems), (text, problems)
    assert any(problem.startswith("surrogates/two: b rga: adv/b.png is not the recorded photo") for problem in problems)
    assert len(problems) == 10  # the broken photo is shown to both targets


def test_an_interrupted_plan_and_a_foreign_folder(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"it has no plan\.yaml"):
        verify_transfer(tmp_path)
    (copy / "results.json").unlink()
    shutil.rmtree(copy / "targets")
    (copy / "surrogates/two/samples.jsonl").unlink()
    problems = verify_transfer(copy)
    assert problems[0].startswith("surrogates/two: results.json cannot be compared") or "surrogates/two" in problems[0]
    assert problems[-1].startswith("the runs of the surrogates do not hold what the targets were shown (KeyError")
