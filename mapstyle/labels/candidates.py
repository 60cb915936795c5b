"""Candidates: the places where a label could go, best first, each within a fixed distance of its anchor."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mapstyle.labels.along import along
from mapstyle.labels.fonts import FontStyle
from mapstyle.labels.marks import mark_for, mark_radius
from mapstyle.labels.settings import Case, LabelSettings, TypeSettings
from mapstyle.labels.shape import Line, tidy, wrap
from mapstyle.placed import LabelKind, LabelSeed, PlacedGlyph, PlacedLabel

EXTENT = 248.0
"""No label reaches further than this from its anchor, logical pixels; longer ones are not set."""
_LEADING = 1.16  # baseline to baseline, in ems
_SMALLER = (1.0, 0.9, 0.8)  # sizes tried, in turn, for a name that is wider than its area

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Candidate:
    """One place for a label.

    Attributes:
        label: what would be drawn.
        boxes: what it covers, logical pixels, for conflicts.
    """

    label: PlacedLabel
    boxes: tuple[Box, ...]

    def moved(self, dx: float) -> "Candidate":
        """Give the same a whole number of pixels further east, exactly."""
        label = self.label
        return Candidate(
            replace(
                label,
                glyphs=tuple(replace(g, x=g.x + dx) for g in label.glyphs),
                box=_shift(label.box, dx),
                x=label.x + dx,
            ),
            tuple(_shift(b, dx) for b in self.boxes),
        )


def text_of(seed: LabelSeed, settings: TypeSettings, language: str) -> str:
    """Give the words of a label: in the language asked for, else in the local one."""
    name = seed.names.get(language) or seed.names.get("", "")
    text = tidy(name)
    return text.upper() if settings.case is Case.UPPER else text


def candidates(seed: LabelSeed, settings: LabelSettings, level: float, language: str) -> list[Candidate]:
    """Give the places where a seed's label could go, best first; empty where it cannot or shall not."""
    kind = settings.of(seed.kind)
    if not kind.shows(seed.rank, seed.level, level):
        return []
    text = text_of(seed, kind, language)
    if not text:
        return []
    size = settings.type_size(seed.kind, seed.rank, level)
    half_gap = settings.gap / 2
    if seed.path is not None:
        found = _on_line(seed, text, kind, size, half_gap)
    elif seed.room > 0:
        found = _in_area(seed, text, kind, size, half_gap)
    else:
        found = _at_point(seed, text, kind, size, half_gap, level)
    return [c for c in found if _near(c, seed)]


def _near(candidate: Candidate, seed: LabelSeed) -> bool:
    return all(
        b[0] >= seed.x - EXTENT and b[1] >= seed.y - EXTENT and b[2] <= seed.x + EXTENT and b[3] <= seed.y + EXTENT
        for b in (*candidate.boxes, candidate.label.box)
    )


def _on_line(seed: LabelSeed, text: str, kind: TypeSettings, size: float, half_gap: float) -> Iterator[Candidate]:
    lines = wrap(text, FontStyle.of(kind), kind.spacing, 1e9)
    if lines is None:
        return
    line = lines[0]
    if line.width * size > 2 * EXTENT or seed.path is None:
        return
    placed = along(line, size, seed.path, seed.x, seed.y)
    if placed is None:
        return
    glyphs, boxes = placed
    yield _candidate(seed, line.text, kind, size, glyphs, boxes, half_gap)


def _in_area(seed: LabelSeed, text: str, kind: TypeSettings, size: float, half_gap: float) -> Iterator[Candidate]:
    style = FontStyle.of(kind)
    for smaller in _SMALLER:
        now = round(size * smaller * 4) / 4
        if now < min(kind.smallest, size):
            return
        for count in (1, 2, 3):
            lines = wrap(text, style, kind.spacing, 1e9, count)
            if lines is None:
                break
            widest = max(line.width for line in lines) * now
            long = count == 1 and lines[0].width > kind.wrap and len(text.split()) > 1
            # A name may stand out of its area by a little; it still reads as its name.
            if widest <= seed.room * 1.1 and not (long and widest > 0.7 * seed.room):
                for shift in (0.0, -1.0, 1.0):
                    glyphs, boxes = block(lines, now, seed.x, seed.y + shift * now * 1.3, 0.5)
                    yield _candidate(seed, text, kind, now, glyphs, boxes, half_gap)
                return


