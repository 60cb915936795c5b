"""Houses: two-tone roofs in many hues, a flat violet shadow, key-lines about each."""

from functools import cached_property
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Colour, Share, blur_reach, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import blur, cast, ramp
from mapstyle.engines.painter.wash.pigment import ByLevel, at_level, byte_hash, ceil_reach, look_up, spread_table
from mapstyle.engines.painter.wash.sparse import Sparse, largest_of
from mapstyle.engines.painter.woodblock.knife import LINE_REACH, outline, seams, slipped
from mapstyle.engines.painter.woodblock.plank import COLOUR, KEY, clear, draw, glaze

Field = NDArray[np.float32]
f32 = np.float32

_LIGHT = (0.72, 0.70)
"""Where shadows fall: right and down, for a light from the north-west."""
_FLAT = 1
"""``roof_kind`` of a flat roof."""


class Shadows(Sparse):
    """The shadows of houses: one flat transparent violet."""

    brush: Literal["shadows"] = "shadows"
    needs: ClassVar[frozenset[str]] = frozenset({"building", "building_height"})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR})

    ink: Colour = Setting("#8a82ac", description="colour")
    strength: Share = Setting(0.7, description="strength")
    length: float = Setting(0.55, ge=0, le=2, description="length for each px of height")
    longest: float = Setting(8.0, ge=1, le=24, description="longest shadow, px")

    @property
    def reach(self) -> int:
        """The doubled steps of the cast."""
        return ceil_reach(self.longest + 2, blur_reach(0.5))

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow building."""
        return largest_of(canvas, "building")

    def touch(self, canvas: Canvas) -> None:
        """Print the shadows."""
        s = canvas.s
        height = canvas.control("building_height") * f32(self.length * s)
        np.minimum(height, f32(self.longest * s), out=height)
        fallen = cast(height, *_LIGHT, 1.0, int(self.longest * s) // 2)
        mask = ramp(fallen, 0.0, 1.0)
        mask *= f32(1) - canvas.cover("building")
        mask = blur(mask, 0.5 * s)
        glaze(canvas, mask * f32(self.strength), rgb(self.ink))


class Roofs(Sparse):
    """Roofs: each building one hue, light towards the north-west and dark away from it."""

    brush: Literal["roofs"] = "roofs"
    needs: ClassVar[frozenset[str]] = frozenset({"building", "building_id", "roof", "roof_kind"})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR, KEY})

    pitched: tuple[Colour, ...] = Setting(("#c46a4e", "#d58a62"), description="colours of gabled and hipped roofs")
    flat: tuple[Colour, ...] = Setting(("#d8b08a", "#a9a5a4"), description="colours of flat roofs")
    shade: Colour = Setting("#8b7590", description="what dark sides are printed over with")
    second: Share = Setting(0.75, description="strength of that second printing")
    variety: Share = Setting(0.25, description="how much buildings of a hue differ in tone")
    rim: Share = Setting(0.3, description="how far flat roofs are graded towards their shaded edge")
    line: ByLevel = Setting(
        ((13.0, 0.35), (16.0, 0.7), (17.0, 1.0)), description="width of the key-lines, px, by level"
    )
    ridge: Share = Setting(0.5, description="strength of the line along ridges")
    slip: tuple[int, int] = Setting((1, 0), description="px by which the colour misses the key block, right and down")

    @property
    def reach(self) -> int:
        """Slopes, the grading of flat roofs, key-lines."""
        return ceil_reach(max(LINE_REACH, blur_reach(0.6) + 1, 3 + blur_reach(2.0)), max(map(abs, self.slip)), 1)

    @cached_property
    def _tables(self) -> tuple[Field, Field]:
        def table(colours: tuple[str, ...]) -> Field:
            known = np.array([rgb(c) for c in colours], f32)
            return np.ascontiguousarray(known[np.arange(256) % len(colours)].T)

        return table(self.pitched), table(self.flat)

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow building."""
        return largest_of(canvas, "building")

    def touch(self, canvas: Canvas) -> None:
        """Print light sides, then dark ones, then the lines."""
        s = canvas.s
        ids = canvas.control("building_id")
        whole = canvas.cover("building")
        mask = slipped(whole, self.slip, s)
        byte = byte_hash(ids, 3)
        char = cv2.dilate(byte * (ids != 0), np.ones((2 * s + 1, 2 * s + 1), np.uint8))
        char = np.where(ids != 0, byte, char)
        roof = blur(canvas.control("roof"), 0.6 * s)
        slope = cv2.Sobel(roof, cv2.CV_32F, 1, 0, ksize=3, scale=s / 8) + cv2.Sobel(
            roof, cv2.CV_32F, 0, 1, ksize=3, scale=s / 8
        )
        is_flat = (canvas.control("roof_kind") == _FLAT).astype(f32)
        # Flat roofs are wiped towards the south-east, pitched ones parted at the ridge.
        soft = blur(whole, 2.0 * s)
        edge = np.ones_like(soft)
        away = 3 * s
        edge[:-away, :-away] = soft[away:, away:]
        dark = ramp(edge, 0.95, 0.35)
        dark *= is_flat
        dark *= f32(self.rim)
        pitched = ramp(slope, 0.03, -0.10)
        pitched *= f32(self.second)
        pitched *= f32(1) - is_flat
        dark += pitched
        tone = look_up(spread_table(6), char)
        tone -= f32(0.5)
        tone *= f32(self.variety)
        tone += f32(1)
        shade, (hues, flats) = rgb(self.shade), self._tables
        planes = canvas.planes[COLOUR]
        clear(canvas, whole)
        flat_on = blur(is_flat, 0.5 * s)
        for i in range(3):
            colour = look_up(flats[i] - hues[i], char)
            colour *= flat_on
            colour += look_up(hues[i], char)
            colour *= tone
            np.minimum(colour, 1, out=colour)
            left = dark * f32(shade[i] - 1)
            left += f32(1)
            colour *= left
            colour -= planes[i]
            colour *= mask
            planes[i] += colour
        width = at_level(self.line, canvas.level)
        if width > 0:
            draw(canvas, outline(canvas, whole, width))
            draw(canvas, seams(canvas, ids, width) * whole * f32(0.8))
        if self.ridge > 0 and canvas.level >= 15.5 and not canvas.base:
            bend = pitched[:, :] * f32(1 / max(self.second, 0.01))
            ridge = np.abs(blur(bend, 0.6 * s) - f32(0.5))
            line = ramp(ridge, 0.30, 0.10) * f32(self.ridge)
            line *= ramp(roof, 0.5, 1.5)
            line *= ramp(blur(whole, 0.7 * s), 0.85, 0.99)
            draw(canvas, line)
