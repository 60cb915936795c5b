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
    """Cells of a world lattice in a window, in rows (or columns) each shifted by an amount of its own.

    Attributes:
        size: real pixels on the side of a cell.
        x: int[rows, columns], window column where each cell begins.
        y: int[rows, columns], window row where it begins.
        whole: bool[rows, columns], whether it lies wholly inside the window.
        hashed: uint32[rows, columns], one hash a cell.
    """

    size: int
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    whole: NDArray[np.bool_]
    hashed: NDArray[np.uint32]

    def cells(self, plane: NDArray[Any]) -> NDArray[Any]:
        """See a plane as every square of a cell's size in it: ``[y, x, size, size]``, without copying."""
        k = self.size
        rows, columns = plane.shape
        return as_strided(plane, (rows - k + 1, columns - k + 1, k, k), plane.strides * 2)

    def at(self, plane: NDArray[Any], feet: NDArray[np.int64]) -> NDArray[Any]:
        """Look a plane up at one place in each cell: ``feet`` is int[rows, columns, 2]; any value if not whole."""
        rows, columns = plane.shape
        x, y = self.x + feet[..., 0], self.y + feet[..., 1]
        return plane[np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)]


def lattice(canvas: Canvas, cell: int, layer: int, stream: int) -> Lattice | None:
    """Lay a lattice of ``cell`` logical pixels over a window. Reach: ``cell``.

    Each row of cells is shifted along itself by a hash, in every other layer each column instead: so that
    neither rows nor columns show, even where several lattices lie over each other.
    """
    frame, s = canvas.frame, canvas.s
    size = cell * s
    if min(frame.shape) < size:
        return None
    seed = (canvas.seed * 1009 + stream * 16 + layer) & 0x7FFFFFFF
    start = np.array([frame.column, frame.row]) + np.array([layer * 7 + 1, layer * 11 + 2]) % cell * s
    extent = np.array([frame.width, frame.height])
    if layer % 2:
        start, extent = start[::-1], extent[::-1]
    # First coordinate: along the strips; second: across them.
    strips = np.arange(start[1] // size, (start[1] + extent[1]) // size + 1)
    shifts = (hash2(strips, np.zeros_like(strips), seed + 1) % np.uint32(cell)).astype(np.int64) * s
    first = (start[0] + shifts) // size
    number = first[:, None] + np.arange(extent[0] // size + 2)[None, :]
    along = number * size - shifts[:, None] - start[0]
    across = np.broadcast_to((strips * size - start[1])[:, None], along.shape)
    whole = (along >= 0) & (along + size <= extent[0]) & (across >= 0) & (across + size <= extent[1])
    hashed = hash2(number, np.broadcast_to(strips[:, None], number.shape), seed)
    x, y = (across, along) if layer % 2 else (along, across)
    return Lattice(size, x, y, whole, hashed)


def place(canvas: Canvas, cells: Lattice, sheet: Sheet, kept: NDArray[np.bool_], picture: NDArray[np.int64]) -> None:
    """Put a sheet's pictures into the kept cells: colour over, height and fine relief added.

    Args:
        canvas: its ``albedo``, ``height`` and ``bump`` are changed.
        cells: a lattice whose cells are as large as the pictures.
        sheet: the pictures.
        kept: bool[rows, columns].
        picture: int[rows, columns], which picture.
    """
    kept = kept & cells.whole
    if not kept.any():
        return
    row, column = cells.y[kept], cells.x[kept]
    chosen = picture[kept]
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
