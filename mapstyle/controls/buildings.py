"""Buildings: coverage, ids, heights, and roofs."""

import numpy as np
from numpy.typing import NDArray

from mapstyle.controls.cells import Planes, Plot
from mapstyle.controls.draw import SUPER, Easel, short_ids
from mapstyle.controls.roofs import GABLED, HIPPED, Roofs, roofs_of
from mapstyle.layers import LayerKind, VectorLayer

REACH = 1
"""Logical pixels beyond a cell at which a building still matters: whole outlines are filled and measured."""

f32 = np.float32
Ints = NDArray[np.int64]


def draw_buildings(plot: Plot) -> Planes:
    """Draw all building planes; smaller buildings over larger, ties by id."""
    layer = plot.areas(LayerKind.BUILDING, REACH)
    if layer is None:
        return {}
    layer = layer.pick(np.lexsort((layer.ids, -layer.area)))
    fine, easel = Easel(plot.cell, SUPER, corners=True), Easel(plot.cell)
    image, index = fine.blank(), easel.blank(np.int32)
    for i, (small, large) in enumerate(zip(fine.outlines(layer), easel.outlines(layer), strict=True)):
        fine.fill(image, small, 255)
        easel.fill(index, large, i + 1)
    coverage = fine.coverage(image)
    rows, columns = np.nonzero(index)
    own = index[rows, columns].astype(np.int64) - 1
    roofs = roofs_of(layer)
    height, kind, roof = (np.zeros(easel.shape, t) for t in (np.float32, np.uint8, np.float32))
    height[rows, columns] = (roofs.eaves * layer.scale).astype(f32)[own]
    kind[rows, columns] = roofs.kind.astype(np.uint8)[own]
    names = np.concatenate([[0], short_ids(layer.ids)]).astype(np.uint32)
    roof[rows, columns] = _rises(plot, layer, roofs, own, rows, columns)
    return {
        "building": coverage,
        "building_id": names[index],
        "building_height": height,
        "roof": roof,
        "roof_kind": kind,
    }


def _rises(plot: Plot, layer: VectorLayer, roofs: Roofs, own: Ints, rows: Ints, columns: Ints) -> NDArray[np.float32]:
    """Give how far roofs lie above the eaves at pixels of buildings ``own``, logical pixels."""
    ratio = f32(plot.cell.grid.pixel_ratio)
    left, top, _, _ = plot.cell.logical_box
    # Logical pixels from the corner of the cell: small numbers, for which single precision is plenty.
    x, y = (columns.astype(f32) + f32(0.5)) / ratio, (rows.astype(f32) + f32(0.5)) / ratio
    out = np.zeros(len(own), f32)
    kind, rise = roofs.kind[own], roofs.rise.astype(f32)
    gabled = np.flatnonzero(kind == GABLED)
    if len(gabled):
        b = own[gabled]
        across_x, across_y = -np.sin(roofs.turn), np.cos(roofs.turn)
        axis = ((roofs.x - left) * across_x + (roofs.y - top) * across_y).astype(f32)
        offset = np.abs(x[gabled] * across_x.astype(f32)[b] + y[gabled] * across_y.astype(f32)[b] - axis[b])
        out[gabled] = np.maximum(roofs.half.astype(f32)[b] - offset, f32(0)) * rise[b]
    hipped = np.flatnonzero(kind == HIPPED)
    if len(hipped):
        b = own[hipped]
        out[hipped] = _inner_distance(layer, b, x[hipped], y[hipped], (left, top)) * rise[b]
    return out


def _inner_distance(
    layer: VectorLayer, own: Ints, x: NDArray[np.float32], y: NDArray[np.float32], corner: tuple[float, float]
) -> NDArray[np.float32]:
    """Measure from places inside buildings to the nearest wall, exactly: each against every edge of its building."""
    coords = (layer.coords - np.array(corner)).astype(f32)
    ax, ay = coords[:-1, 0], coords[:-1, 1]
    dx, dy = coords[1:, 0] - ax, coords[1:, 1] - ay
    dx[layer.rings[1:-1] - 1] = dy[layer.rings[1:-1] - 1] = f32(0)  # the step between two rings is no wall
    squared = np.maximum(dx * dx + dy * dy, f32(1e-9))
    first = layer.rings[layer.features[:-1]]
    count = layer.rings[layer.features[1:]] - first - 1
    # Those with most edges first, so that the k-th edges are wanted for a shrinking run of places.
    order = np.argsort(-count[own], kind="stable")
    own, x, y = own[order], x[order], y[order]
    left = np.searchsorted(-count[own], -np.arange(int(count[own].max())), side="left")
    best = np.full(len(own), np.inf, f32)
    for k, n in enumerate(left.tolist()):
        edge = first[own[:n]] + k
        ex, ey = dx[edge], dy[edge]
        px, py = x[:n] - ax[edge], y[:n] - ay[edge]
        share = np.clip((px * ex + py * ey) / squared[edge], f32(0), f32(1))
        px -= share * ex
        py -= share * ey
        np.minimum(best[:n], px * px + py * py, out=best[:n])
    out = np.empty(len(own), f32)
    out[order] = np.sqrt(best)
    return out
