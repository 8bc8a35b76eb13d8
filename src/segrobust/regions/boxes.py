"""Boxes of segment everything: crops, the point grid, the edge rule, non-maximum suppression, region clean-up.

The rules are those of SAM's automatic mask generator (Kirillov et al. 2023, arXiv 2304.02643, appendix B), written
anew in numpy. Boxes in this file are ``xyxy`` with an *inclusive* far edge, as the generator compares them.
"""

from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segrobust.types import Bools, Floats, Ints

EDGE_TOLERANCE = 20
"""Pixels: a box this close to a crop's edge counts as cut by it."""


class Crop(NamedTuple):
    """One crop of the photo in pixels, far edges exclusive; layer 0 is the whole photo."""

    x0: int
    y0: int
    x1: int
    y1: int
    layer: int

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def area(self) -> int:
        """Pixels."""
        return self.size[0] * self.size[1]


def crop_boxes(size: tuple[int, int], layers: int, overlap: float) -> list[Crop]:
    """The whole photo, then for each layer i = 1 .. ``layers`` a grid of ``2**i x 2**i`` overlapping crops.

    Args:
        size: ``(height, width)`` of the photo.
        layers: crop layers besides the whole photo, >= 0.
        overlap: how much neighbours overlap in layer 1, as a share of the photo's short side; halved in each layer.

    Returns:
        The crops, larger ones first; within a layer column by column.
    """
    height, width = size
    crops = [Crop(0, 0, width, height, 0)]
    for layer in range(1, layers + 1):
        n = 2**layer
        shared = int(overlap * min(size) * 2 / n)
        crop_height, crop_width = (ceil((shared * (n - 1) + side) / n) for side in size)
        for x in range(n):
            for y in range(n):
                x0, y0 = x * (crop_width - shared), y * (crop_height - shared)
                if x0 < width and y0 < height:  # a photo of a few pixels has no room for every crop
                    crops.append(Crop(x0, y0, min(x0 + crop_width, width), min(y0 + crop_height, height), layer))
    return crops


def point_grid(per_side: int, size: tuple[int, int]) -> Floats:
    """``(per_side**2, 2)`` xy points, half a cell from the border, row by row, in pixels of a crop of ``size``."""
    steps = (np.arange(per_side) + 0.5) / per_side
    x, y = np.meshgrid(steps * size[1], steps * size[0])
    return np.stack([x.ravel(), y.ravel()], axis=1)


def cut_by_crop(box: tuple[int, int, int, int], crop: Crop, size: tuple[int, int]) -> bool:
    """Whether a side of ``box`` lies on the same side of its crop, where the photo goes on beyond.

    Args:
        box: xyxy in the photo, far edge inclusive.
        crop: where the mask was found.
        size: ``(height, width)`` of the photo.
    """
    sides = np.array(box)
    near_crop = np.abs(sides - crop[:4]) <= EDGE_TOLERANCE
    near_photo = np.abs(sides - (0, 0, size[1], size[0])) <= EDGE_TOLERANCE
    return bool(np.any(near_crop & ~near_photo))


def box_nms(boxes: NDArray[np.float64], scores: NDArray[np.float64], threshold: float) -> Ints:
    """Greedy non-maximum suppression: a box goes if its IoU with a better box that stays is above ``threshold``.

    Args:
        boxes: ``(n, 4)`` xyxy.
        scores: ``(n,)``; of equal scores the earlier box is the better one.
        threshold: IoU in [0, 1].

    Returns:
        Indices of the boxes that stay, best first. Equal boxes overlap wholly, also if they are one pixel wide and so
        have no area (where the usual rule, 0 / 0, would keep every copy); otherwise a box without area overlaps none.
    """
    order = np.argsort(-scores, kind="stable")
    corners = np.ascontiguousarray(boxes[order].T)
    areas = (corners[2] - corners[0]) * (corners[3] - corners[1])
    alive = np.ones(len(order), np.bool_)
    for i in range(len(order)):
        if not alive[i]:
            continue
        x0, y0, x1, y1 = corners[:, i + 1 :]
        width = np.minimum(x1, corners[2, i]) - np.maximum(x0, corners[0, i])
        height = np.minimum(y1, corners[3, i]) - np.maximum(y0, corners[1, i])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        union = areas[i + 1 :] + areas[i] - shared
        # Not shared > threshold * union: the division rounds the same way for every scale of the boxes.
        equal = (corners[:, i + 1 :] == corners[:, i : i + 1]).all(axis=0).astype(np.float64)
        iou = np.divide(shared, union, out=equal, where=union > 0)
        alive[i + 1 :] &= iou <= threshold
    kept: Ints = order[alive].astype(np.int64)
    return kept


def remove_small_regions(mask: Bools, area: int) -> tuple[Bools, bool]:
    """Fill holes, then drop islands, of fewer than ``area`` pixels (8-connected).

    As in SAM's generator, a hole is any small piece of background, also one at the border of the photo; and when
    every island is small, the largest stays.

    Args:
        mask: ``(H, W)`` bool, at least one pixel set.
        area: pixels.

    Returns:
        The cleaned mask, and whether there was anything small (a lone small island counts, though it stays).
    """
    holes = ndimage.label(~mask, structure=np.ones((3, 3)))[0]
    small_hole = np.bincount(holes.ravel()) < area
    small_hole[0] = False
    filled = mask | small_hole[holes]
    islands = ndimage.label(filled, structure=np.ones((3, 3)))[0]
    sizes = np.bincount(islands.ravel())
    sizes[0] = 0
    stays = sizes >= area
    changed = bool(small_hole.any() or not stays[1:].all())
    stays[sizes.argmax()] = True
    stays[0] = False
    return stays[islands], changed
