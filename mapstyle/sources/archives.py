"""Unpack what comes packed, trusting nothing that an archive says of itself."""

import bz2
import gzip
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any

from mapstyle.errors import SourceError
from mapstyle.sources.reader import ELEVATION_SUFFIXES, VECTOR_SUFFIXES, first_line, known_suffix

SHAPEFILE_PARTS = (".shx", ".dbf", ".prj", ".cpg")
MAX_RATIO = 250
"""Unpacked bytes to a packed one; OSM XML reaches about 25, deflate cannot exceed 1032."""
FREE_BYTES = 64 << 20
"""Unpacked size below which the ratio does not matter."""
MAX_BYTES = 32 << 30
"""Largest unpacked size of one source."""
MAX_MEMBERS = 10_000
_CHUNK = 1 << 20


@contextmanager
def unpacked(path: Path, shown: str) -> Iterator[list[Path]]:
    """Give the plain vector files behind a path for the length of a ``with`` block.

    Args:
        path: the file as given: plain, ``.gz``, ``.bz2`` or ``.zip``.
        shown: what it is called in messages.
    """
    suffix = known_suffix(path.name)
    if suffix == ".osm.pbf" or path.name.lower().endswith(".pbf"):
        _check_pbf(path, shown)
    if suffix not in (".zip", ".osm.gz", ".osm.bz2"):
        yield [path]
        return
    with TemporaryDirectory(prefix="mapstyle-") as folder:
        yield _unzip(path, shown, Path(folder)) if suffix == ".zip" else [_expand(path, shown, Path(folder))]


def zip_holds_elevation(path: Path, shown: str) -> bool:
    """Tell whether a zip holds elevation rasters and nothing with features."""
    names = [m.filename for m in _members(path, shown)]
    suffixes = {known_suffix(n) for n in names}
    return bool(suffixes & set(ELEVATION_SUFFIXES)) and not suffixes & set(VECTOR_SUFFIXES)


def _expand(path: Path, shown: str, folder: Path) -> Path:
    target = folder / path.stem
    opened = gzip.open if path.suffix.lower() == ".gz" else bz2.open
    try:
        with opened(path, "rb") as packed, target.open("wb") as plain:
            _copy(packed, plain, path.stat().st_size, shown, MAX_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise SourceError(f"{shown} cannot be unpacked: {error.strerror}") from None
        raise SourceError(f"{shown} is damaged or cut short: {first_line(error)}") from None
    return target


def _copy(packed: Any, plain: IO[bytes], packed_bytes: int, shown: str, room: int) -> int:
    """Copy, refusing when the result grows beyond what an honest file would hold."""
    limit = min(max(FREE_BYTES, packed_bytes * MAX_RATIO), room)
    size = 0
    while chunk := packed.read(_CHUNK):
        size += len(chunk)
        if size > limit:
            raise SourceError(
                f"{shown} unpacks to more than {limit >> 20} MiB, which no honest file of its size does; "
                "unpack it yourself if you trust it"
            )
        plain.write(chunk)
    return size


def _members(path: Path, shown: str) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise SourceError(f"{shown} cannot be read as a zip: {first_line(error)}") from None
    if len(members) > MAX_MEMBERS:
        raise SourceError(f"{shown} holds {len(members)} files; {MAX_MEMBERS} is the limit")
    return members


def _unzip(path: Path, shown: str, folder: Path) -> list[Path]:
    wanted = (*VECTOR_SUFFIXES, *SHAPEFILE_PARTS)
    members = [m for m in _members(path, shown) if m.filename.lower().endswith(wanted) and not m.is_dir()]
    for member in members:
        _check_member(member, shown)
    room, files = MAX_BYTES, []
    try:
        with zipfile.ZipFile(path) as archive:
            for member in members:
                target = folder / PurePosixPath(member.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, target.open("wb") as plain:
                    room -= _copy(packed, plain, max(1, member.compress_size), shown, room)
                files.append(target)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        raise SourceError(f"{shown} cannot be unpacked: {first_line(error)}") from None
    except (RuntimeError, NotImplementedError) as error:  # a password, an odd method
        raise SourceError(f"{shown} cannot be unpacked: {first_line(error)}") from None
    found = [f for f in files if known_suffix(f.name) in VECTOR_SUFFIXES and "__MACOSX" not in f.parts]
    if not found:
        raise SourceError(f"{shown} holds no file that can be read")
    plain_files = []
    for file in sorted(found):
        if known_suffix(file.name) in (".osm.gz", ".osm.bz2"):
            file = _expand(file, shown, file.parent)
        elif file.name.lower().endswith(".pbf"):
            _check_pbf(file, shown)
        plain_files.append(file)
    return plain_files


def _check_member(member: zipfile.ZipInfo, shown: str) -> None:
    name = member.filename
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        raise SourceError(f"{shown} holds a file that would land outside its folder: {name!r}")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise SourceError(f"{shown} holds a link instead of a file: {name!r}")
    if member.flag_bits & 1:
        raise SourceError(f"{shown} is locked with a password; unpack it yourself")
    if member.file_size > max(FREE_BYTES, member.compress_size * MAX_RATIO) or member.file_size > MAX_BYTES:
        raise SourceError(f"{shown} would unpack to {member.file_size >> 20} MiB, which no honest file does")


def _check_pbf(path: Path, shown: str) -> None:
    """Walk over the blobs of a PBF: GDAL may take one that is cut short for one that is done.

    A file is a run of (length of a header, big-endian; BlobHeader; Blob); field 3 of the header is the
    blob's size (OpenStreetMap wiki, "PBF Format").
    """
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at < size:
            start = file.read(4)
            length = struct.unpack(">I", start)[0] if len(start) == 4 else 0
            if not 0 < length <= 64 << 10:  # the format's own limit
                break
            blob = _blob_size(file.read(length))
            if blob is None or blob > 32 << 20:
                break
            at += 4 + length + blob
            file.seek(at)
    if at != size or size == 0:
        raise SourceError(f"{shown} is damaged or cut short: its blocks do not end where the file ends")


def _blob_size(header: bytes) -> int | None:
    """Read ``datasize`` from a BlobHeader; None where it makes no sense."""
    at = 0
    while at < len(header):
        key, at = _varint(header, at)
        value, after = _varint(header, at)
        if key == 0x18:  # field 3, a varint
            return value
        at = after + value if key & 7 == 2 else after
    return None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return value, at
