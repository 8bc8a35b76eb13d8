"""Filters against other libraries, closed forms, and their gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.restoration import denoise_tv_chambolle
from torch.autograd import gradcheck

from segrobust.defences import base, filters
from segrobust.defences.filters import Bits, Blur, DownUp, Median, Noise
from segrobust.defences.names import make_defence
from segrobust.defences.total_variation import TotalVariation
from segrobust.randomness import stream

FILTERS = ("blur-s0.5", "blur-s2", "median-3", "median-5", "bits-3", "downup-0.5", "noise-s0.05", "tv-w0.05")
SIZES = ((1, 1), (1, 7), (9, 1), (5, 4), (31, 46))


def photo(size=(31, 46), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def as_images(pixels, dtype=torch.float64):
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(dtype) / 255


def shown(defence, pixels, seed=0):
    return defence.show(pixels, stream(seed)).pixels


@pytest.mark.parametrize("sigma", [0.5, 1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_blur_is_scipys(sigma, size):
    pixels = photo(size)
    radius = int(np.ceil(3 * sigma))
    expected = ndimage.gaussian_filter(pixels / 255, (sigma, sigma, 0), mode="nearest", radius=(radius, radius, 0))
    found = Blur(sigma).filtered(as_images(pixels), None)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_kernel_of_a_blur_has_the_side_that_is_promised():
    for sigma, side in ((0.5, 5), (1, 7), (2, 13)):
        dot = torch.zeros(1, 3, 41, 41, dtype=torch.float64)
        dot[..., 20, 20] = 1
        reached = torch.nonzero(Blur(sigma).filtered(dot, None)[0, 0])
        assert (reached.amax(0) - reached.amin(0) + 1).tolist() == [side, side]


@pytest.mark.parametrize("side", [3, 5, 7])
@pytest.mark.parametrize("size", SIZES)
def test_median_is_scipys(side, size):
    pixels = photo(size)
    expected = ndimage.median_filter(pixels, (side, side, 1), mode="nearest")
    np.testing.assert_array_equal(shown(Median(side), pixels), expected)


def test_a_median_of_many_parts_is_the_median(monkeypatch):
    pixels = photo()
    whole = shown(Median(3), pixels)
    monkeypatch.setattr(filters, "CHUNK", 200)  # one row at a time
    np.testing.assert_array_equal(shown(Median(3), pixels), whole)


@pytest.mark.parametrize("bits", [1, 3, 4, 5, 7])
def test_bits_in_closed_form(bits):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    steps = 2**bits - 1
    expected = np.round(np.round(ramp.astype(np.float64) * steps / 255) * 255 / steps)
    found = shown(Bits(bits), ramp)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found)) == 2**bits
    np.testing.assert_array_equal(shown(Bits(bits), found), found)  # twice is once


def test_bits_are_straight_through():
    images = torch.rand(1, 3, 4, 5, requires_grad=True)
    weights = torch.rand(1, 3, 4, 5)
    (gradient,) = torch.autograd.grad((Bits(3).surrogate(images, None) * weights).sum(), images)
    torch.testing.assert_close(gradient, weights)


def test_down_and_up_keeps_what_is_flat_and_loses_what_is_fine():
    flat = np.full((20, 30, 3), 77, np.uint8)
    np.testing.assert_array_equal(shown(DownUp(0.5), flat), flat)
    fine = (np.indices((20, 30)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    inside = shown(DownUp(0.5), fine)[4:-4, 4:-4].astype(int)
    assert abs(inside - 127.5).max() < 30


def test_noise_has_its_strength_and_stays_in_range():
    grey = np.full((200, 200, 3), 128, np.uint8)
    noise = (shown(Noise(0.05), grey).astype(float) - 128) / 255
    assert noise.std() == pytest.approx(0.05, rel=0.02)
    assert abs(noise.mean()) < 0.001
    black = shown(Noise(0.05), np.zeros((50, 50, 3), np.uint8))
    assert 0.4 < (black == 0).mean() < 0.6


def test_the_middle_of_all_noise_is_none():
    images = torch.rand(1, 3, 4, 5)
    torch.testing.assert_close(Noise(0.1).surrogate(images, None), images)


@pytest.mark.parametrize("weight", [0.03, 0.1])
@pytest.mark.parametrize("size", [(1, 7), (9, 1), (31, 46)])
def test_total_variation_is_scikit_images(weight, size):
    pixels = photo(size)
    images = as_images(pixels)
    # its first iteration has no step yet, so 31 of its are 30 of ours; eps < 0 keeps it from stopping before
    expected = [denoise_tv_chambolle(c.numpy(), weight=weight, eps=-1e9, max_num_iter=31) for c in images[0]]
    found = TotalVariation(weight).filtered(images, None)[0].numpy()
    np.testing.assert_allclose(found, np.clip(np.stack(expected), 0, 1), atol=1e-6)


def test_total_variation_of_a_stripe_in_closed_form():
    """A step edge between two plateaus of n columns: each moves towards the other by weight / n (one dimension)."""
    images = torch.zeros(1, 3, 1, 8, dtype=torch.float64)
    images[..., 4:] = 1
    found = TotalVariation(0.05).filtered(images, None)
    np.testing.assert_allclose(found[0, 0, 0, :4], 0.05 / 4, atol=3e-3)
    np.testing.assert_allclose(found[0, 0, 0, 4:], 1 - 0.05 / 4, atol=3e-3)
    assert float(found[0, 0, 0, :4].mean()) == pytest.approx(0.05 / 4, abs=1e-4)


@pytest.mark.parametrize("name", ["blur-s1", "downup-0.5", "resize-pad", "tv-w0.05"])
def test_gradients_are_those_of_finite_differences(name):
    defence = make_defence(name)
    images = torch.from_numpy(np.random.default_rng(1).uniform(0.2, 0.8, (1, 1, 3, 4))).requires_grad_()
    assert gradcheck(lambda x: defence.surrogate(x, stream(3)), (images,), eps=1e-6, atol=1e-5)


def test_a_median_is_its_windows_mean_on_the_way_back():
    images = torch.rand(1, 3, 6, 7, requires_grad=True)
    weights = torch.rand(1, 3, 6, 7)
    (gradient,) = torch.autograd.grad((Median(3).surrogate(images, None) * weights).sum(), images)
    spread = ndimage.correlate(np.pad(weights[0].numpy(), ((0, 0), (2, 2), (2, 2))), np.full((1, 3, 3), 1 / 9))
    np.testing.assert_allclose(gradient[0, :, 1:-1, 1:-1], spread[:, 3:-3, 3:-3], atol=1e-6)
    assert float(gradient.sum()) == pytest.approx(float(weights.sum()), rel=1e-5)  # the border's share is not lost


def test_a_flat_photo_has_a_finite_gradient_through_total_variation():
    images = torch.full((1, 3, 6, 6), 0.5, requires_grad=True)
    (gradient,) = torch.autograd.grad(TotalVariation(0.1).surrogate(images, None).square().sum(), images)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", [*FILTERS, "resize-pad", "smooth-s0.05-n8", "blur-s1+noise-s0.05"])
def test_the_stand_in_is_the_real_thing_up_to_rounding(name):
    """With the same generator both make the same draw."""
    defence, pixels = make_defence(name), photo((40, 56), 3) // 4 + 90
    real = defence.show(pixels, stream(5)).pixels.astype(float)
    stand_in = defence.surrogate(as_images(pixels, torch.float32), stream(5))
    found = stand_in[0].permute(1, 2, 0).numpy() * 255
    assert found.shape == real.shape
    assert np.abs(found - real).max() <= (0.501 if "+" not in name else 1.001)


@pytest.mark.parametrize("name", FILTERS)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 9))
@settings(max_examples=12, database=None)
def test_every_size_stays_as_it_is(name, height, width, seed):
    pixels = photo((height, width), seed)
    found = make_defence(name).show(pixels, stream(seed))
    assert found.pixels.shape == pixels.shape
    assert found.pixels.dtype == np.uint8
    assert found.placements == ()


@pytest.mark.parametrize("name", FILTERS)
def test_a_batch_is_its_photos(name):
    defence = make_defence(name)
    one, two = as_images(photo(seed=1)), as_images(photo(seed=2))
    both = defence.surrogate(torch.cat([one, two]), stream(4))
    torch.testing.assert_close(both[1:], defence.surrogate(two, stream(4)))


def test_a_chain_needs_two():
    with pytest.raises(ValueError, match="at least two"):
        base.Chain([Blur(1)])


def test_a_chain_is_its_parts_in_order():
    pixels = photo()
    chain = make_defence("blur-s1+bits-3")
    np.testing.assert_array_equal(shown(chain, pixels), shown(Bits(3), shown(Blur(1), pixels)))
    assert len(np.unique(shown(chain, pixels))) <= 8 < len(np.unique(shown(make_defence("bits-3+blur-s1"), pixels)))


def test_what_a_chain_is_made_of_decides_what_it_is():
    assert not make_defence("jpeg-q75+bits-4").random
    assert make_defence("jpeg-q75+noise-s0.05").random
    assert make_defence("jpeg-q75+smooth-s0.05-n8").votes == 8
    twice = make_defence("resize-pad+resize-pad")
    first, second = twice.mean_placements((40, 60))
    assert second.original == first.canvas
