"""The halo's colour: that of the ground below, pushed as far as the letters need to be read."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.image import MapImage

SIGMA = 3.0
"""Standard deviation of the blur that turns the ground into the halo's colour, logical pixels."""
HALO_REACH = 10
"""Logical pixels of ground that a halo looks at around each of its own."""
CONTRAST = 4.5
"""Least contrast of letters on their halo (WCAG 2.2, success criterion 1.4.3)."""
_SPARE = 1.03  # so that rounding to whole numbers does not undo the promise

assert HALO_REACH > 3 * SIGMA

_STEPS = 4096


@lru_cache(maxsize=1)
def _to_linear() -> NDArray[np.float32]:
    """Table from sRGB 0-255 to linear light (IEC 61966-2-1)."""
    v = np.arange(256) / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4).astype(np.float32)


@lru_cache(maxsize=1)
def _to_srgb() -> NDArray[np.uint8]:
    v = np.arange(_STEPS) / (_STEPS - 1)
    curve = np.where(v <= 0.0031308, v * 12.92, 1.055 * v ** (1 / 2.4) - 0.055)
    return np.rint(curve * 255).astype(np.uint8)


def luminance(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give relative luminance (WCAG 2.2): float32[...], 0..1, of uint8[..., 3]."""
    linear = _to_linear()[rgb]
    r, g, b = np.float32(0.2126), np.float32(0.7152), np.float32(0.0722)
    return r * linear[..., 0] + g * linear[..., 1] + b * linear[..., 2]


def goal(colour: str) -> tuple[float, bool]:
    """Give the luminance that a halo must reach for letters of a colour, and whether it is a light one."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)
    letters = float(luminance(rgb)) + 0.05
    light = letters * CONTRAST * _SPARE - 0.05
    if light <= 1.0:
        return light, True
    return max(0.0, letters / (CONTRAST * _SPARE) - 0.05), False


def halo_colours(ground: MapImage, colour: str, light: float) -> NDArray[np.uint8]:
    """Give the halo's colour at each pixel but the outer ``HALO_REACH`` of a piece of ground.

    The ground is blurred, mixed towards white (or black, for light letters) by ``light``, then further as
    far as the contrast needs, pixel by pixel in linear light.

    Args:
        ground: with ``HALO_REACH`` logical pixels around what is wanted.
        colour: of the letters.
        light: 0..1.

    Returns:
        uint8[height, width, 3].
    """
    ratio = ground.frame.grid.pixel_ratio
    margin = HALO_REACH * ratio
    size = 2 * margin - 1
    blurred = cv2.GaussianBlur(ground.rgba, (size, size), SIGMA * ratio)
    inner = np.ascontiguousarray(blurred[margin:-margin, margin:-margin, :3])
    wanted, lighter = goal(colour)
    linear = _to_linear()[inner]
    end = np.float32(1.0 if lighter else 0.0)
    mixed = linear + (end - linear) * np.float32(light)
    r, g, b = np.float32(0.2126), np.float32(0.7152), np.float32(0.0722)
    bright = r * mixed[..., 0] + g * mixed[..., 1] + b * mixed[..., 2]
    if lighter:
        further = (np.float32(wanted) - bright) / np.maximum(np.float32(1) - bright, np.float32(1e-4))
    else:
        further = (bright - np.float32(wanted)) / np.maximum(bright, np.float32(1e-4))
    share = np.clip(further, np.float32(0), np.float32(1))[..., None]
    mixed += (end - mixed) * share
    # Rounded to the side of the goal.
    index = mixed * np.float32(_STEPS - 1) + np.float32(0.999 if lighter else 0.0)
    return _to_srgb()[np.minimum(index, np.float32(_STEPS - 1)).astype(np.int32)]
