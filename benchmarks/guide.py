"""Seconds that the guides of a 150-mask 1500x2250 photo take, one thread: ``python benchmarks/guide.py``."""

import sys
import time

import numpy as np

from segrobust.regions.guide import GuideBuilder, random_cells, region_guided_map
from segrobust.types import Bools, Masks


def discs(count: int, size: tuple[int, int], generator: np.random.Generator) -> Masks:
    """``count`` random discs; radii log-uniform from 10 to 600 pixels, so about half are below the cell area."""
    y, x = np.ogrid[: size[0], : size[1]]

    def disc() -> Bools:
        radius = np.exp(generator.uniform(np.log(10), np.log(600)))
        centre = generator.uniform(0, size)
        inside: Bools = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
        return inside

    return Masks.from_dense(np.stack([disc() for _ in range(count)]))


def main() -> None:
    """Print the best of three runs of each guide."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 150
    masks = discs(count, (1500, 2250), np.random.default_rng(0))
    small = int((masks.areas <= 150**2).sum())
    builders: tuple[tuple[str, GuideBuilder], ...] = (
        ("region_guided_map", region_guided_map),
        ("random_cells", random_cells),
    )
    for name, build in builders:
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            guide = build(masks, np.random.default_rng(1))
            seconds.append(time.perf_counter() - start)
        print(f"{name}: {min(seconds):.2f} s, {count} masks ({small} small), {guide.labels.max()} regions")


if __name__ == "__main__":
    main()
