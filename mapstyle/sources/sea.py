"""Build the sea from coastlines: lines that have land on their left and water on their right."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstyle.frame import MAX_LATITUDE

Coords = NDArray[np.float64]
Box = tuple[float, float, float, float]

MARGIN = 0.25
"""Least distance, degrees, that the sea goes on beyond the data."""
_EDGE = 1e-6
"""Degrees within which a coordinate counts as lying on ±180° or on the limit of latitude."""
_CRACK = 1e-4
"""Degrees, about 10 m: a gap that is bridged wherever it is."""
_GUESS = 1e-3
"""Weight of a line that was only supposed, against one that is in the data."""


@dataclass(frozen=True)
class Sea:
    """The ocean over a source's area, and its shores.

    Attributes:
        areas: list of Shapely polygons in degrees.
        shores: list of Shapely lines in degrees, true coastline only.
        joined: gaps in the coastline that were bridged.
        extended: ends that were carried on to the border of the area.
    """

    areas: list[Any]
    shores: list[Any]
    joined: int = 0
    extended: int = 0


def build_sea(ways: NDArray[np.object_], data: Box) -> Sea:
    """Build the sea over a source's area.

    The coast is carried on, where it breaks off at the data's edge, to the border of a box well outside;
    all lines together cut the box into faces, and each face is sea or land by the true coastline on its own
    border, longest say first. No single wrong or missing way can therefore turn land far from it into sea.

    Args:
        ways: object[w] of LineStrings in degrees, land on the left.
        data: west, south, east, north of the source's features, degrees.
    """
    coords = [c for c in (_plain(w) for w in ways) if len(c) > 1]
    if not coords:
        return Sea([], [])
    box = _area_box(coords, data)
    links, extended = _loose_ends(coords, data, box)
    lines = [shapely.LineString(c) for c in coords]
    frame = shapely.box(*box).exterior
    faces = _faces([*lines, *(shapely.LineString(c) for c in links), frame])
    vote = _votes(faces, coords, 1.0) + _votes(faces, links, _GUESS)
    is_sea = vote < 0
    is_sea &= ~_wrongly_sea(faces, is_sea, coords)
    whole = shapely.union_all(faces[is_sea]) if is_sea.any() else shapely.Polygon()
    areas = [p for p in shapely.get_parts(whole) if p.geom_type == "Polygon" and p.area > 0]
    return Sea(areas, shores(np.array(lines, object)), len(links) - extended, extended)


def shores(lines: NDArray[np.object_]) -> list[Any]:
    """Join coastlines to long lines, without what only closes them along ±180° and the poles."""
    true = [part for line in lines for part in _off_the_edge(shapely.get_coordinates(line))]
    if not true:
        return []
    merged = shapely.line_merge(shapely.multilinestrings([shapely.LineString(c) for c in true]), directed=True)
    return [p for p in shapely.get_parts(merged) if p.length > 0]


def shores_of_areas(areas: NDArray[np.object_], edge: Box) -> list[Any]:
    """Give the shores of ocean polygons: their rings, without ±180°, the poles and the data's own edge.

    Args:
        areas: object[a] of polygons in degrees.
        edge: the box beyond which the data says nothing; what runs along its sides is no shore.
    """
    out = []
    for ring in shapely.get_rings(shapely.get_parts(areas)):
        c = shapely.get_coordinates(ring)
        on = np.abs(np.hstack([c, c]) - np.array(edge)) < _EDGE
        out.extend(_runs(c, ~(on[:-1] & on[1:]).any(axis=1)))
    return shores(np.array([shapely.LineString(c) for c in out], object))


def _plain(way: Any) -> Coords:
    """Give the vertices of a way without repeats."""
    c = np.asarray(shapely.get_coordinates(way), np.float64)
    keep = np.ones(len(c), np.bool_)
    keep[1:] = (c[1:] != c[:-1]).any(axis=1)
    return c[keep]


def _off_the_edge(c: Coords) -> list[Coords]:
    """Cut a line into the runs that do not lie along ±180° or a limit of latitude."""
    east_west = np.abs(np.abs(c[:, 0]) - 180.0) < _EDGE
    limit = np.abs(c[:, 1]) > MAX_LATITUDE - _EDGE
    on = (east_west[:-1] & east_west[1:] & (c[:-1, 0] * c[1:, 0] > 0)) | (limit[:-1] & limit[1:])
    return _runs(c, ~on)


def _runs(c: Coords, keep: NDArray[np.bool_]) -> list[Coords]:
    """Cut a line into the runs of edges that are kept."""
    if keep.all():
        return [c]
    starts = np.flatnonzero(keep & ~np.concatenate([[False], keep[:-1]]))
    ends = np.flatnonzero(keep & ~np.concatenate([keep[1:], [False]])) + 2
    return [c[a:b] for a, b in zip(starts, ends, strict=True)]


def _area_box(coords: list[Coords], data: Box) -> Box:
    everything = np.concatenate(coords)
    west, south = np.minimum(everything.min(axis=0), data[:2])
    east, north = np.maximum(everything.max(axis=0), data[2:])
    margin = max(MARGIN, 0.5 * max(east - west, north - south))
    return (
        max(-180.0, west - margin),
        max(-MAX_LATITUDE, south - margin),
        min(180.0, east + margin),
        min(MAX_LATITUDE, north + margin),
    )


def _loose_ends(coords: list[Coords], data: Box, box: Box) -> tuple[list[Coords], int]:
    """Find where the coast breaks off, and supply what is missing.

    An end is joined to the nearest beginning if that is nearer than the data's edge, on the course of either
    and there and back; else it is carried on to the border of the box.

    Returns:
        The lines supplied, land on their left, and how many of them (the last) reach to the border.
    """
    degree = Counter(tuple(c[i]) for c in coords for i in (0, -1))
    ends = [c for c in coords if degree[tuple(c[-1])] == 1]
    starts = [c[::-1] for c in coords if degree[tuple(c[0])] == 1]  # turned, so that they too end loose
    squeeze = np.array([np.cos(np.radians((data[1] + data[3]) / 2)), 1.0])
    links: list[Coords] = []
    open_ends, open_starts = set(range(len(ends))), set(range(len(starts)))
    if ends and starts:
        here = np.array([c[-1] for c in ends]) * squeeze
        there = np.array([c[-1] for c in starts]) * squeeze
        gap = np.hypot(*(here[:, None] - there[None]).transpose(2, 0, 1))
        to_edge = np.array([_to_edge(c, data, squeeze) for c in ends])
        back_to_edge = np.array([_to_edge(c, data, squeeze) for c in starts])
        near = np.argwhere((gap < 2 * np.minimum(to_edge[:, None], back_to_edge[None])) | (gap < _CRACK))
        for i, j in near[np.argsort(gap[tuple(near.T)], kind="stable")]:
            if i in open_ends and j in open_starts:
                open_ends.discard(int(i))
                open_starts.discard(int(j))
                links.append(np.stack([ends[i][-1], starts[j][-1]]))
    tree = shapely.STRtree([shapely.LineString(c) for c in coords])
    out = [_carried_on(ends[i], box, squeeze, tree) for i in sorted(open_ends)]
    out += [_carried_on(starts[j], box, squeeze, tree)[::-1] for j in sorted(open_starts)]
    return links + out, len(out)


def _course(way: Coords, box: Box, squeeze: Coords) -> float:
    """Measure the direction, in radians, of a way's last stretch: a tenth of the box long, so as to be steady."""
    reach = 0.1 * np.hypot(*((np.array(box[2:]) - np.array(box[:2])) * squeeze))
    distance = np.hypot(*((way - way[-1]) * squeeze).T)
    far = np.flatnonzero(distance > reach)
    east, north = (way[-1] - (way[far[-1]] if len(far) else way[0])) * squeeze
    return float(np.arctan2(north, east))


