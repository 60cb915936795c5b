"""Stamps: small drawings, made once in many versions, set one in each cell of a lattice on the ground.

A cell's block of pixels is copied as it is from a sheet of versions, so that a window full of trees costs
about as much as copying it. Several lattices, moved against each other, cover closely.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.pen.nib import INK, Bytes
from mapstyle.frame import Frame
from mapstyle.noise import hash2, unit

Field = NDArray[np.float32]
f32 = np.float32

_FINE = 8
"""Sub-pixels on the side of a logical pixel while a stamp is drawn."""

Point = tuple[float, float]
Offsets = int | NDArray[np.int64]


class Luck:
    """Numbers in 0..1, one after another, that are the same in every process."""

    def __init__(self, seed: int) -> None:
        self._numbers = iter(unit(hash2(np.arange(4096), np.zeros(1, np.int64), seed)).tolist())

    def __call__(self, low: float = 0.0, high: float = 1.0) -> float:
        """Give the next one, between two values."""
        return low + (high - low) * next(self._numbers)


class Plate:
    """A stamp being drawn; lengths are logical pixels at size 1, the middle is (0, 0), y runs down."""

    def __init__(self, cell: int, size: float = 1.0) -> None:
        """Make an empty plate.

        Args:
            cell: logical pixels on its side.
            size: factor on all places, not on the width of strokes: a smaller drawing by the same pen.
        """
        self.cell = cell / size
        self._size, self._side = size, cell
        self.ink = np.zeros((cell * _FINE, cell * _FINE), np.uint8)
        self.body = np.zeros_like(self.ink)
        self.middle: Point = (0.0, 0.0)

    def place(self, luck: "Luck", half: float) -> Point:
        """Choose where in its cell a stamp ``half`` px in half-width stands, and remember it."""
        room = max(0.0, self.cell / 2 - half)
        self.middle = (luck(-room, room), luck(-room, room))
        return self.middle

    def _fixed(self, points: Sequence[Point]) -> NDArray[np.int32]:
        local = (np.asarray(points, float) * self._size + self._side / 2) * _FINE - 0.5
        return np.rint(local * 16).astype(np.int32)

    def line(self, points: Sequence[Point], width: float) -> None:
        """Draw a stroke of even width."""
        thick = max(1, round(width * _FINE))
        cv2.polylines(self.ink, [self._fixed(points)], False, 255, thick, cv2.LINE_8, 4)

    def swelling(self, points: Sequence[Point], first: float, last: float) -> None:
        """Draw a stroke whose width runs from one to another."""
        n = len(points) - 1
        for k in range(n):
            self.line(points[k : k + 2], first + (last - first) * (k + 0.5) / n)

    def cover(self, points: Sequence[Point]) -> None:
        """Blank whatever lies beneath an outline, and what was drawn there before."""
        cv2.fillPoly(self.body, [self._fixed(points)], 255, cv2.LINE_8, 4)
        cv2.fillPoly(self.ink, [self._fixed(points)], 0, cv2.LINE_8, 4)

    def finished(self, ratio: int) -> Bytes:
        """Give uint8[2, size, size]: what stays of what was there, and ink."""
        size = self._side * ratio
        small = [
            cv2.resize(p, (size, size), interpolation=cv2.INTER_AREA) for p in (cv2.bitwise_not(self.body), self.ink)
        ]
        return np.stack(small)


Drawing = Callable[[Plate, Luck, int], None]
"""Draws one version; the number tells which."""


@dataclass(frozen=True)
class Sheet:
    """Every version of a drawing.

    Attributes:
        stays: uint8[1 + versions, size, size], what stays of what was there; the first is blank.
        ink: the same, the strokes.
        middles: float64[1 + versions, 2], where in its cell each stands, logical pixels right and down.
        bodied: whether any version covers what lies beneath it.
    """

    stays: Bytes
    ink: Bytes
    middles: NDArray[np.float64]
    bodied: bool


@lru_cache(maxsize=64)
def sheet(drawing: Drawing, cell: int, versions: int, ratio: int, scale: float = 1.0) -> Sheet:
    """Draw every version of a drawing."""
    size = cell * ratio
    out = np.zeros((2, 1 + versions, size, size), np.uint8)
    out[0, 0] = 255
    middles = np.zeros((1 + versions, 2))
    for k in range(versions):
        plate = Plate(cell, scale)
        drawing(plate, Luck(k * 7919 + cell), k)
        out[:, 1 + k] = plate.finished(ratio)
        middles[1 + k] = plate.middle[0] * scale, plate.middle[1] * scale
    out.flags.writeable = False
    return Sheet(out[0], out[1], middles, bool(out[0].min() < 255))


@dataclass(frozen=True)
class Lattice:
    """Cells of a moved lattice that touch a frame.

    Attributes:
        columns: int64[nx], numbers of the cells' columns, the same for the same ground.
        rows: int64[ny].
        x: int64[nx], real pixels of the cells' middles from the frame's left side.
        y: int64[ny], from its top.
        left: real pixels of the frame's left side from the first cell's.
        top: the same, down.
    """

    columns: NDArray[np.int64]
    rows: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    left: int
    top: int

    @classmethod
    def over(cls, frame: Frame, cell: int, move: Point = (0, 0)) -> "Lattice":
        """Lay a lattice of ``cell`` logical pixels, moved by ``move``, over a frame."""
        s = frame.grid.pixel_ratio
        size = cell * s
        x0, y0 = frame.column + round(move[0]) * s, frame.row + round(move[1]) * s
        columns = np.arange(x0 // size, -(-(x0 + frame.width) // size))
        rows = np.arange(y0 // size, -(-(y0 + frame.height) // size))
        x, y = columns * size + size // 2 - x0, rows * size + size // 2 - y0
        turn = frame.grid.turn
        # Once round the world the same cells come again.
        names = columns % (turn // cell) if turn and turn % cell == 0 else columns
        return cls(names, rows, x, y, int(x0 - (x0 // size) * size), int(y0 - (y0 // size) * size))

    def luck(self, seed: int) -> NDArray[np.uint32]:
        """Give uint32[ny, nx], a hash of every cell."""
        return hash2(self.columns[None, :], self.rows[:, None], seed)

    def ask(self, plane: NDArray[Any], dx: Offsets = 0, dy: Offsets = 0) -> NDArray[Any]:
        """Give a plane's values at the cells' middles, moved by real pixels; the plane's edge repeats outwards."""
        height, width = plane.shape
        px = np.clip(self.x[None, :] + dx, 0, width - 1)
        py = np.clip(self.y[:, None] + dy, 0, height - 1)
        return plane[py, px]


