"""Two runs, photo by photo: what counts as worse, and what may not be compared."""

from dataclasses import replace

import pytest
from scored import FACTS, prompts, row, run_of

from segrobust.benchmark.compare import compare
from segrobust.benchmark.results import aggregate
from segrobust.benchmark.rows import Row
from segrobust.errors import UsageError


def lowered(rows: list[Row], by: float, attack: str = "rga") -> list[Row]:
    def lower(one: Row) -> Row:
        if one.attack != attack or "prompts" not in one.item:
            return one
        ious = [max(0.0, iou - by) for iou in one.item["prompts"]["iou"]]
        return replace(one, item=prompts(ious))

    return [lower(one) for one in rows]


def results(rows: list[Row], **facts):
    return aggregate(rows, replace(FACTS, **facts))


def test_a_run_is_no_worse_than_itself():
    found = compare(results(run_of()), results(run_of()))
    assert not found.worse
    assert found.differs == found.gone == found.added == ()
    assert {change.difference.value for change in found.changes} == {0.0}


def test_what_fell_is_found_with_its_interval_and_stands_first():
    found = compare(results(run_of()), results(lowered(run_of(), 0.05)))
    assert {change.cell["attack"] for change in found.worse} == {"rga"}
    first = found.changes[0]
    assert first.difference.value == pytest.approx(-0.05, abs=1e-6)
    assert first.after - first.before == pytest.approx(-0.05, abs=1e-6)


@pytest.mark.parametrize(("threshold", "worse"), [(0.04, True), (0.06, False)])
def test_the_threshold_lets_small_falls_go(threshold, worse):
    found = compare(results(run_of()), results(lowered(run_of(), 0.05)), threshold)
    assert bool(found.worse) == worse


def test_a_fall_that_other_photos_might_not_show_is_not_worse():
    images = [f"p{n}" for n in range(8)]
    before = [row("rga", [0.5], image) for image in images]
    after = [row("rga", [0.5 + (0.4 if n % 2 else -0.5)], image) for n, image in enumerate(images)]
    found = compare(results(before), results(after))
    assert found.changes[0].difference.value == pytest.approx(-0.05)
    assert not found.worse


def test_only_photos_of_both_runs_count():
    before = [row("rga", [0.5], "a"), row("rga", [0.9], "only here")]
    after = [row("rga", [0.4], "a"), row("rga", [0.1], "only there")]
    (change,) = compare(results(before), results(after)).changes
    assert (change.before, change.after, change.difference.images) == (0.5, 0.4, 1)
    assert change.worse  # one photo has no interval; the number decides


def test_rows_of_one_run_and_other_circumstances_are_named():
    fewer = [one for one in run_of() if one.attack != "ask"]
    found = compare(results(run_of()), results(fewer, seed=4))
    assert "photos, ask made on nano → nano, annotation" in found.gone
    assert found.added == ()
    assert found.differs == ("seed",)


def test_runs_of_other_data_are_refused():
    with pytest.raises(UsageError, match="no row with a photo in common: photos, rga made on nano → nano, annotation"):
        compare(results([row("rga", [0.5], "a")]), results([row("rga", [0.5], "b")]))
