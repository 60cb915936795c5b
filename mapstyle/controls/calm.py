"""Calm zones: where labels will lie, the art keeps still."""

from collections.abc import Sequence

import numpy as np

from mapstyle.frame import Frame
from mapstyle.image import Plane
from mapstyle.placed import PlacedLabel

FALLOFF = 6.0
"""Logical pixels over which a calm zone fades."""


def draw_calm(frame: Frame, labels: Sequence[PlacedLabel]) -> Plane | None:
    """Draw ``calm`` over a frame: 1 on a label's letters, fading to 0; None where no label is."""
    ratio = frame.grid.pixel_ratio
    plane = None
    for label in sorted(labels, key=lambda one: one.id):
        half = label.size * 0.62
        for glyph in label.glyphs:
            cx = (glyph.x + half * 0.35) * ratio - frame.column - 0.5
            cy = (glyph.y - half * 0.45) * ratio - frame.row - 0.5
            far = (half + FALLOFF) * ratio
            x0, x1 = max(0, int(np.floor(cx - far))), min(frame.width, int(np.ceil(cx + far)) + 1)
            y0, y1 = max(0, int(np.floor(cy - far))), min(frame.height, int(np.ceil(cy + far)) + 1)
            if x0 >= x1 or y0 >= y1:
                continue
            plane = np.zeros(frame.shape, np.float32) if plane is None else plane
            # Distances from whole pixels of the world, so that every frame gets the same numbers.
            dx = (np.arange(x0, x1) + frame.column + 0.5) / ratio - (glyph.x + half * 0.35)
            dy = (np.arange(y0, y1) + frame.row + 0.5) / ratio - (glyph.y - half * 0.45)
            away = np.hypot(dx[None, :], dy[:, None])
            zone = np.clip((half + FALLOFF - away) / FALLOFF, 0, 1).astype(np.float32)
            np.maximum(plane[y0:y1, x0:x1], zone, out=plane[y0:y1, x0:x1])
    return plane
