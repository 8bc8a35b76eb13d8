"""A plan of a thousand items and more: does memory stay flat, how large is the store, how long does a resume take?

    python -m benchmarks.many_items [--photos 50] [--folder FOLDER]

Small photos, cheap attacks, models without weights: the engine is measured. Resident memory is read after every item;
the range is that of the second half of the attacks and of the second half of the scores, against their middle.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from plan_runs import make_home, use_models

from segrobust.benchmark.plans.reading import read_plan
from segrobust.benchmark.plans.run import run_plan
from segrobust.models.memory import resident_memory

PLAN = """\
surrogates: [bright]
targets: [bright, dark]
attacks:
  - {attack: rga, sweep: {steps: [1, 2, 3]}}
  - {attack: rga-untargeted, sweep: {steps: [1, 2, 3]}}
data: [{kind: sa1b, path: "${DATA}"}]
protocols: [annotation, clean]
device: cpu
"""


class Watch:
    """Notes the memory after every item, and when the first one came."""

    def __init__(self) -> None:
        self.memory: list[float] = []

    def item(self, done: int, total: int, what: str, miou: float | None) -> None:
        self.memory.append(resident_memory() / 2**20)


def spread(values: list[float]) -> str:
    """The range around the middle, in percent."""
    middle = sorted(values)[len(values) // 2]
    low, high = (100 * (edge / middle - 1) for edge in (min(values), max(values)))
    return f"{middle:.0f} MiB, {low:+.1f} % to {high:+.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=50)
    parser.add_argument("--folder", type=Path, help="where everything goes [a temporary folder]")
    args = parser.parse_args()
    use_models()
    with tempfile.TemporaryDirectory() as temporary:
        home = make_home(args.folder or Path(temporary), args.photos, PLAN)
        plan = read_plan(home / "plan.yaml", [str(home / "photos")])
        watch, begin = Watch(), time.perf_counter()
        run_plan(plan, home / "out", watch)
        seconds = time.perf_counter() - begin
        made = args.photos * 9  # after them: 8 attacks and the original, on two targets
        attacks, scores = watch.memory[made // 2 : made], watch.memory[made + (len(watch.memory) - made) // 2 :]
        size = sum(file.stat().st_size for file in (home / "out").glob("store.sqlite*"))
        results = home / "out" / "results.json"
        print(f"{len(watch.memory)} items in {seconds:.0f} s, {1000 * seconds / len(watch.memory):.0f} ms each")
        print(f"memory, second half of the attacks: {spread(attacks)}")
        print(f"memory, second half of the scores: {spread(scores)}")
        print(f"store {size / 1e6:.1f} MB, results.json {results.stat().st_size / 1e6:.1f} MB")
        print(f"resume: {resume(plan, home / 'out'):.2f} s until the first item that was missing")


def resume(plan: object, out: Path) -> float:
    """Seconds until the first item of a run of which one attack is missing."""
    next((out / "objects").rglob("*.png")).unlink()

    class Stop(Exception):
        pass

    class First:
        def item(self, done: int, total: int, what: str, miou: float | None) -> None:
            raise Stop

    begin = time.perf_counter()
    try:
        run_plan(plan, out, First())  # type: ignore[arg-type]
    except Stop:
        return time.perf_counter() - begin
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
