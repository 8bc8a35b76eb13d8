"""Names of models. Importing this module must stay cheap: ``ls models`` and ``--help`` read it without torch."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from segrobust.errors import ModelError, UsageError

if TYPE_CHECKING:
    import torch

    from segrobust.models.base import WhiteBox


@dataclass(frozen=True)
class ModelEntry:
    """One line of ``segrobust ls models``.

    Attributes:
        name: what to type.
        family: architecture.
        parameters: number of weights.
        capabilities: what it can do.
        licence: of the weights.
        source: where the weights come from.
    """

    name: str
    family: str
    parameters: int
    capabilities: tuple[str, ...]
    licence: str
    source: str


_ALL = ("gradient", "points", "boxes", "everything")
_ENTRIES = (
    ModelEntry("nano", "nano (SAM decoder)", 6_526_480, _ALL, "research use", "shipped with segrobust"),
    ModelEntry("facebook/sam-vit-base", "SAM", 93_735_472, _ALL, "Apache-2.0", "Hugging Face"),
    ModelEntry("facebook/sam-vit-large", "SAM", 312_342_832, _ALL, "Apache-2.0", "Hugging Face"),
    ModelEntry("facebook/sam-vit-huge", "SAM", 641_090_608, _ALL, "Apache-2.0", "Hugging Face"),
)


def entries() -> tuple[ModelEntry, ...]:
    """Every model that :func:`load` knows by name."""
    return _ENTRIES


def load(name: str, *, device: str = "auto", dtype: "str | torch.dtype" = "float32") -> "WhiteBox":
    """Load a segmenter.

    Args:
        name: ``nano``; a Hugging Face name such as ``facebook/sam-vit-base``; or a folder that holds a
            transformers ``SamModel`` or a nano model (``config.json`` and ``model.safetensors``).
        device: ``auto`` (CUDA, then MPS, then CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        dtype: ``float32``, ``bfloat16`` or ``float16`` for weights and activations.

    Raises:
        ModelError: the name is unknown, or the weights are not here.
    """
    known = {entry.name for entry in _ENTRIES}
    on_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None and not get_close_matches(name, known, n=1, cutoff=0.9)
    if name not in known and not Path(name).is_dir() and not on_hub:
        close = get_close_matches(name, known, n=1, cutoff=0.5)
        advice = f"; did you mean {close[0]!r}?" if close else ""
        raise ModelError(f"unknown model {name!r}{advice} (a name from 'segrobust ls models', or a folder)")
    from segrobust.models import loading

    where = pick_device(device)
    kind = _dtype(dtype)
    if name == "nano":
        return loading.load_folder(Path(__file__).parent / "embedded" / "nano", "nano", where, kind)
    if Path(name).is_dir():
        return loading.load_folder(Path(name), name, where, kind)
    return loading.load_hub(name, where, kind)


def pick_device(device: str) -> str:
    """Resolve ``auto``; refuse a device that is not here.

    Raises:
        UsageError: not a device name.
        ModelError: a device this machine does not have.
    """
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise UsageError(f"device {device!r} is not one of auto, cpu, cuda, cuda:N, mps") from None
    count = torch.cuda.device_count()
    if wanted.type == "cuda" and (wanted.index or 0) >= count:
        raise ModelError(f"device {device!r} is not here: this machine has {count} CUDA devices; use --device cpu")
    if wanted.type == "mps" and not torch.backends.mps.is_available():
        raise ModelError("device 'mps' is not here; use --device cpu")
    return device


def _dtype(dtype: "str | torch.dtype") -> "torch.dtype":
    import torch

    if isinstance(dtype, torch.dtype):
        return dtype
    names = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in names:
        raise UsageError(f"dtype {dtype!r} is not one of {', '.join(names)}")
    return names[dtype]
