"""Pictures of the ground: any mixture of georeferenced colour rasters, as one picture of any frame."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.errors import SourceError
from mapstyle.fingerprint import fingerprint
from mapstyle.frame import WORLD, Frame, Grid
from mapstyle.sources.elevation import projection, union
from mapstyle.sources.mosaic import DEGREE
from mapstyle.sources.photos import Photo, open_photo
from mapstyle.sources.spline import catmull_rom, on_lattice

CELL = 256
"""Logical pixels on the side of the fixed squares on which pictures are sampled."""
CELLS_KEPT = 128
FADE = 24
"""Logical pixels inside its edge over which a picture fades: Canny's thresholds find no edge in so gentle a slope."""
GREY = 128
"""What is seen where there is no picture, of 255."""
STEP = 16
"""Logical pixels between places that are projected exactly, at most; the rest is interpolated."""
STEP_METRES = 100_000.0
"""The same on the ground."""
VERSION = 1
"""To be raised when other pixels come out."""

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]


class Imagery:
    """Pictures of the ground, the same whatever frame asks for them; finer ones lie over coarser ones.

    Where there is no picture all is mid grey, which says least to a ControlNet that looks at brightness, and
    pictures fade into it, so that none that looks for edges sees where the data ends.

    Attributes:
        digest: names the content of the files and the way they are sampled.
        bounds: west, south, east, north of the pictures in degrees; east may exceed 180.
    """

    def __init__(self, photos: Sequence[Photo], digest: str, paths: tuple[Path, ...]) -> None:
        self._photos = tuple(photos)
        self._paths = paths
        self.digest = fingerprint(VERSION, digest, CELL, FADE, GREY, STEP, STEP_METRES)
        self.bounds = union([p.outline for p in photos])
        self._on_grid = lru_cache(maxsize=8)(self._place)
        self._cell = lru_cache(maxsize=CELLS_KEPT)(self._draw_cell)

    @classmethod
    def open(cls, paths: Sequence[Path]) -> "Imagery":
        """Open pictures of the ground.

        Args:
            paths: GeoTIFFs, JPEGs or PNGs; their order does not matter.

        Raises:
            SourceError: a file is missing, broken, without colours, or does not say where it lies.
        """
        found: dict[str, Photo] = {}
        for path in paths:
            photo = open_photo(path)
            beside = [f for f in (path.with_name(path.name + s) for s in (".ovr", ".msk")) if f.is_file()]
            key = photo.driver, photo.crs, photo.transform, photo.bands
            found[fingerprint(path, *beside, key)] = photo
        if not found:
            raise SourceError("there is no picture of the ground among the sources")
        # Ordered by content, so that neither names nor the order of the arguments decides anything.
        return cls([found[digest] for digest in sorted(found)], fingerprint(sorted(found)), tuple(paths))

    def __reduce__(self) -> Any:
        return Imagery.open, (self._paths,)

    def sample(self, frame: Frame) -> Picture:
        """Give what is seen at the pixels of a frame: uint8[height, width, 3], RGB."""
        out = np.empty((*frame.shape, 3), np.uint8)
        for part, home in frame.world_pieces():
            there = out[part.slices(frame)]
            for cell in home.cells(CELL):
                shared = cell.intersection(home)
                assert shared is not None
                there[shared.slices(home)] = self._cell(cell)[shared.slices(cell)]
        return out

    def _place(self, grid: Grid) -> tuple["_OnGrid", ...]:
        return tuple(sorted((_OnGrid.of(p, grid) for p in self._photos), key=lambda p: -p.metres))

    def _draw_cell(self, cell: Frame) -> Picture:
        """Lay all pictures over each other, the coarsest first."""
        around = cell.pad(FADE)
        seen = np.zeros((*around.shape, 4), np.uint8)
        for placed in self._on_grid(cell.grid):
            placed.lay_over(seen, around)
        inner = cell.slices(around)
        covered = seen[..., 3]
        if covered.all():
            out = np.ascontiguousarray(seen[inner][..., :3])
        elif not covered.any():
            out = np.full((*cell.shape, 3), GREY, np.uint8)
        else:
            side = 2 * FADE * cell.grid.pixel_ratio + 1
            share = cv2.blur((covered > 0).astype(np.float32), (side, side), borderType=cv2.BORDER_REPLICATE)
            say = np.clip(2 * share - 1, 0, 1)[inner][..., None]  # at a straight edge the share is a half
            out = np.rint(GREY + say * (seen[inner][..., :3] - np.float32(GREY))).astype(np.uint8)
        out.flags.writeable = False
        return out


