"""``torch.compile`` for the layers of an encoder."""

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import torch

from segrobust.errors import MissingError


class Compiler:
    """Compiles functions, each once: called with a function, gives its compiled form.

    Layers are compiled one by one, not the whole encoder at once: equal layers share what was compiled for the first,
    so a large encoder costs little more than a small one, and activations can still be computed again layer by layer.

    Args:
        device: what to compile for.

    Raises:
        MissingError: there is no C++ compiler, which PyTorch needs for the CPU.
    """

    def __init__(self, device: torch.device) -> None:
        if device.type == "cpu":
            require_cpp_compiler()
        self._compiled: dict[Callable[..., Any], Callable[..., Any]] = {}

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The compiled function; compiling itself happens when it is first called with such arguments."""
        if function not in self._compiled:
            self._compiled[function] = torch.compile(function)
        return self._compiled[function]


def require_cpp_compiler() -> str:
    """The C++ compiler that PyTorch will call.

    Raises:
        MissingError: it is not there.
    """
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    found = shutil.which(name)
    if found is None:
        raise MissingError(
            f"--compile needs a C++ compiler, and {name!r} is not on the PATH: install it (e.g. apt install g++), set "
            "the variable CXX, or leave --compile out"
        )
    return found
