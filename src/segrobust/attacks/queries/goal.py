"""What a query attack wants, and what it asks to know how far it is."""

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco

from segrobust.attacks.objectives.questions import Box
from segrobust.attacks.queries.prior import Prior
from segrobust.errors import UsageError
from segrobust.models.base import Segmenter
from segrobust.types import Masks, Prompts


@dataclass(frozen=True)
class LoseTheAnswers:
    """The answers to fixed prompts shall have little in common with those on the photo: their mean IoU.

    Attributes:
        queries: how often the target is asked at most, the question about the photo itself included.
        side: prompts on a grid of so many points squared over the photo; boxes, if the target takes no points.
        click: xy in pixels of the photo: this prompt instead of the grid.
        box: xyxy, likewise.
        prior: whose gradients may be followed, if anybody's.
    """

    queries: int
    side: int = 4
    click: tuple[float, float] | None = None
    box: Box | None = None
    prior: Prior | None = None

    def __post_init__(self) -> None:
        if self.queries < 2:
            raise UsageError(f"queries must be at least 2 (the photo, and one other), got {self.queries}")
        if self.side < 1:
            raise UsageError(f"side must be at least 1, got {self.side}")

    @property
    def needs(self) -> tuple[str, ...]:
        """What the table of attacks says."""
        return ("queries", self.prior.needs) if self.prior else ("queries",)

    def prompts(self, segmenter: Segmenter, size: tuple[int, int]) -> Prompts:
        """What is asked of every photo, in its pixels.

        Args:
            segmenter: is asked what it takes.
            size: height and width of the photo.

        Raises:
            UsageError: a prompt outside the photo, or the segmenter takes no prompts.
        """
        height, width = size
        if self.click is not None or self.box is not None:
            corners = np.reshape([*(self.click or ()), *(self.box or ())], (-1, 2))
            if (corners < 0).any() or (corners > [width, height]).any():
                raise UsageError(f"the prompt at {tuple(corners[0])} is outside the photo of {width}x{height} pixels")
            return Prompts.of(points=[self.click] if self.click else (), boxes=[self.box] if self.box else ())
        x, y = np.meshgrid(np.arange(self.side) * width / self.side, np.arange(self.side) * height / self.side)
        corner = np.stack([x.ravel(), y.ravel()], axis=1)
        cell = np.array([width, height]) / self.side
        if segmenter.capabilities.points:
            return Prompts.of(points=np.clip(corner + cell / 2 - 0.5, 0, [width - 1, height - 1]))
        if segmenter.capabilities.boxes:
            return Prompts.of(boxes=np.concatenate([corner, corner + cell], axis=1))
        raise UsageError(f"model {segmenter.name!r} takes neither points nor boxes, so there is nothing to ask it")


def mean_iou(clean: Masks, found: Masks) -> float:
    """The mean IoU of masks with those of the same prompts: two empty ones agree (1), one alone is all wrong (0)."""
    ious = []
    for i, (wanted, got) in enumerate(zip(clean.areas > 0, found.areas > 0, strict=True)):
        both = bool(wanted and got)
        ious.append(coco.iou([_raw(found, i)], [_raw(clean, i)], [0])[0, 0] if both else float(wanted == got))
    return float(np.mean(ious))


def _raw(masks: Masks, index: int) -> dict[str, object]:
    rle = masks.rles[index]
    return {"size": rle["size"], "counts": rle["counts"].encode("ascii")}
