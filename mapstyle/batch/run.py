"""A run of a tile job: what is left to do, done by workers, written into the ledger, gathered into outputs."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mapstyle.batch.gather import damaged
from mapstyle.batch.ledger import DONE, FAILED, Entry, Ledger, read_parts
from mapstyle.batch.plan import Block
from mapstyle.batch.store import BlockStore
from mapstyle.batch.work import ChangedError, Recipe, Task, digest_wanted

Executor = Callable[[Iterable[Task]], Iterator[Entry]]
"""Makes blocks, anywhere; gives what became of each, in any order."""
LISTED = 20
"""Changed blocks that a report keeps one by one."""
_TOGETHER, _SECONDS = 50, 1.0
"""Entries are written when there are so many, or when the first has waited so long."""


@dataclass
class Report:
    """What a run did.

    Attributes:
        looked: blocks that were looked at; those painted and those found finished by their digest.
        painted: blocks that were painted.
        tried: blocks that were tried and failed.
        kept: blocks that did not have to be looked at.
        passed: blocks that were left for another run.
        changed: how many blocks have another digest than before, by the reasons.
        first: the first of them; a run's log has all.
        failed: what went wrong, block by block.
    """

    looked: int = 0
    painted: int = 0
    tried: int = 0
    kept: int = 0
    passed: int = 0
    changed: Counter[tuple[str, ...]] = field(default_factory=Counter)
    first: list[Entry] = field(default_factory=list)
    failed: list[Entry] = field(default_factory=list)


class Stamps:
    """How the files of a run's sources looked when it began."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._found = [(file, _stamp(file)) for file in files]

    def check(self) -> None:
        """Make sure that no source has changed.

        Raises:
            ChangedError: one has; what was painted since then must not be believed.
        """
        for file, found in self._found:
            if _stamp(file) != found:
                raise ChangedError(
                    f"{file}: has changed while the run was going on; run the same command again, "
                    "it paints only what has changed"
                )


