"""Workers on this machine: one process each, which may die without taking the job along."""

import multiprocessing
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from mapstyle.batch.ledger import FAILED, Entry
from mapstyle.batch.plan import Block
from mapstyle.batch.work import Recipe, Worker
from mapstyle.errors import MapstyleError, OutputError

ATTEMPTS = 3
"""How often a block is tried before it is recorded as failed."""


@dataclass(frozen=True)
class Task:
    """A block to be made, with its tiles and the digest of the run it belongs to."""

    block: Block
    wanted: tuple[tuple[int, int], ...]
    run: str

    def failed(self, error: str) -> Entry:
        """Say that it could not be made."""
        return Entry(self.block, FAILED, "", self.run, error=error)


def run_here(recipe: Recipe, tasks: Iterable[Task]) -> Iterator[Entry]:
    """Make blocks in this process, one after the other."""
    worker = Worker(recipe)
    for task in tasks:
        yield _tried(worker, task)


def run_local(recipe: Recipe, tasks: Iterable[Task], workers: int) -> Iterator[Entry]:
    """Make blocks in several processes; results come as they are finished.

    A worker that dies (killed, out of memory) takes no other block along: those it had in hand are tried again,
    each alone in a process of its own, and one that kills its worker every time is recorded as failed.
    """
    queue = iter(tasks)
    while True:
        lost: list[Task] = []
        with _pool(recipe, workers) as pool:
            running: dict[Future[Entry], Task] = {}
            try:
                while True:
                    while len(running) < 2 * workers and (task := next(queue, None)) is not None:
                        running[pool.submit(_work, task)] = task
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
        yield from _one_by_one(recipe, lost)


def _one_by_one(recipe: Recipe, tasks: Sequence[Task]) -> Iterator[Entry]:
    """Make blocks each in a process of its own, so that the one that kills is found."""
    for task in tasks:
        for _ in range(ATTEMPTS):
            with _pool(recipe, 1) as pool:
                try:
                    yield pool.submit(_work, task).result()
                    break
                except BrokenProcessPool:
                    continue
        else:
            yield task.failed(f"its worker died {ATTEMPTS} times: too little memory, or a fault in a library")


def _pool(recipe: Recipe, workers: int) -> ProcessPoolExecutor:
    # Fresh interpreters: a fork would share the parent's threads and GPU.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (recipe,))


_workers: deque[Worker] = deque(maxlen=1)
"""This process' worker, once it has begun."""


def _begin(recipe: Recipe) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which lets blocks in hand be finished
    _workers.append(Worker(recipe))


def _work(task: Task) -> Entry:
    return _tried(_workers[0], task)


def _tried(worker: Worker, task: Task) -> Entry:
    """Make a block; what goes wrong with one is recorded and leaves the others alone."""
    error = ""
    for _ in range(ATTEMPTS):
        try:
            return worker(task.block, task.wanted, task.run)
        except OutputError:
            raise  # no block could be written then
        except MapstyleError as known:
            return task.failed(str(known))
        except Exception as unknown:  # a bug, or a library's mood: the run goes on and the ledger tells
            last = traceback.extract_tb(unknown.__traceback__)[-1]
            error = f"{type(unknown).__name__}: {unknown} ({last.filename.rpartition('/')[2]}:{last.lineno})"
    return task.failed(" ".join(error.split())[:500])
