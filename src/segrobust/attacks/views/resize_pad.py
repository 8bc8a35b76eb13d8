"""DIM: the image made a little smaller, at a random place."""

from dataclasses import dataclass

import torch

from segrobust.attacks.motion import affine
from segrobust.attacks.views.base import Canvas


@dataclass(frozen=True)
class ResizePad:
    """The image resized to a random size and padded at a random place (DI2-FGSM, Xie et al., CVPR 2019).

    The authors resize 299 pixels to 299 to 330, pad to 330, and their network takes any size; here, as in later
    implementations, the result is brought back to the encoder's size. Both together are one shrinking to between
    ``1 / rate`` and 1, read once from the image (bilinear). Outside is zero: on pixels black, as the authors pad.
    Spatial targets follow.

    Attributes:
        rate: the padded size as a share of the original; 1.1.
        probability: that a copy is changed at all.
    """

    rate: float = 1.1
    probability: float = 0.5

    def __post_init__(self) -> None:
        if not self.rate > 1:
            raise ValueError(f"rate must be more than 1, got {self.rate}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability must be in [0, 1], got {self.probability}")

    def __call__(self, canvas: Canvas, generator: torch.Generator) -> Canvas:
        """Each image to a size and a place of its own."""
        drawn = torch.rand((len(canvas), 4), generator=generator)
        changed = drawn[:, 0] < self.probability
        if not changed.any():
            return canvas
        share = torch.where(changed, (1 + (self.rate - 1) * drawn[:, 1]) / self.rate, 1.0)
        place = (2 * drawn[:, 2:] - 1) * (1 - share)[:, None]
        turn = torch.eye(2).expand(len(canvas), 2, 2) / share[:, None, None]
        return canvas.moved(affine(torch.cat([turn, -(place / share[:, None])[..., None]], dim=2)))