class Run:
    """One pass over a job's blocks."""

    def __init__(
        self,
        recipe: Recipe,
        ledger: Ledger,
        stamps: Stamps | None = None,
        retry_failed: bool = False,
        changed_only: bool = False,
        kept: Callable[[Block], None] = lambda block: None,
    ) -> None:
        """Get ready.

        Args:
            recipe: how blocks are made, and which there are.
            ledger: held by this run.
            stamps: of the sources.
            retry_failed: whether blocks that failed in an earlier run are tried again.
            changed_only: whether blocks that were never made are left for another run.
            kept: is told of blocks for which nothing has to be done.
        """
        self._job, self._ledger, self._store = recipe.plan, ledger, BlockStore(recipe.store)
        self._run, self._parts = recipe.run, recipe.parts
        self._stamps = stamps or Stamps(())
        self._retry, self._changed_only = retry_failed, changed_only
        self._kept = kept
        self._looked: dict[Block, str] = {}
        self.report = Report()

    def execute(self, executor: Executor, step: Callable[[Entry], None], look: bool = False) -> Report:
        """Have everything made that is left to do; interrupted, it keeps what is finished.

        Args:
            executor: makes blocks; it is called once for all levels that are painted, and for each shrunk one.
            step: is told of each.
            look: whether blocks are only looked at: what would be made is told, and nothing is.
        """
        if not look:
            self._ledger.tell_run(self._run, self._parts)
        waiting: list[Entry] = []
        since = time.monotonic()
        try:
            for phase in self._job.phases():
                for entry in executor(self._tasks(phase, look)):
                    entry = self._take(entry, look)
                    step(entry)
                    if look:
                        continue
                    waiting.append(entry)
                    if len(waiting) >= _TOGETHER or time.monotonic() - since > _SECONDS:
                        self._write(waiting)
                        since = time.monotonic()
                if not look:
                    self._write(waiting)  # the next phase looks for them
        except ChangedError:
            waiting.clear()
            raise
        finally:
            if not look:
                self._write(waiting)
        return self.report

    def _tasks(self, levels: Sequence[int], look: bool) -> Iterator[Task]:
        """Give what is left to do at some levels."""
        for level in levels:
            for block in self._job.of_level(level):
                entry = self._ledger.entry(block)
                if self._settled(block, entry):
                    self._kept(block)
                    continue
                sources = [self._name(source) for source in self._job.sources(block)]
                if all(sources):
                    yield Task(block, self._run, tuple(filter(None, sources)), look)
                elif not look:
                    missing = Task(block, self._run).failed(f"blocks of level {level + 1}, of which it is made, failed")
                    self.report.failed.append(missing)
                    self._write([missing])

    def _settled(self, block: Block, entry: Entry | None) -> bool:
        """Tell whether nothing has to be done for a block, and count it then."""
        report = self.report
        if self._changed_only and (entry is None or entry.state != DONE):
            report.passed += 1
            return True
        if entry is None or entry.run != self._run or (entry.state == DONE and entry.wanted != self.wanted(block)):
            return False
        if entry.state == DONE and self._store.has(entry.fingerprint):
            report.kept += 1
            return True
        if entry.state == FAILED and not self._retry:
            report.failed.append(entry)
            return True
        return False

    def wanted(self, block: Block) -> str:
        """Digest which of a block's tiles are asked for."""
        n = self._job.grid.across
        wanted = tuple((c - block.column * n, r - block.row * n) for c, r in self._job.wanted(block))
        return digest_wanted(self._job.way(block.level), wanted)

    def _name(self, block: Block) -> str | None:
        """Give the fingerprint of a block that another is shrunk from; None when it failed."""
        if block in self._looked:
            return self._looked[block]
        entry = self._ledger.entry(block)
        return None if entry is None or entry.state != DONE else entry.fingerprint

    def _take(self, entry: Entry, look: bool) -> Entry:
        """Count what became of a block, and say why it is another than before."""
        before = self._ledger.entry(entry.block)
        self.report.looked += 1
        if entry.state == FAILED:
            self.report.failed.append(entry)
            self.report.tried += 1
            return entry
        if before is None or before.fingerprint != entry.fingerprint:
            entry = replace(entry, why=self._why(before, entry))
            self.report.changed[entry.why] += 1
            if len(self.report.first) < LISTED:
                self.report.first.append(entry)
        self.report.painted += entry.painted
        if look and self._job.keeps_art(entry.block.level):
            self._looked[entry.block] = entry.fingerprint
        return entry

    def _why(self, before: Entry | None, now: Entry) -> tuple[str, ...]:
        if before is None:
            return ("new",)
        if before.state == FAILED:
            return ("failed before",)
        then = self._ledger.run_parts(before.run)
        reasons = [name for name, value in self._parts.items() if then.get(name) != value]
        old, new = read_parts(before.drawn), read_parts(now.drawn)
        if ("shrunk" in old) != ("shrunk" in new):
            return (*reasons, "made in another way")
        reasons += sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        return tuple(reasons) or ("other tiles of it are asked for",)

    def strike(self) -> list[Block]:
        """Strike finished blocks whose files are damaged or gone: the next pass makes them anew."""
        found = list(damaged(self._job, self._ledger, self._store))
        for _, name in found:
            self._store.drop(name)
        return [block for block, _ in found]

    def sweep(self) -> int:
        """Delete blocks of the store that the ledger no longer names; gives how many."""
        named = self._ledger.fingerprints()
        count = 0
        for file in self._store.folder.glob("??/*"):
            if file.name not in named and file.is_file():
                file.unlink(missing_ok=True)
                count += 1
        return count

    def _write(self, entries: list[Entry]) -> None:
        self._stamps.check()  # after they came, so that none of them was painted from what is new
        if entries:
            self._ledger.record(entries)
            entries.clear()


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
