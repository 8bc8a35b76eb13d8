"""The containment tree of masks, and the guide that shows its leaves and cuts what is left of their parents."""

from dataclasses import dataclass

import numpy as np

from segrobust.regions.atoms import Atoms, find_atoms, reach_of
from segrobust.regions.colours import Colouring, random_colours
from segrobust.regions.guide import Guide, cell_side, dilated, paint_cells, painted
from segrobust.regions.neighbours import Labels
from segrobust.types import Bools, Ints, Masks

SAME, INSIDE = 0.9, 0.9
"""IoU above which two masks are one, and share of a mask above which it is inside another."""


@dataclass(frozen=True, eq=False)
class Tree:
    """Which mask is in which.

    Attributes:
        parents: ``(m,)`` the smallest mask that each is inside of; -1: none.
        leaves: ``(m,)`` bool: nothing is inside of it.
        left_out: ``(m,)`` bool: empty, or the same as an earlier mask; such masks are neither parents nor leaves.
    """

    parents: Ints
    leaves: Bools
    left_out: Bools


def containment(found: Atoms) -> Tree:
    """The tree of masks by containment.

    A mask with an IoU of more than 0.9 with an earlier one is left out. Of the others, one of which more than 0.9 is
    inside a larger one (of equal ones: a later one) is inside of it.

    Args:
        found: the atoms of the masks.
    """
    weights = found.members.astype(np.float64)
    common = (weights * found.areas) @ weights.T
    areas = np.diag(common)
    union = areas[:, None] + areas - common
    left_out = areas == 0
    for i in range(len(areas)):
        if not left_out[i]:
            left_out[i + 1 :] |= common[i, i + 1 :] > SAME * union[i, i + 1 :]
    rank = np.empty(len(areas), np.int64)
    rank[np.argsort(areas, kind="stable")] = np.arange(len(areas))
    inside = (common > INSIDE * areas[:, None]) & (rank[:, None] < rank) & ~left_out[:, None] & ~left_out
    candidates = np.where(inside, rank, len(areas))
    by_rank = np.append(np.argsort(rank), -1)
    parents: Ints = by_rank[candidates.min(axis=1, initial=len(areas))]
    return Tree(parents, ~inside.any(axis=0) & ~left_out, left_out)


def tree(
    masks: Masks,
    generator: np.random.Generator,
    *,
    grid_rate: float = 0.1,
    reach_rate: float = 1 / 15,
    colours: Colouring = random_colours,
) -> Guide:
    """A guide of nested masks: leaves of the containment tree as they are, what is left of a parent as in the paper.

    Ours, for RGA's open question of overlapping regions: the paper joins all large masks, so that what lies inside one
    of them loses its border. Each pixel belongs to the smallest leaf it is in, or else to the smallest mask. A leaf is
    one region. What is left of a parent, if it is more than g^2 pixels, is cut into g x g cells, for each parent on its
    own; if it is less, it is grown by a square where nothing is painted yet. The rest stays black.

    Args:
        masks: of the photo; of equal ones the earlier is kept.
        generator: the colours are drawn from it, nothing else.
        grid_rate: as in ``region_guided_map``.
        reach_rate: pixels that small rests grow in every direction, as a share of the photo's short side: the 100 of
            the paper's code on a photo of 1500 x 2250.
        colours: of the regions.

    Returns:
        The guide. Leaves are numbered first, then small rests, both in mask order, then cells.

    Raises:
        ValueError: ``grid_rate`` or ``reach_rate`` out of range.
    """
    side = cell_side(masks.size, grid_rate)
    reach = round(reach_of(masks.size, reach_rate))
    found = find_atoms(masks)
    family = containment(found)
    owner = owners(found, masks.areas, family)
    shown = np.bincount(owner[owner >= 0], found.areas[owner >= 0], minlength=len(masks))
    owned = np.append(owner, -1)[found.labels] if len(masks) else np.full(masks.size, -1)
    numbers = np.zeros(len(masks) + 1, np.int32)  # the last one is of the pixels in no mask
    leaves = family.leaves & (shown > 0)
    numbers[:-1][leaves] = np.arange(1, leaves.sum() + 1)
    labels: Labels = numbers[owned]
    count = int(leaves.sum())
    for i in np.flatnonzero(~leaves & (shown > 0) & (shown <= side**2)):
        grown, y, x = dilated(owned == i, masks.boxes[i].astype(np.int64), reach)
        place = labels[y : y + grown.shape[0], x : x + grown.shape[1]]
        free = grown & (place == 0)
        if free.any():
            count += 1
            place[free] = count
    groups = np.zeros(len(masks) + 1, np.int32)
    large = ~leaves & (shown > side**2)
    groups[:-1][large] = np.arange(1, large.sum() + 1)
    paint_cells(labels, groups[owned], side, count)
    return painted(labels, generator, colours)


def owners(found: Atoms, areas: Ints, family: Tree) -> Ints:
    """``(n,)`` the mask each atom belongs to: the smallest leaf it is in, or else the smallest parent; -1: none."""
    order = np.lexsort((areas, ~family.leaves))
    order = order[~family.left_out[order]]
    if not len(order):
        return np.full(len(found.areas), -1, np.int64)
    inside = found.members[order]
    return np.where(inside.any(axis=0), order[inside.argmax(axis=0)], -1)
