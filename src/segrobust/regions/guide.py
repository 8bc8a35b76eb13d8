"""Guide pictures: flat-coloured regions whose embedding a region-guided attack moves towards.

Every guide is built by a function ``(masks, generator) -> Guide`` (``GuideBuilder``), so that an attack can be run
with the photo's regions or with the control that ignores where they are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segrobust.regions.colours import Colouring, random_colours
from segrobust.regions.neighbours import Labels
from segrobust.types import Bools, Ints, Masks, Pixels, decode_mask


@dataclass(frozen=True, eq=False)
class Guide:
    """A guide picture and the regions it shows.

    Attributes:
        picture: ``(H, W, 3)`` uint8 RGB; 0 in all channels where there is no region, and nowhere else.
        labels: ``(H, W)`` int32, the region of each pixel, 1 .. n; 0 = unpainted.
        notes: conditions worth a line in the record.
    """

    picture: Pixels
    labels: Labels
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.labels.dtype != np.int32 or self.labels.ndim != 2:
            raise ValueError(f"labels must be int32 (H, W), got {self.labels.dtype} {self.labels.shape}")
        if self.picture.dtype != np.uint8 or self.picture.shape != (*self.labels.shape, 3):
            raise ValueError(
                f"the picture of labels {self.labels.shape} must be uint8 (H, W, 3), "
                f"got {self.picture.dtype} {self.picture.shape}"
            )
        for name in ("picture", "labels"):
            array = getattr(self, name).view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)


GuideBuilder = Callable[[Masks, np.random.Generator], Guide]


def region_guided_map(
    masks: Masks,
    generator: np.random.Generator,
    *,
    grid_rate: float = 0.1,
    dilation: int = 100,
    grid: bool = True,
    colours: Colouring = random_colours,
) -> Guide:
    """The region-guided map: big regions cut into cells, small regions grown (Segmentation-And-Dilation).

    Source: RGA (Liu, Shen, Zhao, arXiv 2411.02974), SAD; numbers and order from the official code. With cell side
    g = floor(grid_rate * short side), a mask of more than g^2 pixels is large. Small masks, in their order, are dilated
    by a square and painted where nothing is painted yet. Then the union of the large masks is tiled by g x g cells from
    the top left; each cell is painted inside the union where nothing is painted yet. The rest stays black.

    Where we differ from the official code: it asks per channel whether a pixel is still black, so a colour with a zero
    channel is mixed with the next one, and a black mask is painted over. Here painted pixels are kept in a map of
    their own and no colour has a zero channel; whenever the official run draws no zero, the regions are the same.

    Args:
        masks: of the photo, most important first.
        generator: the colours are drawn from it, nothing else.
        grid_rate: cell side as a share of the photo's short side, in (0, 1].
        dilation: pixels that small regions grow in every direction, corners included. The code's 5x5 square iterated
            50 times is one square that reaches 100.
        grid: False, for ablations (the paper has no such option): large masks are not cut; each is painted as one
            region where nothing is painted yet, in mask order, after the small ones.
        colours: of the regions; the paper's are random.

    Returns:
        The guide. Small regions are numbered first, in mask order, then cells row by row; a region of which nothing
        is visible has no number.

    Raises:
        ValueError: ``grid_rate`` or ``dilation`` out of range.
    """
    return painted(_sad_labels(masks, grid_rate, dilation, grid), generator, colours)


def random_cells(masks: Masks, generator: np.random.Generator, *, grid_rate: float = 0.1, dilation: int = 100) -> Guide:
    """The control: the regions of :func:`region_guided_map`, in number and size, somewhere else.

    Ours; it answers whether the places of the photo's regions matter at all. Exactly as many regions as
    ``region_guided_map`` paints with the same arguments, each with exactly as many pixels, and exactly as many pixels
    black, those in pieces of about the mean size of a region. All pieces are put in random order and the photo is
    halved again and again: half of the pieces get the left or upper part (across the longer side), the others the
    rest, cut so that the pixel counts fit. Pieces are therefore rectangles, up to a step of one pixel in a side. Of
    the photo nothing but these counts is used.

    Args:
        masks: of the photo; only the sizes of the regions they make are used.
        generator: the places and the colours are drawn from it.
        grid_rate: as in :func:`region_guided_map`.
        dilation: as in :func:`region_guided_map`.

    Returns:
        The guide; region i has as many pixels as region i of ``region_guided_map``.

    Raises:
        ValueError: ``grid_rate`` or ``dilation`` out of range.
    """
    sizes = np.bincount(_sad_labels(masks, grid_rate, dilation).ravel())
    black, visible = int(sizes[0]), sizes[1:]
    gaps = max(1, round(black / visible.mean())) if len(visible) and black else int(black > 0)
    cuts = np.linspace(0, black, gaps + 1).round().astype(np.int64)
    pieces = np.concatenate([visible, np.diff(cuts)]).astype(np.int64)
    numbers = np.concatenate([np.arange(1, len(visible) + 1), np.zeros(gaps)]).astype(np.int32)
    order = generator.permutation(len(pieces))
    labels = np.zeros(masks.size, np.int32)
    y, x = (axis.ravel() for axis in np.indices(masks.size, dtype=np.min_scalar_type(max(masks.size))))
    _deal(labels, y, x, pieces[order], numbers[order])
    return painted(labels, generator)


def _sad_labels(masks: Masks, grid_rate: float, dilation: int, grid: bool = True) -> Labels:
    side = cell_side(masks.size, grid_rate)
    if dilation < 0:
        raise ValueError(f"dilation must be at least 0 pixels, got {dilation}")
    labels = np.zeros(masks.size, np.int32)
    large = masks.areas > side**2
    count = 0
    for i in np.flatnonzero(~large & (masks.areas > 0)):
        grown, y, x = dilated(masks.mask(int(i)), masks.boxes[i].astype(np.int64), dilation)
        place = labels[y : y + grown.shape[0], x : x + grown.shape[1]]
        free = grown & (place == 0)
        if free.any():
            count += 1
            place[free] = count
    if grid:
        paint_cells(labels, _union(masks, np.flatnonzero(large)).astype(np.int32), side, count)
        return labels
    for i in np.flatnonzero(large):
        free = masks.mask(int(i)) & (labels == 0)
        if free.any():
            count += 1
            labels[free] = count
    return labels


def cell_side(size: tuple[int, int], grid_rate: float) -> int:
    """The side g of a cell in pixels, at least 1, on a photo of ``(height, width)``.

    Raises:
        ValueError: ``grid_rate`` is not in (0, 1].
    """
    if not 0 < grid_rate <= 1:
        raise ValueError(f"grid_rate is a share of the short side, in (0, 1], got {grid_rate}")
    return max(1, int(grid_rate * min(size)))


def dilated(mask: Bools, box: Ints, reach: int) -> tuple[Bools, int, int]:
    """The mask grown by ``reach`` pixels inside the photo: the part around its box, and where that is (y, x)."""
    height, width = mask.shape
    x0, y0 = max(0, int(box[0]) - reach), max(0, int(box[1]) - reach)
    x1, y1 = min(width, int(box[2]) + reach), min(height, int(box[3]) + reach)
    part = np.ascontiguousarray(mask[y0:y1, x0:x1]).view(np.uint8)
    # A square is a row after a column, and a running maximum costs the same for every length.
    for axis in (0, 1):
        part = ndimage.maximum_filter1d(part, 2 * reach + 1, axis=axis, mode="constant", cval=0)
    grown: Bools = part.view(np.bool_)
    return grown, y0, x0


def _union(masks: Masks, indices: Ints) -> Bools:
    """All pixels of the masks at ``indices``; joined while compressed, decoded once."""
    from pycocotools import mask as coco

    if not len(indices):
        return np.zeros(masks.size, np.bool_)
    raw = [{"size": r["size"], "counts": r["counts"].encode("ascii")} for r in masks.select(indices).rles]
    merged = coco.merge(raw)
    return decode_mask({"size": list(masks.size), "counts": merged["counts"].decode("ascii")})


def paint_cells(labels: Labels, groups: Labels, side: int, count: int) -> None:
    """Cut what is not painted yet into ``side`` x ``side`` cells from the top left, each group of pixels on its own.

    Args:
        labels: painted here, from number ``count + 1`` on: group by group, cells row by row.
        groups: ``(H, W)``, 1 .. n; 0 = not to be painted.
        side: of a cell, pixels.
        count: the highest number in ``labels``.
    """
    height, width = labels.shape
    per_row = -(-width // side)
    cells = (np.arange(height) // side * per_row)[:, None] + np.arange(width) // side
    free = np.ascontiguousarray(groups > 0) & (labels == 0)
    inside = (groups[free] - np.int64(1)) * (cells[-1, -1] + 1) + cells[free]
    present = np.bincount(inside, minlength=1) > 0
    labels[free] = (count + np.cumsum(present))[inside]


def _deal(
    labels: Labels,
    y: NDArray[Any],
    x: NDArray[Any],
    sizes: Ints,
    numbers: NDArray[np.int32],
) -> None:
    """Give the pixels ``(y, x)`` to the pieces: halve the list of pieces, cut the pixels to match, go on in both."""
    if len(sizes) == 1:
        labels[y, x] = numbers[0]
        return
    half = len(sizes) // 2
    cut = int(sizes[:half].sum())
    tall = np.ptp(y) >= np.ptp(x)
    order = np.lexsort((x, y) if tall else (y, x))
    for part, piece in ((order[:cut], slice(None, half)), (order[cut:], slice(half, None))):
        _deal(labels, y[part], x[part], sizes[piece], numbers[piece])


def painted(
    labels: Labels,
    generator: np.random.Generator,
    colours: Colouring = random_colours,
    notes: tuple[str, ...] | None = None,
) -> Guide:
    """The guide of these regions.

    Args:
        labels: the region of each pixel, 1 .. n; 0 = unpainted.
        generator: the colours are drawn from it.
        colours: how.
        notes: for the record; None: that it is black, if it is.
    """
    if notes is None:
        notes = () if labels.any() else ("no masks: the guide is black",)
    return Guide(colours(labels, generator)[labels], labels, notes)
