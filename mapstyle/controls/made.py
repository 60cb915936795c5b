"""Made things and single trees: piers, runways, walls, planted trees."""

import numpy as np

from mapstyle.controls.cells import Planes
from mapstyle.controls.draw import SUPER, Easel, near, short_ids
from mapstyle.frame import Frame
from mapstyle.layers import LayerKind, Layers, VectorLayer
from mapstyle.levels import Levels
from mapstyle.noise import hash_ids, unit

REACH = 128
"""Logical pixels beyond a cell from which half a runway or a crown may still reach into it."""
_GROUPS = {
    "pier": (LayerKind.BREAKWATER, LayerKind.DAM, LayerKind.PIER),
    "runway": (LayerKind.TAXIWAY, LayerKind.RUNWAY),
    "wall": (LayerKind.WALL, LayerKind.CITY_WALL),
}
CROWN = 3.4
"""Metres: half the width of a common street tree's crown (judgement)."""
TREE_GAP = 9.0
"""Metres between the trees of a mapped tree row (judgement)."""


def draw_made(layers: Layers, levels: Levels, cell: Frame) -> Planes:
    """Draw ``pier``, ``runway`` and ``wall`` from lines and areas."""
    easel = Easel(cell, SUPER)
    stack = layers.read(cell.pad(REACH))
    out: Planes = {}
    for plane, kinds in _GROUPS.items():
        image = None
        for kind in kinds:
            if not levels.shows(kind, cell.grid.level):
                continue
            areas, lines = stack.areas.get(kind), stack.lines.get(kind)
            if areas is not None:
                image = easel.blank(np.uint8) if image is None else image
                for i in areas.hits(near(cell, 0)):
                    easel.fill(image, areas, int(i), 255)
            if lines is not None:
                image = easel.blank(np.uint8) if image is None else image
                widths = levels.line_width(kind, cell.grid.level, lines.scale, lines.width)
                for i in lines.hits(near(cell, REACH)):
                    if not lines.tunnel[i]:
                        easel.stroke(image, lines, int(i), float(widths[i]), 255)
        if image is not None:
            out[plane] = easel.coverage(image)
    return out


def draw_trees(layers: Layers, levels: Levels, cell: Frame) -> Planes:
    """Draw ``tree`` and ``tree_id``: mapped trees as cones, tree rows as trees along whole lines."""
    stack = layers.read(cell.pad(REACH))
    spots: list[tuple[float, float, float, int]] = []
    points = stack.points.get(LayerKind.TREE)
    if points is not None and levels.shows(LayerKind.TREE, cell.grid.level):
        ids, luck = short_ids(points.ids), unit(hash_ids(points.ids.view(np.int64), 5))
        for i in range(len(points)):
            x, y = points.parts(i)[0][0]
            spots.append((x, y, float(points.scale[i]) * CROWN * (0.75 + 0.6 * float(luck[i])), int(ids[i])))
    rows = stack.lines.get(LayerKind.TREE_ROW)
    if rows is not None and levels.shows(LayerKind.TREE_ROW, cell.grid.level):
        for i in range(len(rows)):
            spots += _row(rows, i)
    if not spots:
        return {}
    ratio = cell.grid.pixel_ratio
    tree, names = np.zeros(cell.shape, np.float32), np.zeros(cell.shape, np.int32)
    for x, y, radius, name in sorted(spots):
        radius = max(radius, 1.3)
        px, py, r = x * ratio - cell.column - 0.5, y * ratio - cell.row - 0.5, radius * ratio
        x0, x1 = max(0, int(px - r)), min(cell.width, int(px + r) + 2)
        y0, y1 = max(0, int(py - r)), min(cell.height, int(py + r) + 2)
        if x0 >= x1 or y0 >= y1:
            continue
        dx, dy = np.arange(x0, x1) - px, np.arange(y0, y1) - py
        cone = (1.0 - np.hypot(dx[None, :], dy[:, None]) / r).astype(np.float32)
        here = tree[y0:y1, x0:x1]
        higher = cone > here
        here[higher] = cone[higher]
        names[y0:y1, x0:x1][higher] = name
    return {"tree": tree, "tree_id": names.view(np.uint32)}


def _row(rows: VectorLayer, feature: int) -> list[tuple[float, float, float, int]]:
    out = []
    scale = float(rows.scale[feature])
    gap = max(TREE_GAP * scale, 3.0)
    for part in rows.parts(feature):
        steps = np.hypot(*np.diff(part, axis=0).T)
        along = np.concatenate([[0.0], np.cumsum(steps)])
        if along[-1] <= 0:
            continue
        at = np.arange(gap / 2, along[-1], gap)
        names = (np.arange(len(at)) + int(rows.ids[feature] % np.uint64(1 << 40))).astype(np.int64)
        luck = unit(hash_ids(names, 6))
        x, y = np.interp(at, along, part[:, 0]), np.interp(at, along, part[:, 1])
        radius = scale * CROWN * (0.7 + 0.5 * luck)
        out += list(zip(x.tolist(), y.tolist(), radius.tolist(), ((names & 0x7FFFFFFF) | 1).tolist(), strict=True))
    return out
