"""What computes: the plan, its data, and one model in memory at a time."""

import gc
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import torch

from segrobust.benchmark.folder import write_json
from segrobust.benchmark.plans.folder import PlanFolder
from segrobust.benchmark.plans.keys import digest
from segrobust.benchmark.plans.models import Facts, check_model, everything_of, load_model, require_same
from segrobust.benchmark.plans.plan import Plan
from segrobust.benchmark.plans.variants import Shot, shots
from segrobust.errors import PhotoError, UsageError
from segrobust.evaluation.prompts import by_predicted_iou
from segrobust.io.datasets import Dataset, open_dataset
from segrobust.io.datasets.base import Sample
from segrobust.io.images import read_image
from segrobust.io.sa1b import read_sa1b, write_sa1b
from segrobust.models.base import EverythingSettings, Segmenter
from segrobust.regions.everything import segment_everything
from segrobust.types import Image, Masks

T = TypeVar("T")


def open_data(plan: Plan) -> dict[str, Dataset]:
    """The data sets of a plan by the names in its tables.

    Raises:
        UsageError: one has no photos, or is not of its kind.
        PhotoError: one cannot be read.
    """
    opened: dict[str, Dataset] = {}
    for source in plan.data:
        dataset = open_dataset(
            source.kind,
            source.path,
            limit=source.limit,
            shard=source.shard,
            split=source.split,
            name=source.name,
        )
        if dataset.name in opened:
            raise UsageError(f"two data sets are called {dataset.name!r}; give one of them another 'name' in the plan")
        if not len(dataset):
            raise UsageError(f"{source.path}: this part of the data set ({source.shard}) is empty")
        opened[dataset.name] = dataset
    return opened


class Bench:
    """Computes items, one after the other; holds the last model that was asked for, and the last photo.

    Args:
        plan: what is run.
        folder: of the run.
        facts: about the models, where they were loaded before; a model that differs from them is refused.
    """

    def __init__(self, plan: Plan, folder: PlanFolder, facts: dict[str, Facts]) -> None:
        self.plan, self.folder, self.facts = plan, folder, facts
        self.shots: tuple[Shot, ...] = shots(plan)
        self._held: tuple[str, Segmenter] | None = None
        self._photo: tuple[str, Image] | None = None

    @cached_property
    def data(self) -> dict[str, Dataset]:
        """The data sets."""
        return open_data(self.plan)

    def sample(self, dataset: str, position: int) -> Sample:
        """A photo's place."""
        return self.data[dataset].samples[position]

    def model(self, name: str) -> Segmenter:
        """A model; the one before it is let go of first."""
        if self._held is None or self._held[0] != name:
            self._held = None
            free_memory()
            model = load_model(self.plan, name)
            facts = check_model(self.plan, name, model)
            require_same(name, self.facts.setdefault(name, facts), facts)
            self._held = name, model
        return self._held[1]

    def everything(self, model: Segmenter) -> EverythingSettings:
        """How it segments everything in this plan."""
        return everything_of(self.plan, model)

    def photo(self, sample: Sample, expected: str) -> Image:
        """An original, which must be the one that was prepared.

        Raises:
            PhotoError: it cannot be read, or has changed since.
        """
        if self._photo is None or self._photo[0] != expected:
            image = sample.image()
            if image.fingerprint != expected:
                raise PhotoError(f"{sample.path}: the photo has changed while it was worked on")
            self._photo = expected, image
        return self._photo[1]

    def saved(self, name: str) -> Image:
        """An adversarial photo, as it is on disk.

        Raises:
            PhotoError: it is not there, or not what its name says.
        """
        image = read_image(self.folder.object(name))
        if image.fingerprint != name:
            raise PhotoError(f"{self.folder.object(name)} is not the photo that was saved (its pixels differ)")
        return image

    def clean_masks(self, name: str, image: Image) -> Masks:
        """What a model finds on an original, by predicted IoU; computed once and kept in the folder."""
        model = self.model(name)
        settings = self.everything(model)
        key = digest({"photo": image.fingerprint, "model": [name, self.facts[name]]})
        path = self.folder.masks(key)
        if not path.exists():
            found = by_predicted_iou(segment_everything(model, image, settings))
            write_sa1b(path, found, image.name)
        return read_sa1b(path, size=image.size)  # also what was just computed: the same bits, resumed or not

    def write_prompts(self, dataset: str, image: str, manifest: dict[str, Any]) -> None:
        """The prompts as a file, for people and other programs."""
        write_json(self.folder.prompts(dataset, image), manifest)


def free_memory() -> None:
    """Let go of what nobody holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory for tensors."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    told = isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or told


def halving(work: Callable[[int | None], T], largest: Callable[[], int], notes: list[str]) -> T:
    """Do work; where memory does not suffice, again with half of the batch, down to one.

    Args:
        work: is told how many at a time; None: as many as it likes.
        largest: how many that may be.
        notes: is added to when the batch was halved.

    Raises:
        Exception: whatever the work raises in the end.
    """
    batch: int | None = None
    while True:
        try:
            return work(batch)
        except Exception as error:
            if not out_of_memory(error) or batch == 1:
                raise
            reason = error.with_traceback(None)  # the traceback holds the tensors
        del reason
        free_memory()
        batch = max(1, (largest() if batch is None else batch) // 2)
        notes.append(f"out of memory: tried again with a batch of {batch}")
