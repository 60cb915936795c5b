"""Rasters that share one lattice of samples, joined: filled, averaged to ever coarser levels, read in chunks."""

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from threading import RLock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mapstyle.fingerprint import fingerprint
from mapstyle.sources.raster import Raster, outline
from mapstyle.sources.voids import CHUNK, MARGIN, RIM, Heights, Weights, false_zeros, fill, pull

OVERLAP = 16
"""Samples over which a raster gives way to its neighbour where they overlap."""
SMALLEST_CHUNK = 64
"""Samples on the side of a chunk of averages, at least. A chunk of a level covers as little ground as it can."""
KEPT_ON_DISK = 3
"""Level from which averages are kept in the cache folder; they take a hundredth of the room of the rasters."""
REMEMBERED = (48, 64, 128, 2048)
"""Measured chunks kept in memory, of levels 0, 1, 2 and all others; at most some 200 MB in all."""
FILLED = 48
"""Filled chunks kept in memory, of 1 MB each."""
DEGREE = 111_319.49
"""Metres in a degree of a meridian of the sphere of Web Mercator."""
VERSION = 1
"""To be raised when the samples that come out change."""


class Samples(NamedTuple):
    """Heights of a chunk, metres, and which share of each (0..1) was measured: float32[rows, columns] both."""

    heights: Heights
    share: Weights


@dataclass(frozen=True)
class Piece:
    """A raster and the sample of the lattice at which its own (0, 0) lies."""

    raster: Raster
    column: int
    row: int


