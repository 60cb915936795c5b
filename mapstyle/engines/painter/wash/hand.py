"""The hand: shared ground noise that redraws outlines, pools pigment at rims and holds washes off lines."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.engines.painter.brush import blur_reach
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import blur, ramp
from mapstyle.engines.painter.wash.pigment import ByLevel, at_level, ceil_reach

Field = NDArray[np.float32]
f32 = np.float32

_QUIET = 0.7
"""Share of small marks that is left out beneath labels."""
_STEADY = 0.62
"""Largest push of the hand's noise, so that an outline never moves further than its blur lets it."""
TREMOR_REACH = 3
"""Logical pixels by which :func:`trembling` moves an outline at most."""
_HOLD_SIGMA = 1.2
HOLD_REACH = ceil_reach(blur_reach(_HOLD_SIGMA))
_HOLD_SHARE: ByLevel = ((10.0, 0.4), (13.0, 0.55), (15.5, 1.0))
_NARROW = ("road_track", "road_path", "road_steps")
_WIDE = ("rail", "tram", "runway", "pier", "bridge", "water_area", "water_line")
HOLDS = ("road", *_NARROW, *_WIDE)
"""Planes that washes on land are held off."""


def hand(canvas: Canvas, other: bool = False) -> Field:
    """Give the push of the hand at each pixel, within ±0.62; ``other`` is a second, unlike hand."""

    def make() -> Field:
        out = canvas.noise(16, 2, 0.6, 7 if other else 1) * f32(0.24)
        cv2.scaleAdd(canvas.noise(4, 2, 0.7, 2), 0.12, out, dst=out)
        return np.clip(out, -_STEADY, _STEADY, out=out)

    return canvas.keep(("hand", other), make)


def flow(canvas: Canvas) -> Field:
    """Give the strength of a wash as it wanders: features from 8 to 128 px, mean 0, variance 1."""
    return canvas.noise(128, 5, 0.55, 3)


def hue(canvas: Canvas) -> Field:
    """Give the place between two pigments as it wanders, about 0..1."""

    def make() -> Field:
        out = canvas.noise(64, 3, 0.6, 4) * f32(0.3)
        out += f32(0.5)
        return np.clip(out, 0, 1, out=out)

    return canvas.keep("hue", make)


def puddle(canvas: Canvas) -> Field:
    """Give back-runs: pale blooms with a dark rim, where a drying wash got more water. About -0.3..0.2."""

    def make() -> Field:
        n = canvas.noise(64, 4, 0.6, 11)
        n = n - f32(1.15)
        inside = np.clip(n * f32(2), 0, 1)
        inside *= f32(-0.2)
        rim = np.abs(n)
        rim *= f32(-2.0)
        rim += f32(0.2)
        np.maximum(rim, 0, out=rim)
        return np.add(rim, inside, out=rim)

    return canvas.keep("puddle", make)


@lru_cache(maxsize=4)
def _places(height: int, width: int) -> NDArray[np.int16]:
    gx, gy = np.meshgrid(np.arange(width, dtype=np.int16), np.arange(height, dtype=np.int16))
    out = np.ascontiguousarray(np.stack([gx, gy], axis=-1))
    out.flags.writeable = False
    return out


def look(plane: NDArray[np.generic], dx: NDArray[np.int16], dy: NDArray[np.int16]) -> NDArray[np.generic]:
    """Look a plane up at places moved by whole pixels: exact, in any crop. Reach: the largest move."""
    there = _places(*plane.shape[:2]) + cv2.merge([dx, dy])
    if plane.dtype == np.uint32:
        found = cv2.remap(plane.view(np.int32), there, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        return found.view(np.uint32)
    return cv2.remap(plane, there, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def trembling(canvas: Canvas, name: str) -> NDArray[np.generic]:
    """Give an index control with its outlines redrawn by hand. Reach: TREMOR_REACH."""

    def moves() -> NDArray[np.int16]:
        out = np.empty((2, *canvas.frame.shape), np.int16)
        for i in range(2):
            n = hand(canvas, other=bool(i)) * f32(TREMOR_REACH / _STEADY * canvas.s)
            np.rint(n, out=n)
            out[i] = n
        return out

    moved = canvas.keep("trembling", moves)
    return canvas.keep(("trembling", name), lambda: look(canvas.control(name), moved[0], moved[1]))


def held_off(canvas: Canvas) -> Field:
    """Give where washes on land are held off roads, rails and water, 0..1, by a wavering white margin.

    Reach: HOLD_REACH.
    """

    def make() -> Field:
        lines = np.zeros(canvas.frame.shape, np.uint8)
        for name in _NARROW:
            if name in canvas.scene:
                cv2.max(lines, canvas.control(name), dst=lines)
        if "road" in canvas.scene:
            # Paths are roads too, but get a narrower margin.
            lines = cv2.addWeighted(canvas.control("road"), 1.0, lines, -0.5, 0)
        for name in _WIDE:
            if name in canvas.scene:
                cv2.max(lines, canvas.control(name), dst=lines)
        if not cv2.countNonZero(lines):
            return canvas.zeros()
        # Where much lies close together, far out, margins would leave nothing but paper.
        sigma = _HOLD_SIGMA * at_level(_HOLD_SHARE, canvas.level)
        near = blur(lines.astype(f32) * f32(1 / 255), sigma * canvas.s)
        uneven = canvas.noise(32, 3, 0.6, 5) * f32(0.10)
        cv2.scaleAdd(hand(canvas), 0.45, uneven, dst=uneven)
        uneven *= near
        near += uneven
        return ramp(near, 0.14, 0.42)

    return canvas.keep("held off", make)


def quiet(canvas: Canvas, amount: Field) -> None:
    """Take strength from small marks, in place, where labels will lie."""
    if "calm" in canvas.scene:
        amount *= f32(1) - f32(_QUIET) * canvas.control("calm")


def pooled(mask: Field, sigma: float) -> Field:
    """Give pigment that pools just inside a mask's rim, 0..0.5. Reach: ``ceil(3 sigma)``."""
    out = mask - blur(mask, sigma)
    np.maximum(out, 0, out=out)
    out *= mask
    return out


def drawn(mask: Field, push: Field, sigma: float, soft: float = 0.18, grow: float = 0.0) -> Field:
    """Redraw a mask's outline by hand: blur, push near the edge only, threshold. Reach: ``ceil(3 sigma)``."""
    b = blur(mask, sigma)
    q = f32(1) - b
    q *= b
    q *= push
    cv2.scaleAdd(q, 4.0, b, dst=q)
    return ramp(q, 0.5 - grow - soft, 0.5 - grow + soft)
