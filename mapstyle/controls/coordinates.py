"""Coordinates across and along lines, at every pixel near them."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.controls.draw import SHIFT, Easel
from mapstyle.controls.ways import Ways
from mapstyle.frame import Frame

FAR = 99
"""Value of ``u`` where no line is near."""
_FAR = 2048.0
"""Real pixels beyond a cell at which segments are cut off."""
_HOPS = 6
"""How many segments a pixel may move along a line to find the nearest; more only where the line is a tangle."""

f32 = np.float32
Field = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def line_coordinates(cell: Frame, ways: Ways, field: float, hides: NDArray[np.bool_]) -> tuple[Field, Field] | None:
    """Give (u, v) over a cell: offset across the nearest line's axis and length along it.

    Segments are drawn as thick lines whose colour is their number: first all as wide as the field, then all as
    wide as they are, so that a pixel on a way belongs to the way on top, and one between ways to some way near.
    Then every pixel is measured against its segment, and moves on along the line while that brings it nearer.

    Args:
        cell: where.
        ways: lines in drawing order.
        field: logical pixels beyond half a line's width within which coordinates are given.
        hides: bool[f], ways that have no coordinates, but take away those of what they cover.

    Returns:
        float32[height, width] twice, logical pixels; u is positive on the right of the line's direction and
        :data:`FAR` where no line is near. None where none is near at all.
    """
    segments = _Segments.of(cell, ways)
    index = _draw(cell, segments, ways.width, field, hides)
    rows, columns = np.nonzero(index)
    if not len(rows):
        return None
    x, y = columns.astype(f32) + f32(0.5), rows.astype(f32) + f32(0.5)
    own = index[rows, columns].astype(np.int64) - 1
    square, share = segments.measure(own, x, y)
    moving = np.arange(len(own))
    for _ in range(_HOPS):
        there = np.where(share[moving] < 0.5, segments.before[own[moving]], segments.after[own[moving]])
        other, other_share = segments.measure(there, x[moving], y[moving])
        nearer = other < square[moving]
        moving = moving[nearer]
        if not len(moving):
            break
        own[moving], square[moving], share[moving] = there[nearer], other[nearer], other_share[nearer]
    ratio = cell.grid.pixel_ratio
    distance = np.sqrt(square) * f32(1 / ratio)
    good = np.flatnonzero(distance <= (ways.width / 2 + field).astype(f32)[segments.way[own]])
    if not len(good):
        return None
    own, rows, columns = own[good], rows[good], columns[good]
    u, v = np.full(cell.shape, FAR, f32), np.zeros(cell.shape, f32)
    u[rows, columns] = np.where(segments.right(own, x[good], y[good]), distance[good], -distance[good])
    v[rows, columns] = segments.along[own] + share[good] * segments.length[own] * f32(1 / ratio)
    return u, v


@dataclass(frozen=True)
class _Segments:
    """Straight pieces of ways: starts and directions in real pixels of a cell, neighbours on their line.

    ``along`` is in logical pixels.
    """

    start: Floats
    end: Floats
    x: Field
    y: Field
    dx: Field
    dy: Field
    length: Field
    along: Floats
    before: Ints
    after: Ints
    way: Ints

    @classmethod
    def of(cls, cell: Frame, ways: Ways) -> "_Segments":
        """Take ways apart."""
        sizes = np.diff(ways.rings)
        line = np.repeat(np.arange(len(sizes)), sizes)
        place = Easel(cell).place(ways.coords)
        first = np.flatnonzero(line[1:] == line[:-1])
        line = line[first]
        start, end = place[first], place[first + 1]
        length = np.hypot(*(end - start).T)
        total = np.concatenate([[0.0], np.cumsum(length)])
        number = np.arange(len(first))
        begins = np.searchsorted(line, line)
        ends = np.searchsorted(line, line, side="right") - 1
        # A ring goes on where it began.
        closed = (place[ways.rings[line]] == place[ways.rings[line + 1] - 1]).all(axis=1)
        before = np.where(number > begins, number - 1, np.where(closed, ends, number))
        after = np.where(number < ends, number + 1, np.where(closed, begins, number))
        # Far ends do not fit single precision, nor OpenCV's fixed point, which overflows silently.
        skipped, start, end = _cut(start, end, np.array([cell.width, cell.height]))
        along = ways.along[line] + (total[number] - total[begins] + skipped) / cell.grid.pixel_ratio
        way = np.repeat(np.arange(len(ways)), np.diff(ways.features))[line]
        x, y = start.astype(f32).T
        dx, dy = (end - start).astype(f32).T
        return cls(start, end, x, y, dx, dy, np.hypot(dx, dy), along, before, after, way)

    def measure(self, which: Ints, x: Field, y: Field) -> tuple[Field, Field]:
        """Give squared distances to segments, and where on them (0..1) the nearest points lie."""
        dx, dy = self.dx[which], self.dy[which]
        px, py = x - self.x[which], y - self.y[which]
        share: Field = np.clip((px * dx + py * dy) / np.maximum(dx * dx + dy * dy, f32(1e-9)), f32(0), f32(1))
        px -= share * dx
        py -= share * dy
        square: Field = px * px + py * py
        return square, share

    def right(self, which: Ints, x: Field, y: Field) -> NDArray[np.bool_]:
        """Tell whether places lie on the right of segments."""
        return self.dx[which] * (y - self.y[which]) >= self.dy[which] * (x - self.x[which])


def _draw(
    cell: Frame, segments: _Segments, widths: Floats, field: float, hides: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Draw the number of a segment, from 1, at every pixel near one."""
    easel = Easel(cell)
    image: NDArray[np.int32] = easel.blank(np.int32)
    ratio = cell.grid.pixel_ratio
    band = (widths / 2 + field)[segments.way] * ratio
    low, high = np.minimum(segments.start, segments.end), np.maximum(segments.start, segments.end)
    size = np.array([cell.width, cell.height])
    near = ((high + band[:, None] > -2) & (low - band[:, None] < size + 2)).all(axis=1)
    chosen = np.flatnonzero(near)
    starts, ends = easel.fixed(segments.start[chosen]).tolist(), easel.fixed(segments.end[chosen]).tolist()
    way = segments.way[chosen]
    hidden = hides[way].tolist()
    # OpenCV's thickness t comes out as 2 floor(t / 2) + 1 pixels.
    wide = (2 * np.ceil(band[chosen])).astype(int).tolist()
    narrow = (2 * np.floor(widths[way] / 2 * ratio)).astype(int).tolist()
    numbers = (chosen + 1).tolist()
    for k, number in enumerate(numbers):
        if not hidden[k]:
            cv2.line(image, starts[k], ends[k], number, max(1, wide[k]), cv2.LINE_8, SHIFT)
    for k, number in enumerate(numbers):
        colour = 0 if hidden[k] else number
        cv2.line(image, starts[k], ends[k], colour, max(1, narrow[k]), cv2.LINE_8, SHIFT)
    return image


def _cut(start: Floats, end: Floats, size: Ints) -> tuple[Floats, Floats, Floats]:
    """Cut segments to a box far wider than the cell (Liang and Barsky, 1984).

    Gives how much was cut off the start of each, pixels, and what is left: a point of those that miss the box.
    """
    step = end - start
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (-_FAR - start) / step, (size + _FAR - start) / step
    still = step == 0
    enter = np.clip(np.where(still, -np.inf, np.minimum(a, b)).max(axis=1), 0.0, 1.0)
    leave = np.clip(np.where(still, np.inf, np.maximum(a, b)).min(axis=1), 0.0, 1.0)
    leave = np.maximum(enter, leave)
    return enter * np.hypot(*step.T), start + step * enter[:, None], start + step * leave[:, None]
