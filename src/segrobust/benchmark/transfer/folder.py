"""The files of a transfer folder.

Layout: ``plan.yaml`` (re-runnable), ``run.json``, ``surrogates/<name>/`` (an ordinary run folder each),
``prompts/<stem>.json`` (what every target is asked), ``targets/<name>.jsonl`` (one record for each photo and row),
``results.json``, ``report.md``, ``log.txt``. Every file is written whole; only the records and the log grow.
"""

from dataclasses import dataclass
from pathlib import Path

from segrobust.benchmark.folder import Record, append_record, claim, read_records, write_records
from segrobust.benchmark.transfer.plan import TransferPlan, dump_plan, file_names, read_plan
from segrobust.errors import UsageError

PLAN = "plan.yaml"
ITEM_SCHEMA = "segrobust.transfer-item/1"


@dataclass(frozen=True)
class TransferFolder:
    """Paths inside a transfer folder, and the records of the targets.

    Attributes:
        root: the folder.
        plan: what is in it.
    """

    root: Path
    plan: TransferPlan

    def surrogate(self, name: str) -> Path:
        """The run folder of the attacks on a surrogate."""
        return self.root / "surrogates" / file_names(self.plan.surrogates)[name]

    def target(self, name: str) -> Path:
        """The records of a target."""
        return self.root / "targets" / f"{file_names(self.plan.targets)[name]}.jsonl"

    def prompts(self, stem: str) -> Path:
        """The prompts of a photo, the same for all targets."""
        return self.root / "prompts" / f"{stem}.json"

    @property
    def results(self) -> Path:
        """The aggregates."""
        return self.root / "results.json"

    def read(self, target: str) -> tuple[list[Record], int]:
        """All records of a target, and how many lines are none: a kill can cut the last one off."""
        return read_records(self.target(target), ("image", "attack", "state"))

    def append(self, target: str, record: Record) -> None:
        """Add a record of a target."""
        append_record(self.target(target), record)

    def write(self, target: str, records: list[Record]) -> None:
        """Replace all records of a target."""
        write_records(self.target(target), records)


def open_transfer(root: Path, plan: TransferPlan) -> TransferFolder:
    """Make a new folder, or reopen that of the same plan.

    Raises:
        UsageError: the folder holds something else, or another plan (the differing keys are named).
        MissingError: it cannot be written.
    """
    claim(root, PLAN, plan, dump_plan(plan), read_plan, ("prompts", "targets"))
    return TransferFolder(root, plan)


def existing_transfer(root: Path) -> TransferFolder:
    """The folder of a finished or interrupted plan.

    Raises:
        UsageError: it is none.
    """
    if not (root / PLAN).exists():
        raise UsageError(f"{root} is not the folder of a plan: it has no {PLAN}")
    return TransferFolder(root, read_plan(root / PLAN))
