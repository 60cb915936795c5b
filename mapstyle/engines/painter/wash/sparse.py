"""Sparse brushes: work on the part of a window that holds what they paint, and leave the rest alone."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.engines.painter.brush import Brush
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.frame import Frame
from mapstyle.image import Scene

Field = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_STEP = 64
"""Parts begin and end on multiples of this many logical pixels, as windows do."""


class Part(Canvas):
    """Part of a canvas: its planes are views of the whole's, and what the whole has kept is not made again."""

    def __init__(self, whole: Canvas, frame: Frame) -> None:
        at = frame.slices(whole.frame)
        scene = Scene(frame, {name: plane[at] for name, plane in whole.scene.planes.items()})
        super().__init__(scene, whole.seed, whole.base)
        self._whole, self._at = whole, at
        self.planes = {name: plane[(..., *at)] for name, plane in whole.planes.items()}

    def _borrow(self, key: object) -> None:
        if key not in self._kept and key in self._whole._kept:
            self._kept[key] = self._whole._kept[key][(*self._axes(key), *self._at)]

    def _axes(self, key: object) -> tuple[Any, ...]:
        # Fields are (rows, columns), or hold several of them, or are textures with channels last.
        stacked = self._whole._kept[key].shape[:2] != self._whole.frame.shape
        return (Ellipsis,) if stacked else ()

    def noise(self, cell: int, octaves: int, gain: float, stream: int, aspect: float = 1.0) -> Field:
        """Give ground noise, the whole's if it has it."""
        self._borrow(("noise", cell, octaves, gain, stream, aspect))
        return super().noise(cell, octaves, gain, stream, aspect)

    def texture(self, period: int, make: Callable[[int, int], Field]) -> Field:
        """Give a periodic texture, the whole's if it has it."""
        self._borrow(("texture", period, make))
        return super().texture(period, make)

    def cover(self, name: str) -> Field:
        """Give a coverage control, the whole's if it has it."""
        self._borrow(("cover", name))
        return super().cover(name)

    def keep(self, key: object, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Give something dear, the whole's if it has it."""
        self._borrow(key)
        return super().keep(key, make)


class Sparse(Brush):
    """A brush that changes nothing further than its reach from the marks it follows."""

    def where(self, canvas: Canvas) -> Bytes | None:
        """Give what it follows, above 0 wherever there is any; None where there is nothing."""
        raise NotImplementedError

    def touch(self, canvas: Canvas) -> None:
        """Paint a canvas on which there is something to follow."""
        raise NotImplementedError

    def paint(self, canvas: Canvas) -> None:
        """Paint the part of the canvas about what is followed."""
        marks = self.where(canvas)
        if marks is None:
            return
        x, y, width, height = cv2.boundingRect(marks)
        if not width:
            return
        frame = canvas.frame
        box = Frame(frame.grid, frame.column + x, frame.row + y, width, height)
        # Once the reach for what is written about the marks, once more for what that looks at.
        near = box.pad(2 * self.reach).align(_STEP).intersection(frame)
        if near is not None:
            self.touch(canvas if near == frame else Part(canvas, near))


def largest_of(canvas: Canvas, *names: str) -> Bytes | None:
    """Give the largest of some coverage controls at each pixel; None where all are empty."""
    found = [canvas.control(n) for n in names if n in canvas.scene]
    if not found:
        return None
    out = found[0]
    for plane in found[1:]:
        out = cv2.max(out, plane)
    return out
