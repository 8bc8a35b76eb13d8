"""Presence scores: where they come from, what is pushed, and who has none."""

import math
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from linear import LinearSegmenter

from segrobust.attacks.objectives.masks import ABSENT, Absent
from segrobust.attacks.recipes import attack, make_recipe
from segrobust.errors import CapabilityError
from segrobust.models import load
from segrobust.models.base import Prediction
from segrobust.models.geometry import Geometry, to_tensor
from segrobust.types import Image, Prompts

SIZE = (60, 80)
POINTS = np.array([[10.0, 12.0], [50.0, 30.0], [70.0, 55.0]])


def photo() -> Image:
    small = np.random.default_rng(0).integers(30, 220, (6, 8, 3), dtype=np.uint8)
    return Image(small.repeat(10, 0).repeat(10, 1), name="photo")


@pytest.fixture(scope="module", params=["sam2", "sam3"])
def pair(request, tmp_path_factory) -> tuple[Any, Any]:
    reference = tiny_models.randomise(getattr(tiny_models, request.param)())
    if request.param == "sam3":
        torch.nn.init.zeros_(reference.no_memory_embedding)
    return reference, load(str(tiny_models.write(reference, tmp_path_factory.mktemp(request.param))), device="cpu")


def answers(segmenter: Any, image: Image) -> Prediction:
    with torch.no_grad():
        return segmenter.masks(segmenter.embed(to_tensor(image.pixels)), Prompts.of(POINTS, [(5, 5, 40, 50)]))


def test_it_is_transformers_own_object_score(pair) -> None:
    reference, segmenter = pair
    inputs = segmenter.prepare(segmenter.resize(to_tensor(photo().pixels)[None]))
    scale = segmenter.frame.side / np.array(SIZE[::-1])
    points = torch.tensor(POINTS * scale, dtype=torch.float32)[None, :, None]
    with torch.no_grad():
        wanted = reference(inputs, input_points=points, multimask_output=False).object_score_logits[0, :, 0]
    found = answers(segmenter, photo()).presence
    assert found.shape == (4,)
    torch.testing.assert_close(found[:3], wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


def test_the_attack_lowers_it(pair) -> None:
    _, segmenter = pair
    result = attack(segmenter, photo(), "absence", steps=4, points=4, tau=-1e3)
    assert result.loss[-1] < result.loss[0]
    assert result.encoder_backward == 4
    again = attack(segmenter, photo(), "absence", steps=4, points=4, tau=-1e3)
    assert np.array_equal(result.image.pixels, again.image.pixels)
    assert 0 < np.abs(result.image.pixels.astype(int) - photo().pixels).max() <= 8
    assert answers(segmenter, result.image).presence.mean() < answers(segmenter, photo()).presence.mean()


def test_what_is_below_tau_is_left_alone() -> None:
    geometry = Geometry.fit(SIZE, 64)
    presence = torch.tensor([2.0, ABSENT - 1, -1.0], requires_grad=True)
    answer = Prediction(torch.zeros(3, 1, 4, 4), torch.zeros(3, 1), geometry, presence)
    losses = Absent()(answer)
    torch.testing.assert_close(losses, torch.tensor([2.0, math.log(1 / 99), -1.0]))
    assert torch.autograd.grad(losses.sum(), presence)[0].tolist() == [1.0, 0.0, 1.0]


def test_who_has_none_is_told_in_one_line() -> None:
    told = "^model 'linear' has no presence score .SAM 2 and SAM 3 have one.; use the attack 'doubt'"
    with pytest.raises(CapabilityError, match=told) as caught:
        attack(LinearSegmenter(), photo(), "absence", steps=1)
    assert "\n" not in str(caught.value)


def test_where_it_asks() -> None:
    assert make_recipe("absence").goal.needs == ("decoder",)
    assert make_recipe("absence", boxes=1).goal.needs == ("decoder", "masks")
