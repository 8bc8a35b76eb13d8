"""Reading files of weights: safetensors, and PyTorch files without running what is in them."""

import pickle
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segrobust.errors import ModelError
from segrobust.models.sniff import START, megabytes, no_weights, zip_members

if TYPE_CHECKING:
    from torch import Tensor

    State = dict[str, Tensor]

WRAPPERS = ("model", "state_dict", "model_state_dict", "model_state", "params", "net")
"""Keys under which training scripts put the state dict."""


def read_state(path: Path) -> "State":
    """The tensors in a file of weights, by name, on the CPU.

    A PyTorch file is read with ``weights_only=True``: a pickle could run any program. The tensors of a safetensors file
    and of a newer PyTorch file are mapped into memory, not copied.

    Args:
        path: ``.safetensors``, ``.pth`` or ``.pt``; its content decides, not its name. A state dict that a training
            script has wrapped (``{"model": ...}``) is unwrapped, and ``module.`` before every name dropped.

    Raises:
        ModelError: no such file, not a file of weights (says what it is), cut off, or a pickle that needs more.
    """
    size = check_file(path)
    if _is_safetensors(path):
        return _read_safetensors(path, size)
    return unwrap(_read_torch(path, size), path)


def check_file(path: Path) -> int:
    """The size in bytes of a file that may hold weights.

    Raises:
        ModelError: it is not there, cannot be read, or is something else.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            problem = no_weights(stream.read(START), size)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from None
    if problem:
        raise ModelError(f"{path} holds no weights: {problem}")
    return size


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as stream:
        start = stream.read(9)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < 100_000_000


def _read_safetensors(path: Path, size: int) -> "State":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"cannot read {path} ({megabytes(size)}): {_first_line(error)}; is it cut off?") from None


def _read_torch(path: Path, size: int) -> Any:
    import torch

    inside = zip_members(path)
    if inside is not None:
        raise ModelError(f"{path} is a zip archive that holds {', '.join(inside[:3])}; unpack it and name the file")
    with path.open("rb") as stream:
        start = stream.read(2)
    if start != b"PK" and start[:1] != b"\x80":  # a zip archive, or a pickle
        raise ModelError(f"{path} ({megabytes(size)}) is neither a safetensors nor a PyTorch file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols that it may not understand: then it fails below
            return torch.load(path, map_location="cpu", weights_only=True, mmap=start == b"PK")
    except pickle.UnpicklingError as error:
        raise ModelError(_untrusted(path, error)) from None
    except Exception as error:  # a file that was cut off may do anything
        raise ModelError(f"cannot read {path} ({megabytes(size)}): {_first_line(error)}; is it cut off?") from None


def _untrusted(path: Path, error: Exception) -> str:
    """Why ``weights_only`` refused, and what a person who trusts the file types."""
    wanted = re.search(r"(?:GLOBAL |class |type )`?'?([\w.]+)", " ".join(str(error).split()[3:]))
    what = f" (it wants {wanted[1]})" if wanted else ""
    return (
        f"{path} is a pickle that may run code when it is read{what}; if you trust where it comes from, once: "
        f"'segrobust models convert {path} OUT --trust-pickle'"
    )


def unwrap(content: Any, path: Path) -> "State":
    """The state dict in what a file held.

    Raises:
        ModelError: there is none.
    """
    import torch

    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    named = isinstance(content, dict) and all(isinstance(key, str) for key in content)
    state = {k: v for k, v in content.items() if isinstance(v, torch.Tensor)} if named else {}
    if not state:
        keys = f" with the keys {', '.join(map(str, list(content)[:5]))}" if isinstance(content, dict) else ""
        raise ModelError(f"{path} holds no state dict but a {type(content).__name__}{keys}")
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def _first_line(error: Exception) -> str:
    """What went wrong, in a sentence without its advice."""
    line = re.split(r"\. |\n", str(error).strip())[0].rstrip(".")
    return line[:160] or type(error).__name__