class Mosaic:
    """Rasters on one lattice of samples.

    A place on the lattice is (u, v): sample (i, j) covers i..i+1, j..j+1 and lies at the centre. At level k,
    sample (i, j) is the mean over 2**k by 2**k of them.

    Attributes:
        crs: WKT of the coordinate reference system.
        pieces: the rasters, in an order that depends on their content alone.
        turn: samples round the world, or 0.
        digest: names the content.
    """

    def __init__(self, pieces: Sequence[Piece], anchor: tuple[float, float], digest: str, cache: Path | None):
        first = pieces[0].raster
        self.crs = first.crs
        self.pieces = tuple(pieces)
        self.digest = fingerprint(VERSION, digest, [(p.column, p.row) for p in pieces])
        self._linear = linear(first)
        self._anchor = np.array(anchor)
        self._cache = None if cache is None else cache / "elevation" / self.digest
        self._lock = RLock()
        self.turn = turn(first)
        self._box = (
            min(p.column for p in pieces),
            min(p.row for p in pieces),
            max(p.column + p.raster.width for p in pieces),
            max(p.row + p.raster.height for p in pieces),
        )
        self._measured = tuple(lru_cache(maxsize=size)(self._measure) for size in REMEMBERED)
        self._filled = lru_cache(maxsize=FILLED)(self._fill)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of all samples."""
        return self._box

    def locate(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring points in the CRS, float64[n, 2], to places (u, v) on the lattice."""
        return np.asarray((xy - self._anchor) @ np.linalg.inv(self._linear).T)

    @property
    def is_upright(self) -> bool:
        """Whether u depends on x alone and v on y alone."""
        return bool(self._linear[0, 1] == 0 and self._linear[1, 0] == 0)

    @cached_property
    def base(self) -> float:
        """Height that stands far away from all data: the mean of a few samples of each raster, metres."""
        seen = np.concatenate([p.raster.thumbnail() for p in self.pieces])
        return float(np.float32(seen.mean())) if len(seen) else 0.0

    def lonlat_outline(self) -> NDArray[np.float64]:
        """Give points along the rims of all rasters in degrees: float64[n, 2]."""
        import pyproj

        points = np.concatenate([outline(p.raster) for p in self.pieces])
        to_degrees = pyproj.Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True)
        out = np.column_stack(to_degrees.transform(points[:, 0], points[:, 1]))
        return out[np.isfinite(out).all(axis=1)]

    @cached_property
    def sample_metres(self) -> float:
        """How far apart the samples are on the ground at the middle of the data, metres."""
        import pyproj

        size = math.sqrt(abs(float(np.linalg.det(self._linear))))
        crs = pyproj.CRS(self.crs)
        if not crs.is_geographic:
            return size * crs.axis_info[0].unit_conversion_factor
        latitudes = self.lonlat_outline()[:, 1]
        middle = (latitudes.min() + latitudes.max()) / 2
        return size * DEGREE * math.sqrt(math.cos(math.radians(middle)))

    def heights(self, level: int, left: int, top: int, right: int, bottom: int) -> Heights:
        """Read heights of a level, without voids, anywhere: float32[rows, columns], metres."""
        out = np.empty((bottom - top, right - left), np.float32)
        with self._lock:
            for i, j, here, there in _chunks(CHUNK, left, top, right, bottom):
                if self._is_near(level, i, j):
                    out[there] = self._filled(level, i, j)[here]
                else:
                    out[there] = self.base
        return out

    def shares(self, level: int, left: int, top: int, right: int, bottom: int) -> Weights:
        """Read which share of each sample of a level was measured: float32[rows, columns], 0..1."""
        with self._lock:
            return self._gather(level, left, top, right, bottom).share

    def _gather(self, level: int, left: int, top: int, right: int, bottom: int) -> Samples:
        """Read what was measured of a box, with zeros where nothing was."""
        shape = bottom - top, right - left
        found = Samples(np.zeros(shape, np.float32), np.zeros(shape, np.float32))
        side = _side(level)
        for i, j, here, there in _chunks(side, left, top, right, bottom):
            start = i * side << level, j * side << level
            if any(True for _ in self._touching(*start, start[0] + (side << level), start[1] + (side << level))):
                chunk = self._measured[min(level, len(REMEMBERED) - 1)](level, i, j)
                found.heights[there], found.share[there] = chunk.heights[here], chunk.share[here]
        return found

    def _is_near(self, level: int, i: int, j: int) -> bool:
        """Tell whether any raster lies within the margin of a chunk that is to be filled."""
        left, top, side = i * CHUNK - MARGIN, j * CHUNK - MARGIN, CHUNK + 2 * MARGIN
        box = (left << level, top << level, (left + side) << level, (top + side) << level)
        return any(True for _ in self._touching(*box))

    def _touching(self, left: float, top: float, right: float, bottom: float) -> Iterator[Piece]:
        """Give the rasters that touch a box, at every turn round the world."""
        for piece in self.pieces:
            for round_ in (-self.turn, 0, self.turn) if self.turn else (0,):
                column = piece.column + round_
                if (
                    column < right
                    and column + piece.raster.width > left
                    and piece.row < bottom
                    and piece.row + piece.raster.height > top
                ):
                    yield Piece(piece.raster, column, piece.row)

    def _measure(self, level: int, i: int, j: int) -> Samples:
        """Give a chunk as measured, with zeros where nothing was."""
        if level == 0:
            return self._join(i, j)
        if level < KEPT_ON_DISK or self._cache is None:
            return self._average(level, i, j)
        path = self._cache / f"{level}_{i}_{j}.npy"
        kept = _load(path)
        if kept is None:
            kept = self._average(level, i, j)
            _save(path, kept)
        return kept

    def _average(self, level: int, i: int, j: int) -> Samples:
        side = 2 * _side(level)
        return Samples(*pull(*self._gather(level - 1, i * side, j * side, (i + 1) * side, (j + 1) * side)))

    def _join(self, i: int, j: int) -> Samples:
        """Read a chunk of the rasters' own samples; where several overlap, pass smoothly from one to the other."""
        left, top = i * CHUNK - RIM, j * CHUNK - RIM
        side = CHUNK + 2 * RIM
        total = np.zeros((side, side), np.float64)
        weight = np.zeros((side, side), np.float64)
        for piece in self._touching(left, top, left + side, top + side):
            width, height = piece.raster.width, piece.raster.height
            x0, x1 = max(left, piece.column), min(left + side, piece.column + width)
            y0, y1 = max(top, piece.row), min(top + side, piece.row + height)
            heights, valid = piece.raster.read(x0 - piece.column, y0 - piece.row, x1 - piece.column, y1 - piece.row)
            say = np.minimum.outer(
                _inset(np.arange(y0, y1) - piece.row, height), _inset(np.arange(x0, x1) - piece.column, width)
            )
            part = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
            total[part] += np.where(valid, heights * say, 0.0)
            weight[part] += np.where(valid, say, 0.0)
        share = (weight > 0).astype(np.float32)
        mean = (total / np.where(weight > 0, weight, 1.0)).astype(np.float32)
        share[false_zeros(mean, share > 0)] = 0
        mean *= share
        inner = slice(RIM, RIM + CHUNK), slice(RIM, RIM + CHUNK)
        return Samples(mean[inner].copy(), share[inner].copy())

    def _fill(self, level: int, i: int, j: int) -> Heights:
        """Give a chunk without voids."""
        left, top = i * CHUNK, j * CHUNK
        own = self._gather(level, left, top, left + CHUNK, top + CHUNK)
        if own.share.min() > 0:
            return own.heights
        right, bottom = left + CHUNK + MARGIN, top + CHUNK + MARGIN
        return fill(*self._gather(level, left - MARGIN, top - MARGIN, right, bottom), self.base)


