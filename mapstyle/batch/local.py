"""Workers on this machine: one process each, which may die without taking the job along."""

import contextlib
import multiprocessing
import os
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from types import TracebackType
from typing import Self

from mapstyle.batch.ledger import Entry
from mapstyle.batch.work import ChangedError, Recipe, Task, Worker
from mapstyle.errors import MapstyleError, OutputError

ATTEMPTS = 3
"""How often a block is tried before it is recorded as failed."""
_AHEAD = 2
"""Blocks that a worker has in hand or waiting: while one is told of, it is at the next."""


class Here:
    """Makes blocks in this process, one after the other."""

    def __init__(self, recipe: Recipe) -> None:
        self._worker = Worker(recipe)

    def __call__(self, tasks: Iterable[Task]) -> Iterator[Entry]:
        """Make blocks."""
        for task in tasks:
            yield tried(self._worker, task)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing to be done."""


class Local:
    """Makes blocks in several processes of this machine, which live from phase to phase.

    A worker that dies (killed, out of memory) takes no other block along: those it had in hand are tried again,
    each alone in a process of its own, and one that kills its worker every time is recorded as failed.
    """

    def __init__(self, recipe: Recipe, workers: int, devices: Sequence[str] = ()) -> None:
        """Get ready; processes start with the first block.

        Args:
            recipe: what is made.
            workers: how many processes.
            devices: numbers of the CUDA devices that the processes share out among them; none for the painter.
        """
        self._recipe, self._workers, self._devices = recipe, workers, devices
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let blocks in hand be finished, and the processes end."""
        self._end()

    def __call__(self, tasks: Iterable[Task]) -> Iterator[Entry]:
        """Make blocks; results come as they are finished."""
        queue = iter(tasks)
        while True:
            lost: list[Task] = []
            self._pool = self._pool or self._begin(self._workers)
            running: dict[Future[Entry], Task] = {}
            try:
                while True:
                    while len(running) < _AHEAD * self._workers and (task := next(queue, None)) is not None:
                        running[self._pool.submit(_work, task)] = task
                    if not running:
                        return
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        entry = future.result()
                        del running[future]
                        yield entry
            except BrokenProcessPool:
                # What was finished in the meantime counts; the rest is looked at one by one.
                for future, task in running.items():
                    if future.done() and future.exception() is None:
                        yield future.result()
                    else:
                        lost.append(task)
            finally:
                for future in running:
                    future.cancel()
            self._end()
            yield from self._one_by_one(lost)

    def _one_by_one(self, tasks: Sequence[Task]) -> Iterator[Entry]:
        """Make blocks each in a process of its own, so that the one that kills is found."""
        for task in tasks:
            for _ in range(ATTEMPTS):
                with self._begin(1) as pool:
                    try:
                        yield pool.submit(_work, task).result()
                        break
                    except BrokenProcessPool:
                        continue
            else:
                yield task.failed(f"its worker died {ATTEMPTS} times: too little memory, or a fault in a library")

    def _begin(self, workers: int) -> ProcessPoolExecutor:
        # Fresh interpreters: a fork would share the parent's threads and GPU.
        context = multiprocessing.get_context("spawn")
        devices: SimpleQueue[str] = context.SimpleQueue()
        for i in range(workers if self._devices else 0):
            devices.put(self._devices[i % len(self._devices)])
        return ProcessPoolExecutor(workers, context, _start, (self._recipe, devices))

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


_workers: deque[Worker] = deque(maxlen=1)
"""This process' worker, once it has begun."""


def _start(recipe: Recipe, devices: "SimpleQueue[str]") -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which lets blocks in hand be finished
    if not devices.empty():
        os.environ["CUDA_VISIBLE_DEVICES"] = devices.get()  # before torch is loaded, which looks but once
    with contextlib.suppress(OSError, AttributeError):
        _end_with_parent()
    _workers.append(Worker(recipe))


def _end_with_parent() -> None:
    """Have the system end this process when its parent is killed: nobody would take what it makes."""
    import ctypes
    import signal

    ctypes.CDLL("libc.so.6", use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, prctl(2)


def _work(task: Task) -> Entry:
    return tried(_workers[0], task)


def tried(worker: Worker, task: Task) -> Entry:
    """Make a block; what goes wrong with one is recorded and leaves the others alone."""
    error = ""
    for _ in range(ATTEMPTS):
        try:
            return worker(task)
        except (OutputError, ChangedError):
            raise  # no other block could be made either
        except MapstyleError as known:
            return task.failed(str(known))
        except Exception as unknown:  # a bug, or a library's mood: the run goes on and the ledger tells
            last = traceback.extract_tb(unknown.__traceback__)[-1]
            error = f"{type(unknown).__name__}: {unknown} ({last.filename.rpartition('/')[2]}:{last.lineno})"
    return task.failed(" ".join(error.split())[:500])
