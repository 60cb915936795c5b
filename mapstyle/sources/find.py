"""Find a place, an area or a street by its name, in the data itself."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import IntEnum

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstyle.errors import ExtentError
from mapstyle.frame import MAX_LATITUDE
from mapstyle.layers import ROADS, WATER_LINES, LayerKind
from mapstyle.sources.atlas import Atlas, FeatureTable, Shape
from mapstyle.sources.extent import dense_bounds

K = LayerKind
Bounds = tuple[float, float, float, float]

DEGREE = 111_319.49
"""Metres in a degree of a meridian of the sphere of Web Mercator."""
ALIKE = 0.75
"""Likeness (difflib's ratio, 0..1) from which another spelling is taken for what was meant."""
CLOSE = 0.06
"""How much less like than the best a fuzzy match may be."""
SUGGESTED = 4
NEIGHBOURS = 30
"""A point's surroundings hold at least this many features, so that a city on a world map is not alone."""
PADDING = 0.15
"""Room about an area or a street, as a share of its longer side."""
SMALLEST = 200.0
"""Metres from the middle of the smallest extent to its sides."""

PLACE_RADIUS = (6000.0, 5000.0, 2500.0, 1000.0, 600.0, 400.0)
"""Metres about a place of each rank (judgement: what one walks or cycles in, from city to farm)."""
RADIUS: Mapping[LayerKind, float] = {K.PEAK: 1500.0, K.POI: 250.0, K.OCEAN: 20_000.0}
"""Metres about a point of other kinds."""
WIDE: Mapping[str, float] = {"country": 150_000.0, "state": 75_000.0, "region": 50_000.0, "island": 3000.0}
"""Metres about a point of a finer class."""

_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "’": "", "'": "",
     "`": "", "ʼ": "", "ʻ": ""}
)  # fmt: skip
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_SHORT = {
    "str": "strasse", "st": "saint", "ste": "sainte", "sta": "santa", "bd": "boulevard", "blvd": "boulevard",
    "av": "avenue", "ave": "avenue", "av.da": "avinguda", "pl": "place", "rd": "road", "sq": "square",
    "mt": "mount", "ctra": "carretera", "ul": "ulica",
}  # fmt: skip


@dataclass(frozen=True)
class Hit:
    """Something of the name that was asked for.

    Attributes:
        name: its local name, with the name that matched behind it where that is another.
        kind: what it is, for people: ``town``, ``street``, ``lake`` ...
        lon: longitude of its middle, degrees.
        lat: latitude of its middle, degrees.
        bounds: west, south, east, north in degrees of an extent that shows it well.
        score: how well it fits, at most 1; equal scores are equally good.
    """

    name: str
    kind: str
    lon: float
    lat: float
    bounds: Bounds
    score: float


class _Family(IntEnum):
    """Kinds of which several features of one name, near each other, are one thing."""

    PLACE = 0
    WATER = 1
    ROAD = 2
    OTHER = 3


_APART: Mapping[_Family, float] = {
    _Family.PLACE: 2000.0, _Family.WATER: 3000.0, _Family.ROAD: 500.0, _Family.OTHER: 300.0,
}  # fmt: skip
"""Metres that may lie between features that are one thing."""
_UNSEARCHED = frozenset({K.BORDER, K.COAST, K.TREE})


@dataclass(frozen=True)
class _Named:
    """One feature of a matching name: where it is listed, how it matched, and how much it matters."""

    table: FeatureTable
    row: int
    matched: str
    likeness: float
    weight: int
    family: _Family

    @property
    def local(self) -> str:
        return str(self.table.names[self.row].get("", self.matched))


def find_place(atlas: Atlas, text: str) -> list[Hit]:
    """Find what is called ``text`` in any language that the data carries, the best first.

    An exact name beats the beginning of one, that a word of one, and that a similar spelling; a more
    important kind of place decides between equals.

    Raises:
        ExtentError: nothing is called so; the message names what comes nearest.
    """
    wanted = simplified(text)
    if not wanted:
        raise ExtentError("--place needs a name, as in --place 'Monte-Carlo'")
    names = _names(atlas.tables)
    if not names:
        raise ExtentError("the data holds no names to look for; pass --extent W,S,E,N or --around LON,LAT")
    likeness = {name: like for name, like in ((n, _direct(wanted, n)) for n in names) if like > 0}
    if not likeness:
        likeness = _similar(wanted, names)
        best = max(likeness.values())
        if best < ALIKE:
            near = sorted(likeness, key=lambda n: (-likeness[n], n))[:SUGGESTED]
            raise ExtentError(f"No place like '{text}' in the data. Nearest: {', '.join(near)}.")
        # Below any direct match, however short.
        likeness = {n: v * 0.7 for n, v in likeness.items() if v >= max(ALIKE, best - CLOSE)}
    found = [
        _Named(table, row, name, like, _weight(table, row), _family(table.kind))
        for name, like in likeness.items()
        for table, row in names[name]
    ]
    surroundings = _Surroundings(atlas, dense_bounds(atlas))
    hits = [_hit(group, surroundings) for group in _one_thing_each(found)]
    return sorted(hits, key=lambda h: (-h.score, h.name, h.lon, h.lat))


