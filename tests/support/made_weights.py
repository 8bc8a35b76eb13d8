"""Weights that are made from their names: those the golden files of MobileSAM and EfficientSAM were computed with."""

import json
import math
import zlib
from pathlib import Path

import torch
from torch import Tensor, nn


def make_weights(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """The state dict of these names and shapes; see tests/golden/README.md."""
    return {name: _make(name, shape) for name, shape in shapes.items()}


def golden_weights(golden: Path, name: str) -> dict[str, Tensor]:
    """The weights behind ``{name}.npz``, in the authors' naming."""
    return make_weights(json.loads((golden / f"{name}_keys.json").read_text()))


def fill_by_name(model: nn.Module) -> nn.Module:
    """The same rule for a network of any size; in eval mode."""
    model.load_state_dict(make_weights({key: list(value.shape) for key, value in model.state_dict().items()}))
    return model.eval()


def _make(name: str, shape: list[int]) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if name.endswith("running_var"):
        return 1 + 0.1 * noise.abs()
    if len(shape) == 1 and name.endswith("weight"):
        return 1 + 0.05 * noise
    if len(shape) < 2:
        return 0.02 * noise
    return noise if "gaussian" in name else noise / math.sqrt(noise[0].numel())
