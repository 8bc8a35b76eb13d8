"""models/sam.py against the official predictor, and its promises to the attacks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segrobust.models import load
from segrobust.models.base import Embedding, Prediction, WhiteBox
from segrobust.models.geometry import to_tensor
from segrobust.types import Prompts

CASES = [(f"point{i}_multi{m}", i, bool(m)) for i in range(3) for m in (0, 1)] + [
    (f"box{i}", i, False) for i in range(2)
]


@pytest.fixture(scope="module")
def official(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "predict.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def pixels(golden: Path) -> np.ndarray:
    return np.array(Image.open(golden / "image.png").convert("RGB"))


@pytest.fixture(scope="module")
def resized_by_pil(pixels: np.ndarray, official: dict[str, np.ndarray]) -> torch.Tensor:
    height, width = (int(v) for v in official["resized_hw"])
    return to_tensor(np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)))


@pytest.fixture(scope="module")
def pil_embedding(tiny_sam: WhiteBox, pixels: np.ndarray, resized_by_pil: torch.Tensor) -> Embedding:
    with torch.no_grad():
        return Embedding(tiny_sam.encode(tiny_sam.prepare(resized_by_pil[None])), tiny_sam.geometry(pixels.shape[:2]))


@pytest.fixture(scope="module")
def own_embedding(tiny_sam: WhiteBox, pixels: np.ndarray) -> Embedding:
    with torch.no_grad():
        return tiny_sam.embed(to_tensor(pixels))


def answer(
    sam: WhiteBox, embedding: Embedding, official: dict[str, np.ndarray], case: tuple[str, int, bool]
) -> Prediction:
    name, index, multimask = case
    kind: Any = "points" if name.startswith("point") else "boxes"
    with torch.no_grad():
        prompts = Prompts.of(**{kind: official[kind][index : index + 1]})
        return sam.masks(embedding, prompts, multimask=multimask)


def share_equal(prediction: Prediction, bits: np.ndarray) -> float:
    """The smallest share of equal full-resolution pixels over the k masks."""
    truth = np.unpackbits(bits, axis=-1)[..., : prediction.geometry.original[1]].astype(bool)
    assert prediction.logits.shape[1] == len(truth)
    return min(float((prediction.full_mask(0, j) == truth[j]).mean()) for j in range(len(truth)))


def relative(found: torch.Tensor, wanted: np.ndarray) -> float:
    target = torch.from_numpy(wanted)
    return float((found - target).norm() / target.norm())


def test_golden_file_holds_every_case(official: dict[str, np.ndarray]) -> None:
    stored = {key.removesuffix("_lowres") for key in official if key.endswith("_lowres")}
    assert stored == {name for name, *_ in CASES}


def test_embedding_of_pil_pixels_is_the_official_one(pil_embedding: Embedding, official: dict[str, np.ndarray]) -> None:
    assert relative(pil_embedding.features, official["image_embedding"]) <= 1e-5


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_masks_of_pil_pixels_are_the_official_ones(
    tiny_sam: WhiteBox, pil_embedding: Embedding, official: dict[str, np.ndarray], case: tuple[str, int, bool]
) -> None:
    found = answer(tiny_sam, pil_embedding, official, case)
    np.testing.assert_allclose(found.logits[0].numpy(), official[f"{case[0]}_lowres"], rtol=0, atol=2e-3)
    np.testing.assert_allclose(found.predicted_iou[0].numpy(), official[f"{case[0]}_iou"], rtol=0, atol=2e-3)
    assert share_equal(found, official[f"{case[0]}_mask"]) >= 0.999


def test_own_resize_is_within_one_level_of_pil(
    tiny_sam: WhiteBox, pixels: np.ndarray, resized_by_pil: torch.Tensor
) -> None:
    own = tiny_sam.resize(to_tensor(pixels)[None])[0]
    assert own.shape == resized_by_pil.shape
    assert (own - resized_by_pil).abs().max() <= 1 / 255


def test_embedding_of_own_resize_is_close(own_embedding: Embedding, official: dict[str, np.ndarray]) -> None:
    assert relative(own_embedding.features, official["image_embedding"]) <= 0.02


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_masks_of_own_resize_are_close(
    tiny_sam: WhiteBox, own_embedding: Embedding, official: dict[str, np.ndarray], case: tuple[str, int, bool]
) -> None:
    assert share_equal(answer(tiny_sam, own_embedding, official, case), official[f"{case[0]}_mask"]) >= 0.995


def test_all_prompts_at_once_are_answered_as_one_by_one_points_first(
    tiny_sam: WhiteBox, pil_embedding: Embedding, official: dict[str, np.ndarray]
) -> None:
    with torch.no_grad():
        found = tiny_sam.masks(pil_embedding, Prompts.of(official["points"], official["boxes"]))
    wanted = [official[f"point{i}_multi0_lowres"] for i in range(3)] + [official[f"box{i}_lowres"] for i in range(2)]
    np.testing.assert_allclose(found.logits.numpy(), np.stack(wanted), rtol=0, atol=2e-3)


def test_more_prompts_than_one_decoder_batch(tiny_sam: WhiteBox, pil_embedding: Embedding) -> None:
    points = np.random.default_rng(0).uniform(0, 200, (70, 2))
    with torch.no_grad():
        together = tiny_sam.masks(pil_embedding, Prompts.of(points), multimask=True)
        last = tiny_sam.masks(pil_embedding, Prompts.of(points[-1:]), multimask=True)
    assert together.logits.shape[:2] == together.predicted_iou.shape == (70, 3)
    torch.testing.assert_close(together.logits[-1:], last.logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("multimask", "k"), [(False, 1), (True, 3)])
def test_no_prompts_give_no_masks(tiny_sam: WhiteBox, pil_embedding: Embedding, multimask: bool, k: int) -> None:
    found = tiny_sam.masks(pil_embedding, Prompts.of(), multimask=multimask)
    assert found.logits.shape == (0, k, 64, 64)
    assert found.predicted_iou.shape == (0, k)


def value(sam: WhiteBox, photo: torch.Tensor, what: str) -> torch.Tensor:
    """A number that depends on the pixels through the embedding, or through the mask logits as well."""
    embedding = sam.embed(photo)
    if what == "embedding":
        ramp = torch.linspace(-1, 1, embedding.features.numel()).view_as(embedding.features)
        return (embedding.features * ramp).sum()
    return sam.masks(embedding, Prompts.of([(60, 40)], [(10, 10, 90, 70)])).logits.mean()


@pytest.mark.parametrize("what", ["embedding", "logits"])
def test_gradient_at_the_pixels_is_the_slope(tiny_sam: WhiteBox, pixels: np.ndarray, what: str) -> None:
    photo = to_tensor(pixels)[:, 50:151, 80:211].clamp(0.1, 0.9).requires_grad_()
    (gradient,) = torch.autograd.grad(value(tiny_sam, photo, what), photo)
    assert torch.isfinite(gradient).all()
    assert (gradient.abs().amax(dim=0) > 0).float().mean() > 0.99, "the gradient must reach every pixel"
    # The steepest direction: the slope along it is the gradient's norm, far above float32 noise.
    step = 2e-2 * gradient / gradient.norm()
    with torch.no_grad():
        slope = (value(tiny_sam, photo + step, what) - value(tiny_sam, photo - step, what)) / (2 * step.norm())
    assert float(slope) == pytest.approx(float(gradient.norm()), rel=0.02)


def test_weights_are_frozen_and_in_eval_mode(tiny_sam: WhiteBox, pixels: np.ndarray) -> None:
    module = tiny_sam.module
    assert not any(part.training for part in module.modules())
    photo = to_tensor(pixels).requires_grad_()
    value(tiny_sam, photo, "logits").backward()
    assert photo.grad is not None
    assert all(weight.grad is None and not weight.requires_grad for weight in module.parameters())


def test_a_batch_of_photos_equals_single_ones(tiny_sam: WhiteBox, pixels: np.ndarray) -> None:
    photos = torch.stack([to_tensor(pixels), to_tensor(pixels[:, ::-1]), to_tensor(255 - pixels)])
    with torch.no_grad():
        together = tiny_sam.embed(photos).features
        single = torch.cat([tiny_sam.embed(photo).features for photo in photos])
    torch.testing.assert_close(together, single, rtol=0, atol=1e-5)
    assert (single[0] - single[1]).abs().max() > 0.1


def test_masks_of_several_photos_at_once_are_refused(tiny_sam: WhiteBox, pixels: np.ndarray) -> None:
    with torch.no_grad():
        embedding = tiny_sam.embed(torch.stack([to_tensor(pixels)] * 2))
    with pytest.raises(ValueError, match="one photo, got 2"):
        tiny_sam.masks(embedding, Prompts.of([(1, 1)]))


def test_bfloat16_stays_near_float32(golden: Path, own_embedding: Embedding, pixels: np.ndarray) -> None:
    half = load(str(golden / "tiny-sam"), device="cpu", dtype="bfloat16")
    for part, kind in (
        ("vision_encoder", torch.bfloat16),
        ("mask_decoder", torch.bfloat16),
        ("prompt_encoder", torch.float32),  # a coordinate of a large photo needs its digits
    ):
        assert {weight.dtype for weight in getattr(half.module, part).parameters()} == {kind}
    photo = to_tensor(pixels).requires_grad_()
    embedding = half.embed(photo)
    assert embedding.features.dtype == torch.float32
    error = relative(embedding.features.detach(), own_embedding.features.numpy())
    assert 0 < error < 0.05
    prediction = half.masks(embedding, Prompts.of([(60, 40)], [(10, 10, 90, 70)]))
    assert prediction.logits.dtype == torch.float32
    prediction.logits.mean().backward()
    assert torch.isfinite(photo.grad).all()
    assert photo.grad.abs().max() > 0
