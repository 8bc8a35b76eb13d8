"""The files of a run folder: where each lies, and how records are kept.

Layout: ``config.yaml`` (re-runnable), ``run.json``, ``samples.jsonl``, ``results.json``, ``log.txt``, and for each
photo ``adv/``, ``guide/``, ``masks/``, ``prompts/``, ``panels/``. The headline attack's files carry the photo's stem
alone; those of other attacks are ``<stem>.<attack>.<suffix>``. Every file is written whole, by a temporary file and a
rename; only ``samples.jsonl`` and ``log.txt`` grow line by line.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segrobust.benchmark.config import RunConfig, dump_config, read_config
from segrobust.benchmark.settings import S, Settings, differing_keys
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
        return read_records(self.samples, ("image", "attack", "state"))

    def append_sample(self, record: Record) -> None:
        """Add one record."""
        append_record(self.samples, record)

    def write_samples(self, records: Iterable[Record]) -> None:
        """Replace all records."""
        write_records(self.samples, records)


def read_records(file: Path, names: Sequence[str]) -> tuple[list[Record], int]:
    """The records of a JSONL file, and how many lines are none; no file holds none.

    Args:
        file: one JSON object per line.
        names: fields that every record has, as text.
    """
    if not file.exists():
        return [], 0
    lines = [line for line in file.read_text("utf-8", errors="replace").split("\n") if line.strip()]
    records = [record for line in lines if (record := _record(line, names)) is not None]
    return records, len(lines) - len(records)


def _record(line: str, names: Sequence[str]) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    named = isinstance(record, dict) and all(isinstance(record.get(name), str) for name in names)
    return record if named else None


def append_record(file: Path, record: Record) -> None:
    """Add a line.

    Raises:
        MissingError: it cannot be written.
    """
    try:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(record) + "\n")
    except OSError as error:
        raise MissingError(f"cannot write {file}: {error.strerror or error}") from error


def write_records(file: Path, records: Iterable[Record]) -> None:
    """Replace all lines, atomically."""
    atomic_write_text(file, "".join(json.dumps(r) + "\n" for r in records))


def open_folder(root: Path, config: RunConfig) -> RunFolder:
    """Make a new run folder, or reopen the folder of the same run.

    Raises:
        UsageError: the folder holds something else, or a run with other settings (the differing keys are named).
        MissingError: it cannot be written.
    """
    claim(root, "config.yaml", config, dump_config(config), read_config, PLACES)
    return RunFolder(root, config.attacks[0])


def claim(root: Path, name: str, settings: S, text: str, read: Callable[[Path], S], places: Sequence[str]) -> None:
    """Make a folder for settings, or see that it is theirs; what a kill left half written goes.

    Args:
        root: the folder.
        name: the file in it that holds the settings.
        settings: those that are to be run.
        text: what is written into the file, if there is none.
        read: reads such a file.
        places: folders inside it in which files are written.

    Raises:
        UsageError: the folder holds something else, or other settings (the differing keys are named).
        MissingError: it cannot be written.
    """
    file = root / name
    try:
        if file.exists():
            _require_same(root, settings, read(file))
        elif root.is_dir() and not all(p.match(LEFTOVERS) for p in root.iterdir()):
            raise UsageError(f"{root} is not empty and holds no run of segrobust; choose another folder with -o")
        root.mkdir(parents=True, exist_ok=True)
        for place in (root, *(root / inside for inside in places)):
            for leftover in place.glob(LEFTOVERS):
                leftover.unlink(missing_ok=True)
    except OSError as error:
        raise MissingError(f"cannot make the output folder {root}: {error.strerror or error}") from None
    if not file.exists():
        atomic_write_text(file, text)


def _require_same(root: Path, settings: Settings, other: Settings) -> None:
    keys = differing_keys(settings, other)
    if keys:
        first = keys[0]
        raise UsageError(
            f"{root} holds another run ({', '.join(keys)}: {first} is {getattr(other, first)!r} there, "
            f"{getattr(settings, first)!r} here); choose another folder with -o"
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
