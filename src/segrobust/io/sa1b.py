"""Masks in and out, in the JSON layout of SA-1B (one file per photo), which pycocotools reads."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from segrobust.errors import PhotoError
from segrobust.io.files import atomic_write_text
from segrobust.io.images import MAX_PIXELS
from segrobust.types import RLE, Masks, decode_mask, encode_mask


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
    document = _load(path)
    found = _size(path, document)
    if size is not None and found != tuple(size):
        raise PhotoError(f"{path}: masks are for a {found[0]} x {found[1]} photo, this one is {size[0]} x {size[1]}")
    annotations = document.get("annotations")
    if not isinstance(annotations, list):
        raise PhotoError(f"{path}: no list of annotations")
    rles, predicted, stability, points = [], [], [], []
    for index, annotation in enumerate(annotations):
        try:
            rles.append(_segmentation(annotation["segmentation"], found))
            predicted.append(_score(annotation, "predicted_iou"))
            stability.append(_score(annotation, "stability_score"))
            points.append(_point(annotation.get("point_coords")))
        except Exception as error:  # the content is anybody's: wrong types anywhere, and pycocotools raises many kinds
            reason = "no segmentation" if isinstance(error, KeyError) else " ".join(str(error).split())
            raise PhotoError(f"{path}: annotation {_name(annotation, index)}: {reason}") from error
    return Masks.from_rles(found, rles, predicted_iou=predicted, stability=stability, points=points)


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


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise PhotoError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise PhotoError(f"{path}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise PhotoError(f"{path}: not an SA-1B file: a {type(document).__name__} instead of an object")
    return document


def _size(path: Path, document: dict[str, Any]) -> tuple[int, int]:
    image = document.get("image")
    height, width = (image.get("height"), image.get("width")) if isinstance(image, dict) else (None, None)
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise PhotoError(f"{path}: the image entry must hold a positive height and width, got {height!r}, {width!r}")
    if height * width > MAX_PIXELS:
        raise PhotoError(f"{path}: masks of {height} x {width} pixels are over the limit of {MAX_PIXELS} pixels")
    return height, width


def _segmentation(raw: Any, size: tuple[int, int]) -> RLE:
    height, width = size
    if isinstance(raw, list):
        return _plain(coco.merge(coco.frPyObjects(_polygons(raw, max(size)), height, width)))
    if list(raw["size"]) != [height, width]:
        raise ValueError(f"mask of size {raw['size']}, image of size {[height, width]}")
    counts = raw["counts"]
    runs = _runs(counts) if isinstance(counts, str) else _run_list(counts)
    # pycocotools answers runs that do not fill the mask with uninitialised memory, so this is checked here.
    if runs.min(initial=0) < 0:
        raise ValueError(f"a run has a negative length, {int(runs.min())}")
    if runs.sum() != height * width:
        raise ValueError(f"runs cover {int(runs.sum())} pixels of {height * width}")
    rle = RLE(size=[height, width], counts=counts) if isinstance(counts, str) else _from_runs(runs, size)
    # Empty runs inside are legal, but pycocotools' IoU stops at them.
    return encode_mask(decode_mask(rle)) if (runs[1:] == 0).any() else rle


def _polygons(raw: list[Any], side: int) -> list[list[float]]:
    polygons = [np.asarray(polygon, dtype=np.float64) for polygon in raw]
    for polygon in polygons:
        if polygon.ndim != 1 or polygon.size < 6 or polygon.size % 2 or not np.isfinite(polygon).all():
            raise ValueError("a polygon is a list x1, y1, x2, y2, ... of at least three finite points")
        if np.abs(polygon).max() > 10 * side:  # pycocotools walks every pixel of the outline, and its ints overflow
            raise ValueError(f"a polygon reaches {np.abs(polygon).max():g}, far outside the photo")
    if not polygons:
        raise ValueError("an empty list of polygons")
    return [polygon.tolist() for polygon in polygons]


def _runs(counts: str) -> NDArray[np.int64]:
    """The run lengths of COCO's compressed string: 5 bits per character, later runs as differences."""
    codes = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - 48
    if codes.size == 0 or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError("counts is not a COCO run-length string")
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() > 6:
        raise ValueError("counts holds a run that is too long")
    place = 5 * (np.arange(codes.size) - np.repeat(starts, ends - starts + 1))
    runs: NDArray[np.int64] = np.add.reduceat((codes & 31) << place, starts)
    negative = codes[ends] & 16 != 0
    runs[negative] -= 1 << (place[ends[negative]] + 5)
    for first in (1, 2):  # from the fourth run on, each is stored as the difference to the one two before
        runs[first::2] = np.cumsum(runs[first::2])
    return runs


def _run_list(counts: Any) -> NDArray[np.int64]:
    if not isinstance(counts, list) or not all(type(count) is int and 0 <= count < 2**31 for count in counts):
        raise ValueError("counts must be a COCO string or a list of run lengths")
    return np.asarray(counts, dtype=np.int64)


def _from_runs(runs: NDArray[np.int64], size: tuple[int, int]) -> RLE:
    return _plain(coco.frPyObjects({"size": list(size), "counts": runs.tolist()}, *size))


def _plain(rle: Any) -> RLE:
    return RLE(size=[int(side) for side in rle["size"]], counts=rle["counts"].decode("ascii"))


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
