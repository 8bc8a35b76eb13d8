"""The circumstances that numbers are made in, which must not change on the way."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from segrobust import __version__
from segrobust.benchmark.plans.plan import Plan
from segrobust.errors import UsageError
from segrobust.io.datasets import Dataset
from segrobust.models.options import pick_device

PACKAGES = ("torch", "transformers", "numpy", "pillow", "scipy", "pycocotools")


def circumstances(plan: Plan, data: Mapping[str, Dataset]) -> dict[str, Any]:
    """Device, threads, versions; and the data sets, as far as that is known without reading them."""
    import torch

    return {
        "device": pick_device(plan.device),
        "threads": torch.get_num_threads(),
        "versions": {
            "segrobust": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        "platform": f"{platform.system()} {platform.machine()}",
        "data": {name: {"kind": d.kind, "terms": d.terms, "photos": len(d)} for name, d in data.items()},
    }


def require_same_circumstances(root: Path, before: dict[str, Any] | None, now: dict[str, Any]) -> None:
    """Refuse to go on elsewhere.

    Raises:
        UsageError: device, threads or a version are not those the run was begun with, so half of the numbers would be
            of one kind and half of another.
    """
    for key in ("device", "threads", "versions", "platform"):
        if before is not None and before[key] != now[key]:
            raise UsageError(
                f"{root} was begun under other circumstances ({key} was {before[key]}, is {now[key]}); "
                "choose another folder with -o"
            )
