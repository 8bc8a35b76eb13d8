"""What views do to values and where they move content, against other libraries and arithmetic; targets that follow."""

import numpy as np
import pytest
import torch
from linear import LinearSegmenter
from scipy.fft import dctn
from torch.nn import functional as F

from segrobust.attacks.loop import Trace, gradient_of
from segrobust.attacks.motion import affine, centres
from segrobust.attacks.seen import Seen
from segrobust.attacks.views import (
    Admixtures,
    BlockShuffle,
    Canvas,
    Copies,
    RandomSimilarity,
    ResizePad,
    ScaleCopies,
    SpectrumNoise,
    StructureChanges,
    UniformNoise,
)
from segrobust.attacks.views.base import apply_views
from segrobust.attacks.views.blocks import _shuffled, random_cuts
from segrobust.attacks.views.spectrum import dct, inverse_dct, low_frequencies
from segrobust.attacks.views.structure import MOTIONS
from segrobust.models.geometry import Geometry

PIXELS = torch.rand((1, 3, 30, 41), generator=torch.Generator().manual_seed(0))
MOVING = [ResizePad(1.5, 1.0), BlockShuffle(3, 24.0), RandomSimilarity(0.2, follow=True)]
DRAWING = [
    *MOVING,
    ResizePad(1.1, 0.5),
    SpectrumNoise(),
    StructureChanges(),
    Admixtures(),
    RandomSimilarity(0.1),
    UniformNoise(0.05),
]


