"""Open sources: read each file once, keep what was read, and put all of them together in one atlas."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from mapstyle.errors import SourceError
from mapstyle.fingerprint import fingerprint
from mapstyle.layers import LayerKind
from mapstyle.sources.archives import zip_holds_elevation
from mapstyle.sources.assemble import join_tables, pick_rows, read_file
from mapstyle.sources.atlas import Atlas, FeatureTable, Shape
from mapstyle.sources.photos import is_imagery
from mapstyle.sources.reader import ELEVATION_SUFFIXES, WHAT_CAN_BE_READ, WHERE_TO_GET_ONE, SourceName

READER_VERSION = 7
"""Raised whenever the same file would be read differently, so that copies kept from before are not used."""

Progress = Callable[[str], None]


def open_atlas(sources: Sequence[str], cache: Path | None = None, progress: Progress | None = None) -> Atlas:
    """Read sources, or the copies kept of them, into one atlas.

    Args:
        sources: ``FILE``, ``FILE#LAYER``, ``FILE=KIND`` or ``FILE#LAYER=KIND`` each.
        cache: folder of kept copies; the user's own cache folder when left out.
        progress: is told, in a few words, what takes its time.
    """
    if not sources:
        raise SourceError(f"no source was given. It can be: {WHAT_CAN_BE_READ}. {WHERE_TO_GET_ONE}")
    folder = cache if cache is not None else cache_folder()
    tell = progress if progress is not None else lambda _: None
    parts: list[Atlas] = []
    elevation: list[Path] = []
    imagery: list[Path] = []
    digests: list[str] = []
    for text in sources:
        name = SourceName.parse(text)
        _check(name, text)
        digests.append(_digest(text))
        if is_imagery(name.path):
            imagery.append(name.path)
        elif _is_elevation(name):
            elevation.append(name.path)
        else:
            parts.append(_open_one(name, digests[-1], folder, tell))
    return _together(parts, tuple(elevation), tuple(imagery), fingerprint(*digests))


def cache_folder() -> Path:
    """Give the folder where copies are kept: ``MAPSTYLE_CACHE``, or the user's cache folder."""
    import platformdirs

    own = os.environ.get("MAPSTYLE_CACHE")
    return Path(own) if own else Path(platformdirs.user_cache_dir("mapstyle"))


def _check(name: SourceName, text: str) -> None:
    if not name.path.exists():
        raise SourceError(f"{text}: there is no such file. {WHERE_TO_GET_ONE}")
    if name.path.is_dir():
        raise SourceError(f"{text} is a folder; name the files in it. What can be read: {WHAT_CAN_BE_READ}")
    if not name.suffix:
        raise SourceError(f"{text} is of no kind that can be read. What can: {WHAT_CAN_BE_READ}")
    try:
        with name.path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise SourceError(f"{text} cannot be read: {error.strerror}") from None
    if empty:
        raise SourceError(f"{text} is empty")


def _is_elevation(name: SourceName) -> bool:
    if name.suffix in ELEVATION_SUFFIXES:
        return True
    return name.suffix == ".zip" and zip_holds_elevation(name.path, name.path.name)


def source_files(text: str) -> list[Path]:
    """Give all files of a source: the one it names, and what belongs to it."""
    name = SourceName.parse(text)
    files = [name.path]
    if name.suffix == ".shp":
        beside = (name.path.with_suffix(s) for s in (".shx", ".dbf", ".prj", ".cpg"))
        files += [f for f in beside if f.is_file()]
    return files


def _digest(text: str) -> str:
    """Name the content of a source and all that decides how it is read."""
    name = SourceName.parse(text)
    return fingerprint(READER_VERSION, name.path.name, name.layer or "", name.kind or "", *source_files(text))


def _open_one(name: SourceName, digest: str, folder: Path, tell: Progress) -> Atlas:
    kept = folder / f"{digest}.atlas"
    atlas = load_atlas(kept)
    if atlas is not None:
        return atlas
    tell(f"reading {name.path.name}")
    atlas = read_file(name, digest)
    save_atlas(atlas, kept)
    return atlas


