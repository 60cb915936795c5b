"""Roads: card carriageways with pavements or gravel verges, worn tracks, markings, cars and bridges."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mapstyle.engines.painter.brush import Brush, Colour, Share, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.diorama.surface import (
    Box,
    blend,
    bounds,
    class_table,
    colour_table,
    grain,
    lay,
    look_up,
    raise_to,
    ramped,
    smear,
    soften,
    spread,
    tints,
    toy,
    tuft,
)
from mapstyle.engines.painter.masks import remainder, warp
from mapstyle.layers import ROADS, LandClass, LayerKind
from mapstyle.noise import hash2

f32 = np.float32
Plane = NDArray[np.float32]
K = LayerKind
_CLASS = {kind: 1 + i for i, kind in enumerate(ROADS)}
_PAVED_FROM = _CLASS[K.SERVICE]
_TOWN = class_table(
    {L: 1.0 for L in (LandClass.RESIDENTIAL, LandClass.COMMERCIAL, LandClass.INSTITUTION, LandClass.SQUARE,
                      LandClass.PARKING, LandClass.INDUSTRIAL, LandClass.PARK)}
)  # fmt: skip


class Tracks(Brush):
    """Tracks, paths and steps: worn into the ground, soft-edged."""

    brush: Literal["tracks"] = "tracks"
    needs: ClassVar[frozenset[str]] = frozenset({"road_track", "road_path", "road_steps", "road_u"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "bump", "height"})

    earth: Colour = Field("#bfa67c", description="tracks")
    sand: Colour = Field("#d2c19a", description="paths")
    stone: Colour = Field("#c3bcae", description="steps")

    @property
    def reach(self) -> int:
        """The edges wander."""
        return 5

    def paint(self, canvas: Canvas) -> None:
        """Wear them in."""
        s = canvas.s
        for name, colour, strength in (
            ("road_path", self.sand, 0.8), ("road_track", self.earth, 0.9), ("road_steps", self.stone, 0.95),
        ):  # fmt: skip
            if name not in canvas.scene:
                continue
            box = bounds(canvas.control(name), 5 * s)
            if box is None:
                continue
            dx, dy = canvas.noise(16, 2, 0.6, 1)[box] * f32(0.5 * s), canvas.noise(16, 2, 0.6, 7)[box] * f32(0.5 * s)
            np.clip(dx, -2 * s, 2 * s, out=dx)
            np.clip(dy, -2 * s, 2 * s, out=dy)
            way = warp(canvas.control(name)[box], dx, dy).astype(f32) * f32(1 / 255)
            way *= f32(1) + f32(0.14) * tuft(canvas)[box]
            np.minimum(way, f32(1), out=way)
            way *= f32(strength)
            canvas.planes["bump"][box] *= f32(1) - f32(0.7) * way
            lay(canvas.planes["albedo"], rgb(colour), way, box)
            if name == "road_track" and canvas.level >= 15.5 and "road_u" in canvas.scene:
                # Grass grows between the wheels.
                middle = ramped(np.abs(canvas.control("road_u")[box]), 0.75, 0.3)
                lay(canvas.planes["albedo"], rgb("#7f8f52"), middle * way * f32(0.6), box)


class Roads(Brush):
    """Carriageways on a bed of pavement (in town) or gravel (outside)."""

    brush: Literal["roads"] = "roads"
    needs: ClassVar[frozenset[str]] = frozenset(
        {"road", "casing", "road_class", "road_u", "road_v", "landcover", "bridge"}
    )
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "height", "bump", "shine"})

    surface: tuple[Colour, ...] = Field(
        ("#a9a49a", "#a19e99", "#9a9896", "#959393", "#8f8e90", "#89898d", "#84848a"),
        min_length=7, max_length=7, description="service, street, tertiary, secondary, primary, trunk, motorway",
    )  # fmt: skip
    pavement: Colour = Field("#cdc5b5", description="kerb and pavement in town")
    verge: Colour = Field("#c4b48e", description="gravel verge outside")
    marking: Colour = Field("#f1ede0", description="lines on the road")
    kerb: float = Field(0.35, ge=0, le=2, description="height of the pavement, logical px")
    wear: Share = Field(0.6, description="lighter wheel tracks and patches")

    @property
    def reach(self) -> int:
        """Verges, and telling town from country beside them."""
        return 8

    def paint(self, canvas: Canvas) -> None:
        """Lay bed, carriageway and lines."""
        if "road" not in canvas.scene:
            return
        s = canvas.s
        kind = spread(canvas.control("road_class"), float(s))
        paved = (kind >= np.uint8(_PAVED_FROM)).view(np.uint8)
        fill = canvas.control("road") * paved
        box = bounds(fill, 8 * s)
        if box is None:
            return
        kind = np.ascontiguousarray(kind[box])
        road = fill[box].astype(f32) * f32(1 / 255)
        canvas.keep("carriageway", lambda: _whole(canvas, road, box))
        if canvas.level >= 13.5:
            self._bed(canvas, box, fill[box], road, kind)
        table = np.zeros((3, 256), f32)
        table[:, _PAVED_FROM : _PAVED_FROM + 7] = colour_table(self.surface)[:, :7]
        colour = tints(kind, table)
        worn = canvas.noise(32, 3, 0.6, 9)[box] * f32(0.035 * self.wear)
        worn += grain(canvas)[box] * f32(0.022)
        if "road_u" in canvas.scene and canvas.level >= 15:
            lane = np.abs(np.abs(canvas.control("road_u")[box]) - f32(_lane(canvas.level)))
            worn += ramped(lane, _lane(canvas.level) * 0.55, 0.0) * f32(0.06 * self.wear)
        worn += f32(1)
        for plane in colour:
            plane *= worn
        lay(canvas.planes["albedo"], colour, road, box)
        canvas.planes["bump"][box] *= f32(1) - f32(0.93) * road
        canvas.planes["shine"][box] *= f32(1) - road
        blend(canvas.planes["height"][box], 0.0, road)
        if canvas.level >= 14.5 and "road_u" in canvas.scene:
            self._lines(canvas, box, road, kind)

    def _bed(self, canvas: Canvas, box: Box, fill: NDArray[np.uint8], road: Plane, kind: NDArray[np.uint8]) -> None:
        s = canvas.s
        wide = 1.25 if canvas.level >= 15 else 0.8
        bed = ramped(soften(fill, wide * s), 0.10, 0.38)
        bed *= f32(1) - road
        town = smear(look_up(np.ascontiguousarray(canvas.control("landcover")[box]), _TOWN), 1.0 * s)
        town *= f32(1) if canvas.level >= 14.5 else f32(0.5)
        pavement, verge = rgb(self.pavement), rgb(self.verge)
        rough = tuft(canvas)[box] * f32(0.22) + f32(0.72)
        strength = bed * (town + (f32(1) - town) * rough)
        colour = [town * f32(p - v) + f32(v) for p, v in zip(pavement, verge, strict=True)]
        lay(canvas.planes["albedo"], colour, strength, box)
        canvas.planes["bump"][box] *= f32(1) - f32(0.6) * bed
        canvas.planes["bump"][box] += bed * town * f32(self.kerb * s)

    def _lines(self, canvas: Canvas, box: Box, road: Plane, kind: NDArray[np.uint8]) -> None:
        """Paint centre lines: dashes on through roads, a double gap of green on motorways."""
        s = canvas.s
        u, v = canvas.control("road_u")[box], canvas.control("road_v")[box]
        metre = toy(canvas) / s
        half = max(0.28, 0.16 * metre)
        line = ramped(np.abs(u), half + 0.35, half - 0.1)
        dash = remainder(v, 9.0 * metre)
        line *= ramped(dash, 4.6 * metre, 4.2 * metre)
        from_class = _CLASS[K.TERTIARY] if canvas.level < 16.5 else _CLASS[K.STREET]
        table = np.zeros(256, f32)
        table[from_class : _CLASS[K.MOTORWAY] + 1] = 0.75
        table[_CLASS[K.STREET]] = 0.45 if canvas.level >= 16.5 else 0.0
        line *= look_up(kind, table)
        line *= road
        lay(canvas.planes["albedo"], rgb(self.marking), line, box)


def _lane(level: float) -> float:
    """Give where the middle of a lane lies, logical pixels from the road's axis."""
    return float(np.interp(level, (14, 16, 17, 18), (0.9, 1.45, 2.3, 3.8)))


