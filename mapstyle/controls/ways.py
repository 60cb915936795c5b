"""Roads and railways in their true order, and coordinates across and along them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.controls.cells import Planes
from mapstyle.controls.draw import SHIFT, SUPER, Easel, near
from mapstyle.frame import Frame
from mapstyle.layers import ROADS, LayerKind, Layers, LayerStack, VectorLayer
from mapstyle.levels import Levels

REACH = 96
"""Logical pixels beyond a cell from which a way may still reach into it: half the widest road, and its coordinates."""
RAIL_FIELD = 9.0
"""Logical pixels to either side of a railway within which coordinates are given."""
ROAD_FIELD = 3.0
"""Logical pixels beyond a road's edge within which coordinates are given."""
_CASED = frozenset(ROADS[3:])
_CASING = 200
"""Value of a casing in the image of road classes; far from any class."""
_DECK = 201

Way = tuple[int, int, VectorLayer, int, float]


def _casing_width(level: float) -> float:
    """Give the width of a road's outline on each side, logical pixels."""
    return float(np.interp(level, [11, 14, 16, 18], [0.25, 0.6, 0.9, 1.25]))


def _ways(stack: LayerStack, levels: Levels, cell: Frame) -> list[Way]:
    """Give (layer, rank, layer of features, feature, width) of all roads near a cell, in drawing order."""
    out: list[Way] = []
    level = cell.grid.level
    for rank, kind in enumerate(ROADS):
        layer = stack.lines.get(kind)
        if layer is None or not levels.shows(kind, level):
            continue
        widths = levels.line_width(kind, level, layer.scale, layer.width)
        out += [(_storey(layer, i), rank, layer, int(i), float(widths[i])) for i in layer.hits(near(cell, REACH))]
    return sorted(out, key=lambda w: (w[0], w[1], int(w[2].ids[w[3]])))


def _storey(layer: VectorLayer, i: int) -> int:
    """Give the level of a crossing that a way runs on: the ground is 0, tunnels are below, bridges above."""
    if layer.tunnel[i]:
        return min(int(layer.layer[i]), -1)
    if layer.bridge[i]:
        return max(int(layer.layer[i]), 1)
    return 0


def draw_roads(layers: Layers, levels: Levels, cell: Frame) -> Planes:
    """Draw all road planes: tunnels apart; then storey by storey, all casings before all fills."""
    easel = Easel(cell, SUPER)
    stack = layers.read(cell.pad(REACH))
    ways = _ways(stack, levels, cell)
    rails = [
        (_storey(layer, i), layer, int(i), float(w))
        for kind in (LayerKind.RAIL,)
        if (layer := stack.lines.get(kind)) is not None and levels.shows(kind, cell.grid.level)
        for w in [0.0]
        for i in layer.hits(near(cell, REACH))
        if layer.bridge[i] or layer.tunnel[i]
    ]
    out: Planes = {}
    _draw_tunnels(out, easel, levels, ways, rails)
    over = [w for w in ways if w[0] >= 0]
    edge = _casing_width(cell.grid.level)
    image = easel.blank(np.uint8)
    decks = easel.blank(np.uint8)
    bridged = False
    areas = stack.areas.get(LayerKind.BRIDGE)
    if areas is not None:
        for i in areas.hits(near(cell, 0)):
            easel.fill(decks, areas, int(i), 255)
            bridged = True
    for storey in sorted({w[0] for w in over}):
        row = [w for w in over if w[0] == storey]
        for _, rank, layer, i, width in row:
            if ROADS[rank] in _CASED or storey > 0:
                easel.stroke(image, layer, i, width + 2 * edge, _CASING)
            if storey > 0:
                easel.stroke(decks, layer, i, width + 2 * edge + 0.6, 255)
                bridged = True
        for _, rank, layer, i, width in row:
            easel.stroke(image, layer, i, width, rank + 1)
    for storey, layer, i, _ in rails:
        if storey > 0:
            width = float(levels.line_width(LayerKind.RAIL, cell.grid.level, layer.scale[i], layer.width[i]))
            easel.stroke(decks, layer, i, width + 1.2, 255)
            bridged = True
    if bridged:
        out["bridge"] = easel.coverage(decks)
    if over:
        present = {w[1] for w in over}
        for rank in present:
            out[f"road_{ROADS[rank].value}"] = easel.coverage(_table(image, rank + 1))
        fills = np.zeros(256, np.uint8)
        fills[1 : len(ROADS) + 1] = 255
        out["road"] = easel.coverage(fills[image])
        out["casing"] = easel.coverage(_table(image, _CASING))
        # The class on top at a pixel is that at its middle.
        middle = SUPER // 2
        classes = np.ascontiguousarray(image[middle::SUPER, middle::SUPER])
        classes[classes >= _CASING] = 0
        out["road_class"] = classes
    return out


def _table(image: NDArray[np.uint8], value: int) -> NDArray[np.uint8]:
    return cv2.compare(image, value, cv2.CMP_EQ)


def _draw_tunnels(
    out: Planes, easel: Easel, levels: Levels, ways: list[Way], rails: list[tuple[int, VectorLayer, int, float]]
) -> None:
    below = [(layer, i, width) for storey, _, layer, i, width in ways if storey < 0]
    for storey, layer, i, _ in rails:
        if storey < 0:
            width = float(levels.line_width(LayerKind.RAIL, easel.frame.grid.level, layer.scale[i], layer.width[i]))
            below.append((layer, i, width))
    if below:
        image = easel.blank(np.uint8)
        for layer, i, width in below:
            easel.stroke(image, layer, i, width, 255)
        out["tunnel"] = easel.coverage(image)


