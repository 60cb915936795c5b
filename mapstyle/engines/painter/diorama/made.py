"""Made things: bridges, plank piers, runways, walls, paved places and pitches."""

from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mapstyle.engines.painter.brush import Brush, Colour, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.diorama.ranks import ranks
from mapstyle.engines.painter.diorama.surface import (
    OCCUPIED,
    OCCUPIED_REACH,
    blend,
    bounds,
    colour_table,
    directions,
    grain,
    lay,
    occupied,
    raise_to,
    ramped,
    shrink,
    soften,
    spread,
    tints,
    toy,
    tuft,
    world_box,
)
from mapstyle.engines.painter.masks import remainder
from mapstyle.layers import LandClass

f32 = np.float32
Plane = NDArray[np.float32]


class Bridges(Brush):
    """Decks stand above what they cross, with parapets."""

    brush: Literal["bridges"] = "bridges"
    needs: ClassVar[frozenset[str]] = frozenset({"bridge", "road"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "height", "bump", "shine"})
    levels: tuple[float, float] = (13.5, 30.0)

    stone: Colour = Field("#c9bda6", description="parapets")
    height: float = Field(5.0, ge=0, le=12, description="height of a deck, metres of the model")

    @property
    def reach(self) -> int:
        """The ramp's spread and softening."""
        return 10

    def paint(self, canvas: Canvas) -> None:
        """Raise the decks."""
        s = canvas.s
        if "bridge" in canvas.scene:
            box = bounds(canvas.control("bridge"), 8 * s)
            if box is not None:
                cover = canvas.control("bridge")[box]
                deck = cover.astype(f32) * f32(1 / 255)
                road = canvas.control("road")[box]
                # A deck leaves the ground gently: it is highest far from where its road lies on land.
                ramp = soften(spread(cv2.subtract(road, cover), 2.5 * s), 1.6 * s)
                deck *= f32(1) - np.minimum(ramp, f32(1))
                rim = soften(cv2.subtract(cover, road), 0.25 * s) * deck
                lay(canvas.planes["albedo"], rgb(self.stone), np.minimum(rim * f32(1.2), f32(0.9)), box)
                canvas.planes["bump"][box] *= f32(1) - f32(0.5) * deck
                canvas.planes["bump"][box] += rim * f32(0.7 * s)
                high = min(self.height * toy(canvas), 9.0 * s)
                target = canvas.planes["height"][box]
                target += deck * (f32(high) - np.minimum(target, f32(0)))
                target += rim * f32(0.8 * s)
                canvas.planes["shine"][box] *= f32(1) - deck


class Piers(Brush):
    """Wooden jetties on piles; wide ones are stone moles."""

    brush: Literal["piers"] = "piers"
    needs: ClassVar[frozenset[str]] = frozenset({"pier"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "height", "bump", "shine"})
    levels: tuple[float, float] = (12.5, 30.0)

    wood: Colour = Field("#b3946a", description="planks")
    stone: Colour = Field("#c4bba8", description="moles and quays")

    @property
    def reach(self) -> int:
        """Telling jetty from mole."""
        return 12

    def paint(self, canvas: Canvas) -> None:
        """Lay the planks."""
        if "pier" not in canvas.scene:
            return
        s = canvas.s
        box = bounds(canvas.control("pier"), 12 * s)
        if box is None:
            return
        cover = np.ascontiguousarray(canvas.control("pier")[box])
        deck = cover.astype(f32) * f32(1 / 255)
        metre = toy(canvas)
        core = spread(shrink(cover, min(3.2 * metre, 5.0 * s)), min(4.2 * metre, 6.0 * s))
        mole = np.minimum(soften(core, 0.6 * s), f32(1))
        x, y = world_box(canvas, box)
        plank = remainder(x + y * f32(0.5), 2.0 * s) if canvas.level < 16.5 else remainder(x + y * f32(0.5), 2.6 * s)
        gap = ramped(plank, 0.9 * s, 0.2 * s)
        tone = grain(canvas)[box] * f32(0.05) + f32(1)
        tone -= gap * (f32(1) - mole) * f32(0.22)
        wood, stone = rgb(self.wood), rgb(self.stone)
        colour = [(f32(w) + mole * f32(t - w)) * tone for w, t in zip(wood, stone, strict=True)]
        lay(canvas.planes["albedo"], colour, deck, box)
        blend(canvas.planes["bump"][box], 0.0, deck)
        rim = soften(cover - shrink(cover, 0.8 * s), 0.25 * s) * deck
        canvas.planes["bump"][box] += rim * mole * f32(0.5 * s)
        high = mole * f32(0.6 * s) + f32(1.1 * s)
        target = canvas.planes["height"][box]
        target += deck * (high - target)
        canvas.planes["shine"][box] *= f32(1) - deck


