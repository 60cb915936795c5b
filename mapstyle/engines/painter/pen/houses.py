"""Houses: a black shadow, an outline, and roofs hatched along their ridges on the side away from the light."""

import math
from functools import lru_cache
from typing import ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Brush, Share, blur_reach
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import blur
from mapstyle.engines.painter.pen.nib import (
    INK,
    POOL,
    SEPIA,
    TREMBLE,
    WATER_INK,
    Bytes,
    Levelled,
    at_level,
    blur8,
    boundaries,
    calm8,
    draw,
    erase,
    f32,
    outline,
    solid_table,
    to_bytes,
    tremble,
    trembling,
)
from mapstyle.engines.painter.pen.strokes import Manner, hatching, inked, tone_for, turned

_DX, _DY = 0.72, 0.70
"""Direction in which shadows fall, to the south-east: a unit vector."""
_UNITS = 14
"""Bytes to a real pixel of height while shadows are cast."""
_LONGEST = 8
_LOW = 1.0
"""Logical pixels: a roof no higher than this has no ridge to speak of."""
_TURNS = 32
_PERIOD = 128


class Shadows(Brush):
    """Crisp black shadows of buildings, as long as they are high, up to a limit."""

    brush: Literal["shadows"] = "shadows"
    needs: ClassVar[frozenset[str]] = frozenset({"building", "building_height"})
    writes: ClassVar[frozenset[str]] = frozenset({INK})

    length: Levelled = Setting(((0.0, 0.6),), description="length over the height of the eaves, by level")
    least: float = Setting(0.3, ge=0, le=4, description="length of the shadow of the lowest building, px")
    most: float = Setting(6.0, ge=0, le=_LONGEST, description="longest shadow, px")
    strength: Share = Setting(0.95, description="blackness")

    @property
    def reach(self) -> int:
        """Steps of doubling length, the tremble, a blur."""
        return 2 * math.ceil(self.most) + TREMBLE + 1 + blur_reach(0.5)

    def paint(self, canvas: Canvas) -> None:
        """Cast them."""
        if "building" not in canvas.scene:
            return
        s = canvas.s
        units = _UNITS // s if s > 1 else _UNITS
        height = canvas.control("building_height") * f32(at_level(self.length, canvas.level))
        # Heights are filled out to every pixel that a wall touches; coverage says where the wall is.
        high = (height > 0) & (canvas.control("building") > 127)
        height += f32(self.least)
        np.minimum(height, f32(self.most), out=height)
        height *= f32(s * units)
        # One step more, so that a shadow's last pixel is covered as far as the shadow goes into it.
        height += f32(1.4142 * units)
        height *= high
        shade = height.astype(np.uint8)
        step = 1
        while step <= self.most * s:
            mx, my = round(_DX * step), round(_DY * step)
            fall = round(units * math.hypot(mx, my))
            moved = cv2.subtract(shade[: shade.shape[0] - my, : shade.shape[1] - mx], fall)
            part = shade[my:, mx:]
            cv2.max(part, moved, dst=part)
            step *= 2
        # What is left of the height where the shadow ends says how far into the pixel it goes.
        dark = cv2.convertScaleAbs(shade, alpha=255 / (1.4142 * units))
        dark = blur8(tremble(canvas, dark), 0.5 * s)
        dark = cv2.LUT(dark, solid_table(0.5 * s, 0.0))
        draw(canvas, cv2.convertScaleAbs(dark, alpha=self.strength))


