"""The differentiable codec against the real one, the standard's tables, and kornia's."""

import kornia
import numpy as np
import pytest
import torch

from segrobust.defences.jpeg import Jpeg, differentiable, encode, tables
from segrobust.evaluation.metrics import psnr
from segrobust.io.images import read_image
from segrobust.models.geometry import to_tensor
from segrobust.randomness import stream

# ITU-T T.81, annex K.1, table K.1
LUMA = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip


@pytest.fixture(scope="module")
def coffee(root):
    return read_image(root / "examples" / "coffee.png").pixels[60:257, 100:401]


def surrogate(pixels, quality):
    values = differentiable(to_tensor(pixels)[None], quality)[0].permute(1, 2, 0).numpy() * 255
    return values.round().astype(np.uint8)


@pytest.mark.parametrize("quality", [1, 10, 30, 50, 75, 95, 100])
def test_the_tables_are_the_standards_scaled_by_libjpegs_rule(quality):
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    luma, chroma = tables(quality)
    np.testing.assert_array_equal(luma, np.clip((LUMA * percent + 50) // 100, 1, 255))
    assert chroma[0, 0] == np.clip((17 * percent + 50) // 100, 1, 255)


@pytest.mark.parametrize("quality", [95, 75, 50, 30])
def test_the_stand_in_is_close_to_the_codec(coffee, quality):
    real = Jpeg(quality).show(coffee, stream(0)).pixels
    assert psnr(surrogate(coffee, quality), real) > 45
    assert psnr(surrogate(coffee, quality), real) > psnr(coffee, real) + 3


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 5), (16, 16), (17, 33)])
def test_every_size(coffee, size):
    pixels = np.ascontiguousarray(coffee[: size[0], : size[1]])
    real = Jpeg(75).show(pixels, stream(0)).pixels
    assert real.shape == pixels.shape
    assert psnr(surrogate(pixels, 75), real) > 38


def test_it_is_closer_than_kornias(coffee):
    """Another differentiable codec (no rounding of its colours, blocky enlargement) is near, and further away."""
    real = Jpeg(75).show(coffee, stream(0)).pixels
    height, width = (side - side % 16 for side in coffee.shape[:2])
    part, real = coffee[:height, :width], real[:height, :width]
    other = kornia.enhance.jpeg_codec_differentiable(to_tensor(part)[None], torch.tensor([75.0]))
    theirs = (other[0].permute(1, 2, 0).numpy() * 255).round().clip(0, 255).astype(np.uint8)
    assert 30 < psnr(theirs, real) < psnr(surrogate(part, 75), real)


def test_what_is_scored_is_the_file(coffee):
    file = encode(coffee, 50)
    assert file[:2] == b"\xff\xd8"
    assert len(file) < len(encode(coffee, 95))
    real = Jpeg(50).show(coffee, stream(0)).pixels
    assert not np.array_equal(real, coffee)
    np.testing.assert_array_equal(real, Jpeg(50).show(coffee, stream(1)).pixels)


def test_the_gradient_sees_the_codecs_linear_part():
    """Rounding passes slopes on, so without clipping the slope of a channel's sum is exact: blocks keep means."""
    images = torch.full((1, 3, 16, 16), 0.5, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(differentiable(images, 50)[:, 1].sum(), images)
    torch.testing.assert_close(gradient.sum((2, 3)), torch.tensor([[0.0, 256.0, 0.0]]).double(), atol=1e-3, rtol=0)


def test_the_gradient_points_where_the_codec_goes(coffee):
    """A step along the gradient raises what it should raise, measured with the real codec."""
    pixels = coffee[:64, :64]
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 8, 8)).repeat(8, 2).repeat(8, 3)).float()

    def value(photo):
        return float((to_tensor(Jpeg(50).show(photo, stream(0)).pixels)[None] * weights).sum())

    images = to_tensor(pixels)[None].requires_grad_()
    (gradient,) = torch.autograd.grad((differentiable(images, 50) * weights).sum(), images)
    step = (8 * gradient[0].sign()).permute(1, 2, 0).numpy()
    there, back = (np.clip(pixels + s * step, 0, 255).astype(np.uint8) for s in (1, -1))
    assert value(back) < value(pixels) < value(there)
