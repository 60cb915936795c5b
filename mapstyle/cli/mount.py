"""The paper that a contact sheet's pictures are mounted on: where each goes, and the words about them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import mul
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.frame import Frame
from mapstyle.image import MapImage
from mapstyle.labels.candidates import block
from mapstyle.labels.fonts import FontStyle
from mapstyle.labels.glyphs import glyph_shapes, ink
from mapstyle.labels.settings import Family
from mapstyle.labels.shape import Line, shape_line, tidy

if TYPE_CHECKING:
    from mapstyle.cli.sheet import Axis, Panel

PAPER = (247, 243, 234)
INK = np.array([45, 42, 50], np.float32)
GREY = np.array([122, 112, 100], np.float32)
_TITLE = FontStyle(Family.SERIF, 600)
_NAME = FontStyle(Family.SERIF, 600)
_VALUE = FontStyle(Family.SANS, 600)
_SMALL = FontStyle(Family.SANS)
_LEADING = 1.16  # of labels' own blocks


@dataclass(frozen=True)
class Text:
    """Words to be set: lines about a point, logical pixels; ``lean`` 0 begins there, 0.5 is centred, 1 ends there."""

    lines: tuple[Line, ...]
    size: float
    x: float
    y: float
    lean: float = 0.0
    colour: NDArray[np.float32] = field(default_factory=lambda: INK)


@dataclass
class Page:
    """A sheet of paper with pictures on it.

    Attributes:
        rgb: uint8[height, width, 3].
        corners: real pixels of each picture's upper left corner, (x, y).
        columns: pictures in a row.
        notes: what could not be set.
    """

    rgb: NDArray[np.uint8]
    corners: list[tuple[int, int]]
    columns: int
    frame: Frame
    notes: list[str]

    @property
    def width(self) -> int:
        """Real pixels."""
        return self.rgb.shape[1]

    @property
    def height(self) -> int:
        """Real pixels."""
        return self.rgb.shape[0]

    @classmethod
    def arrange(
        cls,
        frame: Frame,
        panels: Sequence["Panel"],
        axes: Sequence["Axis"],
        columns: int | None,
        title: str | None,
        credit: str,
    ) -> "Page":
        """Settle where everything goes, and set all words.

        Two varied settings make a table with headings; anything else is a row or a wrapped grid with captions.
        """
        setter = _Setter()
        ratio = frame.grid.pixel_ratio
        wide, high = frame.width / ratio, frame.height / ratio
        unit = min(max(math.sqrt(wide * high) / 400, 0.8), 2.2)  # type and margins go with the size of the pictures
        margin, gap = round(34 * unit), round(22 * unit)
        table = len(axes) == 2 and columns is None
        count = len(panels)
        across = len(axes[1].names) if table else min(columns or _columns(axes, count, wide, high + 56 * unit), count)
        down = math.ceil(count / across)
        texts: list[Text] = []

        heads = _heads(panels, axes, title)
        inner = across * wide + (across - 1) * gap
        left, top = float(margin), float(margin)
        if table:
            names = [_called(panels[row * across], axes[0], row) for row in range(down)]
            set_names = [setter.wrap(n, _VALUE, 14 * unit, 170 * unit, 3) for n in names]
            broad = max((max((ln.width for ln in lines), default=0) for lines in set_names), default=0) * 14 * unit
            left += round(broad + 16 * unit)
        for words, style, size, colour in heads:
            lines = setter.wrap(words, style, size * unit, max(inner + left - margin, 120.0), 2)
            tall = len(lines) * _LEADING * size * unit
            texts.append(Text(lines, size * unit, margin, top + tall / 2, colour=colour))
            top += tall + 5 * unit
        if heads:
            top += 13 * unit

        captions = []
        if table:
            lines_of = [setter.wrap(_called(panels[i], axes[1], i), _VALUE, 14 * unit, wide, 2) for i in range(across)]
            tall = max(len(lines) for lines in lines_of) * _LEADING * 14 * unit
            for i, lines in enumerate(lines_of):
                texts.append(Text(lines, 14 * unit, left + i * (wide + gap) + wide / 2, top + tall / 2, 0.5))
            top += tall + 9 * unit
            below = 0.0
        else:
            captions = [_caption(setter, panel, axes, wide, unit) for panel in panels]
            below = max(sum(len(t) * _LEADING * s + 3 * unit for t, s, _ in c) for c in captions) + 9 * unit
        pitch = high + below + gap
        corners = []
        for i in range(count):
            row, column = divmod(i, across)
            x, y = left + column * (wide + gap), round(top + row * pitch)
            corners.append((round(x) * ratio, y * ratio))
            if table and column == 0:
                texts.append(Text(set_names[row], 14 * unit, left - 16 * unit, y + high / 2, 1.0))
            at = y + high + 9 * unit
            for lines, size, colour in captions[i] if captions else ():
                tall = len(lines) * _LEADING * size
                texts.append(Text(lines, size, round(x) + 1, at + tall / 2, colour=colour))
                at += tall + 3 * unit
        bottom = round(top + down * pitch - gap)
        width = round(left + inner + margin)

        foot = 11 * unit
        half = setter.wrap(_where(frame), _SMALL, foot, 0.6 * width, 2)
        rest = width - 2 * margin - max((ln.width for ln in half), default=0) * foot - 2 * gap
        said = setter.wrap(credit, _SMALL, foot, max(rest, 0.3 * width), 3)
        tall = max(len(half), len(said), 1) * _LEADING * foot
        bottom += round(gap + tall / 2)
        texts.append(Text(half, foot, margin, bottom, colour=GREY))
        texts.append(Text(said, foot, width - margin, bottom, 1.0, GREY))
        height = round(bottom + tall / 2 + 0.7 * margin)

        rgb = np.empty((height * ratio, width * ratio, 3), np.uint8)
        rgb[:] = PAPER
        page = cls(rgb, corners, across, frame, setter.notes)
        page._shade(unit * ratio)
        for text in texts:
            page._set(text, ratio)
        return page

    def lay(self, index: int, image: MapImage) -> None:
        """Lay a block of a picture onto its place."""
        x, y = self.corners[index]
        rows, columns = image.frame.slices(self.frame)
        self.rgb[y + rows.start : y + rows.stop, x + columns.start : x + columns.stop] = image.rgba[..., :3]

    def _shade(self, unit: float) -> None:
        """Let every picture lie on the paper: a soft shadow to the south-east, and a hair line about it."""
        reach = math.ceil(14 * unit)
        high, wide = self.frame.height, self.frame.width
        print_ = np.zeros((high + 2 * reach, wide + 2 * reach), np.float32)
        shift = round(2.5 * unit)
        print_[reach + shift : reach + shift + high, reach + shift : reach + shift + wide] = 1
        shadow = 0.20 * cv2.GaussianBlur(print_, (0, 0), 4.0 * unit)
        line = max(1, round(unit))
        shadow[reach - line : reach + high + line, reach - line : reach + wide + line] = 0.22
        for x, y in self.corners:
            top, left = max(y - reach, 0), max(x - reach, 0)
            part = self.rgb[top : y + high + reach, left : x + wide + reach]
            dark = shadow[top - y + reach :, left - x + reach :][: part.shape[0], : part.shape[1], None]
            part[:] = np.rint(part * (1 - dark) + np.array((70, 58, 48), np.float32) * dark).astype(np.uint8)

    def _set(self, text: Text, ratio: int) -> None:
        if not text.lines:
            return
        size = text.size
        wide = math.ceil(max(line.width for line in text.lines) * size + 2 * size)
        high = math.ceil(len(text.lines) * _LEADING * size + size)
        left = math.floor(text.x - text.lean * (wide - 2 * size) - size)
        top = math.floor(text.y - high / 2)
        glyphs, _ = block(text.lines, size, text.x - left, text.y - top, text.lean)
        cover = ink(glyph_shapes(glyphs, size, 0, 0, ratio), wide * ratio, high * ratio, 8 if ratio == 1 else 4)
        y, x = max(top * ratio, 0), max(left * ratio, 0)
        cover = cover[y - top * ratio :, x - left * ratio :]
        part = self.rgb[y : y + cover.shape[0], x : x + cover.shape[1]]
        alpha = cover[: part.shape[0], : part.shape[1], None].astype(np.float32) / np.float32(255)
        part[:] = np.rint(part * (1 - alpha) + text.colour * alpha).astype(np.uint8)


class _Setter:
    """Breaks words into lines that fit; remembers what no font here could draw."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def wrap(self, words: str, style: FontStyle, size: float, width: float, most: int) -> tuple[Line, ...]:
        """Break at spaces into lines of like length; what does not fit into ``most`` of them ends in an ellipsis."""
        parts = [p for p in (tidy(w) for w in words.split()) if p]
        texts = self._break(parts, style, size, width, most)
        while len(texts) > 1 and "…" not in texts[-1] and width > 4 * size:
            width -= size / 2
            narrower = self._break(parts, style, size, width, most)
            if len(narrower) > len(texts) or "…" in narrower[-1]:
                break
            texts = narrower
        lines = [shape_line(text, style) for text in texts if text]
        if any(line is None for line in lines):
            note = f"no font here has the letters of '{words}'; it is left out"
            if note not in self.notes:
                self.notes.append(note)
            return ()
        return tuple(line for line in lines if line is not None)

    def _break(self, parts: Sequence[str], style: FontStyle, size: float, width: float, most: int) -> list[str]:
        done: list[str] = []
        current = ""
        for i, part in enumerate(parts):
            longer = f"{current} {part}".strip()
            if current and self._width(longer, style) * size > width:
                if len(done) == most - 1:
                    current = self._cut(" ".join([current, *parts[i:]]), style, width / size)
                    break
                done.append(current)
                current = part
            else:
                current = longer
        if current and self._width(current, style) * size > width:
            current = self._cut(current, style, width / size)
        return [*done, current]

    def _width(self, text: str, style: FontStyle) -> float:
        line = shape_line(text, style)
        return 0.0 if line is None else line.width

    def _cut(self, text: str, style: FontStyle, ems: float) -> str:
        if self._width(text, style) <= ems:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self._width(text[:middle].rstrip() + "…", style) <= ems:
                low = middle
            else:
                high = middle - 1
        return text[:low].rstrip(" ,.;:") + "…" if low else ""


