"""Paper: what shines through, its tooth, and the light on it."""

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Colour, Medium, Share, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.noise import periodic

Field = NDArray[np.float32]
f32 = np.float32

_PERIOD = 512


def tooth(canvas: Canvas) -> Field:
    """Give the height of cold-pressed paper, mean 0, variance 1; flat where a model is to paint on."""
    if canvas.base:
        return canvas.keep("flat paper", canvas.zeros)
    return canvas.texture(_PERIOD, _cold_pressed)


def flocks(canvas: Canvas) -> Field:
    """Give the clusters in which heavy pigment settles, mean 0, variance 1; none for a model."""
    if canvas.base:
        return canvas.keep("flat paper", canvas.zeros)
    return canvas.texture(_PERIOD, _settled)


def _cells(ratio: int, *sizes: int) -> list[tuple[int, int]]:
    return [(size * ratio, size * ratio) for size in sizes]


def _cold_pressed(period: int, ratio: int) -> Field:
    bumps = np.tanh(periodic(period, _cells(ratio, 2, 4, 8), [0.55, 1.0, 0.55], 5) * f32(0.9))
    bumps += periodic(period, _cells(ratio, 32), [1.0], 6) * f32(0.15)
    return ((bumps - bumps.mean()) / bumps.std()).astype(f32)


def _settled(period: int, ratio: int) -> Field:
    # Particles gather in the valleys of the tooth and pull their neighbours along: sharp-edged small clusters.
    grains = periodic(period, _cells(ratio, 1, 2, 4), [0.5, 1.0, 0.8], 15)
    patches = periodic(period, _cells(ratio, 8, 16), [1.0, 0.7], 16)
    out = np.tanh((grains + patches * f32(0.6)) * f32(1.4)) - _cold_pressed(period, ratio) * f32(0.5)
    return ((out - out.mean()) / out.std()).astype(f32)


class WashMedium(Medium):
    """Transparent watercolour on cold-pressed paper: pigments add up in optical density."""

    needs: ClassVar[frozenset[str]] = frozenset({"calm"})
    planes: ClassVar[frozenset[str]] = frozenset({"density", "grain"})

    paper: Colour = Setting("#fdfaf1", description="colour of the bare paper")
    granulation: Share = Setting(0.13, description="how much pigment settles in the tooth of the paper")
    relief: Share = Setting(0.016, description="how strongly light from the north-west shows the tooth")
    mottle: Share = Setting(0.012, description="how much the paper's own tone wanders")
    calm: Share = Setting(0.55, description="how much of the texture is kept off ground that labels will cover")

    @property
    def reach(self) -> int:
        """The light on the tooth is read from the ground noise, not from a plane."""
        return 0

    def begin(self, canvas: Canvas) -> None:
        """Take a sheet of paper."""
        canvas.planes["density"] = np.zeros((3, *canvas.frame.shape), f32)
        canvas.planes["grain"] = np.full(canvas.frame.shape, self.granulation, f32)

    def finish(self, canvas: Canvas) -> Field:
        """Look at the dry sheet: ``paper * exp(-density)``, lit."""
        density, grain = canvas.planes["density"], canvas.planes["grain"]
        tone = canvas.noise(128, 2, 0.55, 21) * f32(-self.mottle)
        tone += f32(1)
        if not canvas.base:
            if "calm" in canvas.scene:
                grain = grain * (f32(1) - f32(self.calm) * canvas.control("calm"))
            settled = tooth(canvas) * grain
            np.subtract(f32(1), settled, out=settled)
            for i in range(3):
                density[i] *= settled
            cv2.scaleAdd(canvas.texture(_PERIOD, _lit), self.relief, tone, dst=tone)
        paper = rgb(self.paper)
        layers = []
        for i in range(3):
            np.negative(density[i], out=density[i])
            np.minimum(density[i], 0, out=density[i])
            np.exp(density[i], out=density[i])
            density[i] *= tone
            density[i] *= paper[i]
            layers.append(density[i])
        return cv2.merge(layers)


def _lit(period: int, ratio: int) -> Field:
    height = _cold_pressed(period, ratio)
    return np.roll(height, (ratio, ratio), (0, 1)) - height
