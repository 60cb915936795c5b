"""The medium: a model's colour and height, one strong lamp, a soft sky and a film."""

import math
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mapstyle.engines.painter.brush import Colour, Medium, Share, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.diorama.surface import grain, smear
from mapstyle.engines.painter.masks import slope

f32 = np.float32
_STEPS = (1, 2, 4, 8, 14)
_EAST, _SOUTH = 0.74, 0.67
"""Lengths by which the shadow is drawn out, logical pixels: together they cover every length up to their sum."""
_PENUMBRA = 0.72
_NOOK = 2.6


class Diorama(Medium):
    """A model seen from straight above by a camera, lit by a lamp from the north-west.

    Working planes: ``albedo`` (float32[3, height, width], the paint), ``height`` (real pixels above the
    baseboard: casts shadows), ``bump`` (fine relief: takes the light) and ``shine`` (light thrown back by
    a wet or glossy surface where the lamp reaches it).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"hillshade", "calm", "water_area"})
    reads: ClassVar[frozenset[str]] = frozenset({"height", "bump"})
    planes: ClassVar[frozenset[str]] = frozenset({"albedo", "height", "bump", "shine"})

    lamp: Colour = Field("#fff3dc", description="colour of the lamp")
    sky: Colour = Field("#7f97c4", description="colour of the light that fills shadows")
    lamp_strength: float = Field(0.76, ge=0, le=2, description="light of the lamp on flat ground")
    sky_strength: float = Field(0.52, ge=0, le=2, description="light of the sky")
    shadow: Share = Field(0.92, description="how much of the lamp a cast shadow takes away")
    fall: float = Field(0.95, ge=0.3, le=4, description="how far a shadow sinks over its own length")
    nooks: Share = Field(0.42, description="how dark the sky's light gets beside tall things")
    relief: float = Field(1.15, ge=0, le=4, description="strength of the terrain's own light, if there is any")
    grain: Share = Field(0.12, description="grain of the film")
    saturation: float = Field(1.0, ge=0, le=2, description="1 keeps the paint's own")

    @property
    def reach(self) -> int:
        """The longest shadow with its soft edge."""
        longest = max(math.ceil(sum(round(_EAST * step * s) for step in _STEPS) / s) for s in (1, 2, 3))
        return max(longest + math.ceil(3 * _PENUMBRA), math.ceil(3 * _NOOK), 1)

    def begin(self, canvas: Canvas) -> None:
        """Make bare board."""
        canvas.planes["albedo"] = np.full((3, *canvas.frame.shape), 0.5, f32)
        for name in ("height", "bump", "shine"):
            canvas.planes[name] = canvas.zeros()

    def finish(self, canvas: Canvas) -> NDArray[np.float32]:
        """Light the model and photograph it."""
        albedo, shine = canvas.planes["albedo"], canvas.planes["shine"]
        lamp = self._lamp_on_slopes(canvas)
        dark = self._shadows(canvas)
        dark *= f32(-self.shadow)
        dark += f32(1)
        lamp *= dark
        shine *= dark
        fill = self._sky(canvas)
        lamp *= f32(self.lamp_strength)
        fill *= f32(self.sky_strength)
        lamp_colour, sky_colour = rgb(self.lamp), rgb(self.sky) / rgb(self.sky).mean() * f32(0.8)
        out = np.empty((3, *canvas.frame.shape), f32)
        spare = np.empty(canvas.frame.shape, f32)
        for i in range(3):
            np.multiply(lamp, f32(lamp_colour[i]), out=out[i])
            np.multiply(fill, f32(sky_colour[i]), out=spare)
            out[i] += spare
            out[i] *= albedo[i]
            np.multiply(shine, f32(lamp_colour[i]), out=spare)
            out[i] += spare
        self._film(canvas, out)
        return cv2.merge([out[0], out[1], out[2]])

    def _lamp_on_slopes(self, canvas: Canvas) -> NDArray[np.float32]:
        """Give the lamp's light by the surface's slope, 1 on flat ground."""
        sx, sy = slope(canvas.planes["bump"])
        for plane in (sx, sy):
            np.maximum(plane, f32(-1.6), out=plane)
            np.minimum(plane, f32(1.6), out=plane)
        # Lambert's law with the lamp 40 degrees up in the north-west.
        east, south, up = f32(0.56 / 0.645), f32(0.52 / 0.645), f32(1)
        light = sx * east
        light += sy * south
        light += up
        sx *= sx
        sy *= sy
        sx += sy
        sx += f32(1)
        np.sqrt(sx, out=sx)
        light /= sx
        if "hillshade" in canvas.scene:
            terrain = canvas.control("hillshade") * f32(self.relief * _relief_gain(canvas.level))
            if "water_area" in canvas.scene:
                terrain *= f32(1) - canvas.cover(
                    "water_area"
                )  # water lies level, whatever the model of the terrain says
            light += terrain
        if "calm" in canvas.scene:
            light -= f32(1)
            light *= f32(1) - f32(0.5) * canvas.control("calm")
            light += f32(1)
        np.maximum(light, f32(0.05), out=light)
        return np.minimum(light, f32(1.75), out=light)

    def _shadows(self, canvas: Canvas) -> NDArray[np.float32]:
        """Give how much of the lamp is hidden, 0..1. Reach: that of the steps and the penumbra."""
        s, height = canvas.s, canvas.planes["height"]
        top, other = height.copy(), np.empty_like(height)
        for step in _STEPS:
            dx, dy = round(_EAST * step * s), round(_SOUTH * step * s)
            drop = f32(self.fall * math.hypot(dx, dy))
            other[...] = top
            np.subtract(top[:-dy, :-dx], drop, out=other[dy:, dx:])
            np.maximum(other, top, out=other)
            top, other = other, top
        top -= height
        top *= f32(1 / (1.2 * s))
        np.minimum(top, f32(1), out=top)
        return smear(top, _PENUMBRA * s)

    def _sky(self, canvas: Canvas) -> NDArray[np.float32]:
        """Give the share of the sky that is seen: less beside tall things."""
        s, height = canvas.s, canvas.planes["height"]
        around = smear(height, _NOOK * s)
        around -= height
        around *= f32(1 / (4.5 * s))
        np.maximum(around, f32(0), out=around)
        np.minimum(around, f32(1), out=around)
        around *= f32(-self.nooks)
        around += f32(1)
        return around

    def _film(self, canvas: Canvas, picture: NDArray[np.float32]) -> None:
        """Bend the tones as film does, in place: deep but open shadows, highlights that roll off."""
        grey = picture[0] * f32(0.3)
        grey += picture[1] * f32(0.59)
        grey += picture[2] * f32(0.11)
        rough = None
        if self.grain and not canvas.base:
            rough = grain(canvas) * f32(0.06 * self.grain)
            rough += f32(1)
        spare = np.empty_like(grey)
        for plane in picture:
            plane -= grey
            plane *= f32(self.saturation)
            plane += grey
            if rough is not None:
                plane *= rough
            np.maximum(plane, f32(0), out=plane)
            np.minimum(plane, f32(_WHITE), out=plane)
            # A rational curve after Narkowicz's fit of ACES (2016), refitted by least squares so that
            # 0.15, 0.3, 0.5, 0.8, 1.1, 1.5 become 0.125, 0.285, 0.52, 0.81, 0.95, 1.
            np.multiply(plane, f32(_CURVE[0]), out=spare)
            spare += f32(_CURVE[1])
            spare *= plane
            bottom = plane * f32(_CURVE[2])
            bottom += f32(_CURVE[3])
            bottom *= plane
            bottom += f32(_CURVE[4])
            np.divide(spare, bottom, out=plane)


_CURVE = (0.545, 0.678, 0.999, -0.668, 1.0)
_WHITE = 1.55


def _relief_gain(level: float) -> float:
    return float(np.interp(level, (8, 12, 14, 16, 18), (0.9, 1.0, 0.9, 0.7, 0.5)))
