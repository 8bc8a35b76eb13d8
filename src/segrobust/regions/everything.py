"""Segment everything: all masks a segmenter finds on a photo when it is asked at every point of a grid."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from segrobust.errors import CapabilityError
from segrobust.models.base import EverythingSettings, Prediction, Segmenter
from segrobust.models.geometry import to_tensor
from segrobust.regions.boxes import Crop, box_nms, crop_boxes, cut_by_crop, point_grid, remove_small_regions
from segrobust.regions.windows import Restorer
from segrobust.types import RLE, Floats, Image, Masks, Prompts, decode_mask, encode_mask


class _Candidate(NamedTuple):
    """A mask that passed the filters; about the size of its RLE, so thousands can wait for the NMS."""

    rle: RLE
    box: tuple[int, int, int, int]  # in the photo, far edge inclusive
    predicted_iou: float
    stability: float
    point: tuple[float, float]
    crop: Crop


def segment_everything(segmenter: Segmenter, image: Image, settings: EverythingSettings | None = None) -> Masks:
    """Find the masks of a photo with a grid of point prompts.

    Source: SAM's automatic mask generator (Kirillov et al. 2023, arXiv 2304.02643, section 4 and appendix B); same
    rules, defaults and order. For the whole photo, and for each crop if there are crop layers: every grid point gives
    the model's masks (three for a SAM); kept are those with a high predicted IoU, a high stability score and, in a
    crop, away from the crop's inner edges; of masks with overlapping boxes the one with the highest predicted IoU
    stays. Then the same between crops, where the smaller crop wins. Then, if asked, small islands and holes are
    removed and duplicates dropped once more, where untouched masks win.

    Filters, boxes and stability are those of the full-resolution logits. Peak memory beyond the model is a few
    full-resolution planes: masks are restored one at a time, where they are (see ``windows``), and compressed at once.
    Where we differ from the source: empty masks are always dropped; the photo is resized in float (see ``geometry``).

    Args:
        segmenter: any model that takes point prompts.
        image: the photo.
        settings: defaults to ``segmenter.everything``. A threshold of 0 for predicted IoU or stability turns that
            filter off.

    Returns:
        The masks in the generator's order: by falling predicted IoU. With crop layers: small crops first, then as the
        crops were made, then by predicted IoU. With ``min_region_area``: masks the clean-up left alone come first,
        each part in the order above. ``points`` is the prompt that found the mask, in pixels of the photo. No masks
        found is an empty result, not an error.

    Raises:
        CapabilityError: the segmenter takes no points.
    """
    if not segmenter.capabilities.points:
        raise CapabilityError(
            f"model {segmenter.name!r} takes no point prompts, so it cannot be asked at a grid of points; "
            "use one that does, e.g. 'nano'"
        )
    settings = settings or segmenter.everything
    crops = crop_boxes(image.size, settings.crop_layers, settings.crop_overlap)
    with torch.no_grad():
        found = [c for crop in crops for c in _search(segmenter, image, crop, settings)]
    if len(crops) > 1:
        found = _suppress(found, (1 / c.crop.area for c in found), settings.crop_nms_threshold)
    if settings.min_region_area > 0:
        found = _clean(found, settings)
    return Masks.from_rles(
        image.size,
        [c.rle for c in found],
        predicted_iou=[c.predicted_iou for c in found],
        stability=[c.stability for c in found],
        points=[c.point for c in found],
    )


def _search(segmenter: Segmenter, image: Image, crop: Crop, settings: EverythingSettings) -> list[_Candidate]:
    """The masks of one crop, best first, after its own NMS."""
    pixels = image.pixels[crop.y0 : crop.y1, crop.x0 : crop.x1]
    embedding = segmenter.embed(to_tensor(pixels)[None])
    per_side = max(1, int(settings.points_per_side / settings.crop_points_divisor**crop.layer))
    points = point_grid(per_side, crop.size)
    found: list[_Candidate] = []
    restorer: Restorer | None = None
    for start in range(0, len(points), settings.points_per_batch):
        batch = points[start : start + settings.points_per_batch]
        prediction = segmenter.masks(embedding, Prompts.of(points=batch), multimask=True)
        height, width = prediction.logits.shape[-2:]
        restorer = restorer or Restorer(prediction.geometry, (height, width), prediction.logits.device)
        found += _filter(prediction, restorer, batch, crop, image.size, settings)
    return _suppress(found, (c.predicted_iou for c in found), settings.box_nms_threshold)


def _filter(
    prediction: Prediction,
    restorer: Restorer,
    points: Floats,
    crop: Crop,
    size: tuple[int, int],
    settings: EverythingSettings,
) -> list[_Candidate]:
    """The masks of one batch of prompts that pass the filters, cheapest filter first."""
    scores = prediction.predicted_iou.double().cpu().numpy()
    wanted = scores > settings.predicted_iou_threshold
    if settings.predicted_iou_threshold <= 0:
        wanted = np.ones_like(wanted)
    found = []
    for i, k in np.argwhere(wanted):
        window = restorer.window(prediction.logits[i, k], above=-settings.stability_offset)
        if window is None or (box := window.box()) is None:
            continue
        stability = window.stability(settings.stability_offset)
        in_photo = (box[0] + crop.x0, box[1] + crop.y0, box[2] + crop.x0, box[3] + crop.y0)
        if stability < settings.stability_threshold or cut_by_crop(in_photo, crop, size):
            continue
        rle = window.encode(size, (crop.x0, crop.y0))
        point = (float(points[i, 0]) + crop.x0, float(points[i, 1]) + crop.y0)
        found.append(_Candidate(rle, in_photo, float(scores[i, k]), stability, point, crop))
    return found


def _suppress(found: Sequence[_Candidate], scores: Iterable[float], threshold: float) -> list[_Candidate]:
    boxes = np.array([c.box for c in found], np.float64).reshape(-1, 4)
    return [found[i] for i in box_nms(boxes, np.array(list(scores), np.float64), threshold)]


def _clean(found: Sequence[_Candidate], settings: EverythingSettings) -> list[_Candidate]:
    """Remove small islands and holes, then drop the duplicates this makes; untouched masks win."""
    cleaned, untouched = [], []
    for candidate in found:
        mask, changed = remove_small_regions(decode_mask(candidate.rle), settings.min_region_area)
        if changed:
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            box = (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))
            candidate = candidate._replace(rle=encode_mask(mask), box=box)
        cleaned.append(candidate)
        untouched.append(float(not changed))
    return _suppress(cleaned, untouched, max(settings.box_nms_threshold, settings.crop_nms_threshold))
