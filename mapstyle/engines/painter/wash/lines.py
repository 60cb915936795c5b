"""Lines that stand for themselves: borders as dashed violet touches with a soft band, walls as firm strokes."""

from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Colour, blur_reach
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import blur
from mapstyle.engines.painter.wash.dabs import stamps
from mapstyle.engines.painter.wash.hand import drawn, flow, hand
from mapstyle.engines.painter.wash.pigment import (
    ByLevel,
    at_level,
    byte_table,
    ceil_reach,
    density_of,
    lay,
    look_up,
)
from mapstyle.engines.painter.wash.sparse import Sparse, largest_of

f32 = np.float32


class Borders(Sparse):
    """Boundaries: a pale violet band, and touches of the brush along its middle."""

    brush: Literal["borders"] = "borders"
    needs: ClassVar[frozenset[str]] = frozenset({"border", "water_area"})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    pigment: Colour = Setting("#9a7fb0", description="colour of touches and band")
    strength: ByLevel = Setting(((2.0, 0.45), (8.0, 0.6)), description="strength of the touches, by level")
    band: float = Setting(0.16, ge=0, le=2, description="strength of the band")
    width: float = Setting(3.0, ge=0.5, le=6, description="width of the band, px (its blur)")

    @property
    def reach(self) -> int:
        """The band's blur."""
        return blur_reach(self.width)

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow border."""
        return largest_of(canvas, "border")

    def touch(self, canvas: Canvas) -> None:
        """Lay the band, then the touches."""
        s = canvas.s
        line = canvas.cover("border")
        band = blur(line, self.width * s)
        band *= flow(canvas) * f32(0.2) + f32(1)
        band *= f32(self.band * self.width)
        np.minimum(band, 0.3, out=band)
        lay(canvas, band, density_of(self.pigment))
        place = cv2.split(canvas.texture(512, stamps(16, 4.6, 7.0, 1.0, 0.0, 77)))[0]
        on = look_up(byte_table(lambda b: np.clip((1.1 - b / 200) / 0.3, 0, 1)), place)
        mask = drawn(line, hand(canvas) * f32(0.3), 0.5 * s, 0.32, 0.08)
        mask *= on
        mask *= f32(at_level(self.strength, canvas.level))
        lay(canvas, mask, density_of(self.pigment))


class Walls(Sparse):
    """Walls: a firm sepia stroke, thinner where the brush ran dry."""

    brush: Literal["walls"] = "walls"
    needs: ClassVar[frozenset[str]] = frozenset({"wall"})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    pigment: Colour = Setting("#7c6a5c", description="colour of the stroke")
    strength: ByLevel = Setting(((0.0, 0.55),), description="thickness, by level")

    @property
    def reach(self) -> int:
        """The redrawn outline."""
        return ceil_reach(blur_reach(0.6))

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow wall."""
        return largest_of(canvas, "wall")

    def touch(self, canvas: Canvas) -> None:
        """Draw the strokes."""
        mask = drawn(canvas.cover("wall"), hand(canvas) * f32(0.4), 0.6 * canvas.s, 0.3, 0.12)
        mask *= flow(canvas) * f32(0.2) + f32(1)
        mask *= f32(at_level(self.strength, canvas.level))
        np.maximum(mask, 0, out=mask)
        lay(canvas, mask, density_of(self.pigment))
