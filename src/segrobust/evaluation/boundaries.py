"""Where masks end: boundary IoU, and how far a boundary moved. A mask is looked at only where it is."""

import math

import numpy as np
from scipy.spatial import KDTree

from segrobust.io.rle import decode_part, encode_part
from segrobust.types import RLE, Bools, Floats, Masks, Pixels

DILATION = 0.02
"""Width of the boundary, as a share of the photo's diagonal: the value of the source."""


def boundary_width(size: tuple[int, int], dilation: float = DILATION) -> int:
    """Pixels from a mask's edge inwards that belong to its boundary, >= 1."""
    return max(1, round(dilation * math.hypot(*size)))


def boundary_of(masks: Masks, dilation: float = DILATION) -> Masks:
    """The boundary region of every mask: its pixels that are not further from its edge than :func:`boundary_width`.

    Source: Cheng et al., Boundary IoU (CVPR 2021, arXiv 2103.16562, section 4, G_d and P_d) and its code: distance is
    the larger one of the two axes (erosion by squares), and the edge of the photo is an edge of the mask.

    Args:
        masks: n masks.
        dilation: share of the photo's diagonal.
    """
    width = boundary_width(masks.size, dilation)
    known: dict[str, RLE] = {}  # several prompts often ask for one mask
    for rle, box in zip(masks.rles, masks.boxes, strict=True):
        if rle["counts"] not in known:
            rim = _rim(decode_part(rle, box), width)
            known[rle["counts"]] = encode_part(rim, masks.size, (int(box[1]), int(box[0])))
    return Masks.from_rles(masks.size, [known[rle["counts"]] for rle in masks.rles])


def boundary_displacement(reference: Masks, predicted: Masks) -> Floats:
    """How far apart the outlines of two masks lie, in pixels of the photo: average symmetric surface distance.

    Source: Heimann et al. 2009 (IEEE TMI 28(8), section III-C, ASD): for every outline pixel of one mask the Euclidean
    distance to the nearest outline pixel of the other; the mean over the outline pixels of both. Outline pixels are
    those with one of four neighbours outside the mask; beside the photo is outside.

    Args:
        reference: n masks.
        predicted: n masks of the same photo, one for each.

    Returns:
        ``(n,)``, >= 0; NaN where one of the two is empty, for then there is no distance.
    """
    outlines = [[_outline(masks, i) for i in range(len(masks))] for masks in (reference, predicted)]
    return np.array([_mean_distance(a, b) for a, b in zip(*outlines, strict=True)], np.float64)


def _rim(mask: Pixels, width: int) -> Bools:
    """A mask without what remains of it after erosion by a square of ``2 width + 1``."""
    rim: Bools = mask.astype(np.bool_)
    if min(mask.shape) > 2 * width:
        inner = _all_of_run(_all_of_run(mask, 2 * width + 1, 0), 2 * width + 1, 1)
        rim[width:-width, width:-width] &= inner == 0
    return rim


def _all_of_run(mask: Pixels, run: int, axis: int) -> Pixels:
    """For each place of a run of pixels along an axis, whether all of them are set; runs double in a few steps."""
    have = 1
    while have < run:
        step = min(have, run - have)
        ahead = [slice(None)] * 2
        behind = [slice(None)] * 2
        ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
        mask = mask[tuple(ahead)] & mask[tuple(behind)]
        have += step
    return mask


def _outline(masks: Masks, index: int) -> Floats:
    """The outline pixels of a mask, ``(p, 2)`` row and column."""
    part = decode_part(masks.rles[index], masks.boxes[index])
    mask = np.pad(part, 1)
    inside = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    outline: Floats = np.argwhere(part > inside).astype(np.float64) + masks.boxes[index, 1::-1]
    return outline


def _mean_distance(a: Floats, b: Floats) -> float:
    if not len(a) or not len(b):
        return math.nan
    total = np.sum(KDTree(b).query(a)[0]) + np.sum(KDTree(a).query(b)[0])
    return float(total / (len(a) + len(b)))
