"""Peak memory and seconds of segment everything at 64 x 64 points on a 1500x2250 photo, one thread, CPU.

``python benchmarks/everything_memory.py [model folder or name] [points per side] [box NMS threshold]``. The filters
are off and the NMS threshold is 1, so that every mask is restored and stays: with random weights (the default, the
tests' tiny SAM) each of them is almost the whole photo, and ragged. Linux only. The figure is an upper bound: the
largest the process has ever been, minus its size with the model loaded and the photo read; so the model's own working
memory and the result itself are in it.
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

from segrobust import load
from segrobust.models.base import EverythingSettings
from segrobust.regions.everything import segment_everything
from segrobust.types import Image

MIB = 2**20


def photo(height: int, width: int) -> Image:
    """Smooth random colours with a few rectangles."""
    generator = np.random.default_rng(0)
    y, x = np.linspace(0, 9, height)[:, None], np.linspace(0, 9, width)
    waves = [np.sin(a * x + b * y) for a, b in generator.uniform(-2, 2, (3, 2))]
    pixels = (127 + 120 * np.stack(waves, axis=2)).astype(np.uint8)
    for top, left in zip(generator.integers(0, height - 200, 20), generator.integers(0, width - 200, 20), strict=True):
        pixels[top : top + 200, left : left + 200] = generator.integers(0, 256, 3)
    return Image(pixels)


def size() -> float:
    """What this process holds now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MIB


def peak() -> float:
    """The largest this process has been, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB


def main() -> None:
    """Print one line."""
    torch.set_num_threads(1)
    model = load(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/tiny-sam", device="cpu")
    per_side = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    threshold = float(sys.argv[3]) if len(sys.argv) > 3 else 1.0
    image = photo(1500, 2250)
    settings = EverythingSettings(
        points_per_side=per_side, predicted_iou_threshold=0, stability_threshold=0, box_nms_threshold=threshold
    )
    before, start = size(), time.perf_counter()
    masks = segment_everything(model, image, settings)
    seconds = time.perf_counter() - start
    result = sum(len(rle["counts"]) for rle in masks.rles) / MIB
    print(
        f"{model.name}: {per_side}x{per_side} points, {len(masks)} masks kept, {seconds:.0f} s, "
        f"at most {peak() - before:.0f} MiB beyond the loaded model, {result:.0f} of them the masks"
    )


if __name__ == "__main__":
    main()