class Runways(Brush):
    """Tarmac with pale edges and rubber-dark middles."""

    brush: Literal["runways"] = "runways"
    needs: ClassVar[frozenset[str]] = frozenset({"runway"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "bump", "height"})

    tarmac: Colour = Field("#7d7d80", description="the surface")
    line: Colour = Field("#eeeae0", description="edge lines")

    @property
    def reach(self) -> int:
        """The edge line and the middle."""
        return 15

    def paint(self, canvas: Canvas) -> None:
        """Lay the tarmac."""
        if "runway" not in canvas.scene:
            return
        s = canvas.s
        box = bounds(canvas.control("runway"), 14 * s)
        if box is None:
            return
        cover = np.ascontiguousarray(canvas.control("runway")[box])
        deck = cover.astype(f32) * f32(1 / 255)
        tone = f32(1) + grain(canvas)[box] * f32(0.03) + canvas.noise(32, 3, 0.6, 9)[box] * f32(0.03)
        lay(canvas.planes["albedo"], [tone * f32(c) for c in rgb(self.tarmac)], deck, box)
        canvas.planes["bump"][box] *= f32(1) - f32(0.9) * deck
        if canvas.level < 13.5:
            return
        metre = toy(canvas)
        inset = min(max(1.0 * s, 1.6 * metre), 5.0 * s)
        inner = shrink(cover, inset)
        edge = soften(inner - shrink(inner, max(1.0, 0.8 * s)), 0.3 * s)
        lay(canvas.planes["albedo"], rgb(self.line), np.minimum(edge, f32(1)) * f32(0.75), box)
        # The middle of the strip, where it is wide: what a deep erosion leaves, marked with dashes.
        deep = min(8.0 * metre, 11.0 * s)
        middle = soften(shrink(cover, deep), 0.8 * s)
        lay(canvas.planes["albedo"], rgb("#5f5f63"), np.minimum(middle, f32(1)) * f32(0.30), box)


class Walls(Brush):
    """Garden walls, and city walls that throw a shadow."""

    brush: Literal["walls"] = "walls"
    needs: ClassVar[frozenset[str]] = frozenset({"wall"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "height", "bump"})

    stone: Colour = Field("#b9ab92", description="the wall")
    height: float = Field(4.0, ge=0, le=20, description="metres of the model")

    def paint(self, canvas: Canvas) -> None:
        """Build them."""
        if "wall" not in canvas.scene:
            return
        box = bounds(canvas.control("wall"))
        if box is None:
            return
        wall = canvas.control("wall")[box].astype(f32) * f32(1 / 255)
        tone = grain(canvas)[box] * f32(0.06) + f32(1)
        lay(canvas.planes["albedo"], [tone * f32(c) for c in rgb(self.stone)], wall, box)
        canvas.planes["bump"][box] += wall * f32(0.8 * canvas.s)
        target = canvas.planes["height"][box]
        raise_to(target, wall * f32(self.height * toy(canvas)))