def _at_point(
    seed: LabelSeed, text: str, kind: TypeSettings, size: float, half_gap: float, level: float
) -> Iterator[Candidate]:
    lines = wrap(text, FontStyle.of(kind), kind.spacing, kind.wrap)
    if lines is None:
        return
    if seed.kind is LabelKind.PEAK and (metres := seed.detail.partition(":")[2]):
        below = wrap(metres, replace(FontStyle.of(kind), italic=False), 0.0, 1e9)
        lines, text = (*lines, *(below or ())), f"{text} {metres}"
    mark = mark_for(seed, level) if kind.mark else ""
    if not mark:
        tall = (len(lines) * _LEADING + 0.2) * size
        for shift in (0.0, -0.75, 0.75):
            glyphs, boxes = block(lines, size, seed.x, seed.y + shift * tall, 0.5)
            yield _candidate(seed, text, kind, size, glyphs, boxes, half_gap)
        return
    radius = mark_radius(mark)
    x, y = _grain(seed.x), _grain(seed.y)
    sign = (x - radius, y - radius, x + radius, y + radius)
    beside = radius + 0.25 * size
    height = (len(lines) - 1) * _LEADING * size
    over = radius + 0.45 * size + height / 2
    for dx, dy, lean in ((beside, 0.0, 0.0), (-beside, 0.0, 1.0), (0.0, -over, 0.5), (0.0, over + 0.1 * size, 0.5)):
        glyphs, boxes = block(lines, size, x + dx, y + dy, lean)
        yield _candidate(seed, text, kind, size, glyphs, [*boxes, sign], half_gap, mark)


def block(lines: Sequence[Line], size: float, x: float, y: float, lean: float) -> tuple[list[PlacedGlyph], list[Box]]:
    """Set lines above one another about a point.

    Args:
        lines: from the top.
        size: logical pixels to the em.
        x: where their left edge (``lean`` 0), middle (0.5) or right edge (1) stands.
        y: the height of their middle; baselines stand on whole pixels, which keeps small type crisp.
        lean: see ``x``.
    """
    glyphs: list[PlacedGlyph] = []
    boxes: list[Box] = []
    # Half of a capital's height of 0.66 em, pulled a little to the x-height's middle, is where a line looks centred.
    first = y + 0.3 * size - (len(lines) - 1) * _LEADING * size / 2
    for i, line in enumerate(lines):
        pen = _grain(x - lean * line.width * size)
        baseline = float(round(first + i * _LEADING * size))
        boxes.append(
            (
                _grain(pen + line.left * size),
                _grain(baseline - max(line.top, 0.5) * size),
                _grain(pen + line.right * size),
                _grain(baseline - min(line.bottom, 0.0) * size),
            )
        )
        at = 0.0
        for cluster in line.clusters:
            glyphs += [
                PlacedGlyph(f, g, _grain(pen + (at + dx) * size), _grain(baseline - dy * size))
                for f, g, dx, dy in cluster.glyphs
            ]
            at += cluster.advance
    return glyphs, boxes


def _candidate(
    seed: LabelSeed,
    text: str,
    kind: TypeSettings,
    size: float,
    glyphs: Sequence[PlacedGlyph],
    boxes: Sequence[Box],
    half_gap: float,
    mark: str = "",
) -> Candidate:
    left, top = min(b[0] for b in boxes), min(b[1] for b in boxes)
    right, bottom = max(b[2] for b in boxes), max(b[3] for b in boxes)
    rim = halo_rim(kind)
    x, y = (_grain(seed.x), _grain(seed.y)) if mark else ((left + right) / 2, (top + bottom) / 2)
    label = PlacedLabel(
        text, seed.kind, seed.rank, seed.id, size, tuple(glyphs),
        (left - rim, top - rim, right + rim, bottom + rim), seed.detail, x, y, mark,
    )  # fmt: skip
    wide = tuple((b[0] - half_gap, b[1] - half_gap, b[2] + half_gap, b[3] + half_gap) for b in boxes)
    return Candidate(label, wide)


def halo_rim(kind: TypeSettings) -> float:
    """Give how far ink and halo of a label reach beyond its letters, logical pixels."""
    return float(int(kind.halo * 1.5 + 3.999)) if kind.halo else 2.0


def _grain(value: float) -> float:
    """Round to 1/64 px, so that moving by whole pixels is exact whatever the size of the address."""
    return round(value * 64) / 64


def _shift(box: Box, dx: float) -> Box:
    return box[0] + dx, box[1], box[2] + dx, box[3]


KIND_PRIORITY: dict[LabelKind, tuple[float, ...]] = {
    LabelKind.PLACE: (0.0, 1.0, 2.2, 3.6, 5.0, 7.0),
    LabelKind.OCEAN: (0.5, 0.8, 1.2, 2.0),
    LabelKind.WATER: (1.5, 2.5, 3.5, 5.5, 7.0, 8.5),
    LabelKind.RIVER: (3.0, 4.0, 5.2, 6.5),
    LabelKind.PEAK: (2.4, 3.4, 4.4, 5.4, 6.4, 7.4),
    LabelKind.PARK: (3.2, 4.2, 5.1, 6.2, 7.2, 8.2),
    LabelKind.STREET: (3.8, 4.1, 4.5, 4.9, 5.6, 6.6, 7.6),
    LabelKind.POI: (2.8, 4.3, 5.3, 6.0, 6.9, 7.8, 9.0),
}
"""Importance by kind and rank, least first: which of two labels that meet stays (judgement)."""


def importance(kind: LabelKind, rank: int) -> float:
    """Give the place of a label in the order of importance; less is more important."""
    table = KIND_PRIORITY[kind]
    return table[min(max(rank, 0), len(table) - 1)]
