"""Water: clear resin over a painted bed; turquoise shelf, surf, gentle waves, reeds' brown banks."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mapstyle.engines.painter.brush import Brush, Colour, Share, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.diorama.surface import (
    bounds,
    lay,
    quiet,
    ramped,
    smear,
    soften,
    tuft,
)
from mapstyle.engines.painter.masks import slope, warp

f32 = np.float32
Plane = NDArray[np.float32]
_MOUTH = 8.0


class Water(Brush):
    """Seas, lakes and streams in resin, sunk a little below the ground."""

    brush: Literal["water"] = "water"
    needs: ClassVar[frozenset[str]] = frozenset({"water_area", "water_line", "ocean", "shore", "calm", "pier"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "shine"})

    shallow: Colour = Field("#7fc0b0", description="over sand, by the sea's shore")
    shelf: Colour = Field("#3f9aa6", description="over the sea's shelf")
    deep: Colour = Field("#14506e", description="open sea")
    abyss: Colour = Field("#0e3e5c", description="where the slow noise is darkest")
    lake_rim: Colour = Field("#6a9a8c", description="by the shore of a lake")
    lake: Colour = Field("#2a6a7c", description="middle of a lake")
    stream: Colour = Field("#437a80", description="streams and ditches")
    bank: Colour = Field("#86704c", description="bare earth of a bank")
    sand: Colour = Field("#d8c493", description="sand along the sea")
    wander: float = Field(0.8, ge=0, le=3, description="how far shores wander, logical px")
    surf: Share = Field(0.85, description="strength of the surf")
    glint: Share = Field(0.5, description="light of the lamp on waves")

    @property
    def reach(self) -> int:
        """A river's mouth and the shore's wandering."""
        return int(np.ceil(3 * _MOUTH)) + int(np.ceil(4 * self.wander)) + 2

    def paint(self, canvas: Canvas) -> None:
        """Pour the water."""
        cover = all_water(canvas)
        if cover is None:
            return
        s = canvas.s
        wet = shape_of_water(canvas, cover, self.wander)
        # A river's mouth has no line across it.
        ocean = smear(canvas.cover("ocean"), _MOUTH * s) if "ocean" in canvas.scene else None
        self._bank(canvas, cover, wet, ocean)
        self._fill(canvas, wet, ocean)
        self._glints(canvas, wet)

    def _bank(self, canvas: Canvas, cover: NDArray[np.uint8], wet: Plane, ocean: Plane | None) -> None:
        bank = ramped(soften(cover, 1.5 * canvas.s), 0.05, 0.45)
        bank *= f32(1) - wet
        if ocean is None:
            bank *= f32(0.6)
            lay(canvas.planes["albedo"], rgb(self.bank), bank)
            return
        by_sea = ramped(canvas.control("shore"), -6.0, -1.0) * canvas.keep(
            "near_ocean", lambda: ramped(ocean, 0.1, 0.4)
        )
        bank *= f32(0.6)
        lay(canvas.planes["albedo"], rgb(self.bank), bank * (f32(1) - by_sea))
        lay(canvas.planes["albedo"], rgb(self.sand), bank * by_sea)

    def _fill(self, canvas: Canvas, wet: Plane, ocean: Plane | None) -> None:
        slow, middle = canvas.noise(256, 4, 0.6, 14), canvas.noise(32, 3, 0.6, 9)
        shore = canvas.control("shore")
        off = np.maximum(shore, f32(0)) if shore.dtype == f32 else shore.astype(f32)
        area = canvas.cover("water_area") if "water_area" in canvas.scene else canvas.zeros()
        # Lakes and streams.
        depth = off * f32(1 / 22)
        depth += middle * f32(0.10)
        depth = ramped(depth, 0.0, 1.0)
        np.sqrt(depth, out=depth)
        colour = []
        for rim, mid, thin in zip(rgb(self.lake_rim), rgb(self.lake), rgb(self.stream), strict=True):
            plane = depth * f32(mid - rim)
            plane += f32(rim - thin)
            plane *= area
            plane += f32(thin)
            colour.append(plane)
        if ocean is not None:
            self._sea(canvas, colour, off, slow, middle, ocean)
        tone = middle * f32(0.02) + f32(1)
        for plane in colour:
            plane *= tone
        lay(canvas.planes["albedo"], colour, wet)

    def _sea(self, canvas: Canvas, colour: list[Plane], off: Plane, slow: Plane, middle: Plane, ocean: Plane) -> None:
        """Grade from sand through turquoise to blue, with banks of waves that follow the shore."""
        wide = 1.0 if canvas.level >= 11 else 0.75
        away = off * f32(1 / wide)
        away += middle * f32(2.0) + slow * f32(4.0)
        near, shelf, sea = ramped(away, 8.0, 1.0), ramped(away, 46.0, 8.0), ramped(slow, -0.4, 1.6)
        shelf *= shelf
        phase = off * f32(1 / 7.5)
        phase += canvas.noise(64, 3, 0.6, 41) * f32(0.9)
        phase -= np.floor(phase)
        swell = np.abs(phase - f32(0.5)) - f32(0.25)
        swell *= ramped(off, 40.0, 4.0)
        swell *= f32(0.11)
        surf = self._surf(canvas, off, middle) if canvas.level >= 9 else ramped(off, 2.0, 0.5) * f32(0.45)
        surf *= f32(self.surf)
        share = ramped(ocean, 0.15, 0.5)
        np.maximum(share, ramped(ocean, 0.0, 0.1) * (off <= 0), out=share)
        inputs = (rgb(self.shallow), rgb(self.shelf), rgb(self.deep), rgb(self.abyss))
        for i, plane in enumerate(colour):
            shallow, mid, deep, abyss = (f32(c[i]) for c in inputs)
            there = sea * (abyss - deep)
            there += deep
            there += shelf * (mid - there)
            there += near * (shallow - there)
            there += swell * (f32(0.35) + there)
            there += surf * (f32(0.97) - there)
            there -= plane
            there *= share
            plane += there

    def _surf(self, canvas: Canvas, off: Plane, middle: Plane) -> Plane:
        """Give a bright line at the shore and a second, broken one outside it."""
        place = off + canvas.noise(16, 2, 0.6, 1) * f32(0.5)
        first = ramped(place, 2.6, 0.9)
        lace = tuft(canvas) * f32(0.28)
        lace += f32(0.78)
        # Some shores lie open to the sea, some are sheltered.
        lace *= ramped(canvas.noise(128, 4, 0.55, 3), -1.3, 0.5)
        first *= lace
        second = np.abs(place - f32(5.2) - middle * f32(0.8))
        second = ramped(second, 1.1, 0.3)
        second *= ramped(canvas.noise(64, 3, 0.6, 41) + tuft(canvas) * f32(0.4), 0.1, 1.2)
        second *= f32(0.5)
        return np.clip(np.maximum(first, second), 0, 1)

    def _glints(self, canvas: Canvas, wet: Plane) -> None:
        """Throw the lamp's light back where waves lean the right way."""
        s = canvas.s
        rx, ry = slope(canvas.noise(32, 3, 0.45, 51, 0.5), 2.2 * s)
        still = quiet(canvas)
        rx *= f32(1.6)
        rx -= f32(0.30)
        ry *= f32(2.4)
        ry -= f32(0.28)
        rx *= rx
        ry *= ry
        rx += ry
        rx *= f32(-5.5)
        rx += f32(1)
        np.maximum(rx, f32(0), out=rx)
        rx *= rx
        soft = rx.copy()
        rx *= rx
        rx *= rx
        rx *= ramped(canvas.noise(64, 3, 0.55, 53), 0.0, 1.4)
        rx *= f32(0.75)
        rx += soft * f32(0.08)
        rx += f32(0.02)
        rx *= wet
        if still is not None:
            rx *= still
        rx *= f32(self.glint)
        canvas.planes["shine"] += rx


