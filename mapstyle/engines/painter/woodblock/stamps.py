"""Stamps: one place in each cell of a jittered lattice, given pixel by pixel for the cells that are taken."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstyle.frame import Frame
from mapstyle.noise import hash2, unit

Field = NDArray[np.float32]
f32 = np.float32

_PARTS = 64
"""Middles lie on multiples of 1/64 px, which are exact wherever a window begins."""


@dataclass(frozen=True)
class Stamps:
    """The pixels near stamps, in no order; arrays of one length.

    Attributes:
        y: row in the frame.
        x: column in the frame.
        dx: real pixels from the stamp's middle to the pixel, right.
        dy: the same, down.
        radius: of the stamp, real pixels.
        luck: 0..1, the stamp's own number.
    """

    y: NDArray[np.int64]
    x: NDArray[np.int64]
    dx: Field
    dy: Field
    radius: Field
    luck: Field

    def at(self, chosen: NDArray[np.bool_]) -> "Stamps":
        """Give some of the pixels."""
        return Stamps(
            self.y[chosen], self.x[chosen], self.dx[chosen], self.dy[chosen], self.radius[chosen], self.luck[chosen]
        )


def stamps(
    frame: Frame,
    cell: int,
    radii: tuple[float, float],
    seed: int,
    keep: NDArray[np.bool_],
    offset: tuple[int, int] = (0, 0),
) -> Stamps:
    """Find the pixels of stamps, each wholly inside its cell. Reach: ``cell``.

    Args:
        frame: where.
        cell: logical pixels on the side of a lattice cell.
        radii: smallest and largest radius, logical pixels.
        seed: seed and stream.
        keep: bool over the frame: a stamp is kept where its middle's pixel is true.
        offset: logical pixels by which this lattice is moved.
    """
    s = frame.grid.pixel_ratio
    size = cell * s
    x0, y0 = frame.column + offset[0] * s, frame.row + offset[1] * s
    columns = np.arange(x0 // size, -(-(x0 + frame.width) // size))[None, :]
    rows = np.arange(y0 // size, -(-(y0 + frame.height) // size))[:, None]
    h, kind = hash2(columns, rows, seed), hash2(columns, rows, seed + 991)
    radius = (f32(radii[0]) + f32(radii[1] - radii[0]) * unit(kind)) * f32(s)
    room = np.maximum(f32(size / 2) - radius, 0)

    def middle(luck: NDArray[np.uint32]) -> Field:
        place = f32(size / 2) + (unit(luck) * f32(2) - f32(1)) * room
        return np.floor(place * f32(_PARTS)) * f32(1 / _PARTS)

    cx, cy = middle(h), middle(h * np.uint32(747796405) + np.uint32(2891336453))
    left = np.broadcast_to(columns * size - x0, h.shape)
    top = np.broadcast_to(rows * size - y0, h.shape)
    px, py = left + np.floor(cx).astype(np.int64), top + np.floor(cy).astype(np.int64)
    inside = (px >= 0) & (px < frame.width) & (py >= 0) & (py < frame.height)
    taken = inside & keep[np.clip(py, 0, frame.height - 1), np.clip(px, 0, frame.width - 1)]
    cx, cy, left, top, radius = cx[taken], cy[taken], left[taken], top[taken], radius[taken]
    luck = unit(kind[taken] * np.uint32(2654435761))
    steps = np.arange(size)
    shape = (len(cx), size, size)
    x = np.broadcast_to((left[:, None] + steps)[:, None, :], shape)
    y = np.broadcast_to((top[:, None] + steps)[:, :, None], shape)
    dx = np.broadcast_to((steps.astype(f32) - cx[:, None])[:, None, :], shape)
    dy = np.broadcast_to((steps.astype(f32) - cy[:, None])[:, :, None], shape)
    here = (x >= 0) & (x < frame.width) & (y >= 0) & (y < frame.height)
    own = [np.broadcast_to(a[:, None, None], shape)[here] for a in (radius, luck)]
    return Stamps(y[here], x[here], dx[here], dy[here], own[0], own[1])
