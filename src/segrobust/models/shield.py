"""A torchvision that does not fit the installed torch is kept away from transformers.

transformers imports torchvision wherever it is installed, and with a broken one it fails for every SAM class with a
message that names neither. Nothing here needs torchvision. Every module of the package that imports transformers calls
:func:`hide_broken_torchvision` first.
"""

import importlib.util
import logging
import re
import sys
from importlib import metadata
from typing import Any

log = logging.getLogger(__name__)


def hide_broken_torchvision() -> None:
    """Make ``import torchvision`` fail cleanly, as if it were not installed, if it would fail anyway; say so once."""
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    try:
        import torchvision  # noqa: F401
    except Exception as error:
        for module in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        sys.modules["torchvision"] = None  # type: ignore[assignment]
        _forget_in_transformers()
        log.warning("%s; going on without it; to mend it: %s", describe_mismatch(str(error)), mend())


def mend() -> str:
    """What to type: nothing required needs torchvision, but ultralytics does not start where it is not installed."""
    if importlib.util.find_spec("ultralytics") is None:
        return "pip uninstall torchvision"
    return f"pip install --force-reinstall --no-deps '{matching_torchvision(version('torch') or '')}'"


def matching_torchvision(torch: str) -> str:
    """What to ask pip for: torch 2.n goes with torchvision 0.(n + 15), e.g. 2.13 with 0.28."""
    major, _, rest = torch.partition(".")
    minor = rest.partition(".")[0]
    return f"torchvision==0.{int(minor) + 15}.*" if major == "2" and minor.isdecimal() else "torchvision"


def describe_mismatch(reason: str) -> str:
    """The pair of versions and what importing torchvision says, on one line.

    Args:
        reason: the error.
    """
    torch, torchvision = version("torch") or "(version unknown)", version("torchvision") or "(version unknown)"
    built = _torch_it_was_built_for()
    made = f", made for torch {built}," if built and built != torch.partition("+")[0] else ""
    return f"torchvision {torchvision}{made} does not work with torch {torch} ({' '.join(reason.split())})"


def version(distribution: str) -> str | None:
    """The installed version of a distribution, read from its metadata; None if there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _torch_it_was_built_for() -> str | None:
    """Every torchvision asks for exactly one torch: ``Requires-Dist: torch==2.13.0``."""
    try:
        needed = metadata.requires("torchvision") or []
    except metadata.PackageNotFoundError:
        return None
    pins = (re.match(r"torch *\(?== *([\w.]+)", line) for line in needed)
    return next((pin[1] for pin in pins if pin), None)


def _forget_in_transformers() -> None:
    """``import transformers`` alone already asks whether torchvision is there, and keeps the answer."""
    asked: Any = sys.modules.get("transformers.utils.import_utils")
    for name in dir(asked):
        if name.startswith("is_torchvision") and hasattr(getattr(asked, name), "cache_clear"):
            getattr(asked, name).cache_clear()
