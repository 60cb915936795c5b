"""The knife: how outlines are carved, how wide key-lines are, and where a wiped gradation lies."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.engines.painter.brush import blur_reach
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import blur, edges, ramp, shift
from mapstyle.engines.painter.wash.hand import look

Field = NDArray[np.float32]
f32 = np.float32

_LINE_SIGMA = 0.7
_SEAM_SIGMA = 0.95
LINE_REACH = blur_reach(_SEAM_SIGMA) + 1
"""Reach of :func:`outline` and :func:`seams`, logical pixels."""
CARVE_REACH = 3
"""Logical pixels by which :func:`carved` moves an outline at most."""
_SOFT = 4
"""Soft gradations are made on a sheet of a quarter of the resolution, whose cells lie on world multiples."""


def swell(canvas: Canvas) -> Field:
    """Give the width of key-lines as it wanders: a factor, 0.5..1.6."""

    def make() -> Field:
        out = canvas.noise(32, 3, 0.55, 311) * f32(0.26)
        out += f32(1)
        return np.clip(out, 0.5, 1.6, out=out)

    return canvas.keep("swell", make)


def unbroken(canvas: Canvas) -> Field:
    """Give the ink of key-lines: 1, falling to 0 where the block took none."""
    return canvas.keep("unbroken", lambda: ramp(canvas.noise(32, 4, 0.65, 312), -2.0, -1.35))


def carved(canvas: Canvas, name: str) -> NDArray[np.generic]:
    """Give an index control with its outlines cut by hand. Reach: CARVE_REACH."""

    def moves() -> NDArray[np.int16]:
        out = np.empty((2, *canvas.frame.shape), np.int16)
        for i in range(2):
            n = canvas.noise(32, 3, 0.5, 313 + i) * f32(0.8 * canvas.s)
            np.clip(n, -CARVE_REACH * canvas.s, CARVE_REACH * canvas.s, out=n)
            np.rint(n, out=n)
            out[i] = n
        return out

    moved = canvas.keep("carving", moves)
    return canvas.keep(("carved", name), lambda: look(canvas.control(name), moved[0], moved[1]))


def outline(canvas: Canvas, mask: Field, width: float, blurred: Field | None = None) -> Field:
    """Give a key-line along the rim of a mask, swelling and broken. Reach: LINE_REACH.

    Args:
        canvas: where.
        mask: float32, coverage 0..1.
        width: logical pixels.
        blurred: the mask already blurred by the line's sigma, if at hand.
    """
    s = canvas.s
    near = blur(mask, _LINE_SIGMA * s) if blurred is None else blurred.copy()
    near -= f32(0.5)
    np.abs(near, out=near)
    # Far from the rim the blur is level, and says no more how far: nothing is drawn there.
    rim = ramp(near, 0.49, 0.40)
    # A straight edge blurred by sigma rises by 1 / (sigma sqrt(2 pi)) a pixel.
    near *= f32(-_LINE_SIGMA * math.sqrt(2 * math.pi) * s)
    cv2.scaleAdd(swell(canvas), width / 2 * s, near, dst=near)
    near += f32(0.5)
    np.clip(near, 0, 1, out=near)
    near *= rim
    near *= unbroken(canvas)
    return near


def seams(canvas: Canvas, index: NDArray[np.generic], width: float) -> Field:
    """Give a key-line where an index changes, swelling and broken. Reach: LINE_REACH."""
    s = canvas.s
    line = blur(edges(index).astype(f32), _SEAM_SIGMA * s)
    line *= f32(_SEAM_SIGMA * math.sqrt(2 * math.pi) * s * 1.3)
    level = swell(canvas) * f32(-0.35 * width)
    level += f32(1.36)
    line -= level
    line *= f32(1.9)
    np.clip(line, 0, 1, out=line)
    line *= unbroken(canvas)
    return line


def slipped(plane: Field, slip: tuple[int, int], s: int) -> Field:
    """Move a colour block off register by whole logical pixels. Reach: the longer of the two."""
    return shift(plane, slip[0] * s, slip[1] * s) if slip != (0, 0) else plane


def wiped(index: NDArray[np.generic], dx: float, dy: float, length: float, s: int, steps: int = 8) -> Field:
    """Grade each area of an index towards its border on one side: 1 at that border, 0 from ``length`` on.

    Reach: ``length``, then the blur of 1.5 px that hides the steps.
    """
    height, width = index.shape
    out = np.zeros((height, width), np.uint8)
    share = 255 // steps
    for k in range(1, steps + 1):
        mx, my = round(dx * length * s * k / steps), round(dy * length * s * k / steps)
        here = index[max(-my, 0) : height - max(my, 0), max(-mx, 0) : width - max(mx, 0)]
        there = index[max(my, 0) : height + min(my, 0), max(mx, 0) : width + min(mx, 0)]
        part = out[max(-my, 0) : height - max(my, 0), max(-mx, 0) : width - max(mx, 0)]
        part += (here != there).view(np.uint8) * np.uint8(share)
    return blur(out.astype(f32) * f32(1 / (share * steps)), 1.5 * s)


def wiped_reach(length: float) -> int:
    """Give the reach of :func:`wiped`, logical pixels."""
    return math.ceil(length) + 1 + blur_reach(1.5)


def softened(mask: Field, sigma: float, s: int) -> Field:
    """Blur a mask broadly, on a quarter of the resolution. Reach: :func:`softened_reach`."""
    step = _SOFT * s
    small = cv2.resize(mask, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
    small = blur(small, sigma / _SOFT)
    return cv2.resize(small, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)


def softened_reach(sigma: float) -> int:
    """Give the reach of :func:`softened`, logical pixels."""
    return _SOFT * (blur_reach(sigma / _SOFT) + 2)
