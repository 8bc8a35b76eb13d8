"""What a target answered, over the photo: lightly filled, and outlined as the prompt that asked is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image as Pil
from scipy.ndimage import binary_dilation, binary_erosion

from segrobust.evaluation.shown import resample, shown_mask
from segrobust.types import Bools, Floats

HELD = 0.5
"""A prompt with an IoU above this is drawn as one that holds."""
HOLDS, FAILS = (0, 114, 178), (213, 94, 0)
FILL = 0.35
LINE = 2
DASH = 7


@dataclass(frozen=True, eq=False)
class Answer:
    """An answer to draw.

    Attributes:
        prompt: that asked, by its place in the manifest.
        mask: ``(h, w)``, of the picture's shape if not of its size.
        holds: whether it is what the prompt asks for.
    """

    prompt: int
    mask: Bools
    holds: bool

    @property
    def share(self) -> float:
        """Of the photo."""
        return float(self.mask.mean())


def answers_of(example: Mapping[str, Any], when: Literal["before", "after"]) -> list[Answer]:
    """The answers that an example keeps; none, where the run has kept none."""
    shown = example.get("shown")
    if not shown or shown[when] is None:
        return []
    ious = example["ious" if when == "after" else "ious_before"]
    size = shown["size"][0], shown["size"][1]
    found = []
    for prompt, counts in zip(shown["prompts"], shown[when], strict=True):
        iou = ious[prompt] if prompt < len(ious) else None
        if iou is not None:
            found.append(Answer(prompt, shown_mask(counts, size), iou > HELD))
    return found


def shade(picture: Pil.Image, answers: Sequence[Answer]) -> Pil.Image:
    """The picture with the answers over it: a whole outline for what holds, a broken one for what fails."""
    if not answers:
        return picture
    canvas = np.array(picture, np.float32)
    masks = [(resample(answer.mask, canvas.shape[:2]), answer.holds) for answer in answers]
    for mask, holds in masks:
        canvas[mask] = (1 - FILL) * canvas[mask] + FILL * _colour(holds)
    rows, columns = np.indices(canvas.shape[:2])
    dashes = (rows // DASH + columns // DASH) % 2 == 0
    for mask, holds in masks:
        inside = mask & ~binary_erosion(mask, iterations=LINE, border_value=1)
        canvas[binary_dilation(mask) & ~mask] = 255  # visible on any photo
        canvas[inside & (dashes | holds)] = _colour(holds)
    return Pil.fromarray(canvas.round().astype(np.uint8))


def covered(answers: Sequence[Answer]) -> str:
    """What is shaded, in words, for who cannot see it."""
    if not answers:
        return ""
    shares = [f"{100 * answer.share:.0f} %" for answer in answers]
    listed = shares[0] if len(shares) == 1 else f"{', '.join(shares[:-1])} and {shares[-1]}"
    to = "one prompt is" if len(shares) == 1 else f"{len(shares)} prompts are"
    what = "answer" if len(shares) == 1 else "answers"
    return f"; the {what} to {to} shaded, {listed} of the photo"


def _colour(holds: bool) -> Floats:
    return np.array(HOLDS if holds else FAILS, np.float64)
