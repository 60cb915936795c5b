"""The height of the ground: any mixture of elevation rasters, as one smooth field."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.errors import SourceError
from mapstyle.fingerprint import fingerprint
from mapstyle.frame import Frame, Grid
from mapstyle.layers import RasterLayer
from mapstyle.sources import mosaic as mosaics
from mapstyle.sources.mosaic import DEGREE, Mosaic
from mapstyle.sources.raster import Raster, open_rasters
from mapstyle.sources.spline import Taps, b_spline, catmull_rom, on_lattice, scattered
from mapstyle.sources.voids import CHUNK, MARGIN

CELL = 256
"""Logical pixels on the side of the fixed squares on which heights are sampled."""
CELLS_KEPT = 128
FEATHER = 1500.0
"""Metres over which the data's edge fades, about; less where the data or its samples are small."""
MAX_FADE = 4
"""Level of averages from which the feather comes, at most: it must not ask for ground far away."""
HOLE = 3
"""Half the width of the widest hole that is no edge, in samples of the level that gives the feather."""
STEP_METRES = 100_000.0
"""Ground between places that are projected exactly; coordinates are interpolated in between (error < 0.02 sample)."""
MAX_STEP = 16
OUTSIDE = float(1 << 40)
"""Samples away from the data at which a place that cannot be projected is set down."""
SHARPEN = -0.5
"""Added to the level of averages: the spline smooths too, by about half a level."""

Array = NDArray[np.float64]