def _to_edge(way: Coords, data: Box, squeeze: Coords) -> float:
    """Measure how far a way would have to go on from its end to leave the data; 0 where it has."""
    end = way[-1]
    if (end <= data[:2]).any() or (end >= data[2:]).any():
        return 0.0
    angle = _course(way, data, squeeze)
    ahead = np.array([np.cos(angle), np.sin(angle)]) / squeeze
    return float(np.hypot(*((_border_point(end, ahead, data) - end) * squeeze)))


def _carried_on(way: Coords, box: Box, squeeze: Coords, tree: Any) -> Coords:
    """Carry a way on, straight, from its end to the border of the box.

    It keeps to the way's own course unless that would run into other coast, and then turns as little as it
    must.
    """
    end, course = way[-1], _course(way, box, squeeze)
    best: tuple[int, Coords] | None = None
    for turn in (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6):
        angle = course + turn * np.pi / 8
        ahead = np.array([np.cos(angle), np.sin(angle)]) / squeeze
        ray = np.stack([end, _border_point(end, ahead, box)])
        # Begin a hair away, so that the way itself is not a crossing.
        free = shapely.LineString([ray[0] + 1e-9 * (ray[1] - ray[0]), ray[1]])
        crossings = len(tree.query(free, predicate="intersects"))
        if best is None or crossings < best[0]:
            best = crossings, ray
        if crossings == 0:
            break
    assert best is not None
    return best[1]