def _columns(axes: Sequence["Axis"], count: int, wide: float, high: float) -> int:
    """Choose how many stand in a row: a few in one, more of them about three to two with few empty places.

    With several things varied, a row ends where one of them takes its next value.
    """
    if count <= 4:
        return count
    choices = list(accumulate((len(a.names) for a in reversed(axes)), mul)) if len(axes) > 1 else range(1, count + 1)

    def ill(columns: int) -> float:
        rows = math.ceil(count / columns)
        shape = abs(math.log(columns * wide / (rows * high) / 1.5))
        return shape + 2.5 * (rows * columns - count) / count

    return min(choices, key=ill)


def _heads(
    panels: Sequence["Panel"], axes: Sequence["Axis"], title: str | None
) -> list[tuple[str, FontStyle, float, NDArray[np.float32]]]:
    """Give the words at the top: the title, and what is varied."""
    heads = []
    lone = not any(axis.key == "style" for axis in axes)
    varied = [axis.key for axis in axes if axis.key != "style"]
    if title:
        heads.append((title, _TITLE, 30.0, INK))
    elif lone and varied:
        heads.append((panels[0].request.look.title, _TITLE, 30.0, INK))
    if varied:
        under = "  by  ".join([", ".join(varied[:1]), *varied[1:]]) if len(varied) == 2 else ", ".join(varied)
        heads.append((under, _SMALL, 14.0, GREY))
    return heads


