"""Other pictures than the photo: what AA and PATA pull its features to, where no collection of photos is at hand."""

from pathlib import Path

import numpy as np

from segrobust.io.images import read_image
from segrobust.models.geometry import resize, to_tensor
from segrobust.types import Floats, Image, Pixels


def other_picture(kind: str, photo: Image, generator: np.random.Generator) -> Pixels:
    """A picture of the photo's size, uint8 ``(H, W, 3)``.

    Args:
        kind: ``leaves``: a synthetic picture, :func:`dead_leaves`; ``crop``: a random quarter of the photo itself,
            enlarged (PATA's paper takes patches of the clean image); anything else is the path of a picture.
        photo: gives the size.
        generator: is drawn from for all but a path.

    Raises:
        PhotoError: the path cannot be read.
    """
    if kind == "leaves":
        return dead_leaves(photo.size, generator)
    if kind == "crop":
        height, width = max(1, photo.height // 2), max(1, photo.width // 2)
        y = int(generator.integers(0, photo.height - height + 1))
        x = int(generator.integers(0, photo.width - width + 1))
        return _fitted(photo.pixels[y : y + height, x : x + width], photo.size)
    return _fitted(read_image(Path(kind)).pixels, photo.size)


def dead_leaves(size: tuple[int, int], generator: np.random.Generator, leaves: int = 400) -> Pixels:
    """Discs of random place and colour over each other, their radii spread as 1 / r^3.

    The dead leaves model: edges and scales as in photos (Lee, Mumford and Huang, IJCV 2001). Ours as a stand-in for the
    random photos of SA-1B that the authors draw, which cannot be shipped.

    Args:
        size: ``(height, width)``.
        generator: is drawn from.
        leaves: how many discs.
    """
    height, width = size
    radii = leaf_radii(leaves, max(1.0, 0.02 * min(size)), max(1.0, 0.5 * min(size)), generator)
    centres = generator.uniform(0, 1, (leaves, 2)) * [height, width]
    colours = generator.integers(0, 256, (leaves, 3), dtype=np.uint8)
    colours = np.concatenate([colours, generator.integers(0, 256, (1, 3), dtype=np.uint8)])  # the ground's comes last
    seen = np.full(
        (height, width), leaves, np.int32
    )  # which leaf; a colour for each pixel would take three times as long
    for number, ((y, x), radius) in enumerate(zip(centres, radii, strict=True)):
        y0, y1 = max(0, int(y - radius)), min(height, int(y + radius) + 2)
        x0, x1 = max(0, int(x - radius)), min(width, int(x + radius) + 2)
        inside = (np.arange(y0, y1)[:, None] - y) ** 2 + (np.arange(x0, x1) - x) ** 2 <= radius**2
        np.copyto(seen[y0:y1, x0:x1], number, where=inside)
    picture: Pixels = colours[seen]
    return picture


def leaf_radii(count: int, least: float, most: float, generator: np.random.Generator) -> Floats:
    """Radii between ``least`` and ``most`` with the density 1 / r^3, ``(count,)``."""
    share = generator.uniform(0, 1, count)
    radii: Floats = (least**-2 - share * (least**-2 - most**-2)) ** -0.5
    return radii


def _fitted(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    enlarged = resize(to_tensor(pixels)[None], size)[0].permute(1, 2, 0)
    fitted: Pixels = (enlarged * 255).round().clamp(0, 255).numpy().astype(np.uint8)
    return fitted
