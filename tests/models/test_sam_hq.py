"""SAM-HQ from an official file, against the authors' own code on the same weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_weights import make_weights
from PIL import Image

from segrobust.models import load
from segrobust.models.base import Embedding
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.geometry import to_tensor
from segrobust.types import Prompts


@pytest.fixture(scope="module")
def official(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "sam_hq.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def sam_hq(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> EncoderSegmenter:
    file = tmp_path_factory.mktemp("hq") / "sam_hq.pth"
    torch.save(make_weights(json.loads((golden / "sam_keys.json").read_text())["tiny-sam-hq"]), file)
    return load(str(file), device="cpu")


@pytest.fixture(scope="module")
def embedding(golden: Path, sam_hq: EncoderSegmenter) -> Embedding:
    """Of the photo as PIL resizes it, to 8 bits, which is what the authors' predictor does."""
    photo = Image.open(golden / "image.png").convert("RGB")
    geometry = sam_hq.geometry((photo.height, photo.width))
    small = to_tensor(np.array(photo.resize(geometry.resized[::-1], Image.Resampling.BILINEAR)))
    with torch.no_grad():
        features, extra = sam_hq._run(sam_hq.prepare(small[None]))
    return Embedding(features, geometry, extra)


def close(found: torch.Tensor, wanted: np.ndarray, relative: float = 5e-4) -> bool:
    """The decoder's layer norms add 1e-5 in the authors' code and 1e-6 in transformers: a few 1e-4."""
    return float((found - torch.from_numpy(wanted)).abs().max()) < relative * float(np.abs(wanted).max())


def test_the_embedding_is_the_authors(official: dict[str, np.ndarray], embedding: Embedding) -> None:
    assert close(embedding.features[:, ::4], official["embedding"], 1e-5)


@pytest.mark.parametrize("kind", ["point", "box"])
def test_the_masks_are_the_authors(
    official: dict[str, np.ndarray], sam_hq: EncoderSegmenter, embedding: Embedding, kind: str
) -> None:
    prompts = Prompts.of(**{"points" if kind == "point" else "boxes": official[kind][None]})
    with torch.no_grad():
        single = sam_hq.masks(embedding, prompts)
        three = sam_hq.masks(embedding, prompts, multimask=True)
    assert close(single.logits[0, 0, ::2, ::2], official[f"{kind}_single"])
    assert close(single.predicted_iou[0], official[f"{kind}_single_iou"])
    best = int(three.predicted_iou[0].argmax())
    assert three.logits.shape[:2] == (1, 3)
    assert close(three.logits[0, best, ::2, ::2], official[f"{kind}_best"])
    assert close(three.predicted_iou[0, best : best + 1], official[f"{kind}_best_iou"])
