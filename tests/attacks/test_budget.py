"""Norms and regions: projection while it is optimised, and what is saved."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch
from goals import LinearGoal
from hypothesis import given
from hypothesis import strategies as st
from linear import LinearSegmenter

from segrobust.attacks.budget import Box, contrast_share
from segrobust.attacks.recipes import attack, make_recipe
from segrobust.attacks.region import region_mask
from segrobust.attacks.saving import allowed_levels, round_into_budget, within
from segrobust.errors import BudgetError, UsageError
from segrobust.models.geometry import to_tensor
from segrobust.types import Budget, Image, Prompts

PHOTO = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("text", "norm", "value", "levels", "written"),
    [
        ("l2:3.0", "l2", 3.0, 255, "l2:3"),
        ("l2:0.5", "l2", 0.5, 127, "l2:0.5"),
        (" L2:0.25", "l2", 0.25, 63, "l2:0.25"),
        ("l2:12/255", "l2", 12 / 255, 12, "l2:4/85"),
        ("contrast:8/255", "contrast", 8 / 255, 8, "contrast:8/255"),
        ("linf:8/255", "linf", 8 / 255, 8, "8/255"),
    ],
)
def test_norms_are_read_and_written(text, norm, value, levels, written):
    budget = Budget.parse(text)
    assert (budget.norm, budget.value, budget.levels, str(budget)) == (norm, pytest.approx(value), levels, written)
    assert Budget.parse(str(budget)) == budget


@pytest.mark.parametrize(
    ("text", "said"),
    [("l1:3", "'l1' .* is not one of linf, l2, contrast"), ("l2:-1", "outside"), ("contrast:8", "did you mean 8/255")],
)
def test_norms_that_cannot_be_meant_are_refused(text, said):
    with pytest.raises(BudgetError, match=said):
        Budget.parse(text)


@given(seed=st.integers(0, 999), radius=st.floats(0.01, 3), wild=st.floats(0.1, 4), masked=st.booleans())
def test_the_projection_into_the_ball_is_the_nearest_point_of_ball_and_pixel_range(seed, radius, wild, masked):
    draw = torch.Generator().manual_seed(seed)
    source = torch.rand((1, 3, 4, 5), generator=draw)
    where = torch.rand((4, 5), generator=draw) < 0.5 if masked else None
    box = Box.around(source, Budget(Fraction(radius), "l2"), where)
    point = source + wild * torch.randn(source.shape, generator=draw)
    nearest = box.project_(point.clone())
    assert float((nearest - source).norm()) <= radius * (1 + 1e-6)
    assert nearest.min() >= 0
    assert nearest.max() <= 1
    if where is not None:
        assert torch.equal(nearest[..., ~where], source[..., ~where])
    for _ in range(20):  # no other point of the set is nearer: the angle at the nearest one is not acute
        other = box.project_(source + radius * torch.randn(source.shape, generator=draw))
        cosine = float(((point - nearest) * (other - nearest)).sum())
        assert cosine <= 2e-4 * float((point - nearest).norm()) * max(radius, 1)
    assert torch.allclose(box.project_(nearest.clone()), nearest, atol=1e-5)


def test_steps_under_each_norm():
    source, gradient = torch.full((1, 3, 2, 2), 0.5), torch.tensor([3.0, -4.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    ball = Box.around(source, Budget.parse("l2:0.4"))
    image = source.clone()
    ball.step_(image, gradient, 2 / 255)  # a quarter of 8/255: a quarter of the radius
    assert torch.allclose(image - source, -0.1 * gradient / gradient.norm(), atol=1e-6)
    box = Box.around(source, Budget.parse("contrast:8/255"))
    image = source.clone()
    box.step_(image, gradient, 2 / 255)
    assert torch.allclose(image - source, -0.25 * 2 / 255 * gradient.sign(), atol=1e-7)  # a flat photo


def test_contrast_is_the_deviation_of_the_brightness_between_a_quarter_and_one():
    flat = torch.full((1, 3, 20, 20), 0.4)
    assert torch.equal(contrast_share(flat), torch.full((1, 1, 20, 20), 0.25))
    checks = flat.clone()
    checks[..., ::2, ::2] += 0.2
    checks[..., 1::2, 1::2] += 0.2
    assert torch.equal(contrast_share(checks), torch.ones(1, 1, 20, 20))
    faint = flat.clone()
    faint[..., ::2, ::2] += 16 / 255  # a quarter of the pixels: deviation sqrt(3) / 4 of that
    share = contrast_share(faint)[0, 0, 10, 10]  # its window has 5 x 5 of 81 such pixels or 4 x 4 of them
    p = (25 / 81, 16 / 81, 20 / 81)
    assert any(float(share) == pytest.approx((q * (1 - q)) ** 0.5, rel=1e-3) for q in p)
    edge = flat.clone()
    edge[..., 10:] = 0.9
    row = contrast_share(edge)[0, 0, 5]
    assert row[:6].max() == 0.25
    assert row[7] == 1


@given(
    seed=st.integers(0, 999),
    norm=st.sampled_from(["l2", "contrast", "linf"]),
    epsilon=st.floats(0.005, 1.0),
    masked=st.booleans(),
)
def test_what_is_saved_is_inside_every_budget(seed, norm, epsilon, masked):
    rng = np.random.default_rng(seed)
    budget = Budget(Fraction(epsilon), norm)
    where = rng.random((9, 12)) < 0.5 if masked else None
    wild = to_tensor(PHOTO) + epsilon * torch.from_numpy(rng.standard_normal((3, 9, 12))).float()
    saved = round_into_budget(wild, PHOTO, budget, where)
    change = saved.astype(int) - PHOTO
    assert within(PHOTO, saved, budget)
    assert where is None or not change[~where].any()
    if norm == "l2":
        assert (change.astype(float) ** 2).sum() <= (epsilon * 255) ** 2
    else:
        assert np.abs(change).max() <= budget.levels
        assert (np.abs(change) <= allowed_levels(PHOTO, budget)).all()
    beyond = saved.astype(int)
    y, x = (4, 5)
    beyond[y, x, 0] += -255 if beyond[y, x, 0] > 127 else 255
    assert not within(PHOTO, beyond.clip(0, 255).astype(np.uint8), Budget(Fraction(1, 255), norm))


def test_the_saved_ball_is_filled_and_not_only_obeyed():
    """Rounding moved half of all values outwards; no more of them than it takes are brought back."""
    budget = Budget.parse("l2:0.2")
    draw = torch.randn((3, 9, 12), generator=torch.Generator().manual_seed(0))
    grey = np.full((9, 12, 3), 128, np.uint8)
    saved = round_into_budget(to_tensor(grey) + 0.2 * draw / draw.norm(), grey, budget)
    length = np.sqrt(((saved.astype(float) - grey) ** 2).sum()) / 255
    assert 0.199 <= length <= 0.2


class TestRegion:
    photo = Image(PHOTO)

    def test_boxes_masks_and_clicks(self):
        box = region_mask(LinearSegmenter(), self.photo, (2, 1, 4.5, 3))
        assert (box.sum(), box[1:4, 2:5].all()) == (9, True)
        mask = np.zeros((9, 12), bool)
        mask[3, 4] = True
        assert region_mask(LinearSegmenter(), self.photo, mask) is mask
        click = region_mask(LinearSegmenter(), self.photo, (4, 5))
        assert np.array_equal(click, LinearSegmenter().answer(self.photo, Prompts.of([(4, 5)])).mask(0))

    @pytest.mark.parametrize("where", [(2, 1, 4, 3), np.eye(9, 12, dtype=bool)])
    @pytest.mark.parametrize("budget", ["8/255", "l2:0.3", "contrast:8/255"])
    @pytest.mark.parametrize("name", ["pgd", "noise", "apgd"])
    def test_nothing_changes_outside(self, where, budget, name):
        result = attack(LinearSegmenter(), self.photo, name, where=where, budget=budget)
        mask = region_mask(LinearSegmenter(), self.photo, where)
        changed = (result.image.pixels != PHOTO).any(2)
        assert not changed[~mask].any()
        assert changed[mask].mean() > 0.4
        assert within(PHOTO, result.image.pixels, result.budget)
        assert result.notes == (f"only {mask.sum()} of 108 pixels may change",)

    @pytest.mark.parametrize(
        ("where", "said"),
        [
            ((1, 2, 3), "got 3 numbers"),
            ((20, 1), "click .* is outside the photo of 12x9"),
            ((5, 5, 4, 4), "holds no pixel"),
            (np.ones((3, 3), bool), r"size \(3, 3\), the photo \(9, 12\)"),
        ],
    )
    def test_what_is_no_region_is_refused(self, where, said):
        with pytest.raises(UsageError, match=said):
            region_mask(LinearSegmenter(), self.photo, where)

    def test_protocol_paper_knows_neither_regions_nor_norms(self):
        for more in ({"where": (1, 1, 5, 5)}, {"budget": "l2:3"}):
            with pytest.raises(UsageError, match="protocol paper knows no norm but"):
                attack(LinearSegmenter(), self.photo, "pgd", protocol="paper", **more)


@pytest.mark.parametrize("name", ["pgd", "mi", "apgd", "vmi"])
def test_the_optimum_of_a_linear_objective_in_the_ball(name):
    """Against the gradient, as long as the radius: with equal weights of 3 and 4, 0.6 and 0.8 of it."""
    grey = Image(np.full((9, 12, 3), 128, np.uint8))
    recipe = dataclasses.replace(make_recipe(name), goal=LinearGoal((3.0, -4.0, 0.0)))
    saved = attack(LinearSegmenter(), grey, recipe, budget="l2:2.0").image.pixels.astype(float) - 128
    wanted = np.array([-0.6, 0.8, 0]) * 2 * 255 / np.sqrt(9 * 12)
    assert np.abs(saved - wanted).max() < 1.5
