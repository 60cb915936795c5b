"""Small atlases made by hand, in pixels of a grid, for tests."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely

from mapstyle.fingerprint import fingerprint, stable_id
from mapstyle.frame import Frame, Grid
from mapstyle.layers import LayerKind
from mapstyle.sources.atlas import Atlas, FeatureTable, Shape

GRID = Grid.web_mercator(16)
AT = np.array([8_704_000.0, 5_632_000.0])
"""Logical pixels of the corner that shapes are given from."""


def degrees(shape: Any, grid: Grid = GRID, at: np.ndarray = AT) -> Any:
    """Bring a shape in pixels from ``at`` to degrees."""
    return shapely.transform(shape, lambda c: grid.unproject(c + at))


def table(kind: LayerKind, shape: Shape, geometry: Sequence[Any], **more: Any) -> FeatureTable:
    """Make a table of shapes in degrees; ids follow from the shapes, so that order does not matter."""
    n = len(geometry)
    shapes = np.empty(n, object)
    shapes[:] = list(geometry)
    values: dict[str, Any] = {
        "ids": np.array([stable_id(f"{kind}{g.wkt}") for g in geometry], np.uint64),
        "rank": np.zeros(n, np.int16),
        "layer": np.zeros(n, np.int8),
        "bridge": np.zeros(n, np.bool_),
        "tunnel": np.zeros(n, np.bool_),
        "width": np.full(n, np.nan, np.float32),
        "height": np.full(n, np.nan, np.float32),
        "base": np.zeros(n, np.float32),
        "detail": np.full(n, "", object),
        "names": np.array([{} for _ in range(n)], object),
    }
    for key, value in more.items():
        values[key] = np.asarray(value, values[key].dtype)
    return FeatureTable(kind, shape, shapes, **values)


def named(*names: str) -> list[dict[str, str]]:
    """Give names in the local language; an empty text is no name."""
    return [{"": n} if n else {} for n in names]


def atlas(*tables: FeatureTable, bounds: tuple[float, float, float, float] = (0, 0, 1, 1)) -> Atlas:
    """Make an atlas whose digest follows from its shapes."""
    digest = fingerprint(*(g.wkt for t in tables for g in t.geometry), *(list(t.names) for t in tables))
    return Atlas({(t.kind, t.shape): t for t in tables}, digest, bounds, "")


def frame(left: float, top: float, width: int, height: int, at: np.ndarray = AT, grid: Grid = GRID) -> Frame:
    """Give a frame that starts so many pixels from ``at``."""
    return Frame(grid, int(at[0] + left), int(at[1] + top), width, height)


def everything(grid: Grid = GRID, at: np.ndarray = AT, size: int = 20_000) -> Frame:
    """Give a frame that holds all of a small atlas."""
    return frame(-size, -size, 2 * size, 2 * size, at, grid)
