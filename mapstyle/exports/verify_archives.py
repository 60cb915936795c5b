"""Verify MBTiles and PMTiles."""

import contextlib
import io
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from mapstyle.exports.archives import MBTILES_ID, SCHEMA
from mapstyle.exports.contents import CONTENTS, Contents
from mapstyle.exports.tilejson import FORMATS
from mapstyle.exports.verdict import LISTED, Examination

_MOST_UNPACKED = 4 << 20
"""Bytes of a directory or of metadata, unpacked, that are believed in."""
_MOST_ROWS = 100
_HEADER = 127


def verify_mbtiles(path: Path, examination: Examination) -> None:
    """Look at MBTiles 1.3 as we write them."""
    for suffix in ("-journal", "-wal"):
        if path.with_name(path.name + suffix).exists():
            examination.fault(path.name + suffix, "somebody is changing the file, or was stopped doing so")
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) < 100 or head[:16] != b"SQLite format 3\0":
        examination.fault(path.name, "is no SQLite file")
        return
    page, pages = int.from_bytes(head[16:18], "big"), int.from_bytes(head[28:32], "big")
    if page * pages != path.stat().st_size:
        examination.fault(path.name, "is longer or shorter than it says")
    try:
        address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 64 << 20)
            database.execute("PRAGMA trusted_schema = OFF")
            database.execute("PRAGMA cell_size_check = ON")
            _verify_database(path.name, database, examination)
    except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
        examination.fault(path.name, f"cannot be read as SQLite ({error})")


def _verify_database(name: str, database: sqlite3.Connection, examination: Examination) -> None:
    made = {row[0] for row in database.execute("SELECT sql FROM sqlite_master LIMIT ?", (_MOST_ROWS,))}
    if made != set(SCHEMA):
        examination.fault(name, "has other tables or indexes than those that are written")
        return
    if database.execute("PRAGMA application_id").fetchone() != (MBTILES_ID,):
        examination.fault(name, "does not say that it is MBTiles (application id)")
    for (told,) in database.execute(f"PRAGMA integrity_check({LISTED})"):
        if told != "ok":
            examination.fault(name, f"is damaged ({told})")
    rows = database.execute("SELECT name, value FROM metadata LIMIT ?", (_MOST_ROWS,)).fetchall()
    words = dict(rows)
    if not all(isinstance(text, str) for row in rows for text in row):
        examination.fault("metadata", "hold something else than text")
        return
    kind = next((k for k, told in FORMATS.items() if told == words.get("format")), "")
    if not _begin(words, words, kind, examination):
        return
    tiles = database.execute(
        "SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles NOT INDEXED ORDER BY rowid"
    )
    for z, x, row, data in tiles:
        if not all(isinstance(value, int) for value in (z, x, row)) or not isinstance(data, bytes) or not 0 <= z < 32:
            examination.fault("tiles", "hold a row that is no tile")
        elif len(data) > examination.longest:
            examination.fault(f"tile {z}/{x}/{(1 << z) - 1 - row}", "is larger than a tile can be")
        else:
            examination.tile(z, x, (1 << z) - 1 - row, data)


def verify_pmtiles(path: Path, examination: Examination) -> None:
    """Look at PMTiles 3 as we write them."""
    from pmtiles.tile import Compression, TileType, deserialize_header

    with path.open("rb") as file:
        head = file.read(_HEADER)
        if len(head) < _HEADER or head[:8] != b"PMTiles\x03":
            examination.fault(path.name, "is no PMTiles file of version 3")
            return
        try:
            header: Mapping[str, Any] = deserialize_header(head)
        except ValueError:
            examination.fault("header", "names kinds of tiles or compression that there are none of")
            return
        if not _verify_header(header, os.fstat(file.fileno()).st_size, examination):
            return
        kinds = {TileType.PNG: "png", TileType.WEBP: "webp", TileType.JPEG: "jpeg"}
        packed = header["internal_compression"], header["tile_compression"]
        if packed != (Compression.GZIP, Compression.NONE):
            examination.fault("header", "names another compression than ours")
            return
        text = _unpacked(file, header["metadata_offset"], header["metadata_length"])
        try:
            words = None if text is None else json.loads(text)
        except (ValueError, RecursionError):
            words = None
        if not isinstance(words, dict):
            examination.fault("metadata", "cannot be read")
            return
        places = {key: header[key] for key in header if key.endswith("_e7") or key == "center_zoom"}
        if _begin(words, words | places, kinds.get(header["tile_type"], ""), examination):
            _Directories(file, header, examination).verify()


def _verify_header(header: Mapping[str, Any], size: int, examination: Examination) -> bool:
    """See that the parts of the file lie one behind the other and fill it; False when they do not."""
    before = examination.count
    end = _HEADER
    for part in ("root", "metadata", "leaf_directory", "tile_data"):
        if header[f"{part}_offset"] != end:
            examination.fault("header", f"says that the {part.replace('_', ' ')} begins elsewhere than it does")
        end += header[f"{part}_length"]
    if end != size:
        examination.fault("header", f"speaks of {end} bytes, and there are {size}")
    if not header["clustered"]:
        examination.fault("header", "does not say that the tiles are in order")
        return True
    return examination.count == before