def draw(seed=5):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("view", DRAWING, ids=lambda view: type(view).__name__)
def test_copies_are_drawn_apart_and_the_generator_decides(view):
    canvas = Copies(4)(Canvas(PIXELS), draw())
    first, again, other = (view(canvas, draw(seed)).values for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(torch.unique(first.flatten(1), dim=0)) > 1
    assert not torch.allclose(first[0], PIXELS[0])


def test_copies_are_equal_and_in_order():
    pair = torch.cat([PIXELS, PIXELS / 3])
    assert torch.equal(Copies(2)(Canvas(pair), draw()).values, torch.cat([pair, pair]))
    assert torch.equal(ScaleCopies(2)(Canvas(pair), draw()).values, torch.cat([pair, pair / 2]))


def test_the_cosine_transform_is_scipys():
    assert np.allclose(dct(PIXELS.double()), dctn(PIXELS.double().numpy(), axes=(2, 3), norm="ortho"), atol=1e-10)
    assert torch.allclose(inverse_dct(dct(PIXELS)), PIXELS, atol=1e-5)
    kept = dct(PIXELS)
    kept[..., 18:, :] = kept[..., 25:] = 0  # 0.6 of 30 and of 41
    assert torch.allclose(low_frequencies(PIXELS, 0.6), inverse_dct(kept), atol=1e-5)


def test_spectrum_noise_has_the_size_it_says():
    flat = torch.full((1, 3, 64, 64), 0.5)
    values = SpectrumNoise(rho=0.0, sigma=0.1)(Canvas(flat), draw()).values
    assert float((values - flat).std()) == pytest.approx(0.1, rel=0.03)
    scaled = dct(SpectrumNoise(rho=0.5, sigma=0.0)(Canvas(PIXELS), draw()).values) / dct(PIXELS)
    assert scaled.min() > 0.49
    assert scaled.max() < 1.51
    assert float(scaled.mean()) == pytest.approx(1, abs=0.02)


def test_uniform_noise_fills_its_width_and_is_not_cut_at_black():
    black = torch.zeros(2, 3, 64, 64)
    values = UniformNoise(0.1)(Canvas(black), draw()).values
    assert -0.1 <= float(values.min()) < -0.0999
    assert 0.0999 < float(values.max()) <= 0.1
    assert float(values.std()) == pytest.approx(0.1 / 3**0.5, rel=0.02)
    assert torch.equal(UniformNoise(0)(Canvas(PIXELS), draw()).values, PIXELS)


def test_resize_pad_is_a_resize_and_a_pad():
    """Of a whole picture at half its size: the content is in a window of half the side, black around it."""
    ones = torch.ones(40, 3, 64, 64)
    values = ResizePad(2.0, 1.0)(Canvas(ones), draw()).values
    shares = values.mean((1, 2, 3)).sqrt()
    assert shares.min() < 0.55
    assert shares.max() > 0.9
    assert 0.49 < float(shares.min()) <= float(shares.max()) <= 1
    for image in values:
        rows, columns = (
            torch.nonzero(image[0].sum(axis) > 0.5 * image[0].sum(axis).max()).flatten() for axis in (1, 0)
        )
        assert float(image[:, rows[0] + 1 : rows[-1], columns[0] + 1 : columns[-1]].min()) > 0.99
    unchanged = ResizePad(2.0, 0.0)(Canvas(ones), draw())
    assert unchanged.motion is None
    assert torch.equal(unchanged.values, ones)
    some = [
        int(ResizePad(2.0, 0.3)(Canvas(ones), draw(seed)).values.flatten(1).amin(1).lt(1).sum()) for seed in range(9)
    ]
    assert sum(some) == pytest.approx(0.3 * 9 * 40, rel=0.3)


def test_shuffled_pieces_by_hand():
    cuts = torch.tensor([[0.0, 0.2, 0.5, 1.0]])
    order = torch.tensor([[2, 0, 1]])  # [0.5, 1] comes first, then [0, 0.2], then [0.2, 0.5]
    at = torch.tensor([[0.1, 0.49, 0.55, 0.69, 0.75]])
    source, piece = _shuffled(at, cuts[:, None], order[:, None], torch.zeros(1, 5, dtype=torch.int64))
    assert torch.allclose(source, torch.tensor([[0.6, 0.99, 0.05, 0.19, 0.25]]))
    assert piece.tolist() == [[2, 2, 0, 0, 1]]


def test_cuts_are_what_the_authors_draw():
    cuts = random_cuts(2000, 3, draw())
    lengths = cuts.diff(dim=1)
    assert torch.allclose(cuts[:, [0, -1]], torch.tensor([0.0, 1.0]).expand(2000, 2))
    assert lengths.min() > 1 / 5  # (1, 2, 2)
    assert lengths.max() < 2 / 4  # (2, 1, 1)
    assert float(lengths.mean()) == pytest.approx(1 / 3, abs=0.01)


def test_blocks_that_are_not_turned_are_a_rearrangement():
    """Every place of the photo is shown once."""
    canvas = BlockShuffle(3, 0.0)(Canvas(torch.zeros(2, 3, 200, 300)), draw())
    shown = canvas.motion(centres(2, (200, 300), canvas.values))
    assert shown.abs().max() <= 1
    for one in shown:
        counts, _ = torch.histogramdd(one.reshape(-1, 2), bins=[10, 10], range=[-1.0, 1.0, -1.0, 1.0])
        assert float((counts - 600).abs().max()) < 600 * 0.15
        assert (one - centres(1, (200, 300), canvas.values)[0]).abs().max() > 0.2


def test_turned_blocks_keep_their_angle_on_a_photo_that_is_not_square():
    """Within a block the motion is a turn in pixels: lengths stay, whatever the shape of the photo."""
    canvas = BlockShuffle(1, 24.0)(Canvas(torch.zeros(1, 3, 100, 300)), draw())
    half = torch.tensor([150.0, 50.0])
    points = torch.tensor([[0.0, 0.0], [0.2, 0.0], [0.0, 0.2]]).view(1, 1, 3, 2)
    middle, right, down = canvas.motion(points).view(3, 2) * half
    assert middle.abs().max() < 1e-4
    assert float(right.norm()) == pytest.approx(0.2 * 150, rel=1e-5)
    assert float(down.norm()) == pytest.approx(0.2 * 50, rel=1e-5)
    assert float(right @ down) == pytest.approx(0, abs=1e-3)
    angle = float(torch.atan2(right[1], right[0]).rad2deg())
    assert 0 < abs(angle) <= 24


def test_each_change_of_structure_is_made_and_only_half_of_them_move():
    canvas = StructureChanges(1)(Canvas(PIXELS.expand(80, -1, -1, -1)), draw())
    points = centres(80, (30, 41), canvas.values)
    moved = (canvas.motion(points) != points).flatten(1).any(1)
    assert 0.3 < float(moved.float().mean()) < 0.7
    image = PIXELS[0]
    exact = {"vertical flip": image.flip(1), "horizontal flip": image.flip(2), "turn by 180 degrees": image.flip(1, 2)}
    for name, wanted in exact.items():
        assert any(torch.allclose(one, wanted, atol=1e-4) for one in canvas.values), name
    scaled = [one / image for one in canvas.values]
    assert any(float(one.std()) < 1e-3 and 0 <= float(one.mean()) < 1 for one in scaled)
    assert any(0.03 < float((one[0] == 0).float().mean()) < 0.2 for one in canvas.values)
    assert any(0 < float((one - image).abs().max()) <= 16 / 255 + 1e-6 for one in canvas.values)
    assert len(MOTIONS) == 5


def test_admixtures_are_pieces_of_the_photo():
    values = Admixtures(images=2, strength=0.5, copies=2)(Canvas(PIXELS), draw()).values
    assert values.shape == (4, 3, 30, 41)
    assert torch.equal(values[2:], values[:2] / 2)
    others = (values[:2] - PIXELS) / 0.5
    assert others.min() >= -1e-5
    assert others.max() <= PIXELS.max() + 1e-5
    leaf = PIXELS.clone().requires_grad_()
    Admixtures(images=2, strength=0.5, copies=1)(Canvas(leaf), draw()).values.sum().backward()
    assert torch.equal(leaf.grad, torch.full_like(PIXELS, 2.0))  # none through the pieces


@pytest.mark.parametrize("view", MOVING, ids=lambda view: type(view).__name__)
def test_targets_follow_the_photo(view):
    """Where the features are the pixels, the moved target is the moved picture."""
    canvas = apply_views((Copies(2), view), Canvas(PIXELS), draw())
    seen = Seen(canvas.values, motion=canvas.motion, count=2)
    assert torch.allclose(seen.follow(PIXELS), canvas.values, atol=1e-5)
    second = Seen(canvas.values[1:], motion=canvas.motion, first=1, count=2)
    assert torch.allclose(second.follow(PIXELS), canvas.values[1:], atol=1e-5)
    twice = view(canvas, draw(8))
    once_more = F.grid_sample(
        canvas.values, view(Canvas(canvas.values), draw(8)).motion(centres(2, (30, 41), PIXELS)), align_corners=False
    )
    assert torch.allclose(twice.values, once_more, atol=1e-5)
    smooth = centres(1, (30, 41), PIXELS).permute(0, 3, 1, 2)
    again = apply_views((Copies(2), view), Canvas(smooth), draw())
    moved_twice = view(again, draw(8))
    followed = Seen(moved_twice.values, motion=moved_twice.motion, count=2).follow(smooth)
    assert float((followed - moved_twice.values).abs().median()) < 1e-4


class Padded(LinearSegmenter):
    """Pads to a square with zeros, at the right and the bottom."""

    def prepare(self, pixels):
        height, width = pixels.shape[-2:]
        side = max(height, width)
        return F.pad(pixels, (0, side - width, 0, side - height))


def test_targets_follow_in_the_models_input_and_its_padding_stays():
    """An objective is shown the way from the photo to the padded input: the picture that was moved, then padded."""
    segmenter, checked = Padded(), []

    def objective(seen):
        difference = seen.follow(segmenter.prepare(PIXELS)) - seen.features.detach()
        checked.append(float(difference.abs().max()))
        return seen.features.sum((1, 2, 3))

    for view in (*MOVING, ScaleCopies(1)):
        views = (Copies(3), view)
        gradient_of(segmenter, PIXELS, objective, views, (), draw(), Trace(), encoder_batch=2)
    assert len(checked) == 2 * 4
    assert max(checked) < 1e-5


def test_copies_after_a_motion_move_alike():
    moved = RandomSimilarity(0.2, follow=True)(Canvas(PIXELS), draw())
    copied = ScaleCopies(2)(moved, draw())
    wanted = Seen(copied.values, motion=copied.motion, count=2).follow(PIXELS)
    assert torch.allclose(wanted[1], wanted[0])
    assert torch.allclose(copied.values[0], wanted[0], atol=1e-5)


def test_an_affine_motion_is_affine_grid():
    matrices = torch.randn((2, 2, 3), generator=draw())
    ours = affine(matrices)(centres(2, (7, 9), PIXELS))
    assert torch.allclose(ours, F.affine_grid(matrices, [2, 3, 7, 9], align_corners=False), atol=1e-5)


def test_the_photo_lies_where_the_geometry_says():
    """A shift by the whole photo's width leaves the photo, and so does not reach the padding."""
    from segrobust.attacks.views.base import into_input

    motion = into_input(lambda points: points + 0.5, Geometry.fit((50, 100), 100), (100, 100))
    points = torch.tensor([[0.0, -0.5], [0.0, 0.5]]).view(1, 1, 2, 2)  # in the photo, in the padding below
    assert torch.allclose(motion(points).view(2, 2), torch.tensor([[0.5, -0.25], [0.0, 0.5]]))


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (Copies, {"copies": 0}),
        (Admixtures, {"images": 0}),
        (Admixtures, {"strength": -1.0}),
        (ResizePad, {"rate": 1.0}),
        (ResizePad, {"probability": 2.0}),
        (SpectrumNoise, {"rho": 2.0}),
        (SpectrumNoise, {"sigma": 8.0}),
        (BlockShuffle, {"blocks": 0}),
        (BlockShuffle, {"angle": 200.0}),
        (StructureChanges, {"blocks": 0}),
    ],
)
def test_settings_that_mean_nothing_are_refused(kind, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        kind(**bad)
