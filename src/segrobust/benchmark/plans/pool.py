"""Who does the tasks: this process, or several others; records come back to the only one that writes."""

import logging
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from segrobust.benchmark.plans.bench import Bench
from segrobust.benchmark.plans.folder import PlanFolder
from segrobust.benchmark.plans.models import Facts
from segrobust.benchmark.plans.plan import Plan
from segrobust.benchmark.plans.tasks import Done, Task, perform
from segrobust.errors import MissingError

log = logging.getLogger(__name__)
Work = Callable[[Iterator[Task]], Iterator[Done]]


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

        Raises:
            MissingError: a worker is gone; what it was doing is missing, and the next run does it.
        """
        busy: dict[Connection, tuple[int, Task]] = {}
        idle = list(range(len(self._workers)))
        more = True
        while more or busy:
            while more and idle:
                task = next(tasks, None)
                if task is None:
                    more = False
                    break
                number = idle.pop()
                self._workers[number][1].send(task)
                busy[self._workers[number][1]] = (number, task)
            for pipe in wait(list(busy)) if busy else ():  # waiting for nobody would be for ever
                assert isinstance(pipe, Connection)
                number, task = busy[pipe]
                try:
                    message = pipe.recv()
                except (EOFError, OSError):
                    raise self._gone(number, task) from None
                if isinstance(message, Done):
                    yield message
                elif isinstance(message, BaseException):
                    raise message
                else:
                    del busy[pipe]
                    idle.append(number)

    def _gone(self, number: int, task: Task) -> MissingError:
        process, _ = self._workers[number]
        process.join()
        place = f"{task.dataset}/{task.image} on {task.model or 'no model'}"
        return MissingError(
            f"a worker ended (exit code {process.exitcode}) at {place}; fewer --workers take less memory; "
            "the same command continues"
        )

    def close(self) -> None:
        """End the workers."""
        for process, pipe in self._workers:
            pipe.close()
            process.terminate()
        for process, _ in self._workers:
            process.join()


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
