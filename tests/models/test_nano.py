"""The embedded model: its files, its anatomy, and what its card promises."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from segrobust import Image, Prompts, load, read_image
from segrobust.attacks.recipes import attack
from segrobust.evaluation.evaluate import clean_side, evaluate
from segrobust.models.geometry import to_tensor
from segrobust.models.nano import NanoConfig, NanoSam
from segrobust.models.registry import entries

EXAMPLES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


@pytest.fixture(scope="module")
def nano():
    return load("nano", device="cpu")


@pytest.fixture(scope="module")
def folder(root):
    return root / "src" / "segrobust" / "models" / "embedded" / "nano"


def test_the_weights_are_small_and_half_precision(folder):
    assert (folder / "model.safetensors").stat().st_size < 16_000_000
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        assert {file.get_slice(key).get_dtype() for key in file.keys()} == {"F16"}  # noqa: SIM118 - not a dict


def test_the_table_of_models_counts_its_weights(nano):
    entry = next(e for e in entries() if e.name == "nano")
    assert entry.parameters == sum(p.numel() for p in nano.module.parameters())


def test_it_has_sams_anatomy(nano):
    embedding = nano.embed(torch.rand(3, 100, 150))
    side = nano.frame.side // 16
    assert embedding.features.shape == (1, 192, side, side)
    prompts = Prompts.of(points=[[10, 20], [140, 90]], boxes=[[5, 5, 80, 60]])
    for multimask, k in ((False, 1), (True, 3)):
        prediction = nano.masks(embedding, prompts, multimask=multimask)
        assert prediction.logits.shape == (3, k, 4 * side, 4 * side)
        assert prediction.predicted_iou.shape == (3, k)


def test_the_architecture_is_trainable_from_its_defaults():
    """Every weight of the encoder and decoder gets a gradient from a mask loss, but for the unused mask prompts."""
    torch.manual_seed(0)
    model = NanoSam(
        NanoConfig(image_size=64, widths=(8, 16, 32), depths=(1, 1, 1), attention_layers=1, embedding_channels=32)
    )
    features = model.vision_encoder(torch.randn(2, 3, 64, 64))
    assert features.shape == (2, 32, 4, 4)
    features.square().mean().backward()
    assert all(p.grad is not None for p in model.vision_encoder.parameters())
    scale = model.shared_image_embedding.positional_embedding.detach().std()
    assert 0.5 < float(scale) < 2  # transformers' default would be 16 here, too random to learn from


def test_the_embedding_carries_the_photo(nano, root):
    """A collapsed embedding (the same for every photo) would make every embedding attack meaningless."""
    with torch.no_grad():
        flat = [
            nano.embed(to_tensor(read_image(root / "examples" / name).pixels)).features.flatten() for name in EXAMPLES
        ]
    unit = torch.nn.functional.normalize(torch.stack(flat), dim=1)
    off_diagonal = (unit @ unit.T)[~torch.eye(len(flat), dtype=torch.bool)]
    assert float(off_diagonal.mean()) < 0.6


def test_its_card_holds_the_scores(folder):
    card = json.loads((folder / "card.json").read_text())
    assert card["bsds500_test"]["photos"] == 50
    assert card["bsds500_test"]["cosine_between_photos"] <= 0.6
    text = (folder / "README.md").read_text()
    for table in card.values():
        for kind in ("point", "centre", "box"):
            assert f"{table[f'{kind}_best_of_three']:.3f}" in text


def test_a_box_around_a_disc_gives_the_disc(nano):
    y, x = np.mgrid[:200, :300]
    disc = (x - 120) ** 2 + (y - 90) ** 2 < 50**2
    pixels = np.where(disc[..., None], [200, 60, 40], [60, 90, 160]).astype(np.uint8)
    with torch.no_grad():
        embedding = nano.embed(to_tensor(pixels))
        answer = nano.masks(embedding, Prompts.of(boxes=[[70, 40, 171, 141]])).choose("single").mask(0)
    assert (answer & disc).sum() / (answer | disc).sum() > 0.8


def test_rga_breaks_it_and_noise_does_not(nano, root):
    """The main job, on a small photo: the attack leaves less than noise of the same budget."""
    photo = read_image(root / "examples" / "coffee.png")
    small = Image(photo.pixels[::2, ::2], name="coffee")
    few = replace(nano.everything, points_per_side=12)
    side = clean_side(nano, small, seed=1, everything=few)
    left = {}
    for name, settings in (("noise", {}), ("rga", {"steps": 10})):
        result = attack(nano, small, name, clean_masks=side.masks, seed=1, **settings)
        scores, _ = evaluate(nano, side, result.image, everything=few)
        assert scores.max_linf_255 == 8
        left[name] = scores.references["clean"]["all"].miou
    assert left["rga"] < 0.85 * left["noise"]
