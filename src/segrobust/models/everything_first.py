"""How a segmenter that finds all masks first answers prompts: by choosing among them, with FastSAM's rules.

Source: FastSAM (Zhao et al. 2023, arXiv 2306.12156, section 3.3) and its code, ``point_prompt`` and ``box_prompt``.
Masks stay compressed; one at a time is dense.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segrobust.types import RLE, Bools, Floats, Ints, Masks, encode_mask

POINT_RULES = ("union", "best")


def answer_points(masks: Masks, points: Floats, rule: str = "union") -> Masks:
    """One mask for each point.

    Source: FastSAM's ``point_prompt``. There the points of one call are united too; here each is asked on its own, as
    the scores need it, and a point outside the photo, an IndexError there, is in no mask.

    Args:
        masks: all masks found on the photo.
        points: ``(p, 2)`` xy in pixels of the photo; the pixel whose centre is nearest counts.
        rule: ``union`` (all masks that contain the point, FastSAM's rule; scored by the highest of their scores) or
            ``best`` (the one with the highest predicted IoU of them).

    Returns:
        p masks. No mask contains the point: an empty one, of score 0.

    Raises:
        ValueError: an unknown rule.
    """
    if rule not in POINT_RULES:
        raise ValueError(f"rule must be one of {', '.join(POINT_RULES)}, got {rule!r}")
    chosen = point_candidates(masks, points, None if rule == "union" else 1)
    return _gather(masks, chosen)


def answer_boxes(masks: Masks, boxes: Floats) -> Masks:
    """One mask for each box: that with the highest :func:`box_ious`.

    Source: FastSAM's ``box_prompt``. Where we differ: a box that meets no mask gets an empty answer, there the first
    mask of the list; a box whose far corner is at 0, an AssertionError there, is a box like any other.

    Args:
        masks: all masks found on the photo.
        boxes: ``(b, 4)`` xyxy in pixels of the photo.

    Returns:
        b masks. The box meets no mask: an empty one, of score 0.
    """
    return _gather(masks, box_candidates(masks, boxes, 1))


def point_candidates(masks: Masks, points: Floats, count: int | None = 3) -> list[Ints]:
    """Which masks contain each point, best first, as indices.

    Args:
        masks: all masks found on the photo.
        points: ``(p, 2)`` xy in pixels of the photo.
        count: at most so many for each (None: all).

    Returns:
        For each point the indices by falling predicted IoU (a mask without one comes last); of equals, as they lie in
        ``masks``.
    """
    scores = np.nan_to_num(masks.predicted_iou, nan=-np.inf)
    order = np.argsort(-scores, kind="stable")
    return [order[row[order]][:count] for row in contains(masks, points)]


def box_candidates(masks: Masks, boxes: Floats, count: int | None = 3) -> list[Ints]:
    """Which masks meet each box, by falling :func:`box_ious`, as indices; of equals, as they lie in ``masks``.

    Args:
        masks: all masks found on the photo.
        boxes: ``(b, 4)`` xyxy in pixels of the photo.
        count: at most so many for each (None: all).
    """
    found = []
    for row in box_ious(masks, boxes):
        order = np.argsort(-row, kind="stable")
        found.append(order[row[order] > 0][:count])
    return found


def contains(masks: Masks, points: Floats) -> Bools:
    """``(p, n)``: whether the pixel nearest to a point ``(p, 2)`` xy lies in a mask; false outside the photo."""
    height, width = masks.size
    x, y = (np.floor(np.asarray(points, np.float64).reshape(-1, 2) + 0.5).astype(np.int64)).T
    there = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    result = np.zeros((len(x), len(masks)), np.bool_)
    for i, mask in enumerate(masks):
        result[there, i] = mask[y[there], x[there]]
    return result


def box_ious(masks: Masks, boxes: Floats) -> Floats:
    """IoU of the pixels of each box and the pixels of each mask.

    Source: FastSAM's ``box_prompt``: overlap = mask pixels inside the box, union = box area + mask area - overlap,
    corners rounded to whole pixels and clipped to the photo. Where we differ: a side that rounds to nothing counts as
    one pixel, there the box has none.

    Args:
        masks: n masks of one photo.
        boxes: ``(b, 4)`` xyxy in pixels of the photo, far edge exclusive.

    Returns:
        ``(b, n)`` in [0, 1].
    """
    corners = _whole_pixels(np.asarray(boxes, np.float64).reshape(-1, 4), masks.size)
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    overlap = np.zeros((len(corners), len(masks)))
    for i, mask in enumerate(masks):
        overlap[:, i] = [np.count_nonzero(mask[y0:y1, x0:x1]) for x0, y0, x1, y1 in corners]
    result: Floats = overlap / np.maximum(areas[:, None] + masks.areas - overlap, 1)
    return result


def _whole_pixels(boxes: Floats, size: tuple[int, int]) -> NDArray[np.int64]:
    """Boxes with whole corners inside the photo and at least one pixel; one beside the photo becomes empty."""
    limits = np.array([size[1], size[0]], np.float64)
    near, far = np.rint(boxes[:, :2]), np.rint(boxes[:, 2:])
    far = np.where(far == near, near + 1, far)
    return np.concatenate([near.clip(0, limits), far.clip(0, limits)], axis=1).astype(np.int64)


def _gather(masks: Masks, chosen: Sequence[Ints]) -> Masks:
    """For each list of indices one mask: their union, with the highest of their scores."""
    empty = encode_mask(np.zeros(masks.size, np.bool_))
    rles = [_union([masks.rles[i] for i in which]) if len(which) else empty for which in chosen]
    scores = [float(masks.predicted_iou[which[0]]) if len(which) else 0.0 for which in chosen]
    return Masks.from_rles(masks.size, rles, predicted_iou=scores)


def _union(rles: Sequence[RLE]) -> RLE:
    if len(rles) == 1:
        return rles[0]
    from pycocotools import mask as coco

    merged = coco.merge([{"size": rle["size"], "counts": rle["counts"].encode("ascii")} for rle in rles])
    return RLE(size=[int(side) for side in merged["size"]], counts=merged["counts"].decode("ascii"))
