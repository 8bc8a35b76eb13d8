"""How well each answer agrees with the right one: IoU, boundary IoU, precision, recall, F1, outline displacement."""

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco

from segrobust.evaluation.boundaries import boundary_displacement, boundary_of
from segrobust.evaluation.metrics import prompt_ious
from segrobust.types import RLE, Floats, Masks, decode_mask, encode_mask


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Scores of n prompts, each ``(n,)`` and in [0, 1] but for the last; NaN where there was nothing to ask for.

    Attributes:
        iou: intersection over union.
        boundary_iou: the same of the boundary regions alone, see :func:`segrobust.evaluation.boundaries.boundary_of`.
        precision: share of the answer that is right.
        recall: share of what is right that is in the answer.
        f1: their harmonic mean, also called Dice.
        displacement: how far apart the two outlines are, in pixels of the photo; NaN also where one of the masks is
            empty, see :func:`segrobust.evaluation.boundaries.boundary_displacement`.
    """

    iou: Floats
    boundary_iou: Floats
    precision: Floats
    recall: Floats
    f1: Floats
    displacement: Floats


def overlaps(
    reference: Masks, predicted: Masks, *, both_empty: float | None, boundaries: Masks | None = None
) -> Overlaps:
    """All scores of each prediction with its own reference.

    One rule for empty masks holds for all of them but the displacement, that of
    :func:`segrobust.evaluation.metrics.prompt_ious`. So nothing found where there is something has a precision of 0,
    not of 0 / 0: an attack that makes a mask vanish does not raise the mean. Such a mask has no displacement, which is
    therefore read beside the IoU.

    Args:
        reference: n masks, one per prompt.
        predicted: n masks of the same photo.
        both_empty: the score of two empty masks; None skips every prompt whose reference is empty.
        boundaries: those of the reference, where they are known already.

    Raises:
        ValueError: different numbers of masks, or photos of different sizes.
    """
    iou = prompt_ious(reference, predicted, both_empty=both_empty)
    rims = boundary_of(reference) if boundaries is None else boundaries
    boundary_iou = prompt_ious(rims, boundary_of(predicted), both_empty=both_empty)
    common = np.array([_intersection(*pair) for pair in zip(reference.rles, predicted.rles, strict=True)], np.float64)

    def share(whole: Floats) -> Floats:
        # Of nothing at all the ratio is undefined; there the IoU is 0, 1 or NaN, and so are the others.
        ratio: Floats = np.where((reference.areas > 0) & (predicted.areas > 0), common / np.maximum(whole, 1), iou)
        return ratio

    precision, recall = share(predicted.areas.astype(np.float64)), share(reference.areas.astype(np.float64))
    f1 = share((predicted.areas + reference.areas) / 2)
    return Overlaps(iou, boundary_iou, precision, recall, f1, boundary_displacement(reference, predicted))


def without(masks: Masks, void: RLE | None) -> Masks:
    """The masks without the pixels of which nobody knows what they are; columns of scores are kept.

    Args:
        masks: of one photo.
        void: the unknown pixels; None changes nothing.

    Raises:
        ValueError: the void is of another size.
    """
    if void is None:
        return masks
    if tuple(void["size"]) != tuple(masks.size):
        raise ValueError(f"the void has size {void['size']}, the masks {list(masks.size)}")
    known = _raw(encode_mask(~decode_mask(void)))
    kept = [coco.merge([_raw(rle), known], intersect=True) for rle in masks.rles]
    rles = [RLE(size=[int(side) for side in rle["size"]], counts=rle["counts"].decode("ascii")) for rle in kept]
    return Masks.from_rles(masks.size, rles, masks.predicted_iou, masks.stability, masks.points)


def _intersection(a: RLE, b: RLE) -> int:
    return int(coco.area(coco.merge([_raw(a), _raw(b)], intersect=True)))


def _raw(rle: RLE) -> dict[str, object]:
    return {"size": rle["size"], "counts": rle["counts"].encode("ascii")}
