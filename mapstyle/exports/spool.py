"""What sinks of tiles keep on disk until all are there, and how trouble with the disk is told."""

import contextlib
import errno
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mapstyle.errors import OutputError
from mapstyle.exports.contents import MODULUS, tile_digest
from mapstyle.exports.tilejson import Held

_CACHE = -16_000  # KiB of pages that SQLite may hold, at most
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def database(file: Path) -> sqlite3.Connection:
    """Open a new database that is thrown away when anything fails, and so needs no journal."""
    database = sqlite3.connect(file, isolation_level=None)
    for setting in ("page_size = 4096", "journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
        database.execute(f"PRAGMA {setting}")
    database.execute(f"PRAGMA cache_size = {_CACHE}")
    return database


class Tally:
    """Counts tiles and adds up their digests, on disk; a tile that comes twice counts as it came last."""

    def __init__(self, work: Path) -> None:
        self._index = database(work / "tally")
        self._index.execute("BEGIN")
        self._index.execute("CREATE TABLE tiles (address INTEGER PRIMARY KEY, digest BLOB)")

    def add(self, z: int, x: int, y: int, data: bytes) -> None:
        """Take one tile."""
        digest = tile_digest(z, x, y, data).to_bytes(16, "big")
        self._index.execute("INSERT OR REPLACE INTO tiles VALUES (?, ?)", (_address(z, x, y), digest))

    def __contains__(self, tile: tuple[int, int, int]) -> bool:
        found = self._index.execute("SELECT 1 FROM tiles WHERE address = ?", (_address(*tile),))
        return found.fetchone() is not None

    def held(self) -> Held:
        """Give what has come so far."""
        count = total = 0
        for (digest,) in self._index.execute("SELECT digest FROM tiles"):
            count, total = count + 1, (total + int.from_bytes(digest, "big")) % MODULUS
        return Held(count, f"{total:032x}")

    def close(self) -> None:
        """Let go of the file."""
        self._index.close()


class Spool:
    """Tiles on disk by address: their bytes, equal ones once, in one file, and an index in SQLite."""

    def __init__(self, work: Path) -> None:
        self._data = (work / "tiles").open("w+b")
        self._end = 0
        self._index = database(work / "index")
        self._index.execute("BEGIN")
        self._index.execute(
            "CREATE TABLE contents (content INTEGER PRIMARY KEY, digest BLOB UNIQUE, start INTEGER, length INTEGER)"
        )
        self._index.execute("CREATE TABLE tiles (address INTEGER PRIMARY KEY, content INTEGER)")
        self.contents = 0
        self.count = 0

    def add(self, address: int, data: bytes) -> None:
        """Take one tile."""
        digest = hashlib.blake2b(data, digest_size=16).digest()
        found = self._index.execute("SELECT content FROM contents WHERE digest = ?", (digest,)).fetchone()
        if found is None:
            self._data.write(data)
            row = (self.contents + 1, digest, self._end, len(data))
            self._index.execute("INSERT INTO contents VALUES (?, ?, ?, ?)", row)
            self._end += len(data)
            self.contents += 1
        content = self.contents if found is None else found[0]
        self._index.execute("INSERT OR REPLACE INTO tiles VALUES (?, ?)", (address, content))
        self.count += 1

    def tiles(self) -> Iterator[tuple[int, int, int, int]]:
        """Give address, number of the content, where it starts and its length, by ascending address."""
        self._data.flush()
        return self._index.execute(
            "SELECT address, content, start, length FROM tiles CROSS JOIN contents USING (content) ORDER BY address"
        )

    def read(self, start: int, length: int) -> bytes:
        """Give bytes back, of a tile that :meth:`tiles` named."""
        data = os.pread(self._data.fileno(), length, start)
        assert len(data) == length, "the spool is nobody else's"
        return data

    def close(self) -> None:
        """Let go of the files."""
        self._index.close()
        with contextlib.suppress(OSError):  # a full disk has been told already
            self._data.close()


@contextlib.contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn trouble with the disk into one line."""
    try:
        yield
    except Exception as error:
        gdal = type(error).__module__.startswith("rasterio")
        if not gdal and not isinstance(error, (OSError, sqlite3.Error)):
            raise
        raise OutputError(f"{path}: {_trouble(path, error, gdal)}") from None


def _trouble(path: Path, error: Exception, gdal: bool) -> str:
    number = error.errno if isinstance(error, OSError) else None
    text = (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0]
    if not path.parent.is_dir() or number == errno.ENOENT:
        return "its folder vanished meanwhile; make it again and repeat the command"
    whole = f"{error} {error.__cause__}".lower()  # GDAL's own words are in the cause
    full = any(words in whole for words in ("disk is full", "no space left", "file too large"))
    if full or number in _FULL or (gdal and shutil.disk_usage(path.parent).free < 64 << 20):
        return "the disk is full; free some room or choose another place with -o"
    told = (isinstance(error, OSError) and error.strerror) or text
    return f"cannot be written: {told}" + ("; is the disk full?" if gdal else "")


def _address(z: int, x: int, y: int) -> int:
    return z << 56 | x << 28 | y
