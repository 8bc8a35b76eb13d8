"""What is to be done for one photo on one model, and doing it: plain data in, records out, whoever does it."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Literal

from segrobust.benchmark.plans.bench import Bench
from segrobust.benchmark.plans.making import make, prepare, stat_of
from segrobust.benchmark.plans.scoring import Original, behind, open_original, score
from segrobust.benchmark.records import failed
from segrobust.benchmark.rows import NO_DEFENCE
from segrobust.errors import MissingError, PhotoError, SegrobustError
from segrobust.models.base import Segmenter

log = logging.getLogger(__name__)
Record = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A photo to show, or to make.

    Attributes:
        shot: its number in ``variants.shots``.
        key: of the attack; for the original, the photo's fingerprint.
        defence: that the target stands behind; empty when the photo is to be made.
        object: the saved photo; None: the original, or there is none.
        error: why there is none, or will be none.
    """

    shot: int
    key: str
    defence: str = ""
    object: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Task:
    """Work on one photo with one model.

    Attributes:
        kind: what is done.
        model: that is needed; empty for none.
        dataset: of the photo.
        position: of the photo in it.
        image: its id.
        photo: its record, where it is prepared.
        jobs: what is done, see :func:`in_order`.
        error: why a photo cannot be prepared, where that is known.
    """

    kind: Literal["prepare", "make", "score"]
    model: str
    dataset: str
    position: int
    image: str
    photo: Record | None = None
    jobs: tuple[Job, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Done:
    """Records that are written together.

    Attributes:
        table: of the store.
        records: of it.
        what: for people.
    """

    table: str
    records: tuple[Record, ...]
    what: str


def in_order(task: Task) -> list[Job]:
    """The jobs as they are done: defence by defence, so that the target's own answers are asked for once."""
    defences = dict.fromkeys(job.defence for job in task.jobs)
    return [job for defence in defences for job in task.jobs if job.defence == defence]


def what_is_left(task: Task, done: int, reason: str, hopeless: bool) -> Task | None:
    """A task whose worker is gone: the item that it was at is a failure, and the others are still to be done.

    Args:
        task: that it was given.
        done: how many items it had done.
        reason: why the next one is a failure.
        hopeless: so are all the others.

    Returns:
        The rest, which gives the failures their records; None if there is none.
    """
    if task.kind == "prepare":
        return None if done else replace(task, error=reason)
    left = in_order(task)[done:]
    lost = len(left) if hopeless else 1
    jobs = [replace(job, object=None, error=job.error or reason) for job in left[:lost]] + left[lost:]
    return replace(task, jobs=tuple(jobs)) if jobs else None


def perform(bench: Bench, task: Task) -> Iterator[Done]:
    """Do a task; each item is given as soon as it is done.

    Raises:
        MissingError: a folder that cannot be written, or a model that cannot be loaded: not the photo's fault.
        UsageError: a model that is not the one the run was begun with.
    """
    load_for(bench, task)
    if task.kind == "prepare":
        yield _prepare(bench, task)
    elif task.kind == "make":
        yield from (_make(bench, task, job) for job in in_order(task))
    else:
        yield from score_all(bench, task)


def load_for(bench: Bench, task: Task) -> None:
    """Load the model that a task needs, before its items: a failure is not taken for theirs."""
    if task.model:
        bench.model(task.model)


def _prepare(bench: Bench, task: Task) -> Done:
    sample = bench.sample(task.dataset, task.position)
    about = {"dataset": task.dataset, "image": task.image, "path": sample.path, "stat": stat_of(sample)}
    try:
        if task.error is not None:
            raise PhotoError(task.error)
        found = prepare(bench, sample)
        bench.write_prompts(task.dataset, sample.id, found["prompts"])
    except Exception as error:
        found = _failed(error, f"{task.dataset}/{task.image}") | {"sha256": None}
        kinds = [p.protocol for p in bench.plan.protocols if p.protocol != "annotation" or sample.reader is not None]
        found["prompts"] = {"references": {kind: {"error": found["error"]} for kind in kinds}}
    return Done("photos", (about | found,), f"{task.image}: prompts")


def _make(bench: Bench, task: Task, job: Job) -> Done:
    shot, begin = bench.shots[job.shot], time.perf_counter()
    name = f"{shot.variant.label} on {shot.surrogate}" if shot.surrogate else shot.variant.label
    name += "" if shot.adaptive == NO_DEFENCE else f", knowing {shot.adaptive}"
    about = {"key": job.key, "image": task.image, "attack": name}
    try:
        if job.error is not None:
            raise PhotoError(job.error)
        sample = bench.sample(task.dataset, task.position)
        found = make(bench, bench.photo(sample, (task.photo or {})["sha256"]), shot)
    except Exception as error:
        found = _failed(error, f"{task.dataset}/{task.image}, {name}") | {"object": None, "result": None}
    return Done("made", (about | found | _stamp(begin),), f"{task.image}: {name}")


def score_all(bench: Bench, task: Task) -> Iterator[Done]:
    """Show a target what there is to show; behind each defence it is asked for its own answers once."""
    for defence, jobs in groupby(in_order(task), lambda job: job.defence):
        original: Original | Exception | None = None
        model: Segmenter | None = None
        for job in jobs:
            begin = time.perf_counter()
            if original is None and job.error is None:
                try:
                    model = behind(bench, bench.model(task.model), defence)
                    sample = bench.sample(task.dataset, task.position)
                    original = open_original(bench, model, sample, task.photo or {})
                except Exception as error:
                    _failed(error, f"{task.dataset}/{task.image} on {task.model}")
                    original = error
            yield _score(bench, task, job, model, original, begin)


def _score(
    bench: Bench, task: Task, job: Job, model: Segmenter | None, original: Original | Exception | None, begin: float
) -> Done:
    shot = bench.shots[job.shot]
    label, surrogate, adaptive = shot.name
    about = {
        "dataset": task.dataset, "image": task.image, "attack": label, "surrogate": surrogate, "adaptive": adaptive,
        "target": task.model, "defence": job.defence, "made": job.key,
    }  # fmt: skip
    behind_it = "" if job.defence == NO_DEFENCE else f" behind {job.defence}"
    name = f"{task.image}: {label} → {task.model}{behind_it}"
    try:
        if job.error is not None:
            raise PhotoError(job.error)
        if isinstance(original, Exception):
            raise original
        assert original is not None
        assert model is not None
        image = original.image if job.object is None else bench.saved(job.object)
        outcomes = score(bench, model, original, image)
    except Exception as error:
        _failed(error, name)
        outcomes = dict.fromkeys(protocols_of(task.photo or {}), error)
    stamp = _stamp(begin)
    records = []
    for protocol, outcome in outcomes.items():
        if isinstance(outcome, Exception):
            fields = {key: failed({}, outcome)[key] for key in ("state", "error")} | {"result": None}
        else:
            fields = {"state": "done", "error": None, "result": outcome}
        records.append(about | {"protocol": protocol} | fields | stamp)
    return Done("scores", tuple(records), name)


def protocols_of(photo: Record) -> list[str]:
    """The protocols under which a photo is scored: those of the plan that it has a reference for."""
    return list(photo["prompts"]["references"])


def _failed(error: Exception, what: str) -> Record:
    """The record of an item that could not be done; what is not the item's fault is raised."""
    if isinstance(error, MissingError):
        raise error
    log.error("%s: %s", what, error, exc_info=None if isinstance(error, SegrobustError) else error)
    return {key: failed({}, error)[key] for key in ("state", "error")}


def _stamp(begin: float) -> Record:
    from segrobust import __version__

    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"seconds": round(time.perf_counter() - begin, 4), "finished": now, "versions": __version__}
