"""The halo's colour: that of the ground below, pushed as far as the letters need to be read."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.image import MapImage

BOX = 3
"""Half the side of the box blur that, run twice, turns the ground into the halo's colour, logical pixels."""
REST = 2
"""Half the side of the square within which a halo takes the ground's palest colour (its darkest, for light
letters), so that thin lines do not cloud it, logical pixels."""
HALO_REACH = 8
"""Logical pixels of ground that a halo looks at around each of its own (the square and two boxes)."""
CONTRAST = 4.5
"""Least contrast of letters on their halo (WCAG 2.2, success criterion 1.4.3)."""
_WEIGHTS = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Shares of red, green and blue in relative luminance (WCAG 2.2, ITU-R BT.709)."""
_SPARE = 1.03  # so that rounding to whole numbers does not undo the promise

assert HALO_REACH >= REST + 2 * BOX

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
    return _weigh(_to_linear()[rgb])


def _weigh(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    # Product by product, not a matrix product, whose sums may differ with the shape of the picture.
    r, g, b = _WEIGHTS
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

    The ground is rid of thin lines, blurred, and mixed towards white (or black, for light letters) by
    ``light``, then further as far as the contrast needs, pixel by pixel in linear light.

    Args:
        ground: with ``HALO_REACH`` logical pixels around what is wanted.
        colour: of the letters.
        light: 0..1.

    Returns:
        uint8[height, width, 3].
    """
    ratio = ground.frame.grid.pixel_ratio
    margin, side = HALO_REACH * ratio, 2 * BOX * ratio + 1
    wanted, lighter = goal(colour)
    calm = (cv2.dilate if lighter else cv2.erode)(ground.rgba, _square(ratio))
    # A box blur of bytes is exact in whole numbers, and five times as fast as a Gaussian.
    blurred = cv2.blur(cv2.blur(calm, (side, side)), (side, side))
    inner = np.ascontiguousarray(blurred[margin:-margin, margin:-margin, :3])
    table, end = _mixed(lighter, light), np.float32(1.0 if lighter else 0.0)
    mixed = cv2.LUT(inner, table)
    bright = _weigh(mixed)
    if lighter:
        share = (np.float32(wanted) - bright) / np.maximum(np.float32(1) - bright, np.float32(1e-4))
    else:
        share = (bright - np.float32(wanted)) / np.maximum(bright, np.float32(1e-4))
    if share.max() > 0:
        np.clip(share, 0, 1, out=share)
        mixed += (end - mixed) * share[..., None]
    # Rounded to the side of the goal.
    mixed *= np.float32(_STEPS - 1)
    if lighter:
        mixed += np.float32(0.999)
    return _to_srgb()[np.minimum(mixed, np.float32(_STEPS - 1)).astype(np.uint16)]


@lru_cache(maxsize=8)
def _square(ratio: int) -> NDArray[np.uint8]:
    side = 2 * REST * ratio + 1
    return np.ones((side, side), np.uint8)


@lru_cache(maxsize=64)
def _mixed(lighter: bool, light: float) -> NDArray[np.float32]:
    """Table from sRGB 0-255 to linear light that is mixed with white or black."""
    linear = _to_linear()
    return linear + (np.float32(1.0 if lighter else 0.0) - linear) * np.float32(light)
