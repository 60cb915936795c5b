"""Verify an output of tiles by nothing but itself: every tile is there and readable, and all is as it was written."""

import json
import re
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from mapstyle.errors import OutputError
from mapstyle.exports.contents import CONTENTS, Contents
from mapstyle.exports.encoding import SUFFIXES, Kind
from mapstyle.exports.page import PAGE
from mapstyle.exports.tilejson import FORMATS
from mapstyle.exports.tiles import METADATA, UNFINISHED, is_folder
from mapstyle.exports.verdict import MAKE_AGAIN, Examination, Expected, Verdict
from mapstyle.exports.verify_archives import verify_mbtiles, verify_pmtiles
from mapstyle.exports.verify_cog import verify_cog

_MOST_METADATA = 4 << 20
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")


def verify_tiles(path: Path, expected: Expected | None = None) -> Verdict:
    """Verify an output of ``mapstyle tiles``.

    It holds that every tile which the metadata promise is there, can be decoded, and has the right size and format;
    that nothing else is there; that the index is consistent; and that tiles and metadata are as they were written.
    Memory is bounded: one tile, one directory of PMTiles or 64 MB of GDAL's, and a bit a promised tile. Broken and
    hostile files give faults, never errors.

    Args:
        path: a folder, ``.mbtiles``, ``.pmtiles`` or ``.tif``.
        expected: digests of the tiles that should be there; not for ``.tif``, which keeps no encoded tiles.

    Raises:
        OutputError: there is no such output, or it is of no known kind.
    """
    if not path.exists():
        raise OutputError(f"{path}: there is no such output; name one of 'mapstyle tiles'")
    suffix = path.suffix.lower()
    folder = is_folder(path)
    if folder != path.is_dir() or not (folder or path.is_file()):
        raise OutputError(f"{path}: is no output of tiles; name a folder, .mbtiles, .pmtiles or .tif")
    cog = suffix in (".tif", ".tiff")
    kind = "folder" if folder else "cog" if cog else suffix[1:]
    look = {"folder": _verify_folder, "mbtiles": verify_mbtiles, "pmtiles": verify_pmtiles, "cog": verify_cog}[kind]
    examination = Examination(None if cog else expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            look(path, examination)
        except (OSError, MemoryError) as error:
            examination.fault(path.name, f"cannot be read ({error or 'too large'})")
    examination.end(digests=not cog)
    return examination.verdict(path, kind)


def _verify_folder(path: Path, examination: Examination) -> None:
    told = _metadata(path, examination)
    for entry in sorted(path.iterdir()):
        level = _number(entry.name)
        if entry.name == UNFINISHED:
            examination.fault(entry.name, "the folder is unfinished", "give the command that made it once more")
        elif entry.name.startswith(".mapstyle-"):
            examination.fault(entry.name, "a stopped run left it behind", "delete it, unless a run is at work here")
        elif level is not None and _is(entry, stat.S_ISDIR):
            if told is not None:
                _verify_level(path, level, told, examination)
        elif entry.name not in (METADATA, PAGE) or not _is(entry, stat.S_ISREG):
            _stray(entry.name, examination)
    if not (path / PAGE).exists():
        examination.fault(PAGE, "is missing")


def _metadata(path: Path, examination: Examination) -> dict[str, Any] | None:
    """Read a folder's TileJSON and begin; None when it says too little."""
    try:
        with (path / METADATA).open("rb") as file:
            data = file.read(_MOST_METADATA + 1)
        read = json.loads(data) if len(data) <= _MOST_METADATA else None
    except (OSError, ValueError, RecursionError) as error:
        examination.fault(METADATA, f"cannot be read ({type(error).__name__})")
        return None
    told: dict[str, Any] = read if isinstance(read, dict) else {}
    contents = Contents.from_json(told.get(CONTENTS))
    if contents is None:
        examination.fault(METADATA, "does not say which tiles there should be", MAKE_AGAIN)
        return None
    if contents.sealed(told).about != contents.about:
        examination.fault(METADATA, "has been changed since it was written")
    kind: Kind | None = next((k for k, name in FORMATS.items() if name == told.get("format")), None)
    size, ratio = told.get("tileSize"), told.get("pixelRatio")
    if kind is None or size not in (256, 512) or not isinstance(ratio, int) or not 0 < ratio <= 8:
        examination.fault(METADATA, "does not say what the tiles look like")
        return None
    url = told["tiles"][0] if isinstance(told.get("tiles"), list) and len(told["tiles"]) == 1 else None
    own = f"{{z}}/{{x}}/{{y}}{SUFFIXES[kind]}"
    if url != own and not (isinstance(url, str) and re.match(r"https?://", url) and url.endswith(f"/{own}")):
        examination.fault(METADATA, f"says that the tiles are elsewhere ({url!s:.80})", f"write {own} there")
    told["suffix"] = SUFFIXES[kind]
    return told if examination.begin(contents, kind, size * ratio) else None


def _verify_level(path: Path, level: int, told: dict[str, Any], examination: Examination) -> None:
    for folder in _sorted(path / str(level)):
        column = _number(folder.name)
        if column is None or not _is(folder, stat.S_ISDIR):
            _stray(f"{level}/{folder.name}", examination)
            continue
        empty = True
        for file in _sorted(folder):
            empty = False
            row, name = _number(file.stem), f"{level}/{column}/{file.name}"
            if row is None or file.suffix != told["suffix"] or not _is(file, stat.S_ISREG):
                _stray(name, examination)
                continue
            y = (1 << level) - 1 - row if told.get("scheme") == "tms" else row
            try:
                with file.open("rb") as data:
                    encoded = data.read(examination.longest + 1)
            except OSError as error:
                examination.fault(name, f"cannot be read ({error.strerror})", "make it readable")
                continue
            if len(encoded) > examination.longest:
                examination.fault(name, "is larger than a tile can be")
            else:
                examination.tile(level, column, y, encoded)
        if empty:
            _stray(f"{level}/{column}", examination)


def _sorted(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.iterdir())


def _stray(name: str, examination: Examination) -> None:
    examination.fault(name, "does not belong into this folder", "move it elsewhere or delete it")


def _is(path: Path, kind: Any) -> bool:
    """Tell whether something is of a kind itself, not through a link."""
    return bool(kind(path.lstat().st_mode))


def _number(name: str) -> int | None:
    return int(name) if _NUMBER.fullmatch(name) else None
