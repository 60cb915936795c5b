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


def fbm(frame: Frame, cell: int, octaves: int = 1, gain: float = 0.55, seed: int = 0, aspect: float = 1.0) -> Field:
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
    turn = frame.grid.turn * s
    steps = _pyramid(frame, max(1, int(cell * s)), max(1, int(cell * aspect * s)), octaves)
    total = np.zeros((0, 0), f32)
    amplitude, square = 1.0, 0.0
    for i, (ax, ay, columns, rows) in enumerate(steps):
        if i:
            before = steps[i - 1]
            kx, ky = before[0] // ax, before[1] // ay
            total = cv2.resize(total, None, fx=kx, fy=ky, interpolation=cv2.INTER_CUBIC)
            left, top = columns[0] - before[2][0] * kx, rows[0] - before[3][0] * ky
            total = np.ascontiguousarray(total[top : top + rows[1] - rows[0], left : left + columns[1] - columns[0]])
        if i < octaves:
            x = np.arange(*columns)
            if turn and turn % ax == 0:
                x = x % (turn // ax)
            fresh = nodes(x, np.arange(*rows), seed * 31 + i)
            total = fresh if i == 0 else total + fresh * f32(amplitude)
            square += amplitude * amplitude
            amplitude *= gain
    _, _, columns, rows = steps[-1]
    top, left = frame.row - rows[0], frame.column - columns[0]
    inner = total[top : top + frame.height, left : left + frame.width]
    return np.multiply(inner, f32(1 / math.sqrt(square * _LATTICE_VARIANCE)), order="C")


_Span = tuple[int, int]


def _pyramid(frame: Frame, ax: int, ay: int, octaves: int) -> list[tuple[int, int, _Span, _Span]]:
    """Give (cell width, cell height, columns, rows) of every step from the coarsest nodes to pixels.

    Widths are multiples of 16 nodes: OpenCV rounds the last few columns of a row, which fall outside its
    vector loop, another way than the rest (a crop then differs in the last bit).
    """
    sizes = [(ax, ay)]
    while ax > 1 or ay > 1:
        # The last two doublings at once: it costs less, and the ring of spare nodes is cheap by then.
        k = 4 if len(sizes) >= octaves and ax == ay == 4 else 2
        ax, ay = max(1, ax // k), max(1, ay // k)
        sizes.append((ax, ay))
    columns, rows = (frame.column, frame.end_column), (frame.row, frame.end_row)
    steps = []
    for i in range(len(sizes) - 1, -1, -1):
        columns = (columns[0], columns[0] + -(-(columns[1] - columns[0]) // 16) * 16)
        steps.append((*sizes[i], columns, rows))
        if i:
            kx, ky = sizes[i - 1][0] // sizes[i][0], sizes[i - 1][1] // sizes[i][1]
            columns = (columns[0] // kx - _RING, -(-columns[1] // kx) + _RING)
            rows = (rows[0] // ky - _RING, -(-rows[1] // ky) + _RING)
    return steps[::-1]


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
