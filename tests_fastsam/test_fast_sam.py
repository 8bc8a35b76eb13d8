"""What every adapter must keep, and what is FastSAM's own."""

import copy
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

import numpy as np
import pytest
import torch
from contract import (
    check_black_box_geometry,
    check_flat_memory,
    check_gradient,
    check_no_state,
    check_sizes_together,
    make_photo,
)
from torch import Tensor
from torch.nn import functional as F

from segrobust.attacks.recipes import attack
from segrobust.models import fast_sam as module
from segrobust.models.base import EverythingFirst, EverythingSettings, Promptable, WhiteBox
from segrobust.models.fast_sam import FastSam, FastSamSettings
from segrobust.models.geometry import to_tensor
from segrobust.models.options import LoadOptions
from segrobust.regions.everything import segment_everything
from segrobust.types import Budget, Image, Masks, Prompts

PROMPTS = Prompts.of([(20, 30), (5, 7)], [(10, 10, 40, 40)])


def test_it_is_a_white_box_that_finds_masks_first(fast_sam: FastSam) -> None:
    assert isinstance(fast_sam, WhiteBox)
    assert isinstance(fast_sam, EverythingFirst)
    assert fast_sam.capabilities.names() == ("gradient", "points", "boxes", "everything")


def test_gradients_reach_the_pixels(fast_sam: FastSam) -> None:
    check_gradient(fast_sam)


def test_no_state_is_kept(fast_sam: FastSam) -> None:
    check_no_state(fast_sam)


def test_memory_stays_flat_over_fifty_photos(fast_sam: FastSam) -> None:
    check_flat_memory(fast_sam)


def test_photos_of_different_sizes(fast_sam: FastSam) -> None:
    check_sizes_together(fast_sam)


