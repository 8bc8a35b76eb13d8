"""SAM-HQ, SAM 2 and SAM 3 against transformers' own forward pass, and the promises of every adapter."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tiny_models
import torch
from contract import (
    check_flat_memory,
    check_geometry,
    check_gradient,
    check_no_state,
    check_sizes_together,
    make_photo,
)
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Sam2Model, Sam3TrackerVideoModel

from segrobust.models import load
from segrobust.models.base import Embedding, EverythingSettings
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.geometry import to_tensor
from segrobust.models.sam_hq import SamHQSegmenter
from segrobust.types import Prompts

SIZE = (70, 100)
POINTS = np.random.default_rng(0).uniform(0, 70, (20, 2))
BOXES = np.concatenate([POINTS / 2, POINTS / 2 + 25], axis=1)


class Pair(NamedTuple):
    """A model as transformers runs it, and the same one loaded from its folder."""

    reference: Any
    segmenter: EncoderSegmenter


@pytest.fixture(scope="module", params=["sam_hq", "sam2", "sam3"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    reference = tiny_models.randomise(getattr(tiny_models, request.param)())
    if request.param == "sam3":  # transformers adds it to a level that it drops: see the test of the whole SAM 3
        nn.init.zeros_(reference.no_memory_embedding)
    folder = tiny_models.write(reference, tmp_path_factory.mktemp(request.param))
    return Pair(reference, load(str(folder), device="cpu"))


@pytest.fixture(scope="module")
def prepared(pair: Pair) -> torch.Tensor:
    return pair.segmenter.prepare(pair.segmenter.resize(to_tensor(make_photo(SIZE).pixels)[None]))


@pytest.fixture(scope="module")
def embedding(pair: Pair) -> Embedding:
    with torch.no_grad():
        return pair.segmenter.embed(to_tensor(make_photo(SIZE).pixels))


def levels(model: Any, inputs: torch.Tensor) -> list[torch.Tensor]:
    """The embedding and what else the decoder takes, as transformers computes them."""
    out = model.get_image_embeddings(inputs)
    return [out[0], out[1][0]] if isinstance(out, tuple) else [out[-1], *out[:-1]]


def ask(model: Any, inputs: torch.Tensor, scale: np.ndarray, multimask: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """All prompts, points first, through transformers' forward; ``scale`` of x and y from the photo to the model."""
    points = torch.tensor(POINTS * scale, dtype=torch.float32)[None, :, None]
    boxes = torch.tensor(BOXES * np.tile(scale, 2), dtype=torch.float32)[None]
    with torch.no_grad():
        outs = [model(inputs, input_points=points, multimask_output=multimask),
                model(inputs, input_boxes=boxes, multimask_output=multimask)]  # fmt: skip
    return torch.cat([o.pred_masks[0] for o in outs]), torch.cat([o.iou_scores[0] for o in outs])


def assert_close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


def test_embedding_is_transformers_own(pair: Pair, embedding: Embedding, prepared: torch.Tensor) -> None:
    wanted = levels(pair.reference, prepared)
    assert wanted[0].std() > 0.1
    assert len(embedding.extra) == len(wanted) - 1
    for found, level in zip((embedding.features, *embedding.extra), wanted, strict=True):
        assert_close(found, level)


@pytest.mark.parametrize("multimask", [False, True])
def test_masks_are_transformers_own(pair: Pair, embedding: Embedding, prepared: torch.Tensor, multimask: bool) -> None:
    side = pair.segmenter.frame.side
    scale = np.array([side / SIZE[1], side / SIZE[0]])
    logits, iou = ask(pair.reference, prepared, scale, multimask)
    assert logits.std() > 0.1
    assert (logits[0] - logits[1]).abs().max() > 1e-3
    with torch.no_grad():
        found = pair.segmenter.masks(embedding, Prompts.of(POINTS, BOXES), multimask=multimask)
    if isinstance(pair.segmenter, SamHQSegmenter):  # its decoder is the authors', to whom test_sam_hq.py holds it
        assert (found.logits - logits).abs().max() > 0.1 * logits.abs().max()  # else ours is no longer needed
        return
    assert_close(found.logits, logits)
    assert_close(found.predicted_iou, iou)


def test_more_prompts_than_one_decoder_batch_are_answered_as_one_by_one(pair: Pair, embedding: Embedding) -> None:
    with torch.no_grad():
        together = pair.segmenter.masks(embedding, Prompts.of(POINTS, BOXES)).logits
        single = [pair.segmenter.masks(embedding, Prompts.of([point])).logits for point in POINTS]
        single += [pair.segmenter.masks(embedding, Prompts.of(boxes=[box])).logits for box in BOXES]
    assert_close(together, torch.cat(single))