def simplified(text: str) -> str:
    """Reduce a name to what survives careless typing: no case, accents, apostrophes or punctuation."""
    text = text.casefold().translate(_LETTERS)
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    words = "".join(c if c.isalnum() else " " for c in text.casefold()).split()
    words = [_SHORT.get(w, w) for w in words]
    return " ".join(w + "asse" if len(w) > 5 and w.endswith("str") else w for w in words)


def _spellings(name: str) -> set[str]:
    """Give a name simplified, also with the umlauts written out."""
    return {simplified(name), simplified(name.casefold().translate(_UMLAUTS))}


def _names(
    tables: Mapping[tuple[LayerKind, Shape], FeatureTable],
) -> dict[str, list[tuple[FeatureTable, int]]]:
    found: dict[str, list[tuple[FeatureTable, int]]] = {}
    for table in tables.values():
        if table.kind in _UNSEARCHED:
            continue
        for row, names in enumerate(table.names):
            for name in set(names.values()) if names else ():
                found.setdefault(name, []).append((table, row))
    return found


def _direct(wanted: str, name: str) -> float:
    """Tell how well a name fits letter by letter: 1 the whole, 0.9 its beginning, 0.8 words in it, or 0."""
    best = 0.0
    for spelling in _spellings(name):
        if spelling == wanted or spelling.replace(" ", "") == wanted.replace(" ", ""):
            return 1.0
        if spelling.startswith(wanted + " "):
            best = max(best, 0.9)
        elif spelling.startswith(wanted) and (len(wanted) >= 3 or not wanted.isascii()):
            best = max(best, 0.85)
        elif f" {wanted} " in f" {spelling} ":
            best = max(best, 0.8)
        elif len(wanted) >= 5 and wanted.replace(" ", "") in spelling.replace(" ", ""):
            best = max(best, 0.75)
    return best


