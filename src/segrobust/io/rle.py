"""COCO's encodings of a mask, as JSON files have them, into the one that is kept; and of a mask only where it is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from segrobust.types import RLE, Bools, Floats, Pixels, decode_mask, encode_mask


def segmentation_to_rle(raw: Any, size: tuple[int, int]) -> RLE:
    """One segmentation of a COCO-style JSON file as compressed RLE.

    Args:
        raw: compressed RLE, uncompressed RLE (a list of counts) or a list of polygons, as parsed from JSON. Several
            polygons are one mask, rasterised as pycocotools does.
        size: ``(height, width)`` of the photo.

    Returns:
        The mask; without empty runs, at which pycocotools' IoU would stop.

    Raises:
        ValueError: of another size, or not decodable: runs that do not fill the mask, polygons of too few points. Raw
            values of wrong types raise whatever Python says about them.
    """
    height, width = size
    if isinstance(raw, list):
        return _plain(coco.merge(coco.frPyObjects(_polygons(raw, max(size)), height, width)))
    if list(raw["size"]) != [height, width]:
        raise ValueError(f"mask of size {raw['size']}, image of size {[height, width]}")
    counts = raw["counts"]
    runs = run_lengths(counts) if isinstance(counts, str) else _run_list(counts)
    # pycocotools answers runs that do not fill the mask with uninitialised memory, so this is checked here.
    if runs.min(initial=0) < 0:
        raise ValueError(f"a run has a negative length, {int(runs.min())}")
    if runs.sum() != height * width:
        raise ValueError(f"runs cover {int(runs.sum())} pixels of {height * width}")
    rle = RLE(size=[height, width], counts=counts) if isinstance(counts, str) else _from_runs(runs, size)
    # Empty runs inside are legal, but pycocotools' IoU stops at them.
    return encode_mask(decode_mask(rle)) if (runs[1:] == 0).any() else rle


def encode_part(part: Bools, size: tuple[int, int], corner: tuple[int, int]) -> RLE:
    """COCO RLE of a mask of ``size`` that is ``part`` from ``corner`` on and empty elsewhere; only the part is read.

    Args:
        part: ``(h, w)`` bool; it lies inside.
        size: ``(height, width)`` of the mask.
        corner: ``(top row, left column)`` of the part.
    """
    # COCO runs go down the columns, and go on from the foot of one to the head of the next.
    columns = np.zeros((part.shape[1], part.shape[0] + 2), np.bool_)
    columns[:, 1:-1] = part.T
    changed = np.flatnonzero(columns[:, 1:] != columns[:, :-1])  # every run's begin and end, in turn
    column, row = np.divmod(changed, part.shape[0] + 1)
    places = (column + corner[1]) * size[0] + row + corner[0]
    within = places[1:-1].reshape(-1, 2)
    within = within[within[:, 0] != within[:, 1]]
    total = size[0] * size[1]
    changes = np.concatenate([[0], places[:1], within.ravel(), places[-1:]])
    return _from_runs(np.diff(changes[changes < total], append=total), size)


def decode_part(rle: RLE, box: Floats) -> Pixels:
    """The pixels of a mask inside its box, as 0 and 1 in Fortran's order: ``decode_mask`` where there is something.

    Args:
        rle: the mask.
        box: its xyxy, far edge exclusive, as ``Masks.boxes`` has it; no pixel of the mask lies outside.
    """
    x0, y0, x1, y1 = (int(side) for side in box)
    ends = np.cumsum(run_lengths(rle["counts"]))
    begin, end = ends[0:-1:2], ends[1::2]
    # A run over the foot of a column means a box as high as the photo, so it is one run in the box as well.
    column, row = np.divmod(np.stack([begin, end - 1], axis=1), rle["size"][0])
    places = (column - x0) * (y1 - y0) + row - y0 + [0, 1]
    size = (y1 - y0, x1 - x0)
    counts = np.diff(places.ravel(), prepend=0, append=size[0] * size[1]).tolist()
    part: Pixels = coco.decode(coco.frPyObjects({"size": list(size), "counts": counts}, *size))
    return part


def _polygons(raw: list[Any], side: int) -> list[list[float]]:
    polygons = [np.asarray(polygon, dtype=np.float64) for polygon in raw]
    for polygon in polygons:
        if polygon.ndim != 1 or polygon.size < 6 or polygon.size % 2 or not np.isfinite(polygon).all():
            raise ValueError("a polygon is a list x1, y1, x2, y2, ... of at least three finite points")
        if np.abs(polygon).max() > 10 * side:  # pycocotools walks every pixel of the outline, and its ints overflow
            raise ValueError(f"a polygon reaches {np.abs(polygon).max():g}, far outside the photo")
    if not polygons:
        raise ValueError("an empty list of polygons")
    return [polygon.tolist() for polygon in polygons]


def run_lengths(counts: str) -> NDArray[np.int64]:
    """The run lengths of COCO's compressed string: 5 bits per character, later runs as differences.

    Source: pycocotools, ``rleFrString``; written anew, because that reads past the end of a string that breaks off.

    Args:
        counts: the string; nothing is believed of it.

    Returns:
        The runs, as the string says: they may be negative, and need not fill any mask.

    Raises:
        ValueError: it is no such string.
    """
    codes = np.frombuffer(counts.encode("latin-1", "replace"), np.uint8).astype(np.int64) - 48
    if not counts.isascii() or codes.size == 0 or codes.min() < 0 or codes.max() > 63:
        raise ValueError(f"counts is no COCO run-length string: {counts[:40]!r}")
    if codes[-1] & 32:
        raise ValueError(f"counts breaks off: {counts[-40:]!r}")
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() > 6:
        raise ValueError(f"counts is no COCO run-length string, a run is too long: {counts[:40]!r}")
    place = 5 * (np.arange(codes.size) - np.repeat(starts, ends - starts + 1))
    runs: NDArray[np.int64] = np.add.reduceat((codes & 31) << place, starts)
    negative = codes[ends] & 16 != 0
    runs[negative] -= 1 << (place[ends[negative]] + 5)
    for first in (1, 2):  # from the fourth run on, each is stored as the difference to the one two before
        runs[first::2] = np.cumsum(runs[first::2])
    return runs


def _run_list(counts: Any) -> NDArray[np.int64]:
    if not isinstance(counts, list) or not all(type(count) is int and 0 <= count < 2**31 for count in counts):
        raise ValueError("counts must be a COCO string or a list of run lengths")
    return np.asarray(counts, dtype=np.int64)


def _from_runs(runs: NDArray[np.int64], size: tuple[int, int]) -> RLE:
    return _plain(coco.frPyObjects({"size": list(size), "counts": runs.tolist()}, *size))


def _plain(rle: Any) -> RLE:
    return RLE(size=[int(side) for side in rle["size"]], counts=rle["counts"].decode("ascii"))
