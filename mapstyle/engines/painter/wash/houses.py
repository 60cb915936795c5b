"""Houses: roofs as single touches of warm and cool colour on lifted paper, with a violet cast shadow."""

from functools import cached_property
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Colour, Share, blur_reach
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import blur, cast, edges, ramp
from mapstyle.engines.painter.wash.hand import drawn, flow, hand, pooled
from mapstyle.engines.painter.wash.paper import tooth
from mapstyle.engines.painter.wash.pigment import (
    ByLevel,
    at_level,
    byte_hash,
    ceil_reach,
    density_of,
    density_table,
    lay,
    lift,
    look_up,
    spread_table,
)
from mapstyle.engines.painter.wash.sparse import Sparse, largest_of

Field = NDArray[np.float32]
f32 = np.float32

_EDGE_SIGMA = 0.7
_RIM_SIGMA = 2.2
_FALL = 1.0
_LIGHT = (0.72, 0.70)
"""Where shadows fall: right and down, for a light from the north-west."""
_FLAT = 1
"""``roof_kind`` of a flat roof."""


class Shadows(Sparse):
    """The shadows of houses: one cool transparent wash, redrawn by hand."""

    brush: Literal["shadows"] = "shadows"
    needs: ClassVar[frozenset[str]] = frozenset({"building", "building_height"})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    pigments: tuple[Colour, Colour] = Setting(("#8d86ad", "#8f9cb8"), description="colours they wander between")
    strength: float = Setting(0.42, ge=0, le=3, description="thickness")
    length: float = Setting(0.55, ge=0, le=2, description="length for each px of height")
    longest: float = Setting(8.0, ge=1, le=24, description="longest shadow, px")

    @property
    def reach(self) -> int:
        """The doubled steps of the cast, and the redrawn outline."""
        return ceil_reach(self.longest + 1, blur_reach(_EDGE_SIGMA))

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow building."""
        return largest_of(canvas, "building")

    def touch(self, canvas: Canvas) -> None:
        """Lay the shadows."""
        s = canvas.s
        height = canvas.control("building_height") * f32(self.length * s)
        np.minimum(height, f32(self.longest * s), out=height)
        fallen = cast(height, *_LIGHT, _FALL, int(self.longest * s) // 2)
        mask = ramp(fallen, 0.0, 1.2)
        mask *= f32(1) - canvas.cover("building")
        mask = drawn(mask, hand(canvas) * f32(0.4), _EDGE_SIGMA * s, 0.22)
        mask *= flow(canvas) * f32(0.14) + f32(1)
        mask *= f32(self.strength)
        np.maximum(mask, 0, out=mask)
        lay(canvas, mask, density_of(self.pigments[0]), density_of(self.pigments[1]), canvas.noise(32, 2, 0.6, 33))


class Roofs(Sparse):
    """Roofs: each building a touch of its own colour; the side away from the light takes a second one."""

    brush: Literal["roofs"] = "roofs"
    needs: ClassVar[frozenset[str]] = frozenset({"building", "building_id", "roof", "roof_kind"})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    pitched: tuple[Colour, ...] = Setting(("#cc6a4c", "#e0aa80"), description="colours of gabled and hipped roofs")
    flat: tuple[Colour, ...] = Setting(("#e3c7b0", "#cbb9b5"), description="colours of flat roofs")
    strength: float = Setting(0.8, ge=0, le=3, description="thickness")
    variety: Share = Setting(0.5, description="how much buildings differ in strength")
    rim: float = Setting(0.9, ge=0, le=4, description="pigment that pools at the eaves")
    second: float = Setting(0.35, ge=0, le=2, description="strength of the touch on the side away from the light")
    light: Share = Setting(0.5, description="paper left white on eaves towards the light")
    apart: Share = Setting(0.8, description="paper left white between houses that touch")
    pencil: ByLevel = Setting(((13.0, 0.0), (15.0, 0.3)), description="strength of the pencil about them, by level")
    line: Colour = Setting("#7d6457", description="colour of the pencil")

    @property
    def reach(self) -> int:
        """Seams between houses, the redrawn outline and its rim."""
        return ceil_reach(1, blur_reach(0.6), blur_reach(_EDGE_SIGMA), blur_reach(_RIM_SIGMA))

    @cached_property
    def _tables(self) -> tuple[Field, Field]:
        return density_table(self.pitched), density_table(self.flat)

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow building."""
        return largest_of(canvas, "building")

    def touch(self, canvas: Canvas) -> None:
        """Lift the ground, lay the roofs, draw about them."""
        s = canvas.s
        ids = canvas.control("building_id")
        whole = canvas.cover("building")
        part = blur(edges(ids).astype(f32), 0.6 * s)
        part *= f32(1.5 * s * self.apart)
        np.minimum(part, 0.9, out=part)
        parted: Field = whole * (f32(1) - part)
        mask = drawn(parted, hand(canvas) * f32(0.5), _EDGE_SIGMA * s, 0.24, 0.04)
        rim = pooled(mask, _RIM_SIGMA * s)
        lift(canvas, drawn(whole, hand(canvas) * f32(0.5), _EDGE_SIGMA * s, 0.24, 0.04) * f32(0.92))
        # Ids end where buildings do: their colours must reach under the soft edge too.
        byte = byte_hash(ids, 3)
        char = cv2.dilate(byte * (ids != 0), np.ones((2 * s + 1, 2 * s + 1), np.uint8))
        char = np.where(ids != 0, byte, char)
        thick = look_up(spread_table(6), char)
        thick -= f32(0.5)
        thick *= f32(self.variety)
        thick += f32(self.strength)
        cv2.scaleAdd(flow(canvas), 0.14, thick, dst=thick)
        cv2.scaleAdd(canvas.noise(16, 3, 0.6, 35), 0.10, thick, dst=thick)
        roof = blur(canvas.control("roof"), 0.6 * s)
        slope = cv2.Sobel(roof, cv2.CV_32F, 1, 0, ksize=3, scale=s) + cv2.Sobel(
            roof, cv2.CV_32F, 0, 1, ksize=3, scale=s
        )
        slope *= f32(-0.25)
        np.clip(slope, -0.8, 1, out=slope)
        slope *= f32(self.second)
        slope += f32(1)
        thick *= slope
        if self.light > 0:
            # Eaves towards the light: inside the mask, outside a copy moved to the south-east.
            moved = np.zeros_like(mask)
            moved[s:, s:] = mask[:-s, :-s]
            glint = mask - moved
            np.maximum(glint, 0, out=glint)
            glint *= ramp(canvas.noise(8, 2, 0.6, 37), -0.6, 0.6)
            glint *= f32(-self.light)
            glint += f32(1)
            thick *= glint
        thick *= mask
        cv2.scaleAdd(rim, self.rim, thick, dst=thick)
        np.maximum(thick, 0, out=thick)
        pitched, flat = self._tables
        is_flat = blur((canvas.control("roof_kind") == _FLAT).astype(f32), 0.6 * s)
        density = canvas.planes["density"]
        for i in range(3):
            colour = look_up(flat[i] - pitched[i], char)
            colour *= is_flat
            colour += look_up(pitched[i], char)
            colour *= thick
            density[i] += colour
        self._draw(canvas, parted)

    def _draw(self, canvas: Canvas, mask: Field) -> None:
        """Draw the pencil about the houses, broken by the tooth."""
        strength = at_level(self.pencil, canvas.level)
        if strength <= 0 or canvas.base:
            return
        near = blur(mask, 0.6 * canvas.s)
        near -= f32(0.45)
        cv2.scaleAdd(hand(canvas, other=True), -0.15, near, dst=near)
        np.abs(near, out=near)
        line = ramp(near, 0.26, 0.03)
        broken = tooth(canvas) * f32(-0.5)
        cv2.scaleAdd(flow(canvas), 0.5, broken, dst=broken)
        line *= ramp(broken, -0.7, 0.9)
        line *= f32(strength)
        lay(canvas, line, density_of(self.line))
