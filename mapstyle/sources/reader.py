"""Read the layers of a vector file as they are: shapes, columns and where they came from."""

import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapstyle.errors import SourceError, nearest
from mapstyle.fingerprint import stable_id
from mapstyle.layers import LayerKind

OSM_SUFFIXES = (".osm.pbf", ".osm", ".osm.gz", ".osm.bz2", ".pbf")
GDAL_SUFFIXES = (".gpkg", ".geojson", ".json", ".shp", ".fgb")
PARQUET_SUFFIXES = (".parquet", ".geoparquet")
VECTOR_SUFFIXES = (*OSM_SUFFIXES, *GDAL_SUFFIXES, *PARQUET_SUFFIXES)
ELEVATION_SUFFIXES = (".tif", ".tiff", ".hgt", ".hgt.zip")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
"""Pictures of the ground; ``.tif`` may be one too."""
OSM_LAYERS = ("points", "lines", "multipolygons")
_INDEX_GROWTH = 12
"""Bytes of GDAL's index of nodes to a byte of PBF, about."""

WHAT_CAN_BE_READ = (
    "OpenStreetMap .osm.pbf .osm .osm.gz .osm.bz2; .gpkg .geojson .json .shp .fgb .parquet; "
    ".zip of those; elevation .tif .hgt .hgt.zip; pictures of the ground .tif .jpg .png"
)
WHERE_TO_GET_ONE = (
    "For your own town, get a file from the Export tab of openstreetmap.org (save it as .osm), "
    "from extract.bbbike.org or download.geofabrik.de (.osm.pbf)"
)


@dataclass(frozen=True)
class SourceName:
    """A source as a user names it: ``FILE``, ``FILE#LAYER``, ``FILE=KIND`` or ``FILE#LAYER=KIND``."""

    path: Path
    layer: str | None = None
    kind: LayerKind | None = None

    @classmethod
    def parse(cls, text: str) -> "SourceName":
        """Take a source's name apart; a file that has ``#`` or ``=`` in its own name is found as well."""
        if Path(text).exists():
            return cls(Path(text))
        file, layer, kind = text, None, None
        if match := re.fullmatch(r"(.+)=([A-Za-z_]+)", text):
            file, word = match.groups()
            try:
                kind = LayerKind(word.lower())
            except ValueError:
                raise SourceError(f"{text}: there is no kind '{word}'. {nearest(word, LayerKind)}") from None
        if not Path(file).exists() and "#" in file:
            file, _, layer = file.rpartition("#")
        return cls(Path(file), layer, kind)

    @property
    def suffix(self) -> str:
        """The known ending of the file's name, lower case; the longest that fits, or an empty string."""
        return known_suffix(self.path.name)


def known_suffix(name: str) -> str:
    """Find the ending by which a file is read; an empty string where there is none."""
    endings = (*VECTOR_SUFFIXES, *ELEVATION_SUFFIXES, *PICTURE_SUFFIXES, ".zip")
    return max((e for e in endings if name.lower().endswith(e)), key=len, default="")


@dataclass(frozen=True)
class Column:
    """Text of one column: ``values[codes[i]]`` is that of feature ``i``; code -1 is nothing."""

    codes: NDArray[np.int32]
    values: tuple[str, ...]

    def lookup(self, table: Mapping[str, int]) -> NDArray[np.int64]:
        """Give each feature the number of its value (the first of ``a;b``), -1 where the table has none."""
        numbers = [table.get(v.partition(";")[0].strip(), -1) for v in self.values]
        return np.array([*numbers, -1], np.int64)[self.codes]

    def numbers(self, parse: Any) -> NDArray[np.float32]:
        """Give float32[f] of what ``parse`` (text -> float) makes of each value, NaN for nothing."""
        return np.array([*(parse(v) for v in self.values), np.nan], np.float32)[self.codes]

    def texts(self) -> NDArray[np.object_]:
        """Give object[f] of str, empty for nothing."""
        return np.array([*self.values, ""], object)[self.codes]

    def any_of(self, words: Sequence[str]) -> NDArray[np.bool_]:
        """Tell which features have one of the words."""
        return self.lookup(dict.fromkeys(words, 1)) == 1

    def none_of(self, words: Sequence[str]) -> NDArray[np.bool_]:
        """Tell which features have a value, and one that is not among the words."""
        return (self.codes >= 0) & ~self.any_of(words)


