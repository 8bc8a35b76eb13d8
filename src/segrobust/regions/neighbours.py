"""Which regions of a label map touch, and merging those that are too slight to stand alone."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from segrobust.types import Bools, Ints

Labels = NDArray[np.int32]


def borders(labels: Labels) -> tuple[Ints, Ints]:
    """The pairs of regions that touch, and along how many pixel edges.

    Args:
        labels: ``(H, W)``, the region of each pixel, from 0 on.

    Returns:
        ``(k, 2)`` pairs, the lower number first, in rising order; ``(k,)`` how many pairs of pixels, beside or above
        one another, belong to the two.
    """
    count = np.int64(labels.max(initial=0)) + 1
    codes = []
    for one, other in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        apart = one != other
        a, b = one[apart].astype(np.int64), other[apart].astype(np.int64)
        codes.append(np.minimum(a, b) * count + np.maximum(a, b))
    pairs, lengths = np.unique(np.concatenate(codes), return_counts=True)
    return np.stack(np.divmod(pairs, count), axis=1), lengths.astype(np.int64)


def absorb(labels: Labels, weak: Bools) -> Labels:
    """Give each weak region to the neighbour it shares the longest border with.

    Weak regions whose longest border is with a weak one go on together, until a region that is not weak takes them or
    nothing is left beside them.

    Args:
        labels: ``(H, W)``, the region of each pixel, 0 .. n - 1.
        weak: ``(n,)`` bool.

    Returns:
        ``(n,)`` the new region of each, numbered from 0 without gaps, in the order of the lowest number in it.
    """
    n = len(weak)
    group = np.arange(n, dtype=np.int32)
    if not weak.any():
        return group
    pairs, lengths = borders(labels)
    while True:
        feeble = np.ones(group.max(initial=-1) + 1, np.bool_)
        feeble[group[~weak]] = False
        ends = group[pairs]
        outside = ends[:, 0] != ends[:, 1]
        both = np.concatenate([ends[outside], ends[outside, ::-1]])
        summed = sparse.coo_array((np.tile(lengths[outside], 2), (both[:, 0], both[:, 1])), (len(feeble),) * 2).tocoo()
        summed.sum_duplicates()
        open_ = feeble[summed.row]
        if not open_.any():
            return group
        row, column, length = summed.row[open_], summed.col[open_], summed.data[open_]
        order = np.lexsort((column, -length, row))  # of equal borders the lower number
        chosen = order[np.diff(row[order], prepend=-1) > 0]
        joined = sparse.coo_array((np.ones(len(chosen)), (row[chosen], column[chosen])), (len(feeble),) * 2)
        group = in_order(csgraph.connected_components(joined, directed=False)[1][group])


def in_order(numbers: NDArray[np.integer]) -> Labels:
    """The same partition of a list, numbered from 0 in order of first appearance."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse]
