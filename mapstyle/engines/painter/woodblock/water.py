"""Water: Prussian blue wiped from the open sea towards the shore, lines carved along it, crests, streams, decks."""

import math
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Brush, Colour, Share, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import ramp
from mapstyle.engines.painter.wash.pigment import ByLevel, at_level, ceil_reach
from mapstyle.engines.painter.wash.sparse import Sparse, largest_of
from mapstyle.engines.painter.woodblock.knife import LINE_REACH, outline, slipped
from mapstyle.engines.painter.woodblock.plank import COLOUR, KEY, clear, draw, glaze, lay
from mapstyle.engines.painter.woodblock.stamps import stamps

Field = NDArray[np.float32]
f32 = np.float32


class Water(Sparse):
    """Seas, lakes and wide rivers: deep offshore, pale towards the shore, a dark line of shallows, carved lines."""

    brush: Literal["water"] = "water"
    needs: ClassVar[frozenset[str]] = frozenset({"water_area", "shore"})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR, KEY})

    inks: tuple[tuple[float, Colour], ...] = Setting(
        ((3.0, "#b4d0c8"), (13.0, "#86b4bb"), (28.0, "#4a86a8"), (46.0, "#265f8f"), (64.0, "#174573")),
        description="distance from the shore, px, and the blue there",
    )
    spread: ByLevel = Setting(((0.0, 1.0),), description="factor on distances from the shore, by level")
    shallows: Colour = Setting("#1b4775", description="ink of the line of shallows")
    dark: Share = Setting(0.85, description="strength of that line")
    band: float = Setting(6.0, ge=0.5, le=16, description="width over which it is wiped out, px")
    bands: Share = Setting(0.35, description="how far the open sea is wiped in slow level bands")
    line: ByLevel = Setting(((0.0, 1.2),), description="width of the key-line at the shore, px, by level")
    carved: Share = Setting(0.55, description="strength of the lines carved along shores")
    gap: float = Setting(5.5, ge=2, le=20, description="distance of the first carved line, px")
    growth: float = Setting(1.22, ge=1.02, le=2, description="factor from one gap to the next")
    until: float = Setting(44.0, ge=8, le=64, description="distance at which carved lines have faded, px")
    slip: tuple[int, int] = Setting((-1, 1), description="px by which the blue misses the key block, right and down")

    @property
    def reach(self) -> int:
        """The key-line, and the blue that misses it; distances come from a control."""
        return LINE_REACH + max(map(abs, self.slip))

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow water area."""
        return largest_of(canvas, "water_area")

    def touch(self, canvas: Canvas) -> None:
        """Print the blues, the shallows, the carved lines and the shore."""
        s = canvas.s
        whole = canvas.cover("water_area")
        clear(canvas, whole)
        spread = at_level(self.spread, canvas.level)
        shore = canvas.control("shore") * f32(1 / spread)
        deep = canvas.noise(64, 3, 0.55, 351) * f32(2.6)
        deep *= ramp(shore, 2.0, 20.0)
        deep += shore
        far = ramp(shore, 18.0, 60.0)
        slow = canvas.noise(512, 4, 0.5, 352, 0.25) * f32(26 * self.bands)
        slow -= f32(9 * self.bands)
        slow *= far
        deep += slow
        mask = slipped(whole, self.slip, s)
        self._blues(canvas, deep, mask)
        dark = ramp(deep, self.band, 0.0)
        dark *= dark
        dark *= mask
        lay(canvas, dark * f32(self.dark), rgb(self.shallows))
        if not canvas.base:
            self._carve(canvas, shore, mask)
        draw(canvas, outline(canvas, whole, at_level(self.line, canvas.level)))

    def _blues(self, canvas: Canvas, deep: Field, mask: Field) -> None:
        # A quarter of a pixel of depth to each byte: 64 px fill it.
        index = cv2.convertScaleAbs(np.maximum(deep, 0), alpha=4.0)
        knots = np.array([d for d, _ in self.inks])
        known = np.array([rgb(c) for _, c in self.inks])
        planes = canvas.planes[COLOUR]
        for i in range(3):
            table = np.interp(np.arange(256) / 4.0, knots, known[:, i]).astype(f32)
            change = cv2.LUT(index, table)
            change -= planes[i]
            change *= mask
            planes[i] += change

    def _carve(self, canvas: Canvas, shore: Field, mask: Field) -> None:
        s = canvas.s
        d = canvas.noise(32, 3, 0.55, 353) * f32(0.9)
        d += shore
        np.maximum(d, 0, out=d)
        # Gaps grow by a constant factor: lines lie at whole values of this logarithm.
        rise = self.growth - 1
        place = d * f32(rise / self.gap)
        place += f32(1)
        np.log(place, out=place)
        place *= f32(1 / math.log(self.growth))
        place -= np.floor(place + f32(0.5))
        np.abs(place, out=place)
        local = d * f32(rise)
        local += f32(self.gap)
        local *= f32(math.log(self.growth) / rise)
        place *= local
        width = ramp(d, self.until, self.gap)
        width *= f32(0.45)
        width += f32(0.15)
        line = width - place
        line *= f32(s)
        line += f32(0.5)
        np.clip(line, 0, 1, out=line)
        line *= ramp(d, self.until, 0.45 * self.until)
        line *= ramp(d, 0.5 * self.gap, 0.8 * self.gap)
        line *= ramp(canvas.noise(64, 4, 0.6, 354), -0.7, 0.5)
        line *= mask
        if "calm" in canvas.scene:
            line *= f32(1) - f32(0.8) * canvas.control("calm")
        lay(canvas, line * f32(self.carved), rgb(self.shallows))


class Waves(Sparse):
    """Crests of waves offshore: crescents of bare paper, one within another, in schools."""

    brush: Literal["waves"] = "waves"
    needs: ClassVar[frozenset[str]] = frozenset({"water_area", "shore", "calm"})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR})

    foam: Colour = Setting("#eaf0e0", description="colour of the crests")
    ink: Colour = Setting("#123a66", description="colour of the hollow beneath them")
    cell: int = Setting(32, ge=12, le=48, description="room for one crest, px")
    radius: tuple[float, float] = Setting((7.0, 12.0), description="smallest and largest, px")
    layers: int = Setting(2, ge=1, le=4, description="lattices laid over one another")
    offshore: float = Setting(26.0, ge=4, le=60, description="least distance from the shore, px")
    cover: Share = Setting(0.5, description="share of the sea that has them")
    strength: Share = Setting(0.75, description="strength")
    stream: int = Setting(45, ge=0, description="which luck they follow; another number, other places")

    @property
    def reach(self) -> int:
        """From a crest's rim to the place that decides whether it stands."""
        return self.cell

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow water area; a model gets none."""
        return None if canvas.base else largest_of(canvas, "water_area")

    def touch(self, canvas: Canvas) -> None:
        """Leave the crests bare."""
        s = canvas.s
        schools = canvas.noise(128, 3, 0.55, 361, 0.5) * f32(0.55)
        schools += f32(2.4 * self.cover - 1.2)
        far = ramp(canvas.control("shore"), self.offshore, self.offshore + 16)
        far *= canvas.cover("water_area")
        if "calm" in canvas.scene:
            far *= f32(1) - canvas.control("calm")
        schools += (far - f32(1)) * f32(4)
        foam, hollow = canvas.zeros(), canvas.zeros()
        for k in range(self.layers):
            keep = schools > f32(0.35 * k - 0.2)
            if not keep.any():
                continue
            move = int(0.5 * self.cell * k)
            seed = (canvas.seed * 131 + self.stream * 32 + k) & 0x7FFFFFFF
            found = stamps(canvas.frame, self.cell, self.radius, seed, keep, (move, int(0.6 * move)))
            y, x, r, u, v = found.y, found.x, found.radius, found.dx, found.dy
            # The circle's middle lies below the crest; of it only an arch to both sides is cut.
            v = v - f32(0.35) * r
            away = np.sqrt(u * u + v * v)
            arch = np.clip((-v / np.maximum(away, f32(1e-3)) - f32(0.25)) * f32(1.6), 0, 1)
            for ring, width in ((1.0, 1.5), (0.66, 1.1), (0.36, 0.8)):
                half = arch * f32(width * 0.5 * s)
                line = np.clip(half - np.abs(away - r * f32(ring)) + f32(0.3), 0, 1) * (arch > 0)
                foam[y, x] = np.maximum(foam[y, x], line)
                under = np.clip(half - np.abs(away - r * f32(ring) + f32(1.3 * s)) + f32(0.2), 0, 1) * (arch > 0)
                hollow[y, x] = np.maximum(hollow[y, x], under)
        lay(canvas, hollow * f32(0.6 * self.strength), rgb(self.ink))
        ragged = ramp(canvas.noise(8, 2, 0.6, 362), -2.2, -0.6)
        foam *= ragged
        lay(canvas, foam * f32(self.strength), rgb(self.foam))


class Streams(Sparse):
    """Rivers, streams and ditches as lines: one blue, between key-lines where there is room."""

    brush: Literal["streams"] = "streams"
    needs: ClassVar[frozenset[str]] = frozenset({"water_line", "water_area"})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR, KEY})

    ink: Colour = Setting("#3f7fa6", description="colour")
    line: ByLevel = Setting(((12.0, 0.0), (15.0, 0.6)), description="width of the key-lines, px, by level")

    @property
    def reach(self) -> int:
        """The key-lines."""
        return LINE_REACH

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow water line."""
        return largest_of(canvas, "water_line")

    def touch(self, canvas: Canvas) -> None:
        """Print the stream."""
        mask = canvas.cover("water_line")
        if "water_area" in canvas.scene:
            mask = mask * (f32(1) - canvas.cover("water_area"))
        clear(canvas, mask)
        lay(canvas, mask, rgb(self.ink))
        line = at_level(self.line, canvas.level)
        if line > 0:
            draw(canvas, outline(canvas, mask, line) * f32(0.8))


