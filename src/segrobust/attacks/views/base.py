"""The two kinds of views, because they act at two places, and how they are applied.

Pixel views act on resized pixels in [0, 1], and may make several copies of them; input views on the normalised, padded
input that the encoder sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from segrobust.attacks.motion import Motion, after, centres, sample
from segrobust.models.geometry import Geometry

Area = tuple[float, float, float, float]
"""Left, top, right and bottom edge of the photo in the model's input, in the coordinates of ``attacks.motion``."""

WHOLE: Area = (-1.0, -1.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Canvas:
    """What the encoder will see, and how the photo's content was moved on the way.

    Attributes:
        inputs: ``(n, 3, S, S)``.
        area: where the photo is, and not its padding.
        motion: None while nothing that targets should follow was moved.
    """

    inputs: Tensor
    area: Area = WHOLE
    motion: Motion | None = None

    def painted(self, inputs: Tensor) -> "Canvas":
        """With other values; the content stays where it was."""
        return replace(self, inputs=inputs)

    def moved(self, motion: Motion) -> "Canvas":
        """With the content moved; spatial targets will follow."""
        points = motion(centres(len(self.inputs), (self.inputs.shape[-2], self.inputs.shape[-1]), self.inputs))
        return replace(self, inputs=sample(self.inputs, points), motion=after(self.motion, motion))


class PixelView(Protocol):
    """Resized pixels ``(n, 3, h, w)`` in [0, 1] to one or several copies of each; draws from the generator."""

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Differentiable."""
        ...


class InputView(Protocol):
    """A canvas to one of as many transformed inputs; draws from the generator it is given."""

    def __call__(self, canvas: Canvas, generator: torch.Generator) -> Canvas:
        """Differentiable."""
        ...


def photo_area(geometry: Geometry, size: tuple[int, int]) -> Area:
    """Where a photo lies in the model's input of ``size`` (height, width)."""
    height, width = geometry.original
    corners = geometry.to_model(np.array([[0.0, 0.0], [width, height]]))
    (left, top), (right, bottom) = corners / np.array([size[1], size[0]]) * 2 - 1
    return float(left), float(top), float(right), float(bottom)


def apply_pixel_views(views: Sequence[PixelView], pixels: Tensor, generator: torch.Generator) -> Tensor:
    """All pixel views, one after the other."""
    for view in views:
        pixels = view(pixels, generator)
    return pixels


def apply_input_views(views: Sequence[InputView], canvas: Canvas, generator: torch.Generator) -> Canvas:
    """All input views, one after the other."""
    for view in views:
        canvas = view(canvas, generator)
    return canvas