class Elevation:
    """Heights of the ground from rasters: smooth, without voids, the same whatever frame asks for them.

    Attributes:
        digest: names the content of the rasters and the way they are sampled.
        bounds: west, south, east, north of the rasters in degrees; east may exceed 180.
    """

    def __init__(self, mosaics: Sequence[Mosaic], paths: tuple[Path, ...], cache: Path | None) -> None:
        self._mosaics = tuple(mosaics)
        self._origin = paths, cache
        self.digest = fingerprint([m.digest for m in self._mosaics], CELL, FEATHER, SHARPEN)
        outlines = [unwrapped(m.lonlat_outline()) for m in self._mosaics]
        self.bounds = union([o for o in outlines if len(o)])
        self._sources = lru_cache(maxsize=8)(self._make_sources)
        self._cell = lru_cache(maxsize=CELLS_KEPT)(self._draw_cell)

    @classmethod
    def open(cls, paths: Sequence[Path], cache: Path | None) -> "Elevation":
        """Open elevation rasters.

        Args:
            paths: GeoTIFFs, SRTM ``.hgt``, or zips of these; their order does not matter.
            cache: the user's cache folder, or None to keep nothing.

        Raises:
            SourceError: a file is missing, broken, not elevation, or does not say where it lies.
        """
        found: dict[str, tuple[str, Raster]] = {}
        for path in paths:
            content = fingerprint(path) if path.is_file() else ""
            for raster in open_rasters(path):
                found[fingerprint(content, replace(raster, shown="", address=raster.member))] = (content, raster)
        if not found:
            raise SourceError("there is no elevation raster among the sources")
        # Ordered by content, so that neither names nor the order of the arguments decides anything.
        rasters = [(digest, found[digest][1]) for digest in sorted(found)]
        joined = mosaics.join(rasters, cache)
        joined.sort(key=lambda m: (-m.sample_metres, m.digest))
        return cls(joined, tuple(paths), cache)

    def __reduce__(self) -> Any:
        return Elevation.open, self._origin

    def sample(self, frame: Frame) -> RasterLayer:
        """Give heights at the pixel centres of a frame."""
        values = np.empty(frame.shape, np.float32)
        known = np.empty(frame.shape, np.float32)
        turn = frame.grid.turn * frame.grid.pixel_ratio
        for cell in frame.cells(CELL):
            home = replace(cell, column=cell.column % turn) if turn else cell
            heights, certain = self._cell(home)
            part = cell.intersection(frame)
            assert part is not None
            there, here = part.slices(frame), part.slices(cell)
            values[there], known[there] = heights[here], certain[here]
        return RasterLayer(frame, values, known)

    def _make_sources(self, grid: Grid) -> tuple["_OnGrid", ...]:
        return tuple(_OnGrid.of(mosaic, grid) for mosaic in self._mosaics)

    def _draw_cell(self, cell: Frame) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Sample every mosaic on a cell, the coarsest first, and lay the finer over the coarser."""
        first, *finer = self._sources(cell.grid.at_ratio(1))
        places = first.places(cell)
        heights = first.heights(places)
        covered = first.covered(places)
        for source in finer:
            places = source.places(cell)
            here = source.covered(places)
            if not here.any():
                continue
            # Where the finer is certain it covers. Where neither is (two that meet edge to edge), by their shares.
            sure = _certainty(here)
            odds = np.square(np.square(here / (covered + np.float32(0.05))))
            say = sure + (1 - sure) * (1 - _certainty(covered)) * odds / (odds + 1)
            heights = heights + say * (source.heights(places) - heights)
            covered = np.minimum(covered + here, np.float32(1))
        certain = _certainty(covered)
        heights.flags.writeable = certain.flags.writeable = False
        return heights, certain


@dataclass(frozen=True)
class _Places:
    """Where the pixel centres of a cell lie on a mosaic's lattice, and at which level of averages.

    Attributes:
        shape: rows, columns of the cell.
        upright: whether u, v and level are given by column and by row, else by pixel, flattened.
        u: float64, samples; per column where upright.
        v: float64, samples; per row where upright.
        level: float64, per row where upright.
        near: bool, per pixel, where places are to be believed; None where all are.
    """

    shape: tuple[int, int]
    upright: bool
    u: Array
    v: Array
    level: Array
    near: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class _OnGrid:
    """A mosaic as seen from a grid.

    Attributes:
        mosaic: the samples.
        upright: whether columns of the grid are columns of the mosaic.
        fade: level of the averages whose measured share gives the feather.
        step: logical pixels between places that are projected exactly.
        limits: west, south, east, north in degrees beyond which the projection need not be trusted.
        centre: longitude of the middle of the data.
    """

    mosaic: Mosaic
    upright: bool
    fade: int
    step: int
    limits: tuple[float, float, float, float]
    centre: float

    @classmethod
    def of(cls, mosaic: Mosaic, grid: Grid) -> "_OnGrid":
        """Settle all that the frame must not decide."""
        import pyproj

        west, south, east, north = union([unwrapped(mosaic.lonlat_outline())])
        crs = pyproj.CRS(mosaic.crs)
        same = crs.to_epsg() == 4326 if grid.is_web_mercator else crs == pyproj.CRS(grid.crs)
        pixel = 1 / float(grid.pixels_per_metre((south + north) / 2))
        metres = mosaic.sample_metres
        left, top, right, bottom = mosaic.box
        # The spline falls from 1 to a half over one and a half samples of the level.
        wanted = round(math.log2(FEATHER / 1.5 / metres))
        room = int(math.log2(max(1, min(right - left, bottom - top) / 12)))
        fade = max(min(wanted, room, MAX_FADE), math.ceil(math.log2(pixel / metres)) + 1, 0)
        margin = min((CHUNK + MARGIN) * max(metres, pixel) / DEGREE + 1, 10.0)
        return cls(
            mosaic,
            upright=same and mosaic.is_upright,
            fade=fade,
            step=1 << max(0, min(int(math.log2(MAX_STEP)), math.floor(math.log2(STEP_METRES / pixel)))),
            limits=(west - 2 * margin, south - margin, east + 2 * margin, north + margin),
            centre=(west + east) / 2,
        )

    def places(self, cell: Frame) -> _Places:
        """Find where the pixel centres of a cell lie on the lattice."""
        ratio = cell.grid.pixel_ratio
        if self.upright:
            x = (cell.column + np.arange(cell.width) + 0.5) / ratio
            y = (cell.row + np.arange(cell.height) + 0.5) / ratio
            u, du = self._along(cell.grid, x, 0)
            v, dv = self._along(cell.grid, y, 1)
            return _Places(cell.shape, True, u, v, 0.5 * np.log2(np.abs(dv * du.mean())) + SHARPEN)
        return self._scattered_places(cell)

    def _along(self, grid: Grid, at: Array, axis: int) -> tuple[Array, Array]:
        """Give places along one axis of an upright mosaic, and how many samples a logical pixel spans there."""
        middle = at.mean()
        points = np.zeros((3 * len(at), 2))
        points[:, axis] = np.concatenate([at - 0.5, at, at + 0.5])
        if grid.is_web_mercator:
            degrees = grid.unproject(points)
            if axis == 0:
                degrees[:, 0] += self._round_trip(middle / grid.turn * 360 - 180)
            placed = self.mosaic.locate(degrees)[:, axis]
        else:
            sign = (1, -1)[axis]
            points[:, axis] = (grid.origin_x, grid.origin_y)[axis] + sign * points[:, axis] * grid.resolution
            placed = self.mosaic.locate(points)[:, axis]
        before, here, after = placed.reshape(3, -1)
        return here, after - before

    def _round_trip(self, longitude: float) -> float:
        """Give the turns, in degrees, that bring a longitude nearest to data that does not go round the world."""
        return 0.0 if self.mosaic.turn else 360.0 * round((self.centre - longitude) / 360.0)

    def _scattered_places(self, cell: Frame) -> _Places:
        """Project a coarse table of places exactly and interpolate it; one ring more than the cell, for slopes."""
        grid, step, ratio = cell.grid, self.step, cell.grid.pixel_ratio
        left, top, right, bottom = cell.logical_box
        x = left + step * np.arange(-2, (right - left) // step + 4)
        y = top + step * np.arange(-2, (bottom - top) // step + 4)
        size = len(y), len(x)
        points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        degrees = grid.unproject(points)
        near = self._is_near(degrees)
        placed = np.full((len(points), 2), np.nan)
        if near.any():
            placed[near] = self.mosaic.locate(self._to_crs(degrees[near]))
        near &= np.isfinite(placed).all(axis=1)
        placed[~near] = -OUTSIDE
        u, v = placed[:, 0].reshape(size), placed[:, 1].reshape(size)
        span = np.abs(np.gradient(u, axis=1) * np.gradient(v, axis=0) - np.gradient(u, axis=0) * np.gradient(v, axis=1))
        level = 0.5 * np.log2(np.maximum(span, 1e-12)) - math.log2(step) + SHARPEN
        level = np.maximum(level, 0.0)
        columns = catmull_rom(((cell.column + np.arange(cell.width) + 0.5) / ratio - x[0]) / step)
        rows = catmull_rom(((cell.row + np.arange(cell.height) + 0.5) / ratio - y[0]) / step)
        # Slopes look at the neighbours, so a place whose neighbour could not be projected is not trusted either.
        doubtful = 1.0 - cv2.erode(near.reshape(size).astype(np.float64), np.ones((3, 3)))
        us, vs, levels = (on_lattice(table, rows, columns).ravel() for table in (u, v, level))
        if not doubtful.any():
            return _Places(cell.shape, False, us, vs, levels)
        rows, columns = (Taps(taps.first, np.ones_like(taps.weights)) for taps in (rows, columns))
        trusted = (on_lattice(doubtful, rows, columns) == 0).ravel()
        some = trusted.any()
        us = np.where(trusted, us, us[trusted].min() if some else 0.0)
        levels = np.where(trusted, levels, levels[trusted].min() if some else 0.0)
        return _Places(cell.shape, False, us, np.where(trusted, vs, -OUTSIDE), levels, trusted)

    def _is_near(self, degrees: Array) -> NDArray[np.bool_]:
        west, south, east, north = self.limits
        with np.errstate(invalid="ignore"):
            eastward = (degrees[:, 0] - west) % 360.0
            inside = (eastward <= east - west) | (east - west >= 360)
            return np.asarray(inside & (degrees[:, 1] >= south) & (degrees[:, 1] <= north))

    def _to_crs(self, degrees: Array) -> Array:
        """Project degrees to the mosaic's CRS; longitudes stay on one side of the antimeridian within a cell."""
        to_crs, geographic = projection(self.mosaic.crs)
        x, y = to_crs.transform(degrees[:, 0], degrees[:, 1])
        out = np.column_stack([x, y])
        if geographic:
            pivot = degrees[0, 0]
            pivot += self._round_trip(pivot)
            out[:, 0] -= 360.0 * np.round((out[:, 0] - pivot) / 360.0)
        return out

    def heights(self, places: _Places) -> NDArray[np.float32]:
        """Give heights without voids: float32[rows, columns], metres."""
        level = np.maximum(places.level, 0.0)
        low, high = math.floor(float(level.min())), math.ceil(float(level.max()))
        if low == high:
            return self._spline(places, low, slice(None), share=False).reshape(places.shape)
        out = np.zeros(places.shape if places.upright else places.u.shape, np.float32)
        for k in range(low, high + 1):
            say = np.maximum(0.0, 1.0 - np.abs(level - k)).astype(np.float32)
            used = np.flatnonzero(say)
            if not len(used):
                continue
            part = slice(int(used[0]), int(used[-1]) + 1)
            weight = say[part, None] if places.upright else say[part]
            out[part] += weight * self._spline(places, k, part, share=False)
        return out.reshape(places.shape)

    def covered(self, places: _Places) -> NDArray[np.float32]:
        """Give which share of the ground about each pixel was measured: float32[rows, columns], 0..1."""
        out = self._spline(places, self.fade, slice(None), share=True).reshape(places.shape)
        if places.near is not None:
            out = out * places.near.reshape(places.shape)
        return np.asarray(np.minimum(out, np.float32(1)))

    def _spline(self, places: _Places, level: int, part: slice, share: bool) -> NDArray[np.float32]:
        """Evaluate the spline of one level's samples at some rows (or some pixels) of a cell."""
        size = 2.0**level
        # Beyond this nothing changes any more, and a table must not grow without end.
        far = CHUNK + MARGIN
        left, top, right, bottom = (edge / size for edge in self.mosaic.box)
        if self.mosaic.turn:
            left, right = -math.inf, math.inf
        u = places.u if places.upright else places.u[part]
        across = np.clip(u / size - 0.5, left - far, right + far)
        down = np.clip(places.v[part] / size - 0.5, top - far, bottom + far)
        x0, x1 = math.floor(across.min()) - 1, math.floor(across.max()) + 3
        y0, y1 = math.floor(down.min()) - 1, math.floor(down.max()) + 3
        if share:
            # A hole that is small beside the feather is no edge: what fills it counts as known.
            m = 2 * HOLE
            table = self.mosaic.shares(level, x0 - m, y0 - m, x1 + m, y1 + m)
            square = np.ones((2 * HOLE + 1, 2 * HOLE + 1), np.uint8)
            table = cv2.morphologyEx(table, cv2.MORPH_CLOSE, square)[m:-m, m:-m]
            if (flat := float(table[0, 0])) in (0.0, 1.0) and (table == flat).all():
                return np.full(places.shape, flat, np.float32)
        else:
            table = self.mosaic.heights(level, x0, y0, x1, y1)
        columns, rows = b_spline(across - x0), b_spline(down - y0)
        found = on_lattice(table, rows, columns) if places.upright else scattered(table, rows, columns)
        return np.asarray(found, np.float32)


