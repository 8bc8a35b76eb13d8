"""The shapes that travel between the rooms: frozen, and checked when they are made.

Units, everywhere: pixels are those of the original photo; points are ``(x, y)`` with ``(0, 0)`` the centre of the
top-left pixel; boxes are ``xyxy``; IoU is in [0, 1]; epsilon is a share of the pixel range, written ``8/255``.
"""

from segrobust.types.arrays import Bools, Floats, Ints, Pixels
from segrobust.types.budget import Budget, Norm
from segrobust.types.image import Image
from segrobust.types.masks import RLE, Masks, decode_mask, encode_mask
from segrobust.types.prompts import Prompts
from segrobust.types.result import AttackResult

__all__ = [
    "RLE",
    "AttackResult",
    "Bools",
    "Budget",
    "Floats",
    "Image",
    "Ints",
    "Masks",
    "Norm",
    "Pixels",
    "Prompts",
    "decode_mask",
    "encode_mask",
]
