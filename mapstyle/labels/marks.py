"""Marks: little signs at the anchor of a point's label, drawn as polygons."""

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mapstyle.placed import LabelKind, LabelSeed

Contour = NDArray[np.float64]

DOT_LEVEL = 9.0
"""Below this level places are dots with their name beside them; from it on, names stand on the place itself."""

_CHURCH = ("church", "cathedral", "chapel", "abbey", "monastery", "place_of_worship", "wayside_cross", "wayside_shrine")
_MARKS: Mapping[str, tuple[str, ...]] = {
    "cross": _CHURCH,
    "crescent": ("mosque",),
    "star": ("synagogue",),
    "pagoda": ("temple", "shrine"),
    "castle": ("castle", "fort", "palace", "manor", "city_gate", "city_wall"),
    "train": ("station", "halt"),
    "temple": (
        "museum", "theatre", "townhall", "library", "courthouse", "university", "bank", "gallery", "arts_centre",
    ),
    "plus": ("hospital", "clinic", "pharmacy", "doctors"),
    "tower": ("lighthouse", "tower", "water_tower", "windmill", "observatory"),
    "plane": ("aerodrome", "heliport"),
    "anchor": ("ferry_terminal", "marina", "harbour"),
    "view": ("viewpoint",),
    "monument": ("monument", "memorial", "artwork", "archaeological_site", "ruins"),
}  # fmt: skip
_BY_DETAIL = {detail: mark for mark, details in _MARKS.items() for detail in details}
_RADIUS = {"dot": 2.5, "ring": 3.5, "capital": 4.5, "peak": 4.5}


def mark_for(seed: LabelSeed, level: float) -> str:
    """Name the sign at a seed's anchor; empty for none."""
    if seed.kind is LabelKind.PEAK:
        return "peak"
    if seed.kind is LabelKind.POI:
        return _BY_DETAIL.get(seed.detail, "dot")
    if seed.kind is LabelKind.PLACE and level < DOT_LEVEL:
        return ("capital", "ring")[min(seed.rank, 1)] if seed.rank < 2 else "dot"
    return ""


def mark_radius(mark: str) -> float:
    """Give half the side of the square that a sign fills, logical pixels."""
    return _RADIUS.get(mark, 5.5)


def _circle(x: float, y: float, radius: float, points: int = 28) -> list[tuple[float, float]]:
    return [
        (x + radius * math.cos(a), y + radius * math.sin(a)) for a in (2 * math.pi * i / points for i in range(points))
    ]


def _box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


