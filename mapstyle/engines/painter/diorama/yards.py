"""Gardens round the houses: lots with lawns of their own, hedges between them, paving by the walls."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mapstyle.engines.painter.brush import Brush, Colour, Share, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.diorama.surface import (
    OCCUPIED,
    bounds,
    class_table,
    colour_table,
    homesteads,
    lay,
    look_up,
    occupied,
    raise_to,
    ramped,
    soften,
    tints,
    tuft,
)
from mapstyle.layers import LandClass
from mapstyle.noise import hash2, unit

f32 = np.float32
Plane = NDArray[np.float32]
_NEAR = 18
"""Logical pixels round a house that are garden."""
_GARDENS = class_table({LandClass.RESIDENTIAL: 1.0, LandClass.GARDEN: 0.7})


class Yards(Brush):
    """Cuts residential land into lots."""

    brush: Literal["yards"] = "yards"
    needs: ClassVar[frozenset[str]] = OCCUPIED | {"landcover"}
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "height", "bump"})
    levels: tuple[float, float] = (14.5, 30.0)

    lawns: tuple[Colour, ...] = Field(
        ("#7f9a55", "#8fa35f", "#6f904c", "#9aa26a", "#86985a", "#a79f78", "#75954f", "#93a566"),
        min_length=8, max_length=8, description="lawns, one a lot",
    )  # fmt: skip
    hedge: Colour = Field("#4a6337", description="hedges between lots")
    paving: Colour = Field("#bfb49e", description="paved strip by the walls")
    paved: Share = Field(0.55, description="strength of the paving")

    @property
    def reach(self) -> int:
        """How far a house's garden goes."""
        return _NEAR + 5

    def paint(self, canvas: Canvas) -> None:
        """Lay out the lots."""
        if "building" not in canvas.scene:
            return
        here = look_up(canvas.control("landcover"), _GARDENS)
        here *= soften(homesteads(canvas, _NEAR), 1.5 * canvas.s)
        box = bounds((here > 0).view(np.uint8), 6 * canvas.s)
        if box is None:
            return
        s = canvas.s
        make = _lots_small if canvas.level < 15.5 else _lots if canvas.level < 16.5 else _lots_large
        lots = canvas.texture(512, make)[box]
        gap, own = np.ascontiguousarray(lots[..., 0]), np.ascontiguousarray(lots[..., 1])
        here = here[box]
        kind = (own * f32(8)).astype(np.uint8)
        lay(canvas.planes["albedo"], tints(kind, colour_table(self.lawns)), here * f32(0.62), box)
        tone = tuft(canvas)[box] * here * f32(0.03) + f32(1)
        for plane in canvas.planes["albedo"]:
            plane[box] *= tone
        wall = soften(np.ascontiguousarray(canvas.control("building")[box]), 1.4 * s)
        wall = ramped(wall, 0.10, 0.40)
        wall *= here
        wall *= ramped(own * f32(7.3) - np.floor(own * f32(7.3)), 0.25, 0.5)
        lay(canvas.planes["albedo"], rgb(self.paving), wall * f32(self.paved), box)
        canvas.planes["bump"][box] *= f32(1) - f32(0.6) * wall
        if canvas.level < 15.5:
            return
        free = f32(1) - np.minimum(occupied(canvas)[box].astype(f32) * f32(1 / 100), f32(1))
        wide = 0.8 if canvas.level < 16.5 else 1.3
        hedge = ramped(gap + tuft(canvas)[box] * f32(0.22), wide + 0.55, wide - 0.2)
        hedge *= free
        hedge *= here
        lay(canvas.planes["albedo"], rgb(self.hedge), hedge * f32(0.9), box)
        lump = hedge * (f32(1.3 * wide * s) + tuft(canvas)[box] * f32(0.25 * s))
        canvas.planes["bump"][box] += lump * f32(0.5)
        target = canvas.planes["height"][box]
        raise_to(target, lump)


def _lots_small(period: int, s: int) -> Plane:
    return _worley(period, s, 11)


def _lots(period: int, s: int) -> Plane:
    return _worley(period, s, 19)


def _lots_large(period: int, s: int) -> Plane:
    return _worley(period, s, 34)


def _worley(period: int, s: int, about: int) -> Plane:
    """Make float32[period, period, 2] of cells (Worley, 1996): logical pixels to the border, and a hash.

    The lattice is jittered by a fifth, so that lots stay of like size and nearly rectangular.
    """
    n = round(period / s / about)
    size = period / n
    ids = np.arange(n)
    h = hash2(ids[None, :], ids[:, None], 811)
    px = (ids[None, :] + 0.5 + 0.40 * (unit(h) - 0.5)) * size
    py = (ids[:, None] + 0.5 + 0.40 * (unit(h * np.uint32(747796405) + np.uint32(5)) - 0.5)) * size
    own = unit(h * np.uint32(2891336453) + np.uint32(77))
    at = (np.arange(period) + 0.5).astype(np.float64)
    cell = (at / size).astype(np.int64)
    first = np.full((period, period), 1e9, f32)
    second, value, beside = first.copy(), np.zeros((period, period), f32), np.zeros((period, period), f32)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            row, column = cell[:, None] + dy, cell[None, :] + dx
            x = px[row % n, column % n] + np.floor_divide(column, n) * period
            y = py[row % n, column % n] + np.floor_divide(row, n) * period
            d = np.hypot(at[None, :] - x, at[:, None] - y).astype(f32)
            this = own[row % n, column % n]
            nearer, next_to = d < first, d < second
            beside = np.where(nearer, value, np.where(next_to, this, beside))
            second = np.where(nearer, first, np.minimum(second, d))
            value = np.where(nearer, this, value)
            first = np.minimum(first, d)
    # Not every pair of neighbours has a hedge; the sum is the same from either side.
    pair = (value + beside) * 37.0
    hedged = pair - np.floor(pair) < 0.55
    return np.dstack([np.where(hedged, (second - first) / s, 99.0), value]).astype(f32)