def draw_rails(layers: Layers, levels: Levels, cell: Frame) -> Planes:
    """Draw ``rail``, ``tram``, ``rail_u`` and ``rail_v``; tunnels left out."""
    easel = Easel(cell, SUPER)
    stack = layers.read(cell.pad(REACH))
    out: Planes = {}
    segments = Segments()
    for kind, plane in ((LayerKind.RAIL, "rail"), (LayerKind.TRAM, "tram")):
        layer = stack.lines.get(kind)
        if layer is None or not levels.shows(kind, cell.grid.level):
            continue
        widths = levels.line_width(kind, cell.grid.level, layer.scale, layer.width)
        image = easel.blank(np.uint8)
        for i in layer.hits(near(cell, REACH)):
            if not layer.tunnel[i]:
                easel.stroke(image, layer, int(i), float(widths[i]), 255)
                if kind is LayerKind.RAIL:
                    segments.add(layer, int(i), RAIL_FIELD)
        out[plane] = easel.coverage(image)
    u, v = segments.field(cell)
    if u is not None and v is not None:
        out["rail_u"], out["rail_v"] = u, v
    return out


def draw_road_coordinates(layers: Layers, levels: Levels, cell: Frame) -> Planes:
    """Draw ``road_u`` and ``road_v``: of the road on top where several lie."""
    segments = Segments()
    for storey, _, layer, i, width in _ways(layers.read(cell.pad(REACH)), levels, cell):
        if storey >= 0:
            segments.add(layer, i, width / 2 + ROAD_FIELD)
    u, v = segments.field(cell)
    return {} if u is None or v is None else {"road_u": u, "road_v": v}


class Segments:
    """Pieces of lines, from which offsets across and lengths along are worked out at every pixel near them.

    Each segment is drawn as a thick line whose colour is its number; then all pixels are worked out at once,
    from their segment and its two neighbours on the same line, whichever is nearest.
    """

    def __init__(self) -> None:
        self._ends: list[NDArray[np.float64]] = []
        self._along: list[NDArray[np.float64]] = []
        self._half: list[float] = []

    def add(self, layer: VectorLayer, feature: int, half: float) -> None:
        """Add a feature's lines, to be known within ``half`` logical pixels of the axis."""
        first = layer.features[feature]
        for k, part in enumerate(layer.parts(feature)):
            steps = np.hypot(*np.diff(part, axis=0).T)
            if len(steps) and steps.sum() > 0:
                self._ends.append(part)
                self._along.append(layer.along[first + k] + np.concatenate([[0.0], np.cumsum(steps)]))
                self._half.append(half)

    def field(self, cell: Frame) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """Give (u, v) over a cell: float32, logical pixels, u 99 where no line is near; None without lines."""
        easel = Easel(cell)
        ratio = cell.grid.pixel_ratio
        index = np.zeros(easel.shape, np.int32)
        rows: list[NDArray[np.float64]] = []
        count = 0
        left, top, right, bottom = cell.logical_box
        for part, along, half in zip(self._ends, self._along, self._half, strict=True):
            low, high = np.minimum(part[:-1], part[1:]) - half - 1, np.maximum(part[:-1], part[1:]) + half + 1
            hit = np.flatnonzero((high[:, 0] > left) & (low[:, 0] < right) & (high[:, 1] > top) & (low[:, 1] < bottom))
            if not len(hit):
                continue
            fixed = easel.fixed(easel.place(part))
            thick = max(1, round(2 * half * ratio))
            base = count
            n = len(part) - 1
            for j in hit.tolist():
                cv2.line(index, fixed[j].tolist(), fixed[j + 1].tolist(), base + j + 1, thick, cv2.LINE_8, SHIFT)
            number = np.arange(base, base + n)
            before, after = np.maximum(number - 1, base), np.minimum(number + 1, base + n - 1)
            rows.append(np.column_stack([part[:-1], part[1:], along[:-1], np.full(n, half), before, after]))
            count += n
        if not rows:
            return None, None
        table = np.concatenate(rows)
        y, x = np.nonzero(index)
        own = index[y, x] - 1
        px = (x + cell.column + 0.5) / ratio
        py = (y + cell.row + 0.5) / ratio
        best = np.full(len(own), np.inf)
        u, v = np.zeros(len(own)), np.zeros(len(own))
        for candidate in (own, table[own, 6].astype(np.int64), table[own, 7].astype(np.int64)):
            ax, ay, bx, by, along_a = (table[candidate, c] for c in range(5))
            dx, dy = bx - ax, by - ay
            length = np.maximum(np.hypot(dx, dy), 1e-9)
            t = np.clip(((px - ax) * dx + (py - ay) * dy) / length**2, 0.0, 1.0)
            ox, oy = px - (ax + t * dx), py - (ay + t * dy)
            distance = np.hypot(ox, oy)
            side = np.where(dx * (py - ay) - dy * (px - ax) >= 0, 1.0, -1.0)
            closer = distance < best
            best = np.where(closer, distance, best)
            u = np.where(closer, side * distance, u)
            v = np.where(closer, along_a + t * length, v)
        near_enough = best <= table[own, 5]
        across = np.full(easel.shape, 99, np.float32)
        lengthwise = np.zeros(easel.shape, np.float32)
        across[y[near_enough], x[near_enough]] = u[near_enough]
        lengthwise[y[near_enough], x[near_enough]] = v[near_enough]
        return across, lengthwise
