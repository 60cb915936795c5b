"""Write MBTiles and PMTiles: one file with all tiles, put in place when it is whole."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mapstyle.errors import OutputError
from mapstyle.exports.picture import place
from mapstyle.exports.spool import Spool, Tally, database, telling
from mapstyle.exports.tilejson import Tileset, mbtiles_metadata, pmtiles_header, pmtiles_metadata

MBTILES_ID = 0x4D504258  # "MPBX", the number that SQLite's magic.txt assigns to MBTiles
SCHEMA = (
    "CREATE TABLE metadata (name text, value text)",
    "CREATE UNIQUE INDEX name ON metadata (name)",
    "CREATE TABLE tiles (zoom_level integer, tile_column integer, tile_row integer, tile_data blob)",
    "CREATE UNIQUE INDEX tile_index ON tiles (zoom_level, tile_column, tile_row)",
)
"""Tables and indexes of MBTiles."""


class Archive:
    """Keeps tiles on disk until all are there, then writes one file in the order of its own addresses.

    Peak disk is twice the tiles; memory does not grow with them, but for what :meth:`_pack` says.
    """

    def __init__(self, path: Path, tileset: Tileset, work: Path) -> None:
        self._path = path
        self._tileset = tileset
        self._ready = work / "ready"
        with telling(path):
            self._ready.mkdir()
            self._spool = Spool(work)
            self._tally = Tally(work)

    def write(self, z: int, x: int, y: int, data: bytes) -> None:
        """Take one tile."""
        with telling(self._path):
            self._spool.add(self._address(z, x, y), data)
            self._tally.add(z, x, y, data)

    def finish(self) -> None:
        """Write the archive and put it in place."""
        if not self._spool.count:
            raise OutputError(f"{self._path}: there are no tiles to write; ask for an extent with at least one")
        with telling(self._path):
            self._pack(self._ready / self._path.name)
            place(self._ready, self._path)

    def close(self) -> None:
        """Let go of what is kept on disk."""
        self._spool.close()
        self._tally.close()

    def _address(self, z: int, x: int, y: int) -> int:
        raise NotImplementedError

    def _pack(self, file: Path) -> None:
        raise NotImplementedError


class Mbtiles(Archive):
    """MBTiles 1.3: SQLite, written in the order of its index, so that the same tiles give the same bytes."""

    def _address(self, z: int, x: int, y: int) -> int:
        return z << 56 | x << 28 | ((1 << z) - 1 - y)

    def _pack(self, file: Path) -> None:
        with contextlib.closing(database(file)) as archive:
            archive.execute(f"PRAGMA application_id = {MBTILES_ID}")
            archive.execute("BEGIN")
            for statement in SCHEMA:
                archive.execute(statement)
            words = mbtiles_metadata(self._tileset, self._tally.held())
            archive.executemany("INSERT INTO metadata VALUES (?, ?)", words.items())
            low = (1 << 28) - 1
            rows = (
                (address >> 56, address >> 28 & low, address & low, self._spool.read(start, length))
                for address, _, start, length in self._spool.tiles()
            )
            archive.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", rows)
            archive.execute("COMMIT")


class Pmtiles(Archive):
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
        metadata = pmtiles_metadata(self._tileset, self._tally.held())
        finalize: Callable[..., tuple[bytes, ...]] = finalize_header  # it has no types of its own
        head = finalize(header, tiles, entries, contents, metadata, clustered=True, tile_data_length=end)
        with file.open("wb") as output:
            output.writelines(head)
            written = 0
            for _, content, start, length in self._spool.tiles():
                if placed[content] == written:  # contents were placed in this very order, each when it first came
                    output.write(self._spool.read(start, length))
                    written += length