@dataclass(frozen=True)
class _OnGrid:
    """A picture as seen from a grid.

    Attributes:
        photo: the picture.
        level: whose means are looked at; about as far apart as the grid's real pixels.
        metres: how far apart its samples are, at its middle.
        step: logical pixels between places that are projected exactly.
        limits: west, south, east, north in degrees beyond which the projection need not be trusted.
        same: whether the grid and the picture are in one coordinate reference system.
    """

    photo: Photo
    level: int
    metres: float
    step: int
    limits: tuple[float, float, float, float]
    same: bool

    @classmethod
    def of(cls, photo: Photo, grid: Grid) -> "_OnGrid":
        """Settle all that the frame must not decide."""
        west, south, east, north = union([photo.outline])
        latitude = (south + north) / 2
        pixel = 1 / float(grid.pixels_per_metre(latitude))
        step = 1 << max(0, min(int(math.log2(STEP)), math.floor(math.log2(STEP_METRES / pixel))))
        stretch = math.cos(math.radians(min(85.0, max(abs(south), abs(north)))))
        margin = min(8 * step * pixel / DEGREE / stretch, 30.0)
        limits = west - margin, south - margin, east + margin, north + margin
        same = _system(photo.crs) == _system(grid.crs)
        draft = cls(photo, 0, 0.0, step, limits, same)
        middle = grid.project(np.array([[(west + east) / 2, latitude]]))[0]
        around = draft._places(grid, middle + np.array([[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]]))
        (du, dv), (eu, ev) = around[1] - around[0], around[3] - around[2]
        span = math.sqrt(abs(float(du * ev - dv * eu)))
        if not (math.isfinite(span) and span > 0):
            raise SourceError(f"{photo.shown} cannot be brought to {grid.crs}: its middle has no place there")
        level = max(0, math.ceil(math.log2(span / grid.pixel_ratio) - 0.5))
        return cls(photo, level, pixel / span, step, limits, same)

    def lay_over(self, seen: Picture, frame: Frame) -> None:
        """Draw the picture over uint8[height, width, 4] of a frame, where it shows something."""
        places = self._pixels(frame)
        if places is None:
            return
        u, v = places
        inside = (u >= 0) & (u < self.photo.width) & (v >= 0) & (v < self.photo.height)
        if not inside.any():
            return
        level = self.level
        while max(np.ptp(u[inside]), np.ptp(v[inside])) / 2**level > 8192:  # near a pole a pixel may span very much
            level += 1
        # Means lie at the middle of their samples.
        u, v = (np.where(inside, w, w[inside].min()) / 2**level - 0.5 for w in (u, v))
        columns, rows = self.photo.size(level)
        left, right = max(0, math.floor(u.min())), min(columns, math.floor(u.max()) + 2)
        top, bottom = max(0, math.floor(v.min())), min(rows, math.floor(v.max()) + 2)
        left, top = min(left, columns - 1), min(top, rows - 1)
        table = self.photo.read(level, left, top, right, bottom)
        found = cv2.remap(
            table,
            (u - left).astype(np.float32),
            (v - top).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        shown = inside & (found[..., 3] > 127)
        seen[shown] = found[shown]

    def _pixels(self, frame: Frame) -> tuple[Array, Array] | None:
        """Find where a frame's pixel centres lie, in samples: float64[height, width] twice, NaN where nowhere."""
        grid, ratio = frame.grid, frame.grid.pixel_ratio
        x = (frame.column + np.arange(frame.width) + 0.5) / ratio
        y = (frame.row + np.arange(frame.height) + 0.5) / ratio
        left, top, right, bottom = frame.logical_box
        step = 1 if self.same else self.step
        if step == 1:
            return self._table(grid, x, y)
        coarse_x = math.floor(left) + step * np.arange(-2, (right - left) // step + 5)
        coarse_y = math.floor(top) + step * np.arange(-2, (bottom - top) // step + 5)
        u, v = self._table(grid, coarse_x, coarse_y)
        if not np.isfinite(u).any():
            return None
        if _is_torn(u) or _is_torn(v):
            return self._table(grid, x, y)
        columns, rows = catmull_rom((x - coarse_x[0]) / step), catmull_rom((y - coarse_y[0]) / step)
        return on_lattice(u, rows, columns), on_lattice(v, rows, columns)

    def _table(self, grid: Grid, x: Array, y: Array) -> tuple[Array, Array]:
        points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        out = self._places(grid, points)
        return out[:, 0].reshape(len(y), len(x)), out[:, 1].reshape(len(y), len(x))

    def _places(self, grid: Grid, points: Array) -> Array:
        """Bring logical pixels, float64[n, 2], to samples of the picture, NaN where far away."""
        if self.same:
            xy = points * [grid.resolution, -grid.resolution] + [grid.origin_x, grid.origin_y]
            if grid.is_web_mercator:
                xy[:, 0] = _turned(xy[:, 0], self._middle[0], WORLD)
            return self._samples(xy)
        out = np.full(points.shape, np.nan)
        degrees = grid.unproject(points)
        near = self._is_near(degrees)
        if near.any():
            to_crs, is_geographic = projection(self.photo.crs)
            xy = np.column_stack(to_crs.transform(degrees[near, 0], degrees[near, 1]))
            xy[~np.isfinite(xy)] = np.nan
            if is_geographic:
                xy[:, 0] = _turned(xy[:, 0], self._middle[0], 360.0)
            out[near] = self._samples(xy)
        return out

    def _samples(self, xy: Array) -> Array:
        corner = np.array([self.photo.transform[2], self.photo.transform[5]])
        return np.asarray((xy - corner) @ np.linalg.inv(self.photo.linear).T)

    @property
    def _middle(self) -> Array:
        half = np.array([self.photo.width, self.photo.height]) / 2
        return np.asarray(self.photo.linear @ half + [self.photo.transform[2], self.photo.transform[5]])

    def _is_near(self, degrees: Array) -> NDArray[np.bool_]:
        west, south, east, north = self.limits
        with np.errstate(invalid="ignore"):
            eastward = (degrees[:, 0] - west) % 360.0
            inside = (eastward <= east - west) | (east - west >= 360)
            return np.asarray(inside & (degrees[:, 1] >= south) & (degrees[:, 1] <= north))


def _is_torn(places: Array) -> bool:
    """Tell whether a table of places jumps, as it does where the world ends in a picture's own system."""
    for axis in (0, 1):
        slope = np.diff(places, axis=axis)
        bend = np.abs(np.diff(slope, axis=axis))
        scale = np.nanmedian(np.abs(slope)) if np.isfinite(slope).any() else 0.0
        if (bend[np.isfinite(bend)] > 0.5 * scale + 1).any():
            return True
    return False


def _turned(x: Array, middle: float, turn: float) -> Array:
    """Bring eastings to within half a turn round the world of a middle."""
    return np.asarray(x - turn * np.round((x - middle) / turn))


@lru_cache(maxsize=32)
def _system(crs: str) -> Any:
    import pyproj

    known = pyproj.CRS(crs)
    return known.to_epsg() or known
