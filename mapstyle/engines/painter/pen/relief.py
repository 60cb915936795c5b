"""Relief: hachures, strokes down the slope in rows along the contours, heavier where it is steep and in shade."""

import itertools
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Brush
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import blur
from mapstyle.engines.painter.pen.nib import (
    INK,
    SEPIA,
    Bytes,
    ClassName,
    Field,
    Levelled,
    at_level,
    blur8,
    class_of,
    f32,
    to_bytes,
)
from mapstyle.engines.painter.pen.stamps import Lattice, Luck, Plate, Sheet, press
from mapstyle.frame import WORLD, Frame

_CELL = 16
_TURNS = 48
_LENGTHS = (5.6, 8.6)
_WIDTHS = (0.4, 0.62, 0.9, 1.25)
_SHIFTS = (-2.8, -1.4, 0.0, 1.4, 2.8)
_STEP = 4
"""Logical pixels to either side at which the slope is measured."""
_SMOOTH = 2.0
"""Blur of the heights before that, logical pixels: strokes follow the hill, not every stone."""
_EDGE = 14
"""Logical pixels along the edge of elevation data that are left free."""
_FINE = 11.5
"""Level below which hills are so small that strokes are short and thin."""
_ROW = 9.0
"""Logical pixels between rows of strokes on a slope of one in two, at 45 degrees of latitude."""


@lru_cache(maxsize=4)
def hachures(ratio: int) -> Sheet:
    """Draw strokes for every direction, length, width and shift along themselves.

    The version is ``1 + ((turn * 2 + length) * 4 + width) * 5 + shift``.
    """
    versions = itertools.product(range(_TURNS), _LENGTHS, _WIDTHS, _SHIFTS)
    count = _TURNS * len(_LENGTHS) * len(_WIDTHS) * len(_SHIFTS)
    size = _CELL * ratio
    ink = np.zeros((1 + count, size, size), np.uint8)
    for k, (turn, length, width, shift) in enumerate(versions):
        angle = 2 * math.pi * turn / _TURNS
        c, s = math.cos(angle), math.sin(angle)
        plate, luck = Plate(_CELL), Luck(k)
        half = length / 2 * luck(0.86, 1.08)
        bend = luck(-0.4, 0.4)
        ends = []
        for t in (-1.0, -0.5, 0.0, 0.5, 1.0):
            along, aside = shift + t * half, bend * (1 - t * t)
            ends.append((along * c - aside * s, along * s + aside * c))
        # The nib opens uphill, which is where the direction points.
        plate.swelling(ends, 0.4 * width, 1.15 * width)
        ink[1 + k] = plate.finished(ratio)[1]
    return Sheet(np.full_like(ink, 255), ink, np.zeros((1 + count, 2)), False)


def metres_per_pixel(frame: Frame, lattice: Lattice) -> Field:
    """Give float32[rows, 1], metres on the ground to a logical pixel at a lattice's rows."""
    y = (lattice.y + frame.row) / frame.grid.pixel_ratio
    x = np.full_like(y, (frame.column + frame.width / 2) / frame.grid.pixel_ratio)
    latitude = frame.grid.unproject(np.column_stack([x, y]))[:, 1]
    return (1.0 / frame.grid.pixels_per_metre(latitude)).astype(f32)[:, None]


def cornered(plane: Field) -> Field:
    """Give a plane at the upper left corners of its pixels: cells' middles lie there, at any pixel ratio. Reach: 1."""
    out = plane.copy()
    inner = out[1:, 1:]
    inner += plane[:-1, :-1]
    inner += plane[:-1, 1:]
    inner += plane[1:, :-1]
    inner *= f32(0.25)
    return out


