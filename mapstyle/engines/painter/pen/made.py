"""Made things: bridges, tunnels, piers, runways, walls and borders."""

from typing import ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Brush, Share, blur_reach
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.pen.nib import (
    INK,
    POOL,
    SEPIA,
    TREMBLE,
    WATER_INK,
    Field,
    Levelled,
    at_level,
    blur8,
    draw,
    erase,
    f32,
    halo,
    outline,
    outline_sigma,
    to_bytes,
    trembling,
)


def lifts(canvas: Canvas) -> Field:
    """Give the noise that breaks lines whose course is not known into strokes of about ten px. Reach: 0."""
    return canvas.noise(8, 1, 0.6, 21)


class Bridges(Brush):
    """Parapets: a firm line on each side of a deck."""

    brush: Literal["bridges"] = "bridges"
    needs: ClassVar[frozenset[str]] = frozenset({"bridge", "road", "rail"})
    writes: ClassVar[frozenset[str]] = frozenset({INK})

    width: Levelled = Setting(((0.0, 1.2),), description="width of the line, px, by level")

    @property
    def reach(self) -> int:
        """The tremble and a blur."""
        widest = max(w for _, w in self.width)
        return TREMBLE + 1 + blur_reach(outline_sigma(widest))

    def paint(self, canvas: Canvas) -> None:
        """Draw the parapets."""
        width = at_level(self.width, canvas.level)
        if width <= 0 or "bridge" not in canvas.scene:
            return
        line = outline(trembling(canvas, "bridge"), width, canvas.s)
        for name in ("road", "rail"):
            # A deck's ends lie across the way that it carries.
            if name in canvas.scene:
                line = cv2.subtract(line, trembling(canvas, name))
        draw(canvas, line)


class Tunnels(Brush):
    """Tunnels: two broken hairlines."""

    brush: Literal["tunnels"] = "tunnels"
    needs: ClassVar[frozenset[str]] = frozenset({"tunnel"})
    writes: ClassVar[frozenset[str]] = frozenset({INK})

    width: float = Setting(0.6, ge=0, le=3, description="width of the strokes, px")
    strength: Share = Setting(0.6, description="blackness")

    @property
    def reach(self) -> int:
        """The tremble and a blur."""
        return TREMBLE + 1 + blur_reach(outline_sigma(self.width))

    def paint(self, canvas: Canvas) -> None:
        """Draw them."""
        if "tunnel" not in canvas.scene:
            return
        line = outline(trembling(canvas, "tunnel"), self.width, canvas.s)
        cv2.min(line, to_bytes(lifts(canvas), 340, 170), dst=line)
        draw(canvas, cv2.convertScaleAbs(line, alpha=self.strength))


class Piers(Brush):
    """Piers, breakwaters and dams: paper within a firm line, standing in the water."""

    brush: Literal["piers"] = "piers"
    needs: ClassVar[frozenset[str]] = frozenset({"pier"})
    writes: ClassVar[frozenset[str]] = frozenset({INK, WATER_INK, SEPIA, POOL})

    width: Levelled = Setting(((0.0, 1.0),), description="width of the line, px, by level")
    halo: float = Setting(0.8, ge=0, le=4, description="water left free of lines beside them, px")

    @property
    def reach(self) -> int:
        """The tremble, and a halo or a blur."""
        widest = max(w for _, w in self.width)
        return TREMBLE + 1 + max(blur_reach(outline_sigma(widest)), round(self.halo) + 2)

    def paint(self, canvas: Canvas) -> None:
        """Draw them."""
        if "pier" not in canvas.scene:
            return
        body = trembling(canvas, "pier")
        erase(canvas, halo(body, self.halo, canvas.s))
        erase(canvas, body, washes=True)
        draw(canvas, outline(body, at_level(self.width, canvas.level), canvas.s))


class Runways(Brush):
    """Runways and taxiways: pale bands within a line, a hairline inside it."""

    brush: Literal["runways"] = "runways"
    needs: ClassVar[frozenset[str]] = frozenset({"runway"})
    writes: ClassVar[frozenset[str]] = frozenset({INK, WATER_INK, SEPIA, POOL})

    width: float = Setting(1.0, ge=0, le=3, description="width of the line, px")
    inner: float = Setting(2.6, ge=0, le=4, description="distance of the hairline inside it, px; 0 for none")
    tint: Share = Setting(0.22, description="strength of the wash on them")

    @property
    def reach(self) -> int:
        """The tremble and a blur."""
        return TREMBLE + 1 + blur_reach(outline_sigma(0.5, self.inner))

    def paint(self, canvas: Canvas) -> None:
        """Draw them."""
        if "runway" not in canvas.scene:
            return
        body = trembling(canvas, "runway")
        erase(canvas, halo(body, 1.0, canvas.s))
        erase(canvas, body, washes=True)
        cv2.max(canvas.planes[SEPIA], cv2.convertScaleAbs(body, alpha=self.tint), dst=canvas.planes[SEPIA])
        draw(canvas, outline(body, self.width, canvas.s))
        if self.inner:
            draw(canvas, cv2.convertScaleAbs(outline(body, 0.5, canvas.s, self.inner), alpha=0.8))


class Walls(Brush):
    """Walls and city walls, as they are, in solid ink."""

    brush: Literal["walls"] = "walls"
    needs: ClassVar[frozenset[str]] = frozenset({"wall"})
    writes: ClassVar[frozenset[str]] = frozenset({INK})

    strength: Share = Setting(0.9, description="blackness")

    @property
    def reach(self) -> int:
        """The tremble and a blur."""
        return TREMBLE + 1 + blur_reach(0.5)

    def paint(self, canvas: Canvas) -> None:
        """Draw them."""
        if "wall" in canvas.scene:
            line = blur8(trembling(canvas, "wall"), 0.5 * canvas.s)
            draw(canvas, cv2.convertScaleAbs(line, alpha=1.4 * self.strength))


class Borders(Brush):
    """Borders: long dashes and dots, on a soft band of wash."""

    brush: Literal["borders"] = "borders"
    needs: ClassVar[frozenset[str]] = frozenset({"border"})
    writes: ClassVar[frozenset[str]] = frozenset({INK, SEPIA})

    strength: Levelled = Setting(((0.0, 0.9),), description="blackness of the strokes, by level")
    band: float = Setting(3.0, ge=0, le=8, description="softness of the band, px")
    tint: Levelled = Setting(((0.0, 0.4),), description="strength of the band, by level")

    @property
    def reach(self) -> int:
        """The tremble and the band."""
        return TREMBLE + 1 + blur_reach(max(0.5, self.band))

    def paint(self, canvas: Canvas) -> None:
        """Draw them."""
        if "border" not in canvas.scene:
            return
        line = trembling(canvas, "border")
        tint = at_level(self.tint, canvas.level)
        if tint > 0 and self.band > 0:
            band = cv2.convertScaleAbs(blur8(line, self.band * canvas.s), alpha=3.2 * tint)
            cv2.max(canvas.planes[SEPIA], cv2.min(band, round(255 * tint)), dst=canvas.planes[SEPIA])
        noise = lifts(canvas)
        # Dashes where the noise is high, dots in its deepest hollows, gaps between the two.
        on = np.maximum(noise + f32(0.35), f32(-1.05) - noise)
        line = cv2.min(cv2.convertScaleAbs(blur8(line, 0.5 * canvas.s), alpha=1.3), to_bytes(on, 700, 90))
        draw(canvas, cv2.convertScaleAbs(line, alpha=at_level(self.strength, canvas.level)))
