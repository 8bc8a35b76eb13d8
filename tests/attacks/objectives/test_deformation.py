"""UAD's deformation: the spline against scipy's, its pieces by hand, and what of the encoder it sees."""

import numpy as np
import pytest
import torch
from linear import LinearSegmenter
from scipy.interpolate import RBFInterpolator

from segrobust.attacks.objectives.deformation import Deformation, Flow, polyharmonic
from segrobust.attacks.recipes import attack, make_recipe
from segrobust.errors import UsageError
from segrobust.types import Image


def pair(seed, fields=2, count=9):
    draw = torch.Generator().manual_seed(seed)
    return (torch.rand((fields, count, 2), generator=draw, dtype=torch.float64) for _ in range(2))


def test_the_spline_is_scipys_of_order_one():
    sources, targets = pair(0)
    points = torch.rand((30, 2), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = polyharmonic(sources, targets, points)
    for field in range(2):
        theirs = RBFInterpolator(targets[field].numpy(), sources[field].numpy(), kernel="linear", degree=1)
        assert np.allclose(values[field].numpy(), theirs(points.numpy()), atol=1e-8)


def test_the_spline_goes_through_its_points_and_keeps_what_is_affine():
    sources, targets = pair(0)
    assert torch.allclose(polyharmonic(sources, targets, targets[0])[0], sources[0], atol=1e-8)
    turned = targets @ torch.tensor([[0.5, 0.2], [-0.3, 1.5]], dtype=torch.float64) + 0.7
    points = torch.rand((20, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = points @ torch.tensor([[0.5, 0.2], [-0.3, 1.5]], dtype=torch.float64) + 0.7
    assert torch.allclose(polyharmonic(turned, targets, points)[1], expected, atol=1e-8)


def test_the_spline_has_the_gradient_of_finite_differences():
    sources, targets = pair(3, fields=1, count=5)
    points = torch.rand((4, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    assert torch.autograd.gradcheck(
        lambda s, t: polyharmonic(s, t, points), (sources.requires_grad_(), targets.requires_grad_())
    )


def flow(pixels=None, **setting):
    pixels = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0)) if pixels is None else pixels
    return Flow(pixels, Deformation(**setting), torch.Generator().manual_seed(1))


def test_without_noise_the_photo_stays():
    still = flow(noise=0.0)
    assert torch.allclose(still.deformed(), still.pixels, atol=1e-4)
    assert still.incoherence().item() == pytest.approx(0, abs=1e-3)


def test_one_field_that_moves_as_a_whole_shifts_the_photo():
    """Every target a tenth of the long side to the right of its source: the photo moves six pixels to the right."""
    shifted = flow(noise=0.0, fields=1)
    with torch.no_grad():
        shifted.targets[..., 0] += 0.1
    moved = shifted.deformed()
    assert torch.allclose(moved[..., 6:], shifted.pixels[..., :-6], atol=1e-3)


def test_each_field_shows_its_own_cells():
    """Four fields, one of which is moved: only a quarter of the cells change, those of that field."""
    still = flow(noise=0.0, cell=10 / 60)
    with torch.no_grad():
        still.targets[3, :, 0] += 0.01
    changed = (still.deformed() - still.pixels).abs().amax((0, 1)) > 1e-3
    rows, columns = torch.arange(40) // 10 % 2, torch.arange(60) // 10 % 2
    mine = (rows[:, None] == 1) & (columns == 1)
    assert changed[mine].float().mean() > 0.9
    assert changed[~mine].float().mean() < 0.15  # a seam beside each cell


def test_incoherence_is_the_spread_in_a_field_minus_half_of_that_between_fields():
    odd = flow(noise=0.0, fields=2)
    with torch.no_grad():
        odd.targets[0] += 3 / 1024
        odd.targets[1] -= 1 / 1024
    assert odd.incoherence().item() == pytest.approx(0 - 0.5 * 2, abs=1e-3)
    with torch.no_grad():
        odd.targets[0, ::2] += 2 / 1024
    inside = (1 + 0) / 2
    assert odd.incoherence().item() == pytest.approx(inside - 0.5 * 2.5, abs=1e-3)


def test_both_ends_get_a_gradient():
    odd = flow()
    slopes = torch.autograd.grad(odd.deformed().square().sum(), [odd.sources, odd.targets])
    assert all(slope.isfinite().all() and slope.abs().sum() > 0 for slope in slopes)


def test_the_noise_is_a_share_of_the_spacing():
    odd = flow(controls=21, fields=4, noise=0.2)
    drift = (odd.targets - odd.sources).detach()
    assert float(drift[..., 0].std()) == pytest.approx(0.2 / 20, rel=0.1)
    assert float(drift[..., 1].std()) == pytest.approx(0.2 * (40 / 60) / 20, rel=0.1)


class Counting(LinearSegmenter):
    """Counts what is encoded, and what of it is to be differentiated."""

    def __init__(self):
        self.plain = self.differentiated = 0

    def encode(self, inputs):
        needed = inputs.requires_grad and torch.is_grad_enabled()
        self.differentiated += needed
        self.plain += not needed
        return inputs - 0.5


PHOTO = Image(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("name", "backward", "forward"),
    [("uad-code", 3, 3 + 1 + 2), ("uad-paper", 3 + 2 * 5, 3 + 1 + 2 + 2 * (4 + 1 + 1 + 1))],
)
def test_what_the_deformation_costs_is_counted(name, backward, forward):
    """Code: the photo, the deformed photo, the steps, the last look. Paper: more in each of the two epochs."""
    model = Counting()
    result = attack(model, PHOTO, name, blocks="", epochs=2, steps=3)
    assert (result.encoder_backward, result.encoder_forward) == (backward, forward)
    assert model.differentiated == backward
    assert model.differentiated + model.plain == forward + 2  # what saving gave back is looked at, and no cost


def test_only_in_the_paper_does_the_deformation_see_the_encoder():
    def guide(name, **changes):
        return attack(Counting(), PHOTO, name, blocks="", epochs=4, steps=1, **changes).guide

    code = guide("uad-code")
    assert np.array_equal(code, guide("uad-code", fidelity=100.0))
    assert not np.array_equal(guide("uad-paper"), guide("uad-paper", fidelity=100.0))
    assert code.shape == PHOTO.pixels.shape
    assert not np.array_equal(code, PHOTO.pixels)


def test_the_deformation_goes_away_from_the_photo():
    short, long = (
        attack(LinearSegmenter(), PHOTO, "uad-code", blocks="", epochs=epochs, steps=1).guide for epochs in (0, 10)
    )
    distance = [np.abs(picture.astype(int) - PHOTO.pixels).mean() for picture in (short, long)]
    assert distance[1] > 1.1 * distance[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"version": "mine"}, "not one of code, paper"), ({"epochs": -1}, "epochs >= 0"), ({"proxy": 0}, "proxy")],
)
def test_what_means_nothing_is_refused(changes, said):
    with pytest.raises(UsageError, match=said):
        make_recipe("uad-code", **changes)
