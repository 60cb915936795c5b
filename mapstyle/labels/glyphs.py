"""Glyphs as polygons, and polygons as ink on pixels."""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.labels.fonts import font_book
from mapstyle.placed import PlacedGlyph

Contour = NDArray[np.float64]
Coverage = NDArray[np.uint8]

_QUADRATIC = np.linspace(0.0, 1.0, 7)[1:, None]
_CUBIC = np.linspace(0.0, 1.0, 9)[1:, None]
_SHIFT = 4  # bits of sub-pixel that cv2.fillPoly is given


@lru_cache(maxsize=8192)
def outline(face: int, glyph: int) -> tuple[Contour, ...]:
    """Give a glyph's contours, to be filled by the even-odd rule: float64[n, 2] each, ems, y down."""
    import uharfbuzz as hb

    found = font_book().face(face)
    pen: list[list[Contour]] = []
    here = [np.zeros(2)]

    def move(x: float, y: float, _: object) -> None:
        here[0] = np.array([x, y])
        pen.append([here[0][None]])

    def line(x: float, y: float, _: object) -> None:
        here[0] = np.array([x, y])
        pen[-1].append(here[0][None])

    def quadratic(cx: float, cy: float, x: float, y: float, _: object) -> None:
        t, a, c, b = _QUADRATIC, here[0], np.array([cx, cy]), np.array([x, y])
        pen[-1].append((1 - t) ** 2 * a + 2 * t * (1 - t) * c + t * t * b)
        here[0] = b

    def cubic(ax: float, ay: float, bx: float, by: float, x: float, y: float, _: object) -> None:
        t, p, a, b, q = _CUBIC, here[0], np.array([ax, ay]), np.array([bx, by]), np.array([x, y])
        pen[-1].append((1 - t) ** 3 * p + 3 * t * (1 - t) ** 2 * a + 3 * t * t * (1 - t) * b + t**3 * q)
        here[0] = q

    funcs = hb.DrawFuncs()
    funcs.set_move_to_func(move)
    funcs.set_line_to_func(line)
    funcs.set_quadratic_to_func(quadratic)
    funcs.set_cubic_to_func(cubic)
    funcs.set_close_path_func(lambda _: None)
    found.hb_font.draw_glyph(glyph, funcs, None)
    scale = np.array([1.0, -1.0]) / found.em
    contours = [np.concatenate(parts) * scale for parts in pen if sum(map(len, parts)) > 2]
    return tuple(_even_odd(contours))


def _even_odd(contours: list[Contour]) -> list[Contour]:
    """Make contours that wind round a shape into ones that the even-odd rule fills alike.

    Fonts mean the non-zero rule: where two outer contours overlap (an accent on its letter, a
    variable font's strokes), the even-odd rule would leave a hole.
    """
    import shapely

    rings = [shapely.LinearRing(c) for c in contours]
    if not any(shapely.crosses(a, b) or shapely.overlaps(a, b) for a, b in combinations(rings, 2)):
        return contours
    faces = shapely.get_parts(shapely.polygonize([shapely.union_all(rings)]))
    inside = [f for f in faces if sum(_winding(c, shapely.point_on_surface(f)) for c in contours)]
    polygons = [g for g in shapely.get_parts(shapely.union_all(inside)) if g.geom_type == "Polygon"]
    return [shapely.get_coordinates(r)[:-1] for p in polygons for r in (p.exterior, *p.interiors)]


def _winding(contour: Contour, point: Any) -> int:
    """Count how often a contour winds round a point."""
    x, y = point.x, point.y
    ax, ay = contour[:, 0], contour[:, 1]
    bx, by = np.roll(ax, -1), np.roll(ay, -1)
    side = (bx - ax) * (y - ay) - (x - ax) * (by - ay)
    return int(np.sum((ay <= y) & (by > y) & (side > 0))) - int(np.sum((ay > y) & (by <= y) & (side < 0)))


def glyph_shapes(
    glyphs: Iterable[PlacedGlyph], size: float, left: float, top: float, ratio: float
) -> list[list[Contour]]:
    """Give the contours of each glyph in real pixels of a patch whose corner is (left, top) in real pixels."""
    shapes = []
    for g in glyphs:
        contours = outline(g.font, g.glyph)
        if g.angle:
            c, s = math.cos(g.angle) * size, math.sin(g.angle) * size
            turn = np.array([[c, s], [-s, c]])
            placed = [k @ turn for k in contours]
        else:
            placed = [k * size for k in contours]
        at = np.array([g.x, g.y])
        corner = np.array([left, top])
        shapes.append([(k + at) * ratio - corner for k in placed])
    return shapes


def ink(shapes: Sequence[Sequence[Contour]], width: int, height: int, fine: int) -> Coverage:
    """Fill shapes: uint8[height, width] of coverage, from ``fine`` × ``fine`` samples a pixel.

    Each shape is filled by the even-odd rule, and shapes lie over one another, so that joined letters
    have no holes where they meet.
    """
    canvas = np.zeros((height * fine, width * fine), np.uint8)
    scale = fine * (1 << _SHIFT)
    half = 1 << (_SHIFT - 1)
    for shape in shapes:
        if shape:
            points = [np.rint(k * scale).astype(np.int32) - half for k in shape]
            cv2.fillPoly(canvas, points, 255, cv2.LINE_8, _SHIFT)
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
