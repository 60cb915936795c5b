"""Bring an atlas's features together on one grid: rings of numbered vertices, before any simplification."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstyle.frame import EARTH_RADIUS, Grid
from mapstyle.layers import LayerKind, spans
from mapstyle.levels import APPEARS
from mapstyle.sources.atlas import Atlas, FeatureTable, Shape

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SPARE_LEVELS = 3.0
"""How many levels before the common table a kind is kept, so that a style may show it sooner."""
_STEP = 1e7
"""Vertices per degree: 1.1 cm on the equator, the precision of OpenStreetMap's own files."""
_CORNER = np.array([180.0, 90.0])
"""Degrees added so that nothing is negative; both numbers then fit in one of 63 bits."""
_NEAR = 60.0
"""Degrees beyond a metric system's area of use at which features are cut off: much further out, a transverse
Mercator folds over, and a sheet that reaches there has no use."""


@dataclass(frozen=True)
class Rings:
    """Rings of features as runs of numbered vertices.

    Vertices at one place have one number, whichever features they belong to, and numbers go by longitude,
    then latitude: so they are the same whatever the order of the features.

    Attributes:
        vertex: int64[n], numbers of vertices.
        starts: int64[r + 1], where each ring starts in ``vertex``.
        closed: bool[r]; a closed ring does not repeat its first vertex.
        hole: bool[r], whether it is a hole of its polygon.
        feature: int64[r], never falling.
    """

    vertex: Ints
    starts: Ints
    closed: NDArray[np.bool_]
    hole: NDArray[np.bool_]
    feature: Ints

    def __len__(self) -> int:
        return len(self.closed)

    @cached_property
    def sizes(self) -> Ints:
        """Vertices of each ring."""
        return np.diff(self.starts)

    @cached_property
    def ring(self) -> Ints:
        """Ring of each vertex."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def pick(self, chosen: Ints) -> "Rings":
        """Give the chosen rings, in the order given."""
        sizes = self.sizes[chosen]
        return Rings(
            self.vertex[spans(self.starts[chosen], sizes)],
            offsets(sizes),
            self.closed[chosen],
            self.hole[chosen],
            self.feature[chosen],
        )


@dataclass(frozen=True)
class Gathered:
    """All features that a level may show.

    Attributes:
        tables: the tables they come from, in order; features are numbered through all of them.
        sizes: how many features of each table.
        rings: their rings; the vertices of points are rings of one.
        points: float64[v, 2], logical pixels of each numbered vertex.
        latitude: float64[f], degrees, of the middle of each feature.
    """

    tables: tuple[FeatureTable, ...]
    sizes: Ints
    rings: Rings
    points: Floats
    latitude: Floats

    @cached_property
    def table(self) -> Ints:
        """Table of each feature."""
        return np.repeat(np.arange(len(self.tables)), self.sizes)

    @cached_property
    def shape(self) -> NDArray[np.int8]:
        """Shape of each feature, as its place in :class:`Shape`."""
        order = list(Shape)
        return np.array([order.index(t.shape) for t in self.tables], np.int8)[self.table]

    @cached_property
    def kind(self) -> NDArray[np.int16]:
        """Kind of each feature, as its place in :class:`LayerKind`."""
        order = list(LayerKind)
        return np.array([order.index(t.kind) for t in self.tables], np.int16)[self.table]


def offsets(sizes: Ints) -> Ints:
    """Give where each of a row of runs starts, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def gather(atlas: Atlas, grid: Grid) -> Gathered:
    """Bring all features that a level may show together on its grid."""
    shapes, kinds = list(Shape), list(LayerKind)
    tables = sorted(
        (t for t in atlas.tables.values() if len(t) and grid.level >= APPEARS[t.kind] - SPARE_LEVELS),
        key=lambda t: (shapes.index(t.shape), kinds.index(t.kind)),
    )
    sizes = np.array([len(t) for t in tables], np.int64)
    geometry = np.concatenate([t.geometry for t in tables]) if tables else np.zeros(0, object)
    geometry = _within_reach(geometry, grid)
    box = shapely.bounds(geometry).reshape(-1, 4)
    latitude = np.nan_to_num((box[:, 1] + box[:, 3]) / 2)
    lonlat, starts, closed, hole, feature = _rings_of(geometry)
    vertex, degrees = _numbered(lonlat)
    rings = _without_repeats(Rings(vertex, starts, closed, hole, feature))
    if not grid.is_web_mercator:
        rings, degrees = _densified(rings, degrees, grid)
    points = grid.project(degrees)
    if grid.turn:
        # The upper and lower ends of the world's square are no shores: what ends there goes on beyond them.
        points[points[:, 1] <= _AT_THE_EDGE, 1] -= BEYOND
        points[points[:, 1] >= grid.turn - _AT_THE_EDGE, 1] += BEYOND
    rings = _finite(rings, points)
    return Gathered(tuple(tables), sizes, rings, points, latitude)


BEYOND = 256.0
"""Logical pixels by which shapes are carried on past the ends of the world's square."""
_AT_THE_EDGE = 1e-4


