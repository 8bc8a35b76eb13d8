"""What reports are tested with: a run that has everything, and photos that need no run folder."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scored import FACTS, prompts, row, run_of

from segrobust.benchmark.results import aggregate
from segrobust.report.pictures import Pair
from segrobust.types import Prompts, encode_mask

HOSTILE = '<img src=x onerror="alert(1)">|"quoted" & more'
PROMPTS = Prompts(
    points=np.array([[10.0, 8.0], [30.0, 20.0]]), point_masks=np.array([0, 1]),
    boxes=np.array([[2.0, 2.0, 30.0, 20.0], [20.0, 10.0, 50.0, 36.0]]), box_masks=np.array([0, 1]),
)  # fmt: skip
_LEFT = np.zeros((40, 60), np.bool_)
_LEFT[4:30, 4:25] = True
SHOWN = {"prompts": [0], "size": [40, 60], "counts": [encode_mask(np.asfortranarray(_LEFT))["counts"]]}


def full_results() -> dict[str, Any]:
    """A run with transfer, a defence, three protocols, findings, and a failure whose message is hostile."""
    rows = [replace(r, item={**r.item, "shown": SHOWN}) if "prompts" in r.item else r for r in run_of()]
    rows.append(replace(row("ask", [0.1], "photo-99"), state="failed", error=HOSTILE, item={}, made={}))
    rows.append(row("clean", [0.9] * 4, "photo-99", item=prompts([0.9] * 4)))
    return aggregate(rows, replace(FACTS, plan=HOSTILE, notes=("Only twelve photos were at hand.",)))


class NoisePictures:
    """A grey ramp for an original, and the same with one value changed by 8."""

    def pair(self, example: Mapping[str, Any]) -> Pair | str:
        """The best photo cannot be shown."""
        if example["role"] == "best":
            return f"{HOSTILE} is not in the data any more."
        original = np.repeat(np.arange(60, dtype=np.uint8)[None, :, None] * 4, 40, 0).repeat(3, 2)
        attacked = original.copy()
        attacked[5, 5] += 8
        return Pair(original, attacked, PROMPTS)
