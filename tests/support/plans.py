"""Small quick plans, and what a plan leaves that must not depend on how it was run."""

import json
from pathlib import Path
from typing import Any

from runs import numbers, pictures

from segrobust.benchmark.transfer.plan import TransferPlan


def make_plan(home: Path, *surrogates: str, targets: tuple[str, ...] = ("one", "two"), **settings: Any) -> TransferPlan:
    """A plan on the models and photos of ``home`` that takes a second; a target with a colon is a function."""
    values = {
        "photos": (str(home / "photos"),),
        "surrogates": [str(home / name) for name in surrogates],
        "targets": [name if ":" in name else str(home / name) for name in targets],
        "parameters": {"steps": 2},
        "prompts": {"masks": 2, "points": 2, "boxes": 1},
    }
    return TransferPlan(**values | settings)


def outcome(root: Path) -> dict[str, Any]:
    """Everything a plan makes of its photos: the targets' files byte for byte, the surrogates' apart from seconds."""
    files = [*(root / "targets").iterdir(), *(root / "prompts").iterdir(), root / "results.json"]
    runs = sorted((root / "surrogates").iterdir())
    return (
        {str(file.relative_to(root)): file.read_bytes() for file in files}
        | {f"pictures of {run.name}": pictures(run) for run in runs}
        | {f"numbers of {run.name}": numbers(run) for run in runs}
    )


def target_records(root: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "targets" / f"{name}.jsonl").read_text().splitlines()]
