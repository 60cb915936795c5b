"""Single trees: mapped ones, and those of mapped rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstyle.controls.cells import Planes, Plot
from mapstyle.controls.draw import short_ids
from mapstyle.layers import LayerKind, VectorLayer
from mapstyle.noise import hash_ids, unit

CROWN = 3.4
"""Metres: half the width of a common street tree's crown (judgement)."""
GAP = 9.0
"""Metres between the trees of a mapped row (judgement)."""
SMALLEST = 1.3
"""Logical pixels under which no crown goes, so that it is seen at all."""
_SPREAD = (0.75, 1.35)
"""Smallest and largest crown, as shares of :data:`CROWN`."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trees:
    """Trees: place and radius in logical pixels, and id, all [n]."""

    x: Floats
    y: Floats
    radius: Floats
    ids: NDArray[np.uint64]


def draw_trees(plot: Plot) -> Planes:
    """Draw ``tree`` and ``tree_id``: cones, the higher one where two meet."""
    found = []
    points = plot.points(LayerKind.TREE)
    if points is not None:
        place = points.coords[points.rings[points.features[:-1]]]
        found.append(_grown(place[:, 0], place[:, 1], points.scale, points.ids))
    rows = plot.lines(LayerKind.TREE_ROW)
    if rows is not None:
        found += [_row(rows, i) for i in range(len(rows))]
    if not found:
        return {}
    trees = Trees(*(np.concatenate([getattr(t, k) for t in found]) for k in ("x", "y", "radius", "ids")))
    return _cones(plot, trees)


def _grown(x: Floats, y: Floats, scale: Floats, ids: NDArray[np.uint64]) -> Trees:
    """Give trees their crowns, each its own size."""
    luck = unit(hash_ids(ids.view(np.int64), 5)).astype(np.float64)
    low, high = _SPREAD
    return Trees(x, y, np.maximum(scale * CROWN * (low + (high - low) * luck), SMALLEST), ids)


def _row(rows: VectorLayer, feature: int) -> Trees:
    """Plant a row: trees at even steps along the whole line, whatever part of it is seen."""
    scale = float(rows.scale[feature])
    gap = max(GAP * scale, 2 * SMALLEST)
    xs, ys = [np.zeros(0)], [np.zeros(0)]
    for part in rows.parts(feature):
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(part, axis=0).T))])
        at = np.arange(min(gap, along[-1]) / 2, along[-1], gap)
        xs.append(np.interp(at, along, part[:, 0]))
        ys.append(np.interp(at, along, part[:, 1]))
    x, y = np.concatenate(xs), np.concatenate(ys)
    # The golden ratio in 64 bits sends neighbours far apart (Knuth, The Art of Computer Programming, 6.4).
    ids = rows.ids[feature] + np.arange(1, len(x) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return _grown(x, y, np.full(len(x), scale), ids)


def _cones(plot: Plot, trees: Trees) -> Planes:
    cell, ratio = plot.cell, plot.cell.grid.pixel_ratio
    px, py = trees.x * ratio - cell.column - 0.5, trees.y * ratio - cell.row - 0.5
    r = trees.radius * ratio
    seen = np.flatnonzero((px + r > 0) & (px - r < cell.width) & (py + r > 0) & (py - r < cell.height))
    if not len(seen):
        return {}
    seen = seen[np.argsort(trees.ids[seen], kind="stable")]  # ties go to the larger id
    px, py, r, ids = px[seen], py[seen], r[seen], trees.ids[seen]
    # The height of a cone and the tree it belongs to in one number, so that the largest wins both.
    best = np.zeros(cell.height * cell.width, np.int64)
    size = np.ceil(r).astype(np.int64)
    for half in np.unique(size).tolist():
        these = np.flatnonzero(size == half)
        reach = np.arange(-half, half + 2)
        x = np.floor(px[these]).astype(np.int64)[:, None, None] + reach[None, None, :]
        y = np.floor(py[these]).astype(np.int64)[:, None, None] + reach[None, :, None]
        away = np.hypot(x - px[these][:, None, None], y - py[these][:, None, None])
        cone = np.round((1.0 - away / r[these][:, None, None]) * 65535).astype(np.int64)
        good = (cone > 0) & (x >= 0) & (x < cell.width) & (y >= 0) & (y < cell.height)
        packed = cone << 32 | these[:, None, None]
        np.maximum.at(best, (y * cell.width + x)[good], packed[good])
    best = best.reshape(cell.shape)
    tree = (best >> 32).astype(np.float32) * np.float32(1 / 65535)
    names = short_ids(ids).astype(np.uint32)[best & 0xFFFFFFFF]
    return {"tree": tree, "tree_id": np.where(best > 0, names, np.uint32(0))}
