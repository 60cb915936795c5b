"""The part of the data that is worth a picture, when nobody says which."""

from collections.abc import Mapping

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from mapstyle.errors import ExtentError
from mapstyle.frame import WORLD, Grid
from mapstyle.layers import LayerKind
from mapstyle.sources.atlas import Atlas, FeatureTable, Shape

Bounds = tuple[float, float, float, float]

AWAY: frozenset[LayerKind] = frozenset({LayerKind.BORDER, LayerKind.OCEAN})
"""Kinds that say nothing of where the data is good: borders run out of an extract, the sea has no end."""
CORE = (0.05, 0.95)
"""Shares of all vertices between which the core lies, along each axis."""
CELLS = 40
"""Cells along the longer side of the core."""
BEYOND = 5.0
"""How far beyond the core, in sides of it, anything is looked at; a stray is further out."""
DENSE = 0.3
"""A cell is dense that holds this share of what a usual cell of the core holds (the median of those in use)."""
THIN = 2
"""Half the width, in cells, of what is thin."""
PATCH = 0.03
"""Share of all vertices that a patch of dense cells must hold to count: smaller ones are strays."""
NEARLY_ALL = 0.55
"""Share of the whole area from which the whole is shown after all."""
FEW = 300
"""Vertices below which there is no telling dense from thin, and all is shown."""
ROOM = 0.01
"""Margin left about the dense part, as a share of its longer side."""


def dense_bounds(atlas: Atlas) -> Bounds:
    """Find the dense part of the data: west, south, east, north in degrees.

    An extract holds roads, rivers and borders that run out of it for kilometres. Vertices are counted on a
    lattice whose cells go by the size of the core; the box of the dense patches is the answer, or all of the
    data where that is hardly less.

    Raises:
        ExtentError: there are no features.
    """
    points = _vertices(atlas.tables)
    if not len(points):
        points = _vertices(atlas.tables, leave_out=frozenset())
    if not len(points):
        raise ExtentError("the data holds no features, so there is no place to show; pass --extent W,S,E,N")
    # Web Mercator, so that a cell is about square on the ground; north up here.
    plane = Grid("EPSG:3857", 1.0, -WORLD / 2, WORLD / 2, 0.0, turn=1)
    placed = plane.project(points)
    whole = placed.min(axis=0), placed.max(axis=0)
    box = _dense_box(placed) if len(points) >= FEW else whole
    if _area(*box) >= NEARLY_ALL * _area(*whole):
        return atlas.bounds
    low, high = box
    room = ROOM * (high - low).max()
    corners = plane.unproject(np.stack([np.maximum(low - room, whole[0]), np.minimum(high + room, whole[1])]))
    (west, north), (east, south) = corners.tolist()
    return west, south, east, north


def _vertices(
    tables: Mapping[tuple[LayerKind, Shape], FeatureTable], leave_out: frozenset[LayerKind] = AWAY
) -> NDArray[np.float64]:
    found = [shapely.get_coordinates(table.geometry) for (kind, _), table in tables.items() if kind not in leave_out]
    return np.concatenate(found) if found else np.zeros((0, 2))


def _area(low: NDArray[np.float64], high: NDArray[np.float64]) -> float:
    return float(np.prod(high - low))


def _dense_box(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the lower and upper corner of the dense part of points in a plane: float64[2] each."""
    start, end = np.quantile(points, CORE, axis=0)
    side = float((end - start).max())
    if side <= 0:
        return points.min(axis=0), points.max(axis=0)
    inside = ((points >= start - BEYOND * side) & (points <= end + BEYOND * side)).all(axis=1)
    points = points[inside]
    cell = side / CELLS
    index = np.floor((points - points.min(axis=0)) / cell).astype(np.int64)
    columns, rows = index.max(axis=0) + 1
    flat = index[:, 1] * columns + index[:, 0]
    count = np.bincount(flat, minlength=rows * columns).reshape(rows, columns).astype(np.float64)
    density = cv2.blur(count, (3, 3), borderType=cv2.BORDER_CONSTANT)
    first, last = np.floor((np.stack([start, end]) - points.min(axis=0)) / cell).astype(np.int64)
    core = density[first[1] : last[1] + 1, first[0] : last[0] + 1]
    dense = (density >= DENSE * np.median(core[core > 0])).astype(np.uint8)
    dense = _solid(dense)
    number, patches = cv2.connectedComponents(dense, connectivity=8)
    held = np.bincount(patches.ravel(), weights=count.ravel(), minlength=number)
    held[0] = 0
    kept = dense.astype(bool) & (held >= min(PATCH * count.sum(), held.max()))[patches]
    in_kept = points[kept.ravel()[flat]]
    return in_kept.min(axis=0), in_kept.max(axis=0)


def _solid(dense: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Close the gaps between dense cells, then leave out what is thin: a road that runs away is no place."""
    kernel = np.ones((2 * THIN + 1, 2 * THIN + 1), np.uint8)
    rim = 2 * THIN + 1
    wide = cv2.copyMakeBorder(dense, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, kernel)
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel)
    kept = opened if opened.any() else closed
    return np.ascontiguousarray(kept[rim:-rim, rim:-rim])
