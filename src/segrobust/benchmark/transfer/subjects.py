"""What a plan's surrogates leave for its targets: photos, saved attacks, and the prompts that all of them answer."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from segrobust.benchmark.folder import Record, RunFolder
from segrobust.benchmark.transfer.folder import TransferFolder

Made = Mapping[tuple[str, str], Record]


@dataclass(frozen=True)
class Shot:
    """A photo to be shown to every target.

    Attributes:
        surrogate: whom the attack was made on; None for the original.
        attack: the row.
        file: the saved photo, relative to the transfer folder; None for the original.
        sha256: of its size and pixels.
        error: why there is none.
    """

    surrogate: str | None
    attack: str
    file: str | None = None
    sha256: str | None = None
    error: str | None = None

    @property
    def row(self) -> str:
        """What tables call it: the attack, and whom it was made on."""
        return self.attack if self.surrogate is None else f"{self.attack} on {self.surrogate}"


@dataclass(frozen=True)
class Subject:
    """A photo with everything made of it.

    Attributes:
        stem: its name in the results.
        path: the original.
        sha256: of its size and pixels; None if it could not be read.
        prompts: the manifest of its prompts, as JSON text; None if there is none.
        error: why there are no prompts.
        shots: the original, then what was saved, surrogate by surrogate.
    """

    stem: str
    path: str
    sha256: str | None
    prompts: str | None
    error: str | None
    shots: tuple[Shot, ...]

    @cached_property
    def prompts_sha256(self) -> str | None:
        """Of the manifest."""
        return sha256(self.prompts.encode()).hexdigest() if self.prompts else None


def subjects(folder: TransferFolder) -> list[Subject]:
    """The photos of a plan with what its surrogates' runs have made of them.

    Args:
        folder: the runs of all its surrogates are finished.

    Raises:
        KeyError: one is not.
        OSError: a file of one is missing.
    """
    plan = folder.plan
    runs = {name: _run(folder.surrogate(name), plan.attacks[0]) for name in plan.surrogates}
    source, records = runs[plan.prompt_source]
    found = []
    for stem, clean in ((stem, record) for (stem, row), record in records.items() if row == "clean"):
        prompts = None
        if clean["state"] == "done":
            manifest = json.loads(source.prompts(stem).read_text("utf-8"))
            prompts = json.dumps({**manifest, "prompts_from": plan.prompt_source}, indent=1) + "\n"
        error = None if prompts else f"no prompts: on {plan.prompt_source}, {clean['error']}"
        shots = tuple(_shots(folder, {name: run[1] for name, run in runs.items()}, stem, clean))
        found.append(Subject(stem, clean["photo"], clean["photo_sha256"], prompts, error, shots))
    return found


def _run(root: Path, headline: str) -> tuple[RunFolder, Made]:
    run = RunFolder(root, headline)
    return run, {(record["image"], record["attack"]): record for record in run.read_samples()[0]}


def _shots(folder: TransferFolder, records: Mapping[str, Made], stem: str, clean: Record) -> Iterator[Shot]:
    yield Shot(None, "clean", sha256=clean["photo_sha256"])
    for surrogate, made in records.items():
        home = folder.surrogate(surrogate).relative_to(folder.root)
        for row in folder.plan.rows()[1:]:
            record = made[stem, row]
            if record["state"] == "done":
                file = str(home / record["adversarial"])
                yield Shot(surrogate, row, file, record["adversarial_sha256"])
            else:
                yield Shot(surrogate, row, error=f"no saved photo: on {surrogate}, {record['error']}")
