"""nano-conv: masks are composed as written, alike ones are dropped, and prompts choose by closed-form rules."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from contract import check_flat_memory, check_geometry, check_gradient, check_no_state, check_sizes_together, make_photo
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from segrobust import Prompts, load, read_image, segment_everything
from segrobust.errors import ModelError
from segrobust.models import nano_conv
from segrobust.models.base import EverythingSettings
from segrobust.models.nano_conv import NanoConvSegmenter
from segrobust.models.nano_conv_net import NanoConv, NanoConvConfig, compose
from segrobust.models.options import LoadOptions
from segrobust.types import Image

OPTIONS = LoadOptions("cpu", torch.float32)
CHECKS = [check_gradient, check_geometry, check_sizes_together, check_no_state, check_flat_memory]


@pytest.fixture(scope="module")
def small() -> NanoConvSegmenter:
    """Random weights, 64 px; its cells' own constants are raised, so that some mask lies everywhere."""
    torch.manual_seed(0)
    model = NanoConv(NanoConvConfig(image_size=64, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), channels=32))
    with torch.no_grad():
        model.weights.bias.view(3, -1)[:, 32] += 3
    return NanoConvSegmenter(model, "small", OPTIONS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_what_every_adapter_keeps(
    small: NanoConvSegmenter, check: Callable[[NanoConvSegmenter], None]
) -> None:
    check(small)


def test_a_mask_is_prototypes_and_a_parabola() -> None:
    """Cell 5 of a 4 x 4 grid (row 1, column 1): centre (0.375, 0.375); distances in quarters of the image."""
    prototypes = torch.stack([torch.ones(8, 8), torch.eye(8)])
    weights = torch.tensor([[[2.0, 10.0, 0.5, 1.0, -3.0, -4.0, 7.0, 0.25]]])  # two prototypes; 1, x, y, xx, yy, xy
    logits = compose(weights, torch.tensor([5]), prototypes, 4)[0, 0]
    for row, column in ((0, 0), (3, 3), (2, 7)):
        y, x = 4 * ((row + 0.5) / 8 - 0.375), 4 * ((column + 0.5) / 8 - 0.375)
        wanted = 2 + 10 * (row == column) + 0.5 + x - 3 * y - 4 * x * x + 7 * y * y + 0.25 * x * y
        assert float(logits[row, column]) == pytest.approx(wanted, abs=1e-5)


def test_of_masks_that_are_alike_the_first_stays() -> None:
    masks = torch.zeros(5, 10, 10, dtype=torch.bool)
    masks[0, :, :5] = True
    masks[1, :, :4] = True  # IoU 0.8 with the first
    masks[2, :5] = True  # IoU 1/3
    # masks[3] is empty
    masks[4, :, :3] = True  # IoU 0.6 with the first, 0.75 with the second, which went
    everywhere = torch.ones(10, 10, dtype=torch.bool)
    assert nano_conv._different(masks, everywhere, 0.7).tolist() == [0, 2, 4]
    assert nano_conv._different(masks, everywhere, 0.5).tolist() == [0, 2]
    photo = everywhere.clone()
    photo[:, :6] = False  # where the padding is, masks do not count
    assert nano_conv._different(masks, photo, 0.7).tolist() == [2]


SQUARES = ((0, 0, 64, 64, 0.5), (8, 8, 40, 40, 0.9), (16, 16, 24, 24, 0.7), (40, 8, 60, 20, 0.8))
"""x0, y0, x1, y1 and predicted IoU of masks on a photo of 64 x 64."""


def squares(*which: int) -> tuple[Tensor, Tensor]:
    logits = torch.full((len(which), 64, 64), -5.0)
    for mask, number in zip(logits, which, strict=True):
        x0, y0, x1, y1 = SQUARES[number][:4]
        mask[y0:y1, x0:x1] = 5
    return logits, torch.tensor([SQUARES[number][4] for number in which])


def ask(small: NanoConvSegmenter, prompts: Prompts, which: tuple[int, ...], multimask: bool) -> list[list[int]]:
    """Numbers of the squares that each prompt gets; -1 for an empty mask."""
    with patch.object(small, "_proposals", lambda embedding, overlap: squares(*which)), torch.no_grad():
        embedding = small.embed(torch.rand(3, 64, 64))
        found = small.masks(embedding, prompts, multimask=multimask)
    known = squares(*which)[0] > 0
    answers = []
    for masks, scores in zip(found.logits > 0, found.predicted_iou, strict=True):
        names = []
        for mask, score in zip(masks, scores, strict=True):
            same = [which[i] for i in range(len(which)) if torch.equal(known[i], mask)]
            assert same or not mask.any()
            assert float(score) == pytest.approx(SQUARES[same[0]][4] if same else 0.0)
            names.append(same[0] if same else -1)
        answers.append(names)
    return answers


def test_a_point_gets_what_the_cell_under_it_proposed(small: NanoConvSegmenter) -> None:
    """Cell (2, 5) of 8 x 8 is under the point (x, y) = (45, 17) of a photo of 64 x 64."""
    with torch.no_grad():
        embedding = small.embed(torch.rand(3, 64, 64))
        weights, quality, pictures = small._heads(embedding)
        own = compose(weights[[21]], torch.tensor([21]), pictures, 8)[0]
        order = quality[21].argsort(descending=True)
        for multimask, k in ((True, 3), (False, 1)):
            found = small.masks(embedding, Prompts.of(points=[(45, 17)]), multimask=multimask)
            torch.testing.assert_close(found.logits[0], own[order[:k]])
            torch.testing.assert_close(found.predicted_iou[0], quality[21][order[:k]])


def test_a_box_gets_the_masks_that_fit_it_best_cut_to_it(small: NanoConvSegmenter) -> None:
    boxes = Prompts.of(boxes=[(16, 16, 24, 24), (8, 8, 40, 40), (40, 8, 60, 20), (40, 8, 40, 8)])
    assert [a[0] for a in ask(small, boxes, (0, 1, 2, 3), False)] == [2, 1, 3, -1]
    with patch.object(small, "_proposals", lambda embedding, overlap: squares(1)), torch.no_grad():
        embedding = small.embed(torch.rand(3, 64, 64))
        found = small.masks(embedding, Prompts.of(boxes=[(8, 8, 30, 40)]), multimask=True)
    cut = torch.zeros(64, 64, dtype=torch.bool)
    cut[8:40, 8:30] = True
    assert torch.equal(found.logits[0, 0] > 0, cut)
    assert not (found.logits[0, 1:] > 0).any()
    assert found.predicted_iou[0].tolist() == [pytest.approx(0.9), 0, 0]


def test_bounds_are_around_the_pixels() -> None:
    masks = squares(1, 3)[0] > 0
    masks[1, 30, 2] = True
    assert nano_conv._bounds(masks).tolist() == [[8, 8, 40, 40], [2, 8, 60, 31]]


@settings(max_examples=60)
@given(st.data())
def test_box_iou_is_that_of_pixels(data: st.DataObject) -> None:
    bits = np.random.default_rng(data.draw(st.integers(0, 999))).random((3, 6, 9)) < 0.5
    x0, y0 = data.draw(st.integers(0, 8)), data.draw(st.integers(0, 5))
    x1, y1 = data.draw(st.integers(x0 + 1, 9)), data.draw(st.integers(y0 + 1, 6))
    box = np.zeros((6, 9), bool)
    box[y0:y1, x0:x1] = True
    wanted = [(mask & box).sum() / (mask | box).sum() for mask in bits]
    found = nano_conv._box_ious(torch.from_numpy(bits), torch.tensor([[x0, y0, x1, y1]]).float())
    np.testing.assert_allclose(found[0].numpy(), wanted, rtol=1e-5)


def test_everything_is_filtered_by_its_settings(small: NanoConvSegmenter) -> None:
    photo = make_photo((128, 128))
    with patch.object(small, "_proposals", lambda embedding, overlap: squares(0, 1, 2, 3)):
        loose = EverythingSettings(predicted_iou_threshold=0.1, stability_threshold=0.1)
        assert segment_everything(small, photo, loose).areas.tolist() == [128**2, 64**2, 16**2, 40 * 24]
        strict = EverythingSettings(predicted_iou_threshold=0.75, stability_threshold=0.1)
        assert segment_everything(small, photo, strict).areas.tolist() == [64**2, 40 * 24]
        large = EverythingSettings(predicted_iou_threshold=0.1, stability_threshold=0.1, min_region_area=300)
        assert segment_everything(small, photo, large).areas.tolist() == [128**2, 64**2, 40 * 24]
        unsure = EverythingSettings(predicted_iou_threshold=0.1, stability_threshold=0.1, stability_offset=6)
        assert len(segment_everything(small, photo, unsure)) == 0


def test_every_weight_can_learn() -> None:
    """Every weight of the network gets a gradient from its masks and predicted IoUs."""
    torch.manual_seed(0)
    model = NanoConv(NanoConvConfig(image_size=64, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), channels=32))
    embedding, fine = model.vision_encoder(torch.randn(2, 3, 64, 64))
    assert embedding.shape == (2, 32, 8, 8)
    weights, quality, prototypes = model.heads(embedding, fine)
    logits = compose(weights[0], torch.arange(64), prototypes[0], 8)
    assert logits.shape == (64, 3, 16, 16)
    (logits.sigmoid().mean() + quality.mean()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_trained_model_finds_things(root: Path) -> None:
    model = load("nano-conv", device="cpu")
    photo = read_image(root / "examples" / "coffee.png")
    found = segment_everything(model, photo)
    assert 3 <= len(found) <= 100
    assert (np.diff(found.predicted_iou) <= 1e-9).all()
    nothing = segment_everything(model, Image(np.full((64, 64, 3), 127, np.uint8)))
    assert len(nothing) < len(found)


def test_weights_of_another_size_are_an_error(tmp_path: Path, root: Path) -> None:
    source = root / "src/segrobust/models/embedded/nano-conv"
    (tmp_path / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes())
    text = (source / "config.json").read_text().replace('"channels": 128', '"channels": 64')
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"does not fit its config\.json"):
        load(str(tmp_path), device="cpu")
