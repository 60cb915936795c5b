"""Land: flat colours graded by wiping, furrows carved along parcels, relief as terraces of tone."""

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Brush, Colour, Share, blur_reach, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import blur, ramp, remainder
from mapstyle.engines.painter.wash.land import CLASSES, ClassName
from mapstyle.engines.painter.wash.pigment import (
    ByLevel,
    at_level,
    byte_hash,
    byte_table,
    logical_world,
    look_up,
    spread_table,
)
from mapstyle.engines.painter.wash.sparse import Sparse
from mapstyle.engines.painter.woodblock.knife import (
    CARVE_REACH,
    LINE_REACH,
    carved,
    seams,
    softened,
    softened_reach,
    unbroken,
    wiped,
    wiped_reach,
)
from mapstyle.engines.painter.woodblock.plank import COLOUR, KEY, draw, glaze, lay
from mapstyle.layers import LandClass

Field = NDArray[np.float32]
Bytes = NDArray[np.uint8]
f32 = np.float32

_WAYS = ((0.72, 0.70), (-0.5, 0.86))
"""Sides towards which parcels are graded, one or the other."""
_FOOT_SIGMA = 9.0
_FOOT_MOVE = 14


def shifted_down(plane: Field, by: int) -> Field:
    """Give what lies ``by`` real pixels to the south (or north, below 0), its last row repeated. Reach: ``by``."""
    out = np.empty_like(plane)
    if by >= 0:
        out[: plane.shape[0] - by], out[plane.shape[0] - by :] = plane[by:], plane[-1:]
    else:
        out[-by:], out[:-by] = plane[:by], plane[:1]
    return out


