"""Shaping: text to lines of positioned glyphs, in ems, with HarfBuzz."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, groupby, pairwise
from typing import Any

from mapstyle.labels.fonts import Face, FontStyle, font_book
from mapstyle.labels.scripts import CJK, CONNECTED, script_of, scripts_in

_MOST_LINES = 3
_MOST_LETTERS = 120
_NO_LINE_BEGINS = frozenset("、。，．・：；？！）」』】〉》ー々’”)]}.,;:!?")


@dataclass(frozen=True)
class Cluster:
    """Glyphs that stay together: a letter with its marks, or a ligature.

    Attributes:
        glyphs: (face, glyph number, x, y) of each, ems from the pen, y up.
        advance: ems to the next cluster.
        index: place in the text of its first character.
    """

    glyphs: tuple[tuple[int, int, float, float], ...]
    advance: float
    index: int


@dataclass(frozen=True)
class Line:
    """One shaped line, in ems, from its pen's start on the baseline.

    Attributes:
        text: what it says, in reading order.
        clusters: from left to right.
        width: advance of all, without space after the last.
        left, right, top, bottom: extents of the ink; top is above the baseline and positive.
        connected: whether its letters join.
    """

    text: str
    clusters: tuple[Cluster, ...]
    width: float
    left: float
    right: float
    top: float
    bottom: float
    connected: bool


@lru_cache(maxsize=16384)
def shape_line(text: str, style: FontStyle, spacing: float = 0.0) -> Line | None:
    """Shape one line; None where no font has its letters (the font book then has a note)."""
    levels = _levels(text)
    scripts = scripts_in(text)
    runs = _runs(text, levels, scripts, style)
    if runs is None:
        return None
    clusters: list[Cluster] = []
    for start, end, script, level, face in _visual(runs):
        space = 0.0 if script in CONNECTED else spacing
        shaped = _shape_run(text[start:end], start, script, level, face, space)
        if shaped is None:
            font_book().miss(script)
            return None
        clusters += shaped
    if not any(c.glyphs for c in clusters):
        return None
    connected = any(r[2] in CONNECTED for r in runs)
    width = sum(c.advance for c in clusters) - (0.0 if connected else spacing)
    return Line(text, tuple(clusters), width, *_ink(clusters), connected)


def wrap(text: str, style: FontStyle, spacing: float, width: float, lines: int = 0) -> tuple[Line, ...] | None:
    """Shape a name on one to three lines of about equal width.

    Args:
        text: the name.
        style: its font.
        spacing: ems between letters.
        width: ems that a line may take, give or take a tenth, before the name goes on in another.
        lines: how many lines are wanted, or 0 for as many as the width asks for.

    Returns:
        Lines from the top, or None where the name cannot be drawn (or not on so many lines).
    """
    whole = shape_line(text, style, spacing)
    if whole is None:
        return None
    wanted = lines or min(_MOST_LINES, max(1, math.ceil(whole.width / (1.1 * width))))
    pieces = _pieces(text)
    wanted = min(wanted, len(pieces))
    if wanted < max(lines, 1):
        return None
    if wanted == 1:
        return (whole,)
    widths = [getattr(shape_line(p.strip(), style, spacing), "width", 0.0) for p in pieces]
    gap = 0.2  # a word space, in ems; only used to weigh the breaks
    best: tuple[float, tuple[int, ...]] | None = None
    for cuts in combinations(range(1, len(pieces)), wanted - 1):
        ends = (0, *cuts, len(pieces))
        spans = [sum(widths[a:b]) + gap * sum(p.endswith(" ") for p in pieces[a : b - 1]) for a, b in pairwise(ends)]
        # A word is better not parted at its hyphen: that costs as much as a line an em and a half longer.
        parted = sum(not pieces[c - 1].endswith(" ") and pieces[c - 1][-1] in "-–—/" for c in cuts)
        cost = max(spans) + 0.05 * (max(spans) - min(spans)) + 1.5 * parted
        if best is None or cost < best[0] - 1e-9:
            best = cost, ends
    assert best is not None
    ends = best[1]
    texts = ["".join(pieces[a:b]).strip() for a, b in pairwise(ends)]
    shaped = [shape_line(t, style, spacing) for t in texts if t]
    if any(s is None for s in shaped):
        return None
    return tuple(s for s in shaped if s is not None)


def tidy(text: str) -> str:
    """Bring a name to one line of plain, composed characters."""
    flat = " ".join("".join(c if c.isprintable() or c.isspace() else " " for c in text).split())
    if len(flat) < len(text) and ("\u200c" in text or "\u200d" in text):
        kept = "".join(c if c.isprintable() or c.isspace() or c in "\u200c\u200d" else " " for c in text)
        flat = " ".join(kept.split())
    flat = unicodedata.normalize("NFC", flat)
    return flat if len(flat) <= _MOST_LETTERS else ""


def _pieces(text: str) -> list[str]:
    """Cut a text where a line may end; the pieces join to the whole again."""
    scripts = scripts_in(text)
    pieces, start = [], 0
    for i in range(1, len(text)):
        before, here = text[i - 1], text[i]
        after_space = before == " " and here != " "
        after_dash = before in "-–—/" and i >= 3 and here != " " and here.isalpha()
        between = scripts[i - 1] in CJK and scripts[i] in CJK and before != " " and here not in _NO_LINE_BEGINS
        hangul = scripts[i - 1] == "Hang" and scripts[i] == "Hang" and " " in text
        if after_space or after_dash or (between and not hangul and here != " "):
            pieces.append(text[start:i])
            start = i
    pieces.append(text[start:])
    return pieces


def _levels(text: str) -> list[int]:
    """Give the embedding level of each character (Unicode Bidirectional Algorithm, UAX 9)."""
    if not any(unicodedata.bidirectional(c) in ("R", "AL", "AN", "RLE", "RLO", "RLI") for c in text):
        return [0] * len(text)
    from bidi import algorithm as uax9

    storage: dict[str, Any] = uax9.get_empty_storage()
    base = uax9.get_base_level(text)
    storage["base_level"], storage["base_dir"] = base, "LR"[base]
    uax9.get_embedding_levels(text, storage)
    chars = storage["chars"]
    for i, char in enumerate(chars):
        char["index"] = i
    for step in (
        uax9.explicit_embed_and_overrides,
        uax9.resolve_weak_types,
        uax9.resolve_neutral_types,
        uax9.resolve_implicit_levels,
    ):
        step(storage, False)
    levels = [-1] * len(text)
    for char in storage["chars"]:
        levels[char["index"]] = char["level"]
    for i, level in enumerate(levels):
        if level < 0:  # the algorithm removes explicit controls; they go with their neighbour
            levels[i] = levels[i - 1] if i else base
    return levels


_Run = tuple[int, int, str, int, Face]


def _runs(text: str, levels: Sequence[int], scripts: Sequence[str], style: FontStyle) -> list[_Run] | None:
    """Cut a text into runs of one level, one script and one font, in reading order."""
    book = font_book()
    runs: list[_Run] = []
    start = 0
    for (level, script), group in groupby(zip(levels, scripts, strict=True)):
        end = start + len(list(group))
        part = text[start:end]
        face = book.choose(part, script, style, note=False)
        if face is not None:
            runs.append((start, end, script, level, face))
        else:
            # Letters that all scripts share may come from another font than their neighbours.
            for i in range(start, end):
                shared = not script_of(text[i])
                single = book.choose(text[i], script, style, note=not shared)
                if single is None and shared:
                    continue  # a sign that is no letter, such as an emoji, may be missed
                if single is None:
                    return None
                if runs and runs[-1][1] == i and runs[-1][4] is single and runs[-1][3] == level and i > start:
                    runs[-1] = (runs[-1][0], i + 1, script, level, single)
                else:
                    runs.append((i, i + 1, script, level, single))
        start = end
    return runs


def _visual(runs: Sequence[_Run]) -> list[_Run]:
    """Order runs from left to right (rule L2 of UAX 9, on runs)."""
    ordered = list(runs)
    if not ordered:
        return ordered
    for level in range(max(r[3] for r in ordered), 0, -1):
        i = 0
        while i < len(ordered):
            if ordered[i][3] >= level:
                j = i
                while j < len(ordered) and ordered[j][3] >= level:
                    j += 1
                ordered[i:j] = ordered[i:j][::-1]
                i = j
            else:
                i += 1
    return ordered


def _shape_run(part: str, start: int, script: str, level: int, face: Face, space: float) -> list[Cluster] | None:
    import uharfbuzz as hb

    buffer = hb.Buffer()
    buffer.add_str(part)
    buffer.direction = "rtl" if level % 2 else "ltr"
    buffer.script = script
    buffer.language = {"Hang": "ko", "Hira": "ja", "Kana": "ja", "Hani": "zh"}.get(script, "und")
    hb.shape(face.hb_font, buffer, {"liga": False, "clig": False} if space else {})
    em, clusters = face.em, []
    for index, group in groupby(
        zip(buffer.glyph_infos, buffer.glyph_positions, strict=True), key=lambda pair: pair[0].cluster
    ):
        pen, glyphs = 0.0, []
        for info, position in group:
            if info.codepoint == 0:
                return None
            glyphs.append((face.key, info.codepoint, (pen + position.x_offset) / em, position.y_offset / em))
            pen += position.x_advance
        seen = tuple(g for g in glyphs if glyph_extents(g[0], g[1])[2] > 0)
        clusters.append(Cluster(seen, pen / em + space, start + index))
    return clusters


@lru_cache(maxsize=32768)
def glyph_extents(face: int, glyph: int) -> tuple[float, float, float, float]:
    """Give left, top, width and depth of a glyph's ink in ems; top is up, depth is positive downwards."""
    found = font_book().face(face)
    e = found.hb_font.get_glyph_extents(glyph)
    if e is None:
        return 0.0, 0.0, 0.0, 0.0
    return e.x_bearing / found.em, e.y_bearing / found.em, e.width / found.em, -e.height / found.em


def _ink(clusters: Sequence[Cluster]) -> tuple[float, float, float, float]:
    left, right, top, bottom, pen = 1e9, -1e9, -1e9, 1e9, 0.0
    for cluster in clusters:
        for face, glyph, x, y in cluster.glyphs:
            bearing, rise, width, depth = glyph_extents(face, glyph)
            left, right = min(left, pen + x + bearing), max(right, pen + x + bearing + width)
            top, bottom = max(top, y + rise), min(bottom, y + rise - depth)
        pen += cluster.advance
    return left, right, top, bottom
