"""Workers on this machine: one process each, which may die without taking the job along."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from mapstyle.batch.ledger import Entry
from mapstyle.batch.sharing import Hand, Queue
from mapstyle.batch.work import Recipe, Task, Worker, tried


class Here:
    """Makes blocks in this process, one after the other."""

    def __init__(self, recipe: Recipe) -> None:
        self.worker = Worker(recipe)

    def __call__(self, tasks: Iterable[Task]) -> Iterator[Entry]:
        """Make blocks."""
        for task in tasks:
            with _patience() as asked:
                entry = tried(self.worker, task)
            yield entry
            if asked:
                raise KeyboardInterrupt

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing to be done."""


@contextlib.contextmanager
def _patience() -> Iterator[list[int]]:
    """Let a block be finished when a person presses Ctrl-C, or the system asks politely; the second time ends it."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        print("finishing the block in hand; once more stops at once", file=sys.stderr, flush=True)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(eq=False)
class _Process(Hand):
    """A process of this machine, which begins with its first block.

    Attributes:
        recipe: what it makes.
        device: number of its CUDA device; empty for the painter.
    """

    recipe: Recipe | None = None
    device: str = ""
    _pool: ProcessPoolExecutor | None = None

    def submit(self, task: Task) -> Future[Entry]:
        """Hand over a block."""
        try:
            self._pool = self._pool or self._begin()
            return _submit(self._pool, task)
        except BrokenProcessPool:  # it died while it had nothing
            self.end()
            self._pool = self._begin()
            return _submit(self._pool, task)

    def end(self) -> None:
        """Let it finish what it has in hand."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _begin(self) -> ProcessPoolExecutor:
        assert self.recipe is not None, "a process is told what it makes"
        # A fresh interpreter: a fork would share the parent's threads and GPU.
        return ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), _start, (self.recipe, self.device, os.getpid())
        )


class Local:
    """Makes blocks in several processes of this machine, which live from phase to phase.

    A worker that dies (killed, out of memory) takes no other block along: what it had in hand is tried again,
    alone, and a block that kills its worker every time is recorded as failed.
    """

    def __init__(self, recipe: Recipe, workers: int, devices: Sequence[str] = ()) -> None:
        """Get ready; processes start with the first block.

        Args:
            recipe: what is made.
            workers: how many processes.
            devices: numbers of the CUDA devices that the processes share out among them; none for the painter.
        """
        names = list(devices) or [""]
        self._hands = [
            _Process("this machine", True, recipe=recipe, device=names[i % len(names)]) for i in range(workers)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let blocks in hand be finished, and the processes end."""
        try:
            for hand in self._hands:
                hand.end()
        except KeyboardInterrupt:
            for process in multiprocessing.active_children():
                process.kill()
            raise

    def __call__(self, tasks: Iterable[Task]) -> Iterator[Entry]:
        """Make blocks; results come as they are finished."""
        queue = Queue(tasks)
        try:
            while True:
                queue.pull(self._hands, 0)
                for hand, attempt in queue.give_out(self._hands):
                    assert isinstance(hand, _Process)
                    hand.given[hand.submit(attempt.task)] = attempt
                owners = {future: hand for hand in self._hands for future in hand.given}
                if not owners:
                    assert queue.empty, "with nothing in hand, every worker takes a block"
                    return
                finished = wait(owners, return_when=FIRST_COMPLETED).done
                for owner in {owners[future] for future in finished}:
                    yield from _collect(owner, queue)
        finally:
            for hand in self._hands:
                for future in hand.given:
                    future.cancel()
                hand.given.clear()


def _collect(hand: _Process, queue: Queue) -> Iterator[Entry]:
    """Give what a worker has finished; if it has died, its blocks go back."""
    answers: dict[Future[Entry], Entry] = {}
    dead = False
    for future in [future for future in hand.given if future.done()]:
        try:
            answers[future] = future.result()
        except BrokenProcessPool:
            dead = True
    if dead:
        hand.end()
        yield from queue.bury(hand, answers)
        return
    for future, entry in answers.items():
        del hand.given[future]
        yield entry


_workers: deque[Worker] = deque(maxlen=1)
"""This process' worker, once it has begun."""


def _start(recipe: Recipe, device: str, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which lets blocks in hand be finished
    if device:
        os.environ["CUDA_VISIBLE_DEVICES"] = device  # before torch is loaded, which looks but once
    with contextlib.suppress(OSError, AttributeError):
        _end_with_parent(parent)
    _workers.append(Worker(recipe))


def _end_with_parent(parent: int) -> None:
    """Have the system end this process when its parent is killed: nobody would take what it makes."""
    import ctypes

    ctypes.CDLL("libc.so.6", use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, prctl(2)
    if os.getppid() != parent:  # it was killed before this could be asked for
        os._exit(1)


def _submit(pool: ProcessPoolExecutor, task: Task) -> "Future[Entry]":
    """Hand out a block; a process that begins for it inherits, from its first moment, that Ctrl-C is not for it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_work, task)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(task: Task) -> Entry:
    return tried(_workers[0], task)
