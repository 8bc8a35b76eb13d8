"""The adapter beside ultralytics' own FastSAM predictor, on the same network and the same photos."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from contract import make_photo
from ultralytics.models.fastsam import FastSAMPredictor
from ultralytics.utils.nms import TorchNMS

from segrobust.models.everything_first import answer_boxes, answer_points
from segrobust.models.fast_sam import FastSam
from segrobust.models.geometry import to_tensor
from segrobust.types import Bools, Image, Masks, Prompts

SIZES = [(100, 140), (333, 200), (256, 256), (640, 427), (31, 97), (9, 5), (3, 300)]


@pytest.fixture(scope="module")
def predictor(fast_sam: FastSam) -> Any:
    settings = fast_sam.everything
    made = FastSAMPredictor(
        overrides={
            "conf": settings.predicted_iou_threshold,
            "iou": settings.box_nms_threshold,
            "imgsz": settings.image_size,
            "max_det": settings.max_masks,
            "retina_masks": True,
            "rect": True,  # as `FastSAM(...).predict` sets it
            "device": "cpu",
            "mode": "predict",
            "save": False,
            "verbose": False,
        }
    )
    network = copy.deepcopy(fast_sam.module)
    network.fuse = lambda verbose: network  # batch norms fused into convolutions move every logit by its rounding
    made.setup_model(network)
    return made


def colourful(size: tuple[int, int], seed: int) -> Image:
    """A photo whose red is not its blue."""
    pixels = make_photo(size, seed).pixels.astype(np.float64) * [1.0, 0.7, 0.2]
    return Image(pixels.astype(np.uint8))


def bgr(photo: Image) -> Any:
    return np.ascontiguousarray(photo.pixels[..., ::-1])


def dense(result: Any) -> Bools:
    if result.masks is None:
        return np.zeros((0, *result.orig_shape), np.bool_)
    found: Bools = result.masks.data.bool().cpu().numpy()
    return found


def differing(found: Bools, wanted: Bools) -> float:
    return float((found != wanted).mean()) if found.size else 0.0


@pytest.mark.parametrize("size", SIZES)
def test_the_masks_are_those_of_the_predictor(fast_sam: FastSam, predictor: Any, size: tuple[int, int]) -> None:
    photo = colourful(size, sum(size))
    (result,) = predictor(bgr(photo))
    found = fast_sam.find_masks(photo, fast_sam.everything)
    wanted = dense(result)
    assert len(found) == len(wanted)
    assert len(found) > 3
    np.testing.assert_allclose(found.predicted_iou, result.boxes.conf.cpu().numpy(), atol=1e-4)
    assert differing(found.dense(), wanted) < 1e-4


def test_red_and_blue_are_not_swapped(fast_sam: FastSam, predictor: Any) -> None:
    photo = colourful((120, 150), 3)
    right, swapped = dense(predictor(bgr(photo))[0]), dense(predictor(photo.pixels)[0])
    found = fast_sam.find_masks(photo, fast_sam.everything).dense()
    assert found.shape != swapped.shape or differing(found, swapped) > 0.01
    assert differing(found, right) < 1e-4
    seen: list[torch.Tensor] = []
    hook = fast_sam.module.model[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    fast_sam.find_masks(Image(red), fast_sam.everything)
    hook.remove()
    torch.testing.assert_close(seen[0], torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 256, 256))


def one_by_one(predictor: Any, photo: Image, **prompts: Any) -> Bools:
    predictor.set_prompts({})
    (everything,) = predictor(bgr(photo))
    answers = []
    for kind, values in prompts.items():
        for value in values:
            (result,) = predictor.prompt(everything, **{kind: [value]})
            answers.append(dense(result).any(axis=0))  # of a point: the union of all that contain it
    return np.stack(answers)


@pytest.mark.parametrize("size", [(100, 140), (333, 200)])
def test_prompts_are_answered_as_the_predictor_answers_them(
    fast_sam: FastSam, predictor: Any, size: tuple[int, int]
) -> None:
    photo, random = colourful(size, 8), np.random.default_rng(5)
    height, width = size
    points = [[int(random.integers(width)), int(random.integers(height))] for _ in range(12)]
    near = [[int(random.integers(width // 2)), int(random.integers(height // 2))] for _ in range(12)]
    boxes = [[x, y, int(random.integers(x + 2, width)), int(random.integers(y + 2, height))] for x, y in near]
    wanted = one_by_one(predictor, photo, points=points, bboxes=boxes)
    answers = fast_sam.answer(photo, Prompts.of(points, boxes)).dense()
    assert answers.shape == wanted.shape
    assert wanted.any(axis=(1, 2)).sum() > 15
    for found, right in zip(answers, wanted, strict=True):
        assert differing(found, right) < 1e-4


def test_the_rules_alone_agree_exactly(predictor: Any) -> None:
    """On the predictor's own masks, so that no rounding can hide a wrong choice."""
    photo, random = colourful((90, 120), 4), np.random.default_rng(6)
    (everything,) = predictor(bgr(photo))
    masks = Masks.from_dense(dense(everything), predicted_iou=everything.boxes.conf.double().numpy())
    points = random.integers(0, [120, 90], (40, 2))
    corners = np.sort(random.integers(0, [120, 90], (40, 2, 2)), axis=1)
    boxes = corners.reshape(-1, 4)[(corners[:, 1] > corners[:, 0]).all(axis=1)]
    wanted = one_by_one(predictor, photo, points=points.tolist(), bboxes=boxes.tolist())
    found = np.concatenate([answer_points(masks, points).dense(), answer_boxes(masks, boxes).dense()])
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("size", SIZES)
def test_the_white_box_sees_what_the_predictor_sees(fast_sam: FastSam, predictor: Any, size: tuple[int, int]) -> None:
    photo = colourful(size, 11)
    predictor.setup_source([bgr(photo)])
    predicted = predictor.preprocess([bgr(photo)])
    prepared = fast_sam.prepare(fast_sam.resize(to_tensor(photo.pixels)[None]))
    assert prepared.shape == predicted.shape
    assert (prepared - predicted).abs().max() < 1.6 / 255  # the source rounds to 8 bits, in fixed point


def test_nms_in_plain_torch_is_that_of_ultralytics() -> None:
    random = torch.Generator().manual_seed(0)
    near = torch.rand((200, 2), generator=random) * 50
    boxes = torch.cat([near, near + 5 + torch.rand((200, 2), generator=random) * 30], dim=1)
    scores = torch.rand(200, generator=random)
    for threshold in (0.3, 0.7, 0.9):
        operator = torch.ops.torchvision.nms(boxes, scores, threshold)
        assert 20 < len(operator) < 200 if threshold < 0.9 else len(operator) > 20
        assert operator.tolist() == TorchNMS.nms(boxes, scores, threshold).tolist()
