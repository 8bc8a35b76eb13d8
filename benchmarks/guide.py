"""What the guides of a 1500x2250 photo cost and do, one thread: ``python benchmarks/guide.py [MASKS]``.

Seconds of processor time; which share of the true borders has a border of the guide within 2 pixels; the least contrast
between neighbours, in levels. The masks are random discs; without a number: 150.
"""

import sys
import time

import numpy as np
from scipy import ndimage

from segrobust.attacks.goals import GUIDES
from segrobust.regions.atoms import find_atoms
from segrobust.regions.colours import contrasts
from segrobust.regions.crossing import border_pixels
from segrobust.regions.guide import Guide
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


def followed(guide: Guide, true: Bools) -> float:
    """The share of true border pixels with a border of the guide within 2 pixels."""
    near = border_pixels(guide.labels).view(np.uint8)
    for axis in (0, 1):
        near = ndimage.maximum_filter1d(near, 5, axis=axis, mode="constant", cval=0)
    return float(near[true].mean())


def least_contrast(guide: Guide) -> float:
    """The smallest distance in RGB between the colours of two regions that touch."""
    colours = np.zeros((int(guide.labels.max()) + 1, 3), np.uint8)
    colours[guide.labels.ravel()] = guide.picture.reshape(-1, 3)
    return float(contrasts(guide.labels, colours).min()) ** 0.5


def main() -> None:
    """Print a line for each guide, of the best of three runs."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 150
    masks = discs(count, (1500, 2250), np.random.default_rng(0))
    true = border_pixels(find_atoms(masks).labels)
    print(f"{count} masks ({int((masks.areas <= 150**2).sum())} small)")
    for name, build in GUIDES.items():
        seconds = []
        for _ in range(3):
            start = time.process_time()
            guide = build(masks, np.random.default_rng(1))
            seconds.append(time.process_time() - start)
        print(
            f"{name}: {min(seconds):.2f} s, {guide.labels.max()} regions, "
            f"follows {followed(guide, true):.0%} of the borders, least contrast {least_contrast(guide):.0f}"
        )


if __name__ == "__main__":
    main()
