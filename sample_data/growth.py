"""How a town grows: streets in districts, houses along streets, fields and woods on open land."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from shapely import STRtree, affinity, voronoi_polygons
from shapely.geometry import LineString, MultiPoint, MultiPolygon, Point, Polygon, box
from shapely.ops import substring, unary_union

LONGITUDE, LATITUDE = 3.9, 54.6
"""Where the middle of the town would lie: on the Dogger Bank, which is all sea today."""
METRES_PER_DEGREE = 111_320.0
Found = Iterable[tuple[Polygon, dict[str, object]]]


def to_lonlat(
    x: NDArray[np.float64] | float, y: NDArray[np.float64] | float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bring metres east and north of the middle to degrees."""
    lon = LONGITUDE + np.asarray(x) / (METRES_PER_DEGREE * np.cos(np.radians(LATITUDE)))
    return lon, LATITUDE + np.asarray(y) / METRES_PER_DEGREE


def smooth(points: Sequence[tuple[float, float]], step: float) -> LineString:
    """Run a Catmull-Rom curve through points, a vertex about every ``step`` metres."""
    p = np.array(points, float)
    closed = bool((p[0] == p[-1]).all())
    before, after = (p[-2], p[1]) if closed else (2 * p[0] - p[1], 2 * p[-1] - p[-2])
    p = np.vstack([before, p, after])
    out = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        n = max(2, int(np.hypot(*(c - b)) / step))
        t = np.linspace(0, 1, n, endpoint=False)[:, None]
        out.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return LineString(np.vstack([*out, p[-2:-1]]).round(2))


def ribbon(line: LineString, half_width: Callable[[float], float]) -> Polygon:
    """Widen a line to a ribbon whose half width changes along it (0 to 1)."""
    cuts = np.linspace(0, 1, 60)
    parts = [substring(line, a, b, normalized=True).buffer(half_width(float((a + b) / 2))) for a, b in pairwise(cuts)]
    return unary_union(parts).buffer(6).buffer(-6).simplify(0.8)


