"""Say what the features of a layer are: the one place where other people's words become kinds."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstyle.layers import LAND_COVER, LayerKind
from mapstyle.sources.atlas import Shape
from mapstyle.sources.reader import RawLayer

K = LayerKind
A, L, P = Shape.AREA, Shape.LINE, Shape.POINT

SHAPES: Mapping[LayerKind, tuple[Shape, ...]] = {
    **dict.fromkeys(LAND_COVER, (A,)),
    K.OCEAN: (A, P), K.WATER: (A,), K.POOL: (A,), K.BUILDING: (A,),
    K.RIVER: (L,), K.STREAM: (L,), K.CANAL: (L,), K.DITCH: (L,),
    K.MOTORWAY: (L,), K.TRUNK: (L,), K.PRIMARY: (L,), K.SECONDARY: (L,), K.TERTIARY: (L,), K.STREET: (L,),
    K.SERVICE: (L,), K.TRACK: (L,), K.PATH: (L,), K.STEPS: (L,), K.RAIL: (L,), K.TRAM: (L,),
    K.RUNWAY: (L, A), K.TAXIWAY: (L, A), K.PIER: (L, A), K.BREAKWATER: (L, A), K.DAM: (L, A),
    K.BRIDGE: (A, L),
    K.WALL: (L,), K.CITY_WALL: (L,), K.BORDER: (L,), K.COAST: (L,), K.TREE_ROW: (L,),
    K.TREE: (P,), K.PLACE: (P,), K.POI: (P,), K.PEAK: (P,),
}  # fmt: skip
"""Shapes that each kind may have; a file's shapes are brought to the first that fits."""

STOREY = 3.1
"""Metres from floor to floor, where only storeys are counted (judgement; the wiki suggests 3)."""


@dataclass(frozen=True)
class Draft:
    """Features of a layer that are of one kind and shape.

    Attributes:
        kind: what they are.
        shape: what their shapes are to become.
        rows: int64[m], which features of the layer.
        rank: int16[m].
        detail: object[m] of str.
        width: float32[m] in metres where it differs from the layer's own, NaN elsewhere; or None.
    """

    kind: LayerKind
    shape: Shape
    rows: NDArray[np.int64]
    rank: NDArray[np.int16]
    detail: NDArray[np.object_]
    width: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Reading:
    """What a schema made of a layer: drafts, and attributes for each feature of the layer."""

    drafts: list[Draft]
    names: NDArray[np.object_]
    layer: NDArray[np.int8]
    bridge: NDArray[np.bool_]
    tunnel: NDArray[np.bool_]
    width: NDArray[np.float32]
    height: NDArray[np.float32]
    base: NDArray[np.float32]
    attribution: str = ""
    notes: list[str] = field(default_factory=list)


Schema = Callable[[RawLayer], Reading]


def read_schema(raw: RawLayer, kind: LayerKind | None) -> Reading | None:
    """Say what a layer's features are; None where nothing tells.

    A kind given by the user goes first, then a ``kind`` column, a layer that is named like a kind, OSM's tags
    as columns, and Natural Earth's layers.
    """
    from mapstyle.sources.schema_natural_earth import is_natural_earth, read_natural_earth
    from mapstyle.sources.schema_osm import has_tags, read_osm

    if kind is not None:
        return read_plain(raw, kind)
    if raw.is_osm:
        return read_osm(raw)
    if (column := raw.column("kind")) is not None and set(column.values) & set(LayerKind):
        return read_plain(raw, None)
    if raw.name.lower() in set(LayerKind) and not is_natural_earth(raw):
        return read_plain(raw, LayerKind(raw.name.lower()))
    if is_natural_earth(raw):
        return read_natural_earth(raw)
    if has_tags(raw):
        return read_osm(raw)
    return None


def read_plain(raw: RawLayer, kind: LayerKind | None) -> Reading:
    """Read a layer whose kind is known, or is told by its ``kind`` column."""
    if kind is not None:
        number = np.full(len(raw), list(LayerKind).index(kind))
    else:
        column = raw.column("kind")
        assert column is not None
        number = column.lookup({k: i for i, k in enumerate(LayerKind)})
    shape_of = shapes_of(raw.geometry)
    rank = whole_numbers(raw, "rank", 0, 99)
    detail_column = raw.column("detail")
    detail = np.full(len(raw), "", object) if detail_column is None else detail_column.texts()
    drafts = []
    for i in np.unique(number[number >= 0]):
        one = list(LayerKind)[i]
        for shape, rows in fitting(one, np.flatnonzero(number == i), shape_of):
            drafts.append(Draft(one, shape, rows, rank[rows].astype(np.int16), detail[rows]))
    height = lengths(raw, "height")
    levels = lengths(raw, "levels")
    height = np.where(np.isfinite(height), height, levels * np.float32(STOREY))
    return Reading(
        drafts,
        names=read_names(raw),
        layer=whole_numbers(raw, "layer", -9, 9).astype(np.int8),
        bridge=yes(raw, "bridge"),
        tunnel=yes(raw, "tunnel"),
        width=lengths(raw, "width"),
        height=height,
        base=np.nan_to_num(lengths(raw, "base"), nan=0.0),
    )


