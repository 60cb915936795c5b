"""Rows of like things in a parcel's own direction: cars in bays, graves, fruit trees."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.diorama.surface import (
    Box,
    byte,
    directions,
    look_up,
    parcel_hash,
    turns,
)
from mapstyle.noise import hash2

f32 = np.float32
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Ranks:
    """A turned lattice seen from every pixel of a box.

    Attributes:
        along: float32, real pixels from the middle of the pixel's cell, along the rows.
        across: the same, across them.
        hashed: uint32 of the cell.
        kept: whether the middle of the cell may be used.
    """

    along: Plane
    across: Plane
    hashed: NDArray[np.uint32]
    kept: NDArray[np.bool_]


def ranks(canvas: Canvas, box: Box, free: NDArray[np.uint8], long: float, wide: float, stream: int) -> Ranks:
    """Lay cells of ``long`` by ``wide`` logical pixels along each parcel's direction.

    A cell is used where the pixel at its middle is ``free`` and of the same parcel. Reach: half the cell's
    diagonal, and 1.
    """
    s = canvas.s
    u, v = directions(canvas, box)
    column, row = np.floor(u * f32(1 / (long * s))), np.floor(v * f32(1 / (wide * s)))
    u -= (column + f32(0.5)) * f32(long * s)
    v -= (row + f32(0.5)) * f32(wide * s)
    bits = parcel_hash(canvas)
    angle = byte(bits[box], 2) & np.uint8(15)
    cos, sin = turns()
    c, d = look_up(angle, cos), look_up(angle, sin)
    rows, columns = canvas.frame.shape
    y = np.arange(rows)[box[0]][:, None] + np.floor(f32(0.5) - (u * d + v * c)).astype(np.int64)
    x = np.arange(columns)[box[1]][None, :] + np.floor(f32(0.5) - (u * c - v * d)).astype(np.int64)
    inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    np.clip(x, 0, columns - 1, out=x)
    np.clip(y, 0, rows - 1, out=y)
    kept = inside & (free[y, x] > 0) & (bits[y, x] == bits[box])
    hashed = hash2(column.astype(np.int64), row.astype(np.int64), (canvas.seed * 1009 + stream) & 0x7FFFFFFF)
    return Ranks(u, v, hashed, kept)