def district_streets(
    random: np.random.Generator, district: Polygon, angle: float, spacing: float, along: float, warp: float
) -> list[LineString]:
    """Lay streets through a district: long ones side by side, short ones between, all a little bent."""
    centre = district.centroid
    flat = affinity.rotate(district, -angle, origin=centre)
    west, south, east, north = flat.bounds
    phase = random.uniform(0, 2 * np.pi, 4)

    def bend(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return (
            x + warp * np.sin(y / 190 + phase[0]) + warp * 0.4 * np.sin(x / 90 + phase[2]),
            y + warp * np.sin(x / 230 + phase[1]) + warp * 0.4 * np.sin(y / 80 + phase[3]),
        )

    ways = []
    rows = np.arange(south - spacing, north + 2 * spacing, spacing)
    rows = rows + random.uniform(-0.12, 0.12, len(rows)) * spacing
    for y in rows:
        x = np.arange(west - 60, east + 60, 14.0)
        ways.append(LineString(np.column_stack(bend(x, np.full_like(x, y)))))
    for i, (low, high) in enumerate(pairwise(rows)):
        start = west + (i % 2) * along * 0.5 + random.uniform(-0.2, 0.2) * along
        for x0 in np.arange(start, east + along, along):
            if random.random() < 0.16:
                continue
            y = np.linspace(low, high, 6)
            ways.append(LineString(np.column_stack(bend(np.full_like(y, x0 + random.uniform(-8, 8)), y))))
    out = []
    inside = district.buffer(-4)
    for way in ways:
        cut = affinity.rotate(way, angle, origin=centre).intersection(inside)
        out += [part.simplify(0.5) for part in getattr(cut, "geoms", [cut]) if part.length > 25]
    return out


class Standing:
    """Buildings that stand already, found by the squares they touch."""

    SQUARE = 60.0

    def __init__(self) -> None:
        self.shapes: list[Polygon] = []
        self._squares: dict[tuple[int, int], list[Polygon]] = {}

    def put(self, shape: Polygon) -> None:
        """Put up a building."""
        self.shapes.append(shape)
        for key in self._touched(shape):
            self._squares.setdefault(key, []).append(shape)

    def near(self, shape: Polygon) -> Iterable[Polygon]:
        """Give the buildings that may touch a shape."""
        for key in self._touched(shape):
            yield from self._squares.get(key, ())

    def _touched(self, shape: Polygon) -> Iterable[tuple[int, int]]:
        x0, y0, x1, y1 = (int(v // self.SQUARE) for v in shape.bounds)
        return [(i, j) for i in range(x0, x1 + 1) for j in range(y0, y1 + 1)]


def attach_houses(
    random: np.random.Generator,
    ways: Sequence[tuple[LineString, Polygon]],
    district: Polygon,
    blocked: Polygon,
    road_space: STRtree,
    taken: Standing,
    frontage: tuple[float, float] = (7, 12),
    depth: tuple[float, float] = (9, 13),
    levels: tuple[int, int] = (2, 4),
    gap: float = 0.3,
) -> Found:
    """Put houses wall to wall along both sides of streets, as in an old town."""
    for way in [w for w, _ in ways]:
        for side in (1, -1):
            t = 3.0
            while t < way.length - 5:
                wide, deep = random.uniform(*frontage), random.uniform(*depth)
                shape = _beside(way, t + wide / 2, wide - gap, deep, 4.2 + deep / 2, side)
                t += wide
                if random.random() < 0.04 or shape is None or not district.contains(shape.centroid):
                    continue
                if fits(shape, blocked, road_space, taken):
                    floors = int(random.integers(levels[0], levels[1] + 1))
                    yield shape, {"levels": floors, "detail": "house" if levels[1] < 5 or floors < 4 else "apartments"}


def houses_along(
    random: np.random.Generator,
    ways: Sequence[LineString],
    district: Polygon,
    blocked: Polygon,
    road_space: STRtree,
    taken: Standing,
    spacing: float,
    setback: float,
    kind: str,
) -> Found:
    """Put single houses along both sides of streets, each in its garden."""
    size = {
        "villa": (13, 17, 11, 14),
        "house": (9, 12, 8, 11),
        "village": (9, 14, 8, 10),
        "works": (28, 46, 18, 26),
    }[kind]
    for way in ways:
        for side in (1, -1):
            for t in np.arange(spacing * 0.5, way.length - spacing * 0.3, spacing):
                if random.random() < 0.08:
                    continue
                wide, deep = random.uniform(size[0], size[1]), random.uniform(size[2], size[3])
                back = setback + deep / 2 + random.uniform(-1.5, 2.5)
                shape = _beside(way, t + random.uniform(-2, 2), wide, deep, back, side)
                if shape is None or not district.contains(shape.centroid):
                    continue
                if kind in ("house", "villa") and random.random() < 0.3:
                    wing = _beside(way, t + wide * 0.25, wide * 0.45, deep + 6, back + 3, side)
                    shape = shape.union(wing) if wing is not None and wing.intersects(shape) else shape
                if shape.geom_type == "Polygon" and fits(shape, blocked, road_space, taken):
                    floors = 1 if kind == "works" else int(random.integers(1, 3 if kind != "villa" else 4))
                    more: dict[str, object] = {
                        "levels": floors,
                        "detail": "warehouse" if kind == "works" else "house",
                    }
                    if kind == "works":
                        more["height"] = round(float(random.uniform(8, 13)), 1)
                    yield shape, more


def _beside(way: LineString, t: float, wide: float, deep: float, back: float, side: int) -> Polygon | None:
    if not 0 < t < way.length:
        return None
    here, ahead = way.interpolate(max(0.0, t - 2)), way.interpolate(min(way.length, t + 2))
    turn = np.degrees(np.arctan2(ahead.y - here.y, ahead.x - here.x))
    middle = way.interpolate(t)
    normal = np.radians(turn + 90 * side)
    x, y = middle.x + np.cos(normal) * back, middle.y + np.sin(normal) * back
    return affinity.rotate(box(x - wide / 2, y - deep / 2, x + wide / 2, y + deep / 2), turn)


def fits(shape: Polygon, blocked: Polygon, road_space: STRtree, taken: Standing) -> bool:
    """Tell whether a building stands free of roads, water and other buildings."""
    if len(road_space.query(shape, predicate="intersects")) or shape.intersects(blocked):
        return False
    return all(other.intersection(shape).area <= 0.5 for other in taken.near(shape))


def fields(random: np.random.Generator, land: Polygon, size: float) -> list[Polygon]:
    """Cut open land into fields: cells about jittered points, stretched along the slope of the country."""
    west, south, east, north = land.bounds
    points = []
    for j, y in enumerate(np.arange(south, north, size)):
        for x in np.arange(west + (j % 2) * size * 0.9, east, size * 1.7):
            points.append((x + random.uniform(-0.42, 0.42) * size * 1.7, y + random.uniform(-0.36, 0.36) * size))
    turned = affinity.rotate(MultiPoint(points), 24, origin=(0, 0))
    out = []
    for cell in voronoi_polygons(turned, extend_to=land.envelope).geoms:
        cut = cell.intersection(land).buffer(-1.2, join_style="mitre")
        for part in getattr(cut, "geoms", [cut]):
            if part.geom_type == "Polygon" and part.area > 900:
                out.append(part.simplify(0.6))
    return sorted(out, key=lambda p: (round(p.centroid.x, 1), round(p.centroid.y, 1)))


def patches(area: Polygon, wanted: Callable[..., NDArray[np.bool_]], cell: float, rounding: float) -> MultiPolygon:
    """Outline the ground that is wanted, sampled every ``cell`` metres, with rounded corners."""
    west, south, east, north = area.bounds
    x, y = np.arange(west, east, cell), np.arange(south, north, cell)
    gx, gy = np.meshgrid(x, y)
    mask = np.pad(wanted(gx, gy).astype(np.uint8), 1)
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    shapes = [Polygon((ring[:, 0, :] - 1) * cell + [west, south]) for ring in found if len(ring) > 8]
    return (
        unary_union([g.buffer(0) for g in shapes])
        .buffer(-rounding)
        .buffer(2 * rounding)
        .buffer(-rounding)
        .simplify(2.0)
    )


def trees_in(
    random: np.random.Generator, areas: Sequence[Polygon], gap: float, free_of: Polygon
) -> list[tuple[float, float]]:
    """Plant single trees over areas, about ``gap`` metres apart."""
    out = []
    for area in areas:
        west, south, east, north = area.bounds
        for y in np.arange(south, north, gap):
            for x in np.arange(west, east, gap):
                spot = Point(x + random.uniform(-0.4, 0.4) * gap, y + random.uniform(-0.4, 0.4) * gap)
                if random.random() < 0.62 and area.buffer(-4).contains(spot) and spot.distance(free_of) > 4:
                    out.append((spot.x, spot.y))
    return out
