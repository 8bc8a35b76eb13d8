"""What is asked of a segmenter."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segrobust.types.arrays import Floats, Ints, frozen


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts for one image; each asks for one mask.

    Attributes:
        points: ``(p, 2)`` xy, one positive click each.
        point_masks: ``(p,)`` index of the mask each point asks for.
        boxes: ``(b, 4)`` xyxy.
        box_masks: ``(b,)`` index of the mask each box asks for.
    """

    points: Floats
    point_masks: Ints
    boxes: Floats
    box_masks: Ints

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.points.shape[1] != 2 or self.point_masks.shape != self.points.shape[:1]:
            raise ValueError(
                f"points must be (p, 2) with p mask ids, got {self.points.shape}, {self.point_masks.shape}"
            )
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4 or self.box_masks.shape != self.boxes.shape[:1]:
            raise ValueError(f"boxes must be (b, 4) with b mask ids, got {self.boxes.shape}, {self.box_masks.shape}")
        if not (np.isfinite(self.points).all() and np.isfinite(self.boxes).all()):
            raise ValueError("points and boxes must be finite")
        if np.any(self.boxes[:, 2:] < self.boxes[:, :2]):
            bad = self.boxes[np.any(self.boxes[:, 2:] < self.boxes[:, :2], axis=1)][0]
            raise ValueError(f"boxes are xyxy: x1 <= x2 and y1 <= y2, got {bad.tolist()}")
        for name in ("points", "point_masks", "boxes", "box_masks"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    @classmethod
    def of(
        cls,
        points: Sequence[Sequence[float]] | Floats = (),
        boxes: Sequence[Sequence[float]] | Floats = (),
        point_masks: Sequence[int] | Ints | None = None,
        box_masks: Sequence[int] | Ints | None = None,
    ) -> "Prompts":
        """Prompts from plain sequences; without mask ids they are numbered 0, 1, 2 ..."""
        p = np.asarray(points, np.float64) if len(points) else np.zeros((0, 2))
        b = np.asarray(boxes, np.float64) if len(boxes) else np.zeros((0, 4))
        p_ids = np.arange(len(p)) if point_masks is None else np.asarray(point_masks, np.int64)
        b_ids = np.arange(len(b)) if box_masks is None else np.asarray(box_masks, np.int64)
        return cls(p, p_ids.astype(np.int64), b, b_ids.astype(np.int64))

    def __len__(self) -> int:
        return len(self.points) + len(self.boxes)
