"""Railways: ballast shoulder, sleepers and two bright rails; tram tracks in the street."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from mapstyle.engines.painter.brush import Brush, Colour, Share, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.diorama.surface import (
    blend,
    bounds,
    grain,
    lay,
    ramped,
    tuft,
)
from mapstyle.engines.painter.masks import remainder

f32 = np.float32


class Rails(Brush):
    """The reason for it all: track as modellers lay it."""

    brush: Literal["rails"] = "rails"
    needs: ClassVar[frozenset[str]] = frozenset({"rail", "rail_u", "rail_v", "building"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "height", "bump", "shine"})

    ballast: Colour = Field("#a0968a", description="gravel of the bed")
    sleeper: Colour = Field("#4c3a2d", description="sleepers")
    rail: Colour = Field("#dcd8d2", description="heads of the rails")
    gravel: Share = Field(0.8, description="grain of the ballast")

    def paint(self, canvas: Canvas) -> None:
        """Lay the track."""
        if "rail" not in canvas.scene:
            return
        far = np.abs(canvas.control("rail_u"))
        box = bounds((far < f32(7)).view(np.uint8) | canvas.control("rail"))
        if box is None:
            return
        s, far, along = canvas.s, far[box], canvas.control("rail_v")[box]
        level = canvas.level
        # Track is shown wider than it is until a pixel is small enough for the truth.
        gauge = float(np.interp(level, (8, 12, 14, 16, 17, 18), (0.3, 0.4, 0.6, 1.15, 1.7, 2.6)))
        bed = float(np.interp(level, (8, 12, 14, 16, 17, 18), (0.7, 0.9, 1.7, 3.4, 4.8, 7.2)))
        fine, coarse = grain(canvas)[box], tuft(canvas)[box]
        edge = far - coarse * f32(0.3 * min(1.0, bed / 4))
        shoulder = ramped(edge, bed, bed - max(0.5, 0.16 * bed))
        clear = f32(1) - np.minimum(canvas.control("building")[box].astype(f32) * f32(1 / 128), f32(1))
        # Wide yards, where the nearest axis may not be told, are ballast all over.
        np.maximum(shoulder, canvas.control("rail")[box].astype(f32) * f32(1 / 255), out=shoulder)
        shoulder *= clear
        tone = fine * f32(0.17 * self.gravel)
        tone += coarse * f32(0.07 * self.gravel)
        tone += f32(1)
        lay(canvas.planes["albedo"], [tone * f32(c) for c in rgb(self.ballast)], shoulder, box)
        raised = ramped(edge, bed, bed * 0.62) * shoulder
        blend(canvas.planes["bump"][box], 0.0, shoulder)
        canvas.planes["bump"][box] += raised * f32(0.8 * s) + shoulder * fine * f32(0.2 * s * self.gravel)
        blend(canvas.planes["height"][box], 0.8 * s, raised)
        canvas.planes["shine"][box] *= f32(1) - shoulder
        if level >= 13.5:
            pitch = float(np.interp(level, (13, 14, 16, 17, 18), (2.6, 2.6, 3.0, 3.8, 5.4)))
            gap = remainder(along, pitch)
            gap -= f32(pitch / 2)
            np.abs(gap, out=gap)
            wood = ramped(gap, pitch * 0.30 + 0.25, pitch * 0.30 - 0.35)
            wood *= ramped(far, gauge * 1.75 + 0.3, gauge * 1.75 - 0.3)
            wood *= clear
            lay(canvas.planes["albedo"], rgb(self.sleeper), wood * f32(0.92), box)
            canvas.planes["bump"][box] += wood * f32(0.22 * s)
        elif level >= 11.5:
            lay(canvas.planes["albedo"], rgb(self.sleeper), ramped(far, gauge + 0.5, gauge - 0.2) * f32(0.5), box)
        half = 0.36 if level < 16.5 else 0.5
        off = np.abs(far - f32(gauge))
        iron = ramped(off, half + 0.40, half - 0.30) if level >= 13.5 else ramped(far, 0.7, 0.1) * f32(0.8)
        iron *= clear
        lay(canvas.planes["albedo"], rgb(self.rail), iron, box)
        canvas.planes["shine"][box] += iron * f32(0.12)
        canvas.planes["bump"][box] += iron * f32(0.3 * s)


class Trams(Brush):
    """Tram tracks let into the street."""

    brush: Literal["trams"] = "trams"
    needs: ClassVar[frozenset[str]] = frozenset({"tram"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo"})
    levels: tuple[float, float] = (14.0, 30.0)

    steel: Colour = Field("#5d5c60", description="the grooves")

    def paint(self, canvas: Canvas) -> None:
        """Draw the grooves."""
        if "tram" in canvas.scene:
            lay(canvas.planes["albedo"], rgb(self.steel), canvas.cover("tram") * f32(0.5))
