"""One RGA gradient step on SAM-B, L and H at full size (random weights, 1024 px): seconds and peak memory.

    python benchmarks/full_size.py [--rows SAM-B:6GiB SAM-H:16GiB:float32:bfloat16 ...] [--copies 3] [--out FILE]

A row is MODEL[:MAX_MEMORY[:DTYPE[:AUTOCAST]]]. Each runs in a process of its own, so that its peak is its own; the peak
is the most that the whole process has held: Python, libraries, weights, photo and activations. The step is one of 40: a
photo of 1500 x 2250 pixels is resized, copied at three scales, warped, embedded, and the gradient of RGA's loss comes
back to the photo's pixels. The rows go into a JSON file (default benchmarks/results/full_size.json), a table to stdout.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import SamConfig, SamModel, SamVisionConfig

from segrobust.attacks.loop import Trace, gradient_of
from segrobust.attacks.objectives import AwayAndToward
from segrobust.attacks.views import RandomSimilarity, ScaleCopies
from segrobust.models.memory import GIB, peak_memory, resident_memory
from segrobust.models.options import LoadOptions, parse_memory, pick_dtype
from segrobust.models.sam import SamSegmenter
from segrobust.report.tables import markdown_table

OUT = Path(__file__).parent / "results" / "full_size.json"
PHOTO = (1500, 2250)
ROWS = ("SAM-B", "SAM-B:6GiB", "SAM-B:6GiB:bfloat16", "SAM-B:6GiB:float32:bfloat16", "SAM-L:10GiB", "SAM-H:16GiB")
SIZES: dict[str, dict[str, Any]] = {
    "SAM-B": {},
    "SAM-L": {
        "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "mlp_dim": 4096,
        "global_attn_indexes": [5, 11, 17, 23],
    },
    "SAM-H": {
        "hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "mlp_dim": 5120,
        "global_attn_indexes": [7, 15, 23, 31],
    },
}  # fmt: skip


def random_sam(name: str, options: LoadOptions) -> SamSegmenter:
    """A SAM of full size with random weights, without making them twice."""
    with torch.device("meta"):
        network = SamModel(SamConfig(vision_config=SamVisionConfig(**SIZES[name])))
    network = network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, value in [*network.named_parameters(), *network.named_buffers()]:
            if "norm" in key and key.endswith("weight"):
                value.fill_(1.0)
            else:
                value.normal_(0, 0.02, generator=generator)
    return SamSegmenter(network, name, options)


def measure(row: str, copies: int) -> dict[str, Any]:
    """One row, in this process."""
    name, limit, dtype, autocast = (*row.split(":"), "", "", "")[:4]
    options = LoadOptions(
        device="cpu",
        dtype=pick_dtype(dtype or "float32"),
        autocast=pick_dtype(autocast) if autocast else None,
        max_memory=parse_memory(limit or None),
    )
    model = random_sam(name, options)
    draw = torch.Generator().manual_seed(0)
    photo = torch.rand((1, 3, *PHOTO), generator=draw)
    source, guide = (torch.randn((1, 256, 64, 64), generator=draw) for _ in range(2))
    objective = AwayAndToward(source, guide, 1.0)
    loaded = resident_memory()
    begin = time.perf_counter()
    at_a_time = model.views_at_a_time(copies)
    planned = time.perf_counter()
    loss, gradient = gradient_of(
        model, photo, objective, (ScaleCopies(copies),), (RandomSimilarity(0.01),), draw, Trace()
    )
    done = time.perf_counter()
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0
    return {
        "model": name,
        "parameters": sum(weight.numel() for weight in model.module.parameters()),
        "weights_bytes": sum(weight.nbytes for weight in model.module.parameters()),
        "dtype": dtype or "float32",
        "autocast": autocast or None,
        "max_memory": limit or None,
        "views": copies,
        "views_at_a_time": at_a_time,
        "activations_computed_again": model._memory.plan(at_a_time).again,
        "estimated_bytes_kept": model._memory.need.kept,
        "estimated_bytes_computed_again": model._memory.need.again,
        "bytes_before_the_step": loaded,
        "peak_bytes": peak_memory(),
        "seconds": round(done - planned, 2),
        "seconds_to_plan": round(planned - begin, 2),
        "loss": loss,
        "gradient_l1": float(gradient.abs().sum()),
    }


def circumstances(args: argparse.Namespace) -> dict[str, Any]:
    return {
        **({"note": args.note} if args.note else {}),
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers")},
        },
        "photo": list(PHOTO),
        "command": f"python benchmarks/full_size.py --rows {' '.join(args.rows)} --copies {args.copies}",
    }


def table(rows: list[dict[str, Any]]) -> str:
    header = ["model", "precision", "limit", "weights GiB", "peak GiB", "activations", "views at a time", "s/step"]
    lines = [
        [
            row["model"],
            row["dtype"] + (f", autocast {row['autocast']}" if row["autocast"] else ""),
            row["max_memory"] or "–",
            f"{row['weights_bytes'] / GIB:.2f}",
            f"{row['peak_bytes'] / GIB:.2f}",
            "computed again" if row["activations_computed_again"] else "kept",
            f"{row['views_at_a_time']} of {row['views']}",
            f"{row['seconds']:.0f}",
        ]
        for row in rows
    ]
    return markdown_table(header, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=ROWS)
    parser.add_argument("--copies", type=int, default=3, help="views of a step")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--note", help="what a reader of the numbers must know, e.g. that the machine was busy")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.copies)))
        return
    rows = []
    for row in args.rows:
        command = [sys.executable, __file__, "--one", row, "--copies", str(args.copies)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(table(rows[-1:]).splitlines()[-1], flush=True)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({**circumstances(args), "rows": rows}, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
