"""Peak memory and seconds of segment everything at 64 x 64 points on a 1500x2250 photo, one thread, CPU.

``python benchmarks/everything_memory.py [model folder or name] [points per side]``. The thresholds are lenient, so that
most masks are restored and stay: with random weights (the default, the tests' tiny SAM) every mask is the whole photo.
Memory beyond the model is the process's peak minus its size after the photo was embedded and one batch decoded.
"""

import resource
import sys
import time

import numpy as np
import torch

from segrobust import load
from segrobust.models.base import EverythingSettings
from segrobust.models.geometry import to_tensor
from segrobust.regions.boxes import point_grid
from segrobust.regions.everything import segment_everything
from segrobust.types import Image, Prompts

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


def peak() -> float:
    """The largest this process has been, in MiB (ru_maxrss is in KiB on Linux, in bytes on macOS)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def main() -> None:
    """Print one line."""
    torch.set_num_threads(1)
    model = load(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/tiny-sam", device="cpu")
    per_side = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    image = photo(1500, 2250)
    settings = EverythingSettings(
        points_per_side=per_side, predicted_iou_threshold=0, stability_threshold=0, box_nms_threshold=1.0
    )
    with torch.no_grad():
        embedding = model.embed(to_tensor(image.pixels)[None])
        model.masks(embedding, Prompts.of(points=point_grid(8, image.size)), multimask=True)
    before, start = peak(), time.perf_counter()
    masks = segment_everything(model, image, settings)
    seconds = time.perf_counter() - start
    print(
        f"{model.name}: {per_side}x{per_side} points, {len(masks)} masks kept, {seconds:.0f} s, "
        f"{1000 * seconds / max(1, len(masks)):.1f} ms per mask kept, peak {peak() - before:.0f} MiB beyond the model"
    )


if __name__ == "__main__":
    main()
