"""Budget, views, objectives and updates, each on its own."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from torch.nn import functional as F

from segrobust.attacks.budget import Box
from segrobust.attacks.objectives import SIMILARITIES, AwayAndToward
from segrobust.attacks.saving import round_into_budget, round_to_8_bits
from segrobust.attacks.seen import Seen
from segrobust.attacks.updates import MomentumSign, gaussian_kernel, smooth
from segrobust.attacks.views import Canvas, RandomSimilarity, ScaleCopies, similarity_matrices, warp
from segrobust.errors import BudgetError
from segrobust.types import Budget

PHOTOS = npst.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)))


@given(original=PHOTOS, levels=st.integers(0, 40), seed=st.integers(0, 99))
def test_the_saved_photo_is_inside_the_integer_budget_and_nearest(original, levels, seed):
    budget = Budget(Fraction(levels, 255))
    wild = torch.rand(original.transpose(2, 0, 1).shape, generator=torch.Generator().manual_seed(seed)) * 1.4 - 0.2
    saved = round_into_budget(wild, original, budget).astype(int)
    assert np.abs(saved - original).max() <= levels
    wanted = np.rint(wild.numpy().transpose(1, 2, 0) * np.float32(255))
    low, high = np.maximum(original.astype(int) - levels, 0), np.minimum(original.astype(int) + levels, 255)
    assert np.array_equal(saved, np.clip(wanted, low, high))


def test_rounding_does_not_truncate():
    assert round_to_8_bits(torch.full((3, 1, 1), 0.99999)).max() == 255
    assert (
        round_into_budget(torch.full((3, 1, 1), 7.6 / 255), np.zeros((1, 1, 3), np.uint8), Budget.parse("8/255")).max()
        == 8
    )


def test_box_is_the_ball_cut_with_the_pixel_range():
    source = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1)
    box = Box.around(source, Budget.parse("51/255"))
    assert torch.allclose(box.low.flatten(), torch.tensor([0.0, 0.3, 0.8]))
    assert torch.allclose(box.high.flatten(), torch.tensor([0.2, 0.7, 1.0]))
    assert torch.equal(
        box.project_(torch.tensor([-1.0, 0.5, 0.0]).view(1, 3, 1, 1)).flatten(), torch.tensor([0.0, 0.5, 0.8])
    )


@pytest.mark.parametrize(
    ("text", "levels", "shown"),
    [
        ("8/255", 8, "8/255"),
        ("8px", 8, "8/255"),
        ("0.0314", 8, "8.007/255"),
        ("0", 0, "0/255"),
        ("4.5/255", 4, "4.5/255"),
        (1.0, 255, "255/255"),
    ],
)
def test_budgets_are_read(text, levels, shown):
    budget = Budget.parse(text)
    assert (budget.levels, str(budget)) == (levels, shown)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("8", "did you mean 8/255"),
        ("-1/255", "outside"),
        ("eps", "not a number"),
        ("1/0", "not a number"),
        ("300", "outside"),
    ],
)
def test_budgets_that_cannot_be_meant_are_refused(text, said):
    with pytest.raises(BudgetError, match=said):
        Budget.parse(text)


def test_scale_copies_are_halves():
    pixels = torch.rand(1, 3, 2, 2)
    copies = ScaleCopies(3)(Canvas(pixels), torch.Generator()).values
    assert torch.equal(copies, torch.cat([pixels, pixels / 2, pixels / 4]))


@given(beta=st.floats(0, 0.5), seed=st.integers(0, 50))
def test_similarities_stay_within_their_range(beta, seed):
    matrices = similarity_matrices(16, beta, torch.Generator().manual_seed(seed))
    shift = matrices[:, :, 2].abs().max()
    sine = matrices[:, 0, 1]
    assert shift <= beta + 1e-6
    assert sine.abs().max() <= np.sin(min(beta * np.pi / 2, np.pi / 2)) + 1e-6
    assert torch.equal(matrices[:, 0, 0], matrices[:, 1, 1])
    assert torch.equal(sine, -matrices[:, 1, 0])


def test_similarities_use_their_whole_range():
    matrices = similarity_matrices(4000, 0.1, torch.Generator().manual_seed(0))
    for column, span in ((matrices[:, 0, 2], 0.1), (matrices[:, 1, 2], 0.1), (matrices[:, 0, 1], np.sin(0.05 * np.pi))):
        assert column.min() == pytest.approx(-span, rel=0.01)
        assert column.max() == pytest.approx(span, rel=0.01)
        assert column.mean() == pytest.approx(0, abs=0.03 * span)
    assert matrices[:, 0, 0].max() > 1.09


def test_warp_moves_by_the_shift_and_fills_with_zero():
    inputs = torch.arange(16.0).view(1, 1, 4, 4) + 1
    moved = warp(inputs, torch.tensor([[[1.0, 0, 0.5], [0, 1.0, 0]]]))  # half a half-side: one pixel of four
    assert torch.allclose(moved[0, 0, :, :3], inputs[0, 0, :, 1:], atol=1e-5)
    assert torch.allclose(moved[0, 0, :, 3], torch.zeros(4), atol=1e-5)


def test_every_copy_gets_its_own_warp_and_the_generator_decides():
    canvas = Canvas(torch.rand(1, 3, 16, 16).expand(2, -1, -1, -1))
    first = RandomSimilarity(0.2)(canvas, torch.Generator().manual_seed(5)).values
    again = RandomSimilarity(0.2)(canvas, torch.Generator().manual_seed(5)).values
    assert torch.equal(first, again)
    assert not torch.allclose(first[0], first[1])


def test_the_loss_is_the_papers():
    generator = torch.Generator().manual_seed(0)
    y_a, y_s, y_g = (torch.randn((1, 4, 2, 2), generator=generator) for _ in range(3))

    def cosine(a, b):
        return float((a.flatten() @ b.flatten()) / (a.norm() * b.norm()))

    for weight in (0.0, 0.5, 1.0):
        loss = float(AwayAndToward(y_s, y_g, weight)(Seen(y_a)))
        assert loss == pytest.approx(cosine(y_a, y_s) - weight * cosine(y_a, y_g), abs=1e-6)


def test_similarities_are_their_formulas():
    features = torch.tensor([[[[3.0, 0.0]], [[4.0, 1.0]]]])  # two tokens: (3, 4) and (0, 1)
    target = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]])  # (1, 0) and (0, 2)
    assert float(SIMILARITIES["token-cosine"](features, target)) == pytest.approx((0.6 + 1) / 2)
    assert float(SIMILARITIES["cosine"](features, target)) == pytest.approx((3 + 2) / np.sqrt(26 * 5))
    assert float(SIMILARITIES["l2"](features, target)) == pytest.approx(-(4 + 16 + 1) / 5)


def test_smoothing_is_a_gaussian_convolution():
    kernel = gaussian_kernel(15)
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-6)
    assert float(kernel[7, 7] / kernel[7, 0]) == pytest.approx(np.exp(4.5), rel=1e-4)
    impulse = torch.zeros(1, 3, 31, 31)
    impulse[0, 1, 15, 15] = 1
    out = smooth(impulse, 15)
    assert torch.allclose(out[0, 1, 8:23, 8:23], kernel, atol=1e-7)
    assert out[0, [0, 2]].abs().max() == 0
    noise = torch.randn((1, 3, 20, 31), generator=torch.Generator().manual_seed(0))
    whole = F.conv2d(noise, kernel.expand(3, 1, 15, 15), padding=7, groups=3)
    assert torch.allclose(smooth(noise, 15), whole, atol=1e-6)


@pytest.mark.parametrize("bad", [{"step": 0}, {"step": 8}, {"momentum": -0.1}, {"smoothing": 4}])
def test_updates_refuse_settings_that_mean_nothing(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        MomentumSign(**bad)


def test_views_refuse_settings_that_mean_nothing():
    with pytest.raises(ValueError, match="copies"):
        ScaleCopies(0)
    with pytest.raises(ValueError, match="beta"):
        RandomSimilarity(1.0)