def _similar(wanted: str, names: Iterable[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)
    least = 0.0
    for name in sorted(names):
        for spelling in _spellings(name):
            matcher.set_seq1(spelling)
            # The two bounds are cheap; the ratio itself is not, and a country has a hundred thousand names.
            if matcher.real_quick_ratio() < least or matcher.quick_ratio() < least:
                continue
            like = matcher.ratio()
            found[name] = max(like, found.get(name, 0.0))
            if len(found) > SUGGESTED:
                least = max(least, min(max(found.values()) - CLOSE, ALIKE) * 0.9)
    return found


def _family(kind: LayerKind) -> _Family:
    if kind in (K.PLACE, K.RESIDENTIAL):
        return _Family.PLACE
    if kind in (*WATER_LINES, K.WATER):
        return _Family.WATER
    if kind in ROADS or kind is K.SQUARE:
        return _Family.ROAD
    return _Family.OTHER


def _weight(table: FeatureTable, row: int) -> int:
    """Tell how little a feature matters among others of its name; 0 the most."""
    kind, rank = table.kind, max(0, int(table.rank[row]))
    if kind is K.PLACE:
        return min(rank, 5)
    if kind in (K.RESIDENTIAL, K.PEAK, K.OCEAN, K.RIVER):
        return 6
    if kind in (K.WATER, K.CANAL, K.AERODROME):
        return 7
    if kind in ROADS or kind in (K.SQUARE, K.PARK, K.STREAM):
        return 8
    return 9 + min(rank, 6) if kind is K.POI else 16


def _one_thing_each(found: list[_Named]) -> list[list[_Named]]:
    """Group features of one name and family that lie near each other, such as the ways of a street."""
    by_name: dict[tuple[str, _Family], list[_Named]] = {}
    for named in found:
        by_name.setdefault((simplified(named.local), named.family), []).append(named)
    groups: list[list[_Named]] = []
    for (_, family), members in by_name.items():
        unique = {(id(m.table), m.row): m for m in sorted(members, key=lambda m: m.likeness)}
        groups.extend(_clusters(list(unique.values()), _APART[family]))
    return groups


def _clusters(members: list[_Named], apart: float) -> list[list[_Named]]:
    boxes = shapely.bounds(np.array([m.table.geometry[m.row] for m in members], object))
    high = apart / DEGREE
    wide = high / np.maximum(np.cos(np.radians(boxes[:, 1])), 0.05)
    grown = shapely.box(boxes[:, 0] - wide, boxes[:, 1] - high, boxes[:, 2] + wide, boxes[:, 3] + high)
    pairs = shapely.STRtree(shapely.box(*boxes.T)).query(grown)
    leader = list(range(len(members)))

    def lead(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    for a, b in pairs.T.tolist():
        first, second = sorted((lead(a), lead(b)))
        leader[second] = first
    groups: dict[int, list[_Named]] = {}
    for i, member in enumerate(members):
        groups.setdefault(lead(i), []).append(member)
    return list(groups.values())


class _Surroundings:
    """The middles of all features, to tell how wide a view of a point must be."""

    def __init__(self, atlas: Atlas, dense: Bounds) -> None:
        self._atlas = atlas
        self._dense = dense
        self._middles: NDArray[np.float64] | None = None

    def radius(self, lon: float, lat: float) -> float:
        """Give the metres within which there is enough to see."""
        if self._middles is None:
            tables = [t.geometry for t in self._atlas.tables.values() if t.kind is not K.OCEAN]
            boxes = shapely.bounds(np.concatenate(tables)) if tables else np.zeros((0, 4))
            self._middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        count = min(NEIGHBOURS, len(self._middles) // 3)
        if not count:
            return 0.0
        east = (self._middles[:, 0] - lon + 180) % 360 - 180
        squared = (east * np.cos(np.radians(lat))) ** 2 + (self._middles[:, 1] - lat) ** 2
        return float(np.sqrt(np.partition(squared, count)[count]) * DEGREE)

    def within(self, lon: float, lat: float, box: Bounds) -> Bounds:
        """Cut from a box what the dense part of the data, in which its middle lies, does not fill."""
        west, south, east, north = self._dense
        if not (west < lon < east and south < lat < north):
            return box
        return max(box[0], west), max(box[1], south), min(box[2], east), min(box[3], north)


def _hit(group: list[_Named], surroundings: _Surroundings) -> Hit:
    best = min(group, key=lambda m: (m.weight, -m.likeness, int(m.table.ids[m.row])))
    likeness = max(m.likeness for m in group)
    shapes = np.array([m.table.geometry[m.row] for m in group], object)
    flat = shapely.get_dimensions(shapes) > 0
    if flat.any():
        west, south, east, north = shapely.total_bounds(shapes).tolist()
        reach = max((north - south) / 2, (east - west) / 2 * _narrowing(south, north)) * DEGREE
        lon, lat = (west + east) / 2, (south + north) / 2
        bounds = _grown((west, south, east, north), max(2 * PADDING * reach, SMALLEST - reach))
    else:
        lon, lat = shapely.get_coordinates(shapely.centroid(best.table.geometry[best.row]))[0].tolist()
        radius = max(_radius(best), surroundings.radius(lon, lat))
        bounds = surroundings.within(lon, lat, _grown((lon, lat, lon, lat), radius))
    if best.table.shape is Shape.POINT:
        lon, lat = shapely.get_coordinates(best.table.geometry[best.row])[0].tolist()
    matched = max(group, key=lambda m: (m.likeness, m.matched == m.local)).matched
    name = best.local if simplified(matched) == simplified(best.local) else f"{best.local} ({matched})"
    detail = "street" if best.table.kind in ROADS else best.table.detail[best.row]
    kind = best.table.kind.value if detail in ("", "yes") else detail
    return Hit(name, str(kind).replace("_", " "), lon, lat, bounds, likeness - best.weight * 1e-3)


def _radius(named: _Named) -> float:
    table, row = named.table, named.row
    if (wide := WIDE.get(table.detail[row])) is not None:
        return wide
    if table.kind is K.PLACE:
        return PLACE_RADIUS[min(max(0, int(table.rank[row])), 5)]
    return RADIUS.get(table.kind, SMALLEST)


def _narrowing(south: float, north: float) -> float:
    return max(float(np.cos(np.radians((south + north) / 2))), 0.05)


def _grown(box: Bounds, metres: float) -> Bounds:
    west, south, east, north = box
    high = metres / DEGREE
    wide = min(high / _narrowing(south, north), (360 - (east - west)) / 2)
    return west - wide, max(south - high, -MAX_LATITUDE), east + wide, min(north + high, MAX_LATITUDE)
