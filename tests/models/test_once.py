"""A photo that is asked about several times is embedded once, and every answer stays what it was."""

import numpy as np
import pytest
import torch
from answering import Bright
from linear import LinearSegmenter

from segrobust.models.base import Embedding
from segrobust.models.geometry import to_tensor
from segrobust.models.once import embedded_once
from segrobust.regions.everything import segment_everything
from segrobust.types import Image, Prompts


class Counting(LinearSegmenter):
    def __init__(self) -> None:
        self.embedded = 0

    def embed(self, images: torch.Tensor) -> Embedding:
        self.embedded += 1
        return super().embed(images)


def photo(seed: int) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8))


ASKED = Prompts.of([(3, 4), (9, 9)], [(1, 1, 8, 8)])


def answers(model: Counting, image: Image) -> list[object]:
    found = [model.answer(image, ASKED), *model.candidates(image, ASKED), segment_everything(model, image)]
    return [masks.rles for masks in found]


def test_all_questions_about_a_photo_share_its_embedding() -> None:
    model, first, second = Counting(), photo(1), photo(2)
    plain = [answers(model, first), answers(model, second)]
    assert model.embedded == 6
    with embedded_once(model):
        assert [answers(model, first), answers(model, second)] == plain
        assert model.embedded == 8
        answers(model, first)  # only the last one is kept
        assert model.embedded == 9
    answers(model, first)
    assert model.embedded == 12


def test_an_error_leaves_the_model_as_it_was_and_gradients_are_made_anew() -> None:
    model = Counting()
    images = to_tensor(photo(0).pixels)[None].requires_grad_()
    with embedded_once(model):
        assert model.embed(images) is not model.embed(images)
        assert model.embedded == 2
    with pytest.raises(ValueError, match="one photo"), torch.no_grad(), embedded_once(model):
        raise ValueError("of one photo")
    assert "embed" not in vars(model)


def test_a_black_box_is_left_alone() -> None:
    model = Bright()
    before = dict(vars(model))
    with embedded_once(model):
        assert vars(model) == before