def save_atlas(atlas: Atlas, path: Path) -> None:
    """Keep an atlas as one file; a folder that cannot be written is no error, the next run reads anew."""
    import pyarrow as pa

    tables = list(atlas.tables.values())
    told = {
        "digest": atlas.digest,
        "bounds": atlas.bounds,
        "attribution": atlas.attribution,
        "notes": atlas.notes,
        "tables": [[t.kind, t.shape, len(t)] for t in tables],
    }
    columns: dict[str, Any] = {
        "geometry": pa.array([w for t in tables for w in shapely.to_wkb(t.geometry)], pa.large_binary()),
        "detail": pa.array([d for t in tables for d in t.detail], pa.string()).dictionary_encode(),
        "names": pa.array(
            [json.dumps(n, ensure_ascii=False) if n else None for t in tables for n in t.names], pa.string()
        ),
    }
    for field in _PLAIN:
        whole = np.concatenate([getattr(t, field) for t in tables] or [np.zeros(0)])
        columns[field] = pa.array(whole.astype(np.uint8) if whole.dtype == np.bool_ else whole)
    table = pa.table(columns).replace_schema_metadata({"atlas": json.dumps(told)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    body = sink.getvalue().to_pybytes()
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(hashlib.blake2b(body, digest_size=32).digest() + body)
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()


_PLAIN = ("ids", "rank", "layer", "bridge", "tunnel", "width", "height", "base")


def load_atlas(path: Path) -> Atlas | None:
    """Load an atlas that was kept; None where there is none or it is damaged."""
    import pyarrow as pa

    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.blake2b(memoryview(data)[32:], digest_size=32).digest() != data[:32]:
        return None
    table = pa.ipc.open_file(pa.py_buffer(memoryview(data)[32:])).read_all()
    told = json.loads(table.schema.metadata[b"atlas"])
    # Arrow's own way to NumPy would load pandas, which takes longer than all the rest.
    rows: dict[str, Any] = {f: np.from_dlpack(table[f].combine_chunks()) for f in _PLAIN}
    rows.update({f: rows[f].astype(np.bool_) for f in ("bridge", "tunnel")})
    rows["geometry"] = shapely.from_wkb(table["geometry"].to_pylist())
    rows["detail"] = np.array([*table["detail"].to_pylist(), None], object)[:-1]
    rows["names"] = np.empty(len(table), object)
    rows["names"][:] = [json.loads(n) if n else {} for n in table["names"].to_pylist()]
    tables, start = {}, 0
    for kind, shape, size in told["tables"]:
        key = LayerKind(kind), Shape(shape)
        tables[key] = FeatureTable(*key, **{f: a[start : start + size] for f, a in rows.items()})
        start += size
    return Atlas(tables, told["digest"], tuple(told["bounds"]), told["attribution"], (), tuple(told["notes"]))


def _together(parts: list[Atlas], elevation: tuple[Path, ...], imagery: tuple[Path, ...], digest: str) -> Atlas:
    if len(parts) == 1:
        one = parts[0]
        return Atlas(one.tables, digest, one.bounds, one.attribution, elevation, one.notes, imagery)
    keys = dict.fromkeys(key for part in parts for key in part.tables)
    tables = {key: _joined([p.tables[key] for p in parts if key in p.tables]) for key in keys}
    said = dict.fromkeys(p.attribution for p in parts if p.attribution)
    notes = tuple(note for part in parts for note in part.notes)
    boxes = np.array([p.bounds for p in parts] or _raster_bounds(elevation, imagery))
    west, south = boxes[:, :2].min(axis=0)
    east, north = boxes[:, 2:].max(axis=0)
    bounds = float(west), float(south), float(east), float(north)
    return Atlas(tables, digest, bounds, ", ".join(said), elevation, notes, imagery)


def _joined(parts: list[FeatureTable]) -> FeatureTable:
    """Join tables of several sources; a feature that several hold, the same in all, is kept once."""
    table = join_tables(parts)
    order = np.argsort(table.ids, kind="stable")
    ids = table.ids[order]
    again = np.flatnonzero(ids[1:] == ids[:-1]) + 1
    same = shapely.equals_exact(table.geometry[order[again]], table.geometry[order[again - 1]])
    if not same.any():
        return table
    return pick_rows(table, np.setdiff1d(np.arange(len(table)), order[again[same]]))


def _raster_bounds(elevation: tuple[Path, ...], imagery: tuple[Path, ...]) -> list[tuple[float, float, float, float]]:
    from mapstyle.sources.elevation import Elevation
    from mapstyle.sources.imagery import Imagery

    return [Elevation.open([e], None).bounds for e in elevation] + [Imagery.open([i]).bounds for i in imagery]
