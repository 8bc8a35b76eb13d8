"""The files of a run folder: where each lies, and how records are kept.

Layout: ``config.yaml`` (re-runnable), ``run.json``, ``samples.jsonl``, ``results.json``, ``log.txt``, and for each
photo ``adv/``, ``guide/``, ``masks/``, ``prompts/``, ``panels/``. The headline attack's files carry the photo's stem
alone; those of other attacks are ``<stem>.<attack>.<suffix>``. Every file is written whole, by a temporary file and a
rename; only ``samples.jsonl`` and ``log.txt`` grow line by line.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segrobust.benchmark.config import RunConfig, dump_config, read_config
from segrobust.benchmark.settings import differing_keys
from segrobust.errors import MissingError, UsageError
from segrobust.io.files import atomic_write_text

SAMPLES_SCHEMA = "segrobust.sample/1"
LEFTOVERS = ".segrobust-*.tmp"  # what a kill in the middle of ``io.files.atomic_write_bytes`` leaves
PLACES = ("adv", "guide", "masks", "prompts", "panels")
Record = dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run folder.

    Attributes:
        root: the folder.
        headline: the attack whose files carry no attack name.
    """

    root: Path
    headline: str

    def adversarial(self, stem: str, attack: str) -> Path:
        """The adversarial photo."""
        return self.root / "adv" / f"{self._name(stem, attack)}.png"

    def guide(self, stem: str, attack: str) -> Path:
        """The guide map's picture."""
        return self.root / "guide" / f"{self._name(stem, attack)}.png"

    def masks(self, stem: str, attack: str | None = None) -> Path:
        """What segment everything found: on the original, or on an attacked photo."""
        return self.root / "masks" / (f"{stem}.json" if attack is None else f"{stem}.{attack}.json")

    def prompts(self, stem: str) -> Path:
        """The prompt manifest shared by all attacks."""
        return self.root / "prompts" / f"{stem}.json"

    def panel(self, stem: str) -> Path:
        """The five-picture panel of the headline attack."""
        return self.root / "panels" / f"{stem}.png"

    @property
    def samples(self) -> Path:
        """One JSON line per photo and attack."""
        return self.root / "samples.jsonl"

    @property
    def results(self) -> Path:
        """The aggregates."""
        return self.root / "results.json"

    def _name(self, stem: str, attack: str) -> str:
        return stem if attack == self.headline else f"{stem}.{attack}"

    def read_samples(self) -> tuple[list[Record], int]:
        """All records, and how many lines are none: a kill can cut the last one off."""
        if not self.samples.exists():
            return [], 0
        lines = [line for line in self.samples.read_text("utf-8", errors="replace").split("\n") if line.strip()]
        records = [record for line in lines if (record := _record(line)) is not None]
        return records, len(lines) - len(records)

    def append_sample(self, record: Record) -> None:
        """Add one record."""
        try:
            with self.samples.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise MissingError(f"cannot write {self.samples}: {error.strerror or error}") from error

    def write_samples(self, records: Iterable[Record]) -> None:
        """Replace all records."""
        atomic_write_text(self.samples, "".join(json.dumps(r) + "\n" for r in records))


def _record(line: str) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    named = isinstance(record, dict) and all(isinstance(record.get(k), str) for k in ("image", "attack", "state"))
    return record if named else None


def open_folder(root: Path, config: RunConfig) -> RunFolder:
    """Make a new run folder, or reopen the folder of the same run.

    Raises:
        UsageError: the folder holds something else, or a run with other settings (the differing keys are named).
        MissingError: it cannot be written.
    """
    file = root / "config.yaml"
    try:
        if file.exists():
            _require_same(root, config, read_config(file))
        elif root.is_dir() and not all(p.match(LEFTOVERS) for p in root.iterdir()):
            raise UsageError(f"{root} is not empty and holds no run of segrobust; choose another folder with -o")
        root.mkdir(parents=True, exist_ok=True)
        for place in (root, *(root / name for name in PLACES)):
            for leftover in place.glob(LEFTOVERS):
                leftover.unlink(missing_ok=True)
    except OSError as error:
        raise MissingError(f"cannot make the output folder {root}: {error.strerror or error}") from None
    if not file.exists():
        atomic_write_text(file, dump_config(config))
    return RunFolder(root, config.attacks[0])


def _require_same(root: Path, config: RunConfig, other: RunConfig) -> None:
    keys = differing_keys(config, other)
    if keys:
        first = keys[0]
        raise UsageError(
            f"{root} holds another run ({', '.join(keys)}: {first} is {getattr(other, first)!r} there, "
            f"{getattr(config, first)!r} here); choose another folder with -o"
        )


def existing_folder(root: Path) -> tuple[RunFolder, RunConfig]:
    """The folder of a finished or interrupted run.

    Raises:
        UsageError: it is none.
    """
    if not (root / "config.yaml").exists():
        raise UsageError(f"{root} is not a run folder: it has no config.yaml")
    config = read_config(root / "config.yaml")
    return RunFolder(root, config.attacks[0]), config


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Indented JSON, atomically."""
    atomic_write_text(path, json.dumps(value, indent=1) + "\n")