class Houses(Brush):
    """Outlines and roofs."""

    brush: Literal["houses"] = "houses"
    needs: ClassVar[frozenset[str]] = frozenset({"building", "building_id", "roof", "roof_kind", "calm"})
    writes: ClassVar[frozenset[str]] = frozenset({INK, WATER_INK, SEPIA, POOL})

    outline: Levelled = Setting(((0.0, 1.0),), description="width of the outline, px, by level")
    parting: Share = Setting(0.8, description="blackness of the lines between houses that touch")
    pitch: float = Setting(2.5, ge=1.5, le=6, description="distance of the hatching, px")
    dark: float = Setting(1.1, ge=0, le=3, description="width of strokes on the side away from the light, px")
    flat: float = Setting(
        0.0, ge=-1, le=3, description="width of strokes in the middle of flat roofs, px; below 0.3 they lift"
    )
    parapet: Levelled = Setting(((0.0, 0.0),), description="width of the line inside the edge of flat roofs, by level")
    ridge: Share = Setting(0.6, description="blackness of the ridge's line")

    @property
    def reach(self) -> int:
        """The tremble, and how far a flat roof's direction is gathered."""
        return 20

    def paint(self, canvas: Canvas) -> None:
        """Draw the houses."""
        if "building" not in canvas.scene:
            return
        s = canvas.s
        body = blur8(trembling(canvas, "building"), 0.5 * s)
        erase(canvas, cv2.LUT(body, solid_table(0.5 * s, 0.2 * s)), washes=True)
        width = at_level(self.outline, canvas.level)
        draw(canvas, outline(trembling(canvas, "building"), width, s))
        inside = cv2.LUT(body, solid_table(0.5 * s, -0.7 * s))
        if self.parting > 0:
            self._partings(canvas, inside)
        if not canvas.base:
            self._roofs(canvas, inside)

    def _partings(self, canvas: Canvas, inside: Bytes) -> None:
        line = boundaries(canvas.control("building_id"), canvas.s)
        line = cv2.convertScaleAbs(blur8(tremble(canvas, line), 0.4 * canvas.s), alpha=1.8)
        cv2.min(line, inside, dst=line)
        draw(canvas, cv2.convertScaleAbs(line, alpha=self.parting))

    def _roofs(self, canvas: Canvas, inside: Bytes) -> None:
        s = canvas.s
        kind = canvas.control("roof_kind")
        roof = blur(canvas.control("roof"), 0.7 * s)
        gx = cv2.Sobel(roof, cv2.CV_32F, 1, 0, ksize=3, scale=s / 8)
        gy = cv2.Sobel(roof, cv2.CV_32F, 0, 1, ksize=3, scale=s / 8)
        # Uphill to the north-west means that the slope faces away from the light.
        away = gx + gy
        away *= f32(-90)
        np.clip(away, 0, 60, out=away)
        turn = cv2.phase(gx, gy)
        # The ridge runs across the slope; half a circle of directions.
        turn *= f32(_TURNS / math.pi)
        turn += f32(_TURNS / 2)
        turn = turn.astype(np.int16)
        turn &= _TURNS - 1
        pitched = cv2.compare(kind, 1, cv2.CMP_GT)
        level = cv2.compare(kind, 1, cv2.CMP_EQ)
        tone = cv2.multiply(away.astype(np.uint8), 1, scale=(tone_for(self.dark) - 20) / 60)
        tone = cv2.add(cv2.min(tone, pitched), 20)
        turn8 = turn.astype(np.uint8)
        if cv2.countNonZero(level):
            own = self._wall_directions(canvas)
            turn8 = np.where(level > 0, own, turn8)
            tone = np.where(level > 0, self._flat_tone(canvas), tone)
        quiet = calm8(canvas, 60)
        held = cv2.bitwise_not(inside)
        if quiet is not None:
            cv2.add(held, quiet, dst=held)
        value = turned(_roof_texture(self.pitch, s), canvas.frame, turn8)
        draw(canvas, inked(value, tone, s, held))
        if self.ridge > 0:
            # On a ridge, and where hips meet, the smoothed roof is level.
            line = to_bytes(cv2.magnitude(gx, gy), -560 * self.ridge, 255 * self.ridge)
            line[roof < f32(_LOW)] = 0
            draw(canvas, cv2.min(cv2.min(line, pitched), inside))
        width = at_level(self.parapet, canvas.level)
        if width > 0 and cv2.countNonZero(level):
            line = outline(trembling(canvas, "building"), width, s, 1.9)
            cv2.min(line, cv2.min(level, self._large(canvas)), dst=line)
            draw(canvas, cv2.convertScaleAbs(line, alpha=0.8))

    def _flat_tone(self, canvas: Canvas) -> Bytes:
        """Give the tone of flat roofs: darker towards the walls that face away from the light, else nearly bare."""
        soft = blur8(_halved(canvas), 2.2)
        step = 2
        shade = np.zeros(soft.shape, f32)
        inner = shade[step:-step, step:-step]
        cv2.subtract(soft[: -2 * step, : -2 * step], soft[2 * step :, 2 * step :], dst=inner, dtype=cv2.CV_32F)
        shade *= f32(0.62)
        shade += f32(tone_for(self.flat))
        wide = cv2.resize(shade, canvas.frame.shape[::-1], interpolation=cv2.INTER_LINEAR)
        wide += canvas.noise(32, 3, 0.6, 9) * f32(9)
        np.clip(wide, 0, tone_for(self.dark), out=wide)
        return wide.astype(np.uint8)

    def _large(self, canvas: Canvas) -> Bytes:
        """Mark what is at least 14 px wide, on a sheet of half the resolution."""
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
        kept = cv2.dilate(cv2.morphologyEx(_halved(canvas), cv2.MORPH_OPEN, disc), np.ones((3, 3), np.uint8))
        return cv2.resize(kept, canvas.frame.shape[::-1], interpolation=cv2.INTER_NEAREST)

    def _wall_directions(self, canvas: Canvas) -> Bytes:
        """Give the direction of the walls near by, as a number of a direction of the hatching.

        Directions that a quarter turn apart count as one are averaged as unit vectors of four times the angle, on
        a sheet of half the resolution that begins on world multiples.
        """

        def make() -> Bytes:
            half = _halved(canvas)
            gx = cv2.Sobel(half, cv2.CV_32F, 1, 0, ksize=3)
            gy = cv2.Sobel(half, cv2.CV_32F, 0, 1, ksize=3)
            a, b = gx * gx - gy * gy, f32(2) * gx * gy
            weight = np.sqrt(a * a + b * b)
            weight += f32(1)
            a4, b4 = (a * a - b * b) / weight, f32(2) * a * b / weight
            size = (17, 17)
            a4 = cv2.GaussianBlur(a4, size, 2.7, borderType=cv2.BORDER_REPLICATE)
            b4 = cv2.GaussianBlur(b4, size, 2.7, borderType=cv2.BORDER_REPLICATE)
            angle = cv2.phase(a4, b4)
            # A quarter of the angle, in eighths of the quarter circle, so that neighbours mostly agree.
            step = np.floor(angle * f32(8 / (2 * math.pi)) + f32(0.5)).astype(np.uint8)
            step &= 7
            step *= np.uint8(_TURNS // 16)
            return cv2.resize(step, canvas.frame.shape[::-1], interpolation=cv2.INTER_NEAREST)

        return canvas.keep("wall directions", make)


def _halved(canvas: Canvas) -> Bytes:
    def make() -> Bytes:
        share = 0.5 / canvas.s
        return cv2.resize(canvas.control("building"), None, fx=share, fy=share, interpolation=cv2.INTER_AREA)

    return canvas.keep("halved buildings", make)


@lru_cache(maxsize=8)
def _roof_texture(pitch: float, ratio: int) -> Bytes:
    return hatching(Manner.MOWN, _TURNS, _PERIOD, pitch)(_PERIOD * ratio, ratio)
