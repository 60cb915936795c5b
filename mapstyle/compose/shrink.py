"""Shrink pictures to half their size in linear light, as an eye further away would see them."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

_TOP = 65535
"""Linear light is counted in so many parts."""


def shrink(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Halve a picture: each pixel is the mean of four, taken in linear light.

    In whole numbers and pixel by pixel, so that it is the same in any crop that begins at an even pixel.

    Args:
        rgb: uint8[2 * height, 2 * width, 3], sRGB.

    Returns:
        uint8[height, width, 3], sRGB.
    """
    to_linear, to_srgb = _tables()
    linear = to_linear[rgb]
    total = linear[0::2, 0::2] + linear[0::2, 1::2] + linear[1::2, 0::2] + linear[1::2, 1::2]
    return to_srgb[(total + 2) >> 2]


@cache
def _tables() -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Give linear light of each sRGB byte, and the nearest byte of each linear light (IEC 61966-2-1)."""
    byte = np.arange(256) / 255
    linear = np.where(byte <= 0.04045, byte / 12.92, ((byte + 0.055) / 1.055) ** 2.4)
    light = np.arange(_TOP + 1) / _TOP
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(linear * _TOP).astype(np.uint32), np.rint(srgb * 255).astype(np.uint8)
