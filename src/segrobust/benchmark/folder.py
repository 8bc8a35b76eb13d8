"""The files of a run folder: where each lies, and how records are kept.

Layout: ``config.yaml`` (re-runnable), ``run.json``, ``samples.jsonl``, ``results.json``, ``log.txt``, and for each
photo ``adv/``, ``guide/``, ``masks/``, ``prompts/``, ``panels/``. The headline attack's files carry the photo's stem
alone; those of other attacks are ``<stem>.<attack>.<suffix>``. Every write is a temporary file and a rename.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segrobust.benchmark.config import RunConfig, differing_keys, dump_config, read_config
from segrobust.errors import MissingError, UsageError
from segrobust.io.files import atomic_write_text

SAMPLES_SCHEMA = "segrobust.sample/1"
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

    def read_samples(self) -> list[Record]:
        """All complete records; a last line that was cut off by a kill is not one."""
        if not self.samples.exists():
            return []
        lines = self.samples.read_text().split("\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def append_sample(self, record: Record) -> None:
        """Add one record."""
        with self.samples.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def write_samples(self, records: Iterable[Record]) -> None:
        """Replace all records."""
        atomic_write_text(self.samples, "".join(json.dumps(r) + "\n" for r in records))


def open_folder(root: Path, config: RunConfig) -> RunFolder:
    """Make a new run folder, or reopen the folder of the same run.

    Raises:
        UsageError: the folder holds something else, or a run with other settings (the differing keys are named).
        MissingError: it cannot be written.
    """
    file = root / "config.yaml"
    if file.exists():
        other = read_config(file)
        keys = differing_keys(config, other)
        if keys:
            first = keys[0]
            raise UsageError(
                f"{root} holds another run ({', '.join(keys)}: {first} is {getattr(other, first)!r} there, "
                f"{getattr(config, first)!r} here); choose another folder with -o"
            )
        return RunFolder(root, config.attacks[0])
    if root.is_dir() and any(p for p in root.iterdir() if p.suffix != ".part"):
        raise UsageError(f"{root} is not empty and holds no run of segrobust; choose another folder with -o")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MissingError(f"cannot make the output folder {root}: {error.strerror or error}") from None
    atomic_write_text(file, dump_config(config))
    return RunFolder(root, config.attacks[0])


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
