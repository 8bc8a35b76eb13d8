"""Segment everything: all masks a segmenter finds on a photo when it is asked at every point of a grid."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from segrobust.errors import CapabilityError
from segrobust.models.base import EverythingFirst, EverythingSettings, Prediction, Promptable, Segmenter
from segrobust.models.geometry import to_tensor
from segrobust.models.windows import Restorer
from segrobust.regions.boxes import Crop, box_nms, crop_boxes, cut_by_crop, point_grid, remove_small_regions
from segrobust.types import RLE, Floats, Image, Masks, Prompts, decode_mask, encode_mask


class _Candidate(NamedTuple):
    """A mask that passed the filters: how to get it again, and what the NMS needs to know."""

    point: tuple[float, float]  # in the crop
    choice: int  # which of the answers to the point
    box: tuple[int, int, int, int]  # in the photo, far edge inclusive
    predicted_iou: float
    stability: float


class _Found(NamedTuple):
    """A mask that survived its crop's NMS."""

    rle: RLE
    box: tuple[int, int, int, int]  # in the photo, far edge inclusive
    predicted_iou: float
    stability: float
    point: tuple[float, float]  # in the photo
    crop: Crop


_Boxed = TypeVar("_Boxed", _Candidate, _Found)


def segment_everything(segmenter: Segmenter, image: Image, settings: EverythingSettings | None = None) -> Masks:
    """Find the masks of a photo with a grid of point prompts.

    Source: SAM's automatic mask generator (Kirillov et al. 2023, arXiv 2304.02643, section 4 and appendix B); same
    rules, defaults and order. For the whole photo, and for each crop if there are crop layers: every grid point gives
    the model's masks (three for a SAM); kept are those with a high predicted IoU, a high stability score and, in a
    crop, away from the crop's inner edges; of masks with overlapping boxes the one with the highest predicted IoU
    stays. Then the same between crops, where the smaller crop wins. Then, if asked, small islands and holes are
    removed and duplicates dropped once more, where untouched masks win.

    Filters, boxes and stability are those of the full-resolution logits, as in the source. But there thousands of masks
    wait, compressed, for the NMS; here only their boxes do, and the points of those that stay are asked once more.
    Masks are restored one at a time, only where they are (see ``models.windows``). So memory beyond the model is some
    planes of the photo and the result. Where we differ from the source: empty masks are always dropped; the photo is
    resized in float (see ``geometry``); asking again in another batch may move a logit by its float rounding.

    Args:
        segmenter: any model that takes point prompts. One that finds all masks by itself does so, by its own rules. One
            that shows no logits (a black box) is asked for its best answer at every point; without logits there is no
            stability score, so that filter is off, and so are crops.
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
    if not segmenter.capabilities.points and not isinstance(segmenter, EverythingFirst):
        raise CapabilityError(
            f"model {segmenter.name!r} takes no point prompts, so it cannot be asked at a grid of points; "
            "use one that does, e.g. 'nano'"
        )
    settings = settings or segmenter.everything
    if isinstance(segmenter, EverythingFirst):
        return segmenter.find_masks(image, settings)
    if isinstance(segmenter, Promptable):
        found = _ask_in_crops(segmenter, image, settings)
    else:
        found = _ask_at_grid(segmenter, image, settings)
    if settings.min_region_area > 0:
        found = _clean(found, settings)
    return Masks.from_rles(
        image.size,
        [c.rle for c in found],
        predicted_iou=[c.predicted_iou for c in found],
        stability=[c.stability for c in found],
        points=[c.point for c in found],
    )


def _ask_in_crops(segmenter: Promptable, image: Image, settings: EverythingSettings) -> list[_Found]:
    """The masks of the whole photo and of its crops, duplicates dropped."""
    crops = crop_boxes(image.size, settings.crop_layers, settings.crop_overlap)
    with torch.no_grad():
        found = [c for crop in crops for c in _search(segmenter, image, crop, settings)]
    if len(crops) > 1:
        found = _suppress(found, [1 / c.crop.area for c in found], settings.crop_nms_threshold)
    return found


def _ask_at_grid(segmenter: Segmenter, image: Image, settings: EverythingSettings) -> list[_Found]:
    """The best answers of a black box at a grid of points, duplicates dropped; a mask without a score passes."""
    whole = Crop(0, 0, image.width, image.height, 0)
    grid = point_grid(settings.points_per_side, image.size)
    found: list[_Found] = []
    for part in _batches(len(grid), settings.points_per_batch):
        answers = segmenter.answer(image, Prompts.of(points=grid[part]), "best")
        scores = answers.predicted_iou
        good = (answers.areas > 0) & ~(scores <= settings.predicted_iou_threshold)  # NaN passes
        if settings.predicted_iou_threshold <= 0:
            good = answers.areas > 0
        for i in np.flatnonzero(good):
            x0, y0, x1, y1 = answers.boxes[i].astype(int).tolist()
            point = (float(grid[part][i, 0]), float(grid[part][i, 1]))
            found.append(_Found(answers.rles[i], (x0, y0, x1 - 1, y1 - 1), float(scores[i]), np.nan, point, whole))
    # A mask without a score is as good as one of score 1: of equals the first in the grid stays.
    ranks = np.nan_to_num([item.predicted_iou for item in found], nan=1.0).tolist()
    return _suppress(found, ranks, settings.box_nms_threshold)


def _search(segmenter: Promptable, image: Image, crop: Crop, settings: EverythingSettings) -> list[_Found]:
    """The masks of one crop, best first, after its own NMS."""
    pixels = image.pixels[crop.y0 : crop.y1, crop.x0 : crop.x1]
    embedding = segmenter.embed(to_tensor(pixels)[None])
    restorer: Restorer | None = None
    candidates: list[_Candidate] = []
    per_side = max(1, int(settings.points_per_side / settings.crop_points_divisor**crop.layer))
    grid = point_grid(per_side, crop.size)
    for part in _batches(len(grid), settings.points_per_batch):
        prediction = segmenter.masks(embedding, Prompts.of(points=grid[part]), multimask=True)
        height, width = prediction.logits.shape[-2:]
        restorer = restorer or Restorer(prediction.geometry, (height, width), prediction.logits.device)
        candidates += _filter(prediction, restorer, grid[part], crop, image.size, settings)
    kept = _suppress(candidates, [c.predicted_iou for c in candidates], settings.box_nms_threshold)
    if restorer is None:
        return []
    found: list[_Found] = []
    for part in _batches(len(kept), settings.points_per_batch):
        prediction = segmenter.masks(embedding, Prompts.of(points=[c.point for c in kept[part]]), multimask=True)
        found += _compress(prediction, restorer, kept[part], crop, image.size)
    return found


def _filter(
    prediction: Prediction,
    restorer: Restorer,
    points: Floats,
    crop: Crop,
    size: tuple[int, int],
    settings: EverythingSettings,
) -> list[_Candidate]:
    """The masks of one batch of prompts that pass the filters, cheapest filter first."""
    scores = prediction.predicted_iou.cpu().double().numpy()
    wanted = scores > settings.predicted_iou_threshold
    if settings.predicted_iou_threshold <= 0:
        wanted = np.ones_like(wanted)
    passed = []
    for i, k in np.argwhere(wanted):
        window = restorer.window(prediction.logits[i, k], above=-settings.stability_offset)
        if window is None or (box := window.box()) is None:
            continue
        stability = window.stability(settings.stability_offset)
        placed = _in_photo(box, crop)
        if stability >= settings.stability_threshold and not cut_by_crop(placed, crop, size):
            point = (float(points[i, 0]), float(points[i, 1]))
            passed.append(_Candidate(point, int(k), placed, float(scores[i, k]), stability))
    return passed


def _compress(
    prediction: Prediction, restorer: Restorer, kept: Sequence[_Candidate], crop: Crop, size: tuple[int, int]
) -> list[_Found]:
    """The masks of candidates whose points were asked again."""
    found = []
    for logits, c in zip(prediction.logits, kept, strict=True):
        window = restorer.window(logits[c.choice], above=0)
        if window is None or (box := window.box()) is None:
            continue  # a mask of a few pixels, lost to the float rounding of another batch
        point = (c.point[0] + crop.x0, c.point[1] + crop.y0)
        rle = window.encode(size, (crop.x0, crop.y0))
        found.append(_Found(rle, _in_photo(box, crop), c.predicted_iou, c.stability, point, crop))
    return found


def _in_photo(box: tuple[int, int, int, int], crop: Crop) -> tuple[int, int, int, int]:
    return box[0] + crop.x0, box[1] + crop.y0, box[2] + crop.x0, box[3] + crop.y0


def _batches(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))


def _suppress(items: Sequence[_Boxed], scores: Sequence[float], threshold: float) -> list[_Boxed]:
    boxes = np.array([item.box for item in items], np.float64).reshape(-1, 4)
    return [items[i] for i in box_nms(boxes, np.array(scores, np.float64), threshold)]


def _clean(found: Sequence[_Found], settings: EverythingSettings) -> list[_Found]:
    """Remove small islands and holes, then drop the duplicates this makes; untouched masks win."""
    cleaned, untouched = [], []
    for item in found:
        mask, changed = remove_small_regions(decode_mask(item.rle), settings.min_region_area)
        if changed:
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            box = (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))
            item = item._replace(rle=encode_mask(mask), box=box)
        cleaned.append(item)
        untouched.append(float(not changed))
    return _suppress(cleaned, untouched, max(settings.box_nms_threshold, settings.crop_nms_threshold))
