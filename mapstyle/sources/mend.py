"""Mend shapes: make them finite, flat, valid, in degrees and within the world, or leave them out."""

from collections import Counter
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstyle.errors import SourceError
from mapstyle.frame import MAX_LATITUDE
from mapstyle.sources.atlas import Shape

Shapes = NDArray[np.object_]

_T = shapely.GeometryType
_LINES = (_T.LINESTRING, _T.LINEARRING, _T.MULTILINESTRING)
_AREAS = (_T.POLYGON, _T.MULTIPOLYGON)
_POINTS = (_T.POINT, _T.MULTIPOINT)


def clean(shapes: Shapes, crs: str | None, shown: str) -> tuple[Shapes, Counter[str]]:
    """Bring shapes to valid two-dimensional ones in degrees; what cannot be mended becomes None.

    Args:
        shapes: object[f] of Shapely geometries or None, as a file has them.
        crs: the system they are in.
        shown: what the file is called in messages.

    Returns:
        object[f] and how many met each fate.
    """
    fates: Counter[str] = Counter()
    shapes = shapely.force_2d(shapes)
    absent = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    if absent.any():
        shapes[absent] = None
        fates["without a shape were left out"] = int(absent.sum())
    _drop(shapes, _not_finite(shapes), "with coordinates that are no numbers were left out", fates)
    if not absent.all() and shapely.is_missing(shapes).all():
        raise SourceError(f"{shown} holds no shape with finite coordinates")
    if shapely.is_missing(shapes).all():
        return shapes, fates
    shapes = _to_degrees(shapes, crs, shown)
    _drop(shapes, _not_finite(shapes), "that cannot be brought to degrees were left out", fates)
    box = shapely.bounds(shapes)
    with np.errstate(invalid="ignore"):
        outside = (np.abs(box[:, [0, 2]]) > 540).any(axis=1) | (np.abs(box[:, [1, 3]]) > 90 + 1e-6).any(axis=1)
    _drop(shapes, outside, "outside the world were left out", fates)
    if shapely.is_missing(shapes).all():
        raise SourceError(f"{shown} lies outside the world; its coordinate reference system is not what it says")
    _make_valid(shapes, fates)
    _fit_into_world(shapes, box)
    return shapes, fates


def _drop(shapes: Shapes, which: NDArray[np.bool_], fate: str, fates: Counter[str]) -> None:
    which = which & ~shapely.is_missing(shapes)
    shapes[which] = None
    if count := int(which.sum()):
        fates[fate] += count


def _not_finite(shapes: Shapes) -> NDArray[np.bool_]:
    coords, owner = shapely.get_coordinates(shapes, return_index=True)
    bad = np.zeros(len(shapes), np.bool_)
    bad[owner[~np.isfinite(coords).all(axis=1)]] = True
    return bad


