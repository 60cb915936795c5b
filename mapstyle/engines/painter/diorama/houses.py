"""Buildings: tiled gables and hips, flat roofs with parapets, and what stands on them."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mapstyle.engines.painter.brush import Brush, Colour, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.diorama.surface import (
    WORLD_HASH,
    Box,
    blend,
    bounds,
    byte,
    colour_table,
    grain,
    lay,
    look_up,
    raise_to,
    ramped,
    shrink,
    smear,
    soften,
    tints,
    tuft,
)

f32 = np.float32
Plane = NDArray[np.float32]
FLAT, GABLED, HIPPED = 1, 2, 3


def building_hash(canvas: Canvas) -> NDArray[np.uint32]:
    """Give well mixed bits of the building each pixel lies in."""

    def make() -> NDArray[np.uint32]:
        mixed = canvas.control("building_id") * WORLD_HASH
        mixed ^= mixed >> np.uint32(15)
        mixed *= np.uint32(0x2C1B3C6D)
        mixed ^= mixed >> np.uint32(13)
        return mixed

    return canvas.keep("building_hash", make)


def eaves(height: Plane, s: int, stretch: float) -> Plane:
    """Give the height at which a building's eaves are shown, real pixels: tall ones are pressed down.

    ``h / (1 + h / 55)`` keeps houses as they are and brings a 40 px tower to 23, whose shadow still fits
    the reach.
    """
    return height * f32(s * stretch) / (f32(1) + height * f32(1 / 55))


class Houses(Brush):
    """Every building with its own roof: tiles or slate on slopes, gravel, terrace or tin on flat ones."""

    brush: Literal["houses"] = "houses"
    needs: ClassVar[frozenset[str]] = frozenset({"building", "building_id", "building_height", "roof", "roof_kind"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "height", "bump", "shine"})
    levels: tuple[float, float] = (12.5, 30.0)

    roofs: tuple[Colour, ...] = Field(
        ("#a9533c", "#b5654b", "#9c4836", "#8a4c3b", "#bd7655", "#7d6152", "#6c6e76", "#ae5a41",
         "#a4684c", "#94503c", "#7a7674", "#b86f4c"),
        min_length=12, max_length=12, description="paints of sloping roofs",
    )  # fmt: skip
    flats: tuple[Colour, ...] = Field(
        ("#cdbfa4", "#c08f6c", "#d9cbad", "#b3aca2", "#cba887", "#b87c5d", "#e2d6bd", "#a8ad8c",
         "#cfb795", "#c2b8a6", "#d6ac84", "#c79a78"),
        min_length=12, max_length=12, description="paints of flat roofs",
    )  # fmt: skip
    parapet: Colour = Field("#eee6d4", description="rim of a flat roof")
    stretch: float = Field(1.15, ge=0.2, le=3, description="how tall buildings stand")
    pitch: float = Field(1.0, ge=0, le=3, description="how steep roofs are")
    tiles: float = Field(1.0, ge=0, le=3, description="rows of tiles")

    @property
    def reach(self) -> int:
        """Parapets, and the softened slope of roofs."""
        return 4

    def paint(self, canvas: Canvas) -> None:
        """Set every building down."""
        if "building" not in canvas.scene:
            return
        s = canvas.s
        box = bounds(canvas.control("building"), 4 * s)
        if box is None:
            return
        cover = canvas.control("building")[box]
        body = ramped(cover.astype(f32), 0.35 * 255, 0.65 * 255)
        bits = building_hash(canvas)[box]
        kind = np.ascontiguousarray(canvas.control("roof_kind")[box])
        flat = (kind == np.uint8(FLAT)).astype(f32)
        roof = canvas.control("roof")[box] * f32(s * self.pitch)
        fine = grain(canvas)[box]
        twelve = (byte(bits, 0).astype(np.uint16) * np.uint16(12) >> np.uint16(8)).astype(np.uint8)
        paint = twelve + (kind == np.uint8(FLAT)).view(np.uint8) * np.uint8(12)
        colour = tints(paint, colour_table((*self.roofs, *self.flats)))
        tone = look_up(byte(bits, 1), np.linspace(0.90, 1.10, 256, dtype=f32))
        tone += fine * f32(0.035)
        tone += canvas.noise(16, 2, 0.6, 1)[box] * f32(0.02)
        if canvas.level >= 15.5 and self.tiles:
            tone += self._courses(roof, s) * (f32(1) - flat)
        self._ridges(roof, flat, tone, s)
        for plane in colour:
            plane *= tone
        rim = self._rim(canvas, box, cover, flat)
        for plane, value in zip(colour, rgb(self.parapet), strict=True):
            plane += rim * (f32(value) - plane)
        lay(canvas.planes["albedo"], colour, body, box)
        height = eaves(canvas.control("building_height")[box], s, self.stretch)
        solid = (cover > 110).astype(f32)
        height += roof
        height *= solid
        target = canvas.planes["height"][box]
        raise_to(target, height)
        # The wall itself must not light up: the relief of a roof starts from its eaves.
        relief = roof + rim * f32(0.8 * s)
        relief += flat * fine * f32(0.10 * s)
        relief += flat * tuft(canvas)[box] * f32(0.06 * s)
        blend(canvas.planes["bump"][box], relief, body)
        canvas.planes["shine"][box] *= f32(1) - body

    def _courses(self, roof: Plane, s: int) -> Plane:
        """Give rows of tiles: contour lines of the roof."""
        phase = roof * f32(1 / (0.62 * s))
        phase -= np.floor(phase)
        phase -= f32(0.5)
        return phase * f32(0.13 * self.tiles)

    def _ridges(self, roof: Plane, flat: Plane, tone: Plane, s: int) -> None:
        """Lighten ridge tiles: where the roof lies above its own surroundings. Reach: 2."""
        sharp = roof - smear(roof, 0.6 * s)
        sharp = ramped(sharp, 0.10 * s, 0.30 * s)
        sharp *= f32(1) - flat
        tone += sharp * f32(0.16)

    def _rim(self, canvas: Canvas, box: Box, cover: NDArray[np.uint8], flat: Plane) -> Plane:
        """Give the parapet of flat roofs. Reach: 2."""
        if canvas.level < 14.5:
            return np.zeros_like(flat)
        wide = 1.15 * canvas.s if canvas.level < 16.5 else 1.5 * canvas.s
        rim = soften(cover - shrink(cover, wide), 0.3 * canvas.s)
        rim *= flat
        rim *= f32(0.75)
        return rim
