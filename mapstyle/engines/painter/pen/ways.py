"""Ways: roads by rank, tracks and paths, railways, runways, piers, walls and borders."""

from functools import lru_cache
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Brush, Share, blur_reach
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.pen.nib import (
    INK,
    POOL,
    SEPIA,
    TREMBLE,
    WATER_INK,
    Bytes,
    Field,
    Levelled,
    at_level,
    blur8,
    draw,
    erase,
    f32,
    halo,
    outline,
    table,
    tremble,
    trembling,
)
from mapstyle.layers import ROADS, LayerKind

_MAIN = ("road_secondary", "road_primary", "road_trunk", "road_motorway")
_GREAT = ("road_primary", "road_trunk", "road_motorway")
_UNCASED = ("road_track", "road_path", "road_steps")


def together(canvas: Canvas, names: tuple[str, ...]) -> Bytes | None:
    """Give the coverage of several planes, or None where none is here. Reach: 0."""
    out = None
    for name in names:
        if name in canvas.scene:
            out = canvas.control(name).copy() if out is None else cv2.max(out, canvas.control(name), dst=out)
    return out


def widened(mask: Bytes, radius: int) -> Bytes:
    """Widen a mask by whole pixels. Reach: the radius."""
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))


class Roads(Brush):
    """Roads as white bands between two lines, heavier the higher their rank, heaviest away from the light."""

    brush: Literal["roads"] = "roads"
    needs: ClassVar[frozenset[str]] = frozenset({"road", "casing", "road_class", "road_u", *_MAIN, *_UNCASED})
    writes: ClassVar[frozenset[str]] = frozenset({INK, WATER_INK, SEPIA, POOL})

    weight: Levelled = Setting(((0.0, 1.0),), description="factor on the blackness of the lines, by level")
    bold: Levelled = Setting(((0.0, 1.0),), description="px added on the shaded side of main roads, by level")
    halo: float = Setting(0.9, ge=0, le=4, description="paper left free beside the lines, px")
    single: float = Setting(12.6, ge=0, le=30, description="level below which common roads are one line")
    tint: Share = Setting(0.55, description="strength of the wash on great roads")
    axis: float = Setting(15.0, ge=0, le=30, description="level from which motorways have a line in the middle")

    @property
    def reach(self) -> int:
        """The tremble, a blur, and the heavy side."""
        return TREMBLE + 1 + blur_reach(0.6) + 2

    def paint(self, canvas: Canvas) -> None:
        """Draw the roads."""
        if "road" not in canvas.scene:
            return
        if canvas.level < self.single:
            self._far(canvas)
        else:
            self._near(canvas)

    def _near(self, canvas: Canvas) -> None:
        s = canvas.s
        cased = canvas.control("road")
        small = together(canvas, _UNCASED)
        if small is not None:
            cased = cv2.subtract(cased, small)
        if "casing" in canvas.scene:
            cased = cv2.max(cased, canvas.control("casing"))
        cased = tremble(canvas, cased)
        erase(canvas, halo(cased, self.halo, s))
        erase(canvas, cased, washes=True)
        line = trembling(canvas, "casing")
        great = together(canvas, _GREAT)
        if great is not None and self.tint > 0:
            wash = cv2.convertScaleAbs(tremble(canvas, great), alpha=self.tint)
            cv2.max(canvas.planes[SEPIA], wash, dst=canvas.planes[SEPIA])
        # Casings narrower than a pixel are grey: ink is black, and thin.
        line = cv2.convertScaleAbs(line, alpha=at_level(self.weight, canvas.level))
        draw(canvas, line)
        main = together(canvas, _MAIN)
        if main is not None:
            self._heavy_side(canvas, line, main)
        if canvas.level >= self.axis and "road_motorway" in canvas.scene:
            self._axes(canvas)

    def _heavy_side(self, canvas: Canvas, line: Bytes, main: Bytes) -> None:
        """Thicken the lines of main roads, to the south-east, as if the road stood a little proud."""
        s = canvas.s
        near = widened(tremble(canvas, main), 2 * s)
        own = cv2.min(line, near)
        bold = at_level(self.bold, canvas.level) * s
        out = own.copy()
        for k in range(1, max(1, round(bold)) + 1):
            share = min(1.0, bold - k + 1)
            moved = cv2.convertScaleAbs(own[:-k, :-k], alpha=share)
            # Not into the road itself: only what is on the south-eastern outside.
            part = out[k:, k:]
            cv2.max(part, moved, dst=part)
        draw(canvas, out)

    def _axes(self, canvas: Canvas) -> None:
        rank = 1 + ROADS.index(LayerKind.MOTORWAY)
        y, x = np.nonzero(canvas.control("road_class") == rank)
        away = np.abs(canvas.control("road_u")[y, x])
        line = np.clip(f32(0.5) + (f32(0.3) - away) * f32(canvas.s), 0, 1) * f32(255)
        put(canvas, y, x, line)

    def _far(self, canvas: Canvas) -> None:
        """Draw thin lines that part in two where a road is wide enough; great roads are tinted between them."""
        s = canvas.s
        road = trembling(canvas, "road")
        erase(canvas, halo(road, self.halo, s))
        fine = blur8(road, 0.5 * s)
        hollow = cv2.LUT(blur8(road, 0.8 * s), _hollow())
        line = cv2.subtract(cv2.LUT(fine, _thin()), hollow)
        draw(canvas, line)
        great = together(canvas, _GREAT)
        if great is not None and self.tint > 0:
            wash = cv2.convertScaleAbs(cv2.min(hollow, tremble(canvas, great)), alpha=self.tint)
            cv2.max(canvas.planes[SEPIA], wash, dst=canvas.planes[SEPIA])


