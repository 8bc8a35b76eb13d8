"""How a model is loaded: device, precision, memory. Resolved once, at the door; every family takes the same."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segrobust.errors import ModelError, UsageError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class LoadOptions:
    """Settings of ``models.load``, resolved.

    Attributes:
        device: e.g. ``cpu`` or ``cuda:1``; never ``auto``.
        dtype: of weights and activations.
        autocast: weights stay float32, products are computed in this type (None: off).
        max_memory: bytes that the process may hold on the device during a gradient step, in all (None: what is free);
            decides whether activations are kept or computed again, and how many views are embedded together.
        compile: the encoder's layers are compiled by ``torch.compile``.
        checkpoint: a file of weights to use instead of the known source (None: the known source).
    """

    device: str
    dtype: "torch.dtype"
    autocast: "torch.dtype | None" = None
    max_memory: int | None = None
    compile: bool = False
    checkpoint: Path | None = None


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


def pick_dtype(dtype: "str | torch.dtype") -> "torch.dtype":
    """A dtype by name.

    Raises:
        UsageError: not ``float32``, ``bfloat16`` or ``float16``.
    """
    import torch

    if isinstance(dtype, torch.dtype):
        return dtype
    names = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in names:
        raise UsageError(f"dtype {dtype!r} is not one of {', '.join(names)}")
    return names[dtype]


def pick_autocast(autocast: "str | torch.dtype | None", dtype: "torch.dtype") -> "torch.dtype | None":
    """The type that products are computed in; None: that of the weights.

    Raises:
        UsageError: not ``bfloat16`` or ``float16``, or the weights are not float32.
    """
    import torch

    if autocast is None:
        return None
    kind = pick_dtype(autocast)
    if kind == torch.float32:
        raise UsageError("autocast 'float32' is not one of bfloat16, float16; leave it out")
    if dtype != torch.float32:
        raise UsageError(f"autocast goes with dtype float32, got dtype {str(dtype).removeprefix('torch.')}")
    return kind


_UNITS = {"": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def parse_memory(text: "str | int | None") -> int | None:
    """Bytes written as ``6GiB``, ``500 MB`` or a plain number.

    Raises:
        UsageError: anything else.
    """
    if text is None or isinstance(text, int):
        return text
    plain = text.strip().lower()
    number = plain.rstrip("kmgib ")
    unit = plain[len(number) :].strip()
    try:
        size = float(number) * _UNITS[unit]
    except (ValueError, KeyError):
        raise UsageError(f"memory {text!r} is not a size; write it like 6GiB or 500MB") from None
    if not 0 < size < 2**60:
        raise UsageError(f"memory {text!r} is out of range; write it like 6GiB or 500MB")
    return int(size)
