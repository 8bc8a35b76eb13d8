"""models/efficient_sam.py against the authors' network, and its promises to the attacks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from contract import check_flat_memory, check_geometry, check_gradient, check_no_state, check_sizes_together, make_photo
from made_weights import fill_by_name, golden_weights
from PIL import Image
from torch.nn import functional as F

from segrobust import types
from segrobust.errors import ModelError
from segrobust.models import load
from segrobust.models.base import Embedding, EverythingSettings
from segrobust.models.efficient_sam import CONFIGS, EfficientSamSegmenter
from segrobust.models.efficient_sam_net import EfficientSam, EfficientSamConfig
from segrobust.models.geometry import to_tensor
from segrobust.models.options import LoadOptions
from segrobust.models.registry import entries
from segrobust.regions.everything import segment_everything
from segrobust.types import Prompts

CHECKS = [check_gradient, check_geometry, check_sizes_together, check_no_state, check_flat_memory]


def small_segmenter(options: LoadOptions | None = None) -> EfficientSamSegmenter:
    """128 px, two blocks."""
    config = EfficientSamConfig(width=48, heads=3, depth=2, side=128, channels=64)
    model = EfficientSam(config)
    fill_by_name(model)
    return EfficientSamSegmenter(model, "small", options or LoadOptions("cpu", torch.float32))


@pytest.fixture(scope="module")
def small() -> EfficientSamSegmenter:
    return small_segmenter()


@pytest.fixture(scope="module")
def official(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "efficient_sam_ti.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def tiny(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> EfficientSamSegmenter:
    """EfficientSAM-Ti at full size, from a file like the authors'."""
    path = tmp_path_factory.mktemp("weights") / "efficient_sam_vitt.pt"
    torch.save({"model": golden_weights(golden, "efficient_sam_ti")}, path)
    segmenter = load("efficient_sam_vitt", device="cpu", checkpoint=path)
    assert isinstance(segmenter, EfficientSamSegmenter)
    return segmenter


@pytest.fixture(scope="module")
def embedding(tiny: EfficientSamSegmenter, golden: Path) -> Embedding:
    """Of the golden photo; the only pass through the large encoder here."""
    pixels = np.array(Image.open(golden / "image.png").convert("RGB"))
    with torch.no_grad():
        return tiny.embed(to_tensor(pixels))


def assert_equal(found: torch.Tensor, wanted: np.ndarray) -> None:
    target = torch.from_numpy(wanted)
    assert found.shape == target.shape
    assert float((found - target).norm() / target.norm()) <= 1e-4


def test_embedding_is_the_official_one(embedding: Embedding, official: dict[str, np.ndarray]) -> None:
    assert embedding.features.shape == (1, 256, 64, 64)
    assert_equal(embedding.features[:, ::8, ::4, ::4], official["embedding"])