def all_water(canvas: Canvas) -> NDArray[np.uint8] | None:
    """Give the coverage of all water, None where there is none."""
    present = [n for n in ("water_area", "water_line") if n in canvas.scene]
    if not present:
        return None
    cover = canvas.control(present[0])
    for name in present[1:]:
        cover = np.maximum(cover, canvas.control(name))
    return None if bounds(cover) is None else cover


def shape_of_water(canvas: Canvas, cover: NDArray[np.uint8], wander: float) -> Plane:
    """Give where the water is, 0..1, its shores wandering a little. Reach: ``4 wander + 3``."""

    def make() -> Plane:
        far = f32(wander * canvas.s * (0.8 if canvas.level >= 10 else 0.4))
        dx, dy = canvas.noise(16, 2, 0.6, 1) * far, canvas.noise(16, 2, 0.6, 7) * far
        np.clip(dx, -4 * far, 4 * far, out=dx)
        np.clip(dy, -4 * far, 4 * far, out=dy)
        # Brooks are to be seen at large scales, islands at small ones.
        low, high = (0.28, 0.62) if canvas.level >= 10 else (0.5, 0.9)
        return ramped(soften(warp(cover, dx, dy), 0.6 * canvas.s), low, high)

    return canvas.keep(("wet", wander), make)


class Basin(Brush):
    """Sinks the water below its shores, which throw a narrow shadow on it, and gives it waves."""

    brush: Literal["basin"] = "basin"
    needs: ClassVar[frozenset[str]] = frozenset({"water_area", "water_line", "calm"})
    writes: ClassVar[frozenset[str]] = frozenset({"height", "bump"})

    wander: float = Field(0.8, ge=0, le=3, description="how far shores wander, as the water's own")
    depth: float = Field(1.3, ge=0, le=4, description="logical px below the shores")
    waves: float = Field(1.0, ge=0, le=3, description="relief of the waves")

    @property
    def reach(self) -> int:
        """The shore's wandering."""
        return int(np.ceil(4 * self.wander)) + 6

    def paint(self, canvas: Canvas) -> None:
        """Sink it."""
        cover = all_water(canvas)
        if cover is None:
            return
        s, wet = canvas.s, shape_of_water(canvas, cover, self.wander)
        strength = wet * f32(0.35 * self.waves * s)
        still = quiet(canvas)
        if still is not None:
            strength *= still
        strength *= canvas.noise(32, 3, 0.45, 51, 0.5)
        canvas.planes["bump"] *= f32(1) - wet
        canvas.planes["bump"] += strength
        # The rounded edge of the land takes the lamp.
        canvas.planes["bump"] -= smear(wet, 0.7 * s) * f32(0.9 * self.depth * s)
        canvas.planes["height"] -= wet * f32((self.depth if canvas.level > 9 else 0.6 * self.depth) * s)