@lru_cache(maxsize=1)
def _thin() -> Bytes:
    return table(lambda b: (b - f32(0.10)) * f32(1.35))


@lru_cache(maxsize=1)
def _hollow() -> Bytes:
    # After a blur of 0.8 px a line 1.6 px wide keeps 0.66 of its height in the middle, one of 2.6 px 0.88.
    return table(lambda b: (b - f32(0.70)) * f32(1 / 0.17))


def put(canvas: Canvas, y: NDArray[np.intp], x: NDArray[np.intp], stroke: Field, plane: str = INK) -> None:
    """Lay strokes on single pixels: values 0..255."""
    target = canvas.planes[plane]
    target[y, x] = np.maximum(target[y, x], stroke.astype(np.uint8))


def part_of(values: Field, period: float) -> Field:
    """Give the place within a repeat, 0..period."""
    return values - np.floor(values * f32(1 / period)) * f32(period)


class Tracks(Brush):
    """Tracks as two thin lines, one of them broken; paths as rows of dashes; steps as rungs."""

    brush: Literal["tracks"] = "tracks"
    needs: ClassVar[frozenset[str]] = frozenset({"road", "road_u", "road_v", "casing", *_UNCASED})
    writes: ClassVar[frozenset[str]] = frozenset({INK, WATER_INK})

    dash: tuple[float, float] = Setting((4.2, 2.4), description="length of a dash of a path, and of a gap, px")
    width: Levelled = Setting(((0.0, 0.8),), description="width of the strokes, px, by level")
    halo: float = Setting(0.8, ge=0, le=4, description="paper left free beside them, px")

    @property
    def reach(self) -> int:
        """A blur."""
        return TREMBLE + 1 + blur_reach(0.6)

    def paint(self, canvas: Canvas) -> None:
        """Draw them, where they are on top."""
        for name in _UNCASED:
            if name in canvas.scene and cv2.countNonZero(canvas.control(name)):
                self._one(canvas, name)

    def _one(self, canvas: Canvas, name: str) -> None:
        s = canvas.s
        cover = canvas.control(name)
        erase(canvas, halo(cover, self.halo, s))
        width = at_level(self.width, canvas.level)
        u, v = canvas.control("road_u"), canvas.control("road_v")
        near = widened(cover, s)
        y, x = np.nonzero(near)
        away, along = u[y, x], v[y, x]
        beside = away < 90
        y, x, away, along = y[beside], x[beside], away[beside], along[beside]
        if not len(y):
            draw(canvas, cv2.convertScaleAbs(blur8(trembling(canvas, name), 0.5 * s), alpha=0.9))
            return
        sway = canvas.noise(16, 2, 0.6, 1)[y, x] * f32(0.22)
        away = away + sway
        if name == "road_steps":
            half = f32(0.8 + 0.45 * width)
            rung = np.abs(part_of(along, 2.4) - f32(1.2))
            stroke = np.clip(f32(0.5) + (f32(0.35) - rung) * f32(s), 0, 1)
            stroke *= np.clip(f32(0.5) + (half - np.abs(away)) * f32(s), 0, 1)
        elif name == "road_track" and canvas.level >= 15:
            gap = np.abs(np.abs(away) - f32(0.55 + 0.35 * max(0.0, canvas.level - 15)) - f32(0.5))
            stroke = np.clip(f32(0.5) + (f32(width / 2) - gap) * f32(s), 0, 1)
            stroke = np.where(away > 0, stroke * self._dashes(along, s, 1.6), stroke)
        else:
            long = 1.7 if name == "road_track" else 1.0
            stroke = np.clip(f32(0.5) + (f32(width / 2 * (1.15 if long > 1 else 1)) - np.abs(away)) * f32(s), 0, 1)
            stroke *= self._dashes(along, s, long)
        put(canvas, y, x, stroke * f32(235))

    def _dashes(self, along: Field, s: int, longer: float) -> Field:
        dash, gap = self.dash[0] * longer, self.dash[1]
        place = part_of(along, dash + gap)
        return np.clip(f32(0.5) + (f32(dash / 2) - np.abs(place - f32(dash / 2))) * f32(s), 0, 1)


