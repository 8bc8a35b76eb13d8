"""models/mobile_sam.py against the official predictor, and its promises to the attacks."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from contract import check_flat_memory, check_geometry, check_gradient, check_no_state, check_sizes_together, make_photo
from kornia.models.sam import Sam
from kornia.models.sam.architecture.mask_decoder import MaskDecoder
from kornia.models.sam.architecture.prompt_encoder import PromptEncoder
from kornia.models.sam.architecture.transformer import TwoWayTransformer
from kornia.models.tiny_vit import TinyViT
from made_weights import fill_by_name, golden_weights
from PIL import Image

from segrobust.errors import MissingError, ModelError
from segrobust.models import load
from segrobust.models.base import Embedding
from segrobust.models.geometry import to_tensor
from segrobust.models.mobile_sam import MobileSamSegmenter
from segrobust.models.options import LoadOptions
from segrobust.models.registry import find_entry
from segrobust.types import Prompts

CHECKS = [check_gradient, check_geometry, check_sizes_together, check_no_state, check_flat_memory]


def small_segmenter(options: LoadOptions | None = None) -> MobileSamSegmenter:
    """128 px, one block a stage."""
    encoder = TinyViT.from_config(
        "5m", img_size=128, mobile_sam=True, embed_dims=(16, 32, 32, 32), depths=(1, 1, 1, 1), num_heads=(2, 2, 2, 2)
    )
    prompts = PromptEncoder(embed_dim=256, image_embedding_size=(8, 8), input_image_size=(128, 128), mask_in_chans=16)
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=64, num_heads=8)
    model = Sam(encoder, prompts, MaskDecoder(transformer_dim=256, transformer=transformer))
    fill_by_name(model)
    return MobileSamSegmenter(model, "small", options or LoadOptions("cpu", torch.float32))


@pytest.fixture(scope="module")
def small() -> MobileSamSegmenter:
    return small_segmenter()


@pytest.fixture(scope="module")
def official(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "mobile_sam.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def mobile(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> MobileSamSegmenter:
    """MobileSAM at full size, from a file like the authors'."""
    path = tmp_path_factory.mktemp("weights") / "mobile_sam.pt"
    torch.save(golden_weights(golden, "mobile_sam"), path)
    segmenter = load("mobile_sam", device="cpu", checkpoint=path)
    assert isinstance(segmenter, MobileSamSegmenter)
    return segmenter


@pytest.fixture(scope="module")
def embedding(mobile: MobileSamSegmenter, golden: Path) -> Embedding:
    """Of the golden photo, resized by PIL as the official predictor does; the only pass through the large encoder."""
    photo = Image.open(golden / "image.png").convert("RGB")
    geometry = mobile.geometry((photo.height, photo.width))
    resized = photo.resize(geometry.resized[::-1], Image.Resampling.BILINEAR)
    with torch.no_grad():
        return Embedding(mobile.encode(mobile.prepare(to_tensor(np.array(resized))[None])), geometry)


def assert_equal(found: torch.Tensor, wanted: np.ndarray) -> None:
    target = torch.from_numpy(wanted)
    assert found.shape == target.shape
    assert float((found - target).norm() / target.norm()) <= 1e-4


def test_embedding_is_the_official_one(embedding: Embedding, official: dict[str, np.ndarray]) -> None:
    assert embedding.features.shape == (1, 256, 64, 64)
    assert_equal(embedding.features[:, ::8, ::4, ::4], official["embedding"])


def test_masks_are_the_official_ones(
    mobile: MobileSamSegmenter, embedding: Embedding, official: dict[str, np.ndarray]
) -> None:
    with torch.no_grad():
        found = mobile.masks(embedding, Prompts.of(official["point"][None]), multimask=True)
    assert found.logits.shape == (1, 3, 256, 256)
    assert_equal(found.logits[0, :, ::4, ::4], official["lowres"])
    assert_equal(found.predicted_iou[0], official["iou"])


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(small: MobileSamSegmenter, check: Callable[[MobileSamSegmenter], None]) -> None:
    check(small)


def test_points_and_boxes_together_are_answered_as_apart(small: MobileSamSegmenter) -> None:
    points, boxes = [(60, 40), (3, 80)], [(10, 10, 90, 70)]
    with torch.no_grad():
        embedding = small.embed(to_tensor(make_photo((90, 130)).pixels))
        together = small.masks(embedding, Prompts.of(points, boxes)).logits
        apart = [small.masks(embedding, p).logits for p in (Prompts.of(points), Prompts.of(boxes=boxes))]
    torch.testing.assert_close(together, torch.cat(apart), rtol=0, atol=1e-5)
    assert (together[1] - together[2]).abs().max() > 1e-3


@pytest.mark.parametrize("half", ["dtype", "autocast"])
def test_bfloat16_stays_near_float32(small: MobileSamSegmenter, half: str) -> None:
    kinds = {"dtype": torch.float32, half: torch.bfloat16}
    low = small_segmenter(LoadOptions("cpu", **kinds))
    assert {weight.dtype for weight in low.module.prompt_encoder.parameters()} == {torch.float32}
    photo = to_tensor(make_photo((90, 130)).pixels)
    prompts = Prompts.of([(60, 40)], [(10, 10, 90, 70)])
    with torch.no_grad():
        found, wanted = (s.masks(s.embed(photo), prompts, multimask=True) for s in (low, small))
    assert found.logits.dtype == found.predicted_iou.dtype == torch.float32
    error = float((found.logits - wanted.logits).norm() / wanted.logits.norm())
    assert 0 < error < 0.1


def test_table_counts_the_weights(mobile: MobileSamSegmenter) -> None:
    entry = find_entry("mobile_sam")
    assert entry is not None
    assert sum(weight.numel() for weight in mobile.module.parameters()) == entry.parameters


def test_without_kornia_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "segrobust.models.mobile_sam")
    monkeypatch.setitem(sys.modules, "kornia.models.sam", None)
    with pytest.raises(MissingError, match=r"kornia.*pip install 'segrobust\[kornia\]'"):
        load("mobile_sam", device="cpu")


def test_weights_are_looked_for_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGROBUST_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="segrobust models download mobile_sam"):
        load("mobile_sam", device="cpu")


def test_file_of_another_model_or_with_a_weight_too_many_is_refused(golden: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(golden_weights(golden, "efficient_sam_ti"), path)
    with pytest.raises(ModelError, match=r"weights\.pt is EfficientSAM-Ti; you asked for mobile_sam"):
        load("mobile_sam", device="cpu", checkpoint=path)
    torch.save(golden_weights(golden, "mobile_sam") | {"extra": torch.ones(1)}, path)
    with pytest.raises(ModelError, match=r"weights\.pt do not fit: 'extra' is none of the model's$"):
        load("mobile_sam", device="cpu", checkpoint=path)


@pytest.mark.slow
def test_gradient_at_full_size(mobile: MobileSamSegmenter) -> None:
    photo = to_tensor(make_photo((101, 131)).pixels)[None].requires_grad_()
    features = mobile.embed(photo).features
    (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
    assert photo.grad is not None
    assert torch.isfinite(photo.grad).all()
    assert (photo.grad != 0).all()
