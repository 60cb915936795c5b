"""Land: rows on fields, lines between parcels, and a wash under what is to hold together."""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import ClassVar, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Brush, Share
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.pen.nib import (
    INK,
    POOL,
    SEPIA,
    TREMBLE,
    WATER_INK,
    Bytes,
    ClassName,
    Levelled,
    at_level,
    blur8,
    boundaries,
    calm8,
    class_of,
    class_table,
    draw,
    f32,
    has_land,
    look,
    to_bytes,
    tremble,
)
from mapstyle.engines.painter.pen.strokes import Manner, addresses, hatching, inked, tone_for

_TURNS = 16
_PERIOD = 256
_MIX = np.uint32(0x9E3779B1)


def seams(canvas: Canvas) -> Bytes:
    """Give lines between parcels, kept for the window. Reach: 1."""
    return canvas.keep("seams", lambda: boundaries(canvas.control("parcel"), canvas.s))


class FieldRows(BaseModel):
    """How fields of one land class are drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_enum_values=True)

    manners: tuple[Manner, ...] = Setting(min_length=1, max_length=8, description="ways of which each parcel gets one")
    width: float = Setting(0.7, ge=0, le=3, description="width of the boldest strokes, px")
    spread: float = Setting(0.35, ge=0, le=2, description="how much the width differs between parcels, px")
    bare: Share = Setting(0.0, description="share of the parcels that are left empty")


@lru_cache(maxsize=8)
def _atlas(manners: tuple[Manner, ...], ratio: int) -> Bytes:
    """Set the textures of several manners side by side."""
    return np.concatenate([hatching(m, _TURNS, _PERIOD)(_PERIOD * ratio, ratio) for m in manners], axis=1)


class Fields(Brush):
    """Furrows, rows of vines and fruit trees, mown stripes: each parcel in its own direction, manner and tone."""

    brush: Literal["fields"] = "fields"
    needs: ClassVar[frozenset[str]] = frozenset({"landcover", "parcel", "calm"})
    writes: ClassVar[frozenset[str]] = frozenset({INK, WATER_INK})

    rows: Mapping[ClassName, FieldRows] = Setting(description="land class -> how its fields are drawn")
    strength: Levelled = Setting(((0.0, 1.0),), description="factor on the width of all strokes, by level")
    hem: float = Setting(2.2, ge=0, le=6, description="paper left white along the edges of a field, px")
    lift: float = Setting(0.5, ge=0, le=2, description="how far strokes swell and lift as the ground noise wanders, px")
    ink: Share = Setting(0.62, description="blackness of the strokes")
    water: bool = Setting(False, description="drawn with the water's ink")

    @property
    def reach(self) -> int:
        """The white hem."""
        return 1 + round(1.8 * self.hem) if self.hem else 1

    @cached_property
    def _manners(self) -> tuple[Manner, ...]:
        return tuple(sorted({Manner(m) for r in self.rows.values() for m in r.manners}))

    def paint(self, canvas: Canvas) -> None:
        """Draw the rows."""
        strength = at_level(self.strength, canvas.level)
        if canvas.base or strength <= 0 or not has_land(canvas, self.rows):
            return
        cover = canvas.control("landcover")
        where = cv2.LUT(cover, class_table(self.rows))
        luck = canvas.keep("parcel luck", lambda: canvas.control("parcel") * _MIX)
        value = self._value(canvas, cover, luck)
        tone = self._tone(canvas, cover, luck, strength)
        held = cv2.bitwise_not(where)
        if self.hem:
            near = cv2.convertScaleAbs(
                cv2.dilate(seams(canvas), np.ones((canvas.s + 1, canvas.s + 1), np.uint8)), alpha=2
            )
            cv2.max(held, blur8(near, 0.5 * self.hem * canvas.s), dst=held)
        quiet = calm8(canvas, 70)
        if quiet is not None:
            cv2.add(held, quiet, dst=held)
        stroke = inked(value, tone, canvas.s, held)
        draw(canvas, cv2.convertScaleAbs(stroke, alpha=self.ink), WATER_INK if self.water else INK)

    def _value(self, canvas: Canvas, cover: Bytes, luck: np.ndarray) -> Bytes:
        """Look every pixel's stroke up in its parcel's own texture."""
        manners = self._manners
        texture = _atlas(manners, canvas.s)
        period = _PERIOD * canvas.s
        table = np.zeros((32, 8), np.uint8)
        for land, rows in self.rows.items():
            table[class_of(land)] = [manners.index(Manner(rows.manners[k % len(rows.manners)])) for k in range(8)]
        # Top bits of the product are the best mixed: five for the direction, three for the manner ...
        high = (luck >> np.uint32(24)).astype(np.uint8)
        which = (high & np.uint8(7)) + cover * np.uint8(8)
        manner = cv2.LUT(which, table.ravel())
        column, row = addresses(canvas.frame, period)
        # ... and the rest shifts the texture, by whole logical pixels, so that rows of neighbours do not meet.
        shift = (luck >> np.uint32(8)).astype(np.int16)
        mask = np.int16(period - 1)
        x = shift & np.int16(_PERIOD - 1)
        x *= np.int16(canvas.s)
        x += column
        x &= mask
        x += manner * np.int16(period)
        y = np.right_shift(shift, 7, out=shift)
        y &= np.int16(_PERIOD - 1)
        y *= np.int16(canvas.s)
        y += row
        y &= mask
        y += (high >> np.uint8(4)) * np.int16(period)
        return look(texture, x, y)

    def _tone(self, canvas: Canvas, cover: Bytes, luck: np.ndarray, strength: float) -> Bytes:
        """Give the tone wanted: of the class, the parcel and the ground noise."""
        table = np.zeros((32, 8), np.uint8)
        for land, rows in self.rows.items():
            for k in range(8):
                width = (rows.width + rows.spread * (k / 7 - 0.5)) * strength
                bare = k < round(rows.bare * 8)
                table[class_of(land), k] = 0 if bare else max(0, tone_for(width) + 40)
        bits = ((luck >> np.uint32(20)).astype(np.uint8) & np.uint8(7)) + cover * np.uint8(8)
        tone = cv2.LUT(bits, table.ravel())
        wander = canvas.noise(64, 4, 0.6, 12)
        # Mean 40, which the table has been raised by: bytes cannot be negative.
        cv2.subtract(tone, to_bytes(wander, 40 * self.lift, 40), dst=tone)
        return tone


class Seams(Brush):
    """Thin broken lines between parcels."""

    brush: Literal["seams"] = "seams"
    needs: ClassVar[frozenset[str]] = frozenset({"parcel"})
    writes: ClassVar[frozenset[str]] = frozenset({INK})

    width: Levelled = Setting(((0.0, 0.5),), description="width, px, by level")
    broken: float = Setting(0.5, ge=0, le=2, description="how often the pen is lifted")

    @property
    def reach(self) -> int:
        """The tremble, a blur, and the neighbour."""
        return TREMBLE + 1 + 2 + 1

    def paint(self, canvas: Canvas) -> None:
        """Draw the lines."""
        width = at_level(self.width, canvas.level)
        if width <= 0 or "parcel" not in canvas.scene:
            return
        s = canvas.s
        line = blur8(tremble(canvas, seams(canvas)), 0.5 * s)
        lifted = canvas.noise(32, 3, 0.6, 9) * f32(60 * self.broken)
        cv2.scaleAdd(canvas.noise(4, 2, 0.7, 2), 24 * self.broken, lifted, dst=lifted)
        np.clip(lifted, 0, 255, out=lifted)
        cv2.subtract(line, lifted.astype(np.uint8), dst=line)
        draw(canvas, cv2.convertScaleAbs(line, alpha=1.5 * width))


class Tint(Brush):
    """A thin wash under some land covers, uneven as a wash is."""

    brush: Literal["tint"] = "tint"
    needs: ClassVar[frozenset[str]] = frozenset({"landcover"})
    writes: ClassVar[frozenset[str]] = frozenset({SEPIA, POOL})

    water: bool = Setting(False, description="the wash of water in place of that of land")
    strength: Mapping[ClassName, Share] = Setting(description="land class -> strength of the wash")
    factor: Levelled = Setting(((0.0, 1.0),), description="factor on all strengths, by level")
    soft: float = Setting(2.0, ge=0, le=6, description="softness of its edge, px")

    @property
    def reach(self) -> int:
        """The softness of the edge, three sigma."""
        return round(3 * self.soft + 0.5)

    def paint(self, canvas: Canvas) -> None:
        """Lay the wash."""
        factor = at_level(self.factor, canvas.level)
        if factor <= 0 or not has_land(canvas, self.strength):
            return
        table = np.zeros(256, np.uint8)
        for land, strength in self.strength.items():
            table[class_of(land)] = min(255, round(255 * strength * factor))
        wash = cv2.LUT(canvas.control("landcover"), table)
        if self.soft:
            wash = blur8(wash, self.soft * canvas.s)
        wander = to_bytes(canvas.noise(64, 4, 0.6, 12), -46, 200)
        cv2.multiply(wash, wander, dst=wash, scale=1 / 200)
        plane = canvas.planes[POOL if self.water else SEPIA]
        cv2.max(plane, wash, dst=plane)
