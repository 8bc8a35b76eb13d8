"""Plans that take a fraction of a second: models without weights, small photos, and what a run must leave."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from linear import LinearSegmenter
from runs import make_photo
from torch import Tensor

from segrobust.benchmark.plans import models
from segrobust.benchmark.plans.bench import open_data
from segrobust.benchmark.plans.engine import Run
from segrobust.benchmark.plans.folder import existing_folder
from segrobust.benchmark.plans.reading import read_plan
from segrobust.benchmark.plans.run import run_plan
from segrobust.benchmark.plans.store import Store
from segrobust.benchmark.plans.tables import rows
from segrobust.benchmark.rows import Row
from segrobust.errors import ModelError
from segrobust.io.sa1b import write_sa1b
from segrobust.models.base import Prediction
from segrobust.types import Masks, Prompts

PLAN = """\
surrogates: [bright]
targets: [bright, dark]
attacks:
  - {attack: rga, steps: 3}
  - {attack: rga-untargeted, label: away, sweep: {steps: [2, 3]}}
epsilons: [8/255]
data: [{kind: sa1b, path: photos}]
protocols:
  - {protocol: annotation, prompts: {masks: 2, points: 3, boxes: 1}}
  - {protocol: clean, prompts: {masks: 2, points: 2, boxes: 1}}
  - everything
defences: [none, {defence: bits-4, adaptive: true}]
device: cpu
"""


class Bright(LinearSegmenter):
    """Bright pixels are the object; every prompt is answered with them."""

    fingerprint = "a" * 64

    def __init__(self, name: str = "bright", level: float = 0.5) -> None:
        self.name, self.level = name, level

    def masks(self, embedding: Any, prompts: Prompts, *, multimask: bool = False) -> Prediction:
        answer = super().masks(embedding, prompts, multimask=multimask)
        logits: Tensor = 1000 * (answer.logits + 0.5 - self.level)  # steep: stable masks
        return Prediction(logits, answer.predicted_iou, answer.geometry)


class Dark(Bright):
    """As ``Bright``, with another threshold and without gradients."""

    fingerprint = "b" * 64
    capabilities = LinearSegmenter.capabilities.__class__(gradient=False, points=True, boxes=True, everything=True)


MODELS: dict[str, Callable[[], Bright]] = {"bright": Bright, "dark": lambda: Dark("dark", 0.45)}


def load(name: str, **_: Any) -> Bright:
    if name not in MODELS:
        raise ModelError(f"unknown model {name!r}")
    return MODELS[name]()


def use_models() -> None:
    """For a process of its own; tests patch ``models.load`` themselves."""
    models.load = load  # type: ignore[assignment]


def make_home(home: Path, photos: int = 3, plan: str = PLAN) -> Path:
    """Photos with annotations, and a plan."""
    for seed in range(photos):
        size = (20 + 4 * seed % 12, 28)
        make_photo(home / "photos" / f"p{seed}.png", seed, size)
        dense = np.zeros((3, *size), np.bool_)
        dense[0, 2:12, 3:20], dense[1, 10:18, 5:25] = True, True
        write_sa1b(home / "photos" / f"p{seed}.json", Masks.from_dense(dense), f"p{seed}.png")
    (home / "plan.yaml").write_text(plan)
    return home


class Counting:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.items: list[str] = []

    def item(self, done: int, total: int, what: str, miou: float | None) -> None:
        assert 0 < done <= total
        self.items.append(what)


def run_home(home: Path, out: str = "out", **options: Any) -> list[str]:
    """Run the plan of ``home``; what was computed."""
    listener = Counting()
    text = (home / "plan.yaml").read_text().replace("path: photos", f"path: {home / 'photos'}")
    (home / "resolved.yaml").write_text(text)
    plan = read_plan(home / "resolved.yaml")
    run_plan(plan, home / out, listener, name="plan", **options)
    return listener.items


def outcome(root: Path) -> dict[str, bytes]:
    """Everything in a run folder that must not depend on how it came about: all files but the store and the log."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    left_out = ("store.sqlite", "store.sqlite-wal", "store.sqlite-shm", "log.txt", ".lock")
    return {str(path.relative_to(root)): path.read_bytes() for path in files if path.name not in left_out}


def stored(root: Path) -> list[str]:
    """The records of the store without seconds and dates, as text."""
    tables = ("photos", "made", "scores")
    with Store(root, write=False) as store:
        records = [record for table in tables for record in store._many(f"SELECT * FROM {table}", ())]
    timeless = [{k: v for k, v in record.items() if k not in ("seconds", "finished", "stat")} for record in records]
    return sorted(json.dumps(record, sort_keys=True) for record in timeless)


def rows_of(root: Path) -> list[Row]:
    """The rows of a run's folder, in the order of tables."""
    folder, plan = existing_folder(root)
    with Store(root, write=False) as store:
        return list(rows(Run(plan, folder, store, open_data(plan), store.meta("models"))))


def run_again(copy: Path, **options: Any) -> list[str]:
    """Run a copied home, whose photos lie where the original's do."""
    listener = Counting()
    run_plan(existing_folder(copy / "out")[1], copy / "out", listener, **options)
    return listener.items
