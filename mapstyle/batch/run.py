"""A run of a tile job: what is left to do, done by workers, written into the ledger, gathered into outputs."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mapstyle.batch.ledger import DONE, FAILED, Entry, Ledger
from mapstyle.batch.local import Task
from mapstyle.batch.plan import Block, Plan
from mapstyle.batch.store import BlockStore
from mapstyle.fingerprint import fingerprint

Executor = Callable[[Iterable[Task]], Iterator[Entry]]
"""Makes blocks, anywhere; gives what became of each, in any order."""
Write = Callable[[str, int, int, int, bytes], None]
"""Takes an encoded tile: format, level, column, row, bytes."""
_TOGETHER, _SECONDS = 50, 1.0
"""Entries are written when there are so many, or when the first has waited so long."""


@dataclass
class Report:
    """What a run did.

    Attributes:
        made: blocks that were looked at; those painted and those found finished by their digest.
        kept: blocks that did not have to be looked at.
        changed: blocks whose digest is another than before.
        failed: what went wrong, block by block.
    """

    made: int = 0
    kept: int = 0
    changed: list[Block] = field(default_factory=list)
    failed: list[Entry] = field(default_factory=list)


class Run:
    """One pass over a job's blocks."""

    def __init__(self, job: Plan, ledger: Ledger, store: BlockStore, run: str, retry_failed: bool = False) -> None:
        """Get ready.

        Args:
            job: which tiles.
            ledger: held by this run.
            store: of finished blocks.
            run: digest of what the whole run is made from.
            retry_failed: whether blocks that failed in an earlier run are tried again.
        """
        self._job, self._ledger, self._store, self._run = job, ledger, store, run
        self._retry = retry_failed
        self.report = Report()

    def tell(self, **facts: str) -> None:
        """Keep facts about the job in its ledger."""
        self._ledger.tell(**facts)

    def tasks(self) -> Iterator[Task]:
        """Give what is left to do."""
        for block in self._job.blocks():
            wanted = tuple(self._job.wanted(block))
            run = self._key(block, wanted)
            entry = self._ledger.entry(block)
            if entry is not None and entry.run == run:
                if entry.state == DONE and self._store.has(entry.fingerprint):
                    self.report.kept += 1
                    continue
                if entry.state == FAILED and not self._retry:
                    self.report.failed.append(entry)
                    continue
            yield Task(block, wanted, run)

    def execute(self, executor: Executor, step: Callable[[Entry], None]) -> Report:
        """Have everything made that is left to do; interrupted, it keeps what is finished.

        Args:
            executor: makes blocks.
            step: is told of each.
        """
        waiting: list[Entry] = []
        since = time.monotonic()
        try:
            for entry in executor(self.tasks()):
                before = self._ledger.entry(entry.block)
                self.report.made += 1
                if entry.state == FAILED:
                    self.report.failed.append(entry)
                elif before is None or before.fingerprint != entry.fingerprint:
                    self.report.changed.append(entry.block)
                waiting.append(entry)
                step(entry)
                if len(waiting) >= _TOGETHER or time.monotonic() - since > _SECONDS:
                    self._write(waiting)
                    since = time.monotonic()
        finally:
            self._write(waiting)
        return self.report

    def broken(self) -> list[Block]:
        """Find finished blocks whose files are damaged or gone, and strike them: the next pass makes them anew."""
        out = []
        for block, name in self._done():
            if self._store.get(name) is None:
                self._store.drop(name)
                out.append(block)
        return out

    def gather(self, write: Write) -> None:
        """Hand all finished tiles to the outputs."""
        for block, name in self._done():
            for (kind, column, row), data in (self._store.get(name) or {}).items():
                write(kind, block.level, column, row, data)

    def _done(self) -> Iterator[tuple[Block, str]]:
        for block in self._job.blocks():
            entry = self._ledger.entry(block)
            if entry is not None and entry.state == DONE:
                yield block, entry.fingerprint

    def sweep(self) -> int:
        """Delete blocks of the store that the ledger no longer names; gives how many."""
        named = {entry.fingerprint for entry in self._ledger.entries(DONE)}
        files = [f for f in _files(self._store.folder) if f.name not in named]
        for file in files:
            file.unlink(missing_ok=True)
        return len(files)

    def _key(self, block: Block, wanted: tuple[tuple[int, int], ...]) -> str:
        """Name what a block is made from; one at the job's rim also by which of its tiles are asked for."""
        return self._run if len(wanted) == len(block.tiles(self._job.grid)) else fingerprint(self._run, wanted)

    def _write(self, entries: list[Entry]) -> None:
        if entries:
            self._ledger.record(entries)
            self._ledger.beat()
            entries.clear()


def _files(folder: Path) -> list[Path]:
    return [f for f in folder.glob("??/*") if f.is_file()]
