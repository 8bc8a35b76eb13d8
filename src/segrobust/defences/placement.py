"""Where a photo lies in the picture that a defence shows instead, and the way back for what is found there."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from segrobust.models.geometry import Geometry, resize
from segrobust.types import Bools, Floats, Masks, Prompts, encode_mask


@dataclass(frozen=True)
class Placement:
    """A photo, resized and laid on a canvas.

    Attributes:
        original: ``(height, width)`` of the photo.
        resized: of the photo on the canvas.
        canvas: of the canvas.
        offset: ``(top, left)`` of the photo on the canvas.
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    canvas: tuple[int, int]
    offset: tuple[int, int]

    def __post_init__(self) -> None:
        for side, room, near in zip(self.resized, self.canvas, self.offset, strict=True):
            if near < 0 or near + side > room:
                raise ValueError(f"a photo of {self.resized} at {self.offset} leaves its canvas of {self.canvas}")

    @property
    def _scale(self) -> Floats:
        return np.array([self.resized[1] / self.original[1], self.resized[0] / self.original[0]])

    @property
    def _shift(self) -> Floats:
        return np.array([self.offset[1], self.offset[0]], np.float64)

    def put(self, images: Tensor, padding: float) -> Tensor:
        """Photos ``(n, 3, H, W)`` onto canvases of the colour ``padding``; bilinear with antialias."""
        top, left = self.offset
        below = self.canvas[0] - top - self.resized[0]
        right = self.canvas[1] - left - self.resized[1]
        return F.pad(resize(images, self.resized), (left, right, top, below), value=padding)

    def prompts(self, prompts: Prompts) -> Prompts:
        """The same prompts on the canvas: points by the centres of pixels, boxes by their edges."""
        points = self.edges(prompts.points + 0.5) - 0.5
        boxes = self.edges(prompts.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
        return Prompts(points, prompts.point_masks, boxes, prompts.box_masks)

    def edges(self, coordinates: Floats) -> Floats:
        """Coordinates ``(..., 2)`` xy of pixels' edges, from the photo to the canvas."""
        moved: Floats = coordinates * self._scale + self._shift
        return moved

    def back(self, masks: Masks) -> Masks:
        """Masks of the canvas as masks of the photo, with their scores; each pixel takes the one nearest to it."""
        rows, columns = (
            near + ((np.arange(side) + 0.5) * (small / side)).astype(np.int64)
            for side, small, near in zip(self.original, self.resized, self.offset, strict=True)
        )
        rles = [encode_mask(mask[rows[:, None], columns]) for mask in masks]
        points = (masks.points + 0.5 - self._shift) / self._scale - 0.5
        return Masks.from_rles(self.original, rles, masks.predicted_iou, masks.stability, points)


@dataclass(frozen=True, kw_only=True)
class PlacedGeometry(Geometry):
    """How a photo lies in a model's input when a canvas lies there, and the photo on the canvas.

    Attributes:
        inner: how the canvas lies in the model's input.
        placement: how the photo lies on the canvas.
    """

    inner: Geometry
    placement: Placement

    @classmethod
    def of(cls, inner: Geometry, placement: Placement) -> "PlacedGeometry":
        """The photo's, from the canvas's."""
        return cls(placement.original, inner.resized, inner.side, inner.enlarge, inner=inner, placement=placement)

    def to_model(self, coordinates: Floats) -> Floats:
        """The photo's pixels to the model's, by way of the canvas's."""
        return self.inner.to_model(self.placement.edges(coordinates))

    def restore(self, logits: Tensor) -> Tensor:
        """The model's logits to the canvas, cut out, and brought to the photo; bilinear."""
        (top, left), (height, width) = self.placement.offset, self.placement.resized
        canvas = self.inner.restore(logits)[..., top : top + height, left : left + width]
        return F.interpolate(canvas, self.placement.original, mode="bilinear", align_corners=False)


def vote(answers: list[Bools]) -> Bools:
    """The pixels that more than half of the masks ``(H, W)`` have."""
    counts = np.zeros(answers[0].shape, np.int32)
    for mask in answers:
        counts += mask
    more: Bools = counts > len(answers) // 2
    return more
