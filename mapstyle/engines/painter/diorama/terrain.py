"""Mountains of plaster, the painted globe of small scales, and borders."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mapstyle.engines.painter.brush import Brush, Colour, Share, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.diorama.surface import (
    class_table,
    grain,
    lay,
    look_up,
    ramped,
    tuft,
)
from mapstyle.engines.painter.masks import slope
from mapstyle.layers import LandClass

f32 = np.float32
Plane = NDArray[np.float32]
L = LandClass
_BARES = class_table(
    {L.GROUND: 1.0, L.GRASS: 0.9, L.MEADOW: 0.8, L.HEATH: 0.9, L.SCRUB: 0.7, L.ROCK: 1.0, L.WETLAND: 0.3, L.PARK: 0.2}
)


def _latitudes(canvas: Canvas) -> NDArray[np.float64]:
    """Give the latitude of each row's middle, degrees: of the row, whatever the frame.

    On grids that are not Mercator's, rows are no parallels; the frame's own column would then decide, so
    the grid's origin meridian stands for all.
    """
    s, frame = canvas.s, canvas.frame
    rows = (frame.row + np.arange(frame.height) + 0.5) / s
    return frame.grid.unproject(np.column_stack([np.zeros_like(rows), rows]))[:, 1]


class Mountains(Brush):
    """Bare rock on steep slopes, tawny grass above the trees, then grey plaster, then snow."""

    brush: Literal["mountains"] = "mountains"
    needs: ClassVar[frozenset[str]] = frozenset({"elevation", "landcover"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "bump"})

    rock: Colour = Field("#a89f92", description="bare rock")
    scree: Colour = Field("#b9ae9b", description="high ground above the grass")
    alpine: Colour = Field("#a39a63", description="grass above the trees")
    snow: Colour = Field("#f3f5f6", description="summits")
    steepness: float = Field(1.0, ge=0.2, le=4, description="how steep a slope keeps its grass")
    cold: float = Field(0.0, ge=-2000, le=2000, description="metres by which trees and snow come further down")

    @property
    def reach(self) -> int:
        """The slope."""
        return 1

    def paint(self, canvas: Canvas) -> None:
        """Paint what grows, or does not, by height and slope."""
        if "elevation" not in canvas.scene:
            return
        s, height = canvas.s, canvas.control("elevation")
        bare = look_up(canvas.control("landcover"), _BARES)
        middle, fine = canvas.noise(32, 3, 0.6, 9), tuft(canvas)
        latitude = _latitudes(canvas)
        per_pixel = (canvas.frame.grid.pixels_per_metre(latitude) * s).astype(f32)[:, None]
        gx, gy = slope(height)
        gx *= gx
        gy *= gy
        gx += gy
        steep = np.sqrt(gx)
        steep *= per_pixel
        limit = float(np.interp(canvas.level, (8, 10, 12, 14), (0.16, 0.27, 0.42, 0.55))) * self.steepness
        steep *= f32(1 / limit)
        steep += middle * f32(0.13)
        steep += fine * f32(0.07)
        # Trees end lower towards the poles (after Koerner 1998, rounded).
        trees = np.interp(np.abs(latitude), (0, 30, 42, 50, 60, 70), (3900, 3600, 2350, 1850, 900, 100)) - self.cold
        above = np.subtract(height, trees[:, None], dtype=f32)
        above += middle * f32(70)
        above += canvas.noise(128, 4, 0.55, 3) * f32(60)
        albedo = canvas.planes["albedo"]
        lay(albedo, rgb(self.alpine), ramped(above, -350, 50) * bare * f32(0.6))
        lay(albedo, rgb(self.scree), ramped(above, 150, 520) * bare * f32(0.75))
        rocky = ramped(steep, 0.85, 1.35)
        rocky *= bare
        shade = middle * f32(0.05) + fine * f32(0.05) + f32(1)
        lay(albedo, [shade * f32(c) for c in rgb(self.rock)], rocky * f32(0.8))
        snowy = ramped(above - steep * f32(170), 330, 560)
        snowy *= np.maximum(bare, f32(0.3))
        lay(albedo, rgb(self.snow), snowy)
        crag = rocky * (f32(1) - snowy)
        crag *= canvas.noise(16, 3, 0.6, 61)
        canvas.planes["bump"] += crag * f32(0.42 * s)
        canvas.planes["bump"] *= f32(1) - f32(0.5) * snowy


class Globe(Brush):
    """Land as on a painted relief globe: by climate, with a breath of colour for each country."""

    brush: Literal["globe"] = "globe"
    needs: ClassVar[frozenset[str]] = frozenset({"landcover", "territory"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "bump"})
    levels: tuple[float, float] = (0.0, 9.0)

    climates: tuple[Colour, ...] = Field(
        ("#6d8a4e", "#8a9656", "#c2ad78", "#b5a46e", "#8f985c", "#75894f", "#667c55", "#96997a", "#e6eaea"),
        min_length=9, max_length=9,
        description="at latitudes 0, 9, 19, 31, 41, 50, 60, 70 and 82",
    )  # fmt: skip
    countries: Share = Field(0.35, description="difference between neighbouring countries")

    def paint(self, canvas: Canvas) -> None:
        """Paint the land; the closer, the less of it is left."""
        share = float(np.interp(canvas.level, (6.5, 9.0), (1.0, 0.0)))
        if share <= 0:
            return
        flow, big = canvas.noise(128, 4, 0.55, 3), canvas.noise(256, 4, 0.6, 14)
        latitude = np.abs(_latitudes(canvas)).astype(f32)[:, None] + flow * f32(1.2) + big * f32(1.4)
        stops = (0, 9, 19, 31, 41, 50, 60, 70, 82)
        table = np.array([rgb(c) for c in self.climates])
        # A table by quarter degree, so that equal latitudes give equal colour.
        steps = np.clip(latitude * f32(2.8), 0, 255).astype(np.uint8)
        at = np.arange(256) / 2.8
        ground = (canvas.control("landcover") == 0).astype(f32) * f32(share)
        tone = flow * f32(0.03) + tuft(canvas) * f32(0.03) + grain(canvas) * f32(0.02) + f32(1)
        hue = None
        if "territory" in canvas.scene:
            mixed = canvas.control("territory") * np.uint32(0x9E3779B1)
            hue = look_up((mixed >> np.uint32(24)).astype(np.uint8), np.linspace(-0.5, 0.5, 256, dtype=f32))
            hue *= f32(self.countries * 0.5)
        colour = []
        for channel, turn in enumerate((1.0, 0.15, -0.6)):
            plane = look_up(steps, np.interp(at, stops, table[:, channel]).astype(f32)) * tone
            if hue is not None:
                plane *= hue * f32(turn) + f32(1)
            colour.append(plane)
        lay(canvas.planes["albedo"], colour, ground)


class Borders(Brush):
    """Borders as a painted line."""

    brush: Literal["borders"] = "borders"
    needs: ClassVar[frozenset[str]] = frozenset({"border"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo"})
    levels: tuple[float, float] = (0.0, 12.5)

    colour: Colour = Field("#8d4f3f", description="the line")
    strength: Share = Field(0.5, description="how strong it is")

    def paint(self, canvas: Canvas) -> None:
        """Draw the line."""
        if "border" in canvas.scene:
            lay(canvas.planes["albedo"], rgb(self.colour), canvas.cover("border") * f32(self.strength))
