"""Workers that are lost: what becomes of their tasks, and when a run gives up; a real kill is in the tests of `run`."""

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

import pytest

from segrobust.benchmark.plans.pool import PATIENCE, _Errand, _Pool
from segrobust.benchmark.plans.tasks import Job, Task, what_is_left
from segrobust.errors import MissingError


def task(kind: Any, *jobs: Job) -> Task:
    return Task(kind, "m", "d", 0, "a", {}, jobs)


def left(rest: Task | None) -> list[tuple[int, str, str | None]]:
    assert rest is not None
    return [(job.shot, job.defence, job.error) for job in rest.jobs]


def test_the_item_that_a_worker_was_at_fails_and_the_others_are_still_to_be_done() -> None:
    making = task("make", Job(1, "x"), Job(2, "y"), Job(3, "z"))
    assert left(what_is_left(making, 1, "killed", hopeless=False)) == [(2, "", "killed"), (3, "", None)]
    assert left(what_is_left(making, 0, "killed", hopeless=True)) == [(n, "", "killed") for n in (1, 2, 3)]
    assert what_is_left(making, 3, "killed", hopeless=False) is None


def test_scores_are_lost_in_the_order_in_which_they_are_made() -> None:
    jobs = (Job(0, "x", "none", "o"), Job(0, "x", "jpeg", "o"), Job(1, "y", "none", error="why"), Job(1, "y", "jpeg"))
    assert left(what_is_left(task("score", *jobs), 1, "killed", hopeless=True)) == [
        (1, "none", "why"), (0, "jpeg", "killed"), (1, "jpeg", "killed")
    ]  # fmt: skip


def test_a_photo_is_lost_once() -> None:
    rest = what_is_left(task("prepare"), 0, "killed", hopeless=False)
    assert rest is not None
    assert rest.error == "killed"
    assert what_is_left(rest, 1, "killed", hopeless=False) is None


def test_a_task_that_loses_one_worker_after_the_other_is_given_up() -> None:
    errand = _Errand(task("make", *(Job(number, "x") for number in range(9))))
    lost = 0
    while any(job.error is None for job in errand.task.jobs):
        errand.begun, errand.done = True, sum(job.error is not None for job in errand.task.jobs)
        rest = errand.left("killed")
        assert rest is not None
        errand, lost = rest, lost + 1
    assert lost == PATIENCE


def test_an_item_that_is_done_between_gives_new_hope() -> None:
    errand = _Errand(task("make", *(Job(number, "x") for number in range(9))))
    for _ in range(PATIENCE + 1):
        errand.begun, errand.done = True, 1 + sum(job.error is not None for job in errand.task.jobs)
        rest = errand.left("killed")
        assert rest is not None
        errand = rest
    assert [job.error for job in errand.task.jobs].count("killed") == 1


def test_a_worker_that_was_lost_before_it_began_has_lost_no_item() -> None:
    before = _Errand(task("make", Job(1, "x")))
    after = before.left("killed")
    assert after == _Errand(before.task, early=1)
    assert after is not None
    after.begun, after.done = True, 1
    assert after.left("killed") is None or after.left("killed").early == 0


class Gone:
    """A process that was killed as soon as it was started."""

    exitcode = -9

    def join(self, timeout: float | None = None) -> None:
        pass

    def terminate(self) -> None:
        pass


class GonePool(_Pool):
    """A pool of them."""

    def __init__(self) -> None:
        self.started = 0
        self._workers = [self._start(), self._start()]

    def _start(self) -> tuple[Any, Connection]:
        self.started += 1
        here, there = multiprocessing.Pipe()
        there.close()
        return Gone(), here


def test_a_run_whose_workers_never_begin_ends_with_what_to_do() -> None:
    pool = GonePool()
    with pytest.raises(
        MissingError, match=r"killed \(out of memory\?\), 3 times before it could begin, .* at d/a on m;"
    ):
        list(pool.run(iter([task("make", Job(1, "x"))] * 2)))
    pool.close()
    assert pool.started < 20