def _certainty(covered: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn the share measured nearby into certainty: 0 on a straight edge, where it is a half; 1 a little inside."""
    t = np.clip((covered - np.float32(0.5)) / np.float32(0.4), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


@lru_cache(maxsize=32)
def projection(crs: str) -> tuple[Any, bool]:
    """Give what projects degrees to a CRS, and whether that counts in degrees itself."""
    import pyproj

    return pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True), pyproj.CRS(crs).is_geographic


def unwrapped(lonlat: Array) -> Array:
    """Bring longitudes near each other, so that data across the antimeridian stays one."""
    if len(lonlat) and np.ptp(lonlat[:, 0]) > 180 and not _goes_round(lonlat[:, 0]):
        lonlat = lonlat.copy()
        lonlat[lonlat[:, 0] < 0, 0] += 360.0
    return lonlat


def _goes_round(longitude: Array) -> bool:
    """Tell whether longitudes leave no gap wider than 60 degrees round the world."""
    turned = np.sort(longitude % 360.0)
    return bool(np.diff(turned, append=turned[0] + 360.0).max() < 60.0)


def union(outlines: Sequence[Array]) -> tuple[float, float, float, float]:
    """Give west, south, east, north of outlines, float64[n, 2] in degrees."""
    points = np.concatenate(outlines)
    west, south = points.min(axis=0)
    east, north = points.max(axis=0)
    if east - west > 360:
        west, east = -180.0, 180.0
    return float(west), float(south), float(east), float(north)
