"""What half precision does to an attack: RGA on the shipped example photos under each dtype and autocast.

    python benchmarks/precision.py [--model nano] [--steps 10] [--points-per-side 16] [--out FILE]

Every setting attacks the same photos with the same seed. The photos it saves are scored twice: by the model as it was
loaded for the attack, and by the float32 model, which alone says what the attack is worth. Lower mIoU is a stronger
attack. The rows go into a JSON file (default benchmarks/results/precision.json), a table to stdout.
"""

import argparse
import json
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segrobust.benchmark.config import RunConfig
from segrobust.benchmark.folder import RunFolder
from segrobust.benchmark.run import run
from segrobust.evaluation.evaluate import CleanSide, clean_side, evaluate
from segrobust.io.images import find_photos, read_image
from segrobust.models import load
from segrobust.models.base import EverythingSettings, Segmenter
from segrobust.report.tables import markdown_table

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "benchmarks" / "results" / "precision.json"
SETTINGS = (
    {"dtype": "float32"},
    {"autocast": "bfloat16"},
    {"autocast": "float16"},
    {"dtype": "bfloat16"},
    {"dtype": "float16"},
)


class Silent:
    """A listener that keeps quiet."""

    def item(self, done: int, total: int, image: str, row: str) -> None: ...

    def step(self, done: int, total: int, loss: float) -> None: ...

    def photo(self, folder: RunFolder, stem: str, path: Path) -> None: ...


def measure(config: RunConfig, folder: Path, exact: Segmenter, sides: dict[str, CleanSide]) -> dict[str, Any]:
    """One setting: attack, then score what was saved with the float32 model."""
    results = run(config, folder, Silent())
    assert not results["failures"], results["failures"]
    row = next(r for r in results["rows"] if r["attack"] == "rga")
    hits, prompts = 0.0, 0
    for stem, side in sides.items():
        settings = EverythingSettings(points_per_side=1)  # only the prompts' scores are used
        scores, _ = evaluate(exact, side, read_image(folder / "adv" / f"{stem}.png"), everything=settings)
        pooled = scores.references["clean"]["all"]
        hits, prompts = hits + pooled.miou * pooled.n, prompts + pooled.n
    return {
        "dtype": config.dtype,
        "autocast": config.autocast,
        "photos": row["photos"],
        "prompts": prompts,
        "miou_own": row["clean_reference"]["all"]["miou"],
        "miou_float32": hits / prompts,
        "seconds_per_photo": row["seconds"],
    }


def pixels(folder: Path, stems: list[str]) -> np.ndarray:
    return np.concatenate([read_image(folder / "adv" / f"{stem}.png").pixels.ravel() for stem in stems])


def table(rows: list[dict[str, Any]]) -> str:
    header = [
        "precision",
        "mIoU ↓ (float32 scores)",
        "difference",
        "mIoU (scores itself)",
        "values that differ",
        "s/photo",
    ]
    lines = [
        [
            f"autocast {row['autocast']}" if row["autocast"] else row["dtype"],
            f"{row['miou_float32']:.4f}",
            f"{row['miou_difference']:+.4f}",
            f"{row['miou_own']:.4f}",
            f"{100 * row['values_that_differ']:.1f} %",
            f"{row['seconds_per_photo']:.1f}",
        ]
        for row in rows
    ]
    return markdown_table(header, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--photos", type=Path, nargs="+", default=[ROOT / "examples"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--points-per-side", type=int, default=16, help="of the segment everything behind the guide")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    photos = find_photos(args.photos)
    exact = load(args.model, device="cpu")
    everything = EverythingSettings(**{**vars(exact.everything), "points_per_side": args.points_per_side})
    images = {path.stem: read_image(path) for path in photos}
    sides = {stem: clean_side(exact, image, seed=0, everything=everything) for stem, image in images.items()}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, setting in enumerate(SETTINGS):
            config = RunConfig(
                photos=tuple(map(str, photos)), model=args.model, parameters={"steps": args.steps}, device="cpu",
                points_per_side=args.points_per_side, **setting,
            )  # fmt: skip
            folder = Path(scratch) / str(number)
            row = measure(config, folder, exact, sides)
            differ = pixels(folder, list(images)) != pixels(Path(scratch) / "0", list(images))
            row["values_that_differ"] = float(differ.mean())
            row["miou_difference"] = row["miou_float32"] - (rows[0] if rows else row)["miou_float32"]
            rows.append(row)
            print(table([row]).splitlines()[-1], flush=True)
    about = {
        "model": args.model,
        "steps": args.steps,
        "points_per_side": args.points_per_side,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "versions": {"python": platform.python_version(), "torch": version("torch")},
        "command": "python benchmarks/precision.py",
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