class _Directories:
    """Walks through the directories of PMTiles and looks at every tile."""

    def __init__(self, file: BinaryIO, header: Mapping[str, Any], examination: Examination) -> None:
        self._file, self._header, self._examination = file, header, examination
        self._next = 0  # the least address that the next entry may have
        self._end = 0  # where the next new tile begins
        self._leaves_end = 0
        self._addressed = self._entries = self._contents = 0
        self._levels: set[int] = set()

    def verify(self) -> None:
        """Look at all entries, then at what the header says of them."""
        header = self._header
        for entry in self._walk(header["root_offset"], header["root_length"], 1):
            self._entry(entry)
        told = tuple(header[f"{n}_count"] for n in ("addressed_tiles", "tile_entries", "tile_contents"))
        if told != (self._addressed, self._entries, self._contents):
            self._fault("header", "counts other tiles than there are")
        if self._leaves_end != header["leaf_directory_length"]:
            self._fault("directory", "its leaves do not fill their part of the file")
        if self._end != header["tile_data_length"]:
            self._fault("directory", "the tiles do not fill their part of the file")
        if self._levels and (header["min_zoom"], header["max_zoom"]) != (min(self._levels), max(self._levels)):
            self._fault("header", "tells of other levels than there are")

    def _walk(self, start: int, length: int, depth: int) -> Iterator[Any]:
        from pmtiles.tile import deserialize_directory

        data = self._bounded(start, length)
        try:
            entries = None if data is None else deserialize_directory(data)
        except (EOFError, ValueError, OSError, zlib.error):
            entries = None
        if not entries:
            self._fault("directory", f"the one at byte {start} cannot be read")
            return
        leaves, most = self._header["leaf_directory_offset"], self._header["leaf_directory_length"]
        for entry in entries:
            if entry.run_length:
                yield entry
            elif not depth or entry.offset != self._leaves_end or entry.offset + entry.length > most:
                self._fault("directory", "an entry points to no directory")
            else:
                self._leaves_end += entry.length
                if entry.tile_id < self._next:
                    self._fault("directory", "is not in order")
                yield from self._walk(leaves + entry.offset, entry.length, depth - 1)

    def _bounded(self, start: int, length: int) -> bytes | None:
        """Give a packed directory, unless it would unpack to more than it should, or than its count of entries fits."""
        from pmtiles.tile import read_varint

        unpacked = _unpacked(self._file, start, length)
        if not unpacked:
            return None
        count = read_varint(io.BytesIO(unpacked[:10] + b"\0"))
        if count * 4 > len(unpacked):
            return None
        self._file.seek(start)
        return self._file.read(length)

    def _entry(self, entry: Any) -> None:
        from pmtiles.tile import tileid_to_zxy

        self._entries += 1
        self._addressed += entry.run_length
        if entry.tile_id < self._next or entry.tile_id + entry.run_length > 1 << 50:
            self._fault("directory", "is not in order")
            return
        self._next = entry.tile_id + entry.run_length
        if entry.offset == self._end:
            self._contents, self._end = self._contents + 1, self._end + entry.length
        elif entry.offset > self._end:
            self._fault("directory", "tiles are not in order")
        if not 0 <= entry.offset <= self._header["tile_data_length"] - entry.length:
            self._fault("directory", f"an entry (tile id {entry.tile_id}) points out of the file")
            return
        z, x, y = tileid_to_zxy(entry.tile_id)
        if entry.length > self._examination.longest:
            self._fault(f"tile {z}/{x}/{y}", "is larger than a tile can be")
            return
        self._file.seek(self._header["tile_data_offset"] + entry.offset)
        data = self._file.read(entry.length)
        for tile_id in range(entry.tile_id, entry.tile_id + entry.run_length):
            z, x, y = tileid_to_zxy(tile_id)
            self._levels.add(z)
            if not self._examination.tile(z, x, y, data):
                break  # a run that has left the pyramid will hardly come back

    def _fault(self, where: str, what: str) -> None:
        self._examination.fault(where, what)


def _unpacked(file: BinaryIO, start: int, length: int) -> bytes | None:
    """Unpack gzip within a file; None when it is damaged or unpacks to more than is believed in."""
    if length > _MOST_UNPACKED or start >> 62:
        return None
    file.seek(start)
    unpacking = zlib.decompressobj(wbits=31)
    try:
        data = unpacking.decompress(file.read(length), _MOST_UNPACKED)
    except zlib.error:
        return None
    return data if unpacking.eof and not unpacking.unused_data else None


def _begin(words: Mapping[str, Any], sealed: Mapping[str, Any], kind: str, examination: Examination) -> bool:
    """Learn from metadata what is promised; False when they say too little."""
    contents = Contents.from_json(words.get(CONTENTS))
    if contents is None:
        examination.fault("metadata", "do not say which tiles there should be")
        return False
    if contents.sealed(sealed).about != contents.about:
        examination.fault("metadata", "have been changed since they were written")
    size, ratio = str(words.get("tileSize")), str(words.get("pixelRatio"))
    if not kind or size not in ("256", "512") or ratio not in map(str, range(1, 9)):
        examination.fault("metadata", "do not say what the tiles look like")
        return False
    return examination.begin(contents, kind, int(size) * int(ratio))