def ask(
    segmenter: EfficientSamSegmenter, embedding: Embedding, prompts: Prompts, multimask: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``(k, H, W)`` at the photo's resolution, and predicted IoUs ``(k,)``."""
    with torch.no_grad():
        found = segmenter.masks(embedding, prompts, multimask=multimask)
    return found.geometry.restore(found.logits)[0], found.predicted_iou[0]


@pytest.mark.parametrize("kind", ["point", "box"])
def test_masks_are_the_official_ones(
    tiny: EfficientSamSegmenter, embedding: Embedding, official: dict[str, np.ndarray], kind: str
) -> None:
    place = official[kind][None]
    prompts = Prompts.of(place) if kind == "point" else Prompts.of(boxes=place)
    logits, iou = ask(tiny, embedding, prompts, multimask=True)
    assert_equal(logits[:, ::4, ::4], official[f"{kind}_logits"])
    assert_equal(iou, official[f"{kind}_iou"])
    best = int(official[f"{kind}_iou"].argmax())
    single, its_iou = ask(tiny, embedding, prompts, multimask=False)
    assert_equal(single[:, ::4, ::4], official[f"{kind}_logits"][best : best + 1])
    assert_equal(its_iou, official[f"{kind}_iou"][best : best + 1])


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(small: EfficientSamSegmenter, check: Callable[[EfficientSamSegmenter], None]) -> None:
    check(small)


def test_photo_is_stretched_without_antialias(small: EfficientSamSegmenter) -> None:
    photo = to_tensor(make_photo((300, 70)).pixels)[None]
    wanted = F.interpolate(photo, (128, 128), mode="bilinear", align_corners=False)
    torch.testing.assert_close(small.resize(photo), wanted, rtol=0, atol=0)
    # A pixel of a photo four times as large is the mean of the middle four, whatever lies further away.
    large = torch.zeros(1, 1, 512, 512)
    large[..., 1:3, 1:3] = 1
    assert float(small.resize(large)[0, 0, 0, 0]) == 1


def test_single_is_the_best_of_the_three(small: EfficientSamSegmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    iou = torch.tensor([[0.3, 0.2, 0.1], [0.1, 0.2, 0.3], [0.2, 0.3, 0.1]])
    logits = torch.arange(9.0).view(3, 3, 1, 1).expand(-1, -1, 32, 32)
    monkeypatch.setattr(small, "_decoder", lambda *_: (logits, iou))
    embedding = Embedding(torch.zeros(1, 64, 8, 8), small.geometry((90, 70)))
    points = Prompts.of([(1, 2), (3, 4), (5, 6)])
    single, three = (small.masks(embedding, points, multimask=multimask) for multimask in (False, True))
    assert single.logits[:, 0, 0, 0].tolist() == [0, 5, 7]
    assert single.predicted_iou[:, 0].tolist() == iou.amax(dim=1).tolist()
    torch.testing.assert_close(three.logits, logits, rtol=0, atol=0)
    torch.testing.assert_close(three.predicted_iou, iou, rtol=0, atol=0)


def test_a_prompt_has_six_places_and_the_unused_ones_are_one_token(small: EfficientSamSegmenter) -> None:
    tokens = small.module.prompt_encoder(torch.tensor([[[3.0, 4.0]]]), torch.tensor([[1]]))
    assert tokens.shape == (1, 6, 64)
    assert (tokens[0, 1:] == tokens[0, 1]).all()
    assert not (tokens[0, 0] == tokens[0, 1]).all()


def test_everything_uses_the_three_masks(small: EfficientSamSegmenter) -> None:
    every = EverythingSettings(points_per_side=3, predicted_iou_threshold=0, stability_threshold=0)
    photo = make_photo((60, 80))
    found = segment_everything(small, photo, every)
    assert len(found) > 0
    for rle, point in zip(found.rles, found.points, strict=True):
        with torch.no_grad():
            three = small.masks(small.embed(to_tensor(photo.pixels)), Prompts.of([point]), multimask=True)
        assert any(types.encode_mask(three.full_mask(0, k)) == rle for k in range(3))


@pytest.mark.parametrize("half", ["dtype", "autocast"])
def test_bfloat16_stays_near_float32(small: EfficientSamSegmenter, half: str) -> None:
    kinds = {"dtype": torch.float32, half: torch.bfloat16}
    low = small_segmenter(LoadOptions("cpu", **kinds))
    photo = to_tensor(make_photo((90, 130)).pixels)
    prompts = Prompts.of([(60, 40)], [(10, 10, 90, 70)])
    with torch.no_grad():
        found, wanted = (s.masks(s.embed(photo), prompts, multimask=True) for s in (low, small))
    assert found.logits.dtype == found.predicted_iou.dtype == torch.float32
    error = float((found.logits - wanted.logits).norm() / wanted.logits.norm())
    assert 0 < error < 0.1


def test_large_places_keep_their_digits_in_half_precision(small: EfficientSamSegmenter) -> None:
    places, labels = torch.tensor([[[101.3, 77.7]]]), torch.tensor([[1]])
    wanted = small.module.prompt_encoder(places, labels)
    with torch.autocast("cpu", torch.bfloat16):
        found = small.module.prompt_encoder(places, labels)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_table_counts_the_weights_and_s_is_named_as_ti(golden: Path) -> None:
    with torch.device("meta"):
        models = {name: EfficientSam(config) for name, config in CONFIGS.items()}
    listed = {entry.name: entry.parameters for entry in entries()}
    for name, model in models.items():
        assert sum(weight.numel() for weight in model.parameters()) == listed[name]
    small, large = (model.state_dict() for model in models.values())
    assert list(small) == list(large)
    assert large["image_encoder.pos_embed"].shape == (1, 197, 384)


def test_file_of_the_other_size_is_refused(golden: Path, tmp_path: Path) -> None:
    torch.save({"model": golden_weights(golden, "efficient_sam_ti")}, tmp_path / "ti.pt")
    with pytest.raises(
        ModelError, match=r"ti\.pt is EfficientSAM-Ti; you asked for efficient_sam_vits: .* efficient_sam_vitt$"
    ):
        load("efficient_sam_vits", device="cpu", checkpoint=tmp_path / "ti.pt")


def test_file_that_lacks_a_weight_is_refused(golden: Path, tmp_path: Path) -> None:
    weights = golden_weights(golden, "efficient_sam_ti")
    del weights["mask_decoder.iou_token.weight"]
    torch.save({"model": weights}, tmp_path / "ti.pt")
    with pytest.raises(ModelError, match=r"ti\.pt do not fit: 'mask_decoder\.iou_token\.weight' is missing$"):
        load("efficient_sam_vitt", device="cpu", checkpoint=tmp_path / "ti.pt")


def test_weights_are_looked_for_in_the_cache(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGROBUST_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="segrobust models download efficient_sam_vitt"):
        load("efficient_sam_vitt", device="cpu")
    (tmp_path / "weights").mkdir()
    torch.save({"model": golden_weights(golden, "efficient_sam_ti")}, tmp_path / "weights" / "efficient_sam_vitt.pt")
    found = load("efficient_sam_vitt", device="cpu")
    assert found.name == "efficient_sam_vitt"
    assert len(found.fingerprint) == 64


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_gradient_at_full_size(name: str) -> None:
    model = EfficientSam(CONFIGS[name])
    fill_by_name(model)
    segmenter = EfficientSamSegmenter(model, name, LoadOptions("cpu", torch.float32))
    photo = to_tensor(make_photo((101, 131)).pixels)[None].requires_grad_()
    features = segmenter.embed(photo).features
    (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
    assert photo.grad is not None
    assert torch.isfinite(photo.grad).all()
    assert (photo.grad != 0).all()
