"""The ground: painted board with static grass, sawdust, crops, plaster rock and sand."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mapstyle.engines.painter.brush import Brush, Share, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.diorama.surface import (
    bounds,
    byte,
    class_table,
    colour_table,
    directions,
    grain,
    lay,
    look_up,
    parcel_hash,
    quiet,
    ramped,
    tuft,
)
from mapstyle.engines.painter.masks import remainder, warp
from mapstyle.layers import LandClass
from mapstyle.noise import hash2

f32 = np.float32
Plane = NDArray[np.float32]
L = LandClass

_FIRST_CROP = 32
"""Crops are further classes, from here on, chosen by the parcel's hash."""

# Two paints a class, mixed by patches of noise: static grass and sawdust are muted, never lime.
PAINTS: Mapping[LandClass, tuple[str, str]] = {
    L.GROUND: ("#8a9463", "#a09c72"),
    L.RESIDENTIAL: ("#87915f", "#9c9a70"),
    L.COMMERCIAL: ("#b0aa9b", "#a39f90"),
    L.INDUSTRIAL: ("#a29c8c", "#aba18a"),
    L.INSTITUTION: ("#8f9a68", "#a6a27c"),
    L.FARMLAND: ("#b89f62", "#a8985e"),
    L.MEADOW: ("#7b914f", "#989a5e"),
    L.GRASS: ("#789352", "#8f9a5e"),
    L.PARK: ("#729152", "#8a9860"),
    L.GARDEN: ("#799653", "#8e9c60"),
    L.WOOD: ("#4f5a35", "#5e5a3a"),
    L.SCRUB: ("#7b8a4c", "#938e5a"),
    L.HEATH: ("#8a8457", "#8d7367"),
    L.ORCHARD: ("#7e9a52", "#93a060"),
    L.VINEYARD: ("#a08f62", "#93915a"),
    L.WETLAND: ("#6f8a55", "#8f9460"),
    L.BEACH: ("#e2cf9f", "#d3bd8a"),
    L.ROCK: ("#a79d8e", "#8f877c"),
    L.QUARRY: ("#bba98a", "#a3937a"),
    L.GLACIER: ("#eef4f6", "#cfe1ea"),
    L.CEMETERY: ("#7f9a5a", "#90a06a"),
    L.PITCH: ("#64965a", "#6d9c60"),
    L.SQUARE: ("#c2b7a4", "#b5a994"),
    L.PARKING: ("#98958f", "#8f8d8a"),
    L.AERODROME: ("#8a9c60", "#9aa06a"),
}
# wheat, ploughed earth, ripening barley, young green, stubble, rape, beet, clover
CROPS: tuple[tuple[str, str], ...] = (
    ("#c9aa62", "#bd9a55"),
    ("#8d6f54", "#7d624c"),
    ("#b0a662", "#a39b55"),
    ("#7c9450", "#8a9c58"),
    ("#d2bb88", "#c4ab78"),
    ("#bfb058", "#aeab58"),
    ("#66824a", "#75884e"),
    ("#88985a", "#7c9458"),
)
_ROUGH = class_table(
    {
        L.COMMERCIAL: 0.15, L.INDUSTRIAL: 0.2, L.PITCH: 0.22, L.SQUARE: 0.05, L.PARKING: 0.05, L.BEACH: 0.3,
        L.GLACIER: 0.35, L.QUARRY: 0.9, L.ROCK: 1.0, L.SCRUB: 1.25, L.HEATH: 1.3, L.WOOD: 1.2, L.PARK: 0.7,
        L.GARDEN: 0.7, L.GRASS: 0.8, L.CEMETERY: 0.6, L.RESIDENTIAL: 0.75, L.MEADOW: 0.95,
    },
    1.0,
)  # fmt: skip
_ROUGH[_FIRST_CROP : _FIRST_CROP + 8] = (0.55, 0.9, 0.5, 0.55, 0.45, 0.7, 0.8, 0.8)
# How much a class varies from parcel to parcel.
_VARIES = class_table({L.MEADOW: 1.0, L.GRASS: 0.8, L.PARK: 0.5, L.ORCHARD: 0.6, L.HEATH: 0.5, L.WETLAND: 0.4})
_VARIES[_FIRST_CROP : _FIRST_CROP + 8] = 0.8
# Where flowers may stand, and where the sun may dry the grass.
_FLOWERS = class_table({L.MEADOW: 1.0, L.GROUND: 0.3, L.PARK: 0.6, L.GARDEN: 0.9, L.GRASS: 0.5, L.HEATH: 0.8})
_DRIES = class_table(
    {L.MEADOW: 0.8, L.GROUND: 0.9, L.GRASS: 0.6, L.SCRUB: 0.7, L.HEATH: 0.5, L.AERODROME: 0.8, L.PARK: 0.25,
     L.RESIDENTIAL: 0.35, L.INSTITUTION: 0.3}
)  # fmt: skip