def _called(panel: "Panel", axis: "Axis", index: int) -> str:
    return panel.request.look.title if axis.key == "style" else axis.names[index]


def _caption(
    setter: _Setter, panel: "Panel", axes: Sequence["Axis"], wide: float, unit: float
) -> list[tuple[tuple[Line, ...], float, NDArray[np.float32]]]:
    """Give the lines under a picture with their size and colour."""
    look = panel.request.look
    styled = not axes or any(axis.key == "style" for axis in axes)
    out = []
    if styled:
        title = setter.wrap(look.title, _NAME, 18 * unit, wide, 1) or setter.wrap(look.name, _NAME, 18 * unit, wide, 1)
        out.append((title, 18 * unit, INK))
        if not panel.values:
            out.append((setter.wrap(look.summary, _SMALL, 12 * unit, wide, 3), 12 * unit, GREY))
    if panel.values:
        out.append((setter.wrap(panel.words, _VALUE, 14 * unit, wide, 2), 14 * unit, INK))
    return out


def _where(frame: Frame) -> str:
    """Say what is shown: the middle, and the level."""
    west, south, east, north = frame.lonlat_bounds()
    lon, lat = (west + east) / 2, (south + north) / 2
    lon = (lon + 180) % 360 - 180
    return (
        f"{abs(lat):.4f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.4f}° {'E' if lon >= 0 else 'W'}, "
        f"level {frame.grid.level:.3g}"
    )