@contextmanager
def brightness(segmenter: FastSam) -> Iterator[None]:
    """The network replaced by one whose only mask is what is brighter than grey; its box is the whole input."""

    def encode(inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return F.avg_pool2d(inputs.mean(dim=1, keepdim=True), module.COARSER) - 0.5, ()

    def detect(features: Tensor, others: tuple[Tensor, ...], settings: EverythingSettings) -> module._Found:
        height, width = features.shape[-2:]
        box = torch.tensor([[0.0, 0.0, width, height]]) * module.COARSER
        return module._Found(box, torch.ones(1), torch.ones((1, 1)), features[0])

    with patch.object(segmenter, "_encode", encode), patch.object(segmenter, "_detect", detect):
        yield


def test_a_mask_comes_back_where_it_was(fast_sam: FastSam) -> None:
    with brightness(fast_sam):
        check_black_box_geometry(fast_sam)


def test_a_mask_of_the_white_box_comes_back_where_it_was(fast_sam: FastSam) -> None:
    embedding_first = partial(Promptable.answer, fast_sam)
    with brightness(fast_sam), patch.object(fast_sam, "answer", embedding_first):
        check_black_box_geometry(fast_sam)


def overlap(a: Masks, b: Masks) -> list[float]:
    return [float((x & y).sum() / max((x | y).sum(), 1)) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("rule", ["single", "best"])
def test_the_white_box_answers_as_the_black_box_but_coarser(fast_sam: FastSam, rule: str) -> None:
    photo = make_photo((200, 256), 3)
    random = np.random.default_rng(1)
    prompts = Prompts.of(random.integers(0, 200, (8, 2)), [(10, 10, 200, 150), (100, 50, 240, 190)])
    black, white = fast_sam.answer(photo, prompts, rule), Promptable.answer(fast_sam, photo, prompts, rule)
    assert np.median(overlap(black, white)) > 0.9


def test_single_is_the_union_and_best_one_of_its_masks(fast_sam: FastSam) -> None:
    photo = make_photo((120, 150), 2)
    union, best = fast_sam.answer(photo, PROMPTS), fast_sam.answer(photo, PROMPTS, "best")
    everything = segment_everything(fast_sam, photo)
    assert len(everything) > 10
    assert list(everything.predicted_iou) == sorted(everything.predicted_iou, reverse=True)
    assert best.rles[0] in everything.rles
    assert union.rles[0] not in everything.rles
    assert not (best.mask(0) & ~union.mask(0)).any()
    assert best.rles[2] == union.rles[2]
    with pytest.raises(ValueError, match="'union'"):
        fast_sam.answer(photo, PROMPTS, "union")


def test_nothing_found_is_an_empty_mask(fast_sam: FastSam) -> None:
    nothing = dataclasses.replace(fast_sam.everything, predicted_iou_threshold=1.0)
    photo = make_photo((50, 70))
    with patch.object(fast_sam, "everything", nothing):
        assert len(segment_everything(fast_sam, photo)) == 0
        for rule in ("single", "best"):
            answers = fast_sam.answer(photo, PROMPTS, rule)
            assert answers.areas.tolist() == [0, 0, 0]
            assert answers.predicted_iou.tolist() == [0, 0, 0]
            assert Promptable.answer(fast_sam, photo, PROMPTS, rule).areas.tolist() == [0, 0, 0]
        pixels = to_tensor(photo.pixels)[None].requires_grad_()
        fast_sam.masks(fast_sam.embed(pixels), PROMPTS).logits.sum().backward()
        assert not pixels.grad.any()  # zero, which attacks name as such, not an error inside torch


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_photos_of_a_few_pixels(fast_sam: FastSam, size: tuple[int, int]) -> None:
    answers = fast_sam.answer(make_photo(size), Prompts.of([(0, 0)], [(0, 0, 1, 1)]))
    assert answers.size == size
    assert len(answers) == 2


def test_the_photo_scaled_to_the_image_size_or_left_as_it_is(fast_sam: FastSam) -> None:
    assert FastSamSettings().image_size == 1024
    assert fast_sam.geometry((1500, 2250)).side == 256
    with patch.object(fast_sam, "everything", dataclasses.replace(fast_sam.everything, image_size=0)):
        assert fast_sam.geometry((1500, 2250)).side == 2272  # the next multiple of 32, and the photo is scaled to it
        assert fast_sam.geometry((1500, 2250)).resized == (1515, 2272)
        assert fast_sam.prepare(torch.zeros((1, 3, 1515, 2272))).shape == (1, 3, 1536, 2272)


def test_settings_are_heeded_and_can_be_read_back_from_a_record(fast_sam: FastSam) -> None:
    photo, settings = make_photo((120, 150), 2), fast_sam.everything
    few = fast_sam.find_masks(photo, dataclasses.replace(settings, max_masks=5))
    assert 0 < len(few) <= 5  # as in the source, counted before masks without pixels are dropped
    assert few.rles == fast_sam.find_masks(photo, settings).rles[: len(few)]
    sure = fast_sam.find_masks(photo, dataclasses.replace(settings, predicted_iou_threshold=0.8))
    assert 0 < len(sure) < 40
    assert min(sure.predicted_iou) > 0.8
    apart = fast_sam.find_masks(photo, dataclasses.replace(settings, box_nms_threshold=0.1))
    assert len(apart) < len(fast_sam.find_masks(photo, settings))
    assert type(settings)(**dataclasses.asdict(settings)) == settings
    plain = EverythingSettings(predicted_iou_threshold=0.8, box_nms_threshold=0.9)
    assert fast_sam.find_masks(photo, plain).rles == sure.rles


def test_an_attack_moves_the_features(fast_sam: FastSam) -> None:
    photo = make_photo((90, 120), 5)
    budget = Budget.parse("8/255")
    attacked = attack(fast_sam, photo, "rga-untargeted", budget=budget, steps=3).image
    noise = np.random.default_rng(0).choice([-8, 8], photo.pixels.shape)
    noisy = Image(np.clip(photo.pixels.astype(int) + noise, 0, 255).astype(np.uint8))

    def cosine(other: Image) -> float:
        with torch.no_grad():
            a, b = (fast_sam.embed(to_tensor(x.pixels)[None]).features.flatten() for x in (photo, other))
        return float(F.cosine_similarity(a, b, dim=0))

    assert np.abs(attacked.pixels.astype(int) - photo.pixels).max() <= 8
    assert cosine(attacked) < cosine(noisy) - 0.01


def test_layers_computed_again_give_the_same_gradient(fast_sam: FastSam) -> None:
    gradients = []
    for again in (False, True):
        inputs = make_inputs().requires_grad_()
        fast_sam._encode_with(inputs, again, None)[0].square().mean().backward()
        gradients.append(inputs.grad)
    assert gradients[0].any()
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-9)


def make_inputs() -> Tensor:
    return to_tensor(make_photo((64, 96)).pixels)[None]


def test_an_attack_on_a_photo_that_keeps_its_size(fast_sam: FastSam) -> None:
    settings = dataclasses.replace(fast_sam.everything, image_size=0)
    own_size = FastSam(fast_sam.module, "own size", LoadOptions("cpu", torch.float32), everything=settings)
    photo = make_photo((25, 50), 5)
    assert own_size.embed(to_tensor(photo.pixels)[None]).features.shape[-2:] == (2, 4)  # 32x64 at stride 16
    assert attack(own_size, photo, "rga-untargeted", steps=1).loss


def test_half_precision(fast_sam: FastSam) -> None:
    photo, options = make_photo((120, 150), 2), LoadOptions("cpu", torch.bfloat16)
    half = FastSam(copy.deepcopy(fast_sam.module), "half", options, everything=fast_sam.everything)
    assert half.module.model[0].conv.weight.dtype == torch.bfloat16
    assert half.module.model[-1].cv2[0][0].conv.weight.dtype == torch.float32
    assert half.embed(to_tensor(photo.pixels)[None]).features.dtype == torch.float32
    assert len(half.find_masks(photo, half.everything)) > 10
