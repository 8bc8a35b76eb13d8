"""Small quick runs: a SAM with random weights that finds masks, photos to attack, and the command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from safetensors.torch import load_file, save_file

from segrobust.benchmark.config import RunConfig
from segrobust.benchmark.folder import PLACES, RunFolder

FAST = ("--steps", "2", "--no-progress")


class Silent:
    """A listener that only counts."""

    def __init__(self) -> None:
        self.items: list[str] = []

    def item(self, done: int, total: int, image: str, row: str) -> None:
        self.items.append(f"{done + 1}/{total} {image} {row}")

    def step(self, done: int, total: int, loss: float) -> None:
        pass

    def photo(self, folder: RunFolder, stem: str, path: Path) -> None:
        pass


def make_tiny_model(source: Path, folder: Path) -> Path:
    """The golden tiny SAM with thresholds that let its random masks through: 12 masks of 2 x 2 points."""
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    config["everything"] = {
        "points_per_side": 2, "predicted_iou_threshold": -1.0, "stability_threshold": 0.0, "box_nms_threshold": 1.0
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def make_other_model(source: Path, folder: Path, seed: int = 1) -> Path:
    """A copy of a tiny model whose weights are a little different."""
    shutil.copytree(source, folder)
    generator = torch.Generator().manual_seed(seed)
    weights = {
        key: value + 0.02 * torch.randn(value.shape, generator=generator) if value.is_floating_point() else value
        for key, value in load_file(folder / "model.safetensors").items()
    }
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def make_photo(path: Path, seed: int = 0, size: tuple[int, int] = (48, 64)) -> Path:
    """A smooth photo that is different for every seed."""
    small = np.random.default_rng(seed).integers(20, 236, (6, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(small).resize(size[::-1], PIL.Image.Resampling.BICUBIC).save(path)
    return path


def configure(model: Path, *photos: Path, **settings: Any) -> RunConfig:
    """A configuration that takes a fraction of a second a photo."""
    values = {"parameters": {"steps": 2}, "prompts": {"masks": 2, "points": 2, "boxes": 1}} | settings
    return RunConfig(photos=tuple(map(str, photos)), model=str(model), **values)


def pictures(root: Path) -> dict[str, bytes]:
    """Everything a run makes of its photos, byte for byte."""
    files = [file for place in PLACES for file in sorted((root / place).rglob("*"))]
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


def timeless(value: Any) -> Any:
    """A record or the aggregates without the seconds they took."""
    if isinstance(value, dict):
        return {key: timeless(v) for key, v in value.items() if key != "seconds"}
    return [timeless(v) for v in value] if isinstance(value, list) else value


def records(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "samples.jsonl").read_text().splitlines()]


def numbers(root: Path) -> Any:
    """All records and aggregates, apart from the seconds."""
    return timeless(records(root)), timeless(json.loads((root / "results.json").read_text()))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "segrobust", *map(str, arguments)]


def segrobust(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment(), capture_output=True, text=True, check=False, timeout=120
    )


def start(home: Path, *arguments: object) -> subprocess.Popen[str]:
    """The command line in a process of its own, which hears Ctrl-C even where this one was told not to."""
    pipe, heard = subprocess.PIPE, partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        command(*arguments), cwd=home, env=environment(), stdout=pipe, stderr=pipe, text=True, preexec_fn=heard
    )


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}
