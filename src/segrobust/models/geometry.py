"""Between the original photo and a model's square input: resize, normalise, pad, and the way back.

Everything is differentiable and works on batches. SAM's rule: scale the long side to the model's size, bilinear
with antialias, normalise, then pad with zeros at the bottom and right.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

SAM_MEAN = (123.675 / 255, 116.28 / 255, 103.53 / 255)
SAM_STD = (58.395 / 255, 57.12 / 255, 57.375 / 255)


def resized_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """The size after scaling the long side to ``long_side``, rounded as SAM does; never below one pixel."""
    scale = long_side / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize ``(B, C, H, W)`` to ``size``: bilinear with antialias, as PIL's but in float.

    Within 1/255 of PIL on 8-bit photos. Without the antialias a 2250-pixel photo would differ by 12/255,
    more than the attacks this package measures.
    """
    if images.shape[-2:] == size:
        return images
    if size[1] == 1 < size[0]:  # torch's antialiased resize to a single column repeats its first pixel
        return resize(images.mT.contiguous(), size[::-1]).mT
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


@dataclass(frozen=True)
class Geometry:
    """How one photo lies in a model's input.

    Attributes:
        original: ``(height, width)`` of the photo.
        resized: ``(height, width)`` after scaling, before padding.
        side: side of the square input.
        enlarge: whether mask logits are brought to the model's input before they are brought to the photo (SAM), or go
            straight to the photo (SAM 2).
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    side: int
    enlarge: bool = True

    @classmethod
    def fit(cls, original: tuple[int, int], side: int) -> "Geometry":
        """The geometry of a photo of size ``original`` in a square of ``side``."""
        return cls(original, resized_size(*original, side), side)

    @classmethod
    def stretch(cls, original: tuple[int, int], side: int) -> "Geometry":
        """The geometry of a photo that is stretched to the whole square, whatever its shape (SAM 2, EfficientSAM)."""
        return cls(original, (side, side), side, enlarge=False)

    def to_model(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Original-pixel coordinates ``(..., 2)`` xy to model pixels."""
        scale = np.array([self.resized[1] / self.original[1], self.resized[0] / self.original[0]])
        scaled: NDArray[np.float64] = coordinates * scale
        return scaled

    def restore(self, logits: Tensor) -> Tensor:
        """Low-resolution mask logits ``(n, k, h, w)`` to the original resolution ``(n, k, H, W)``.

        Enlarged to the model's input and cropped to the photo (if ``enlarge``), then resized to the photo; bilinear.
        """
        if self.enlarge:
            logits = F.interpolate(logits, (self.side, self.side), mode="bilinear", align_corners=False)
            logits = logits[..., : self.resized[0], : self.resized[1]]
        return F.interpolate(logits, self.original, mode="bilinear", align_corners=False)


def normalise_and_pad(pixels: Tensor, mean: Tensor, std: Tensor, side: int) -> Tensor:
    """Pixels ``(B, 3, h, w)`` in [0, 1] to a model's input ``(B, 3, side, side)``; padding is zero, the mean colour."""
    height, width = pixels.shape[-2:]
    return F.pad((pixels - mean) / std, (0, side - width, 0, side - height))


def to_tensor(pixels: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """``(H, W, 3)`` uint8 to ``(3, H, W)`` float32 in [0, 1]."""
    moved = torch.from_numpy(pixels.copy()).to(device)
    return moved.permute(2, 0, 1).to(torch.float32).div_(255).contiguous()
