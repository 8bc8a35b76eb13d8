"""models/geometry.py: where a thing lies on the photo, it lies after the way into the model and back."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from segrobust.models.geometry import SAM_MEAN, SAM_STD, Geometry, normalise_and_pad, resize, resized_size, to_tensor

SIDE = 256
STRIDE = 4
"""Model pixels per low-resolution mask logit."""

sides = st.integers(1, 700)
shares = st.floats(0.1, 0.9)


@pytest.mark.parametrize(
    ("size", "side", "wanted"),
    [
        ((1500, 2250), 1024, (683, 1024)),
        ((2250, 1500), 1024, (1024, 683)),
        ((222, 300), 256, (189, 256)),
        ((1, 1), 1024, (1024, 1024)),
        ((3, 3000), 1024, (1, 1024)),
        ((1, 30000), 256, (1, 256)),
    ],
)
def test_resized_size_by_hand(size: tuple[int, int], side: int, wanted: tuple[int, int]) -> None:
    assert resized_size(*size, side) == wanted


def ramp(axis: int, zero_at: float) -> torch.Tensor:
    """Logits growing along an axis of the model's input, zero at ``zero_at`` model pixels from its edge."""
    cells = (torch.arange(SIDE // STRIDE, dtype=torch.float32) + 0.5) * STRIDE - zero_at
    rows, columns = torch.meshgrid(cells, cells, indexing="ij")
    return (columns if axis == 0 else rows)[None, None]


@settings(max_examples=60)
@given(height=sides, width=sides, share=shares, axis=st.sampled_from([0, 1]))
@example(height=333, width=501, share=0.37, axis=0)  # odd
@example(height=501, width=333, share=0.37, axis=1)  # portrait
@example(height=5, width=7, share=0.5, axis=0)  # tiny, enlarged
@example(height=40, width=1300, share=0.8, axis=0)  # wide
@example(height=40, width=1300, share=0.5, axis=1)
@example(height=700, width=1, share=0.5, axis=1)  # a single column
def test_half_plane_comes_back_where_it_was(height: int, width: int, share: float, axis: int) -> None:
    geometry = Geometry.fit((height, width), SIDE)
    extent, length = ((geometry.resized[1], width), (geometry.resized[0], height))[axis]
    edge = share * length
    zero_at = float(geometry.to_model(np.array([edge, edge]))[axis])
    back = geometry.restore(ramp(axis, zero_at))
    assert back.shape == (1, 1, height, width)
    found = (back[0, 0] > 0).numpy()
    line = found[0] if axis == 0 else found[:, 0]
    assert (found == (line[None] if axis == 0 else line[:, None])).all()
    if not STRIDE / 2 <= zero_at <= extent - STRIDE / 2:
        return  # beyond the centre of the outermost logit there is nothing to interpolate
    centres = np.arange(length) + 0.5
    # A pixel whose centre is on the edge may fall on either side; the original pixel under a model pixel's
    # half width beside the border repeats the border.
    certain = np.abs(centres - edge) > 1e-3 * length
    assert (line == (centres > edge))[certain].all()


@settings(max_examples=60)
@given(height=sides, width=sides, x=shares, y=shares)
def test_points_stay_at_their_share_of_the_photo(height: int, width: int, x: float, y: float) -> None:
    geometry = Geometry.fit((height, width), SIDE)
    assert max(geometry.resized) == SIDE
    there = geometry.to_model(np.array([[x * width, y * height]]))
    np.testing.assert_allclose(there, [[x * geometry.resized[1], y * geometry.resized[0]]], rtol=1e-9)
    corners = geometry.to_model(np.array([[[0.0, 0.0], [width, height]]]))
    np.testing.assert_allclose(corners, [[[0, 0], [geometry.resized[1], geometry.resized[0]]]], rtol=1e-9)


@settings(max_examples=25)
@given(height=st.integers(1, 400), width=st.integers(1, 400), seed=st.integers(0, 2**32 - 1))
@example(height=399, width=31, seed=0)
@example(height=3, width=2, seed=0)
@example(height=300, width=1, seed=0)  # torch repeats the first pixel of a single column
@example(height=171, width=2, seed=0)  # and of a column that becomes one
@example(height=1, width=300, seed=0)
@example(height=1, width=1, seed=0)
def test_resize_is_within_one_level_of_pil_even_on_noise(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    size = resized_size(height, width, 128)
    by_pil = np.array(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR))
    own = resize(to_tensor(pixels)[None], size)[0].permute(1, 2, 0).numpy() * 255
    # Off by at most one level: PIL rounds to 8 bits after the rows and again after the columns.
    assert np.abs(own - by_pil).max() <= 1.01


def test_resize_is_linear() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand((2, 1, 3, 61, 97), generator=generator)
    torch.testing.assert_close(resize(a - 2 * b, (40, 64)), resize(a, (40, 64)) - 2 * resize(b, (40, 64)))


def test_padding_is_the_mean_colour_below_and_right() -> None:
    mean, std = torch.tensor(SAM_MEAN).view(3, 1, 1), torch.tensor(SAM_STD).view(3, 1, 1)
    padded = normalise_and_pad(torch.ones(2, 3, 5, 8), mean, std, 8)
    assert padded.shape == (2, 3, 8, 8)
    torch.testing.assert_close(padded[:, :, :5], ((1 - mean) / std).expand(2, 3, 5, 8))
    assert (padded[:, :, 5:] == 0).all()


def test_to_tensor_keeps_channels_and_places() -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[1, 2] = (255, 51, 0)
    tensor = to_tensor(pixels)
    assert tensor.shape == (3, 2, 3)
    torch.testing.assert_close(tensor[:, 1, 2], torch.tensor([1.0, 0.2, 0.0]))
    assert tensor.sum() == tensor[:, 1, 2].sum()
    tensor.zero_()
    assert pixels[1, 2, 0] == 255, "the photo must not share memory with what an attack writes to"
