"""Read OpenStreetMap's tags, from its own files or as columns of any other, as kinds."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstyle.layers import LayerKind
from mapstyle.sources.atlas import Shape
from mapstyle.sources.reader import RawLayer
from mapstyle.sources.schema import (
    STOREY,
    Draft,
    Reading,
    lengths,
    parse_number,
    parse_tags,
    read_names,
    shapes_of,
    whole_numbers,
    yes,
)
from mapstyle.sources.tags_osm import (
    BUILDINGS,
    COVER,
    LINES,
    NAMELESS_POIS,
    PLACES,
    POIS,
    ROADS,
    STANDING,
    WORSHIP,
    Rules,
)

K = LayerKind
Mask = NDArray[np.bool_]

OSM_ATTRIBUTION = "© OpenStreetMap contributors"
LANE = 3.25
"""Metres a lane is wide (guidelines range from 2.75 to 3.75)."""

TELLING_KEYS = (
    "highway", "building", "landuse", "natural", "waterway", "railway", "leisure", "amenity", "place",
    "boundary", "barrier", "man_made", "aeroway", "tourism", "historic", "shop",
)  # fmt: skip
"""Columns that give a file away as holding OSM's tags."""

GEOFABRIK: Mapping[str, tuple[str, ...]] = {
    "buildings": (), "landuse": ("landuse", "leisure", "natural"), "natural": ("natural",),
    "places": ("place",), "pofw": (),
    "pois": ("amenity", "tourism", "shop", "leisure", "historic", "man_made"),
    "railways": ("railway",), "roads": ("highway",),
    "traffic": ("amenity",), "transport": ("railway", "aeroway"),
    "water": ("natural", "landuse", "waterway"), "waterways": ("waterway",),
}  # fmt: skip
"""Layers ``gis_osm_*`` of Geofabrik's shapefiles, and the keys whose values their ``fclass`` column holds."""


def has_tags(raw: RawLayer) -> bool:
    """Tell whether a layer has OSM's tags as columns, or among its other tags."""
    return any(k in raw.column_names for k in (*TELLING_KEYS, "other_tags", "fclass"))


def read_osm(raw: RawLayer) -> Reading:
    """Say what each feature of a layer with OSM's tags is."""
    if not raw.is_osm:
        raw = _with_tags_as_columns(raw)
    size = len(raw)
    shape_of = shapes_of(raw.geometry)
    area_says_yes, area_says_no = _is(raw, "area", "yes"), _is(raw, "area", "no")
    closed = np.zeros(size, np.bool_)
    line = shape_of == Shape.LINE
    closed[line] = shapely.is_closed(raw.geometry[line]) & (shapely.get_num_coordinates(raw.geometry[line]) > 3)
    polygon = shape_of == Shape.AREA
    areal = (polygon | closed) & ~area_says_no
    # A polygon that is a closed way, and does not say that it is an area, may be meant as a line.
    lineal = line | (polygon & raw.is_osm & ~raw.relation & ~area_says_yes)
    pointed = ((shape_of == Shape.POINT) | polygon) & ~_is(raw, "place", "square")
    hidden = _is(raw, "location", "underground") | _is(raw, "parking", "underground")

    names = read_names(raw)
    named = np.array([bool(n) for n in names], np.bool_)
    building = _apply(raw, BUILDINGS, areal & ~hidden)
    road_area = lineal & (_matches(raw, ROADS) >= 0)  # a closed road is a loop unless area=yes
    loop = _is(raw, "aeroway", "taxiway") & ~area_says_yes & ~raw.relation
    standing_area = _apply(raw, STANDING, areal & ~building.found & ~loop)
    cover = _apply(raw, COVER, areal & ~building.found & ~standing_area.found & ~hidden & ~road_area)
    sorts = [(building, Shape.AREA), (cover, Shape.AREA), (standing_area, Shape.AREA)]
    sorts.append((_apply(raw, STANDING, lineal & ~standing_area.found), Shape.LINE))
    for rules in LINES:
        where = lineal & ~(cover.found & _present(raw, "waterway"))
        if rules[0][0] in ("historic", "boundary"):
            where = lineal | polygon  # walls and borders run round their areas
        sorts.append((_apply(raw, rules, where), Shape.LINE))
    sorts.append((_apply(raw, PLACES, pointed), Shape.POINT))
    pois = _apply(raw, POIS, pointed)
    sorts.append((pois.only(named | (pois.rank <= NAMELESS_POIS)), Shape.POINT))

    drafts = [d for sort, shape in sorts for d in sort.drafts(raw, shape)]
    return _attributes(raw, drafts, names)


