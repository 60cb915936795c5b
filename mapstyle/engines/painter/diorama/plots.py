"""Planted rows and natural textures: orchards, vineyards, reeds, sand ripples, ice, quarry steps."""

import math
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mapstyle.engines.painter.brush import Brush, Colour, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.diorama.ranks import ranks
from mapstyle.engines.painter.diorama.surface import (
    OCCUPIED,
    OCCUPIED_REACH,
    bounds,
    directions,
    grain,
    lay,
    occupied,
    quiet,
    raise_to,
    ramped,
    smear,
    tree_size,
    tuft,
)
from mapstyle.engines.painter.diorama.trees import canopy
from mapstyle.engines.painter.masks import remainder
from mapstyle.layers import LandClass

f32 = np.float32
Plane = NDArray[np.float32]
_PITCH = 8.4


class Orchards(Brush):
    """Fruit trees in ranks, each parcel in its own direction."""

    brush: Literal["orchards"] = "orchards"
    needs: ClassVar[frozenset[str]] = OCCUPIED | {"landcover", "parcel"}
    writes: ClassVar[frozenset[str]] = frozenset({"canopy"})
    levels: tuple[float, float] = (11.5, 30.0)

    radius: float = Field(2.9, ge=0.5, le=4, description="radius of a crown at level 16, logical px")
    missing: float = Field(0.06, ge=0, le=1, description="share of trees that have died")

    @property
    def reach(self) -> int:
        """Half a cell's diagonal at its largest."""
        return OCCUPIED_REACH + 11

    def paint(self, canvas: Canvas) -> None:
        """Plant them."""
        s, size = canvas.s, max(tree_size(canvas.level), 0.45)
        free = canvas.is_land((LandClass.ORCHARD,)).view(np.uint8) & (occupied(canvas) < 90).view(np.uint8)
        box = bounds(free, 11 * s)
        if box is None:
            return
        tree = ranks(canvas, box, free, _PITCH * size, _PITCH * size, 410)
        luck = (tree.hashed & np.uint32(1023)).astype(f32) * f32(1 / 1024)
        radius = f32(self.radius * size * s) * (f32(0.72) + f32(0.28) * luck)
        far = tree.along * tree.along + tree.across * tree.across
        far /= radius * radius
        far += tuft(canvas)[box] * f32(0.16)
        dome = np.maximum(f32(1) - far, f32(0))
        np.sqrt(dome, out=dome)
        alive = tree.kept & (luck > f32(self.missing))
        dome *= alive
        high = dome * radius * f32(1.35)
        shade = np.floor(f32(4.5) + dome * f32(9.5))
        tone = ((tree.hashed >> np.uint32(12)) % np.uint32(11)).astype(f32)
        np.copyto(tone, f32(15), where=(tree.hashed >> np.uint32(20)) % np.uint32(9) == 0)
        packed = np.floor(high * f32(64)) * f32(256)
        packed += (tone * f32(16) + shade) * (packed > 0)
        plane = canopy(canvas)[box]
        np.maximum(plane, packed, out=plane)


class Vineyards(Brush):
    """Vines on wires: rows of small bushes over bare earth."""

    brush: Literal["vineyards"] = "vineyards"
    needs: ClassVar[frozenset[str]] = OCCUPIED | {"landcover", "parcel", "calm"}
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "height", "bump"})
    levels: tuple[float, float] = (12.0, 30.0)

    leaf: Colour = Field("#6d8a44", description="vines")
    pitch: float = Field(4.6, ge=2, le=12, description="logical px between rows at level 16")

    @property
    def reach(self) -> int:
        """The clearing round what stands there."""
        return OCCUPIED_REACH

    def paint(self, canvas: Canvas) -> None:
        """Plant them."""
        s = canvas.s
        free = canvas.is_land((LandClass.VINEYARD,)).view(np.uint8) & (occupied(canvas) < 90).view(np.uint8)
        box = bounds(free)
        if box is None:
            return
        along, across = directions(canvas, box)
        pitch = self.pitch * s * float(np.interp(canvas.level, (12, 14, 16, 18), (0.7, 0.8, 1.0, 1.8)))
        across += canvas.noise(64, 3, 0.6, 23)[box] * f32(1.2 * s)
        row = np.abs(remainder(across, pitch) - f32(pitch / 2))
        stock = np.abs(remainder(along, 0.62 * pitch) - f32(0.31 * pitch))
        row += stock * f32(0.35)
        row += tuft(canvas)[box] * f32(0.05 * pitch)
        vine = ramped(row, 0.36 * pitch, 0.16 * pitch)
        vine *= free[box]
        tone = f32(1) + tuft(canvas)[box] * f32(0.07) + grain(canvas)[box] * f32(0.05)
        lay(canvas.planes["albedo"], [tone * f32(c) for c in rgb(self.leaf)], vine * f32(0.92), box)
        still = quiet(canvas)
        lump = vine * f32(0.26 * pitch)
        raise_to(canvas.planes["height"][box], lump)
        if still is not None:
            lump = lump * still[box]
        canvas.planes["bump"][box] += lump


