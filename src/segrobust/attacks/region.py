"""Where a perturbation may be: a box, a mask or a click, given by the user."""

from collections.abc import Sequence

import numpy as np

from segrobust.errors import UsageError
from segrobust.models.base import Segmenter
from segrobust.types import Bools, Image, Prompts

Where = Bools | Sequence[float]
"""A mask, bool ``(H, W)``; a box ``(x1, y1, x2, y2)``; or a click ``(x, y)``: the mask that the model answers."""


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