class LandInk(BaseModel):
    """The inks of a land cover."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inks: tuple[Colour, Colour] = Setting(description="colours between which parcels are chosen")
    deep: Colour = Setting(description="colour that it is graded to")
    grade: Share = Setting(0.7, description="how far it is graded")
    variety: Share = Setting(0.0, description="how much parcels differ")
    parted: bool = Setting(False, description="whether parcels of this class are parted from each other")
    foot: bool = Setting(False, description="graded as one mass, dark at its foot and light at its top")


class Land(Brush):
    """Flat colour for each land cover and parcel, wiped darker towards one side, with key-lines between."""

    brush: Literal["land"] = "land"
    needs: ClassVar[frozenset[str]] = frozenset({"landcover", "parcel", "territory", "shore", "water_area"})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR, KEY})

    inks: Mapping[ClassName, LandInk] = Setting(description="land class -> its inks; 'ground' is what others follow")
    realms: tuple[Colour, ...] = Setting((), description="colours of territories on bare ground")
    realm_share: ByLevel = Setting(((0.0, 0.0),), description="how far territories tint bare ground, by level")
    length: float = Setting(22.0, ge=4, le=40, description="length of a gradation, px")
    line: ByLevel = Setting(((0.0, 0.9),), description="width of key-lines between land covers, px, by level")
    hedge: ByLevel = Setting(((0.0, 0.7),), description="width of key-lines between parcels, px, by level")
    bands: Share = Setting(0.25, description="how far broad flats are graded in slow bands")
    coast: ByLevel = Setting(((0.0, 0.0),), description="strength of the gradation along shores, by level")
    coast_ink: Colour = Setting("#8fae82", description="colour of the gradation along shores")
    slip: tuple[int, int] = Setting((1, 1), description="px by which the colours miss the key block, right and down")

    @property
    def reach(self) -> int:
        """Carved outlines, and the longest gradation."""
        slip = max(map(abs, self.slip))
        soft = softened_reach(_FOOT_SIGMA) + _FOOT_MOVE
        return CARVE_REACH + slip + max(wiped_reach(self.length), soft, LINE_REACH)

    @cached_property
    def _tables(self) -> tuple[Field, Field, Field, Field, Field, NDArray[np.int32]]:
        ground = self.inks.get("ground", LandInk(inks=("#e6d8b0", "#e6d8b0"), deep="#d3bf8a"))
        first, second, deep = (np.zeros((3, 256), f32) for _ in range(3))
        grade, variety, parted = np.zeros(256, f32), np.zeros(256, f32), np.zeros(256, np.int32)
        for name, index in CLASSES.items():
            ink = self.inks.get(name, ground)
            first[:, index], second[:, index], deep[:, index] = rgb(ink.inks[0]), rgb(ink.inks[1]), rgb(ink.deep)
            grade[index], variety[index], parted[index] = ink.grade, ink.variety, ink.parted
        return first, second, deep, grade, variety, parted

    def paint(self, canvas: Canvas) -> None:
        """Print the colours, then their key-lines."""
        s = canvas.s
        first, second, deep, grade, variety, parted = self._tables
        cover = carved(canvas, "landcover").astype(np.uint8, copy=False)
        parcel = carved(canvas, "parcel").astype(np.uint32, copy=False)
        own = parcel * cv2.LUT(cover, parted).view(np.uint32)
        own += cover.astype(np.uint32) * np.uint32(0x01000193)
        char = byte_hash(parcel, 5)
        tone = self._tone(canvas, cover, own, char)
        tone *= look_up(grade, cover)
        mix = look_up(spread_table(1), char)
        mix -= f32(0.5)
        mix *= look_up(variety, cover)
        mix += f32(0.5)
        planes = canvas.planes[COLOUR]
        tints = self._realms(canvas, cover)
        coast = self._coast(canvas)
        coast_ink = rgb(self.coast_ink)
        for i in range(3):
            channel = look_up(second[i] - first[i], cover)
            channel *= mix
            channel += look_up(first[i], cover)
            if tints is not None:
                change = tints[0][i] - channel
                change *= tints[1]
                channel += change
            change = look_up(deep[i], cover)
            change -= channel
            change *= tone
            channel += change
            if coast is not None:
                change = coast_ink[i] - channel
                change *= coast
                channel += change
            channel = blur(channel, 0.5 * s)
            planes[i] = self._slip(channel, s)
        self._lines(canvas, cover, own)

    def _slip(self, plane: Field, s: int) -> Field:
        dx, dy = self.slip[0] * s, self.slip[1] * s
        if dx == dy == 0:
            return plane
        return cv2.copyMakeBorder(
            plane[max(-dy, 0) : plane.shape[0] - max(dy, 0), max(-dx, 0) : plane.shape[1] - max(dx, 0)],
            max(dy, 0), max(-dy, 0), max(dx, 0), max(-dx, 0), cv2.BORDER_REPLICATE,
        )  # fmt: skip

    def _tone(self, canvas: Canvas, cover: Bytes, own: NDArray[np.uint32], char: Bytes) -> Field:
        s = canvas.s
        length = self.length * float(np.interp(canvas.level, [10, 15, 18], [0.45, 1.0, 1.0]))
        one, other = (wiped(own, dx, dy, length, s) for dx, dy in _WAYS)
        chosen = look_up(byte_table(lambda b: np.where(b % 2 > 0, 1.0, 0.0)), char)
        other -= one
        other *= chosen
        one += other
        one *= f32(0.8)
        # Broad flats are wiped too, in slow level bands, as skies are.
        cv2.scaleAdd(canvas.noise(256, 3, 0.5, 321, 0.5), self.bands, one, dst=one)
        feet = np.zeros(256, np.uint8)
        for name, ink in self.inks.items():
            feet[int(CLASSES[name])] = 255 * ink.foot
        mass = cv2.LUT(cover, feet)
        if cv2.countNonZero(mass):
            body = mass.astype(f32) * f32(1 / 255)
            soft = softened(body, _FOOT_SIGMA, s)
            foot = shifted_down(soft, _FOOT_MOVE * s)
            top = shifted_down(soft, -_FOOT_MOVE * s)
            foot -= top
            foot *= f32(-0.85)
            foot += f32(0.40)
            cv2.scaleAdd(canvas.noise(128, 3, 0.5, 322, 0.5), 0.16, foot, dst=foot)
            foot -= one
            foot *= body
            one += foot
        return np.clip(one, 0, 1, out=one)

    def _coast(self, canvas: Canvas) -> Field | None:
        strength = at_level(self.coast, canvas.level)
        if strength <= 0 or "water_area" not in canvas.scene:
            return None
        inland = canvas.noise(64, 3, 0.55, 325) * f32(3.0)
        inland += canvas.control("shore")
        near = ramp(inland, -20.0, 0.0)
        near *= f32(strength)
        return near

    def _realms(self, canvas: Canvas, cover: Bytes) -> tuple[list[Field], Field] | None:
        share = at_level(self.realm_share, canvas.level)
        if share <= 0 or not self.realms or "territory" not in canvas.scene:
            return None
        territory = carved(canvas, "territory").astype(np.uint32, copy=False)
        weight = ((territory != 0) & (cover == LandClass.GROUND)).astype(f32) * f32(share)
        known = np.array([rgb(c) for c in self.realms], f32)[np.arange(256) % len(self.realms)]
        char = byte_hash(territory, 9)
        return [look_up(np.ascontiguousarray(known[:, i]), char) for i in range(3)], weight

    def _lines(self, canvas: Canvas, cover: Bytes, own: NDArray[np.uint32]) -> None:
        line, hedge = at_level(self.line, canvas.level), at_level(self.hedge, canvas.level)
        if line > 0:
            draw(canvas, seams(canvas, cover, line))
        if hedge > 0:
            draw(canvas, seams(canvas, own, hedge) * f32(0.75))


class Relief(Brush):
    """Mountains: terraces of flat tone, each wiped from a dark foot to a light top, and one flat of shade."""

    brush: Literal["relief"] = "relief"
    needs: ClassVar[frozenset[str]] = frozenset({"hillshade", "elevation", "landcover"})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR, KEY})

    shade: Colour = Setting("#7c7fa8", description="colour of the shaded slopes")
    light: Colour = Setting("#f6e6c0", description="colour of the lit slopes")
    strength: ByLevel = Setting(((0.0, 0.7),), description="strength of shade and light, by level")
    heights: tuple[tuple[float, Colour], ...] = Setting((), description="metres above the sea -> ink of a terrace")
    tint: ByLevel = Setting(((0.0, 0.0),), description="strength of those inks, by level")
    interval: ByLevel = Setting(((0.0, 300.0),), description="metres from terrace to terrace, by level")
    step: Share = Setting(0.35, description="how far each terrace is wiped towards its upper edge")
    spare: Mapping[ClassName, Share] = Setting(
        default_factory=dict, description="land class -> how far it keeps its own ink"
    )
    line: ByLevel = Setting(((0.0, 0.0),), description="strength of the carved line between terraces, by level")

    @property
    def reach(self) -> int:
        """The blur of the light."""
        return blur_reach(1.6) + 2

    @cached_property
    def _inks(self) -> Field:
        metres = np.arange(256) * 20.0
        known = np.array([rgb(c) for _, c in self.heights])
        knots = [h for h, _ in self.heights]
        return np.array([np.interp(metres, knots, known[:, i]) for i in range(3)], f32)

    def paint(self, canvas: Canvas) -> None:
        """Print the terraces, then the shade."""
        if "hillshade" not in canvas.scene:
            return
        s = canvas.s
        strength = at_level(self.strength, canvas.level)
        light = blur(canvas.control("hillshade"), 1.6 * s)
        if "elevation" in canvas.scene:
            self._terraces(canvas)
        if strength <= 0:
            return
        wander = canvas.noise(32, 3, 0.55, 331) * f32(0.05)
        wander *= ramp(np.abs(light), 0.0, 0.2)
        light = light + wander
        dark = -light
        # Two flats of one ink, each wiped out on its upper side.
        form = ramp(dark, 0.03, 0.45) * f32(0.30)
        form += ramp(dark, 0.14, 0.20) * f32(0.22)
        form += ramp(dark, 0.36, 0.43) * f32(0.26)
        glaze(canvas, form * f32(min(1.0, strength)), rgb(self.shade))
        bright = ramp(light, 0.05, 0.45) * f32(0.55 * min(1.0, strength))
        lay(canvas, bright, rgb(self.light))

    def _terraces(self, canvas: Canvas) -> None:
        s = canvas.s
        tint = at_level(self.tint, canvas.level)
        interval = at_level(self.interval, canvas.level)
        height = blur(canvas.control("elevation"), 1.2 * s)
        high = ramp(height, 1.0, 0.3 * interval)
        if tint > 0 and self.heights:
            step = np.floor(height * f32(1 / interval))
            level = step * f32(interval / 20)
            index = cv2.convertScaleAbs(np.maximum(level, 0, out=level))
            amount = high * f32(tint)
            kept = np.ones(256, f32)
            for name, share in self.spare.items():
                kept[int(CLASSES[name])] = 1 - share
            amount *= blur(look_up(kept, canvas.control("landcover")), 0.6 * s)
            planes = canvas.planes[COLOUR]
            for i in range(3):
                change = look_up(self._inks[i], index)
                change = blur(change, 0.5 * s)
                change -= planes[i]
                change *= amount
                planes[i] += change
        place = remainder(height, interval)
        place *= f32(1 / interval)
        # The wiped tone: dark under the next edge, light above the last one.
        tone = ramp(place, 0.35, 1.0)
        tone *= tone
        tone *= high
        glaze(canvas, blur(tone, 0.5 * s) * f32(self.step), rgb(self.shade))
        line = at_level(self.line, canvas.level)
        if line > 0:
            step = np.floor(height * f32(1 / interval)).astype(np.int32)
            draw(canvas, seams(canvas, step, 0.6) * high * f32(line))


class Rows(Sparse):
    """Furrows, vines and fruit trees: lines carved along each parcel's own direction, broken at random."""

    brush: Literal["rows"] = "rows"
    needs: ClassVar[frozenset[str]] = frozenset({"landcover", "parcel", "calm"})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR})

    classes: tuple[ClassName, ...] = Setting(description="land classes that are drawn in rows")
    ink: Colour = Setting("#8a6a3a", description="colour of the lines")
    pitch: float = Setting(6.0, ge=2, le=64, description="distance between rows, px")
    width: float = Setting(0.9, ge=0.3, le=16, description="width of a row, px")
    beads: float = Setting(0.0, ge=0, le=64, description="distance between plants in a row, px; 0 is a line")
    share: Share = Setting(1.0, description="share of parcels that have rows")
    strength: Share = Setting(0.5, description="strength of the ink")
    stream: int = Setting(21, ge=0, description="another number, other parcels and directions")

    @property
    def reach(self) -> int:
        """The carved outline, and a margin within it."""
        return CARVE_REACH + blur_reach(1.6)

    @cached_property
    def _chosen(self) -> Bytes:
        table = np.zeros(256, np.uint8)
        table[[int(CLASSES[c]) for c in self.classes]] = 255
        return table

    def where(self, canvas: Canvas) -> Bytes | None:
        """Follow the land classes; a model gets no hatching."""
        if canvas.base:
            return None
        return cv2.LUT(carved(canvas, "landcover").astype(np.uint8, copy=False), self._chosen)

    def touch(self, canvas: Canvas) -> None:
        """Carve the rows."""
        where = self.where(canvas)
        assert where is not None, "a sparse brush is only called where there is something to follow"
        s = canvas.s
        char = byte_hash(carved(canvas, "parcel").astype(np.uint32, copy=False), self.stream)
        has = byte_table(lambda b: np.where(b / 256 < self.share, 1.0, 0.0))
        angle = (np.arange(256) * 167 % 256) / 256 * np.pi
        x, y = logical_world(canvas)
        cosine, sine = look_up(np.cos(angle).astype(f32), char), look_up(np.sin(angle).astype(f32), char)
        across = cosine * x
        across += sine * y
        cv2.scaleAdd(canvas.noise(64, 2, 0.5, 323), 1.6, across, dst=across)
        off = remainder(across, self.pitch)
        off -= f32(self.pitch / 2)
        np.abs(off, out=off)
        if self.beads > 0:
            along = sine * x
            along -= cosine * y
            along = remainder(along, self.beads)
            along -= f32(self.beads / 2)
            off = np.hypot(off, along)
        line = f32(self.width / 2) - off
        line *= f32(s)
        line += f32(0.5)
        np.clip(line, 0, 1, out=line)
        inside = ramp(blur(where.astype(f32) * f32(1 / 255), 1.6 * s), 0.7, 0.95)
        line *= inside
        line *= look_up(has, char)
        line *= ramp(canvas.noise(32, 3, 0.6, 324), -1.0, 0.3)
        line *= unbroken(canvas)
        line *= f32(self.strength)
        if "calm" in canvas.scene:
            line *= f32(1) - f32(0.7) * canvas.control("calm")
        lay(canvas, line, rgb(self.ink))
