"""Calm zones: where labels will lie, the art keeps still."""

from collections.abc import Iterator, Sequence

import numpy as np

from mapstyle.frame import Frame
from mapstyle.image import Plane
from mapstyle.placed import PlacedLabel

FALLOFF = 6.0
"""Logical pixels over which a calm zone fades."""
_LETTER = 0.62
"""Half the size of the zone about a letter of a bent label, ems."""

Box = tuple[float, float, float, float]


def draw_calm(frame: Frame, labels: Sequence[PlacedLabel]) -> Plane | None:
    """Draw ``calm`` over a frame: 1 on a label, fading to 0 around it; None where no label is."""
    ratio = frame.grid.pixel_ratio
    plane = None
    for label in labels:
        for left, top, right, bottom in _zones(label):
            x0 = max(0, int(np.floor((left - FALLOFF) * ratio)) - frame.column)
            x1 = min(frame.width, int(np.ceil((right + FALLOFF) * ratio)) - frame.column)
            y0 = max(0, int(np.floor((top - FALLOFF) * ratio)) - frame.row)
            y1 = min(frame.height, int(np.ceil((bottom + FALLOFF) * ratio)) - frame.row)
            if x0 >= x1 or y0 >= y1:
                continue
            plane = np.zeros(frame.shape, np.float32) if plane is None else plane
            # From whole pixels of the world, so that every frame gets the same numbers.
            x = (np.arange(x0, x1) + frame.column + 0.5) / ratio
            y = (np.arange(y0, y1) + frame.row + 0.5) / ratio
            dx = np.maximum(np.maximum(left - x, x - right), 0.0)
            dy = np.maximum(np.maximum(top - y, y - bottom), 0.0)
            away = np.sqrt(dx[None, :] ** 2 + dy[:, None] ** 2)
            zone = np.maximum(1.0 - away / FALLOFF, 0.0).astype(np.float32)
            np.maximum(plane[y0:y1, x0:x1], zone, out=plane[y0:y1, x0:x1])
    return plane


def _zones(label: PlacedLabel) -> Iterator[Box]:
    """Give the box of a straight label; a bent one's letters each have their own."""
    if all(glyph.angle == 0.0 for glyph in label.glyphs):
        yield label.box
        return
    half = label.size * _LETTER
    for glyph in label.glyphs:
        # The middle of a letter lies half an em along its baseline, and above it.
        along, up = 0.25 * label.size, 0.3 * label.size
        x = glyph.x + along * np.cos(glyph.angle) + up * np.sin(glyph.angle)
        y = glyph.y + along * np.sin(glyph.angle) - up * np.cos(glyph.angle)
        yield x - half, y - half, x + half, y + half
