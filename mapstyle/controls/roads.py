"""Roads in their true order, with casings, bridge decks and tunnels."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.controls.cells import Planes, Plot
from mapstyle.controls.coordinates import line_coordinates
from mapstyle.controls.draw import SUPER, Bytes, Easel
from mapstyle.controls.ways import RAIL, TRAM, Ways, ways_of
from mapstyle.layers import ROADS, LayerKind

FIELD = 3.0
"""Logical pixels beyond a road's edge within which coordinates are given."""
NARROWEST = 1.0
"""Logical pixels: narrower roads have no coordinates, nothing could be drawn on them."""
_CASED = ROADS.index(LayerKind.SERVICE)
"""Rank from which roads have a casing on the ground; on a bridge all have one."""
_PARAPET = 0.3
"""Logical pixels of a deck beyond the casing of its road."""
_RAIL_DECK = 0.6
"""Logical pixels of a deck beyond the bed of its railway."""
# A value of the index image is 16 * rank + strength (in 16ths, from 1), casings come after the last rank.
_TONES = 16
_CASING = len(ROADS)
_SEEN = 80
"""Coverage of roads at which a pixel has a road class: under a half, so that a thin path is an unbroken line."""


def casing_width(level: float) -> float:
    """Give the width of a road's outline on either side, logical pixels."""
    return float(np.interp(level, [11, 14, 16, 18], [0.25, 0.6, 0.9, 1.25]))


def deck_widths(ways: Ways, level: float) -> NDArray[np.float64]:
    """Give what each way takes away from what runs below it, logical pixels."""
    return ways.width + 2 * np.where(ways.rank >= RAIL, _RAIL_DECK, casing_width(level))


def draw_roads(plot: Plot) -> Planes:
    """Draw all road planes: tunnels apart; then storey by storey, all casings before all fills."""
    out: Planes = {}
    easel = Easel(plot.cell, SUPER)
    decks = _bridge_areas(plot, easel)
    ways = ways_of(plot)
    if ways is not None:
        _draw_tunnels(out, easel, ways.pick(ways.storey < 0))
        over = ways.pick((ways.storey >= 0) & ((ways.rank < RAIL) | (ways.storey > 0)))
        if len(over):
            image, codes, decks = _draw_over(easel, over, plot.level, decks)
            _read_index(out, easel, image, codes)
    if decks is not None:
        out["bridge"] = easel.coverage(decks)
    return out


def _bridge_areas(plot: Plot, easel: Easel) -> Bytes | None:
    decks: Bytes | None = None
    areas, lines = plot.areas(LayerKind.BRIDGE), plot.lines(LayerKind.BRIDGE)
    if areas is not None:
        decks = easel.blank()
        easel.fill_all(decks, areas)
    if lines is not None:
        decks = easel.blank() if decks is None else decks
        easel.stroke_all(decks, lines, plot.widths(LayerKind.BRIDGE, lines), ~lines.tunnel)
    return decks


def _draw_tunnels(out: Planes, easel: Easel, ways: Ways) -> None:
    if len(ways):
        image = easel.blank()
        for rings, value in zip(easel.strokes(ways, ways.width), _tones(easel.strength(ways.width)), strict=True):
            easel.fill(image, rings, max(1, value * 255 // _TONES))
        out["tunnel"] = easel.coverage(image)


def _draw_over(easel: Easel, ways: Ways, level: float, decks: Bytes | None) -> tuple[Bytes, set[int], Bytes | None]:
    """Draw the index image of all that is not in tunnels, and the decks; give the values used too."""
    image = easel.blank()
    codes: set[int] = set()
    wide = deck_widths(ways, level)
    above = ways.storey > 0
    fills, casings = easel.strokes(ways, ways.width), easel.strokes(ways.pick(~above), wide[~above])
    # The deck of a bridge ends where the bridge does; the ground's roads are below all others, so they come first.
    casings += easel.strokes(ways.pick(above), wide[above], flat=True)
    parapets = easel.strokes(ways.pick(above), (wide + 2 * _PARAPET)[above], flat=True)
    tones = _tones(easel.strength(ways.width))
    # The outline of a road that is hardly a line itself would hide it.
    casing_tones = _tones(np.clip((ways.width - 0.8) / 1.2, 0.0, 1.0))
    ranks, storeys = ways.rank.tolist(), ways.storey.tolist()
    for storey in sorted(set(storeys)):
        row = [i for i, s in enumerate(storeys) if s == storey]
        for i in row:
            if ranks[i] >= RAIL:
                easel.fill(image, casings[i], 0)
            elif (ranks[i] >= _CASED or storey > 0) and casing_tones[i]:
                codes.add(code := _CASING * _TONES + casing_tones[i])
                easel.fill(image, casings[i], code)
        for i in row:
            if ranks[i] < RAIL:
                codes.add(code := ranks[i] * _TONES + max(1, tones[i]))
                easel.fill(image, fills[i], code)
    for i, rings in zip(np.flatnonzero(above).tolist(), parapets, strict=True):
        if ranks[i] != TRAM:
            decks = easel.blank() if decks is None else decks
            easel.fill(decks, rings, 255)
    return image, codes, decks


def _tones(strength: NDArray[np.float64]) -> list[int]:
    tones: list[int] = np.rint(strength * _TONES).astype(int).tolist()
    return tones


def _read_index(out: Planes, easel: Easel, image: Bytes, codes: set[int]) -> None:
    """Read the planes out of the index image, so that they agree with what is on top."""
    total = np.zeros(easel.frame.shape, np.uint8)
    most, classes = total.copy(), total.copy()
    mask = np.empty_like(image)
    for rank in sorted({(code - 1) // _TONES for code in codes}):
        cover = np.zeros(easel.frame.shape, np.uint8)
        for code in sorted(c for c in codes if (c - 1) // _TONES == rank):
            cv2.compare(image, code, cv2.CMP_EQ, dst=mask)
            tone = (code - 1) % _TONES + 1
            part = easel.coverage(mask)
            cover = cv2.add(cover, part if tone == _TONES else cv2.convertScaleAbs(part, alpha=tone / _TONES))
        if rank == _CASING:
            out["casing"] = cover
            continue
        out[f"road_{ROADS[rank].value}"] = cover
        total = cv2.add(total, cover)
        more = cv2.compare(cover, most, cv2.CMP_GT)
        cv2.max(most, cover, dst=most)
        classes[more > 0] = rank + 1
    out["road"] = total
    classes[total < _SEEN] = 0
    out["road_class"] = classes


def draw_road_coordinates(plot: Plot) -> Planes:
    """Draw ``road_u`` and ``road_v``: of the road on top where several lie, else of the one whose edge is nearer."""
    ways = ways_of(plot)
    if ways is None:
        return {}
    decks = (ways.rank == RAIL) & (ways.storey > 0)
    ways = ways.pick((ways.storey >= 0) & ((ways.rank < RAIL) & (ways.width >= NARROWEST) | decks))
    found = line_coordinates(plot.cell, ways, FIELD, ways.rank == RAIL)
    return {} if found is None else {"road_u": found[0], "road_v": found[1]}
