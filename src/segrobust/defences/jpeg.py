"""JPEG: the real codec when a photo is scored, and a small differentiable one for gradients."""

from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor
from torch.nn import functional as F

from segrobust.defences.base import Defence, Draws, Shown, rounded
from segrobust.types import Pixels

# JFIF 1.02 (ITU-T T.871), section 7: full-range RGB to Y, Cb, Cr; and its inverse
TO_YCC = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


@dataclass(frozen=True)
class Jpeg(Defence):
    """Saved as JPEG and read again: baseline, colours at half the resolution (4:2:0).

    Source: Dziugaite, Ghahramani and Roy 2016 (arXiv 1608.00853); Guo et al., ICLR 2018 (arXiv 1711.00117). For
    gradients: Shin and Song 2017, with straight-through rounding instead of a polynomial.

    Attributes:
        quality: 1 to 100, as of libjpeg.
    """

    quality: int

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality must be 1 to 100, got {self.quality}")

    @property
    def name(self) -> str:
        """E.g. ``jpeg-q75``."""
        return f"jpeg-q{self.quality}"

    def show(self, pixels: Pixels, generator: np.random.Generator) -> Shown:
        """Pillow's codec."""
        with Pillow.open(BytesIO(encode(pixels, self.quality)), formats=["JPEG"]) as photo:
            return Shown(np.array(photo.convert("RGB"), dtype=np.uint8))

    def surrogate(self, images: Tensor, generator: Draws) -> Tensor:
        """See :func:`differentiable`."""
        return differentiable(images, self.quality)


def encode(pixels: Pixels, quality: int) -> bytes:
    """A JPEG file of ``(H, W, 3)`` uint8."""
    file = BytesIO()
    Pillow.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return file.getvalue()


@cache
def tables(quality: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The codec's own quantisation tables ``(8, 8)`` of a quality, as it writes them: of Y, and of the colours."""
    with Pillow.open(BytesIO(encode(np.zeros((8, 8, 3), np.uint8), quality)), formats=["JPEG"]) as photo:
        found = photo.quantization  # type: ignore[attr-defined]  # of JPEG files
    luma, chroma = (np.array(found[i], np.float64).reshape(8, 8) for i in (0, 1))
    return luma, chroma


def differentiable(images: Tensor, quality: int) -> Tensor:
    """What the codec makes of images, with a gradient.

    Every step of the codec is there, with its rounding, straight-through on the way back: RGB to YCbCr, colours
    at half the resolution, the DCT of 8 x 8 blocks, quantisation by the codec's tables, and back, where colours are
    enlarged with libjpeg's triangle filter.

    Args:
        images: ``(n, 3, H, W)`` float in [0, 1].
        quality: 1 to 100.

    Returns:
        The same shape and range. On 8-bit photos within a level of the codec's for nine pixels of ten; the rest is
        libjpeg's integer arithmetic.
    """
    height, width = images.shape[-2:]
    padded = F.pad(images * 255, (0, -width % 16, 0, -height % 16), mode="replicate")
    ycc = rounded(_colours(rounded(padded), TO_YCC))
    luma, chroma = tables(quality)
    brightness = _blocks(ycc[:, :1] - 128, luma) + 128
    half = F.avg_pool2d(ycc[:, 1:], 2)
    turns = half.new_tensor([-0.01, 0.01]).repeat(half.shape[-1] // 2)  # libjpeg rounds halves down and up by turns
    small = _blocks(rounded(half + turns), chroma)
    near = small[..., : (height + 1) // 2, : (width + 1) // 2]
    colours = rounded(F.interpolate(near, scale_factor=2.0, mode="bilinear", align_corners=False))
    decoded = torch.cat([brightness[..., :height, :width], colours[..., :height, :width]], dim=1)
    return rounded(_colours(decoded, TO_RGB)).clamp(0, 255) / 255


def _colours(images: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """Every pixel's three values by a matrix."""
    return torch.einsum("ij,njhw->nihw", images.new_tensor(matrix), images)


def _blocks(channels: Tensor, table: NDArray[np.float64]) -> Tensor:
    """Channels around 0, through the quantised DCT of their blocks and back, as whole numbers in [-128, 127].

    ``(n, c, 8 a, 8 b)`` to the same.
    """
    n, c, height, width = channels.shape
    k = torch.arange(8, dtype=channels.dtype, device=channels.device)
    basis = torch.cos((2 * k + 1) * k[:, None] * (torch.pi / 16)) / 2  # ITU-T T.81, A.3.3
    basis[0] /= 2**0.5
    steps = torch.from_numpy(table).to(channels)
    blocks = channels.view(n, c, height // 8, 8, width // 8, 8).transpose(3, 4)
    quantised = rounded(basis @ blocks @ basis.T / steps) * steps
    restored = (basis.T @ quantised @ basis).transpose(3, 4).reshape(n, c, height, width)
    return rounded(restored).clamp(-128, 127)
