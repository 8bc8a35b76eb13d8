"""Attacks that only ask, in a plan: counted before, counted in the record, and verified."""

from pathlib import Path

from plan_runs import make_home, run_home

from segrobust.benchmark.plans.bench import open_data
from segrobust.benchmark.plans.estimate import Calls, count_calls
from segrobust.benchmark.plans.folder import existing_folder
from segrobust.benchmark.plans.store import Store
from segrobust.benchmark.plans.verify import verify_run

PLAN = """\
surrogates: [bright]
targets: [bright]
attacks: [{attack: square, queries: 7}]
data: [{kind: sa1b, path: photos}]
protocols: [{protocol: annotation, prompts: {masks: 1, points: 1, boxes: 0}}]
device: cpu
"""


def test_a_plan_asks_as_often_as_it_says(patched: None, tmp_path: Path) -> None:
    run_home(make_home(tmp_path, photos=1, plan=PLAN))
    _, plan = existing_folder(tmp_path / "out")
    shown = 1 + 2 + 1  # the original, two kinds of noise, the attack
    assert count_calls(plan, open_data(plan)).calls["bright"] == Calls(0, 7 + shown + 1, 0)
    with Store(tmp_path / "out", write=False) as store:
        made = {row["attack"]: store.made(row["made"]) for row in store.scores("sa1b", "p0", "bright") if row["made"]}
    assert {name: record["result"]["queries"] for name, record in made.items() if record} == {
        "noise": 0, "sign-noise": 0, "square[queries=7]": 7
    }  # fmt: skip
    assert verify_run(tmp_path / "out") == []