@lru_cache(maxsize=64)
def mark_shapes(mark: str) -> tuple[tuple[Contour, ...], ...]:
    """Give a sign's shapes, each filled by the even-odd rule: logical pixels about the anchor, y down."""
    r = mark_radius(mark)
    shapes: list[list[list[tuple[float, float]]]] = {
        "dot": [[_circle(0, 0, r)]],
        "ring": [[_circle(0, 0, r), _circle(0, 0, r - 1.3)]],
        "capital": [[_circle(0, 0, r), _circle(0, 0, r - 1.2)], [_circle(0, 0, r - 2.4)]],
        "peak": [[[(0, -r), (r, r * 0.75), (-r, r * 0.75)]]],
        "cross": [[_box(-0.9, -5.5, 0.9, 5.5)], [_box(-3.6, -2.9, 3.6, -1.1)]],
        "plus": [[_box(-1.5, -4.8, 1.5, 4.8)], [_box(-4.8, -1.5, 4.8, 1.5)]],
        "crescent": [[_crescent()]],
        "star": [[[(0, -5.5), (4.6, 2.4), (-4.6, 2.4)]], [[(0, 5.5), (4.6, -2.4), (-4.6, -2.4)]]],
        "pagoda": [
            [[(0, -5.5), (5.2, -1.6), (-5.2, -1.6)]], [_box(-2.6, -1.8, 2.6, 1.2)],
            [[(-5.4, 2.6), (-2.6, 0.6), (2.6, 0.6), (5.4, 2.6)]], [_box(-3.4, 2.4, 3.4, 5.0)],
        ],
        "castle": [
            [
                [
                    (-5, 5), (-5, -4.6), (-3, -4.6), (-3, -2.6), (-1, -2.6), (-1, -4.6), (1, -4.6), (1, -2.6),
                    (3, -2.6), (3, -4.6), (5, -4.6), (5, 5), (1.4, 5), (1.4, 2.4), (0.8, 1.5), (-0.8, 1.5),
                    (-1.4, 2.4), (-1.4, 5),
                ]
            ]
        ],
        "train": [
            [
                [(-4.2, -3.6), (-3, -5.2), (3, -5.2), (4.2, -3.6), (4.2, 2.2), (3.2, 3.4), (-3.2, 3.4), (-4.2, 2.2)],
                _box(-2.9, -3.6, 2.9, -0.6), _circle(-2.2, 1.4, 0.8), _circle(2.2, 1.4, 0.8),
            ],
            [[(-3, 3.2), (-1.6, 3.2), (-3.2, 5.5), (-4.8, 5.5)]], [[(1.6, 3.2), (3, 3.2), (4.8, 5.5), (3.2, 5.5)]],
        ],
        "temple": [
            [[(0, -5.4), (5.4, -2.4), (-5.4, -2.4)]], [_box(-5.2, 3.6, 5.2, 5.0)],
            *[[_box(x - 0.8, -1.6, x + 0.8, 3.0)] for x in (-3.6, 0.0, 3.6)],
        ],
        "tower": [
            [[(-1.6, -2.6), (1.6, -2.6), (3.0, 5.4), (-3.0, 5.4)]], [_box(-2.4, -3.6, 2.4, -2.4)],
            [[(0, -5.5), (1.8, -3.8), (-1.8, -3.8)]],
        ],
        "plane": [
            [[(0, -5.5), (0.9, -4.4), (0.9, -1.6), (5.4, 1.2), (5.4, 2.4), (0.9, 1.0), (0.9, 3.6), (2.4, 4.7),
              (2.4, 5.5), (0, 4.9), (-2.4, 5.5), (-2.4, 4.7), (-0.9, 3.6), (-0.9, 1.0), (-5.4, 2.4), (-5.4, 1.2),
              (-0.9, -1.6), (-0.9, -4.4)]],
        ],
        "anchor": [
            [_circle(0, -4.0, 1.5, 16), _circle(0, -4.0, 0.6, 12)], [_box(-0.7, -2.6, 0.7, 4.8)],
            [_box(-2.6, -1.6, 2.6, -0.4)], [_arc(4.8, 3.4, 0.4)],
        ],
        "view": [
            [[(math.cos(a) * q, math.sin(a) * q) for i in range(16)
              for a, q in [(math.pi * i / 8 - math.pi / 2, 5.2 if i % 2 == 0 else 2.0)]]],
        ],
        "monument": [[[(-1.3, 3.2), (-0.8, -4.0), (0, -5.5), (0.8, -4.0), (1.3, 3.2)]], [_box(-3.2, 3.4, 3.2, 5.2)]],
    }.get(mark, [[_circle(0, 0, r)]])  # fmt: skip
    return tuple(tuple(np.array(c, np.float64) for c in shape) for shape in shapes)


def _crescent() -> list[tuple[float, float]]:
    outer = [(5 * math.cos(a), 5 * math.sin(a)) for a in np.linspace(0.62, 2 * math.pi - 0.62, 30)]
    inner = [(1.7 + 3.75 * math.cos(a), 3.75 * math.sin(a)) for a in np.linspace(2 * math.pi - 0.88, 0.88, 30)]
    return outer + inner


def _arc(outer: float, inner: float, start: float) -> list[tuple[float, float]]:
    turn = np.linspace(start, math.pi - start, 16)
    out = [(outer * math.cos(a), outer * math.sin(a)) for a in turn]
    return out + [(inner * math.cos(a), 1.2 + inner * 0.8 * math.sin(a)) for a in turn[::-1]]
