"""Where regions end: the pixels beside an edge, regions that are grown or shrunk, and the photo that shows them so."""

import numpy as np
from scipy.ndimage import distance_transform_edt

from segrobust.io.rle import decode_part
from segrobust.types import Bools, Masks, Pixels


def edges(masks: Masks) -> Bools:
    """The pixels beside an edge of a mask, on both sides of it, bool ``(H, W)``.

    A pixel is beside an edge if one of its four neighbours is on the other side. The border of the photo is no edge:
    nobody knows whether the object ends there.

    Args:
        masks: of one photo.
    """
    found = np.zeros((masks.size[0] + 2, masks.size[1] + 2), np.bool_)  # a rim around the photo, cut away in the end
    inside = np.zeros_like(found)
    inside[1:-1, 1:-1] = True
    for rle, box in zip(masks.rles, masks.boxes.astype(np.int64), strict=True):
        x0, y0 = int(box[0]), int(box[1])
        part = np.pad(decode_part(rle, box), 1).astype(np.bool_)
        place = (slice(y0, y0 + part.shape[0]), slice(x0, x0 + part.shape[1]))
        here, there = found[place], inside[place]
        for ahead, behind in (
            ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
            ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        ):
            change = (part[ahead] != part[behind]) & there[ahead] & there[behind]
            here[ahead] |= change
            here[behind] |= change
    return found[1:-1, 1:-1]


def near_edges(masks: Masks, pixels: int) -> Bools:
    """The band around all edges, bool ``(H, W)``: on each side the first ``pixels`` pixels, counted from the edge.

    Args:
        masks: of one photo; without any there is no band.
        pixels: at least 1; a pixel ``pixels - 1`` away (Euclidean) from one that is beside an edge still belongs to it.

    Raises:
        ValueError: fewer than 1.
    """
    if pixels < 1:
        raise ValueError(f"a band is at least 1 pixel wide on each side, got {pixels}")
    beside = edges(masks)
    if not beside.any():
        return beside
    near: Bools = np.asarray(distance_transform_edt(~beside)) <= pixels - 1
    return near


def moved_edge(mask: Bools, pixels: int) -> Bools:
    """A mask whose edge lies so many pixels further out (Euclidean), or further in if it is less than 0.

    Grown, all pixels belong to it that are at most ``pixels`` away from one of its own; shrunk, all that are more than
    that away from one outside. The border of the photo is no edge and stays. Nothing may remain of a shrunk mask.

    Args:
        mask: bool ``(H, W)``.
        pixels: how far.
    """
    if pixels == 0 or mask.all() or not mask.any():
        return mask.copy()
    if pixels > 0:
        grown: Bools = np.asarray(distance_transform_edt(~mask)) <= pixels
        return grown
    shrunk: Bools = np.asarray(distance_transform_edt(mask)) > -pixels
    return shrunk


def picture_of_moved_edges(photo: Pixels, masks: Masks, pixels: int) -> Pixels:
    """The photo as it would look if every region were ``pixels`` larger, or smaller, in the photo's own colours.

    Ours. What a region gains is the mirror image of its own rim; what it loses, of what lies around it: behind the old
    edge each pixel shows the one as far before it, or, where that is not on the right side, the nearest that is. Larger
    regions are painted first, so that small ones stay visible on them. Pixels that no edge passes are the photo's.

    Args:
        photo: uint8 ``(H, W, 3)``.
        masks: of its regions.
        pixels: how far edges move: outwards, or inwards if less than 0.

    Returns:
        uint8 ``(H, W, 3)``.
    """
    picture = photo.copy()
    reach = 2 * abs(pixels) + 1
    for number in np.argsort(-masks.areas, kind="stable").tolist():
        x0, y0, x1, y1 = masks.boxes[number].astype(np.int64).tolist()
        top, left = max(0, y0 - reach), max(0, x0 - reach)
        place = (slice(top, y1 + reach), slice(left, x1 + reach))
        mask = masks.mask(number)[place]
        passed = mask ^ moved_edge(mask, pixels)
        if passed.any():
            rows, columns = _mirrored(mask if pixels > 0 else ~mask, passed)
            picture[place][passed] = photo[place][rows, columns]
    return picture


def _mirrored(source: Bools, passed: Bools) -> tuple[np.ndarray, np.ndarray]:
    """For each passed pixel (row by row) where it finds its colour in the source: rows and columns."""
    distance, nearest = distance_transform_edt(~source, return_indices=True)
    here = np.argwhere(passed)
    foot = np.asarray(nearest)[:, passed].T
    away = np.asarray(distance)[passed][:, None]
    # The first pixel behind the edge shows the last one before it, the second the second to last, and so on.
    mirror = foot + np.rint((foot - here) * (away - 1) / away).astype(np.int64)
    shape = np.array(source.shape)
    there = ((mirror >= 0) & (mirror < shape)).all(axis=1)
    there &= source[tuple(mirror.clip(0, shape - 1).T)]
    rows, columns = np.where(there[:, None], mirror, foot).T
    return rows, columns
