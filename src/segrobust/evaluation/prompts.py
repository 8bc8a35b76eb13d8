"""Prompts for scoring: drawn once per photo, kept in a manifest that every attack and every model shares."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segrobust.errors import UsageError
from segrobust.types import Bools, Floats, Image, Masks, Prompts

SCHEMA = "segrobust.prompts/1"


def by_predicted_iou(masks: Masks) -> Masks:
    """The masks sorted by predicted IoU, highest first; equal ones keep their order, NaN comes last."""
    return masks.select(np.argsort(-masks.predicted_iou, kind="stable"))


def draw_prompts(
    masks: Masks,
    generator: np.random.Generator,
    *,
    limit: int = 10,
    points_per_mask: int = 5,
    boxes_per_mask: int = 3,
) -> Prompts:
    """Clicks inside the masks and jittered boxes around them.

    Source: the protocol of UAD (CVPR 2024) and RGA (arXiv 2411.02974, ``eval.py``). For each of the first ``limit``
    masks in the order given: points uniform among the mask's pixels, without replacement; boxes with the centre of
    the mask's box, width and height each times its own U(0.9, 1.1), clipped to the photo.

    Differs from the source: the factors are real numbers, where the official code draws whole pixels and fails on a
    mask one pixel wide; a mask with fewer pixels than points is drawn from with replacement; masks with no pixels are
    skipped, not replaced by later ones; and the numbers come from ``generator``, in the order of the masks, so that
    a smaller ``limit`` gives the beginning of the same prompts.

    Args:
        masks: what the prompts ask for; a mask's index here is its id in the prompts.
        generator: e.g. ``stream(seed, photo.fingerprint, "prompts")``.
        limit: how many masks are asked for at most, >= 1.
        points_per_mask: >= 0.
        boxes_per_mask: >= 0.

    Returns:
        Points and boxes in pixels of the photo, mask by mask; none if all masks are empty.

    Raises:
        UsageError: a count is out of range, or no prompts were asked for.
    """
    if limit < 1 or points_per_mask < 0 or boxes_per_mask < 0 or points_per_mask + boxes_per_mask < 1:
        raise UsageError(
            "limit must be at least 1 and one of points_per_mask, boxes_per_mask too, neither negative; "
            f"got {limit}, {points_per_mask}, {boxes_per_mask}"
        )
    asked = [index for index in range(min(limit, len(masks))) if masks.areas[index] > 0]
    points, boxes = [np.zeros((0, 2))], [np.zeros((0, 4))]
    for index in asked:
        points.append(_points_inside(masks.mask(index), points_per_mask, generator))
        boxes.append(_boxes_around(masks.boxes[index], boxes_per_mask, masks.size, generator))
    return Prompts(
        points=np.concatenate(points),
        point_masks=np.repeat(np.asarray(asked, np.int64), points_per_mask),
        boxes=np.concatenate(boxes),
        box_masks=np.repeat(np.asarray(asked, np.int64), boxes_per_mask),
    )


def _points_inside(mask: Bools, count: int, generator: np.random.Generator) -> Floats:
    pixels = np.flatnonzero(mask)
    chosen = pixels[generator.choice(pixels.size, count, replace=pixels.size < count)]
    return np.stack([chosen % mask.shape[1], chosen // mask.shape[1]], axis=1).astype(np.float64)


def _boxes_around(box: Floats, count: int, size: tuple[int, int], generator: np.random.Generator) -> Floats:
    centre, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    half = sides * generator.uniform(0.9, 1.1, (count, 2)) / 2
    corners = np.concatenate([centre - half, centre + half], axis=1)
    height, width = size
    clipped: Floats = np.clip(corners, 0, [width, height, width, height])
    return clipped


def join_prompts(parts: Sequence[Prompts]) -> Prompts:
    """Several sets of prompts as one: the points of all of them, then the boxes of all of them."""
    none = Prompts.of()
    every = [none, *parts]
    return Prompts(
        points=np.concatenate([p.points for p in every]),
        point_masks=np.concatenate([p.point_masks for p in every]),
        boxes=np.concatenate([p.boxes for p in every]),
        box_masks=np.concatenate([p.box_masks for p in every]),
    )


def split_answers(answers: Masks, parts: Sequence[Prompts]) -> list[Masks]:
    """The answers to :func:`join_prompts`, set by set: points first, then boxes.

    Raises:
        ValueError: not one answer for each prompt.
    """
    if len(answers) != sum(map(len, parts)):
        raise ValueError(f"one answer per prompt, got {len(answers)} for {sum(map(len, parts))} prompts")
    point, box = 0, sum(len(p.points) for p in parts)
    split = []
    for part in parts:
        points, boxes = len(part.points), len(part.boxes)
        split.append(answers.select([*range(point, point + points), *range(box, box + boxes)]))
        point, box = point + points, box + boxes
    return split


def prompts_to_json(
    prompts: Prompts, *, image: Image | None = None, about: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The manifest of a photo's prompts: plain lists and numbers, ready for ``json.dumps``, exact on the way back.

    Args:
        prompts: points, boxes and the masks they ask for.
        image: the photo; its name, size and fingerprint are noted, so that a foreign manifest can be refused.
        about: how they were drawn (seed, reference, limit ...); kept as it is, must be JSON.
    """
    photo = None
    if image is not None:
        photo = {"name": image.name, "size": [image.height, image.width], "fingerprint": image.fingerprint}
    return {
        "schema": SCHEMA,
        "image": photo,
        "about": dict(about or {}),
        "points": prompts.points.tolist(),
        "point_masks": prompts.point_masks.tolist(),
        "boxes": prompts.boxes.tolist(),
        "box_masks": prompts.box_masks.tolist(),
    }


def prompts_from_json(document: Mapping[str, Any], *, image: Image | None = None) -> Prompts:
    """The prompts of a manifest.

    Args:
        document: what :func:`prompts_to_json` made.
        image: if given, and the manifest notes a photo, it must be this one.

    Raises:
        UsageError: another schema, another photo, or content that is not prompts.
    """
    schema = document.get("schema") if isinstance(document, Mapping) else None
    if schema != SCHEMA:
        raise UsageError(f"not a prompt manifest: schema must be {SCHEMA!r}, got {schema!r}")
    try:
        noted = (document.get("image") or {}).get("fingerprint")
        prompts = Prompts.of(
            points=_rows(document["points"], 2),
            boxes=_rows(document["boxes"], 4),
            point_masks=_ids(document["point_masks"]),
            box_masks=_ids(document["box_masks"]),
        )
    except KeyError as error:
        raise UsageError(f"prompt manifest: {error.args[0]!r} is missing") from error
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"prompt manifest: {error}") from error
    if image is not None and noted is not None and noted != image.fingerprint:
        raise UsageError(f"prompt manifest: made for another photo than {image.name} (the pixels differ)")
    return prompts


def _rows(rows: Any, width: int) -> list[list[float]]:
    for row in rows:
        if len(row) != width or not all(type(value) in (int, float) for value in row):
            raise ValueError(f"expected rows of {width} numbers, got {row!r}")
    return [list(row) for row in rows]


def _ids(ids: Any) -> list[int]:
    if not all(type(value) is int and value >= 0 for value in ids):
        raise ValueError(f"mask ids must be whole numbers from 0, got {ids!r}")
    return list(ids)
