"""A few of a target's answers, shrunk and compressed: what a report draws. No score is made of them."""

from typing import Any

import numpy as np

from segrobust.evaluation.manifest import Manifest
from segrobust.types import RLE, Bools, Masks, decode_mask, encode_mask

SIDE = 560
"""The longer side of a report's pictures, in pixels."""
COUNT = 3
"""So many answers are kept of a photo, so that a thousand items with large photos take a few megabytes."""


def picture_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a photo's picture in a report, which is never enlarged."""
    scale = min(1.0, SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resample(mask: Bools, size: tuple[int, int]) -> Bools:
    """A mask ``(H, W)`` at another ``(height, width)``: the nearest pixel of each."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64) for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def choose_prompts(manifest: Manifest) -> list[int]:
    """The prompts whose answers are shown: of the largest masks one each, a point where there is one.

    Masks of more than half of the photo come last, since little else is seen below them. The choice depends on the
    manifest alone, so all attacks and all targets show the same.

    Returns:
        Places in the manifest's order, points first; :data:`COUNT` at most, and none that asks for an empty mask.
    """
    firsts: dict[int, int] = {}
    for place, mask in enumerate(manifest.asked.tolist()):
        firsts.setdefault(mask, place)
    areas = {mask: int(manifest.masks.areas[mask]) for mask in firsts}
    half = manifest.masks.size[0] * manifest.masks.size[1] / 2
    ranked = sorted((mask for mask in firsts if areas[mask]), key=lambda mask: (areas[mask] > half, -areas[mask], mask))
    return [firsts[mask] for mask in ranked[:COUNT]]


def shown_answers(manifest: Manifest, answers: Masks) -> dict[str, Any]:
    """The answers to those prompts, as plain values.

    Returns:
        ``prompts``, places in the manifest's order; ``size``, height and width of the pictures; ``counts``, for each
        prompt the COCO run lengths of its mask at that size.
    """
    size = picture_size((answers.size[0], answers.size[1]))
    chosen = choose_prompts(manifest)
    counts = [encode_mask(resample(answers.mask(place), size))["counts"] for place in chosen]
    return {"prompts": chosen, "size": list(size), "counts": counts}


def shown_mask(counts: str, size: tuple[int, int]) -> Bools:
    """A mask of :func:`shown_answers`, dense."""
    return decode_mask(RLE(size=list(size), counts=counts))