def shapes_of(geometry: NDArray[np.object_]) -> NDArray[np.object_]:
    """Tell of each shape whether it is an area, a line or a point; None where it is nothing."""
    by_type = np.array([P, L, L, A, P, L, A, A, None], object)  # Shapely's numbers; collections count as areas
    return by_type[shapely.get_type_id(geometry)]


def fitting(
    kind: LayerKind, rows: NDArray[np.int64], shape_of: NDArray[np.object_]
) -> list[tuple[Shape, NDArray[np.int64]]]:
    """Share features of one kind out to the shapes that the kind may have."""
    allowed = SHAPES[kind]
    as_is = [(s, rows[shape_of[rows] == s]) for s in allowed]
    others = rows[~np.isin(shape_of[rows].astype(str), [str(s) for s in allowed])]
    groups = [*as_is, (allowed[0], others)]
    return [(s, r) for s, r in groups if len(r)]


def yes(raw: RawLayer, name: str) -> NDArray[np.bool_]:
    """Tell where a column says anything but no."""
    column = raw.column(name)
    return np.zeros(len(raw), np.bool_) if column is None else column.none_of(("no", "0", "false", "False"))


def whole_numbers(raw: RawLayer, name: str, low: int, high: int) -> NDArray[np.int64]:
    """Read a column of whole numbers, 0 where there is none."""
    column = raw.column(name)
    if column is None:
        return np.zeros(len(raw), np.int64)
    numbers = np.nan_to_num(column.numbers(parse_number), nan=0.0)
    return np.clip(np.rint(numbers), low, high).astype(np.int64)


def lengths(raw: RawLayer, name: str) -> NDArray[np.float32]:
    """Read a column of lengths in metres, NaN where there is none or it makes no sense."""
    column = raw.column(name)
    return np.full(len(raw), np.nan, np.float32) if column is None else column.numbers(parse_metres)


_NUMBER = re.compile(r"\s*([-+]?\d+(?:[.,]\d+)?)")
_LENGTH = re.compile(r"\s*(\d+(?:[.,]\d+)?)\s*(km|cm|metres?|meters?|m|feet|foot|ft|')?\s*(?:(\d+)\s*\")?", re.I)
_UNIT = {"km": 1000.0, "cm": 0.01, "feet": 0.3048, "foot": 0.3048, "ft": 0.3048, "'": 0.3048}


def parse_number(text: str) -> float:
    """Read the number that a text begins with; NaN where it does not."""
    match = _NUMBER.match(text)
    return float(match[1].replace(",", ".")) if match else float("nan")


def parse_metres(text: str) -> float:
    """Read a length such as ``12``, ``12,5 m`` or ``6'4"``; NaN where it is none, or not below 9 km."""
    match = _LENGTH.match(text)
    if not match:
        return float("nan")
    metres = float(match[1].replace(",", ".")) * _UNIT.get((match[2] or "m").lower(), 1.0)
    metres += int(match[3]) * 0.0254 if match[3] else 0.0
    return metres if metres < 9000.0 else float("nan")


_LANGUAGE = re.compile(r"name[:_]([a-z]{2,3}(?:[-_][a-z0-9]{2,8})*)$", re.I)
_NOT_LANGUAGES = {"alt", "old", "ref", "abb", "len", "id", "min"}


def language_of(key: str) -> str | None:
    """Give the language code of a key such as ``name:zh-Hant`` or ``NAME_EN``; None where it has none."""
    match = _LANGUAGE.match(key)
    if match is None or match[1].lower() in _NOT_LANGUAGES:
        return None
    code = match[1].replace("_", "-")
    code = code.lower() if code.isupper() else code
    return "zh-Hant" if code == "zht" else code


def read_names(raw: RawLayer) -> NDArray[np.object_]:
    """Collect names by language: ``{"": local name, "en": ...}``, empty where a feature has none."""
    names: list[dict[str, str]] = [{} for _ in range(len(raw))]
    if (local := raw.column("name")) is not None:
        for i in np.flatnonzero(local.codes >= 0):
            names[i][""] = local.values[local.codes[i]]
    for key in raw.table.column_names:
        language = language_of(key)
        column = raw.column(key) if language is not None else None
        if language is None or column is None:
            continue
        for i in np.flatnonzero(column.codes >= 0):
            names[i][language] = column.values[column.codes[i]]
    if (tags := raw.column("other_tags")) is not None:
        spoken = np.array([*('"name:' in v for v in tags.values), False], np.bool_)[tags.codes]
        for i in np.flatnonzero(spoken):
            for key, value in parse_tags(tags.values[tags.codes[i]]).items():
                if (language := language_of(key)) is not None and value.strip():
                    names[i][language] = value.strip()
    for found in names:
        if found and "" not in found:
            found[""] = found.get("en") or next(iter(found.values()))
    out = np.empty(len(raw), object)
    out[:] = names
    return out


_HSTORE = re.compile(r'"((?:[^"\\]|\\.)*)"=>"((?:[^"\\]|\\.)*)"')


def parse_tags(text: str) -> dict[str, str]:
    """Read GDAL's column of other tags, as JSON or as PostgreSQL's hstore."""
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            return {}
        return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
    return {k.replace('\\"', '"'): v.replace('\\"', '"') for k, v in _HSTORE.findall(text)}
