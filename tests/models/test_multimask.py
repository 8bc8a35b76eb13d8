"""Models that show all masks they have for a prompt, and those that do not."""

import numpy as np
import pytest
import torch
from linear import LinearSegmenter

from segrobust.errors import CapabilityError
from segrobust.models.base import Prediction, require_multimask
from segrobust.models.black_box import BlackBox
from segrobust.models.geometry import Geometry
from segrobust.types import Image, Masks, Prompts


def test_all_candidates_in_the_decoders_order() -> None:
    logits = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    scores = torch.arange(12.0).reshape(4, 3)
    prediction = Prediction(logits, scores, Geometry.fit((20, 30), 16))
    candidates = prediction.candidates()
    assert len(candidates) == 3
    for j, masks in enumerate(candidates):
        assert masks.predicted_iou.tolist() == scores[:, j].tolist()
        for i, mask in enumerate(masks):
            np.testing.assert_array_equal(mask, prediction.full_mask(i, j))


def test_a_promptable_model_shows_what_its_decoder_gives() -> None:
    class Thresholds(LinearSegmenter):
        """Three masks: pixels above a quarter, a half, three quarters."""

        def masks(self, embedding, prompts, *, multimask=False):  # type: ignore[no-untyped-def]
            prediction = super().masks(embedding, prompts, multimask=multimask)
            shift = torch.tensor([0.25, 0, -0.25] if multimask else [0.0])[:, None, None]
            return Prediction(prediction.logits + shift, prediction.predicted_iou, prediction.geometry)

    pixels = np.repeat(np.arange(0, 256, 32, dtype=np.uint8)[None, :, None], 3, axis=2)
    model, photo, prompts = Thresholds(), Image(pixels), Prompts.of(points=[[0, 0], [1, 0]])
    assert [masks.areas.tolist() for masks in model.candidates(photo, prompts)] == [[6, 6], [4, 4], [2, 2]]
    assert model.answer(photo, prompts).areas.tolist() == [4, 4]
    assert require_multimask(model) is model


def test_a_model_with_one_answer_says_so_in_one_line() -> None:
    class One(BlackBox):
        def _ask(self, image: Image, prompts: Prompts, rule: str) -> Masks:
            raise AssertionError

    with pytest.raises(CapabilityError, match=r"^model 'one' shows one answer to a prompt.*use the rule [^\n]*$"):
        require_multimask(One("one", points=True, boxes=True, everything=False))
