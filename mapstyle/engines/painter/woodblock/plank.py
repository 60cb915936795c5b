"""The planks: colour blocks and the key block, their grain, the baren's rubbing, and the paper they print on."""

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Colour, Medium, Share, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import ramp, remainder
from mapstyle.engines.painter.wash.pigment import logical_world

Field = NDArray[np.float32]
f32 = np.float32

COLOUR = "colour"
"""float32[3, height, width]: what the colour blocks have printed, sRGB, 0..1."""
KEY = "key"
"""float32[height, width]: ink of the key block, 0..1."""
_RING = 16
"""Logical pixels between two rings of the plank; a power of two, so that it divides the world's modulus."""


def lay(canvas: Canvas, mask: Field, first: Field, second: Field | None = None, mix: Field | None = None) -> None:
    """Print a flat colour, or one graded to a second by a field, over what is there.

    Args:
        canvas: its plane ``colour`` is changed in place.
        mask: float32[height, width], 0..1, where.
        first: float32[3], sRGB, 0..1.
        second: float32[3], the colour at ``mix`` 1.
        mix: float32[height, width], 0..1.
    """
    planes = canvas.planes[COLOUR]
    for i in range(3):
        if second is None or mix is None:
            change = f32(first[i]) - planes[i]
        else:
            change = mix * f32(second[i] - first[i])
            change += f32(first[i])
            change -= planes[i]
        change *= mask
        planes[i] += change


def glaze(canvas: Canvas, amount: Field, colour: Field) -> None:
    """Print a transparent colour: what is beneath shows through, darkened."""
    planes = canvas.planes[COLOUR]
    for i in range(3):
        left = amount * f32(colour[i] - 1)
        left += f32(1)
        planes[i] *= left


def draw(canvas: Canvas, line: Field) -> None:
    """Add to the key block's ink."""
    np.maximum(canvas.planes[KEY], line, out=canvas.planes[KEY])


def clear(canvas: Canvas, mask: Field) -> None:
    """Cut the key block away where something lies on top."""
    canvas.planes[KEY] *= f32(1) - mask


def grain(canvas: Canvas) -> Field:
    """Give the plank's grain: rings that swing along the sheet, and fibres; mean about 0, within about ±1.5."""

    def make() -> Field:
        _, y = logical_world(canvas)
        rings = canvas.noise(256, 3, 0.45, 301, 0.25) * f32(0.85)
        rings += y * f32(1 / _RING)
        place = remainder(rings, 1.0)
        # Early wood is broad and soft, late wood a narrow hard line that prints darker, then ends at once.
        out = place * place
        out *= place
        out *= f32(1.7)
        out *= ramp(place, 1.0, 0.86)
        out *= ramp(canvas.noise(256, 2, 0.5, 302, 0.5), -1.4, 1.0)
        cv2.scaleAdd(canvas.noise(128, 3, 0.75, 303, 1 / 32), 0.30, out, dst=out)
        out -= f32(0.16)
        return np.clip(out, -1.5, 1.5, out=out)

    return canvas.keep("plank", make)


class PlankMedium(Medium):
    """Woodblock print on mulberry paper: colour blocks first, slightly off register, and the key block over them."""

    needs: ClassVar[frozenset[str]] = frozenset({"calm"})
    planes: ClassVar[frozenset[str]] = frozenset({COLOUR, KEY})

    paper: Colour = Setting("#f3ead3", description="colour of the bare paper")
    key: Colour = Setting("#232c44", description="colour of the key block")
    grain: Share = Setting(0.16, description="how strongly the plank's grain shows in flat colour")
    baren: Share = Setting(0.10, description="how unevenly the baren rubbed")
    speckle: Share = Setting(0.16, description="paper that shows in specks through flat colour")
    fibre: Share = Setting(0.02, description="how much the paper's own tone wanders")
    calm: Share = Setting(0.5, description="how much of the texture is kept off ground that labels will cover")

    def begin(self, canvas: Canvas) -> None:
        """Take a sheet of paper and a blank key block."""
        sheet = np.empty((3, *canvas.frame.shape), f32)
        for i, value in enumerate(rgb(self.paper)):
            sheet[i] = value
        canvas.planes[COLOUR] = sheet
        canvas.planes[KEY] = canvas.zeros()

    def finish(self, canvas: Canvas) -> Field:
        """Rub the sheet: grain and mottling where there is ink, fibres in the paper, the key block last."""
        planes, key = canvas.planes[COLOUR], canvas.planes[KEY]
        paper, ink = rgb(self.paper), rgb(self.key)
        if not canvas.base:
            loose = self._loose(canvas)
            # A dark flat carries much ink and shows its plank; reserved paper carries none.
            load = planes[0] * f32(-0.45)
            cv2.scaleAdd(planes[1], -0.45, load, dst=load)
            cv2.scaleAdd(planes[2], -0.35, load, dst=load)
            load += f32(0.45 * (paper[0] + paper[1]) + 0.35 * paper[2] + 0.10)
            np.clip(load, 0.0, 0.7, out=load)
            loose *= load
            lighter = np.maximum(loose, 0)
            darker = np.minimum(loose, 0)
            darker += f32(1)
            for i in range(3):
                change = paper[i] - planes[i]
                change *= lighter
                planes[i] += change
                planes[i] *= darker
            tone = canvas.noise(64, 4, 0.6, 304) * f32(self.fibre)
            tone += f32(1)
            thin = canvas.noise(16, 3, 0.7, 305) * f32(0.07)
            thin += f32(0.93)
            key = key * np.clip(thin, 0, 1, out=thin)
        layers = []
        for i in range(3):
            channel = planes[i]
            if not canvas.base:
                channel *= tone
            change = ink[i] - channel
            change *= key
            channel += change
            layers.append(channel)
        return cv2.merge(layers)

    def _loose(self, canvas: Canvas) -> Field:
        """Give how far ink stays off the paper (above 0) or gathers (below), before the load of ink counts."""
        out = grain(canvas) * f32(-self.grain * 1.6)
        cv2.scaleAdd(canvas.noise(32, 4, 0.6, 306), self.baren, out, dst=out)
        specks = ramp(canvas.noise(4, 2, 0.9, 307), 1.1, 2.4)
        cv2.scaleAdd(specks, 1.6 * self.speckle, out, dst=out)
        if "calm" in canvas.scene:
            out *= f32(1) - f32(self.calm) * canvas.control("calm")
        return np.clip(out, -0.5, 0.6, out=out)
