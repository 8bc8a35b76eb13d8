"""What is left to do of a plan: photos to prepare, attacks to make, saved photos to show, model by model."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from segrobust.benchmark.plans.folder import PlanFolder
from segrobust.benchmark.plans.keys import attack_key
from segrobust.benchmark.plans.making import stat_of
from segrobust.benchmark.plans.models import Facts
from segrobust.benchmark.plans.plan import Plan
from segrobust.benchmark.plans.store import Store
from segrobust.benchmark.plans.tasks import Done, Job, Task, protocols_of
from segrobust.benchmark.plans.variants import Shot, shots
from segrobust.benchmark.rows import CLEAN
from segrobust.io.datasets import Dataset

log = logging.getLogger(__name__)
Record = dict[str, Any]


class Listener(Protocol):
    """Who wants to know how a run goes."""

    def item(self, done: int, total: int, what: str, miou: float | None) -> None:
        """An item is done; with the mean IoU of the attacked photos scored so far, by this process."""
        ...


@dataclass
class Tally:
    """How far a run is, and what it finds.

    Attributes:
        total: items of the run, about.
        done: of them.
        ious: sum of the IoUs of attacked photos.
        prompts: how many that are.
    """

    listener: Listener
    total: int
    done: int = 0
    ious: float = 0.0
    prompts: int = 0

    def skip(self, count: int) -> None:
        """Items that an earlier run has done."""
        self.done += count

    def add(self, done: Done) -> None:
        """An item that was just done."""
        self.done += 1
        for record in done.records if done.table == "scores" else ():
            values = ((record["result"] or {}).get("prompts") or {}).get("iou", [])
            known = [value for value in values if value is not None]
            if record["surrogate"]:
                self.ious += sum(known)
                self.prompts += len(known)
        miou = self.ious / self.prompts if self.prompts else None
        self.listener.item(min(self.done, self.total), self.total, done.what, miou)


class Run:
    """A run of a plan in its folder.

    Args:
        plan: what is run.
        folder: where.
        store: of the folder.
        data: the plan's data sets.
        facts: about its models.
    """

    def __init__(
        self, plan: Plan, folder: PlanFolder, store: Store, data: Mapping[str, Dataset], facts: Mapping[str, Facts]
    ) -> None:
        self.plan, self.folder, self.store, self.data, self.facts = plan, folder, store, data, facts
        self.shots = shots(plan)
        self.jobs = [(n, d.defence) for n, s in enumerate(self.shots) for d in plan.defences if s.faces(d.defence)]

    def photos(self) -> Iterator[tuple[str, int, str]]:
        """Data set, place in it, and name of every photo, in the order of tables."""
        for name, dataset in self.data.items():
            for position, sample in enumerate(dataset.samples):
                yield name, position, sample.id

    def expected(self) -> int:
        """How many items there are, if no photo fails and no two attacks are one."""
        count = sum(map(len, self.data.values()))
        return count * (1 + len(self.shots) - 1 + len(self.jobs) * len(self.plan.targets))

    def to_prepare(self, tally: Tally) -> Iterator[Task]:
        """Photos that were never read, or have changed since."""
        needed = self.plan.prompt_source if self.plan.protocol("clean") else ""
        for dataset, position, image in self.photos():
            before = self.store.photo(dataset, image)
            if before and before["state"] == "done" and before["stat"] == stat_of(self.data[dataset].samples[position]):
                tally.skip(1)
                continue
            yield Task("prepare", needed, dataset, position, image)

    def to_make(self, tally: Tally) -> Iterator[Task]:
        """Attacks that are not on disk, model by model."""
        made = {key for key, name in self.store.made_keys().items() if name and self.folder.object(name).exists()}
        first = self.plan.surrogates[0]
        for surrogate in self.plan.white_boxes:
            chosen = [n for n, shot in enumerate(self.shots) if n and (shot.surrogate or first) == surrogate]
            for dataset, position, image in self.photos():
                photo = self.store.photo(dataset, image)
                if photo is None or photo["state"] != "done":
                    tally.skip(len(chosen))
                    continue
                jobs = []
                for number in chosen:
                    key = self.key(self.shots[number], photo)
                    if key in made:
                        tally.skip(1)
                        continue
                    made.add(key)  # two labels may stand for one attack
                    jobs.append(Job(number, key))
                if jobs:
                    yield Task("make", surrogate, dataset, position, image, photo, tuple(jobs))

    def to_score(self, tally: Tally) -> Iterator[Task]:
        """What targets have not been shown, target by target."""
        for target in self.plan.targets:
            for dataset, position, image in self.photos():
                photo = self.store.photo(dataset, image)
                assert photo is not None
                done = {
                    (row["attack"], row["surrogate"], row["adaptive"], row["defence"], row["protocol"], row["made"])
                    for row in self.store.scored(dataset, image, target)
                    if row["state"] == "done"
                }
                jobs = []
                for number, defence in self.jobs:
                    job = self.job(number, defence, photo)
                    name = self.shots[number].name
                    if all((*name, defence, kind, job.key) in done for kind in protocols_of(photo)):
                        tally.skip(1)
                    else:
                        jobs.append(job)
                if jobs:
                    yield Task("score", target, dataset, position, image, photo, tuple(jobs))

    def to_show(self, target: str, dataset: str, position: int, image: str, photo: Record) -> Task:
        """All that a target is shown of a photo."""
        jobs = tuple(self.job(number, defence, photo) for number, defence in self.jobs)
        return Task("score", target, dataset, position, image, photo, jobs)

    def job(self, number: int, defence: str, photo: Record) -> Job:
        """A photo to show, with what is known of it."""
        shot = self.shots[number]
        if photo["state"] != "done":
            return Job(number, "", defence, error=photo["error"])
        if shot.variant.recipe == CLEAN:
            return Job(number, photo["sha256"], defence)
        key = self.key(shot, photo)
        made = self.store.made(key) or {"state": "failed", "error": "it was not made"}
        if made["state"] != "done":
            return Job(number, key, defence, error=f"no saved photo: {made['error']}")
        return Job(number, key, defence, object=made["object"])

    def key(self, shot: Shot, photo: Record) -> str:
        """The key of an attack on a photo."""
        return attack_key(self.plan, shot, photo["sha256"], self.facts)

    def write(self, done: Done) -> None:
        """Keep what was done; scores of a photo that has changed go."""
        for record in done.records if done.table == "photos" else ():
            before = self.store.photo(record["dataset"], record["image"])
            if before and (before["sha256"], before["prompts"]) != (record["sha256"], record["prompts"]):
                if before["state"] == "done":
                    log.warning("%s: done again, the photo or its annotation has changed", record["image"])
                self.store.forget(record["dataset"], record["image"])
        self.store.put_all([(done.table, record) for record in done.records])
