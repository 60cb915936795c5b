"""The ledger: what became of each block, on disk, so that a job that was killed goes on where it stopped."""

import errno
import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapstyle.batch.plan import Block
from mapstyle.errors import JobError

DONE, FAILED = "done", "failed"
BEAT = 10.0
"""Seconds between two signs of life."""
STALE = 60.0
"""Seconds without a sign of life after which a run on another machine is taken for dead."""
_VERSION = 2
"""Of the tables below."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS blocks (
  level INTEGER, column INTEGER, row INTEGER,
  state TEXT NOT NULL, fingerprint TEXT NOT NULL, run TEXT NOT NULL, seconds REAL NOT NULL, error TEXT NOT NULL,
  wanted TEXT NOT NULL, drawn TEXT NOT NULL,
  PRIMARY KEY (level, column, row)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY, parts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Entry:
    """What became of a block.

    Attributes:
        block: which.
        state: ``done`` or ``failed``.
        fingerprint: digest of all that decided its pixels; empty when it failed before that was known.
        run: digest of what the whole run was made from: while that stays, no block has to be looked at again.
        seconds: how long it took.
        error: why it failed, on one line.
        wanted: digest of which of its tiles the job asked for.
        drawn: digests of what it draws, by what they are of, as JSON.
        painted: whether it was made now; not kept.
        notes: what a person should know of it, such as fonts that are missing; not kept.
        why: what has changed since it was made before, or ``new``; empty when nothing has; not kept.
    """

    block: Block
    state: str
    fingerprint: str
    run: str
    seconds: float = 0.0
    error: str = ""
    wanted: str = ""
    drawn: str = "{}"
    painted: bool = field(default=False, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    why: tuple[str, ...] = field(default=(), compare=False)


class Ledger:
    """One job's memory, held by one run at a time."""

    def __init__(self, path: Path) -> None:
        """Open a ledger, or begin one.

        Raises:
            JobError: it is no ledger, or another run holds it.
        """
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            # A power cut may cost the last few blocks, which are then painted again; never the ledger.
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not self._db.execute("SELECT 1 FROM blocks").fetchone():
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
            elif version != _VERSION:
                raise JobError(
                    f"{path}: was made by another version of mapstyle; delete its folder, or choose another -o"
                )
        except OSError as error:
            raise JobError(f"{path}: cannot be opened: {error.strerror}; mend that, or choose another -o") from None
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _trouble(path, error) from None
        self._me = f"{socket.gethostname()}:{os.getpid()}"
        self._lock: int | None = None
        self._released = threading.Event()
        self._pulse: threading.Thread | None = None

    def hold(self) -> None:
        """Take the ledger for this run, and give a sign of life now and then until it is released.

        On one machine a lock on a file says who is at work: the system drops it when the process ends, however it
        ends. Other machines are believed to be at work as long as their signs of life are fresh.

        Raises:
            JobError: another run is at work on it.
        """
        self._lock = _locked(self._path.with_suffix(".lock"))
        # A damaged index would lose blocks without a word; a whole one of 100 000 blocks is looked through in no time.
        if self._lock is not None and (found := self._ask("PRAGMA quick_check(1)")) != [("ok",)]:
            os.close(self._lock)
            raise _trouble(self._path, sqlite3.DatabaseError(" ".join(str(found[0][0]).split()) if found else ""))
        with self._changing():
            holder, _, at = self.fact("holder").rpartition("@")
            elsewhere = holder.rpartition(":")[0] not in ("", socket.gethostname())
            beats = elsewhere and _fresh(at)
            if beats and self._lock is not None:
                os.close(self._lock)
            if self._lock is None or beats:
                raise JobError(
                    f"{self._path.parent}: another run ({holder}) is at work here; wait for it, or choose another -o"
                )
            self._set("holder", f"{self._me}@{time.time():.0f}")
        self._pulse = threading.Thread(target=self._beat, daemon=True)
        self._pulse.start()

    def _beat(self) -> None:
        """Give signs of life: what is in hand may take longer than another machine would wait."""
        while not self._released.wait(BEAT):
            with suppress(sqlite3.Error), closing(sqlite3.connect(self._path, timeout=BEAT)) as own, own:
                own.execute("UPDATE facts SET value = ? WHERE key = 'holder'", (f"{self._me}@{time.time():.0f}",))

    def close(self) -> None:
        """Close it; whoever holds it still does."""
        self._db.close()

    def release(self) -> None:
        """Let the next run have it, and close."""
        self._released.set()
        if self._pulse is not None:
            self._pulse.join()
        try:
            with self._changing():
                self._set("holder", "")
        finally:
            self._db.close()
            if self._lock is not None:
                os.close(self._lock)

    def fact(self, key: str) -> str:
        """Give a fact about the job; empty when it was never told."""
        rows = self._ask("SELECT value FROM facts WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else ""

    def tell(self, **facts: str) -> None:
        """Keep facts about the job."""
        with self._changing():
            for key, value in facts.items():
                self._set(key, value)

    def record(self, entries: Iterable[Entry]) -> None:
        """Write down what became of blocks, all of them or none."""
        rows = [
            (
                e.block.level,
                e.block.column,
                e.block.row,
                e.state,
                e.fingerprint,
                e.run,
                e.seconds,
                e.error,
                e.wanted,
                e.drawn,
            )
            for e in entries
        ]
        with self._changing():
            self._db.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def entry(self, block: Block) -> Entry | None:
        """Tell what became of a block; None when nothing has."""
        where = (block.level, block.column, block.row)
        rows = self._ask("SELECT * FROM blocks WHERE level = ? AND column = ? AND row = ?", where)
        return _entry(rows[0]) if rows else None

    def entries(self, state: str | None = None) -> Iterator[Entry]:
        """Give all entries, or those of a state, in order of level, column and row."""
        where, values = ("", ()) if state is None else (" WHERE state = ?", (state,))
        yield from map(_entry, self._ask(f"SELECT * FROM blocks{where} ORDER BY level, column, row", values))

    def tell_run(self, run: str, parts: Mapping[str, str]) -> None:
        """Keep what a run was made from, so that a later one can say what has changed."""
        with self._changing():
            self._db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?)", (run, json.dumps(dict(parts))))

    def run_parts(self, run: str) -> dict[str, str]:
        """Tell what a run was made from; nothing of one that was never told."""
        rows = self._ask("SELECT parts FROM runs WHERE run = ?", (run,))
        return read_parts(rows[0][0]) if rows else {}

    def fingerprints(self) -> set[str]:
        """Give the names of all finished blocks: about 100 bytes each."""
        return {row[0] for row in self._ask("SELECT DISTINCT fingerprint FROM blocks WHERE state = ?", (DONE,))}

    def counts(self) -> dict[str, int]:
        """Count entries by state."""
        return dict(self._ask("SELECT state, count(*) FROM blocks GROUP BY state"))

    def _ask(self, question: str, values: Sequence[object] = ()) -> list[Any]:
        try:
            with closing(self._db.execute(question, values)) as rows:
                return rows.fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _trouble(self._path, error) from None

    def _set(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))

    def _changing(self) -> "_Transaction":
        return _Transaction(self._db, self._path)