class Rails(Brush):
    """Railways: two rails on ties near by, a line with cross strokes far out; trams a thin line."""

    brush: Literal["rails"] = "rails"
    needs: ClassVar[frozenset[str]] = frozenset({"rail", "rail_u", "rail_v", "tram"})
    writes: ClassVar[frozenset[str]] = frozenset({INK, WATER_INK})

    ties: float = Setting(14.6, ge=0, le=30, description="level from which rails and ties are drawn")
    gauge: Levelled = Setting(((15.0, 1.2), (16.0, 1.5), (18.0, 2.6)), description="half the distance of the rails, px")
    spacing: Levelled = Setting(((15.0, 4.4), (16.0, 5.2), (18.0, 7.5)), description="distance of the ties, px")
    halo: float = Setting(1.2, ge=0, le=4, description="paper left free beside them, px")

    @property
    def reach(self) -> int:
        """The tremble and a blur."""
        return TREMBLE + 1 + blur_reach(0.6)

    def paint(self, canvas: Canvas) -> None:
        """Draw rails."""
        if "tram" in canvas.scene:
            draw(canvas, outline(trembling(canvas, "tram"), 0.6, canvas.s))
        if "rail_u" not in canvas.scene:
            return
        s = canvas.s
        near = canvas.level >= self.ties
        gauge = at_level(self.gauge, canvas.level)
        spacing = at_level(self.spacing, canvas.level)
        half = 2.1 * gauge if near else 2.0
        y, x = np.nonzero(np.abs(canvas.control("rail_u")) < f32(half + self.halo + 1))
        if not len(y):
            return
        away, along = np.abs(canvas.control("rail_u")[y, x]), canvas.control("rail_v")[y, x]
        free = np.clip((away - f32(half + self.halo - 0.5)) * f32(s), 0, 1) * f32(255)
        for name in (INK, WATER_INK):
            plane = canvas.planes[name]
            plane[y, x] = np.minimum(plane[y, x], free.astype(np.uint8))
        if near:
            place = np.abs(part_of(along, spacing) - f32(spacing / 2))
            tie = np.clip(f32(0.5) + (f32(0.55) - place) * f32(s), 0, 1)
            tie *= np.clip(f32(0.5) + (f32(half) - away) * f32(s), 0, 1)
            rail = np.clip(f32(0.5) + (f32(0.42) - np.abs(away - f32(gauge))) * f32(s), 0, 1)
            stroke = np.maximum(rail * f32(0.95), tie * f32(0.88))
        else:
            place = np.abs(part_of(along, 9.0) - f32(4.5))
            tie = np.clip(f32(0.5) + (f32(0.5) - place) * f32(s), 0, 1)
            tie *= np.clip(f32(0.5) + (f32(half) - away) * f32(s), 0, 1)
            stroke = np.maximum(np.clip(f32(0.5) + (f32(0.45) - away) * f32(s), 0, 1), tie)
        put(canvas, y, x, stroke * f32(255))
