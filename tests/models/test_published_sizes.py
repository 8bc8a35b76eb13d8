"""The published sizes: their weights are counted, their shapes followed, and one of them runs with random weights."""

import published
import pytest
import torch
from torch import nn

from segrobust.models.base import Embedding
from segrobust.models.encoder import EncoderSegmenter
from segrobust.models.frame import Frame
from segrobust.models.geometry import SAM_MEAN, SAM_STD
from segrobust.models.options import LoadOptions
from segrobust.models.registry import find_entry
from segrobust.models.sam2 import Sam2Segmenter
from segrobust.models.sam_hq import SamHQSegmenter
from segrobust.models.table import ENTRIES
from segrobust.types import Prompts


def test_every_size_in_the_table_is_here() -> None:
    families = {"SAM-HQ", "SAM 2", "SAM 2.1", "SAM 3 (tracker head)"}
    on_hub = {entry.name for entry in ENTRIES if entry.family in families and "/" in entry.name}
    assert on_hub == set(published.NAMES)


@pytest.mark.parametrize("name", published.NAMES)
def test_the_table_counts_the_weights(name: str) -> None:
    entry = find_entry(name)
    assert entry is not None
    assert entry.parameters == sum(weight.numel() for weight in published.build(name).parameters())


def wrap(model: nn.Module, name: str, device: str) -> EncoderSegmenter:
    options = LoadOptions(device=device, dtype=torch.float32)
    if "hq" in name:
        return SamHQSegmenter(model, name, options)
    side = 1008 if "sam3" in name else 1024
    return Sam2Segmenter(model, name, options, Frame(side, SAM_MEAN, SAM_STD, stretch=True))


def follow(segmenter: EncoderSegmenter) -> torch.Tensor:
    """The photo's gradient through the embedding and a mask; shapes are checked on the way."""
    photo = torch.rand(1, 3, 300, 400, device=segmenter.device, requires_grad=True)
    # Not embed: on the device "meta" there is no memory to plan with.
    features, extra = segmenter._encode(segmenter.prepare(segmenter.resize(photo)))
    embedding = Embedding(features, segmenter.geometry((300, 400)), extra)
    tokens = 72 if segmenter.frame.side == 1008 else 64
    assert embedding.features.shape == (1, 256, tokens, tokens)
    prediction = segmenter.masks(embedding, Prompts.of([(200, 100)], [(20, 30, 200, 100)]), multimask=True)
    assert prediction.logits.shape == (2, 3, 4 * tokens, 4 * tokens)
    (gradient,) = torch.autograd.grad(embedding.features.square().mean() + prediction.logits.square().mean(), photo)
    return gradient


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in published.NAMES if "sam2.1" not in name])  # built as sam2
def test_shapes_at_full_size(name: str) -> None:
    """On the device ``meta``: every operation of the pass and of its gradient, but no numbers."""
    assert follow(wrap(published.build(name), name, "meta")).shape == (1, 3, 300, 400)


@pytest.mark.slow
def test_a_gradient_at_full_size() -> None:
    torch.manual_seed(0)
    name = "facebook/sam2.1-hiera-tiny"
    gradient = follow(wrap(published.build(name, "cpu"), name, "cpu"))
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0