def _whole(canvas: Canvas, part: Plane, box: Box) -> Plane:
    out = canvas.zeros()
    out[box] = part
    return out


class Cars(Brush):
    """Cars parked along streets and driving on larger roads."""

    brush: Literal["cars"] = "cars"
    needs: ClassVar[frozenset[str]] = frozenset({"road_u", "road_v", "road_class", "road"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "height", "bump", "shine"})
    levels: tuple[float, float] = (15.5, 30.0)

    parked: Share = Field(0.16, description="share of the places along a street that are taken")
    driving: Share = Field(0.10, description="share of the places on a road that hold a car")
    colours: tuple[Colour, ...] = Field(
        ("#b23a2e", "#e8e4da", "#2f4a78", "#d8b13c", "#3d4044", "#7fa0b4", "#c9cbcc", "#4f6b4a"),
        min_length=8, max_length=8, description="paints of cars",
    )  # fmt: skip

    @property
    def reach(self) -> int:
        """The outlines are softened."""
        return 3

    def paint(self, canvas: Canvas) -> None:
        """Put one car in some slots along the road."""
        if "road_u" not in canvas.scene or "road" not in canvas.scene:
            return
        s, metre = canvas.s, toy(canvas) / canvas.s
        kind = canvas.control("road_class")
        mask = ((kind >= np.uint8(_CLASS[K.STREET])) & (canvas.control("road") > 128)).view(np.uint8)
        box = bounds(mask, 2 * s)
        if box is None:
            return
        u, v, kind = canvas.control("road_u")[box], canvas.control("road_v")[box], kind[box]
        long, wide = 4.6 * metre, max(1.0, 1.9 * metre)
        slot = 1.45 * long
        number = np.floor(v * f32(1 / slot))
        along = np.abs(v - (number + f32(0.5)) * f32(slot))
        lane = f32(_lane(canvas.level))
        side = np.sign(u)
        across = np.abs(np.abs(u) - lane)
        h = hash2(
            number.astype(np.int64) * 2 + (side > 0), kind.astype(np.int64), (canvas.seed * 1009 + 71) & 0x7FFFFFFF
        )
        taken = np.where(kind >= _CLASS[K.TERTIARY], f32(self.driving), f32(self.parked))
        on = (h & np.uint32(1023)).astype(f32) < taken * f32(1024)
        body = ramped(along, long / 2 + 0.3, long / 2 - 0.4) * ramped(across, wide / 2 + 0.3, wide / 2 - 0.35)
        body *= on
        body *= mask[box]
        if not body.any():
            return
        paint = ((h >> np.uint32(12)) & np.uint32(7)).astype(np.uint8)
        lay(canvas.planes["albedo"], tints(paint, colour_table(self.colours)), body, box)
        glass = ramped(np.abs(along - f32(long * 0.22)), 0.16 * long, 0.06 * long) * body
        lay(canvas.planes["albedo"], rgb("#28323c"), glass * f32(0.75), box)
        height = canvas.planes["height"][box]
        raise_to(height, body * f32(1.5 * metre * s))
        canvas.planes["bump"][box] += smear(body, 0.4 * s) * f32(0.9 * metre * s)
