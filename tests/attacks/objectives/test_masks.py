"""Losses of answers: by hand, and against the way the authors write them."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segrobust.attacks.objectives.masks import (
    AtPhotoSize,
    Doubted,
    Kept,
    Removed,
    Shown,
    clip_mse,
    clip_mse_above,
    moved,
    on_logits,
)
from segrobust.models.base import Prediction
from segrobust.models.geometry import Geometry


def answer(logits, iou=None, geometry=None):
    logits = torch.as_tensor(logits, dtype=torch.float32)
    iou = torch.ones(logits.shape[:2]) if iou is None else torch.as_tensor(iou)
    return Prediction(logits, iou, geometry or Geometry.stretch((4, 4), 4))


def test_clip_mse_leaves_what_is_low_alone():
    logits = torch.tensor([-30.0, -10.0, -8.0, 0.0, 2.0])
    assert torch.equal(clip_mse(logits), torch.tensor([0.0, 0.0, 4.0, 100.0, 144.0]))
    assert torch.equal(clip_mse_above(logits), clip_mse(-logits))
    assert torch.equal(clip_mse(logits, -1.0), torch.tensor([0.0, 0.0, 0.0, 1.0, 9.0]))


def test_removal_is_the_authors_mse_to_a_clipped_copy():
    """UAD's code: MSE to the logits clamped from above at -10. adv-SAM: clamped from below, to a constant."""
    logits = torch.randn(2, 1, 5, 6, generator=torch.Generator().manual_seed(0)) * 20
    theirs = F.mse_loss(logits, logits.clamp(max=-10))
    other = F.mse_loss(logits.clamp(min=-10), torch.full_like(logits, -10))
    ours = Removed()(answer(logits))
    assert float(ours.mean()) == pytest.approx(float(theirs)) == pytest.approx(float(other))
    assert ours.shape == (2,)


def test_removal_in_a_region_looks_nowhere_else():
    logits = torch.full((1, 3, 2, 2), 50.0)
    logits[0, :, 0, 0] = torch.tensor([-10.0, -9.0, -8.0])
    where = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert float(Removed(where=where)(answer(logits))) == pytest.approx((0 + 1 + 4) / 3)


def test_a_shown_mask_is_reached_at_both_thresholds():
    target = torch.tensor([[1.0, 0.0]])
    assert float(Shown(target)(answer([[[[10.0, -10.0]]]]))) == 0
    assert float(Shown(target)(answer([[[[12.0, -13.0]]]]))) == 0
    assert float(Shown(target)(answer([[[[9.0, -7.0]]]]))) == pytest.approx((1 + 9) / 2)
    assert float(Shown(target, floor=-2.0)(answer([[[[0.0, 0.0]]]]))) == pytest.approx(4)


def test_a_balanced_mask_weighs_inside_and_outside_alike():
    target = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    logits = [[[[8.0, -7.0, -7.0, -7.0]]]]
    assert float(Shown(target)(answer(logits))) == pytest.approx((4 + 27) / 4)
    assert float(Shown(target, balanced=True)(answer(logits))) == pytest.approx((4 + 9) / 2)
    where = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    outside = [[[[8.0, -9.0, 99.0, 99.0]]]]
    assert float(Shown(target, where=where, balanced=True)(answer(outside))) == pytest.approx((4 + 1) / 2)


def test_every_prompt_may_have_its_own_mask():
    target = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    logits = torch.tensor([[[[10.0, -10.0]]], [[[10.0, -10.0]]]])
    assert Shown(target)(answer(logits)).tolist() == [0.0, 400.0]


def test_doubt_is_the_mean_of_the_predicted_ious():
    iou = [[0.9, 0.5, 0.1]]
    logits = torch.zeros(1, 3, 1, 1)
    assert float(Doubted()(answer(logits, iou))) == pytest.approx(0.5)
    assert float(Doubted(0.3)(answer(logits, iou))) == pytest.approx((0.9 + 0.5 + 0.3) / 3)


def test_what_is_kept_costs_nothing_beyond_the_thresholds():
    clean = torch.tensor([[[[20.0, -20.0, 1.0]]]])
    assert float(Kept(clean)(answer([[[[11.0, -15.0, 1.0]]]]))) == 0
    assert float(Kept(clean)(answer([[[[11.0, -8.0, -2.0]]]]))) == pytest.approx((4 + 9) / 3)


def test_at_the_photos_size_is_what_is_scored():
    geometry = Geometry.fit((30, 40), 16)
    logits = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    given = answer(logits, geometry=geometry)
    full = geometry.restore(logits)
    assert full.shape == (2, 1, 30, 40)
    expected = (full.clamp(min=-10) + 10).square().mean((1, 2, 3))
    assert torch.allclose(AtPhotoSize(Removed())(given), expected)


def test_a_mask_lies_on_the_logits_where_they_see_it():
    """40 x 20 in a square of 16: 16 x 8, so the lower half of the logits sees padding."""
    mask = torch.zeros(20, 40)
    mask[:, :20] = 1
    geometry = Geometry.fit((20, 40), 16)
    seen = on_logits(mask, geometry, (4, 4))
    assert torch.equal(seen[2:], torch.zeros(2, 4))
    assert torch.allclose(seen[:2, 0], torch.ones(2))
    assert torch.allclose(seen[:2, 3], torch.zeros(2))
    where = on_logits(torch.ones(20, 40), geometry, (4, 4))
    assert torch.allclose(where, torch.tensor([1.0, 1, 0, 0])[:, None].expand(4, 4))


@pytest.mark.parametrize(("right", "down"), [(0, 0), (2, 1), (-1, 3), (3, -2), (9, 0), (0, -9)])
def test_a_moved_mask_is_numpys_roll_without_what_comes_back(right, down):
    mask = np.random.default_rng(0).random((2, 5, 6))
    padded = np.pad(mask, ((0, 0), (9, 9), (9, 9)))
    expected = np.roll(padded, (down, right), axis=(1, 2))[:, 9:-9, 9:-9]
    assert np.array_equal(moved(torch.from_numpy(mask), right, down).numpy(), expected)
