"""Things put down one by one: a sheet of small pictures, and lattices whose cells each hold at most one.

A picture fills a cell and the thing lies wholly inside it, so nothing is ever cut, no neighbour is ever
searched for, and a layer costs in proportion to what stands there, not to the window.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from mapstyle.engines.painter.canvas import Canvas
from mapstyle.noise import hash2

Field = NDArray[np.float32]
f32 = np.float32


@dataclass(frozen=True)
class Sheet:
    """Pictures of one kind of thing, all of one size.

    Attributes:
        rgb: float32[n, 3, k, k], colour, 0..1.
        alpha: float32[n, k, k], coverage, 0..1.
        height: float32[n, k, k], how far it rises above what it stands on, real pixels.
        feet: int[n, 2], column and row in the cell of the place it stands on.
    """

    rgb: Field
    alpha: Field
    height: Field
    feet: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Real pixels on the side."""
        return int(self.alpha.shape[-1])


@dataclass(frozen=True)
class Lattice:
    """The whole cells of a world lattice inside a window.

    Attributes:
        size: real pixels on the side of a cell.
        left: window column where the first whole cell begins.
        top: window row where it begins.
        hashed: uint32[rows, columns], one hash a cell.
    """

    size: int
    left: int
    top: int
    hashed: NDArray[np.uint32]

    def cells(self, plane: NDArray[Any]) -> NDArray[Any]:
        """See a plane as [rows, columns, size, size] without copying."""
        rows, columns = self.hashed.shape
        begin = plane[self.top :, self.left :]
        down, right = plane.strides
        k = self.size
        return as_strided(begin, (rows, columns, k, k), (k * down, k * right, down, right))

    def at(self, plane: NDArray[Any], feet: NDArray[np.int64]) -> NDArray[Any]:
        """Look a plane up at one place in each cell: ``feet`` is int[rows, columns, 2]."""
        rows, columns = self.hashed.shape
        x = self.left + np.arange(columns)[None, :] * self.size + feet[..., 0]
        y = self.top + np.arange(rows)[:, None] * self.size + feet[..., 1]
        return plane[y, x]


def lattice(canvas: Canvas, cell: int, offset: tuple[int, int], stream: int) -> Lattice | None:
    """Lay a lattice of ``cell`` logical pixels, moved by ``offset``, over a window. Reach: ``cell``."""
    frame, s = canvas.frame, canvas.s
    size = cell * s
    x0, y0 = frame.column + offset[0] * s, frame.row + offset[1] * s
    first_column, first_row = -(-x0 // size), -(-y0 // size)
    columns = (x0 + frame.width) // size - first_column
    rows = (y0 + frame.height) // size - first_row
    if columns <= 0 or rows <= 0:
        return None
    hashed = hash2(
        np.arange(first_column, first_column + columns)[None, :],
        np.arange(first_row, first_row + rows)[:, None],
        (canvas.seed * 1009 + stream) & 0x7FFFFFFF,
    )
    return Lattice(size, first_column * size - x0, first_row * size - y0, hashed)


def place(canvas: Canvas, cells: Lattice, sheet: Sheet, kept: NDArray[np.bool_], picture: NDArray[np.int64]) -> None:
    """Put a sheet's pictures into the kept cells: colour over, height and fine relief added.

    Args:
        canvas: its ``albedo``, ``height`` and ``bump`` are changed.
        cells: a lattice whose cells are as large as the pictures.
        sheet: the pictures.
        kept: bool[rows, columns].
        picture: int[rows, columns], which picture.
    """
    row, column = np.nonzero(kept)
    if not len(row):
        return
    chosen = picture[row, column]
    alpha = sheet.alpha[chosen]
    for channel in range(3):
        view = cells.cells(canvas.planes["albedo"][channel])
        below = view[row, column]
        below += alpha * (sheet.rgb[chosen, channel] - below)
        view[row, column] = below
    rise = sheet.height[chosen]
    view = cells.cells(canvas.planes["height"])
    view[row, column] = np.maximum(view[row, column], f32(0)) * alpha + view[row, column] * (1 - alpha) + rise
    view = cells.cells(canvas.planes["bump"])
    view[row, column] = view[row, column] * (f32(1) - alpha) + rise


def share(hashed: NDArray[np.uint32], salt: int = 0) -> Field:
    """Give a number in [0, 1) from a cell's hash; each salt gives another."""
    h = hashed * np.uint32(2654435761 + 2 * salt * 40503) + np.uint32(salt * 0x85EBCA77 & 0xFFFFFFFF)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    return (h >> np.uint32(8)).astype(f32) * f32(1 / 16777216)
