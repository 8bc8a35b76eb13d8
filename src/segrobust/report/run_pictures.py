"""The photos of a plan's run: originals from the plan's data, attacked ones and prompts from the run folder."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from segrobust.benchmark.plans.bench import open_data
from segrobust.benchmark.plans.folder import PlanFolder, existing_folder
from segrobust.benchmark.plans.plan import Plan
from segrobust.errors import SegrobustError
from segrobust.evaluation.prompts import prompts_from_json
from segrobust.io.datasets import Dataset
from segrobust.io.images import read_image
from segrobust.report.pictures import Pair
from segrobust.types import Pixels, Prompts


class RunPictures:
    """Reads what a report shows; what is not there any more is told, and the report goes on without it.

    Args:
        root: the folder of a plan's run.

    Raises:
        UsageError: it is none.
    """

    def __init__(self, root: Path) -> None:
        self._folder: PlanFolder
        self._plan: Plan
        self._folder, self._plan = existing_folder(root)

    @cached_property
    def _data(self) -> Mapping[str, Dataset]:
        return open_data(self._plan)

    def pair(self, example: Mapping[str, Any]) -> Pair | str:
        """The original and the saved photo of an example, or why they cannot be shown."""
        try:
            samples = self._data[example["dataset"]].samples
            sample = next((one for one in samples if one.id == example["image"]), None)
            if sample is None:
                return f"{example['image']} is not in the data any more."
            original = sample.image().pixels
            return Pair(original, self._attacked(example, original), self._prompts(example))
        except (SegrobustError, KeyError) as error:
            return f"The photos cannot be shown: {error}"

    def _attacked(self, example: Mapping[str, Any], original: Pixels) -> Pixels | None:
        if not example["object"]:
            return None
        try:
            saved = read_image(self._folder.object(example["object"])).pixels
        except SegrobustError:
            return None
        return saved if saved.shape == original.shape else None

    def _prompts(self, example: Mapping[str, Any]) -> Prompts | None:
        file = self._folder.prompts(example["dataset"], example["image"])
        try:
            asked = json.loads(file.read_text("utf-8"))["references"].get(example["protocol"])
            return prompts_from_json(asked) if asked and "points" in asked else None
        except (OSError, ValueError, KeyError, SegrobustError):
            return None
