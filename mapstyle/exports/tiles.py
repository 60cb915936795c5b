"""Write pyramids of tiles: a folder, MBTiles or PMTiles; nothing half-written ever has a tile's or archive's name."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mapstyle.errors import OutputError, nearest
from mapstyle.exports.picture import hidden_folder, place
from mapstyle.exports.tilejson import Tileset, mbtiles_metadata, pmtiles_header, pmtiles_metadata, tilejson

METADATA = "metadata.json"
"""TileJSON of a folder of tiles; there once the folder is whole."""
UNFINISHED = ".unfinished.json"
"""The same, until then: a folder that has it may be gone on with."""

_LAYOUT = ("tiles", "scheme", "bounds", "minzoom", "maxzoom", "tileSize", "pixelRatio")
_MBTILES_ID = 0x4D504258  # "MPBX", the number that SQLite's magic.txt assigns to MBTiles
_CACHE = -16_000  # KiB of pages that SQLite may hold, at most


class TileSink(Protocol):
    """Takes encoded tiles, in any order, from one thread; a tile that comes twice counts as it came last."""

    def write(self, z: int, x: int, y: int, data: bytes) -> None:
        """Take one tile; ``y`` counts from the north whatever the output does."""

    def finish(self) -> None:
        """Make the output whole; :func:`open_tiles` calls it."""


class _Folder:
    """Files ``z/x/y``, each written beside and renamed; one that is there with the same bytes is left alone."""

    def __init__(self, path: Path, tileset: Tileset, work: Path) -> None:
        self._path = path
        self._tileset = tileset
        self._suffix = tileset.format.suffix
        self._beside = work / "tile"

    def write(self, z: int, x: int, y: int, data: bytes) -> None:
        """Take one tile."""
        row = (1 << z) - 1 - y if self._tileset.scheme == "tms" else y
        file = self._path / str(z) / str(x) / f"{row}{self._suffix}"
        with _telling(self._path):
            if _holds(file, data):
                return
            self._beside.write_bytes(data)
            try:
                os.replace(self._beside, file)
            except FileNotFoundError:
                for folder in (file.parent.parent, file.parent):  # never the output itself: it may be gone on purpose
                    with contextlib.suppress(FileExistsError):
                        folder.mkdir()
                os.replace(self._beside, file)

    def finish(self) -> None:
        """Give the TileJSON its name."""
        with _telling(self._path):
            os.replace(self._path / UNFINISHED, self._path / METADATA)


class _Archive:
    """Keeps tiles on disk until all are there, then writes one file in the order of its own addresses.

    Peak disk is twice the tiles; memory does not grow with them, but for what :meth:`_pack` says.
    """

    def __init__(self, path: Path, tileset: Tileset, work: Path) -> None:
        self._path = path
        self._tileset = tileset
        self._ready = work / "ready"
        with _telling(path):
            self._ready.mkdir()
            self._spool = _Spool(work)

    def write(self, z: int, x: int, y: int, data: bytes) -> None:
        """Take one tile."""
        with _telling(self._path):
            self._spool.add(self._address(z, x, y), data)

    def finish(self) -> None:
        """Write the archive and put it in place."""
        if not self._spool.count:
            raise OutputError(f"{self._path}: there are no tiles to write; ask for an extent with at least one")
        with _telling(self._path):
            self._pack(self._ready / self._path.name)
            place(self._ready, self._path)

    def close(self) -> None:
        """Let go of the spool."""
        self._spool.close()

    def _address(self, z: int, x: int, y: int) -> int:
        raise NotImplementedError

    def _pack(self, file: Path) -> None:
        raise NotImplementedError


class _Mbtiles(_Archive):
    """MBTiles 1.3: SQLite, written in the order of its index, so that the same tiles give the same bytes."""

    def _address(self, z: int, x: int, y: int) -> int:
        return z << 56 | x << 28 | ((1 << z) - 1 - y)

    def _pack(self, file: Path) -> None:
        with contextlib.closing(_database(file)) as database:
            database.execute(f"PRAGMA application_id = {_MBTILES_ID}")
            database.execute("BEGIN")
            database.execute("CREATE TABLE metadata (name text, value text)")
            database.execute("CREATE UNIQUE INDEX name ON metadata (name)")
            database.executemany("INSERT INTO metadata VALUES (?, ?)", mbtiles_metadata(self._tileset).items())
            database.execute(
                "CREATE TABLE tiles (zoom_level integer, tile_column integer, tile_row integer, tile_data blob)"
            )
            database.execute("CREATE UNIQUE INDEX tile_index ON tiles (zoom_level, tile_column, tile_row)")
            low = (1 << 28) - 1
            rows = (
                (address >> 56, address >> 28 & low, address & low, self._spool.read(start, length))
                for address, _, start, length in self._spool.tiles()
            )
            database.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", rows)
            database.execute("COMMIT")


class _Pmtiles(_Archive):
    """PMTiles 3: equal tiles are stored once, and all lie along the curve of their addresses (``clustered``).

    The library's directories are made in memory: about 200 bytes a tile.
    """

    def _address(self, z: int, x: int, y: int) -> int:
        from pmtiles.tile import zxy_to_tileid

        return zxy_to_tileid(z, x, y)

    def _pack(self, file: Path) -> None:
        # The library's Writer holds a digest of every tile and copies all tiles once more, through the system's
        # temporary folder; its own last step takes a directory made from the spool just as well.
        from pmtiles.tile import Compression, Entry, TileType
        from pmtiles.writer import finalize_header

        placed = np.full(self._spool.contents + 1, -1, np.int64)
        entries: list[Any] = []
        tiles = contents = end = 0
        for address, content, _, length in self._spool.tiles():
            if placed[content] < 0:
                placed[content], end, contents = end, end + length, contents + 1
            offset = int(placed[content])
            last = entries[-1] if entries else None
            if last is not None and last.offset == offset and last.tile_id + last.run_length == address:
                last.run_length += 1
            else:
                entries.append(Entry(address, offset, length, 1))
            tiles += 1
        kind = {"png": TileType.PNG, "webp": TileType.WEBP, "jpeg": TileType.JPEG}[self._tileset.format.kind]
        header = {"tile_type": kind, "tile_compression": Compression.NONE, **pmtiles_header(self._tileset)}
        metadata = pmtiles_metadata(self._tileset)
        finalize: Callable[..., tuple[bytes, ...]] = finalize_header  # it has no types of its own
        head = finalize(header, tiles, entries, contents, metadata, clustered=True, tile_data_length=end)
        with file.open("wb") as output:
            output.writelines(head)
            written = 0
            for _, content, start, length in self._spool.tiles():
                if placed[content] == written:  # contents were placed in this very order, each when it first came
                    output.write(self._spool.read(start, length))
                    written += length


class _Spool:
    """Tiles on disk by address: their bytes, equal ones once, in one file, and an index in SQLite."""

    def __init__(self, work: Path) -> None:
        self._data = (work / "tiles").open("w+b")
        self._end = 0
        self._index = _database(work / "index")
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


TILE_SINKS: Mapping[str, type[Any]] = {"": _Folder, ".mbtiles": _Mbtiles, ".pmtiles": _Pmtiles}
"""Suffix of an output -> what writes it; none is a folder."""


def check_tiles(path: Path, tileset: Tileset, overwrite: bool = False) -> None:
    """Refuse, before anything is painted, an output that cannot be written.

    A folder that a run of the very same tileset has left unfinished is not refused: it is gone on with.

    Raises:
        OutputError: unknown suffix, existing output, missing or unwritable folder.
    """
    folder = _is_folder(path)
    if not folder and path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a file in it")
    if not folder and path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; pass --overwrite to replace it")
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent}: there is no such folder; make it first")
    written = path if folder and path.exists() else path.parent
    if folder and path.exists() and not path.is_dir():
        raise OutputError(f"{path}: is a file; name a folder, or end the name in .mbtiles or .pmtiles")
    if not os.access(written, os.W_OK | os.X_OK):
        raise OutputError(f"{written}: this folder cannot be written; choose another with -o")
    if folder and path.exists():
        _check_folder(path, tileset, overwrite)


@contextlib.contextmanager
def open_tiles(path: Path, tileset: Tileset, overwrite: bool = False) -> Iterator[TileSink]:
    """Give a sink for tiles; the output is whole only when the block ends well.

    An archive appears under its name then. A folder grows tile by tile, and its ``metadata.json`` comes last.

    Raises:
        OutputError: see :func:`check_tiles`; also a full disk, or a folder that vanished.
    """
    check_tiles(path, tileset, overwrite)
    if _is_folder(path):
        with _telling(path):
            path.mkdir(exist_ok=True)
        with hidden_folder(path) as work:
            _begin_folder(path, tileset, work)
            folder = _Folder(path, tileset, work)
            yield folder
            folder.finish()
    else:
        kind = TILE_SINKS[path.suffix.lower()]
        with hidden_folder(path.parent) as work, contextlib.closing(kind(path, tileset, work)) as archive:
            yield archive
            archive.finish()


def _is_folder(path: Path) -> bool:
    """Tell a folder from an archive by the name; a folder that is there may have any."""
    suffix = path.suffix.lower()
    if suffix not in TILE_SINKS and not path.is_dir():
        raise OutputError(
            f"{path}: no known kind of tiles; a name without a dot is a folder. "
            f"{nearest(suffix, filter(None, TILE_SINKS))}"
        )
    return suffix not in TILE_SINKS or not suffix


def _folder_json(tileset: Tileset) -> dict[str, Any]:
    return tilejson(tileset, f"{{z}}/{{x}}/{{y}}{tileset.format.suffix}")


def _check_folder(path: Path, tileset: Tileset, overwrite: bool) -> None:
    unfinished = (path / UNFINISHED).exists()
    told = _read_json(path / (UNFINISHED if unfinished else METADATA))
    if told is None and any(not entry.name.startswith(".") for entry in path.iterdir()):
        raise OutputError(f"{path}: holds other things than tiles of ours; choose a new or an empty folder with -o")
    if told is None or overwrite or (unfinished and told == _folder_json(tileset)):
        return
    what = "holds unfinished tiles of another run" if unfinished else "exists already"
    raise OutputError(f"{path}: {what}; pass --overwrite to replace it")


def _begin_folder(path: Path, tileset: Tileset, work: Path) -> None:
    """Note that tiles are being written, and remove those that the new ones would not replace."""
    mine = _folder_json(tileset)
    with _telling(path):
        for name in (UNFINISHED, METADATA):
            told = _read_json(path / name)
            if told is not None and any(told.get(key) != mine[key] for key in _LAYOUT):
                for level in path.iterdir():
                    if level.name.isdecimal() and level.is_dir() and not level.is_symlink():
                        shutil.rmtree(level)
                (path / name).unlink()
        (work / UNFINISHED).write_text(json.dumps(mine, indent=1), encoding="ascii")
        os.replace(work / UNFINISHED, path / UNFINISHED)


def _read_json(file: Path) -> dict[str, Any] | None:
    """Read a folder's TileJSON; None when there is none of ours."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) and "mapstyle" in told else None


def _holds(file: Path, data: bytes) -> bool:
    try:
        return file.stat().st_size == len(data) and file.read_bytes() == data
    except FileNotFoundError:
        return False


def _database(file: Path) -> sqlite3.Connection:
    """Open a new database that is thrown away when anything fails, and so needs no journal."""
    database = sqlite3.connect(file, isolation_level=None)
    for setting in ("page_size = 4096", "journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
        database.execute(f"PRAGMA {setting}")
    database.execute(f"PRAGMA cache_size = {_CACHE}")
    return database


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Turn trouble with the disk into one line."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "disk is full" in str(error):
            told = "the disk is full; free some room or choose another place with -o"
        elif number == errno.ENOENT or not path.parent.is_dir():
            told = "its folder vanished meanwhile; make it again and repeat the command"
        else:
            told = f"cannot be written: {(isinstance(error, OSError) and error.strerror) or error}"
        raise OutputError(f"{path}: {told}") from None
