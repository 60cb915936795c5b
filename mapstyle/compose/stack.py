"""Lay sheets over the ground."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mapstyle.image import MapImage


def compose(ground: MapImage, sheets: Sequence[MapImage]) -> MapImage:
    """Lay sheets over an opaque ground, in order. Reach: 0.

    Args:
        ground: the engine's picture; its alpha is ignored and the result is opaque.
        sheets: pictures of the same frame, straight alpha.
    """
    out = ground.rgba.copy()
    out[..., 3] = 255
    for sheet in sheets:
        assert sheet.frame == ground.frame, "sheets of a stack share one frame"
        overlay(out, sheet.rgba)
    return MapImage(ground.frame, out)


def overlay(below: NDArray[np.uint8], above: NDArray[np.uint8]) -> None:
    """Lay uint8 RGBA over opaque uint8 RGB(A) of the same shape, in place, in whole numbers.

    ``(above * a + below * (255 - a) + 127) // 255``: exact at both ends and the same everywhere.
    """
    rows = np.flatnonzero(above[..., 3].any(axis=1))
    if not len(rows):
        return
    band = slice(rows[0], rows[-1] + 1)
    alpha = above[band, :, 3:4].astype(np.uint16)
    low = below[band, :, :3].astype(np.uint16)
    mixed = above[band, :, :3] * alpha + low * (255 - alpha) + 127
    below[band, :, :3] = (mixed // 255).astype(np.uint8)
