"""What is said between segrobust and an HTTP endpoint: JSON, described in docs/black-boxes.md.

An answer comes from elsewhere, so nothing of it is believed before it is checked; run lengths least of all, since
pycocotools reads past its memory where they do not add up.
"""

import base64
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image

from segrobust.errors import AnswerError, ModelError
from segrobust.io.rle import run_lengths
from segrobust.types import RLE, Image, Masks, Prompts, encode_mask

REQUEST = "segrobust-segment/1"
ANSWER = "segrobust-masks/1"
CAPABILITIES = "segrobust-capabilities/1"


def encode_photo(image: Image) -> dict[str, Any]:
    """The field ``image`` of a request: size, and the pixels as a PNG in base64."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(image.pixels).save(buffer, "PNG", compress_level=1)
    return {"height": image.height, "width": image.width, "png": base64.b64encode(buffer.getvalue()).decode("ascii")}


def make_request(photo: dict[str, Any], prompts: Prompts | None, rule: str) -> bytes:
    """A request.

    Args:
        photo: from :func:`encode_photo`.
        prompts: what to segment, in the photo's pixels; None asks for everything.
        rule: ``single`` or ``best``.
    """
    document: dict[str, Any] = {"schema": REQUEST, "image": photo}
    if prompts is None:
        document["ask"] = "everything"
    else:
        document |= {"ask": "prompts", "points": prompts.points.tolist(), "boxes": prompts.boxes.tolist(), "rule": rule}
    return json.dumps(document).encode()


def read_answer(body: bytes, size: tuple[int, int], count: int | None, who: str) -> Masks:
    """The masks of an answer.

    Args:
        body: as received.
        size: height and width of the photo.
        count: how many masks were asked for (None: any number).
        who: for the message.

    Raises:
        AnswerError: it is not what the contract says; the message names the part.
    """
    try:
        document = _object(body)
        if document.get("schema") != ANSWER:
            raise ValueError(f"schema must be {ANSWER!r}, got {document.get('schema')!r}")
        masks = document.get("masks")
        if not isinstance(masks, list):
            raise ValueError(f"masks must be a list, got {type(masks).__name__}")
        if count is not None and len(masks) != count:
            raise ValueError(f"{len(masks)} masks for {count} prompts; one for each is needed")
        rles = [_read_mask(mask, i, size) for i, mask in enumerate(masks)]
        return Masks.from_rles(size, rles, predicted_iou=_read_scores(document.get("scores"), len(rles)))
    except ValueError as error:
        raise AnswerError(f"{who} answered what is no answer: {' '.join(str(error).split())[:300]}") from error


def read_capabilities(body: bytes, who: str) -> dict[str, bool]:
    """What an endpoint says it can do; empty if it says nothing of the kind.

    Raises:
        ModelError: it does, but not as the contract says.
    """
    try:
        document = _object(body)
    except ValueError:
        return {}
    schema = document.get("schema")
    if not isinstance(schema, str) or not schema.startswith("segrobust-capabilities/"):
        return {}
    if schema != CAPABILITIES:
        raise ModelError(f"{who} speaks {schema!r}, this version {CAPABILITIES!r}")
    said: dict[str, bool] = {kind: document[kind] for kind in ("points", "boxes", "everything") if kind in document}
    wrong = {kind: value for kind, value in said.items() if not isinstance(value, bool)}
    if wrong:
        raise ModelError(f"{who}: capabilities must be true or false, got {wrong}")
    return said


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError(f"not JSON: {body[:80]!r}") from None
    if not isinstance(document, dict):
        raise ValueError(f"a JSON object is needed, got {type(document).__name__}")
    return document


def _read_scores(scores: Any, count: int) -> list[float] | None:
    if scores is None:
        return None
    if not isinstance(scores, list) or len(scores) != count:
        raise ValueError(f"scores must be a list of {count} numbers, got {str(scores)[:80]}")
    for score in scores:
        if score is not None and (type(score) not in (int, float) or not np.isfinite(score)):
            raise ValueError(f"a score must be a number or null, got {score!r}")
    return [np.nan if score is None else float(score) for score in scores]


def _read_mask(mask: Any, index: int, size: tuple[int, int]) -> RLE:
    """A COCO RLE, compressed (a string) or not (a list); null is an empty mask."""
    if mask is None:
        return encode_mask(np.zeros(size, np.bool_))
    if not isinstance(mask, dict):
        raise ValueError(f"mask {index} must be a COCO RLE or null, got {type(mask).__name__}")
    if mask.get("size") != list(size):
        raise ValueError(f"mask {index} has size {mask.get('size')}, the photo {list(size)} (height, width)")
    counts = mask.get("counts")
    if isinstance(counts, str):
        _check_runs(run_lengths(counts).tolist(), index, size)
        return RLE(size=list(size), counts=counts)
    if isinstance(counts, list):
        _check_runs(counts, index, size)
        from pycocotools import mask as coco

        packed = coco.frPyObjects({"size": list(size), "counts": counts}, *size)
        return RLE(size=list(size), counts=packed["counts"].decode("ascii"))
    raise ValueError(f"mask {index}: counts must be a string or a list, got {type(counts).__name__}")


def _check_runs(runs: Sequence[Any], index: int, size: tuple[int, int]) -> None:
    if not all(type(run) is int and run >= 0 for run in runs):
        raise ValueError(f"mask {index}: run lengths must be whole numbers from 0")
    if sum(runs) != size[0] * size[1]:
        raise ValueError(f"mask {index}: run lengths add up to {sum(runs)}, the photo has {size[0] * size[1]} pixels")