def _within_reach(geometry: NDArray[np.object_], grid: Grid) -> NDArray[np.object_]:
    """Cut off what lies so far from a metric system's area of use that it cannot be projected."""
    if grid.is_web_mercator or not len(geometry):
        return geometry
    import pyproj

    use = pyproj.CRS(grid.crs).area_of_use
    if use is None:
        return geometry
    box = (use.west - _NEAR, max(-89.0, use.south - _NEAR), use.east + _NEAR, min(89.0, use.north + _NEAR))
    if use.west > use.east:
        box = (-180.0, box[1], 180.0, box[3])
    found = shapely.bounds(geometry)
    outside = (found[:, 0] < box[0]) | (found[:, 1] < box[1]) | (found[:, 2] > box[2]) | (found[:, 3] > box[3])
    if outside.any():
        geometry = geometry.copy()
        geometry[outside] = shapely.clip_by_rect(geometry[outside], *box)
    return geometry


def _rings_of(
    geometry: NDArray[np.object_],
) -> tuple[Floats, Ints, NDArray[np.bool_], NDArray[np.bool_], Ints]:
    """Take geometries apart: coordinates, starts, closed, hole, feature; in order of feature."""
    parts, owner = shapely.get_parts(geometry, return_index=True)
    areal = shapely.get_type_id(parts) == 3
    polygons = parts[areal]
    rings, polygon = shapely.get_rings(polygons, return_index=True)
    first = np.ones(len(rings), np.bool_)
    first[1:] = polygon[1:] != polygon[:-1]
    others = parts[~areal]
    everything = np.concatenate([rings, others])
    closed = np.arange(len(everything)) < len(rings)
    hole = np.concatenate([~first, np.zeros(len(others), np.bool_)])
    feature = np.concatenate([owner[areal][polygon], owner[~areal]]).astype(np.int64)
    order = np.argsort(feature, kind="stable")
    everything, closed, hole, feature = everything[order], closed[order], hole[order], feature[order]
    lonlat, ring = shapely.get_coordinates(everything, return_index=True)
    sizes = np.bincount(ring, minlength=len(everything))
    last = offsets(sizes)[1:] - 1
    keep = np.ones(len(lonlat), np.bool_)
    keep[last[closed & (sizes > 0)]] = False
    sizes = sizes - (closed & (sizes > 0))
    return lonlat[keep], offsets(sizes), closed, hole, feature


def _numbered(lonlat: Floats) -> tuple[Ints, Floats]:
    """Number places by longitude, then latitude; give the numbers and each number's degrees."""
    whole = np.rint((lonlat + _CORNER) * _STEP).astype(np.int64)
    keys, vertex = np.unique(whole[:, 0] << 31 | whole[:, 1], return_inverse=True)
    degrees = np.stack([keys >> 31, keys & 0x7FFFFFFF], axis=1) / _STEP - _CORNER
    return vertex.astype(np.int64).ravel(), degrees


def following(rings: Rings) -> Ints:
    """Give for each vertex the place of the next one in its ring; -1 at the end of an open one."""
    after = np.arange(1, len(rings.vertex) + 1)
    some = rings.sizes > 0
    after[rings.starts[1:][some] - 1] = np.where(rings.closed, rings.starts[:-1], -1)[some]
    return after


def _without_repeats(rings: Rings) -> Rings:
    """Drop vertices that repeat the one before, and rings that enclose or lead to nothing."""
    after = following(rings)
    keep = (after < 0) | (rings.vertex[after] != rings.vertex)
    single = rings.sizes == 1
    keep[rings.starts[:-1][single]] = True
    counts = np.bincount(rings.ring[keep], minlength=len(rings))
    rings = Rings(rings.vertex[keep], offsets(counts), rings.closed, rings.hole, rings.feature)
    enough = np.where(rings.closed, counts >= 3, (counts >= 2) | single)
    return rings.pick(np.flatnonzero(enough))


def _densified(rings: Rings, degrees: Floats, grid: Grid) -> tuple[Rings, Floats]:
    """Add vertices to long edges, the same whichever way an edge is followed.

    Straight in degrees and straight in a metric projection differ by about ``L^2 tan(phi) / (8 R)`` (the
    sagitta of a parallel); edges are cut so that this stays under a quarter of a pixel at 45 degrees.
    """
    longest = np.sqrt(2 * EARTH_RADIUS * grid.resolution) / np.radians(EARTH_RADIUS)
    after = following(rings)
    there = rings.vertex[np.where(after < 0, 0, after)]
    low, high = np.minimum(rings.vertex, there), np.maximum(rings.vertex, there)
    span = degrees[high] - degrees[low]
    length = np.hypot(span[:, 0] * np.cos(np.radians(degrees[low][:, 1])), span[:, 1])
    pieces = np.where(after < 0, 1, np.maximum(1, np.ceil(length / longest))).astype(np.int64)
    if pieces.max(initial=1) == 1:
        return rings, degrees
    step = spans(np.zeros(len(pieces), np.int64), pieces)
    edge = np.repeat(np.arange(len(pieces)), pieces)
    forward = rings.vertex[edge] == low[edge]
    share = np.where(forward, step, pieces[edge] - step) / pieces[edge]
    lonlat = degrees[low[edge]] + span[edge] * share[:, None]
    lonlat[step == 0] = degrees[rings.vertex]
    sizes = np.bincount(rings.ring, pieces, len(rings)).astype(np.int64)
    vertex, degrees = _numbered(lonlat)
    return Rings(vertex, offsets(sizes), rings.closed, rings.hole, rings.feature), degrees


def _finite(rings: Rings, points: Floats) -> Rings:
    """Drop features any vertex of which cannot be projected."""
    good = np.asarray(np.isfinite(points).all(axis=1))
    if good.all():
        return rings
    bad = np.unique(rings.feature[rings.ring[~good[rings.vertex]]])
    return rings.pick(np.flatnonzero(~np.isin(rings.feature, bad)))
