"""Water: shorelines, engraved water lines that fade from the bank, ripples far out, and streams."""

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
    calm8,
    draw,
    erase,
    f32,
    halo,
    solid_table,
    to_bytes,
    trembling,
)
from mapstyle.engines.painter.pen.strokes import FALL, PEAK, Manner, inked, one_way, tone_for, turned

_STEPS = 16
"""Steps of a logical pixel in which the distance to the shore is counted."""
_FAR, _INLAND = 66, 30
"""Logical pixels to which tables of that distance go, into the water and into the land."""
_SMOOTH = 0.8
_SWING = 70
"""Mean of the bytes that say how far tone wanders."""
_PERIOD = 512


def shore_steps(canvas: Canvas) -> np.ndarray:
    """Give int16[height, width, 2]: (steps from the shore, those inland first; 0). Reach: 3."""

    def make() -> np.ndarray:
        away = blur(canvas.control("shore"), _SMOOTH * canvas.s)
        # The hand sways more the farther it is from the line that it follows.
        sway = canvas.noise(32, 3, 0.6, 9) * f32(0.014)
        sway += f32(1)
        away *= sway
        away += canvas.noise(16, 2, 0.6, 1) * f32(0.22)
        away *= f32(_STEPS)
        away += f32(_INLAND * _STEPS)
        np.clip(away, 0, (_FAR + _INLAND) * _STEPS, out=away)
        out = np.zeros((*canvas.frame.shape, 2), np.int16)
        out[..., 0] = away
        return out

    return canvas.keep("shore steps", make)


@lru_cache(maxsize=16)
def _distances() -> np.ndarray:
    return np.arange((_FAR + _INLAND) * _STEPS + 2, dtype=f32) / f32(_STEPS) - f32(_INLAND)


def by_distance(canvas: Canvas, table: Bytes) -> Bytes:
    """Give a table's bytes by the distance to the shore. Reach: that of :func:`shore_steps`."""
    return cv2.remap(table[None, :], shore_steps(canvas), None, cv2.INTER_NEAREST)


def line_places(first: float, growth: float, far: float) -> list[float]:
    """Give distances of water lines from the shore: each gap ``growth`` times the one before."""
    places, at, gap = [], first, first
    while at < far:
        places.append(at)
        gap *= growth
        at += gap
    return places


class Water(Brush):
    """Sea, lakes and wide rivers: a shoreline, and water lines that follow it and fade.

    Gaps between water lines grow from the shore outwards and the lines weaken, as engravers drew them
    (Huffman, On Waterlines, Cartographic Perspectives 66, 2010).
    """

    brush: Literal["water"] = "water"
    needs: ClassVar[frozenset[str]] = frozenset({"water_area", "shore", "calm"})
    writes: ClassVar[frozenset[str]] = frozenset({INK, WATER_INK, POOL, SEPIA})

    first: float = Setting(2.3, ge=1, le=10, description="distance of the first water line from the shore, px")
    growth: float = Setting(1.13, ge=1, le=2, description="each gap over the one before")
    far: Levelled = Setting(((0.0, 44.0),), description="distance of the last water line, px, by level")
    width: tuple[float, float] = Setting((0.85, 0.3), description="width of the first and the last line, px")
    lift: float = Setting(0.55, ge=0, le=2, description="how far lines swell and break as the noise wanders, px")
    shore: Levelled = Setting(((0.0, 1.1),), description="width of the shoreline, px, by level")
    inland: float = Setting(
        12.5, ge=0, le=30, description="level from which lakes and rivers have a dark shore as well"
    )
    stipple: Levelled = Setting(((0.0, 0.0),), description="how closely dots stand on land along the coast, by level")
    ripples: Share = Setting(0.5, description="how many ripples there are far from the shore")
    pool: tuple[float, float] = Setting((0.85, 0.35), description="strength of the wash at the shore and far out")

    @property
    def reach(self) -> int:
        """The smoothing of the distances, which are true to far more than that."""
        return 3

    def paint(self, canvas: Canvas) -> None:
        """Draw the water."""
        if "shore" not in canvas.scene or not cv2.countNonZero(canvas.control("water_area")):
            return
        d = _distances()
        wet = np.clip(d * f32(canvas.s) + f32(0.5), 0, 1) * f32(255)
        erase(canvas, by_distance(canvas, wet.astype(np.uint8)), washes=True)
        width = at_level(self.shore, canvas.level)
        line = np.clip(f32(0.5) + (f32(width / 2) - np.abs(d - f32(0.2))) * f32(canvas.s), 0, 1) * f32(255)
        line8 = by_distance(canvas, line.astype(np.uint8))
        if canvas.level < self.inland and "ocean" in canvas.scene:
            sea = halo(canvas.control("ocean"), 2.0, canvas.s)
            draw(canvas, cv2.min(line8, sea))
            draw(canvas, cv2.min(line8, cv2.bitwise_not(sea)), WATER_INK)
        else:
            draw(canvas, line8, INK if canvas.level >= self.inland else WATER_INK)
        near, out = self.pool
        pool = np.where(d > 0, out + (near - out) * np.exp(-d / f32(9)), 0) * np.clip(wet / 255, 0, 1) * f32(255)
        cv2.max(canvas.planes[POOL], by_distance(canvas, pool.astype(np.uint8)), dst=canvas.planes[POOL])
        if not canvas.base:
            self._lines(canvas)
            self._ripples(canvas)
            self._stipple(canvas)

    def _lines(self, canvas: Canvas) -> None:
        d = _distances()
        far = at_level(self.far, canvas.level)
        value = np.zeros_like(d)
        for place in line_places(self.first, self.growth, far):
            fade = place / far
            lost = (self.width[0] - self.width[1]) * fade * FALL / 2
            np.maximum(value, f32(PEAK - lost) - np.abs(d - f32(place)) * f32(FALL), out=value)
        value = by_distance(canvas, np.rint(value).astype(np.uint8))
        # Lines swell and break the more the farther out they are.
        loose = np.clip(d / f32(0.6 * far), 0.12, 1.0)
        wander = canvas.noise(32, 3, 0.6, 9) * f32(0.75)
        cv2.scaleAdd(canvas.noise(128, 4, 0.55, 3), 0.5, wander, dst=wander)
        swing = to_bytes(wander, 40 * self.lift, _SWING)
        tone = cv2.multiply(swing, by_distance(canvas, np.rint(loose * 255).astype(np.uint8)), scale=1 / 255)
        steady = f32(tone_for(self.width[0])) - f32(_SWING) * loose
        cv2.add(tone, by_distance(canvas, np.rint(steady).astype(np.uint8)), dst=tone)
        held = calm8(canvas, 60)
        draw(canvas, inked(value, tone, canvas.s, held), WATER_INK)

    def _ripples(self, canvas: Canvas) -> None:
        if self.ripples <= 0:
            return
        d = _distances()
        far = at_level(self.far, canvas.level)
        open_sea = np.clip((d - f32(0.55 * far)) / f32(0.45 * far), 0, 1)
        mask = by_distance(canvas, np.rint(open_sea * 255).astype(np.uint8))
        if not cv2.countNonZero(mask):
            return
        texture = _ripple_texture(canvas.s)
        value = turned(texture, canvas.frame, np.zeros(canvas.frame.shape, np.uint8))
        wander = np.minimum(canvas.noise(128, 4, 0.55, 13), f32(1.3))
        tone = to_bytes(wander, 26.0, tone_for(0.0) - 20 + 50 * self.ripples)
        held = cv2.bitwise_not(mask)
        quiet = calm8(canvas, 60)
        if quiet is not None:
            cv2.add(held, quiet, dst=held)
        draw(canvas, inked(value, tone, canvas.s, held), WATER_INK)

    def _stipple(self, canvas: Canvas) -> None:
        close = at_level(self.stipple, canvas.level)
        if close <= 0:
            return
        d = _distances()
        # Dots thin out inland; there are none on the line itself.
        fade = np.where(d < f32(-1.2), f32(tone_for(1.25) * close) + d * f32(3.4), 0)
        tone = by_distance(canvas, np.rint(np.maximum(fade, 0)).astype(np.uint8))
        value = turned(_dot_texture(canvas.s), canvas.frame, np.zeros(canvas.frame.shape, np.uint8))
        held = calm8(canvas, 60)
        draw(canvas, inked(value, tone, canvas.s, held))