class Wilds(Brush):
    """What open nature shows: pools and reeds, sand ripples, ice and crevasses, quarry steps, crags."""

    brush: Literal["wilds"] = "wilds"
    needs: ClassVar[frozenset[str]] = frozenset({"landcover", "shore", "calm"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "height", "bump", "shine"})

    pools: float = Field(0.6, ge=0, le=1, description="how much of a wetland is open water")
    water: Colour = Field("#4a7f84", description="pools of a wetland")
    reed: Colour = Field("#5f7338", description="reeds round pools")
    wet_sand: Colour = Field("#b79f73", description="sand that the last wave reached")
    crevasse: Colour = Field("#8fb9cf", description="ice in a crevasse")

    @property
    def reach(self) -> int:
        """The fading of crags and steps."""
        return math.ceil(3 * _FADE)

    def paint(self, canvas: Canvas) -> None:
        """Texture each kind of nature where there is any."""
        self._marsh(canvas)
        self._sand(canvas)
        self._ice(canvas)
        self._steps(canvas)

    def _marsh(self, canvas: Canvas) -> None:
        where = canvas.is_land((LandClass.WETLAND,))
        box = bounds(where)
        if box is None:
            return
        s, here = canvas.s, where[box].astype(f32)
        level = canvas.noise(32, 3, 0.6, 61)[box] + tuft(canvas)[box] * f32(0.22)
        brim = 1.5 - 1.4 * self.pools
        pool = ramped(level, brim, brim + 0.25) * here
        rim = ramped(level, brim - 0.7, brim) * here - pool
        np.maximum(rim, f32(0), out=rim)
        clumps = ramped(tuft(canvas)[box] + grain(canvas)[box] * f32(0.5), -0.3, 0.8) * rim
        lay(canvas.planes["albedo"], rgb(self.reed), clumps * f32(0.85), box)
        lay(canvas.planes["albedo"], rgb(self.water), pool, box)
        canvas.planes["bump"][box] *= f32(1) - pool
        canvas.planes["bump"][box] += clumps * f32(0.7 * s)
        raise_to(canvas.planes["height"][box], clumps * f32(0.9 * s))
        canvas.planes["shine"][box] += pool * f32(0.035)

    def _sand(self, canvas: Canvas) -> None:
        where = canvas.is_land((LandClass.BEACH,))
        box = bounds(where)
        if box is None:
            return
        s, here = canvas.s, where[box].astype(f32)
        off = canvas.control("shore")[box] + canvas.noise(32, 3, 0.6, 9)[box] * f32(0.7)
        lay(canvas.planes["albedo"], rgb(self.wet_sand), ramped(off, -5.0, -1.5) * here * f32(0.75), box)
        if canvas.level < 14.5 or canvas.base:
            return
        # Ripples lie along the shore.
        phase = off * f32(1 / 2.6) + canvas.noise(64, 3, 0.6, 41)[box] * f32(2.0)
        phase -= np.floor(phase)
        canvas.planes["bump"][box] += (np.abs(phase - f32(0.5)) - f32(0.25)) * here * f32(0.55 * s)

    def _ice(self, canvas: Canvas) -> None:
        where = canvas.is_land((LandClass.GLACIER,))
        box = bounds(where)
        if box is None:
            return
        s, here = canvas.s, where[box].astype(f32)
        swell = canvas.noise(64, 3, 0.6, 23)[box]
        canvas.planes["bump"][box] += swell * here * f32(1.1 * s)
        if canvas.level < 10:
            return
        crack = np.abs(canvas.noise(32, 3, 0.5, 51, 0.5)[box])
        crack = ramped(crack, 0.11, 0.03) * ramped(swell, -0.2, 0.7) * here
        lay(canvas.planes["albedo"], rgb(self.crevasse), crack * f32(0.8), box)
        canvas.planes["bump"][box] -= crack * f32(0.8 * s)

    def _steps(self, canvas: Canvas) -> None:
        """Give quarries steps and bare rock crags: relief that fades out at the border, so that no cliff shows."""
        s = canvas.s
        for land, relief in ((LandClass.QUARRY, _treads), (LandClass.ROCK, _crags)):
            where = canvas.is_land((land,))
            box = bounds(where, 6 * s)
            if box is not None:
                inside = ramped(smear(where[box].astype(f32), _FADE * s), 0.5, 1.0)
                canvas.planes["bump"][box] += relief(canvas)[box] * inside * f32(s)


_FADE = 1.6


def _treads(canvas: Canvas) -> Plane:
    deep = canvas.noise(128, 4, 0.55, 3) * f32(1.5)
    tread = np.floor(deep)
    return (tread + ramped(deep - tread, 0.66, 1.0)) * f32(1.2)


def _crags(canvas: Canvas) -> Plane:
    crag = np.abs(canvas.noise(16, 3, 0.6, 61))
    crag += np.abs(canvas.noise(32, 3, 0.6, 9))
    crag -= f32(1.6)
    crag *= f32(-0.9)
    return crag