def press(canvas: Canvas, stamps: Sheet, lattice: Lattice, version: NDArray[np.integer], plane: str = INK) -> None:
    """Set stamps: scrape beneath their bodies, then lay their ink.

    Args:
        canvas: on what.
        stamps: from :func:`sheet`.
        lattice: where.
        version: [ny, nx], 0 for none. Reach of a stamp: its cell.
        plane: which ink.
    """
    used = version > 0
    columns, rows = np.flatnonzero(used.any(0)), np.flatnonzero(used.any(1))
    if not len(columns):
        return
    size = stamps.ink.shape[-1]
    c0, c1, r0, r1 = int(columns[0]), int(columns[-1]) + 1, int(rows[0]), int(rows[-1]) + 1
    height, width = canvas.frame.shape
    y0, x0 = max(0, r0 * size - lattice.top), max(0, c0 * size - lattice.left)
    y1, x1 = min(height, r1 * size - lattice.top), min(width, c1 * size - lattice.left)
    if y0 >= y1 or x0 >= x1:
        return
    top, left = y0 + lattice.top - r0 * size, x0 + lattice.left - c0 * size
    part = version[r0:r1, c0:c1]

    def block(versions: Bytes) -> Bytes:
        wide = versions[part].transpose(0, 2, 1, 3).reshape((r1 - r0) * size, (c1 - c0) * size)
        return wide[top : top + y1 - y0, left : left + x1 - x0]

    if stamps.bodied:
        stays = block(stamps.stays)
        # Marks stand clear of water: there is only the main ink beneath them.
        here = canvas.planes[INK][y0:y1, x0:x1]
        cv2.min(here, stays, dst=here)
    here = canvas.planes[plane][y0:y1, x0:x1]
    if stamps.bodied:
        cv2.max(here, block(stamps.ink), dst=here)
        return
    # Strokes through each other: what neither covers stays paper, so that close hatching is as dark at any ratio.
    bare = cv2.multiply(cv2.bitwise_not(here), cv2.bitwise_not(block(stamps.ink)), scale=1 / 255)
    cv2.bitwise_not(bare, dst=here)


def ring(radius: Callable[[float], float], count: int = 40, middle: Point = (0.0, 0.0)) -> list[Point]:
    """Give a closed outline from its radius at every angle, radians clockwise from east."""
    angles = [2 * math.pi * k / count for k in range(count + 1)]
    return [(middle[0] + radius(a) * math.cos(a), middle[1] + radius(a) * math.sin(a)) for a in angles]