class Decks(Brush):
    """Bridges and piers: reserved paper with a blue shade on the water and firm key-lines."""

    brush: Literal["decks"] = "decks"
    needs: ClassVar[frozenset[str]] = frozenset({"bridge", "pier", "water_area"})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR, KEY})

    pier: Colour = Setting("#dcc79c", description="colour of piers")
    shadow: Colour = Setting("#5b6a94", description="colour of the shade")
    depth: ByLevel = Setting(((12.0, 1.0), (16.0, 2.0), (18.0, 4.0)), description="width of the shade, px, by level")
    line: ByLevel = Setting(((12.0, 0.5), (15.0, 1.0)), description="width of the key-lines, px, by level")

    @property
    def reach(self) -> int:
        """The longest shade, and the key-line."""
        return ceil_reach(max(v for _, v in self.depth), 1, LINE_REACH)

    def paint(self, canvas: Canvas) -> None:
        """Shade, then print."""
        marks = largest_of(canvas, "bridge", "pier")
        if marks is None or not cv2.countNonZero(marks):
            return
        s = canvas.s
        away = max(1, round(at_level(self.depth, canvas.level) * s))
        thrown = marks.copy()
        for step in range(1, away + 1):
            cv2.max(thrown[step:, step:], marks[:-step, :-step], dst=thrown[step:, step:])
        shade = cv2.subtract(thrown, marks).astype(f32) * f32(0.8 / 255)
        glaze(canvas, shade, rgb(self.shadow))
        line = at_level(self.line, canvas.level)
        if "pier" in canvas.scene:
            mask = canvas.cover("pier")
            clear(canvas, mask)
            lay(canvas, mask, rgb(self.pier))
            draw(canvas, outline(canvas, mask, line))
        if "bridge" in canvas.scene:
            draw(canvas, outline(canvas, canvas.cover("bridge"), line))