def linear(raster: Raster) -> NDArray[np.float64]:
    """Give the 2 x 2 part of a raster's transform."""
    a, b, _, d, e, _ = raster.transform
    return np.array([[a, b], [d, e]])


def turn(raster: Raster) -> int:
    """Tell how many samples go round the world; 0 where they do not close, or are not in degrees."""
    import pyproj

    a, b, _, d, _, _ = raster.transform
    if b or d or not pyproj.CRS(raster.crs).is_geographic:
        return 0
    columns = 360.0 / abs(a)
    return round(columns) if abs(columns - round(columns)) < 0.05 else 0


def join(rasters: Sequence[tuple[str, Raster]], cache: Path | None) -> list[Mosaic]:
    """Join rasters whose samples lie on one lattice and which are near each other.

    Args:
        rasters: digest of the content, raster; in an order that depends on content alone.
        cache: the user's cache folder, or None.
    """
    groups: list[tuple[tuple[float, float], list[Piece], list[str]]] = []
    for digest, raster in rasters:
        matrix = linear(raster)
        corner = np.array([raster.transform[2], raster.transform[5]])
        for anchor, pieces, digests in groups:
            other = pieces[0].raster
            if other.crs != raster.crs or not np.allclose(linear(other), matrix, rtol=1e-6, atol=0):
                continue
            at = np.linalg.solve(linear(other), corner - np.array(anchor))
            if np.abs(at - np.round(at)).max() < 0.05:
                pieces.append(Piece(raster, round(float(at[0])), round(float(at[1]))))
                digests.append(digest)
                break
        else:
            # The lattice counts from the CRS's own origin, so that a neighbour more or less moves no chunk.
            at = np.round(np.linalg.solve(matrix, corner))
            start = corner - matrix @ at
            piece = Piece(raster, int(at[0]), int(at[1]))
            groups.append(((float(start[0]), float(start[1])), [piece], [digest]))
    return [Mosaic(pieces, anchor, fingerprint(digests), cache) for anchor, pieces, digests in groups]


def _inset(index: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    return np.minimum(np.minimum(index + 1, size - index), OVERLAP).astype(np.float64)


def _side(level: int) -> int:
    """Give the samples on the side of a measured chunk of a level."""
    return max(CHUNK >> level, SMALLEST_CHUNK)


def _chunks(
    side: int, left: int, top: int, right: int, bottom: int
) -> Iterator[tuple[int, int, tuple[slice, slice], tuple[slice, slice]]]:
    """Give the chunks that touch a box: their number, the part of the chunk, the part of the box."""
    for j in range(top // side, -(-bottom // side)):
        for i in range(left // side, -(-right // side)):
            x0, x1 = max(left, i * side), min(right, (i + 1) * side)
            y0, y1 = max(top, j * side), min(bottom, (j + 1) * side)
            here = slice(y0 - j * side, y1 - j * side), slice(x0 - i * side, x1 - i * side)
            yield i, j, here, (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def _load(path: Path) -> Samples | None:
    try:
        both = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if both.shape != (2, SMALLEST_CHUNK, SMALLEST_CHUNK) or both.dtype != np.float32:
        return None
    return Samples(both[0], both[1])


def _save(path: Path, samples: Samples) -> None:
    """Keep a chunk; a cache that cannot be written is no reason to stop."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            np.save(file, np.stack(samples))
        os.replace(name, path)
    except OSError:
        return