def _to_degrees(shapes: Shapes, crs: str | None, shown: str) -> Shapes:
    from pyproj import CRS, Transformer
    from pyproj.exceptions import CRSError

    if crs is None:
        raise SourceError(
            f"{shown} does not say which coordinate reference system it is in; add its .prj file, or write "
            "it anew with one, such as: ogr2ogr -a_srs EPSG:25832 new.gpkg " + shown
        )
    if crs in ("EPSG:4326", "OGC:CRS84"):
        return shapes
    try:
        system = CRS.from_user_input(crs)
        turn = Transformer.from_crs(system, "EPSG:4326", always_xy=True)
    except CRSError:
        raise SourceError(f"{shown} is in a coordinate reference system that is not known: {crs[:80]}") from None

    def degrees(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(turn.transform(xy[:, 0], xy[:, 1]), axis=1)

    return shapely.transform(shapes, degrees)


def _make_valid(shapes: Shapes, fates: Counter[str]) -> None:
    broken = np.flatnonzero(~shapely.is_missing(shapes) & ~shapely.is_valid(shapes))
    if not len(broken):
        return
    kinds = shapely.get_type_id(shapes[broken])
    mended = shapely.make_valid(shapes[broken])
    areal = np.isin(kinds, _AREAS)
    mended[areal] = areas(mended[areal])
    shapes[broken] = mended
    lost = int((shapely.is_missing(mended) | shapely.is_empty(mended)).sum())
    if lost:
        fates["that enclose nothing were left out"] += lost
    if len(broken) > lost:
        fates["with crossing or touching borders were mended"] += len(broken) - lost


def _fit_into_world(shapes: Shapes, box: NDArray[np.float64]) -> None:
    """Clip to the latitudes of Web Mercator; bring what lies past ±180° round to the other side."""
    with np.errstate(invalid="ignore"):
        high = np.any(np.abs(box[:, [1, 3]]) > MAX_LATITUDE, axis=1)
        wide = np.any(np.abs(box[:, [0, 2]]) > 180.0, axis=1)
    for i in np.flatnonzero((high | wide) & ~shapely.is_missing(shapes)):
        pieces = []
        for turn in (-360.0, 0.0, 360.0) if wide[i] else (0.0,):
            world = shapely.box(-180 + turn, -MAX_LATITUDE, 180 + turn, MAX_LATITUDE)
            piece = shapely.intersection(shapes[i], world)
            if not piece.is_empty and (turn == 0 or piece.length > 0 or piece.geom_type.endswith("Point")):
                pieces.append(shapely.transform(piece, lambda xy, t=turn: xy - [t, 0.0]))
        kept = shapely.union_all(pieces) if len(pieces) > 1 else (pieces[0] if pieces else None)
        shapes[i] = kept


def as_shape(shapes: Shapes, shape: Shape) -> Shapes:
    """Turn shapes into areas, lines or points; None where that makes no sense."""
    return {Shape.AREA: areas, Shape.LINE: lines, Shape.POINT: points}[shape](shapes)


def areas(shapes: Shapes) -> Shapes:
    """Keep the polygonal part of each shape; closed lines become areas."""
    out = _copy_of(shapes)
    kinds = shapely.get_type_id(out)
    ring = np.isin(kinds, _LINES)
    out[ring] = [_area_of_ring(s) for s in out[ring]]
    mixed = kinds == _T.GEOMETRYCOLLECTION
    out[mixed] = [_part(s, _AREAS) for s in out[mixed]]
    out[np.isin(kinds, _POINTS)] = None
    out[shapely.is_missing(out) | shapely.is_empty(out) | ~(shapely.area(out) > 0)] = None
    return out


def lines(shapes: Shapes) -> Shapes:
    """Keep the linear part of each shape; areas become their borders."""
    out = _copy_of(shapes)
    kinds = shapely.get_type_id(out)
    area = np.isin(kinds, _AREAS)
    out[area] = shapely.boundary(out[area])
    mixed = kinds == _T.GEOMETRYCOLLECTION
    out[mixed] = [_part(s, _LINES) for s in out[mixed]]
    out[np.isin(kinds, _POINTS)] = None
    out[shapely.is_missing(out) | ~(shapely.length(out) > 0)] = None
    return out


def points(shapes: Shapes) -> Shapes:
    """Give a point of each shape: of areas one inside, of lines the middle."""
    out = _copy_of(shapes)
    kinds = shapely.get_type_id(out)
    linear = kinds == _T.LINESTRING
    out[linear] = shapely.line_interpolate_point(out[linear], 0.5, normalized=True)
    other = ~linear & (kinds != _T.POINT)
    out[other] = shapely.point_on_surface(out[other])
    out[shapely.is_missing(out) | shapely.is_empty(out)] = None
    return out


def _copy_of(shapes: Shapes) -> Shapes:
    return np.array(shapes, object, copy=True).reshape(len(shapes))


def _area_of_ring(line: Any) -> Any:
    if line.geom_type == "MultiLineString":
        line = shapely.line_merge(line)
    if line.geom_type not in ("LineString", "LinearRing") or not line.is_closed or len(line.coords) < 4:
        return None
    return _part(shapely.make_valid(shapely.Polygon(line.coords)), _AREAS)


def _part(shape: Any, kinds: tuple[Any, ...]) -> Any:
    """Join the parts of a collection that are of the given types; None where there are none."""
    if shape is None:
        return None
    parts = []
    stack = [shape]
    while stack:
        one = stack.pop()
        if one.geom_type == "GeometryCollection":
            stack.extend(one.geoms)
        elif shapely.get_type_id(one) in kinds:
            parts.append(one)
    return shapely.union_all(parts) if parts else None
