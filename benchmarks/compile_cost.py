"""What ``torch.compile`` costs and brings: RGA's gradient without it, compiled for the first time, and again.

    python benchmarks/compile_cost.py [--models nano nano-vit] [--repeats 5] [--out FILE]

For each model three processes: ``eager``; ``cold``: compiled with an empty cache on disk; ``warm``: compiled by a new
process that finds the cache. Reported are the first gradient (compiling included), the median of the next ones, and
after how many gradients a cold start has paid for itself (never, if they are not faster). SAM-B, SAM-L and SAM-H have
random weights (full_size.py); other names are loaded. The rows go into a JSON file (default
benchmarks/results/compile_cost.json), a table to stdout.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from segrobust.attacks.loop import Trace, gradient_of
from segrobust.attacks.objectives import AwayAndToward
from segrobust.attacks.views import RandomSimilarity, ScaleCopies
from segrobust.models import load
from segrobust.models.base import require_white_box
from segrobust.models.options import LoadOptions
from segrobust.report.tables import markdown_table

OUT = Path(__file__).parent / "results" / "compile_cost.json"
PHOTO = (400, 600)
COPIES = 3


def measure(name: str, compiled: bool, repeats: int, gradient: Path) -> dict[str, Any]:
    """Seconds of RGA's gradient in this process; the last gradient is saved to be compared."""
    from full_size import SIZES, random_sam  # beside this script, and only there when it is run as one

    if name in SIZES:
        model: Any = random_sam(name, LoadOptions("cpu", torch.float32, compile=compiled))
    else:
        model = require_white_box(load(name, device="cpu", compile=compiled))
    photo = torch.rand((1, 3, *PHOTO), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        shape = model.embed(photo[..., :8, :8]).features.shape
    source, guide = (torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    objective = AwayAndToward(source, guide, 1.0)
    model.views_at_a_time(COPIES)  # counting is not compiling
    seconds = []
    for _ in range(1 + repeats):
        begin = time.perf_counter()
        views = (ScaleCopies(COPIES),), (RandomSimilarity(0.01),)
        _, slope = gradient_of(model, photo, objective, *views, torch.Generator().manual_seed(3), Trace())
        seconds.append(time.perf_counter() - begin)
    torch.save(slope, gradient)
    return {"seconds_first": seconds[0], "seconds_later": statistics.median(seconds[1:])}


def rows_of(name: str, repeats: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        wanted = None
        for kind in ("eager", "cold", "warm"):
            file = Path(scratch) / f"{kind}.pt"
            command = [sys.executable, __file__, "--one", name, kind, str(file), "--repeats", str(repeats)]
            environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": f"{scratch}/cache"}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            slope = torch.load(file, weights_only=True)
            wanted = slope if wanted is None else wanted
            row = {"model": name, "kind": kind, **json.loads(done.stdout.splitlines()[-1])}
            row["largest_difference"] = float((slope - wanted).abs().max() / wanted.abs().max())
            rows.append(row)
            print(row, flush=True)
    for row in rows[1:]:
        saved = rows[0]["seconds_later"] - row["seconds_later"]
        row["gradients_until_paid"] = (
            round((row["seconds_first"] - rows[0]["seconds_first"]) / saved) if saved > 0 else None
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    header = ["model", "", "first gradient s", "later s", "largest difference", "paid for after"]
    lines = [
        [
            row["model"],
            row["kind"],
            f"{row['seconds_first']:.2f}",
            f"{row['seconds_later']:.3f}",
            f"{row['largest_difference']:.1e}",
            "–" if row["kind"] == "eager" else str(row["gradients_until_paid"] or "never"),
        ]
        for row in rows
    ]
    return markdown_table(header, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["nano", "nano-vit"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        name, kind, file = args.one
        print(json.dumps(measure(name, kind != "eager", args.repeats, Path(file))))
        return
    rows = [row for name in args.models for row in rows_of(name, args.repeats)]
    about = {
        "copies": COPIES,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "versions": {"python": platform.python_version(), "torch": version("torch")},
        "command": " ".join(["python benchmarks/compile_cost.py", "--models", *args.models]),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
