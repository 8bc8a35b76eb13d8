"""What is wrong with a data set, found before hours are spent on it."""

from collections.abc import Iterator
from dataclasses import dataclass

from segrobust.errors import PhotoError
from segrobust.io.datasets.base import Dataset, Sample, require_size


@dataclass(frozen=True)
class Checked:
    """One sample after it was read.

    Attributes:
        problems: a line with a place for each.
        masks: how many could be read; None for a sample that has none, or whose annotation could not be read.
    """

    problems: tuple[str, ...]
    masks: int | None


def check_sample(sample: Sample) -> Checked:
    """Decode a photo and all of its masks, and tell everything that is wrong instead of stopping at the first."""
    problems: list[str] = []
    size = None
    try:
        size = sample.image().size
    except PhotoError as error:
        problems.append(str(error))
    if sample.reader is None:
        return Checked(tuple(problems), None)
    try:
        annotated = sample.reader(sample, problems.append)
    except PhotoError as error:
        return Checked((*problems, str(error)), None)
    if size is not None:
        require_size(sample, annotated, size, problems.append)
    return Checked(tuple(problems), len(annotated.masks))


def check(dataset: Dataset) -> Iterator[str]:
    """Everything that is wrong with a data set, a line for each, as it is found.

    Args:
        dataset: all of one, or part of it.

    Yields:
        What belongs to no sample first (``Dataset.problems``), then sample by sample.
    """
    yield from dataset.problems
    for sample in dataset:
        yield from check_sample(sample).problems
