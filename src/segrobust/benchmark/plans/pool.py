"""Who does the tasks: this process, or several others; records come back to the only one that writes."""

import logging
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from segrobust.benchmark.plans.bench import Bench
from segrobust.benchmark.plans.folder import PlanFolder
from segrobust.benchmark.plans.models import Facts
from segrobust.benchmark.plans.plan import Plan
from segrobust.benchmark.plans.tasks import Done, Task, in_order, load_for, perform, what_is_left
from segrobust.errors import MissingError

log = logging.getLogger(__name__)
Work = Callable[[Iterator[Task]], Iterator[Done]]
BEGUN = "begun"
PATIENCE = 3
"""So many workers may be lost in a row: at one task, before its other items are failures too; or before they begin."""


@contextmanager
def executor(plan: Plan, folder: PlanFolder, facts: dict[str, Facts], workers: int) -> Iterator[Work]:
    """A function from tasks to what was done, in any order.

    Args:
        plan: whose tasks they are.
        folder: of the run.
        facts: about the models.
        workers: processes; 1: this one.
    """
    if workers <= 1:
        bench = Bench(plan, folder, facts)
        yield lambda tasks: (done for task in tasks for done in perform(bench, task))
        return
    pool = _Pool(plan, folder, facts, workers)
    try:
        yield pool.run
    finally:
        pool.close()


@dataclass
class _Errand:
    """A task, and how it goes.

    Attributes:
        task: the task, or what is left of it.
        done: items that the present worker has done.
        lost: workers that were lost at it, one after the other, without an item done between.
        early: workers that were lost, one after the other, before they could begin it.
        begun: the present worker has loaded what it needs.
    """

    task: Task
    done: int = 0
    lost: int = 0
    early: int = 0
    begun: bool = False

    def left(self, reason: str) -> "_Errand | None":
        """What is left of it when its worker is gone."""
        if not self.begun:
            return _Errand(self.task, lost=self.lost, early=self.early + 1)
        failures = sum(job.error is not None for job in in_order(self.task)[: self.done])
        lost = 1 if self.done > failures else self.lost + 1
        rest = what_is_left(self.task, self.done, reason, hopeless=lost >= PATIENCE)
        return None if rest is None else _Errand(rest, lost=lost)


class _Pool:
    def __init__(self, plan: Plan, folder: PlanFolder, facts: dict[str, Facts], workers: int) -> None:
        import torch

        self._arguments = (plan, folder, facts, torch.get_num_threads())
        self._context = multiprocessing.get_context("spawn")  # a forked torch may hang
        self._workers = [self._start() for _ in range(workers)]

    def _start(self) -> tuple[BaseProcess, Connection]:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_work, args=(there, *self._arguments), daemon=True)
        process.start()
        there.close()  # so that a worker that is gone is the end of its pipe
        return process, here

    def run(self, tasks: Iterator[Task]) -> Iterator[Done]:
        """Do tasks, each on the first worker that is free.

        A worker that is gone is replaced; the item that it was at becomes a failure.

        Raises:
            MissingError: one worker after the other is gone before it can begin a task.
        """
        busy: dict[Connection, tuple[int, _Errand]] = {}
        idle = list(range(len(self._workers)))
        again: list[_Errand] = []
        while True:
            while idle and (errand := again.pop() if again else _next(tasks)):
                number = idle.pop()
                busy[self._send(number, errand.task)] = number, errand
            if not busy:
                return
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                number, errand = busy[pipe]
                try:
                    message = pipe.recv()
                except (EOFError, OSError):
                    message = self._replace(number, errand)
                    again += [message] if message else []
                if isinstance(message, Done):
                    errand.done += 1
                    yield message
                elif isinstance(message, BaseException):
                    raise message
                elif message == BEGUN:
                    errand.begun = True
                else:
                    del busy[pipe]
                    idle.append(number)

    def _send(self, number: int, task: Task) -> Connection:
        """Give a worker a task; one that was lost while it had none is replaced."""
        try:
            self._workers[number][1].send(task)
        except OSError:
            self._bury(number)
            with suppress(OSError):  # gone as well: its pipe will say so
                self._workers[number][1].send(task)
        return self._workers[number][1]

    def _replace(self, number: int, errand: _Errand) -> _Errand | None:
        """Put another worker in the place of one that is gone; what is left of its task.

        Raises:
            MissingError: it had not begun, nor had those before it at this task.
        """
        task = errand.task
        place = f"{task.dataset}/{task.image} on {task.model or 'no model'}"
        reason = self._bury(number)
        left = errand.left(reason)
        if left is not None and left.early >= PATIENCE:
            raise MissingError(
                f"{reason}, {PATIENCE} times before it could begin, the last time at {place}; fewer --workers take "
                "less memory; the same command continues"
            )
        log.error("%s: %s; another goes on", place, reason)
        return left

    def _bury(self, number: int) -> str:
        """Start another worker in the place of one that is gone; why it is."""
        process, pipe = self._workers[number]
        pipe.close()
        process.join(10)
        if process.exitcode is None:  # it let go of its pipe, and lives on
            process.kill()
            process.join()
        self._workers[number] = self._start()
        code = process.exitcode or 0
        if code == -signal.SIGKILL:
            return "the worker was killed (out of memory?)"
        return f"the worker ended with {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"

    def close(self) -> None:
        """End the workers."""
        for process, pipe in self._workers:
            pipe.close()
            process.terminate()
        for process, _ in self._workers:
            process.join()


def _next(tasks: Iterator[Task]) -> _Errand | None:
    task = next(tasks, None)
    return None if task is None else _Errand(task)


def _work(pipe: Connection, plan: Plan, folder: PlanFolder, facts: dict[str, Facts], threads: int) -> None:
    """A worker's life: tasks in, what was done out, until the pipe ends."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that writes decides when it is over
    torch.set_num_threads(threads)
    bench = Bench(plan, folder, facts)
    while True:
        try:
            task: Any = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            load_for(bench, task)
            pipe.send(BEGUN)
            for done in perform(bench, replace(task)):
                pipe.send(done)
            pipe.send(None)
        except (BrokenPipeError, ConnectionError):
            return
        except Exception as error:
            pipe.send(_portable(error))


def _portable(error: Exception) -> Exception:
    """An error that surely survives the pipe."""
    import pickle

    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
