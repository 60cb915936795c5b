"""Write pyramids of tiles: a folder, or one file; nothing half-written ever has a tile's or an output's name."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from mapstyle.errors import OutputError, nearest
from mapstyle.exports.archives import Mbtiles, Pmtiles
from mapstyle.exports.cog import Cog, check_size
from mapstyle.exports.picture import hidden_folder
from mapstyle.exports.spool import Tally, telling
from mapstyle.exports.tilejson import Held, Tileset, tilejson

METADATA = "metadata.json"
"""TileJSON of a folder of tiles; there once the folder is whole."""
UNFINISHED = ".unfinished.json"
"""The same, until then: a folder that has it may be gone on with."""

_LAYOUT = ("tiles", "scheme", "bounds", "minzoom", "maxzoom", "tileSize", "pixelRatio")


class TileSink(Protocol):
    """Takes encoded tiles, in any order, from one thread; a tile that comes twice counts as it came last."""

    def write(self, z: int, x: int, y: int, data: bytes) -> None:
        """Take one tile; ``y`` counts from the north whatever the output does."""

    def finish(self) -> None:
        """Make the output whole; :func:`open_tiles` calls it."""


class Folder:
    """Files ``z/x/y``, each written beside and renamed; one that is there with the same bytes is left alone."""

    def __init__(self, path: Path, tileset: Tileset, work: Path) -> None:
        self._path = path
        self._tileset = tileset
        self._suffix = tileset.format.suffix
        self._beside, self._ready = work / "tile", work / METADATA
        with telling(path):
            self._tally = Tally(work)

    def write(self, z: int, x: int, y: int, data: bytes) -> None:
        """Take one tile."""
        row = (1 << z) - 1 - y if self._tileset.scheme == "tms" else y
        file = self._path / str(z) / str(x) / f"{row}{self._suffix}"
        with telling(self._path):
            self._tally.add(z, x, y, data)
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
        """Remove tiles of earlier runs that did not come again, add the page that shows them, and say what there is."""
        from mapstyle.exports.page import write_page

        with telling(self._path):
            self._prune()
            write_page(self._path, self._tileset)
            told = _folder_json(self._tileset, self._tally.held())
            self._ready.write_text(json.dumps(told, indent=1), encoding="ascii")
            os.replace(self._ready, self._path / METADATA)
            (self._path / UNFINISHED).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of what is kept on disk."""
        self._tally.close()

    def _prune(self) -> None:
        for z, x, file in _level_files(self._path):
            if file.suffix == self._suffix and file.stem.isdecimal():
                y = (1 << z) - 1 - int(file.stem) if self._tileset.scheme == "tms" else int(file.stem)
                if y < 0 or y >> 28 or (z, x, y) not in self._tally:
                    file.unlink()
                    with contextlib.suppress(OSError):  # others are in it
                        file.parent.rmdir()


TILE_SINKS: Mapping[str, type[Any]] = {
    "": Folder,
    ".mbtiles": Mbtiles,
    ".pmtiles": Pmtiles,
    ".tif": Cog,
    ".tiff": Cog,
}
"""Suffix of an output -> what writes it; none is a folder."""


def check_tiles(path: Path, tileset: Tileset, overwrite: bool = False) -> None:
    """Refuse, before anything is painted, an output that cannot be written.

    A folder that a run of the very same tileset has left unfinished is not refused: it is gone on with.

    Raises:
        OutputError: unknown suffix, existing output, missing or unwritable folder, or too large a picture.
    """
    folder = is_folder(path)
    if not folder and path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a file in it")
    if not folder and path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; pass --overwrite to replace it")
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent}: there is no such folder; make it first")
    written = path if folder and path.exists() else path.parent
    if folder and path.exists() and not path.is_dir():
        raise OutputError(f"{path}: is a file; name a folder, or end the name in .mbtiles, .pmtiles or .tif")
    if not os.access(written, os.W_OK | os.X_OK):
        raise OutputError(f"{written}: this folder cannot be written; choose another with -o")
    if folder and path.exists():
        _check_folder(path, tileset, overwrite)
    if not folder and TILE_SINKS[path.suffix.lower()] is Cog:
        check_size(path, tileset)


@contextlib.contextmanager
def open_tiles(path: Path, tileset: Tileset, overwrite: bool = False) -> Iterator[TileSink]:
    """Give a sink for tiles; the output is whole only when the block ends well.

    An archive appears under its name then. A folder grows tile by tile, and its ``metadata.json`` comes last.

    Raises:
        OutputError: see :func:`check_tiles`; also a full disk, or a folder that vanished.
    """
    check_tiles(path, tileset, overwrite)
    folder = is_folder(path)
    if folder:
        with telling(path):
            path.mkdir(exist_ok=True)
    kind = Folder if folder else TILE_SINKS[path.suffix.lower()]
    with hidden_folder(path if folder else path.parent) as work:
        if folder:
            _begin_folder(path, tileset, work)
        with contextlib.closing(kind(path, tileset, work)) as sink:
            yield sink
            sink.finish()


def is_folder(path: Path) -> bool:
    """Tell a folder from an archive by the name; a folder that is there may have any."""
    suffix = path.suffix.lower()
    if suffix not in TILE_SINKS and not path.is_dir():
        raise OutputError(
            f"{path}: no known kind of tiles; a name without a dot is a folder. "
            f"{nearest(suffix, filter(None, TILE_SINKS))}"
        )
    return suffix not in TILE_SINKS or not suffix


def _folder_json(tileset: Tileset, held: Held | None = None) -> dict[str, Any]:
    return tilejson(tileset, f"{{z}}/{{x}}/{{y}}{tileset.format.suffix}", held)


def _level_files(path: Path) -> Iterator[tuple[int, int, Path]]:
    """Give the files that lie where a folder's tiles do, with level and column."""
    for level in path.iterdir():
        for column in level.iterdir() if _numbers(level, 24) else ():
            for file in column.iterdir() if _numbers(column, 1 << 28) else ():
                yield int(level.name), int(column.name), file


def _numbers(folder: Path, most: int) -> bool:
    name = folder.name
    fits = name.isascii() and name.isdecimal() and len(name) < 10 and int(name) <= most
    return fits and folder.is_dir() and not folder.is_symlink()


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
    with telling(path):
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