def _paint_tables() -> tuple[Plane, Plane]:
    first, second = np.zeros((3, 256), f32), np.zeros((3, 256), f32)
    for land, (a, b) in PAINTS.items():
        first[:, int(land)], second[:, int(land)] = rgb(a), rgb(b)
    for i, (a, b) in enumerate(CROPS):
        first[:, _FIRST_CROP + i], second[:, _FIRST_CROP + i] = rgb(a), rgb(b)
    return first, second - first


class Ground(Brush):
    """Every class of land in its own paint, with patches, tufts, dry places and flowers."""

    brush: Literal["ground"] = "ground"
    needs: ClassVar[frozenset[str]] = frozenset({"landcover", "parcel", "calm"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "bump"})

    wander: float = Field(1.1, ge=0, le=4, description="how far borders of land wander, logical px")
    patches: Share = Field(0.8, description="how far the two paints of a class part")
    tufts: float = Field(1.0, ge=0, le=3, description="relief of the static grass")
    tone: float = Field(1.0, ge=0, le=3, description="light and dark in the static grass")
    variety: Share = Field(0.75, description="difference between neighbouring parcels")
    dry: Share = Field(0.6, description="sun-dried places in meadows")
    flowers: Share = Field(0.7, description="specks of flowers in meadows")

    @property
    def reach(self) -> int:
        """The borders wander, four sigma at the most."""
        return int(np.ceil(4 * self.wander)) + 1

    def paint(self, canvas: Canvas) -> None:
        """Paint the whole board."""
        s = canvas.s
        index, bits = self._classes(canvas)
        canvas.keep("ground_class", lambda: index)
        canvas.keep("ground_bits", lambda: bits)
        flow, middle = canvas.noise(128, 4, 0.55, 3), canvas.noise(32, 3, 0.6, 9)
        still = quiet(canvas)
        first, gap = _paint_tables()
        mix = flow * f32(0.30 * self.patches)
        mix += middle * f32(0.22 * self.patches)
        own = look_up(bits, np.linspace(-0.5, 0.5, 256, dtype=f32))
        own *= look_up(index, _VARIES * self.variety)
        mix += own * f32(1.1)
        mix += f32(0.45)
        np.maximum(mix, f32(0), out=mix)
        np.minimum(mix, f32(1.15), out=mix)
        rough = look_up(index, _ROUGH)
        # From high up tufts are too small to be seen.
        rough *= f32(np.interp(canvas.level, (8, 12, 14, 16), (0.5, 0.6, 0.75, 1.0)))
        if still is not None:
            rough *= still
        fine, coarse = grain(canvas), tuft(canvas)
        tone = coarse * f32(0.040 * self.tone)
        tone += fine * f32(0.045 * self.tone)
        tone *= rough
        tone += middle * f32(0.022)
        tone += f32(1)
        # A parcel also differs in hue: drier to redder, wetter to bluer.
        other = look_up(_salted(bits), np.linspace(-0.5, 0.5, 256, dtype=f32))
        other *= look_up(index, _VARIES * self.variety)
        albedo = canvas.planes["albedo"]
        for i, hue in enumerate((0.20, 0.06, -0.14)):
            plane = look_up(index, gap[i])
            plane *= mix
            plane += look_up(index, first[i])
            plane *= tone
            plane *= other * f32(hue) + f32(1)
            albedo[i] = plane
        self._dry_and_flowers(canvas, index, bits, middle, coarse)
        bump = coarse * f32(0.17 * s * self.tufts)
        bump += fine * f32(0.17 * s * self.tufts)
        bump *= rough
        canvas.planes["bump"] += bump

    def _classes(self, canvas: Canvas) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Give the class (crops apart) and eight bits of the parcel's hash, borders wandering."""
        land = canvas.control("landcover")
        hashed = parcel_hash(canvas)
        bits = byte(hashed, 0)
        crop = byte(hashed, 1) & np.uint8(7)
        farm = land == np.uint8(L.FARMLAND)
        # Meadow and arable are told apart by the map, the crop by the parcel.
        index = land + farm * (crop + np.uint8(_FIRST_CROP - int(L.FARMLAND)))
        if self.wander:
            far = f32(self.wander * canvas.s)
            dx = canvas.noise(16, 2, 0.6, 1) * far
            dy = canvas.noise(16, 2, 0.6, 7) * far
            dx += tuft(canvas) * f32(0.4 * canvas.s)
            np.clip(dx, -4 * far, 4 * far, out=dx)
            np.clip(dy, -4 * far, 4 * far, out=dy)
            both = warp(cv2.merge([index, bits]), dx, dy, smooth_values=False)
            index, bits = cv2.split(both)
        return index, bits

    def _dry_and_flowers(
        self, canvas: Canvas, index: NDArray[np.uint8], bits: NDArray[np.uint8], middle: Plane, coarse: Plane
    ) -> None:
        albedo, big = canvas.planes["albedo"], canvas.noise(256, 4, 0.6, 14)
        straw = big * f32(0.5)
        straw += middle * f32(0.55)
        straw += coarse * f32(0.22)
        straw = ramped(straw, 0.35, 1.9)
        straw *= look_up(index, _DRIES * f32(0.62 * self.dry))
        lay(albedo, rgb("#b5a872"), straw)
        lush = ramped(middle + big * f32(0.6) - coarse * f32(0.2), -0.6, -2.2)
        lush *= look_up(index, _DRIES * f32(0.5 * self.dry))
        lay(albedo, rgb("#648048"), lush)
        if canvas.base or not self.flowers or canvas.level < 14.5:
            return
        where = canvas.noise(64, 3, 0.6, 41) * f32(0.9)
        where += look_up(_salted(bits), np.linspace(-0.6, 0.6, 256, dtype=f32))
        where = ramped(where, 0.9, 1.9)
        where *= look_up(index, _FLOWERS * f32(self.flowers))
        where *= canvas.texture(512, _flecks)
        kind = bits & np.uint8(3)
        colours = colour_table(("#f4efdc", "#ecd35e", "#f2e6ea", "#c9564a"))
        lay(albedo, tuple(look_up(kind, colours[i]) for i in range(3)), where)


