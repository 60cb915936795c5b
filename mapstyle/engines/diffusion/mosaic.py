"""Pictures of any frame, put together from cells of the world that are made once and kept a while."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from mapstyle.frame import Frame

CELL = 512
"""Real pixels on the side of a cell."""


class Mosaic:
    """A picture of the whole ground, uint8[height, width, 3], made where somebody looks; safe between threads.

    What is asked for in overlapping frames is so made once, and agrees to the bit wherever it was made.
    """

    def __init__(self, make: Callable[[Frame], NDArray[np.uint8]], cell: int = CELL, room: int = 300_000_000) -> None:
        """Make cells of ``cell`` real pixels with ``make`` and keep ``room`` bytes of them."""
        self._make = make
        self._cell = cell
        self._most = max(4, room // (cell * cell * 3))
        self._cells: OrderedDict[Frame, Future[NDArray[np.uint8]]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, frame: Frame) -> NDArray[np.uint8]:
        """Give a frame's picture, at the addresses of the home world where the grid closes."""
        out = np.empty((*frame.shape, 3), np.uint8)
        for part, home in frame.world_pieces():
            piece = np.empty((*home.shape, 3), np.uint8)
            for cell in home.pieces(self._cell, self._cell):
                column, row = cell.column // self._cell * self._cell, cell.row // self._cell * self._cell
                whole = Frame(frame.grid, column, row, self._cell, self._cell)
                piece[cell.slices(home)] = self._made(whole)[cell.slices(whole)]
            out[part.slices(frame)] = piece
        return out

    def _made(self, cell: Frame) -> NDArray[np.uint8]:
        with self._lock:
            future = self._cells.get(cell)
            mine = future is None
            if future is None:
                future = self._cells[cell] = Future()
                while len(self._cells) > self._most:
                    self._cells.popitem(last=False)
            else:
                self._cells.move_to_end(cell)
        if mine:
            try:
                future.set_result(self._make(cell))
            except BaseException as error:
                with self._lock:
                    self._cells.pop(cell, None)
                future.set_exception(error)
        return future.result()