@dataclasses.dataclass(frozen=True)
class _Sort:
    """What one set of rules made of each feature: number of its kind (-1 none), rank, detail."""

    kind: NDArray[np.int64]
    rank: NDArray[np.int64]
    detail: NDArray[np.object_]

    @property
    def found(self) -> Mask:
        return self.kind >= 0

    def only(self, where: Mask) -> "_Sort":
        return dataclasses.replace(self, kind=np.where(where, self.kind, -1))

    def drafts(self, raw: RawLayer, shape: Shape) -> Iterator[Draft]:
        for number in np.unique(self.kind[self.found]):
            rows = np.flatnonzero(self.kind == number)
            kind = _KINDS[number]
            rank, detail, width = _refine(raw, kind, rows, self.rank[rows], self.detail[rows])
            yield Draft(kind, shape, rows, rank.astype(np.int16), detail, width)


_KINDS = tuple(LayerKind)
_NUMBER = {k: i for i, k in enumerate(_KINDS)}


def _apply(raw: RawLayer, rules: Rules, where: Mask) -> _Sort:
    size = len(raw)
    sort = _Sort(np.full(size, -1), np.zeros(size, np.int64), np.full(size, "", object))
    for key, values in rules:
        column = raw.column(key)
        if column is None:
            continue
        kinds = {v: _NUMBER[m.kind] for v, m in values.items()}
        ranks = {v: m.rank for v, m in values.items()}
        if "*" in values:
            others = {v.partition(";")[0].strip() for v in column.values} - {"no", "entrance", "roof_edge"}
            kinds.update(dict.fromkeys(others - set(values), kinds["*"]))
            ranks.update(dict.fromkeys(others - set(values), ranks["*"]))
        numbers = column.lookup(kinds)
        fresh = (numbers >= 0) & where & ~sort.found
        sort.kind[fresh] = numbers[fresh]
        sort.rank[fresh] = column.lookup(ranks)[fresh]
        sort.detail[fresh] = column.texts()[fresh]
    return sort


def _matches(raw: RawLayer, rules: Rules) -> NDArray[np.int64]:
    return _apply(raw, rules, np.ones(len(raw), np.bool_)).kind


def _refine(
    raw: RawLayer,
    kind: LayerKind,
    rows: NDArray[np.int64],
    rank: NDArray[np.int64],
    detail: NDArray[np.object_],
) -> tuple[NDArray[np.int64], NDArray[np.object_], NDArray[np.float32] | None]:
    """Say more of features of a kind, from keys that are not their main one."""
    finer = {
        K.WATER: "water",
        K.WOOD: "leaf_type",
        K.WETLAND: "wetland",
        K.TREE: "leaf_type",
        K.PITCH: "sport",
    }
    width = None
    if kind in finer and (column := raw.column(finer[kind])) is not None:
        says = column.texts()[rows]
        detail = np.where(says != "", says, detail)
    elif kind is K.BUILDING:
        detail = _building_detail(raw, rows, detail)
    elif kind is K.POI and (religion := raw.column("religion")) is not None:
        houses = np.array([WORSHIP.get(r, "temple") for r in religion.texts()[rows]], object)
        detail = np.where(detail == "place_of_worship", houses, detail)
    elif kind is K.PLACE:
        rank = _place_rank(raw, rows, rank)
    elif kind is K.PEAK:
        ele = _numbers(raw, "ele")[rows]
        # Six steps of 500 m below 3000 m; judgement, and a function of the peak alone.
        by_height = np.clip(np.ceil((3000.0 - np.nan_to_num(ele, nan=0.0)) / 500.0), 0, 5).astype(np.int64)
        rank = np.clip(by_height + rank, 0, 5)
        detail = np.where(detail == "yes", "saddle", detail)  # mountain_pass=yes
    elif kind is K.BORDER:
        rank = whole_numbers(raw, "admin_level", 0, 15)[rows]
        rank = np.where(rank == 0, 15, rank)
        detail = np.where(_is(raw, "maritime", "yes")[rows], "maritime", "administrative").astype(object)
    elif kind is K.TREE_ROW:
        width = np.where(detail == "hedge", np.float32(1.5), np.float32(np.nan)).astype(np.float32)
    elif kind in (K.RAIL, K.SERVICE, K.PATH):
        key, words = {
            K.RAIL: ("service", ("yard", "siding", "spur", "crossover")),
            K.SERVICE: ("service", ("driveway", "parking_aisle", "drive-through")),
            K.PATH: ("footway", ("sidewalk", "crossing", "link")),
        }[kind]
        minor = _is(raw, key, *words)[rows]
        rank = np.where(minor, 2, rank)
        says = np.full(len(raw), "", object) if (column := raw.column(key)) is None else column.texts()
        detail = np.where(minor, says[rows], detail)
    return rank, detail, width