@dataclass(frozen=True)
class RawLayer:
    """One layer of a file, before anything is known of what it shows.

    Attributes:
        source: the file, as it is called in messages.
        name: the layer's name.
        crs: its coordinate reference system, or None where the file does not say.
        geometry: object[f] of Shapely geometries in that system; None where there is none.
        ids: uint64[f], hashes of the source's own ids.
        table: Arrow table of its columns.
        is_osm: whether it comes from an OpenStreetMap file.
        relation: bool[f], whether a feature is an OpenStreetMap relation.
        broken: how many shapes could not even be decoded.
    """

    source: str
    name: str
    crs: str | None
    geometry: NDArray[np.object_]
    ids: NDArray[np.uint64]
    table: Any
    is_osm: bool
    relation: NDArray[np.bool_]
    broken: int = 0
    _columns: dict[str, Column | None] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.geometry)

    @cached_property
    def column_names(self) -> Mapping[str, str]:
        """Lower-case names of the columns, and the names as they are written."""
        return {n.lower(): n for n in reversed(self.table.column_names)}

    def column(self, name: str) -> Column | None:
        """Give a column as text, or None where there is none; case does not matter."""
        if name not in self._columns:
            written = self.column_names.get(name.lower())
            self._columns[name] = None if written is None else _encode(self.table[written])
        return self._columns[name]


def _encode(array: Any) -> Column | None:
    import pyarrow as pa

    try:
        coded = array.cast(pa.string()).combine_chunks().dictionary_encode()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None  # a list, a blob: nothing a tag could be
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    values = tuple(v.strip() for v in coded.dictionary.to_pylist())
    empty = np.array([*(v in ("", "nan", "NaN") for v in values), True])
    return Column(np.where(empty[codes], np.int32(-1), codes), values)


def read_layers(path: Path, shown: str, layer: str | None) -> Iterator[RawLayer]:
    """Read all layers with geometry of one vector file, or the one named.

    Args:
        path: a file of a known kind, unpacked.
        shown: what the file is called in messages.
        layer: name of the only layer wanted.
    """
    suffix = known_suffix(path.name)
    if suffix in PARQUET_SUFFIXES:
        yield _read_parquet(path, shown)
        return
    names = _layer_names(path, shown)
    if layer is not None and layer not in names:
        raise SourceError(f"{shown}: there is no layer '{layer}'. {nearest(layer, names)}")
    for name in [layer] if layer is not None else names:
        yield _read_layer(path, shown, name, suffix in OSM_SUFFIXES)


def _layer_names(path: Path, shown: str) -> list[str]:
    if known_suffix(path.name) in OSM_SUFFIXES:
        return list(OSM_LAYERS)
    import pyogrio

    with _readable(shown):
        listed = pyogrio.list_layers(path)
    return [str(name) for name, geometry in listed if geometry is not None]


def _read_layer(path: Path, shown: str, name: str, is_osm: bool) -> RawLayer:
    import pyarrow as pa
    import pyogrio

    if is_osm:
        pyogrio.set_gdal_config_options(
            {
                "OSM_CONFIG_FILE": str(Path(__file__).with_name("osmconf.ini")),
                "OSM_USE_CUSTOM_INDEXING": "NO",  # ids out of order are common outside official extracts
                # MiB of memory for its index of nodes, taken at once; beyond it goes to disk.
                "OSM_MAX_TMPFILE_SIZE": str(min(2000, 10 + _INDEX_GROWTH * (path.stat().st_size >> 20))),
            }
        )
    # Not as Arrow: that way GDAL ends a file that is cut short as if it were done.
    with _readable(shown):
        meta, fids, wkb, values = pyogrio.raw.read(path, layer=name, return_fids=True)
    fields = dict(zip(meta["fields"], values, strict=True))
    table = pa.table({n: _as_arrow(v) for n, v in fields.items()}) if fields else pa.table({"": fids})
    geometry, broken = _decode(wkb)
    crs = meta["crs"]
    if crs is None and known_suffix(path.name) in (".geojson", ".json"):
        crs = "OGC:CRS84"  # RFC 7946, section 4
    if is_osm:
        ids, relation = _osm_ids(table, name)
    else:
        ids = _shape_ids(wkb)
        relation = np.zeros(len(fids), np.bool_)
    return RawLayer(shown, name, crs, geometry, ids, table, is_osm, relation, broken)


