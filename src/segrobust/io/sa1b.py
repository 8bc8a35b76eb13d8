"""Masks in and out, in the JSON layout of SA-1B (one file per photo), which pycocotools reads."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from segrobust.errors import PhotoError
from segrobust.io.decoding import MAX_PIXELS
from segrobust.io.files import atomic_write_text
from segrobust.io.rle import segmentation_to_rle
from segrobust.types import Masks


def read_sa1b(path: Path | str, *, size: tuple[int, int] | None = None) -> Masks:
    """Read the masks of one photo, in the order of the file.

    Source: the SA-1B annotation files. Segmentations may be compressed RLE, uncompressed RLE (a list of counts) or
    polygons. Boxes and areas are computed from the pixels; those in the file are ignored, because SA-1B's boxes
    end at the last pixel (a 1-pixel-wide mask has width 0) and COCO's one further.

    Args:
        path: the JSON file.
        size: ``(height, width)`` of the photo the masks must fit; None = do not check.

    Returns:
        The masks; scores and points that are null or absent are NaN. Of several points the first is kept.

    Raises:
        PhotoError: the file is missing or not such JSON, a segmentation cannot be decoded (the message names the
            annotation's id), or the masks belong to a photo of another size.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PhotoError(f"{path}: {error.strerror or error}") from error
    masks = parse_sa1b(content, str(path))
    if size is not None and masks.size != tuple(size):
        found = masks.size
        raise PhotoError(f"{path}: masks are for a {found[0]} x {found[1]} photo, this one is {size[0]} x {size[1]}")
    return masks


def stop_at(message: str) -> NoReturn:
    """What is done about the first problem, unless all of them are to be listed: give up.

    Raises:
        PhotoError: always.
    """
    raise PhotoError(message)


def parse_sa1b(
    content: bytes, place: str, *, photo: str | None = None, report: Callable[[str], None] = stop_at
) -> Masks:
    """The masks in the bytes of an SA-1B annotation file, see :func:`read_sa1b`.

    Args:
        content: of the JSON file.
        place: what messages call the file.
        photo: the photo's file name; the one in the file, if any, must be the same up to the suffix. None = whatever.
        report: is told of every annotation that cannot be read; if it returns, that one is left out.

    Returns:
        The masks, in the order of the file.

    Raises:
        PhotoError: not such JSON; and what ``report`` makes of the rest.
    """
    document = _document(content, place)
    found = _size(place, document)
    meant = document["image"].get("file_name")
    if photo is not None and isinstance(meant, str) and Path(meant).stem != Path(photo).stem:
        report(f"{place}: its masks are for {meant!r}, not for {photo}; if they fit, correct its file_name")
    annotations = document.get("annotations")
    if not isinstance(annotations, list):
        raise PhotoError(f"{place}: no list of annotations")
    rles, predicted, stability, points = [], [], [], []
    for index, annotation in enumerate(annotations):
        try:
            rle = segmentation_to_rle(annotation["segmentation"], found)
            scores = _score(annotation, "predicted_iou"), _score(annotation, "stability_score")
            point = _point(annotation.get("point_coords"))
        except Exception as error:  # the content is anybody's: wrong types anywhere, and pycocotools raises many kinds
            report(f"{place}: annotation {_name(annotation, index)}: {reason_of(error)}")
            continue
        rles.append(rle)
        predicted.append(scores[0])
        stability.append(scores[1])
        points.append(point)
    return Masks.from_rles(found, rles, predicted_iou=predicted, stability=stability, points=points)


def reason_of(error: Exception) -> str:
    """Why an annotation cannot be read, in a line."""
    return "no segmentation" if isinstance(error, KeyError) else " ".join(str(error).split())


def write_sa1b(path: Path | str, masks: Masks, image_name: str, image_id: int = 0) -> Path:
    """Write masks in SA-1B's layout, atomically.

    The ids are 1 .. n. Boxes are COCO's XYWH (width = number of pixel columns; SA-1B's own are one less). The crop
    box is the whole photo. A score that is NaN becomes null, a point that is NaN an empty list.

    Args:
        path: the JSON file.
        masks: of one photo.
        image_name: the photo's file name.
        image_id: any integer.

    Returns:
        ``path``.

    Raises:
        MissingError: the folder cannot be written.
    """
    height, width = masks.size
    annotations = []
    for index, rle in enumerate(masks.rles):
        x1, y1, x2, y2 = masks.boxes[index].tolist()
        point = masks.points[index].tolist()
        annotations.append({
            "id": index + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": int(masks.areas[index]),
            "segmentation": {"size": [int(height), int(width)], "counts": rle["counts"]},
            "predicted_iou": _nan_to_null(masks.predicted_iou[index]),
            "stability_score": _nan_to_null(masks.stability[index]),
            "point_coords": [point] if all(map(math.isfinite, point)) else [],
            "crop_box": [0.0, 0.0, float(width), float(height)],
        })  # fmt: skip
    image = {"image_id": int(image_id), "width": int(width), "height": int(height), "file_name": image_name}
    return atomic_write_text(path, json.dumps({"image": image, "annotations": annotations}, allow_nan=False) + "\n")


def _document(content: bytes, place: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise PhotoError(f"{place}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise PhotoError(f"{place}: not an SA-1B file: a {type(document).__name__} instead of an object")
    return document


def _size(place: str, document: dict[str, Any]) -> tuple[int, int]:
    image = document.get("image")
    height, width = (image.get("height"), image.get("width")) if isinstance(image, dict) else (None, None)
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise PhotoError(f"{place}: the image entry must hold a positive height and width, got {height!r}, {width!r}")
    if height * width > MAX_PIXELS:
        raise PhotoError(f"{place}: masks of {height} x {width} pixels are over the limit of {MAX_PIXELS} pixels")
    return height, width


def _score(annotation: dict[str, Any], name: str) -> float:
    value = annotation.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or math.isinf(value)):
        raise ValueError(f"{name} must be a number or null, got {value!r}")
    return math.nan if value is None else float(value)


def _point(raw: Any) -> list[float]:
    if not raw:
        return [math.nan, math.nan]
    x, y = (float(value) for value in raw[0])
    return [x, y]


def _name(annotation: Any, index: int) -> str:
    has_id = isinstance(annotation, dict) and "id" in annotation
    return f"{annotation['id']}" if has_id else f"number {index + 1} (no id)"


def _nan_to_null(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
