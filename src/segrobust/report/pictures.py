"""The photos of a report: before and after with their prompts, and the difference made visible."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image as Pil
from PIL import ImageDraw

from segrobust.evaluation.shown import picture_size
from segrobust.report.shading import FAILS, HELD, HOLDS, Answer, answers_of, covered, shade
from segrobust.types import Pixels, Prompts

GAIN = 10
NOTE = (
    f"Circles and whole boxes: prompts answered with IoU above {HELD}; crosses and broken boxes: the rest. "
    "Of each mask one box is drawn. Shaded: the model's answers to a few of the prompts, the points with a ring; a "
    "broken outline where the prompt fails. "
    f"The difference is {GAIN} times that of the saved file, around grey. Photos are shrunk for this page."
)


@dataclass(frozen=True, eq=False)
class Pair:
    """A photo before and after.

    Attributes:
        original: ``(H, W, 3)`` uint8.
        attacked: the same shape; None if it is not in the run folder any more.
        prompts: in pixels of the photo; None where there are none.
    """

    original: Pixels
    attacked: Pixels | None
    prompts: Prompts | None = None


class Pictures(Protocol):
    """Where a report finds its photos."""

    def pair(self, example: Mapping[str, Any]) -> Pair | str:
        """The photos of an example in results.json, or the reason why they cannot be shown."""


@dataclass(frozen=True)
class Panel:
    """A picture in the page.

    Attributes:
        source: a ``data:`` address.
        width: pixels.
        height: pixels.
        alt: what it shows, for who cannot see it.
        caption: under it.
    """

    source: str
    width: int
    height: int
    alt: str
    caption: str


def panels(pair: Pair, example: Mapping[str, Any]) -> list[Panel]:
    """Before, after and ten times the difference, of one example."""
    name = example["image"]
    before, after = example["ious_before"], example["ious"]
    answers = answers_of(example, "before")
    drawn = _marked(pair.original, pair.prompts, before, answers)
    told = f"The original photo {name}{_held(before)}{covered(answers)}"
    made = [_panel(drawn, told, f"Before{_held(before)}")]
    if pair.attacked is None:
        return made
    answers = answers_of(example, "after")
    drawn = _marked(pair.attacked, pair.prompts, after, answers)
    told = f"{name} under {example['attack']}{_held(after)}{covered(answers)}"
    made.append(_panel(drawn, told, f"After{_held(after)}"))
    change = f"at most {example['linf_255']}/255 per value" if example["linf_255"] is not None else "of unknown size"
    told = f"The difference of the two files, {GAIN} times enlarged, around grey: {change}"
    seen = difference(pair.original, pair.attacked)
    made.append(_panel(_shrunk(seen, Pil.Resampling.NEAREST), told, f"Difference × {GAIN} ({change})"))
    return made


def difference(original: Pixels, attacked: Pixels) -> Pixels:
    """The change of every value, :data:`GAIN` times, around grey (128)."""
    change = GAIN * (attacked.astype(np.int32) - original.astype(np.int32))
    return np.clip(128 + change, 0, 255).astype(np.uint8)


def _held(ious: Sequence[float | None]) -> str:
    scored = [iou for iou in ious if iou is not None]
    return f": {sum(iou > HELD for iou in scored)} of {len(scored)} prompts hold" if scored else ""


def _marked(
    pixels: Pixels, prompts: Prompts | None, ious: Sequence[float | None], answers: Sequence[Answer] = ()
) -> Pil.Image:
    """The photo, shrunk, with some answers, and its prompts in the colour and shape of what came of them."""
    small = shade(_shrunk(pixels, Pil.Resampling.LANCZOS), answers)
    if prompts is None or len(ious) != len(prompts):
        return small
    scale = small.width / pixels.shape[1]
    draw = ImageDraw.Draw(small)
    drawn: set[int] = set()
    split = len(prompts.points)
    for box, mask, iou in zip(prompts.boxes, prompts.box_masks, ious[split:], strict=True):
        if iou is not None and int(mask) not in drawn:
            drawn.add(int(mask))
            _draw_box(draw, [float(v) * scale for v in box], iou > HELD)
    ringed = {answer.prompt for answer in answers}
    for place, (point, iou) in enumerate(zip(prompts.points, ious[:split], strict=True)):
        if iou is not None:
            x, y = ((float(value) + 0.5) * scale for value in point)
            if place in ringed:
                draw.ellipse((x - 12, y - 12, x + 12, y + 12), outline="white", width=4)
                draw.ellipse((x - 11, y - 11, x + 11, y + 11), outline=HOLDS if iou > HELD else FAILS, width=2)
            _draw_point(draw, x, y, iou > HELD)
    return small


def _draw_point(draw: ImageDraw.ImageDraw, x: float, y: float, holds: bool) -> None:
    if holds:
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=HOLDS, outline="white", width=2)
        return
    for width, colour in ((6, "white"), (3, FAILS)):
        draw.line((x - 5, y - 5, x + 5, y + 5), fill=colour, width=width)
        draw.line((x - 5, y + 5, x + 5, y - 5), fill=colour, width=width)


def _draw_box(draw: ImageDraw.ImageDraw, box: Sequence[float], holds: bool) -> None:
    left, top, right, bottom = box
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline="white", width=4)  # visible on any photo
    if holds:
        draw.rectangle((left, top, right, bottom), outline=HOLDS, width=2)
        return
    sides = (
        (left, top, right, top),
        (right, top, right, bottom),
        (right, bottom, left, bottom),
        (left, bottom, left, top),
    )
    for x0, y0, x1, y1 in sides:
        length = max(1.0, abs(x1 - x0) + abs(y1 - y0))
        for start in np.arange(0, length, 14):
            a, b = start / length, min(1.0, (start + 8) / length)
            ends = (x0 + a * (x1 - x0), y0 + a * (y1 - y0), x0 + b * (x1 - x0), y0 + b * (y1 - y0))
            draw.line(ends, fill=FAILS, width=3)


def _shrunk(pixels: Pixels, how: Pil.Resampling) -> Pil.Image:
    picture = Pil.fromarray(pixels)
    height, width = picture_size((picture.height, picture.width))
    return picture if (width, height) == picture.size else picture.resize((width, height), how)


def _panel(picture: Pil.Image, alt: str, caption: str) -> Panel:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=85, optimize=True)
    source = "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")
    return Panel(source, picture.width, picture.height, alt, caption)