class _Transaction:
    """Everything inside is written, or nothing; others wait meanwhile."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db, self._path = db, path

    def __enter__(self) -> None:
        if not self._path.exists():  # SQLite would go on writing what nobody can find any more
            raise JobError(f"{self._path}: has vanished meanwhile; run the same command again")
        self._try("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise _trouble(self._path, error) from None
        if error is None or self._db.in_transaction:
            self._try("COMMIT" if error is None else "ROLLBACK")

    def _try(self, statement: str) -> None:
        try:
            self._db.execute(statement)
        except sqlite3.Error as error:
            raise _trouble(self._path, error) from None


def _trouble(path: Path, error: Exception) -> JobError:
    """Say what is wrong with a ledger, and what mends it."""
    kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if kind in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return JobError(f"{path}: cannot be written ({error}); free some room and run the same command again")
    if kind in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return JobError(f"{path}: cannot be written ({error}); make it and its folder writable, or choose another -o")
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return JobError(f"{path}: another run is at work on it ({error}); wait for it, or choose another -o")
    return JobError(f"{path}: is damaged ({error}); delete it and run the same command again, finished blocks are kept")


def read_parts(text: object) -> dict[str, str]:
    """Read digests by name; nothing from a damaged ledger."""
    try:
        parts = json.loads(str(text))
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in parts.items()} if isinstance(parts, dict) else {}


def _fresh(at: str) -> bool:
    """Tell whether a sign of life is of late."""
    try:
        return time.time() - float(at) < STALE
    except ValueError:
        return False


def _entry(row: tuple[int, int, int, str, str, str, float, str, str, str]) -> Entry:
    return Entry(Block(*row[:3]), *row[3:])


def _locked(path: Path) -> int | None:
    """Lock a file for this process; None when another has it."""
    import fcntl

    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise JobError(f"{path}: cannot be locked: {error.strerror}; choose an -o on another disk") from None
    return file
