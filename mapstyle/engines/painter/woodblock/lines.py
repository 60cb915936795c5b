"""Lines of no width on the ground: walls and borders."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Colour, blur_reach, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import blur, ramp
from mapstyle.engines.painter.wash.pigment import ByLevel, at_level
from mapstyle.engines.painter.wash.sparse import Sparse, largest_of
from mapstyle.engines.painter.woodblock.knife import unbroken
from mapstyle.engines.painter.woodblock.plank import COLOUR, KEY, draw, glaze

f32 = np.float32


class Walls(Sparse):
    """Walls: a line of the key block."""

    brush: Literal["walls"] = "walls"
    needs: ClassVar[frozenset[str]] = frozenset({"wall"})
    writes: ClassVar[frozenset[str]] = frozenset({KEY})

    strength: ByLevel = Setting(((0.0, 0.7),), description="strength, by level")

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow wall."""
        return largest_of(canvas, "wall")

    def touch(self, canvas: Canvas) -> None:
        """Cut the lines."""
        draw(canvas, canvas.cover("wall") * unbroken(canvas) * f32(at_level(self.strength, canvas.level)))


class Borders(Sparse):
    """Borders: a wiped band of vermilion and a row of dashes in it."""

    brush: Literal["borders"] = "borders"
    needs: ClassVar[frozenset[str]] = frozenset({"border"})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR})

    ink: Colour = Setting("#b5482f", description="colour")
    strength: ByLevel = Setting(((2.0, 0.75), (10.0, 0.75), (15.0, 0.5)), description="strength of the line, by level")
    band: ByLevel = Setting(((2.0, 0.14), (12.0, 0.10), (15.0, 0.03)), description="strength of the band, by level")
    width: float = Setting(3.0, ge=0.5, le=6, description="width of the band, px (its blur)")

    @property
    def reach(self) -> int:
        """The band's blur."""
        return blur_reach(self.width)

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow border."""
        return largest_of(canvas, "border")

    def touch(self, canvas: Canvas) -> None:
        """Wipe the band, then cut the dashes."""
        line = canvas.cover("border")
        band = blur(line, self.width * canvas.s)
        band *= f32(at_level(self.band, canvas.level) * self.width * 1.6)
        np.minimum(band, 0.6, out=band)
        glaze(canvas, band, rgb(self.ink))
        dashes = line * ramp(canvas.noise(8, 2, 0.5, 371), -1.0, -0.3)
        dashes *= f32(at_level(self.strength, canvas.level))
        glaze(canvas, dashes, rgb(self.ink))
