"""What views are, and how they are applied.

A view changes what the encoder sees before the gradient is taken. Views act at two places: pixel views on resized
pixels in [0, 1], input views on the normalised, padded input.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from segrobust.attacks.motion import Motion, after, centres, inside, sample
from segrobust.models.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Canvas:
    """What the encoder will see, and how the photo's content was moved on the way.

    Attributes:
        values: ``(n, 3, h, w)``: pixels, or prepared input.
        motion: from where they are to where they were; None while nothing that targets should follow was moved.
    """

    values: Tensor
    motion: Motion | None = None

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.values.shape[-2]), int(self.values.shape[-1])

    def painted(self, values: Tensor) -> "Canvas":
        """With other values; the content stays where it was."""
        return replace(self, values=values)

    def copied(self, copies: Tensor) -> "Canvas":
        """Several copies of all, ``(copies, n, 3, h, w)``."""
        motion, count = self.motion, copies.shape[1]

        def repeated(points: Tensor) -> Tensor:
            assert motion is not None
            return torch.cat([motion(part) for part in points.split(count)])

        return Canvas(copies.flatten(0, 1), None if motion is None else repeated)

    def moved(self, motion: Motion) -> "Canvas":
        """With the content moved; spatial targets will follow."""
        points = motion(centres(len(self), self.size, self.values))
        return Canvas(sample(self.values, points), after(self.motion, motion))


class View(Protocol):
    """One canvas to another, perhaps with several copies; draws from the generator, on the CPU."""

    def __call__(self, canvas: Canvas, generator: torch.Generator) -> Canvas:
        """Differentiable."""
        ...


def apply_views(views: Sequence[View], canvas: Canvas, generator: torch.Generator) -> Canvas:
    """All views, one after the other."""
    for view in views:
        canvas = view(canvas, generator)
    return canvas


def into_input(motion: Motion | None, geometry: Geometry, size: tuple[int, int]) -> Motion | None:
    """The motion of a photo's pixels as one of the model's input of ``size`` (height, width); its padding stays."""
    if motion is None:
        return None
    height, width = geometry.original
    corners = geometry.to_model(np.array([[0.0, 0.0], [width, height]]))
    low, high = torch.from_numpy(corners / np.array([size[1], size[0]]) * 2 - 1).float()
    return inside(motion, low, high)
