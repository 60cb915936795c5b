"""Colour as the eye measures it: L*a*b* and the CIEDE2000 difference."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4)
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def to_lab(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bring an sRGB picture, uint8[height, width, 3], to CIE L*a*b* (D65): float32[height, width, 3].

    IEC 61966-2-1 and CIE 15, written out: OpenCV's conversion interpolates a table and is wrong by up to 0.2.
    """
    share = _TO_XYZ / _TO_XYZ.sum(axis=1, keepdims=True)
    x, y, z = np.moveaxis(_LINEAR.astype(np.float32)[picture] @ share.T.astype(np.float32), -1, 0)

    def bend(part: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(part > (6 / 29) ** 3, np.cbrt(part), part * np.float32(841 / 108) + np.float32(4 / 29))

    fx, fy, fz = bend(x), bend(y), bend(z)
    return np.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=-1)


def ciede2000(one: NDArray[np.floating[Any]], two: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Tell the CIEDE2000 difference of colours, L*a*b* in the last axis: float[..., 3] to float64[...].

    Sharma, Wu, Dalal, The CIEDE2000 Color-Difference Formula: Implementation Notes, Supplementary Test Data,
    and Mathematical Observations, Color Research & Application 30 (2005), equations 2-22, with all weights 1.
    """
    l1, a1, b1 = np.moveaxis(np.asarray(one, np.float64), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(two, np.float64), -1, 0)

    def chroma_share(chroma: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sqrt(chroma**7 / (chroma**7 + 25.0**7))

    stretch = 1.5 - 0.5 * chroma_share((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2)
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    turn = h2 - h1
    turn = np.where(turn > 180, turn - 360, np.where(turn < -180, turn + 360, turn))
    lightness, chroma, hue = (l1 + l2) / 2, (c1 + c2) / 2, h1 + turn / 2

    def wave(times: float, shift: float) -> NDArray[np.float64]:
        return np.cos(np.radians(times * hue + shift))

    hues = 1 - 0.17 * wave(1, -30) + 0.24 * wave(2, 0) + 0.32 * wave(3, 6) - 0.20 * wave(4, -63)
    light = (l2 - l1) / (1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2))
    colour = (c2 - c1) / (1 + 0.045 * chroma)
    tint = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * hues)
    blue = np.radians(60 * np.exp(-((((hue % 360) - 275) / 25) ** 2)))
    mixed = -np.sin(blue) * 2 * chroma_share(chroma) * colour * tint
    return np.sqrt(np.maximum(0, light**2 + colour**2 + tint**2 + mixed))