def _border_point(point: Coords, ahead: Coords, box: Box) -> Coords:
    """Find where a ray from a point inside the box leaves it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        low = (np.array(box[:2]) - point) / ahead
        high = (np.array(box[2:]) - point) / ahead
    far = np.where(ahead > 0, high, np.where(ahead < 0, low, np.inf))
    axis = int(np.argmin(far))
    out = point + max(0.0, float(far[axis])) * ahead
    out[axis] = box[2 + axis] if ahead[axis] > 0 else box[axis]
    return np.asarray(np.clip(out, box[:2], box[2:]))


def _faces(lines: list[Any]) -> NDArray[np.object_]:
    """Cut the plane by lines; give the bounded faces, outer rings counter-clockwise."""
    noded = shapely.node(shapely.multilinestrings(lines))
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))
    return np.asarray(shapely.orient_polygons(faces, exterior_cw=False), object)


def _edges(faces: NDArray[np.object_]) -> tuple[Coords, NDArray[np.int64]]:
    """Give all directed edges of the faces, float64[e, 4], and the face left of each."""
    rings, owner = shapely.get_rings(faces, return_index=True)
    coords, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    return np.hstack([coords[:-1], coords[1:]])[same], owner[ring[:-1][same]]


def _segments(coords: list[Coords]) -> Coords:
    if not coords:
        return np.zeros((0, 4))
    return np.concatenate([np.hstack([c[:-1], c[1:]]) for c in coords])


def _keys(edges: Coords) -> NDArray[np.uint64]:
    """Make one number of each directed edge, equal where all four coordinates are, to the last bit.

    The mixing is a polynomial over the bits with the odd constant of splitmix64 (Steele and others, 2014).
    """
    bits = np.ascontiguousarray(edges + 0.0).view(np.uint64)  # plus 0: no negative zero
    key = np.zeros(len(bits), np.uint64)
    for column in bits.T:
        key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    return key


def _votes(faces: NDArray[np.object_], coords: list[Coords], weight: float) -> NDArray[np.float64]:
    """Sum for each face the length of coast that calls it land, less the length that calls it sea."""
    edges, face = _edges(faces)
    coast = _segments(coords)
    length = np.hypot(edges[:, 2] - edges[:, 0], edges[:, 3] - edges[:, 1]) * weight
    keys = _keys(edges)
    land = np.isin(keys, _keys(coast))
    sea = np.isin(keys, _keys(coast[:, [2, 3, 0, 1]]))
    say = np.where(land & ~sea, length, 0.0) - np.where(sea & ~land, length, 0.0)
    return np.bincount(face, say, len(faces)).astype(np.float64)


def _wrongly_sea(faces: NDArray[np.object_], is_sea: NDArray[np.bool_], coords: list[Coords]) -> NDArray[np.bool_]:
    """Find faces that call themselves sea although all coast around them has sea on its other side.

    An island that was drawn the wrong way round is one: a coast is never sea on both sides.
    """
    edges, face = _edges(faces)
    coast = np.isin(_keys(edges), _keys(np.concatenate([_segments(coords), _segments(coords)[:, [2, 3, 0, 1]]])))
    edges, face = edges[coast], face[coast]
    order = np.argsort(_keys(edges))
    back = _keys(edges[:, [2, 3, 0, 1]])
    at = np.minimum(np.searchsorted(_keys(edges)[order], back), len(order) - 1)
    found = _keys(edges)[order][at] == back
    neighbour = face[order][at]
    both = found & is_sea[face] & is_sea[neighbour]
    length = np.hypot(edges[:, 2] - edges[:, 0], edges[:, 3] - edges[:, 1])
    inside_out = np.bincount(face, length * both, len(faces)) > 0.5 * np.bincount(face, length, len(faces))
    # Of two that accuse each other the smaller gives way.
    size = shapely.area(faces)
    largest = np.zeros(len(faces))
    np.maximum.at(largest, face[both], size[neighbour[both]])
    return inside_out & (size < largest)