def _osm_ids(table: Any, layer: str) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    own = table["osm_id"].to_pylist()
    if layer != "multipolygons":
        what = "node" if layer == "points" else "way"
        return np.array([stable_id(f"{what}/{i}") for i in own], np.uint64), np.zeros(len(own), np.bool_)
    ways = table["osm_way_id"].to_pylist()
    pairs = zip(own, ways, strict=True)
    ids = [stable_id(f"relation/{r}" if r is not None else f"way/{w}") for r, w in pairs]
    return np.array(ids, np.uint64), np.array([r is not None for r in own], np.bool_)


def _shape_ids(wkb: Iterable[bytes | None]) -> NDArray[np.uint64]:
    """Name features by their shapes, the same shape again by its turn.

    Row numbers and files' names would not do: a feature taken out, or a file saved under another name, must
    not give all the others new colours.
    """
    turns: Counter[str] = Counter()
    ids = []
    for shape in wkb:
        name = hashlib.blake2b(shape or b"", digest_size=16).hexdigest()
        turns[name] += 1
        ids.append(stable_id(f"{name}/{turns[name]}"))
    return np.array(ids, np.uint64)


def _read_parquet(path: Path, shown: str) -> RawLayer:
    import geopandas
    import pyarrow as pa

    try:
        frame = geopandas.read_parquet(path)
    except (pa.ArrowException, ValueError, OSError, KeyError) as error:
        raise SourceError(f"{shown} cannot be read as GeoParquet: {first_line(error)}") from None
    geometry = np.asarray(frame.geometry.array, object)
    columns = frame.drop(columns=[c for c in frame.columns if frame[c].dtype == "geometry"])
    table = pa.Table.from_pandas(columns, preserve_index=False)
    stem = path.name.split(".")[0]
    ids = _shape_ids(frame.geometry.to_wkb())
    crs = None if frame.crs is None else frame.crs.to_wkt()
    return RawLayer(shown, stem, crs, geometry, ids, table, False, np.zeros(len(frame), np.bool_))


def _decode(wkb: NDArray[np.object_]) -> tuple[NDArray[np.object_], int]:
    """Decode shapes, closing rings that are open; tell how many could not be decoded at all."""
    import shapely

    geometry = np.asarray(shapely.from_wkb(wkb, on_invalid="ignore"), object).reshape(len(wkb))
    present = np.array([w is not None for w in wkb], np.bool_)
    lost = np.flatnonzero(shapely.is_missing(geometry) & present)
    geometry[lost] = shapely.from_wkb(wkb[lost], on_invalid="fix")
    return geometry, int(shapely.is_missing(geometry[lost]).sum())


@contextmanager
def _readable(shown: str) -> Iterator[None]:
    """Turn whatever GDAL cannot read into one line, and keep its warnings off the screen."""
    import pyogrio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it mends on its own is mended or counted again here
        try:
            yield
        except (pyogrio.errors.DataSourceError, RuntimeError, ValueError, OSError) as error:
            said = first_line(error)
            if "not recognized as being in" in said:
                said = "it is damaged, or not what its name says"
            elif re.search("parsing|malformed|truncated", said):
                said = f"it is damaged or cut short ({said})"
            raise SourceError(f"{shown} cannot be read: {said}") from None


def _as_arrow(values: NDArray[Any]) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values, from_pandas=True)
    except pa.ArrowException:  # lists beside text: keep the text
        return pa.array([v if isinstance(v, str) else None for v in values], pa.string())


def first_line(error: object) -> str:
    """Give the first line of a message, shortened."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    text = text.partition(";")[0].rstrip(".")
    return text if len(text) <= 120 else text[:117] + "..."