@lru_cache(maxsize=4)
def _dot_texture(ratio: int) -> Bytes:
    return one_way(Manner.DOTS, _PERIOD // 2 * ratio, ratio, 3.3, 0.47)


@lru_cache(maxsize=4)
def _ripple_texture(ratio: int) -> Bytes:

    return one_way(Manner.RIPPLES, _PERIOD * ratio, ratio)


class Streams(Brush):
    """Rivers and streams drawn as lines: one swelling line, parting into two banks where it is wide."""

    brush: Literal["streams"] = "streams"
    needs: ClassVar[frozenset[str]] = frozenset({"water_line", "water_area"})
    writes: ClassVar[frozenset[str]] = frozenset({INK, WATER_INK, POOL, SEPIA})

    thin: Levelled = Setting(((0.0, 0.3),), description="px by which a line is drawn thinner on each side, by level")
    swell: float = Setting(0.35, ge=0, le=1, description="how far the width wanders")
    strength: Share = Setting(0.9, description="blackness of the line")
    pool: Share = Setting(0.7, description="strength of the wash between two banks")
    halo: float = Setting(1.0, ge=0, le=4, description="paper left free on each side, px")

    @property
    def reach(self) -> int:
        """The tremble and a blur."""
        return TREMBLE + 1 + blur_reach(1.3)

    def paint(self, canvas: Canvas) -> None:
        """Draw the lines."""
        if "water_line" not in canvas.scene or not cv2.countNonZero(canvas.control("water_line")):
            return
        s = canvas.s
        line = trembling(canvas, "water_line")
        if "water_area" in canvas.scene:
            line = cv2.subtract(line, canvas.control("water_area"))
        fine, broad = blur8(line, 0.6 * s), blur8(line, 1.2 * s)
        erase(canvas, halo(line, self.halo, s))
        wander = canvas.noise(32, 3, 0.6, 9) * f32(70 * self.swell)
        cv2.scaleAdd(canvas.noise(4, 2, 0.7, 2), 24 * self.swell, wander, dst=wander)
        wander -= f32(60 * self.swell)
        np.clip(wander, -127, 0, out=wander)
        narrow = cv2.subtract(fine, np.abs(wander, out=wander).astype(np.uint8))
        solid = cv2.LUT(narrow, solid_table(0.6 * s, -at_level(self.thin, canvas.level) * s))
        hollow = cv2.LUT(broad, _hollow_table())
        stroke = cv2.subtract(solid, hollow)
        draw(canvas, cv2.convertScaleAbs(stroke, alpha=self.strength), WATER_INK)
        pool = cv2.convertScaleAbs(solid, alpha=self.pool)
        cv2.max(canvas.planes[POOL], pool, dst=canvas.planes[POOL])


@lru_cache(maxsize=1)
def _hollow_table() -> Bytes:
    # A band three sigma wide reaches 0.87 of full height in its middle after the blur, one of two sigma 0.68.
    value = np.arange(256, dtype=f32) / f32(255)
    return np.rint(np.clip((value - f32(0.76)) / f32(0.13), 0, 1) * 255).astype(np.uint8)
