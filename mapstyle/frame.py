"""Grids and frames: where pixels are, in whole numbers counted from a grid's origin."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

EARTH_RADIUS = 6_378_137.0
"""Radius of the sphere of Web Mercator, metres (EPSG:3857, WGS 84's semi-major axis)."""
WORLD = 2 * math.pi * EARTH_RADIUS
"""Length of the equator in Web Mercator, metres."""
MAX_LATITUDE = 85.0511287798066
"""Latitude at which the Web Mercator world is square: ``atan(sinh(pi))`` in degrees."""
TILE = 256
"""Logical pixels on the side of a web tile."""

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Endless north-up lattice of square pixels.

    Attributes:
        crs: authority code, such as ``EPSG:3857``; its axes are taken as east, north, in metres.
        resolution: CRS units on the side of one *logical* pixel.
        origin_x: CRS easting of the upper left corner of pixel (0, 0).
        origin_y: CRS northing of that corner.
        level: the zoom that tables go by (need not be whole on a metre grid).
        pixel_ratio: real pixels on the side of a logical pixel; 2 is ``@2x``.
        turn: logical columns once round the world, or 0 where the grid does not close on itself.
    """

    crs: str
    resolution: float
    origin_x: float
    origin_y: float
    level: float
    pixel_ratio: int = 1
    turn: int = 0

    @classmethod
    def web_mercator(cls, level: int, pixel_ratio: int = 1) -> "Grid":
        """Make the grid of a Web Mercator level: 256 logical pixels to a tile."""
        turn = TILE << level
        return cls("EPSG:3857", WORLD / turn, -WORLD / 2, WORLD / 2, float(level), pixel_ratio, turn)

    @classmethod
    def metric(cls, crs: str, resolution: float, latitude: float, pixel_ratio: int = 1) -> "Grid":
        """Make a metre grid whose origin is the CRS's own.

        The level is ``log2(156543.034 cos(latitude) / resolution)``: that of the Web Mercator map with
        the same ground resolution at ``latitude``, which is the *data's* centre, in degrees.
        """
        level = math.log2(WORLD / TILE * math.cos(math.radians(latitude)) / resolution)
        return cls(crs, resolution, 0.0, 0.0, level, pixel_ratio, 0)

    @property
    def is_web_mercator(self) -> bool:
        """Whether this is a level of the web's own grid."""
        return self.turn > 0

    def at_ratio(self, pixel_ratio: int) -> "Grid":
        """Give the same lattice with another pixel ratio."""
        return replace(self, pixel_ratio=pixel_ratio)

    def project(self, lonlat: Points) -> Points:
        """Bring degrees to logical pixels from the origin, x right and y down.

        Args:
            lonlat: float64[n, 2], longitude and latitude, WGS 84; latitudes beyond the projection's
                limit are clamped to it.

        Returns:
            float64[n, 2].
        """
        out = np.empty_like(lonlat, dtype=np.float64)
        if self.is_web_mercator:
            # Spherical Mercator, Snyder, Map Projections (1987), eq. 7-1 and 7-2.
            latitude = np.radians(np.clip(lonlat[:, 1], -MAX_LATITUDE, MAX_LATITUDE))
            out[:, 0] = (lonlat[:, 0] + 180.0) / 360.0 * self.turn
            out[:, 1] = (1.0 - np.arcsinh(np.tan(latitude)) / math.pi) / 2.0 * self.turn
            return out
        x, y = _transformer("EPSG:4326", self.crs).transform(lonlat[:, 0], lonlat[:, 1])
        out[:, 0] = (np.asarray(x) - self.origin_x) / self.resolution
        out[:, 1] = (self.origin_y - np.asarray(y)) / self.resolution
        return out

    def unproject(self, pixels: Points) -> Points:
        """Bring logical pixels back to degrees: float64[n, 2] to float64[n, 2]."""
        out = np.empty_like(pixels, dtype=np.float64)
        if self.is_web_mercator:
            out[:, 0] = pixels[:, 0] / self.turn * 360.0 - 180.0
            out[:, 1] = np.degrees(np.arctan(np.sinh(math.pi * (1.0 - 2.0 * pixels[:, 1] / self.turn))))
            return out
        x = self.origin_x + pixels[:, 0] * self.resolution
        y = self.origin_y - pixels[:, 1] * self.resolution
        lon, lat = _transformer(self.crs, "EPSG:4326").transform(x, y)
        out[:, 0], out[:, 1] = lon, lat
        return out

    def pixels_per_metre(self, latitude: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Tell how many logical pixels one metre on the ground takes at a latitude, in degrees."""
        latitude = np.asarray(latitude, dtype=np.float64)
        if self.is_web_mercator:
            return 1.0 / (self.resolution * np.cos(np.radians(np.clip(latitude, -MAX_LATITUDE, MAX_LATITUDE))))
        return np.full_like(latitude, 1.0 / self.resolution)


@dataclass(frozen=True)
class Frame:
    """Rectangle of whole pixels on a grid.

    ``column`` and ``row`` count *real* pixels from the grid's origin and may be negative; ``width`` and
    ``height`` are real pixels too. Two frames of one grid agree exactly on where each pixel is.
    """

    grid: Grid
    column: int
    row: int
    width: int
    height: int

    @classmethod
    def tile(cls, z: int, x: int, y: int, size: int = TILE, pixel_ratio: int = 1) -> "Frame":
        """Make the frame of a web tile; ``size`` 512 has the resolution of level ``z + 1``."""
        real = size * pixel_ratio
        grid = Grid.web_mercator(z + (size // TILE).bit_length() - 1, pixel_ratio)
        return cls(grid, x * real, y * real, real, real)

    @classmethod
    def covering(cls, grid: Grid, left: float, top: float, right: float, bottom: float) -> "Frame":
        """Make the smallest frame that covers a box given in logical pixels."""
        s = grid.pixel_ratio
        column, row = math.floor(left * s + 1e-6), math.floor(top * s + 1e-6)
        end_column, end_row = math.ceil(right * s - 1e-6), math.ceil(bottom * s - 1e-6)
        return cls(grid, column, row, max(1, end_column - column), max(1, end_row - row))

    @property
    def end_column(self) -> int:
        """First column right of the frame."""
        return self.column + self.width

    @property
    def end_row(self) -> int:
        """First row below the frame."""
        return self.row + self.height

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of an array over this frame: (rows, columns)."""
        return self.height, self.width

    @property
    def logical_box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in logical pixels."""
        s = self.grid.pixel_ratio
        return self.column / s, self.row / s, self.end_column / s, self.end_row / s

    def pad(self, margin: int) -> "Frame":
        """Widen by ``margin`` *logical* pixels on each side."""
        m = margin * self.grid.pixel_ratio
        return Frame(self.grid, self.column - m, self.row - m, self.width + 2 * m, self.height + 2 * m)

    def align(self, step: int) -> "Frame":
        """Widen outwards until every side lies on a multiple of ``step`` logical pixels from the origin."""
        s = step * self.grid.pixel_ratio
        column, row = self.column // s * s, self.row // s * s
        end_column, end_row = -(-self.end_column // s) * s, -(-self.end_row // s) * s
        return Frame(self.grid, column, row, end_column - column, end_row - row)

    def cells(self, size: int) -> Iterator["Frame"]:
        """Give the fixed squares of ``size`` logical pixels, anchored to the grid, that touch this frame."""
        s = size * self.grid.pixel_ratio
        whole = self.align(size)
        for row in range(whole.row, whole.end_row, s):
            for column in range(whole.column, whole.end_column, s):
                yield Frame(self.grid, column, row, s, s)

    def pieces(self, width: int, height: int) -> Iterator["Frame"]:
        """Cut this frame into pieces along multiples of ``width`` and ``height`` real pixels of the grid."""
        for row in _cuts(self.row, self.end_row, height):
            for column in _cuts(self.column, self.end_column, width):
                yield Frame(self.grid, column[0], row[0], column[1] - column[0], row[1] - row[0])

    def intersection(self, other: "Frame") -> "Frame | None":
        """Give the frame both share, or None."""
        column, row = max(self.column, other.column), max(self.row, other.row)
        end_column, end_row = min(self.end_column, other.end_column), min(self.end_row, other.end_row)
        if end_column <= column or end_row <= row:
            return None
        return Frame(self.grid, column, row, end_column - column, end_row - row)

    def contains(self, other: "Frame") -> bool:
        """Tell whether ``other`` lies wholly inside."""
        return self.intersection(other) == other

    def slices(self, within: "Frame") -> tuple[slice, slice]:
        """Index an array over ``within`` so that it gives this frame: ``array[frame.slices(within)]``."""
        assert within.contains(self), "a frame can only be cut from one that contains it"
        top, left = self.row - within.row, self.column - within.column
        return slice(top, top + self.height), slice(left, left + self.width)

    def crs_bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in the grid's CRS."""
        g, (left, top, right, bottom) = self.grid, self.logical_box
        return (
            g.origin_x + left * g.resolution,
            g.origin_y - bottom * g.resolution,
            g.origin_x + right * g.resolution,
            g.origin_y - top * g.resolution,
        )

    def lonlat_bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees, of the frame's densified outline; east may exceed 180."""
        left, top, right, bottom = self.logical_box
        along = np.linspace(0.0, 1.0, 33)
        x = left + (right - left) * along
        y = top + (bottom - top) * along
        ring = np.concatenate(
            [
                np.column_stack([x, np.full_like(x, top)]),
                np.column_stack([x, np.full_like(x, bottom)]),
                np.column_stack([np.full_like(y, left), y]),
                np.column_stack([np.full_like(y, right), y]),
            ]
        )
        degrees = self.grid.unproject(ring)
        west, south = degrees.min(axis=0)
        east, north = degrees.max(axis=0)
        return float(west), float(south), float(east), float(north)

    def world_pieces(self) -> Iterator[tuple["Frame", "Frame"]]:
        """Split at the antimeridian.

        Gives pairs (part of this frame, the same ground at its address inside the one true world), so
        that a place seen past 180° is painted from the very address at which everybody else paints it.
        """
        turn = self.grid.turn * self.grid.pixel_ratio
        if not turn:
            yield self, self
            return
        for start, end in _cuts(self.column, self.end_column, turn):
            part = Frame(self.grid, start, self.row, end - start, self.height)
            yield part, replace(part, column=start % turn)


def cover_tiles(bounds: tuple[float, float, float, float], level: int) -> tuple[int, int, int, int]:
    """Cover a box with the web's tiles of a level.

    Args:
        bounds: west, south, east, north in degrees; a box across the antimeridian has an east beyond 180, or west of
            its west.
        level: 0 or more.

    Returns:
        First column, within the world; first row; how many columns, those beyond the world's right edge going on at its
        left; how many rows. At least one tile.
    """
    world = 1 << level
    west, south, east, north = bounds
    left, right = (west + 180) / 360 * world, (east + 180) / 360 * world
    right += world if right < left else 0
    top, bottom = (_down(latitude) * world for latitude in (north, south))
    # A box that ends on a tile's edge does not take the next one, whatever the last bit says.
    first, upper = math.floor(left + 1e-9), min(max(math.floor(top + 1e-9), 0), world - 1)
    columns = min(max(math.ceil(right - 1e-9) - first, 1), world)
    lower = min(max(math.ceil(bottom - 1e-9), upper + 1), world)
    return first % world, upper, columns, lower - upper


def _down(latitude: float) -> float:
    """Give how far down the square world a latitude is, 0 to 1 (Snyder 1987, eq. 7-2)."""
    latitude = min(max(latitude, -MAX_LATITUDE), MAX_LATITUDE)
    return (1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2


def _cuts(start: int, end: int, step: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = min(end, (start // step + 1) * step)
        yield start, stop
        start = stop


@lru_cache(maxsize=32)
def _transformer(source: str, target: str) -> Any:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)