def _salted(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give other bits from the same eight."""
    return bits * np.uint8(197) + np.uint8(91)


def _flecks(period: int, s: int) -> Plane:
    """Sparse soft dots, a logical pixel across: about one in forty."""
    n = period // s
    h = hash2(np.arange(n)[None, :], np.arange(n)[:, None], 4711)
    dots = ((h & np.uint32(1023)) < 20).astype(f32)
    dots = cv2.copyMakeBorder(dots, 2, 2, 2, 2, cv2.BORDER_WRAP)
    dots = cv2.resize(dots, None, fx=s, fy=s, interpolation=cv2.INTER_NEAREST)
    dots = cv2.GaussianBlur(dots, (0, 0), 0.45 * s)
    return np.minimum(dots[2 * s : -2 * s, 2 * s : -2 * s] * f32(1.7), f32(1))


# Per crop: pitch of the rows (logical px), their relief, their tone.
_PITCH = np.full(256, 3.0, f32)
_PITCH[_FIRST_CROP : _FIRST_CROP + 8] = (3.0, 4.0, 3.0, 3.5, 5.0, 4.0, 4.5, 6.0)
_RELIEF = np.zeros(256, f32)
_RELIEF[_FIRST_CROP : _FIRST_CROP + 8] = (0.22, 0.42, 0.20, 0.28, 0.16, 0.22, 0.40, 0.12)
_BANDS = class_table({L.MEADOW: 0.055, L.GRASS: 0.05, L.PITCH: 0.055, L.PARK: 0.03, L.AERODROME: 0.03})
_BANDS[_FIRST_CROP : _FIRST_CROP + 8] = (0.0, 0.0, 0.0, 0.0, 0.05, 0.0, 0.0, 0.05)
_TRAMLINES = np.zeros(256, f32)
_TRAMLINES[_FIRST_CROP : _FIRST_CROP + 8] = (0.5, 0.0, 0.5, 0.45, 0.0, 0.4, 0.3, 0.0)


class Rows(Brush):
    """Furrows and tramlines of arable land, mowing stripes of meadows and pitches; one direction a parcel.

    They follow the ground's wandering borders, whose reach the ground declares for the same planes.
    """

    brush: Literal["rows"] = "rows"
    needs: ClassVar[frozenset[str]] = frozenset({"landcover", "parcel"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "bump"})
    levels: tuple[float, float] = (12.5, 30.0)

    furrows: float = Field(1.0, ge=0, le=3, description="relief of furrows")
    stripes: float = Field(1.0, ge=0, le=3, description="strength of mowing stripes")
    tramlines: float = Field(1.0, ge=0, le=3, description="wheel tracks through crops")

    def paint(self, canvas: Canvas) -> None:
        """Draw the rows over the ground."""
        index = canvas.keep("ground_class", lambda: canvas.control("landcover"))
        table = ((_RELIEF > 0) | (_BANDS > 0)).astype(np.uint8)
        box = bounds(cv2.LUT(index, table))
        if box is None:
            return
        s, kind = canvas.s, np.ascontiguousarray(index[box])
        bits = byte(parcel_hash(canvas)[box], 3)
        _, across = directions(canvas, box)
        sway = canvas.noise(32, 3, 0.6, 9)[box]
        across += sway * f32(0.35 * s)
        grow = float(np.clip(1 + (canvas.level - 16) * 0.3, 0.85, 1.6))
        pitch = look_up(kind, _PITCH * f32(s * grow))
        phase = across / pitch
        wave = _wave(phase)
        still = quiet(canvas)
        relief = look_up(kind, _RELIEF * f32(self.furrows))
        if still is not None:
            relief *= still[box]
        canvas.planes["bump"][box] += wave * relief * f32(s)
        # Mowing: broad bands, light where the machine went one way, dark where it came back.
        band = _wave(across * f32(1 / (16 * s * grow)))
        band *= f32(3)
        np.maximum(band, f32(-1), out=band)
        np.minimum(band, f32(1), out=band)
        mown = look_up(bits, (np.arange(256) % 8 < 3).astype(f32))
        np.maximum(mown, look_up(kind, class_table({L.PITCH: 1.0})), out=mown)
        band *= mown
        band *= look_up(kind, _BANDS * f32(self.stripes))
        band += wave * relief * f32(0.16)
        if self.tramlines and canvas.level >= 14.5:
            gap = remainder(across, 26 * s * grow)
            gap -= f32(13 * s * grow)
            np.abs(gap, out=gap)
            gap -= f32(1.5 * s * grow)
            np.abs(gap, out=gap)
            track = ramped(gap, 0.95 * s, 0.35 * s)
            track *= look_up(kind, _TRAMLINES * f32(0.28 * self.tramlines))
            band -= track
        band += f32(1)
        for plane in canvas.planes["albedo"]:
            plane[box] *= band


def _wave(phase: Plane) -> Plane:
    """Give a smooth wave of period 1, -1..1, by a parabola: equal to the bit wherever it is computed."""
    t = phase - np.floor(phase)
    t -= f32(0.5)
    u = f32(0.5) - np.abs(t)
    u *= t
    u *= f32(16)
    return u
