"""What is kept beside the numbers: the log, and the circumstances they were made in."""

import dataclasses
import json
import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from segrobust import __version__
from segrobust.benchmark.folder import write_json
from segrobust.benchmark.items import Bench
from segrobust.benchmark.settings import Settings
from segrobust.errors import MissingError, SegrobustError, UsageError
from segrobust.models.ensemble import made_on


@contextmanager
def logging_to(file: Path) -> Iterator[None]:
    """Send this package's log to a file, with the traceback of what ends the block unexpectedly.

    Raises:
        MissingError: the file cannot be written.
    """
    try:
        handler = logging.FileHandler(file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise MissingError(f"cannot write {file}: {error.strerror or error}") from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("segrobust")
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        root.info("run in %s", file.parent)
        yield
    except SegrobustError as error:
        root.error("%s", error)
        raise
    except KeyboardInterrupt:
        root.warning("interrupted")
        raise
    except Exception:
        root.exception("unexpected failure")
        raise
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()


def write_circumstances(bench: Bench, command: Sequence[str]) -> None:
    """Write a run's ``run.json``; a folder that was begun with another model, or elsewhere, is refused.

    Raises:
        UsageError: the weights, their settings, the device, the number of threads or a version are not those the run
            was begun with, so half of the numbers would be of one kind and half of another.
    """
    about = {"model_sha256": bench.model_sha256, "everything": dataclasses.asdict(bench.everything)}
    about |= made_on(bench.model)
    device = str(getattr(bench.model, "device", "its own"))  # a black box does not say
    write_journal(bench.folder.root, bench.config, device, about, command)


def write_journal(
    root: Path, settings: Settings, device: str, about: Mapping[str, Any], command: Sequence[str]
) -> None:
    """Write ``run.json``: when, with what command, and under what circumstances, which must not change on the way.

    Args:
        root: the folder.
        settings: what is run.
        device: where.
        about: the models.
        command: the command line.

    Raises:
        UsageError: the folder was begun under other circumstances; the differing ones are named.
    """
    file = root / "run.json"
    now = _circumstances(settings, device, about, command)
    try:
        before = json.loads(file.read_text("utf-8"))
        changed = [key for key in (*about, "device", "threads", "versions") if before[key] != now[key]]
    except (OSError, ValueError, KeyError, TypeError):
        changed = []
    if changed:
        raise UsageError(
            f"{root} was begun under other circumstances ({', '.join(changed)}: {changed[0]} was "
            f"{before[changed[0]]}, is {now[changed[0]]}); choose another folder with -o"
        )
    write_json(file, now)


def _circumstances(settings: Settings, device: str, about: Mapping[str, Any], command: Sequence[str]) -> dict[str, Any]:
    import torch

    packages = ("torch", "transformers", "numpy", "pillow", "scipy", "pycocotools")
    return {
        "schema": "segrobust.run/1",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(command),
        "seed": settings.seed,
        "device": device,
        "dtype": settings.dtype,
        "autocast": settings.autocast,
        "compile": settings.compile,
        "threads": torch.get_num_threads(),
        **about,
        "versions": {
            "segrobust": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "platform": f"{platform.system()} {platform.machine()}",
    }
