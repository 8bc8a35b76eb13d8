"""Where a perturbation may be: a box, a mask or a click, given by the user."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from segrobust.errors import UsageError
from segrobust.io.images import read_image
from segrobust.models.base import Segmenter
from segrobust.types import Bools, Image, Prompts

Where = Bools | Sequence[float]
"""A mask, bool ``(H, W)``; a box ``(x1, y1, x2, y2)``; or a click ``(x, y)``: the mask that the model answers."""

HOW = "box:x1,y1,x2,y2, click:x,y or mask:FILE"


@dataclass(frozen=True)
class Region:
    """A region as it is written on a command line: ``box:10,20,200,180``, ``click:120,80`` or ``mask:cat.png``.

    Attributes:
        kind: what it is.
        numbers: of a box or a click, in pixels of the photo.
        file: of a mask: a picture of the photo's size, not black inside the region.
    """

    kind: Literal["box", "click", "mask"]
    numbers: tuple[float, ...] = ()
    file: Path = Path()

    def check(self) -> None:
        """See that the file is there.

        Raises:
            UsageError: it is not.
        """
        if self.kind == "mask" and not self.file.is_file():
            raise UsageError(f"no region mask:{self.file}: there is no such file")

    def of(self, image: Image) -> Where:
        """What :func:`region_mask` takes, for a photo.

        Raises:
            UsageError: the mask has another size than the photo, or is black.
        """
        return mask_from_file(self.file, image) if self.kind == "mask" else self.numbers


def parse_region(text: str) -> Region:
    """Read a region.

    Raises:
        UsageError: it is written otherwise.
    """
    kind, _, rest = text.partition(":")
    if kind == "mask" and rest:
        return Region("mask", file=Path(rest))
    try:
        numbers = tuple(float(part) for part in rest.split(","))
    except ValueError:
        numbers = ()
    if not np.isfinite(numbers).all():
        numbers = ()
    if kind == "click" and len(numbers) == 2:
        return Region("click", numbers)
    if kind == "box" and len(numbers) == 4 and numbers[0] <= numbers[2] and numbers[1] <= numbers[3]:
        return Region("box", numbers)
    raise UsageError(f"region {text!r} is not written {HOW}, in pixels of the photo, with x1 <= x2 and y1 <= y2")


def mask_from_file(path: Path, image: Image) -> Bools:
    """A mask from a picture, bool ``(H, W)``: where it is not black.

    Raises:
        UsageError: it has another size than the photo, or is black.
    """
    picture = read_image(path)
    if picture.size != image.size:
        raise UsageError(f"{path}: the mask has size {picture.size}, the photo {image.size}")
    mask: Bools = np.asarray(picture.pixels.any(axis=2))
    if not mask.any():
        raise UsageError(f"{path}: the mask is black; white pixels are its inside")
    return mask


def region_mask(segmenter: Segmenter, image: Image, where: Where) -> Bools:
    """The pixels of a region of a photo, bool ``(H, W)``.

    Args:
        segmenter: is asked what is under a click.
        image: the photo.
        where: see ``Where``; boxes and clicks in pixels of the photo. A pixel belongs to a box if its centre does.

    Raises:
        UsageError: nothing that can be read so, or no pixel of the photo.
    """
    height, width = image.size
    if isinstance(where, np.ndarray) and where.dtype == np.bool_:
        if where.shape != image.size:
            raise UsageError(f"the region has size {where.shape}, the photo {image.size}")
        mask: Bools = where
    else:
        numbers = [float(value) for value in where]
        if len(numbers) == 4:
            x1, y1, x2, y2 = numbers
            columns = (np.arange(width) >= x1) & (np.arange(width) <= x2)
            rows = (np.arange(height) >= y1) & (np.arange(height) <= y2)
            mask = rows[:, None] & columns
        elif len(numbers) == 2:
            if not (0 <= numbers[0] < width and 0 <= numbers[1] < height):
                raise UsageError(f"the click {tuple(numbers)} is outside the photo of {width}x{height} pixels")
            mask = segmenter.answer(image, Prompts.of([numbers])).mask(0)
        else:
            raise UsageError(f"a region is a mask, a box x1,y1,x2,y2 or a click x,y; got {len(numbers)} numbers")
    if not mask.any():
        raise UsageError("the region holds no pixel of the photo")
    return mask
