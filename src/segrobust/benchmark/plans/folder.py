"""The folder of a plan's run.

Layout: ``plan.yaml`` (re-runnable), ``store.sqlite`` (every record), ``objects/ab/abcdef....png`` (adversarial photos
and guide maps, named after the fingerprint of their pixels), ``prompts/<data set>/<photo>.json`` (what every target is
asked), ``masks/ab/....json`` (what segment everything finds on the originals), ``results.json``, ``log.txt``.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from segrobust.benchmark.folder import LEFTOVERS
from segrobust.benchmark.plans.plan import Plan
from segrobust.benchmark.plans.reading import differing_keys, dump_plan, parse_plan
from segrobust.errors import MissingError, UsageError
from segrobust.io.files import atomic_write_text
from segrobust.io.images import write_png
from segrobust.types import Image, Pixels

PLAN = "plan.yaml"
LOCK = ".lock"
GROWING = ("attacks", "targets")
"""Settings that a plan may have more of than the folder that it continues."""


@dataclass(frozen=True)
class PlanFolder:
    """Paths inside the folder.

    Attributes:
        root: the folder.
    """

    root: Path

    @property
    def results(self) -> Path:
        """The aggregates."""
        return self.root / "results.json"

    def object(self, name: str) -> Path:
        """An adversarial photo."""
        return self.root / object_name(name)

    def prompts(self, dataset: str, image: str) -> Path:
        """The prompts of a photo, the same for all attacks and targets."""
        return self.root / "prompts" / dataset / f"{image}.json"

    def masks(self, key: str) -> Path:
        """What a model finds on an original."""
        return self.root / "masks" / key[:2] / f"{key}.json"

    def save(self, pixels: Pixels) -> str:
        """Keep a picture under its fingerprint, which is returned."""
        name = Image(pixels).fingerprint
        if not self.object(name).exists():
            write_png(self.object(name), pixels)
        return name


def object_name(name: str) -> str:
    """The place of an adversarial photo inside the folder."""
    return f"objects/{name[:2]}/{name}.png"


def open_folder(root: Path, plan: Plan, resume: bool = True) -> PlanFolder:
    """Make a new folder, or reopen that of the same plan, or of one that has fewer attacks or targets.

    Raises:
        UsageError: the folder holds something else, another plan (the differing keys are named), or is not to be
            continued.
        MissingError: it cannot be written.
    """
    file = root / PLAN
    try:
        if file.exists():
            _require_same(root, plan, resume)
        elif root.is_dir() and not all(p.match(LEFTOVERS) or p.name == LOCK for p in root.iterdir()):
            raise UsageError(f"{root} is not empty and holds no run of a plan; choose another folder with -o")
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MissingError(f"cannot make the output folder {root}: {error.strerror or error}") from None
    if not file.exists():
        atomic_write_text(file, dump_plan(plan))
    return PlanFolder(root)


def keep_plan(folder: PlanFolder, plan: Plan) -> None:
    """Write down that the folder is this plan's from now on; only its writer may, see ``only_writer``.

    Raises:
        UsageError: it has become another plan's since it was opened.
    """
    _require_same(folder.root, plan, True)
    if _stored(folder.root) != plan:
        atomic_write_text(folder.root / PLAN, dump_plan(plan))


def existing_folder(root: Path) -> tuple[PlanFolder, Plan]:
    """The folder of a finished or interrupted run, and its plan.

    Raises:
        UsageError: it is none.
    """
    if not (root / PLAN).exists():
        raise UsageError(f"{root} is not the folder of a plan: it has no {PLAN}")
    return PlanFolder(root), _stored(root)


def sweep(folder: PlanFolder) -> None:
    """Remove what a kill left half written."""
    for parent, _, _ in os.walk(folder.root):
        for leftover in Path(parent).glob(LEFTOVERS):
            leftover.unlink(missing_ok=True)


@contextmanager
def only_writer(root: Path) -> Iterator[None]:
    """Hold the folder: a second run of it at the same time would compute everything twice.

    Raises:
        UsageError: another process holds it.
    """
    lock = FileLock(root / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"another process is writing to {root}; wait for it, or choose another folder") from None
    except OSError as error:
        raise MissingError(f"cannot write in {root}: {error.strerror or error}") from None
    try:
        yield
    finally:
        lock.release()


def _stored(root: Path) -> Plan:
    try:
        return parse_plan((root / PLAN).read_text("utf-8"), str(root / PLAN))[0]
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {root / PLAN}: {error}") from None


def _require_same(root: Path, plan: Plan, resume: bool) -> None:
    if not resume:
        raise UsageError(f"{root} holds a run already; choose another folder with -o, or continue it with --resume")
    other = _stored(root)
    # What is made is kept by what it is made of, and what is scored by who answers: more of either spoils nothing.
    keys = [key for key in differing_keys(plan, other) if not _grown(key, plan, other)]
    if keys:
        first = keys[0]
        there, here = (p.model_dump(mode="json")[first] for p in (other, plan))
        raise UsageError(
            f"{root} holds another run ({', '.join(keys)}: {first} is {there!r} there, {here!r} here); "
            "choose another folder with -o"
        )


def _grown(key: str, plan: Plan, other: Plan) -> bool:
    """The plan has all that the other one has of this, in whatever order."""
    return key in GROWING and all(one in getattr(plan, key) for one in getattr(other, key))
