"""Tries packages, in a process of its own: ``python -m segrobust.models.probe NAME...``; used by ``environment``.

Prints one JSON line when a name is begun and one when it is done, so that whoever reads them knows which one took the
process down. What the packages themselves print goes to stderr.
"""

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

GRADIENT = "gradient"
"""The whole way, once: load the embedded model, and carry a gradient from its embedding to the pixels."""


def main(names: list[str]) -> None:
    """Try every name and say how it went."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for name in names:
        print(json.dumps({"name": name, "state": "begun"}), file=answers, flush=True)
        print(json.dumps({"name": name} | attempt(name)), file=answers, flush=True)


def attempt(name: str) -> dict[str, Any]:
    """``state`` (``works`` or ``fails``), and what was found out or the error, on one line."""
    try:
        return {"state": "works"} | _TRIALS.get(name, lambda: _package(name))()
    except BaseException as error:  # some packages exit when they do not like what they see
        return {"state": "fails", "detail": " ".join(f"{type(error).__name__}: {error}".split())}


def _package(name: str) -> dict[str, Any]:
    return {"version": str(getattr(import_module(name), "__version__", ""))}


def _torch() -> dict[str, Any]:
    import torch

    devices = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        devices.append({"device": f"cuda:{index}", "name": name, "free": free, "total": total})
    if torch.backends.mps.is_available():
        devices.append({"device": "mps", "name": "Apple GPU", "free": None, "total": None})
    built = {"cuda": torch.version.cuda, "rocm": torch.version.hip}
    return {"version": torch.__version__, "threads": torch.get_num_threads(), "devices": devices, "built_for": built}


def _transformers() -> dict[str, Any]:
    import_module("segrobust.models.sam_parts")  # behind the shield, as everything here that uses it
    return _package("transformers")


def _gradient() -> dict[str, Any]:
    import torch

    from segrobust.models import load
    from segrobust.models.base import require_white_box

    photo = torch.rand((1, 3, 32, 48), generator=torch.Generator().manual_seed(0)).requires_grad_()
    require_white_box(load("nano", device="cpu")).embed(photo).features.square().sum().backward()
    if photo.grad is None or not photo.grad.isfinite().all() or not photo.grad.any():
        raise ArithmeticError("the gradient of 'nano' is zero or not finite")
    return {"version": ""}


_TRIALS: dict[str, Callable[[], dict[str, Any]]] = {
    "torch": _torch, "transformers": _transformers, GRADIENT: _gradient,
}  # fmt: skip

if __name__ == "__main__":
    main(sys.argv[1:])
