"""The image with uniform noise: the gradient of a neighbourhood, one point of it at a time."""

from dataclasses import dataclass

import torch

from segrobust.attacks.updates.neighbours import uniform_around
from segrobust.attacks.views.base import Canvas


@dataclass(frozen=True)
class UniformNoise:
    """Noise drawn for every pixel and channel of every copy, ``U(-width, width)``.

    A gradient at a point near the image, as variance tuning (Wang and He, CVPR 2021) and SmoothGrad (Smilkov et al.,
    arXiv 1706.03825) have it; they average several for each step, here the steps' momentum does, at no further
    gradient. Pixels may leave [0, 1] by the noise, so that dark and bright places are as noisy as the others. The
    content stays where it is. As a pixel view it is added at the model's resolution, after scale copies in full.

    Attributes:
        width: share of the pixel range; at least 0.
    """

    width: float

    def __post_init__(self) -> None:
        if not 0 <= self.width <= 1:
            raise ValueError(f"noise must be in [0, 1], got {self.width}; write 8/255 for eight levels")

    def __call__(self, canvas: Canvas, generator: torch.Generator) -> Canvas:
        """Each copy with noise of its own."""
        return canvas.painted(uniform_around(canvas.values, self.width, generator))
