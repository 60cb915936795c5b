"""The medium: paper, a pen with two inks, and two thin washes."""

from functools import lru_cache
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Colour, Medium, Share, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.pen.nib import INK, POOL, SEPIA, WATER_INK
from mapstyle.noise import periodic

Field = NDArray[np.float32]
f32 = np.float32

_GRAIN_PERIOD = 512


def wove(period: int, ratio: int) -> Field:
    """Make the height of wove paper: fine, even, zero mean, unit variance."""
    cells = [(c * ratio, c * ratio) for c in (1, 2, 4)]
    return periodic(period, cells, [0.5, 1.0, 0.6], 8)


@lru_cache(maxsize=16)
def _filter(colour: str) -> Field:
    """Give float32[256, 3]: the share of light that a wash of this colour lets through, by its strength."""
    strength = np.arange(256, dtype=f32)[:, None] / f32(255)
    return np.ascontiguousarray(rgb(colour) ** strength)


class PenMedium(Medium):
    """Warm paper, a dark ink, a second ink for water, a wash over land and one over water.

    Working planes, bytes: ``ink`` and ``water_ink``, coverage of strokes; ``sepia`` and ``pool``, strength of
    the washes.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"calm"})
    planes: ClassVar[frozenset[str]] = frozenset({INK, WATER_INK, SEPIA, POOL})

    paper: Colour = Setting("#f7f1e3", description="colour of the paper")
    ink: Colour = Setting("#241f1b", description="colour of the ink")
    water_ink: Colour = Setting("#3c5866", description="colour of the ink that water is drawn with")
    sepia: Colour = Setting("#cfc09a", description="colour of a full wash over land")
    pool: Colour = Setting("#b9cdcb", description="colour of a full wash over water")
    mottle: Share = Setting(0.012, description="how much the paper's tone wanders")
    grain: Share = Setting(0.010, description="how much the paper's grain shows")
    bite: Share = Setting(0.16, description="how far ink thins out as the pressure of the pen wanders")

    calm: Share = Setting(0.4, description="how far both inks pale where labels will lie")

    def begin(self, canvas: Canvas) -> None:
        """Make clean paper."""
        for name in self.planes:
            canvas.planes[name] = np.zeros(canvas.frame.shape, np.uint8)

    def finish(self, canvas: Canvas) -> NDArray[np.float32]:
        """Lay washes and ink on the paper."""
        paper = canvas.noise(128, 4, 0.55, 3) * f32(-self.mottle)
        if not canvas.base:
            cv2.scaleAdd(canvas.texture(_GRAIN_PERIOD, wove), -self.grain, paper, dst=paper)
        paper += f32(1)
        left = self._bitten(canvas)
        left_water = None
        if cv2.countNonZero(canvas.planes[WATER_INK]):
            left_water = cv2.LUT(canvas.planes[WATER_INK], _thinned(0.92))
        if "calm" in canvas.scene:
            quiet = canvas.control("calm") * f32(-self.calm)
            quiet += f32(1)
            left *= quiet
            if left_water is not None:
                left_water *= quiet
        colours = rgb(self.paper)
        washes = [(canvas.planes[n], _filter(c)) for n, c in ((SEPIA, self.sepia), (POOL, self.pool))]
        washes = [(plane, table) for plane, table in washes if cv2.countNonZero(plane)]
        out = []
        for i in range(3):
            channel = paper * colours[i]
            for plane, table in washes:
                channel *= cv2.LUT(plane, np.ascontiguousarray(table[:, i]))
            if left_water is not None:
                blend(channel, rgb(self.water_ink)[i], left_water)
            blend(channel, rgb(self.ink)[i], left)
            out.append(channel)
        return cv2.merge(out)

    def _bitten(self, canvas: Canvas) -> Field:
        """Give what of the ink is on the paper, 0..1: pressure wanders along every stroke."""
        amount = cv2.LUT(canvas.planes[INK], _thinned(0.96))
        press = canvas.noise(32, 3, 0.6, 9) * f32(0.5 * self.bite)
        press += f32(1 - 0.5 * self.bite)
        np.minimum(press, 1, out=press)
        return np.multiply(amount, press, out=amount)


def blend(channel: Field, colour: float, amount: Field) -> None:
    """Lay a colour over a channel in place: ``channel += amount * (colour - channel)``. Reach: 0."""
    held = np.subtract(f32(colour), channel)
    held *= amount
    channel += held


@lru_cache(maxsize=8)
def _thinned(most: float) -> Field:
    return np.arange(256, dtype=f32) * f32(most / 255)
