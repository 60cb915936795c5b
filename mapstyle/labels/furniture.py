"""Furniture: attribution and title on little plates of paper. It belongs to the sheet, not to the ground."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstyle.errors import FontError
from mapstyle.frame import Frame
from mapstyle.labels.candidates import block
from mapstyle.labels.fonts import FontStyle, cure, font_book
from mapstyle.labels.glyphs import glyph_shapes, ink
from mapstyle.labels.scripts import script_name, script_of
from mapstyle.labels.settings import Family
from mapstyle.labels.shape import Line, shape_line, tidy, wrap

_INK = np.array([45, 42, 50], np.float32)
_PAPER = np.array([252, 249, 241], np.float32)
_SMALLEST = 5.0


@dataclass(frozen=True)
class Patch:
    """A piece of furniture, to be laid over a picture.

    Attributes:
        left: real pixels from the picture's left edge.
        top: real pixels from its upper edge.
        rgba: uint8[height, width, 4], straight alpha.
    """

    left: int
    top: int
    rgba: NDArray[np.uint8]


def furniture(frame: Frame, title: str = "", attribution: str = "") -> list[Patch]:
    """Set a title (upper left) and an attribution (lower right) for a picture; empty text sets nothing.

    Raises:
        FontError: no font has the letters of one of them.
    """
    ratio = frame.grid.pixel_ratio
    width, height = frame.width / ratio, frame.height / ratio
    patches = []
    if attribution := tidy(attribution):
        # Grows with the sheet, so that it can still be read on a poster seen from as far as a poster is.
        size = min(max(10.0, math.sqrt(width * height) / 140), 26.0)
        plate = _plate([attribution], FontStyle(), size, ratio, width, 0.0, 0.82)
        if plate is not None and plate.shape[0] <= frame.height:
            patches.append(Patch(frame.width - plate.shape[1], frame.height - plate.shape[0], plate))
    if title := tidy(title):
        size = min(max(17.0, math.sqrt(width * height) / 34), 96.0)
        margin = round(0.7 * size)
        plate = _plate([title], FontStyle(Family.SERIF, 600), size, ratio, width - 2 * margin, 0.02, 0.9)
        if plate is not None and plate.shape[0] + margin * ratio <= frame.height:
            patches.append(Patch(margin * ratio, margin * ratio, plate))
    return patches


def _plate(
    texts: Sequence[str], style: FontStyle, size: float, ratio: int, room: float, spacing: float, paper: float
) -> NDArray[np.uint8] | None:
    """Draw words on translucent paper, made smaller where they would not fit; None where nothing helps."""
    lines = _lines(texts[0], style, spacing, room / size)
    padding = 0.55
    widest = max(line.width for line in lines) + 2 * padding
    size = math.floor(min(size, room / widest) * 4) / 4
    if size < _SMALLEST:
        return None
    width = math.ceil(widest * size)
    height = math.ceil((1.16 * len(lines) + (0.42 if size < 17 else 0.6)) * size)
    glyphs, _ = block(lines, size, width / 2, height / 2, 0.5)
    fine = 8 if ratio == 1 else 4
    letters = ink(glyph_shapes(glyphs, size, 0, 0, ratio), width * ratio, height * ratio, fine)
    sheet = _rounded(width * ratio, height * ratio, 0.22 * size * ratio).astype(np.float32) * np.float32(paper / 255)
    letter = letters.astype(np.float32)[..., None] / np.float32(255)
    alpha = letter + sheet[..., None] * (1 - letter)
    colour = (_INK * letter + _PAPER * sheet[..., None] * (1 - letter)) / np.maximum(alpha, np.float32(1e-6))
    return np.dstack([np.rint(colour), np.rint(alpha * 255)]).astype(np.uint8)


def _lines(text: str, style: FontStyle, spacing: float, ems: float) -> tuple[Line, ...]:
    if shape_line(text, style, spacing) is None:
        for letter in text:
            script = script_of(letter)
            if script and font_book().choose(letter, script, style) is None:
                raise FontError(f"'{text}' has {script_name(script)} letters: {cure(script)}")
        raise FontError(f"'{text}' has nothing in it that a font could draw; leave it out, or write it in words")
    whole = wrap(text, style, spacing, max(ems - 1.2, 4.0))
    assert whole is not None
    return whole


def _rounded(width: int, height: int, radius: float) -> NDArray[np.uint8]:
    r = max(1.0, radius)
    corners = []
    for cx, cy, start in ((width - r, r, -90), (width - r, height - r, 0), (r, height - r, 90), (r, r, 180)):
        turn = np.radians(np.linspace(start, start + 90, 9))
        corners.append(np.column_stack([cx + r * np.cos(turn), cy + r * np.sin(turn)]))
    return ink([[np.concatenate(corners)]], width, height, 4)