class Places(Brush):
    """What people do on open ground: white lines on pitches, paving, marked bays with cars, graves."""

    brush: Literal["places"] = "places"
    needs: ClassVar[frozenset[str]] = OCCUPIED | {"landcover", "parcel"}
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "height", "bump"})
    levels: tuple[float, float] = (14.5, 30.0)

    chalk: Colour = Field("#f2f0e6", description="lines")
    cars: float = Field(0.62, ge=0, le=1, description="share of parking bays that are taken")
    colours: tuple[Colour, ...] = Field(
        ("#b23a2e", "#e8e4da", "#2f4a78", "#d8b13c", "#3d4044", "#7fa0b4", "#c9cbcc", "#4f6b4a"),
        min_length=8, max_length=8, description="paints of cars",
    )  # fmt: skip

    @property
    def reach(self) -> int:
        """Half the diagonal of a bay, and the clearing round it."""
        return OCCUPIED_REACH + 16

    def paint(self, canvas: Canvas) -> None:
        """Mark them."""
        self._pitch_lines(canvas)
        self._paving(canvas)
        if canvas.level >= 15.5:
            self._bays(canvas)
            self._graves(canvas)

    def _pitch_lines(self, canvas: Canvas) -> None:
        s = canvas.s
        here = canvas.is_land((LandClass.PITCH,))
        box = bounds(here, 3 * s)
        if box is None:
            return
        cover = here[box].view(np.uint8) * np.uint8(255)
        inset = 1.3 * s if canvas.level < 16.5 else 2.0 * s
        inner = shrink(cover, inset)
        line = soften(inner - shrink(inner, 1.0 * s), 0.35 * s)
        lay(canvas.planes["albedo"], rgb(self.chalk), np.minimum(line * f32(0.85), f32(0.8)), box)

    def _paving(self, canvas: Canvas) -> None:
        s = canvas.s
        here = canvas.is_land((LandClass.SQUARE,))
        box = bounds(here)
        if box is None:
            return
        u, v = directions(canvas, box)
        size = max(2.4, 2.6 * toy(canvas) / s) * s
        joint = np.maximum(
            ramped(np.abs(remainder(u, size) - f32(size / 2)), size / 2 - 0.9 * s, size / 2),
            ramped(np.abs(remainder(v, size) - f32(size / 2)), size / 2 - 0.9 * s, size / 2),
        )
        check = np.floor(u * f32(1 / (4 * size))) + np.floor(v * f32(1 / (4 * size)))
        check -= f32(2) * np.floor(check * f32(0.5))
        tone = f32(1) - joint * f32(0.09) + (check - f32(0.5)) * f32(0.05)
        tone += tuft(canvas)[box] * f32(0.012)
        tone = f32(1) + (tone - f32(1)) * here[box]
        for plane in canvas.planes["albedo"]:
            plane[box] *= tone

    def _bays(self, canvas: Canvas) -> None:
        s, metre = canvas.s, toy(canvas) / canvas.s
        here = canvas.is_land((LandClass.PARKING,)).view(np.uint8)
        free = shrink(here, min(1.6 * metre, 4.0) * s) & (occupied(canvas) < 90).view(np.uint8)
        box = bounds(free, 14 * s)
        if box is None:
            return
        # Two rows of bays nose to nose, then an aisle: 5 + 5 + 6 m; bays are 2.6 m wide.
        long, wide = 8.0 * metre, 2.7 * metre
        bay = ranks(canvas, box, free, wide, long, 401)
        here_box = here[box]
        edge = ramped(np.abs(np.abs(bay.along) - f32(wide * s / 2)), 0.5 * s, 0.0)
        edge *= ramped(np.abs(bay.across), 2.6 * metre * s, 2.4 * metre * s) * here_box * bay.kept
        lay(canvas.planes["albedo"], rgb(self.chalk), edge * f32(0.45), box)
        taken = bay.kept & ((bay.hashed & np.uint32(255)) < np.uint32(256 * self.cars))
        body = ramped(np.abs(bay.along), 0.95 * metre * s + 0.3 * s, 0.95 * metre * s - 0.4 * s)
        body *= ramped(np.abs(bay.across), 2.2 * metre * s + 0.3 * s, 2.2 * metre * s - 0.4 * s)
        body *= taken
        paint = ((bay.hashed >> np.uint32(12)) & np.uint32(7)).astype(np.uint8)
        lay(canvas.planes["albedo"], tints(paint, colour_table(self.colours)), body, box)
        glass = ramped(np.abs(bay.across - f32(0.7 * metre * s)), 0.7 * metre * s, 0.3 * metre * s) * body
        lay(canvas.planes["albedo"], rgb("#2b343d"), glass * f32(0.7), box)
        target = canvas.planes["height"][box]
        raise_to(target, body * f32(1.5 * metre * s))
        canvas.planes["bump"][box] += body * f32(0.7 * metre * s)

    def _graves(self, canvas: Canvas) -> None:
        s, metre = canvas.s, toy(canvas) / canvas.s
        here = canvas.is_land((LandClass.CEMETERY,)).view(np.uint8)
        free = shrink(here, 1.5 * s) & (occupied(canvas) < 90).view(np.uint8)
        box = bounds(free, 14 * s)
        if box is None:
            return
        grave = ranks(canvas, box, free, 3.8 * metre, 5.0 * metre, 402)
        luck = grave.hashed & np.uint32(255)
        kept = grave.kept & (luck < np.uint32(150))
        stone = ramped(np.abs(grave.along), 0.75 * metre * s + 0.3 * s, 0.75 * metre * s - 0.3 * s)
        plot = stone * ramped(np.abs(grave.across), 1.3 * metre * s + 0.3 * s, 1.3 * metre * s - 0.3 * s) * kept
        head = stone * ramped(np.abs(grave.across + f32(1.1 * metre * s)), 0.45 * metre * s + 0.3 * s, 0.1 * s) * kept
        kinds = (luck & np.uint32(3)).astype(np.uint8)
        beds = colour_table(("#a89f90", "#7d6a52", "#b9b2a6", "#8a9a6a"))
        lay(canvas.planes["albedo"], tints(kinds, beds), plot * f32(0.7), box)
        lay(canvas.planes["albedo"], rgb("#d9d4c8"), head, box)
        target = canvas.planes["height"][box]
        raise_to(target, head * f32(1.3 * metre * s))
        canvas.planes["bump"][box] += head * f32(0.6 * s)