def _building_detail(raw: RawLayer, rows: NDArray[np.int64], detail: NDArray[np.object_]) -> NDArray[np.object_]:
    detail = detail.copy()
    for key in ("amenity", "tourism", "historic", "leisure", "shop"):
        if (column := raw.column(key)) is not None:
            says = column.texts()[rows]
            if key == "shop":
                says = np.where(says != "", "shop", "")
            detail = np.where((detail == "yes") & (says != ""), says, detail)
    religion = raw.column("religion")
    faith = np.full(len(rows), "", object) if religion is None else religion.texts()[rows]
    houses = np.array([WORSHIP.get(str(f), "temple") for f in faith], np.object_)
    return np.where(detail == "place_of_worship", houses, detail)


def _place_rank(raw: RawLayer, rows: NDArray[np.int64], rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """Lift capitals of countries and cities of more than a million to rank 0, country names too."""
    people = np.nan_to_num(_numbers(raw, "population")[rows], nan=0.0)
    capital = _is(raw, "capital", "yes", "2")[rows]
    town = _is(raw, "place", "city", "town", "village")[rows]
    first = (town & capital) | (_is(raw, "place", "city")[rows] & (people >= 1e6))
    return np.where(first | _is(raw, "place", "country")[rows], 0, rank)


def _attributes(raw: RawLayer, drafts: list[Draft], names: NDArray[np.object_]) -> Reading:
    bridge = yes(raw, "bridge")
    tunnel = yes(raw, "tunnel")
    layer = whole_numbers(raw, "layer", -9, 9)
    unsaid = (column := raw.column("layer")) is None or column.codes < 0
    layer = np.where(unsaid & bridge, 1, np.where(unsaid & tunnel, -1, layer))
    width = _first_known(lengths(raw, "width"), lengths(raw, "est_width"), _numbers(raw, "lanes") * LANE)
    roof = _first_known(lengths(raw, "roof:height"), _numbers(raw, "roof:levels") * STOREY)
    storeys = _numbers(raw, "building:levels") * STOREY + np.nan_to_num(roof, nan=0.0)
    height = _first_known(lengths(raw, "height"), storeys)
    if (peak := raw.column("natural")) is not None:
        height = np.where(peak.any_of(("peak", "volcano", "saddle", "hill")), _numbers(raw, "ele"), height)
    base = _first_known(lengths(raw, "min_height"), _numbers(raw, "building:min_level") * STOREY)
    osm = raw.is_osm or "osm_id" in raw.column_names or "osm_way_id" in raw.column_names
    return Reading(
        drafts,
        names=names,
        layer=layer.astype(np.int8),
        bridge=bridge,
        tunnel=tunnel,
        width=np.where(width > 0, width, np.nan).astype(np.float32),
        height=height.astype(np.float32),
        base=np.nan_to_num(base, nan=0.0).astype(np.float32),
        attribution=OSM_ATTRIBUTION if osm else "",
    )


def _first_known(*choices: NDArray[np.float32]) -> NDArray[np.float32]:
    out = choices[0]
    for other in choices[1:]:
        out = np.where(np.isfinite(out), out, other)
    return out


def _numbers(raw: RawLayer, name: str) -> NDArray[np.float32]:
    column = raw.column(name)
    return np.full(len(raw), np.nan, np.float32) if column is None else column.numbers(parse_number)


def _is(raw: RawLayer, name: str, *words: str) -> Mask:
    column = raw.column(name)
    return np.zeros(len(raw), np.bool_) if column is None else column.any_of(words)


def _present(raw: RawLayer, name: str) -> Mask:
    column = raw.column(name)
    return np.zeros(len(raw), np.bool_) if column is None else column.codes >= 0


def _with_tags_as_columns(raw: RawLayer) -> RawLayer:
    """Bring tags that sit inside another column (GDAL's other tags, Geofabrik's fclass) out as columns."""
    import pyarrow as pa

    added: dict[str, list[str | None]] = {}
    if (tags := raw.column("other_tags")) is not None:
        for i in np.flatnonzero(tags.codes >= 0):
            for key, value in parse_tags(tags.values[tags.codes[i]]).items():
                if not key.startswith("name:"):
                    added.setdefault(key, [None] * len(raw))[i] = value
    if (fclass := raw.column("fclass")) is not None:
        theme = raw.name.lower().removeprefix("gis_osm_").split("_")[0]
        words = [w or None for w in fclass.texts()]
        added.update({key: words for key in GEOFABRIK.get(theme, ())})
        if theme == "buildings":
            added["building"] = ["yes"] * len(raw)
    table = raw.table
    for key, values in added.items():
        if key.lower() not in raw.column_names:
            table = table.append_column(key, pa.array(values, pa.string()))
    return dataclasses.replace(raw, table=table, _columns={})
