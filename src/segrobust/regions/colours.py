"""Colours of a guide's regions: at random as in the paper, or as different as can be between neighbours.

A colouring is a function ``(labels, generator) -> colours`` (``Colouring``), so that any guide can be had with either.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import product

import numpy as np

from segrobust.regions.neighbours import Labels, borders
from segrobust.types import Ints, Pixels

Colouring = Callable[[Labels, np.random.Generator], Pixels]
"""From labels ``(H, W)``, 0 = unpainted, to ``(n + 1, 3)`` uint8: black for 0, no zero channel in the others."""

CORNERS = np.array(list(product((1, 255), repeat=3))[1:], np.int64)
"""The seven corners of the colour cube that are far from black, which is what unpainted pixels have."""


def random_colours(labels: Labels, generator: np.random.Generator) -> Pixels:
    """A random colour for each region, as in RGA's code, but without a zero channel.

    Args:
        labels: the region of each pixel; only their number is used.
        generator: the colours are drawn from it.
    """
    count = int(labels.max())
    colours = np.zeros((count + 1, 3), np.uint8)
    colours[1:] = generator.integers(1, 256, size=(count, 3), dtype=np.uint8)
    return colours


def contrast_colours(labels: Labels, generator: np.random.Generator) -> Pixels:
    """Colours with as much contrast as can be had between neighbours.

    Ours: of two random colours about 4 % are less than 60 levels apart in RGB, and a border between two such cells is
    hardly there. Regions are coloured one after another, smallest last (Matula and Beck, J. ACM 1983): the order in
    which each has the fewest neighbours that were coloured before it. Each gets the corner of the colour cube that is
    farthest from the nearest colour beside it. Regions in one piece make a planar graph, in which at most five
    neighbours come first, so one of seven corners is left: neighbours are then at least 254 levels apart. Then every
    region chooses once more, among all its neighbours, which can only widen the narrowest contrast. Unpainted pixels
    are neighbours too, and black.

    Args:
        labels: the region of each pixel, 0 = unpainted.
        generator: decides between corners that are equally far.

    Returns:
        The colours, every channel 1 or 255.
    """
    count = int(labels.max())
    beside: list[set[int]] = [set() for _ in range(count + 1)]
    for a, b in borders(labels)[0].tolist():
        beside[a].add(b)
        beside[b].add(a)
    colours = np.zeros((count + 1, 3), np.int64)
    coloured = np.zeros(count + 1, np.bool_)
    coloured[0] = True
    order = smallest_last(beside)
    for region in order + order:
        others = [other for other in beside[region] if coloured[other]]
        colours[region] = _farthest(colours[others], generator)
        coloured[region] = True
    return colours.astype(np.uint8)


def smallest_last(beside: list[set[int]]) -> list[int]:
    """The order of regions 1 .. n in which each follows as few of its neighbours as can be.

    Args:
        beside: for each region the others that touch it; region 0 is left out.
    """
    left = [len(others - {0}) for others in beside]
    queue = [(left[region], region) for region in range(1, len(beside))]
    heapify(queue)
    taken = {0}
    order = []
    while queue:
        degree, region = heappop(queue)
        if region in taken or degree != left[region]:
            continue  # it has fewer neighbours left by now, and stands in the queue with those
        taken.add(region)
        order.append(region)
        for other in beside[region] - taken:
            left[other] -= 1
            heappush(queue, (left[other], other))
    return order[::-1]


def _farthest(others: Ints, generator: np.random.Generator) -> Ints:
    """The corner whose nearest of the other colours is farthest away; one of the equally good ones."""
    apart = ((CORNERS[:, None] - others) ** 2).sum(axis=2).min(axis=1, initial=3 * 255**2)
    best: Ints = CORNERS[generator.choice(np.flatnonzero(apart == apart.max()))]
    return best


def contrasts(labels: Labels, colours: Pixels) -> Ints:
    """Squared distances in RGB between the colours of regions that touch.

    Args:
        labels: ``(H, W)``, the region of each pixel.
        colours: ``(n + 1, 3)`` uint8, by region.
    """
    pairs = borders(labels)[0]
    squared: Ints = ((colours[pairs[:, 0]].astype(np.int64) - colours[pairs[:, 1]]) ** 2).sum(axis=1)
    return squared