CHECKS = [check_gradient, check_geometry, check_sizes_together, check_no_state, check_flat_memory]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(pair: Pair, check: Callable[[EncoderSegmenter], None]) -> None:
    check(pair.segmenter)


def test_weights_are_frozen_and_in_eval_mode(pair: Pair) -> None:
    module: Any = pair.segmenter.module
    assert not any(part.training for part in module.modules())
    assert not any(weight.requires_grad for weight in module.parameters())


def test_bfloat16_stays_near_float32(pair: Pair, embedding: Embedding, tmp_path: Path) -> None:
    half = load(str(tiny_models.write(pair.reference, tmp_path)), device="cpu", dtype="bfloat16")
    assert {w.dtype for w in half.module.vision_encoder.parameters()} == {torch.bfloat16}
    # A coordinate of a large photo needs its digits.
    assert {w.dtype for w in half.module.prompt_encoder.parameters()} == {torch.float32}
    photo = to_tensor(make_photo(SIZE).pixels).requires_grad_()
    found = half.embed(photo)
    assert found.features.dtype == torch.float32
    error = float((found.features.detach() - embedding.features).norm() / embedding.features.norm())
    assert 0 < error < 0.05
    answer = half.masks(found, Prompts.of([(60, 40)], [(10, 10, 60, 50)]))
    assert answer.logits.dtype == answer.predicted_iou.dtype == torch.float32
    answer.logits.square().mean().backward()
    assert torch.isfinite(photo.grad).all()
    assert photo.grad.abs().max() > 0


# --- out of video checkpoints ------------------------------------------------------------------------------------


def test_sam2_out_of_a_video_checkpoint(tmp_path: Path) -> None:
    """The hub's SAM 2 and 2.1 are video models; the photo's part of their weights is taken as it is."""
    video = tiny_models.randomise(tiny_models.sam2_video())
    segmenter = load(str(tiny_models.write(video, tmp_path)), device="cpu")
    assert isinstance(segmenter.module, Sam2Model)
    theirs = video.state_dict()
    for name, weight in segmenter.module.state_dict().items():
        torch.testing.assert_close(weight, theirs[name], rtol=0, atol=0, msg=name)


def test_sam3_out_of_the_whole_model(tmp_path: Path) -> None:
    """As transformers' video tracker embeds a photo, the constant for "no memory" at the level the decoder takes."""
    whole = tiny_models.randomise(tiny_models.sam3_video())
    segmenter = load(str(tiny_models.write(whole, tmp_path)), device="cpu")
    tracker = Sam3TrackerVideoModel.from_pretrained(tmp_path).eval()
    photo = to_tensor(make_photo(SIZE).pixels)[None]
    wanted = levels(tracker, segmenter.prepare(segmenter.resize(photo)))
    with torch.no_grad():
        found = segmenter.embed(photo)
    assert whole.tracker_model.no_memory_embedding.abs().min() > 1e-4
    for ours, theirs in zip((found.features, *found.extra), wanted, strict=True):
        assert_close(ours, theirs)


# --- as training/ exports them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["sam2", "sam"])
def test_half_precision_weights_without_the_second_copy_of_the_encoding(tmp_path: Path, family: str) -> None:
    """The image's positions are then the prompts', and the weights are float32 again."""
    model: Any = tiny_models.randomise(getattr(tiny_models, family)()).half().float()
    model.shared_image_embedding = model.prompt_encoder.shared_embedding
    folder = tiny_models.write(model, tmp_path)
    weights = {key: weight.half() for key, weight in load_file(folder / "model.safetensors").items()}
    weights.pop("shared_image_embedding.positional_embedding", None)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"everything": {"points_per_side": 7}}))
    segmenter = load(str(folder), device="cpu")
    assert segmenter.everything.points_per_side == 7
    assert {weight.dtype for weight in segmenter.module.parameters()} == {torch.float32}
    photo = to_tensor(make_photo((128, 128)).pixels)[None]
    logits, iou = ask(model, segmenter.prepare(photo), np.array([1.0, 1.0]), True)
    with torch.no_grad():
        found = segmenter.masks(segmenter.embed(photo), Prompts.of(POINTS, BOXES), multimask=True)
    assert_close(found.logits, logits)
    assert_close(found.predicted_iou, iou)


# --- what a family sets ------------------------------------------------------------------------------------------


def test_segment_everything_has_the_authors_thresholds(pair: Pair) -> None:
    sam2s = EverythingSettings(predicted_iou_threshold=0.8)
    assert pair.segmenter.everything == (sam2s if pair.segmenter.frame.stretch else EverythingSettings())
