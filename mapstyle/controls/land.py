"""Land cover, parcels, borders and territories."""

import numpy as np

from mapstyle.controls.cells import Planes
from mapstyle.controls.draw import Easel, near, short_ids
from mapstyle.frame import Frame
from mapstyle.layers import LAND_COVER, LayerKind, Layers, VectorLayer
from mapstyle.levels import Levels

REACH = 0
"""Logical pixels beyond a cell that land cover looks at: whole areas are filled, nothing more."""
_BORDER_MARGIN = 8.0


def draw_land(layers: Layers, levels: Levels, cell: Frame) -> Planes:
    """Draw ``landcover`` and ``parcel``: larger areas first, ties by id, over all kinds together."""
    easel = Easel(cell)
    classes, parcels = easel.blank(np.uint8), easel.blank(np.int32)
    queue: list[tuple[float, int, VectorLayer, int, int, int]] = []
    stack = layers.read(cell)
    for kind, layer in stack.areas.items():
        if kind in LAND_COVER and levels.shows(kind, cell.grid.level):
            index, ids = int(LAND_COVER[kind]), short_ids(layer.ids)
            queue += [
                (-area, int(name), layer, i, index, int(ids[i]))
                for i, (area, name) in enumerate(zip(layer.area.tolist(), layer.ids.tolist(), strict=True))
            ]
    for _, _, layer, i, index, name in sorted(queue, key=lambda row: row[:2]):
        easel.fill(classes, layer, i, index)
        easel.fill(parcels, layer, i, name)
    return {"landcover": classes, "parcel": parcels.view(np.uint32)}


def draw_borders(layers: Layers, levels: Levels, cell: Frame) -> Planes:
    """Draw ``territory``, smaller areas over larger, and ``border`` lines."""
    easel, fine = Easel(cell), Easel(cell, 4)
    out: Planes = {}
    level = cell.grid.level
    if not levels.shows(LayerKind.BORDER, level):
        return out
    stack = layers.read(cell.pad(int(_BORDER_MARGIN)))
    width = float(levels.line_width(LayerKind.BORDER, level, 0.0))
    lines = fine.blank(np.uint8)
    areas = stack.areas.get(LayerKind.BORDER)
    if areas is not None:
        territory = easel.blank(np.int32)
        ids = short_ids(areas.ids)
        for i in sorted(range(len(areas)), key=lambda i: (-areas.area[i], int(areas.ids[i]))):
            easel.fill(territory, areas, i, int(ids[i]))
            fine.stroke(lines, areas, i, width, 255, closed=True)
        out["territory"] = territory.view(np.uint32)
    ways = stack.lines.get(LayerKind.BORDER)
    if ways is not None:
        for i in ways.hits(near(cell, _BORDER_MARGIN)):
            fine.stroke(lines, ways, i, width * (1.6 if ways.rank[i] <= 2 else 1.0), 255)
    out["border"] = fine.coverage(lines)
    return out
