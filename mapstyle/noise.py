"""Ground noise: random fields that belong to the world, not to a canvas.

Everything here is a pure function of (seed, grid, stream, x, y) in logical pixels: the same ground has
the same noise whatever frame asks, and at pixel ratio 2 the same fields come out, only finer.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.frame import Frame

Field = NDArray[np.float32]
f32 = np.float32

# A constant of the lattice sum below: the mean square of cubic interpolation of independent nodes, averaged
# over a cell (measured 0.52 per axis pair), lifted a little so that octaves rarely pass three sigma.
_LATTICE_VARIANCE = 0.8
_RING = 3


def hash2(x: NDArray[np.integer], y: NDArray[np.integer], seed: int) -> NDArray[np.uint32]:
    """Hash two broadcastable integer arrays to uint32 (multiply-xorshift, after Wellons' hash prospector)."""
    low = 0xFFFFFFFF
    h = (x.astype(np.int64) & low).astype(np.uint32) * np.uint32(0x9E3779B1)
    k = (y.astype(np.int64) & low).astype(np.uint32) * np.uint32(0x85EBCA77)
    h = h ^ (k + np.uint32((seed * 0xC2B2AE3D) & low))
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    return h


def hash_ids(ids: NDArray[np.integer], seed: int) -> NDArray[np.uint32]:
    """Hash an image of ids to uint32."""
    return hash2(ids, np.zeros((1,) * ids.ndim, np.int64), seed)


def unit(hashed: NDArray[np.uint32]) -> Field:
    """Turn hashes to float32 in [0, 1)."""
    return (hashed >> np.uint32(8)).astype(f32) * f32(1 / 16777216)


def nodes(columns: NDArray[np.int64], rows: NDArray[np.int64], seed: int) -> Field:
    """Give float32[len(rows), len(columns)], nearly normal, mean 0, variance 1 (a sum of four bytes)."""
    h = hash2(columns[None, :], rows[:, None], seed)
    byte = np.uint32(255)
    total = (h & byte) + ((h >> np.uint32(8)) & byte) + ((h >> np.uint32(16)) & byte) + (h >> np.uint32(24))
    return (total.astype(f32) - f32(510)) * f32(1 / 147.8)


def fbm(
    frame: Frame, cell: int, octaves: int = 1, gain: float = 0.55, seed: int = 0, aspect: float = 1.0
) -> Field:
    """Sum octaves of lattice noise over a frame; about zero mean and unit variance.

    Nodes of one octave are added, the sum is enlarged twofold by cubic interpolation, and so on until a
    cell is one pixel: phases are powers of two, exact in float32, so crops are equal to the bit.

    Args:
        frame: where.
        cell: logical pixels between the nodes of the coarsest octave, a power of two.
        octaves: how many, each twice as fine.
        gain: amplitude of each octave relative to the one before.
        seed: seed and stream.
        aspect: vertical over horizontal size of a cell, a power of two.

    Returns:
        float32[height, width].
    """
    s = frame.grid.pixel_ratio
    ax, ay = int(cell * s), max(1, int(cell * aspect * s))
    turn = frame.grid.turn * s
    x0, y0, w, h = frame.column, frame.row, frame.width, frame.height
    total, amplitude, square = None, 1.0, 0.0
    left = top = 0
    octave = 0
    while True:
        a0, a1 = x0 // ax - _RING, -(-(x0 + w) // ax) + _RING
        b0, b1 = y0 // ay - _RING, -(-(y0 + h) // ay) + _RING
        if total is not None:
            oy, ox = b0 - top, a0 - left
            total = total[oy : oy + b1 - b0, ox : ox + a1 - a0]
        if octave < octaves:
            columns = np.arange(a0, a1)
            if turn and turn % ax == 0:
                columns = columns % (turn // ax)
            fresh = nodes(columns, np.arange(b0, b1), seed * 31 + octave)
            fresh *= f32(amplitude)
            total = fresh if total is None else total + fresh
            square += amplitude * amplitude
            amplitude *= gain
            octave += 1
        assert total is not None
        if ax == 1 and ay == 1:
            break
        kx, ky = (2 if ax > 1 else 1), (2 if ay > 1 else 1)
        if octave >= octaves and min(ax, ay) == 4 and ax == ay:
            kx = ky = 4  # the last two steps at once: the ring is cheap by now
        total = cv2.resize(total, None, fx=kx, fy=ky, interpolation=cv2.INTER_CUBIC)
        ax, ay = ax // kx, ay // ky
        left, top = a0 * kx, b0 * ky
    inner = total[_RING : _RING + h, _RING : _RING + w]
    return np.ascontiguousarray(inner * f32(1 / math.sqrt(square * _LATTICE_VARIANCE)))


def periodic(period: int, cells: Sequence[tuple[int, int]], weights: Sequence[float], seed: int) -> Field:
    """Make float32[period, period] of noise that repeats seamlessly, zero mean, unit variance.

    Args:
        period: pixels on the side; every cell size divides it.
        cells: (width, height) of the cells of each layer, pixels.
        weights: the layers' amplitudes.
        seed: seed and stream.
    """
    total = np.zeros((period, period), f32)
    for i, ((cx, cy), weight) in enumerate(zip(cells, weights, strict=True)):
        layer = nodes(np.arange(period // cx), np.arange(period // cy), seed * 77 + i)
        layer = cv2.copyMakeBorder(layer, _RING, _RING, _RING, _RING, cv2.BORDER_WRAP)
        if cx > 1 or cy > 1:
            layer = cv2.resize(layer, None, fx=cx, fy=cy, interpolation=cv2.INTER_CUBIC)
        total += f32(weight) * layer[_RING * cy : _RING * cy + period, _RING * cx : _RING * cx + period]
    total -= total.mean()
    total /= total.std()
    return total


def tiled(frame: Frame, period: int, make: Callable[[int, int], Field]) -> Field:
    """Cover a frame with a periodic texture.

    Args:
        frame: where.
        period: logical pixels after which the texture repeats (use it for features up to 16 px only).
        make: a module-level function (period in real pixels, pixel ratio) -> texture; called once a process.

    Returns:
        A fresh array of the frame's shape (and the texture's channels, if any).
    """
    texture = _texture(make, period * frame.grid.pixel_ratio, frame.grid.pixel_ratio)
    size = texture.shape[0]
    out = np.empty((*frame.shape, *texture.shape[2:]), texture.dtype)
    y = 0
    while y < frame.height:
        sy = (frame.row + y) % size
        rows = min(size - sy, frame.height - y)
        x = 0
        while x < frame.width:
            sx = (frame.column + x) % size
            columns = min(size - sx, frame.width - x)
            out[y : y + rows, x : x + columns] = texture[sy : sy + rows, sx : sx + columns]
            x += columns
        y += rows
    return out


@lru_cache(maxsize=64)
def _texture(make: Callable[[int, int], Field], period: int, pixel_ratio: int) -> Field:
    texture = np.ascontiguousarray(make(period, pixel_ratio))
    texture.flags.writeable = False
    return texture