class Hachures(Brush):
    """Hachures after Lehmann: strokes run downhill, in rows between contours, the blacker the steeper.

    Light from the north-west thins them on the lit side and thickens them in shade, as in Dufour's maps.
    """

    brush: Literal["hachures"] = "hachures"
    needs: ClassVar[frozenset[str]] = frozenset({"elevation", "hillshade", "landcover", "water_area"})
    writes: ClassVar[frozenset[str]] = frozenset({INK, SEPIA})

    rows: int = Setting(20, ge=1, le=60, description="lattices laid over each other: how closely strokes stand")
    strength: Levelled = Setting(((0.0, 1.0),), description="factor on the tone, by level")
    shade: float = Setting(2.3, ge=0, le=6, description="how much the side away from the light is darker")
    wash: Levelled = Setting(((0.0, 0.5),), description="strength of a wash on the side away from the light, by level")
    spare: Mapping[ClassName, float] = Setting(default_factory=dict, description="land class -> factor on the tone")
    stream: int = Setting(60, ge=0, description="which luck they follow")

    @property
    def reach(self) -> int:
        """From a stroke's end to its cell's middle, and where the slope is measured."""
        return math.ceil(_LENGTHS[-1] * 1.1 / 2 + _SHIFTS[-1] + max(_STEP + 3 * _SMOOTH, _EDGE)) + 1

    def paint(self, canvas: Canvas) -> None:
        """Draw the strokes."""
        if "elevation" not in canvas.scene:
            return
        known = self._known(canvas)
        wash = at_level(self.wash, canvas.level)
        if wash > 0 and "hillshade" in canvas.scene:
            shade = to_bytes(canvas.control("hillshade"), -900 * wash, -30)
            shade = cv2.min(shade, round(255 * wash))
            if known is not None:
                cv2.min(shade, known, dst=shade)
            shade = blur8(shade, 1.5 * canvas.s)
            cv2.max(canvas.planes[SEPIA], shade, dst=canvas.planes[SEPIA])
        strength = at_level(self.strength, canvas.level)
        if canvas.base or strength <= 0:
            return
        factors = np.ones(256, f32)
        for land, factor in self.spare.items():
            factors[class_of(land)] = factor
        heights = cornered(blur(canvas.control("elevation"), _SMOOTH * canvas.s))
        light = cornered(blur(canvas.control("hillshade"), 0.5 * _SMOOTH * canvas.s))
        for k in range(self.rows):
            move = (int(k * 0.618034 * _CELL) % _CELL, int(k * 0.381966 * _CELL + k * k * 1.7) % _CELL)
            lattice = Lattice.over(canvas.frame, _CELL, move)
            versions = self._versions(canvas, lattice, heights, light, k, strength, factors)
            if known is not None:
                versions = np.where(lattice.ask(known) > 0, versions, 0)
            press(canvas, hachures(canvas.s), lattice, versions)

    def _known(self, canvas: Canvas) -> Bytes | None:
        """Give 255 well inside the elevation data, or None where all is known: its edge is no slope."""
        void = cv2.compare(canvas.control("elevation"), 0, cv2.CMP_EQ)
        if "water_area" in canvas.scene:
            void[canvas.control("water_area") > 0] = 0
        if not cv2.countNonZero(void):
            return None
        side = 2 * _EDGE * canvas.s + 1
        return cv2.bitwise_not(cv2.dilate(void, np.ones((side, side), np.uint8)))

    def _versions(
        self, canvas: Canvas, lattice: Lattice, heights: Field, light: Field, k: int, strength: float, factors: Field
    ) -> NDArray[np.int64]:
        s = canvas.s
        luck = lattice.luck(canvas.seed * 131 + self.stream * 64 + k)
        metres = metres_per_pixel(canvas.frame, lattice)
        step = _STEP * s
        over = f32(2 * _STEP) * metres
        gx = (lattice.ask(heights, step) - lattice.ask(heights, -step)) / over
        gy = (lattice.ask(heights, 0, step) - lattice.ask(heights, 0, -step)) / over
        slope = np.hypot(gx, gy)
        turn = np.floor(np.arctan2(gy, gx) * f32(_TURNS / (2 * math.pi)) + f32(0.5)).astype(np.int64) % _TURNS
        # Strokes slide along themselves into rows: a stroke's middle comes to lie on the nearest contour.
        gap = f32(0.5 * _ROW * 0.7 * WORLD / 256 / 2.0**canvas.level)
        here = lattice.ask(heights)
        fall = np.maximum(slope * metres, f32(1e-6))
        away = (np.floor(here / gap + f32(0.5)) * gap - here) / fall
        shift = np.clip(np.floor(away / f32(1.4) + f32(2.5)), 0, 4).astype(np.int64)
        length = (gap / fall > f32(7.5)).astype(np.int64)
        shaded = np.clip(f32(0.5) - f32(self.shade) * lattice.ask(light), 0.06, 1.5)
        tone = (f32(0.06) + f32(0.62) * slope) * shaded * f32(strength)
        tone = np.where(slope < f32(0.06), f32(0), tone)
        tone *= factors[lattice.ask(canvas.control("landcover"))]
        width = np.digitize(tone, [0.2, 0.36, 0.55])
        if canvas.level < _FINE:
            length[:] = 0
            width = np.maximum(width - 1, 0)
        # Few strokes where it is light, all where it is dark.
        kept = tone > f32(0.05) + f32(0.24) * (luck >> np.uint32(8) & np.uint32(255)).astype(f32) / f32(255)
        if "water_area" in canvas.scene:
            kept &= lattice.ask(canvas.control("water_area")) < 128
        version = 1 + ((turn * len(_LENGTHS) + length) * len(_WIDTHS) + width) * len(_SHIFTS) + shift
        return np.where(kept, version, 0)
