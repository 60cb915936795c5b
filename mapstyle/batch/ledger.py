"""The ledger: what became of each block, on disk, so that a job that was killed goes on where it stopped."""

import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from mapstyle.batch.plan import Block
from mapstyle.errors import JobError

DONE, FAILED = "done", "failed"
STALE = 30.0
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
        except (OSError, sqlite3.Error) as error:
            raise JobError(
                f"{path}: cannot be opened ({error}); delete it to begin anew, or choose another -o"
            ) from None
        self._me = f"{socket.gethostname()}:{os.getpid()}"

    def hold(self) -> None:
        """Take the ledger for this run.

        Raises:
            JobError: another run is at work on it.
        """
        with self._changing():
            holder, _, at = self.fact("holder").rpartition("@")
            if holder and holder != self._me and _lives(holder, float(at)):
                raise JobError(
                    f"{self._path.parent}: another run ({holder}) is at work here; wait for it, or choose another -o"
                )
            self.beat()

    def beat(self) -> None:
        """Give a sign of life."""
        self._set("holder", f"{self._me}@{time.time():.0f}")

    def close(self) -> None:
        """Close it; whoever holds it still does."""
        self._db.close()

    def release(self) -> None:
        """Let the next run have it, and close."""
        with self._changing():
            if self.fact("holder").startswith(f"{self._me}@"):
                self._set("holder", "")
        self._db.close()

    def fact(self, key: str) -> str:
        """Give a fact about the job; empty when it was never told."""
        row = self._db.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        return "" if row is None else str(row[0])

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
        with closing(self._db.execute(
            "SELECT * FROM blocks WHERE level = ? AND column = ? AND row = ?", (block.level, block.column, block.row)
        )) as rows:  # fmt: skip
            row = rows.fetchone()
        return None if row is None else _entry(row)

    def entries(self, state: str | None = None) -> Iterator[Entry]:
        """Give all entries, or those of a state, in order of level, column and row."""
        where, values = ("", ()) if state is None else (" WHERE state = ?", (state,))
        for row in self._db.execute(f"SELECT * FROM blocks{where} ORDER BY level, column, row", values).fetchall():
            yield _entry(row)

    def tell_run(self, run: str, parts: Mapping[str, str]) -> None:
        """Keep what a run was made from, so that a later one can say what has changed."""
        with self._changing():
            self._db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?)", (run, json.dumps(dict(parts))))

    def run_parts(self, run: str) -> dict[str, str]:
        """Tell what a run was made from; nothing of one that was never told."""
        row = self._db.execute("SELECT parts FROM runs WHERE run = ?", (run,)).fetchone()
        return {} if row is None else dict(json.loads(row[0]))

    def counts(self) -> dict[str, int]:
        """Count entries by state."""
        return dict(self._db.execute("SELECT state, count(*) FROM blocks GROUP BY state").fetchall())

    def _set(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))

    def _changing(self) -> "_Transaction":
        return _Transaction(self._db, self._path)


class _Transaction:
    """Everything inside is written, or nothing; others wait meanwhile."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db, self._path = db, path

    def __enter__(self) -> None:
        self._try("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            self._db.execute("ROLLBACK") if self._db.in_transaction else None
            raise JobError(f"{self._path}: cannot be written ({error}); free some room or choose another -o") from None
        self._try("COMMIT" if error is None else "ROLLBACK")

    def _try(self, statement: str) -> None:
        try:
            self._db.execute(statement)
        except sqlite3.Error as error:
            raise JobError(f"{self._path}: cannot be written ({error}); free some room or choose another -o") from None


def _entry(row: tuple[int, int, int, str, str, str, float, str, str, str]) -> Entry:
    return Entry(Block(*row[:3]), *row[3:])


def _lives(holder: str, at: float) -> bool:
    """Tell whether a run is at work: its process on this machine, its last sign of life on another."""
    host, _, process = holder.rpartition(":")
    if host != socket.gethostname():
        return time.time() - at < STALE
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's process
    return True
