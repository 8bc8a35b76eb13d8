"""Two segmentations of everything on a photo, compared mask by mask: the original's and the attacked one's."""

import math

import numpy as np

from segrobust.evaluation.metrics import iou_table, match
from segrobust.types import Bools, Floats, Masks

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""IoU from which on a mask counts as found: COCO's 50:95."""

_RECALLS = np.linspace(0, 1, 101)


def compare_everything(reference: Masks, predicted: Masks) -> dict[str, int | float | None]:
    """What is left of a photo's masks.

    Args:
        reference: what segment everything finds on the original.
        predicted: on the attacked photo.

    Returns:
        ``masks_clean`` and ``masks_found``, their numbers; ``matched_miou``, see
        :func:`segrobust.evaluation.metrics.matched_miou`; ``map``, see :func:`mean_average_precision`. The last two
        are None if there is nothing on the original.
    """
    table, found = _tables(reference, predicted)
    values = {"matched_miou": match(table), "map": average_precision(table, found.predicted_iou)}
    scores: dict[str, int | float | None] = {"masks_clean": len(reference), "masks_found": len(predicted)}
    return scores | {name: None if math.isnan(value) else value for name, value in values.items()}


def mean_average_precision(reference: Masks, predicted: Masks) -> float:
    """COCO's average precision of one photo and one class, averaged over the IoU thresholds 0.50 to 0.95.

    Source: COCO's evaluation (Lin et al. 2014, arXiv 1405.0312, and pycocotools ``COCOeval`` with ``iouType="segm"``).
    By falling predicted IoU each mask takes the free reference mask it overlaps most; precision at 101 recalls. Where
    we differ: all masks count, not the first 100; the mean over photos is one of their values, not of one ranking of
    the masks of all photos.

    Args:
        reference: masks of the original; the empty ones are left out.
        predicted: masks with predicted IoUs, by which they are ranked; one without comes last.

    Returns:
        In [0, 1]; NaN without a reference mask.

    Raises:
        ValueError: photos of different sizes.
    """
    table, found = _tables(reference, predicted)
    return average_precision(table, found.predicted_iou)


def average_precision(table: Floats, scores: Floats) -> float:
    """See :func:`mean_average_precision`; from ``(predicted, reference)`` IoUs and the scores of the predicted."""
    if not table.shape[1]:
        return math.nan
    order = np.argsort(-scores, kind="stable")  # NaN comes last
    return float(np.mean([_precision(_hits(table[order], threshold), table.shape[1]) for threshold in THRESHOLDS]))


def _hits(table: Floats, threshold: float) -> Bools:
    """Which masks, best first, take a reference mask that overlaps at least so much."""
    free = np.ones(table.shape[1], np.bool_)
    hits = np.zeros(len(table), np.bool_)
    for i, row in enumerate(table):
        ious = np.where(free, row, -1.0)
        best = len(ious) - 1 - int(ious[::-1].argmax())  # of equals the last, as in the source
        if ious[best] >= threshold:
            hits[i], free[best] = True, False
    return hits


def _precision(hits: Bools, wanted: int) -> float:
    """The mean over 101 recalls of the highest precision at that recall or beyond."""
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    ahead = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(found / wanted, _RECALLS, side="left")
    return float(np.append(ahead, 0.0)[place].mean())


def _tables(reference: Masks, predicted: Masks) -> tuple[Floats, Masks]:
    """The IoU of all pairs of masks that are not empty, and the predicted ones among them."""
    found = predicted.select(np.flatnonzero(predicted.areas > 0))
    return iou_table(reference.select(np.flatnonzero(reference.areas > 0)), found), found
