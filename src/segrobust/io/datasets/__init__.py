"""Data sets: photos with reference masks, each read when it is asked for."""

from segrobust.io.datasets.base import Annotated, Dataset, Sample
from segrobust.io.datasets.check import Checked, check, check_sample
from segrobust.io.datasets.kinds import AUTO, KINDS, Kind, open_dataset
from segrobust.io.datasets.select import Limit, parse_limit, parse_shard

__all__ = [
    "Annotated",
    "Dataset",
    "Sample",
    "KINDS",
    "Kind",
    "AUTO",
    "open_dataset",
    "Limit",
    "parse_limit",
    "parse_shard",
    "check",
    "check_sample",
    "Checked",
]
