"""Water: areas, lines, the sea, and the distance to the shore."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.controls.cells import Planes
from mapstyle.controls.draw import SUPER, Easel, near
from mapstyle.frame import Frame
from mapstyle.layers import STILL_OR_WIDE_WATER, WATER_LINES, LayerKind, Layers, LayerStack
from mapstyle.levels import Levels

SHORE_REACH = 64
"""Logical pixels to which the distance to the shore is true."""
_HALF = 160
"""Coverage that stands for half a pixel: filling takes the sub-pixels along the outline too, an eighth more."""
_LINE_MARGIN = 64.0
_LAND_IN_WATER = (LayerKind.PIER, LayerKind.BREAKWATER, LayerKind.DAM)


def draw_water(layers: Layers, levels: Levels, cell: Frame) -> Planes:
    """Draw ``water_area``, ``ocean`` and ``water_line`` as coverage."""
    easel = Easel(cell, SUPER)
    level = cell.grid.level
    stack = layers.read(cell.pad(int(_LINE_MARGIN)))
    out: Planes = {}
    sea = stack.areas.get(LayerKind.OCEAN)
    if sea is not None:
        image = easel.blank(np.uint8)
        for i in sea.hits(near(cell, 0)):
            easel.fill(image, sea, i, 255)
        out["ocean"] = easel.coverage(image)
    areas = _areas(easel, stack, levels, near(cell, 0))
    if areas is not None:
        out["water_area"] = easel.coverage(areas)
    lines = None
    for kind in WATER_LINES:
        layer = stack.lines.get(kind)
        if layer is None or not levels.shows(kind, level):
            continue
        widths = levels.line_width(kind, level, layer.scale, layer.width)
        lines = easel.blank(np.uint8) if lines is None else lines
        for i in layer.hits(near(cell, float(widths.max()) if len(widths) else 0.0)):
            if not layer.tunnel[i]:
                easel.stroke(lines, layer, i, float(widths[i]), 255)
    if lines is not None:
        out["water_line"] = easel.coverage(lines)
    return out


def _areas(
    easel: Easel, stack: LayerStack, levels: Levels, box: tuple[float, float, float, float]
) -> NDArray[np.uint8] | None:
    """Fill water areas at the easel's resolution: the sea, then lakes; None where there are none."""
    image = None
    level = easel.frame.grid.level
    for kind in STILL_OR_WIDE_WATER:
        layer = stack.areas.get(kind)
        if layer is None or not levels.shows(kind, level):
            continue
        for i in layer.hits(box):
            image = easel.blank(np.uint8) if image is None else image
            easel.fill(image, layer, int(i), 255)
    return image


def draw_shore(layers: Layers, levels: Levels, cell: Frame, reach: int = SHORE_REACH) -> Planes:
    """Draw ``shore``: the signed distance to the shore of water areas, exact to about a tenth of a pixel.

    ``distanceTransform`` of a window is not that of the whole, so it is run on the cell widened by ``reach`` + 4.
    """
    wide = cell.pad(reach + 4)
    easel = Easel(wide, 2)
    ratio = cell.grid.pixel_ratio
    water = _areas(easel, layers.read(wide), levels, near(wide, 0))
    if water is None:
        return {}
    cover = easel.coverage(water)
    inside = (cover > _HALF).astype(np.uint8)
    # Distances run to the middle of the nearest pixel on the other side; half a pixel brings them to the edge.
    deep = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - np.float32(0.5)
    dry = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - np.float32(0.5)
    signed = np.where(inside > 0, deep, -dry)
    # Beside the edge the coverage itself says, more finely, where the edge runs.
    fine = (cover.astype(np.float32) - np.float32(_HALF)) * np.float32(1 / 255)
    signed = np.where(np.abs(signed) < 0.75, fine, signed)
    # Whole 1/64 px: the last bits of a sum of squares are nobody's business.
    signed = np.rint(signed * np.float32(64 / ratio)) * np.float32(1 / 64)
    limit = np.float32(min(reach, SHORE_REACH))
    out = np.clip(signed, -limit, limit)[cell.slices(wide)]
    return {"shore": np.ascontiguousarray(out, dtype=np.float32)}


def land_in_water(stack: LayerStack) -> list[LayerKind]:
    """Give the kinds of made land present in a stack."""
    return [k for k in _LAND_IN_WATER if k in stack.areas or k in stack.lines]
