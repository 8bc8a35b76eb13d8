"""Atoms: the pieces into which overlapping masks cut a photo; and the guide that gives each pixel to one of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from segrobust.io.rle import run_lengths
from segrobust.randomness import stream
from segrobust.regions.colours import Colouring, random_colours
from segrobust.regions.guide import Guide, cell_side, paint_cells, painted
from segrobust.regions.neighbours import Labels, absorb, borders, in_order
from segrobust.types import Bools, Floats, Ints, Masks


@dataclass(frozen=True, eq=False)
class Atoms:
    """The connected pieces of a photo in which every pixel is in the same masks.

    Attributes:
        labels: ``(H, W)``, 0 .. n - 1: the atom of each pixel.
        areas: ``(n,)`` pixels.
        members: ``(m, n)`` bool: which of the masks each atom is in; pixels in no mask are atoms too.
    """

    labels: Labels
    areas: Ints
    members: Bools


def find_atoms(masks: Masks) -> Atoms:
    """Cut a photo into its atoms.

    Works on the run lengths, where a mask changes, so the cost is that of the photo and not of photo times masks.

    Args:
        masks: of the photo, in any order.

    Returns:
        The atoms, numbered column by column.
    """
    height, width = masks.size
    ends = [np.cumsum(run_lengths(rle["counts"])) for rle in masks.rles]
    # A pixel's set of masks is the exclusive or of their 64-bit codes: two sets of the same value are as good as
    # impossible. The codes are drawn, but nothing depends on which they are.
    codes = stream(0, "atoms").integers(1, 2**63, len(masks), dtype=np.uint64)
    changes = np.zeros(height * width + 1, np.uint64)
    for places, code in zip(ends, codes, strict=True):
        np.bitwise_xor.at(changes, places, code)
    sets = np.bitwise_xor.accumulate(changes[:-1]).reshape(width, height)
    columns, first = _components(sets)
    members = np.zeros((len(masks), len(first)), np.bool_)
    for row, places in zip(members, ends, strict=True):
        row[:] = np.searchsorted(places, first, side="right") % 2 == 1
    return Atoms(np.ascontiguousarray(columns.T), np.bincount(columns.ravel()).astype(np.int64), members)


def atoms(
    masks: Masks,
    generator: np.random.Generator,
    *,
    grid_rate: float = 0.1,
    reach_rate: float = 1 / 15,
    colours: Colouring = random_colours,
) -> Guide:
    """A guide in which masks may overlap, and every pixel has one region: large atoms cut, small atoms grown.

    Ours, for RGA's open question of overlapping regions. With g as in ``region_guided_map``:

    1. The photo is cut into atoms, the pixels in no mask as well. Slivers, which are no thing of their own but what is
       between two masks of nearly the same border, go to the neighbour with the longest border: narrower than g / 7.5
       and less than half of every mask they are in.
    2. Atoms of at most g^2 pixels are small. They grow until they meet, but not farther than the paper's dilation: a
       pixel within reach belongs to the nearest of them (a Voronoi diagram instead of first come, first served).
    3. What is left of large atoms is cut by the paper's grid, each atom on its own. Pieces of less than a sixteenth
       of a cell go to a neighbour.

    Args:
        masks: of the photo, in any order.
        generator: the colours are drawn from it, nothing else.
        grid_rate: as in ``region_guided_map``.
        reach_rate: how far small atoms grow, as a share of the photo's short side: the 100 pixels of the paper's code
            on a photo of 1500 x 2250.
        colours: of the regions.

    Returns:
        The guide; no pixel is black.

    Raises:
        ValueError: ``grid_rate`` or ``reach_rate`` out of range.
    """
    side = cell_side(masks.size, grid_rate)
    reach = reach_of(masks.size, reach_rate)
    whole = _without_slivers(find_atoms(masks), masks.areas, side)
    small = np.bincount(whole.ravel()) <= side**2
    labels = _grown(whole, small, reach)
    large = np.where(small, 0, np.cumsum(~small)).astype(np.int32)
    paint_cells(labels, large[whole], side, int(labels.max()))
    pieces = in_order(labels.ravel()).reshape(labels.shape)
    pieces = absorb(pieces, np.bincount(pieces.ravel()) < (side / 4) ** 2)[pieces]
    notes = () if masks.areas.any() else ("no masks: the guide is the grid alone",)
    return painted(pieces + np.int32(1), generator, colours, notes)


def reach_of(size: tuple[int, int], reach_rate: float) -> float:
    """How far small regions grow in pixels, on a photo of ``(height, width)``.

    Raises:
        ValueError: ``reach_rate`` is not in [0, 1].
    """
    if not 0 <= reach_rate <= 1:
        raise ValueError(f"reach_rate is a share of the short side, in [0, 1], got {reach_rate}")
    return reach_rate * min(size)


def nearest(labels: Labels) -> tuple[Labels, NDArray[np.float32]]:
    """For each pixel the region of the nearest pixel that has one, and the squared distance to it.

    Args:
        labels: ``(H, W)``, 0 = no region; at least one pixel has one.
    """
    y, x = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    far = (y - np.arange(labels.shape[0], dtype=np.float32)[:, None]) ** 2
    far += (x - np.arange(labels.shape[1], dtype=np.float32)) ** 2
    return labels[y, x], far


def _components(sets: NDArray[np.uint64]) -> tuple[Labels, Ints]:
    """Connected pixels of equal value, numbered row by row; and where in the flat array each one's first pixel is."""
    # Runs of a row are joined, not pixels: there are a hundred times fewer.
    begins = np.ones(sets.shape, np.bool_)
    begins[:, 1:] = sets[:, 1:] != sets[:, :-1]
    runs = np.cumsum(begins.ravel(), dtype=np.int32).reshape(sets.shape) - np.int32(1)
    count = int(runs[-1, -1]) + 1
    meet = sets[1:] == sets[:-1]
    meet[:, 1:] &= begins[1:, 1:] | begins[:-1, 1:]  # once for two runs: where they begin to lie side by side
    upper, lower = runs[:-1][meet], runs[1:][meet]
    graph = sparse.coo_array((np.ones(len(upper), np.bool_), (upper, lower)), (count, count))
    part = in_order(csgraph.connected_components(graph, directed=False)[1])
    first = np.flatnonzero(begins.ravel())[np.unique(part, return_index=True)[1]]
    return part[runs], first


def _without_slivers(found: Atoms, areas: Ints, side: int) -> Labels:
    """The atoms with the slivers given away, numbered from 0; of 1-pixel cells none is a sliver."""
    pairs, lengths = borders(found.labels)
    around = np.bincount(pairs.ravel(), np.repeat(lengths, 2), minlength=len(found.areas))
    narrow = 2 * found.areas < np.floor(side / 7.5) * around  # a strip of width w has an area of w / 2 of its border
    shares: Floats = np.zeros(len(found.areas))
    for row, area in zip(found.members, areas, strict=True):
        shares[row] = np.maximum(shares[row], found.areas[row] / max(1, int(area)))
    return absorb(found.labels, narrow & (shares < 0.5))[found.labels]


def _grown(whole: Labels, small: Bools, reach: float) -> Labels:
    """The small atoms grown until they meet or reach as far as they may, numbered from 1; elsewhere 0."""
    numbers = np.where(small, np.cumsum(small), 0).astype(np.int32)
    seeds = numbers[whole]
    if reach == 0 or not small.any() or small.all():
        return seeds
    owner, far = nearest(seeds)
    return np.where(far <= reach**2, owner, 0).astype(np.int32)
