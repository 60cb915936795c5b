"""Buildings: coverage, ids, heights, and roofs."""

import math

import cv2
import numpy as np

from mapstyle.controls.cells import Planes
from mapstyle.controls.draw import SUPER, Easel, near, short_ids
from mapstyle.frame import Frame
from mapstyle.layers import LayerKind, Layers, VectorLayer
from mapstyle.levels import Levels
from mapstyle.noise import hash_ids, unit

HIP_REACH = 28
"""Logical pixels beyond a cell that a hipped roof's inner distance looks at."""
GABLE_FILL, GABLE_WIDTH, HIP_WIDTH, HIP_AREA = 0.72, 15.0, 24.0, 900.0
"""Shares and metres that decide a roof: see docs/log.md; measured by eye on two towns."""
_FLAT = frozenset(
    {
        "apartments", "commercial", "retail", "office", "industrial", "warehouse", "hospital", "parking", "garage",
        "garages", "hangar", "supermarket", "terminal", "tower", "roof", "castle", "greenhouse",
    }
)  # fmt: skip
_PITCHED = frozenset(
    {"house", "detached", "terrace", "farm", "church", "chapel", "barn", "townhall", "school", "cathedral"}
)
_DEFAULT = {
    "church": 18.0, "cathedral": 30.0, "chapel": 9.0, "tower": 28.0, "garage": 2.8, "garages": 2.8, "shed": 2.6,
    "hut": 2.6, "roof": 4.0, "apartments": 14.0, "hotel": 16.0, "office": 16.0, "industrial": 8.0, "warehouse": 8.5,
    "farm": 7.0, "barn": 7.0, "house": 6.0, "detached": 6.0, "hospital": 14.0, "station": 10.0, "castle": 16.0,
    "lighthouse": 30.0, "greenhouse": 3.5, "terminal": 11.0, "hangar": 10.0,
}  # fmt: skip
"""Metres to the eaves where the data says nothing (judgement)."""


def eaves(layer: VectorLayer) -> np.ndarray:
    """Give heights of eaves in metres, float64[f]: as tagged, else by kind, else by size and a hash of the id."""
    square_metres = layer.area / np.maximum(layer.scale, 1e-9) ** 2
    luck = unit(hash_ids(layer.ids.view(np.int64), 17)).astype(float)
    guess = np.where(square_metres < 45, 3.0, np.where(square_metres < 300, 5.0 + 2.2 * luck, 7.0 + 3.0 * luck))
    kinds = np.array([_DEFAULT.get(str(d), math.nan) for d in layer.detail], float)
    guess = np.where(np.isfinite(kinds), kinds, guess)
    known = np.asarray(layer.height, float)
    return np.clip(np.where(np.isfinite(known), known, guess), 1.5, 400.0)


def draw_buildings(layers: Layers, levels: Levels, cell: Frame, reach: int = HIP_REACH) -> Planes:
    """Draw all building planes; smaller buildings over larger."""
    if not levels.shows(LayerKind.BUILDING, cell.grid.level):
        return {}
    wide = cell.pad(reach)
    layer = layers.read(wide).areas.get(LayerKind.BUILDING)
    if layer is None or not len(layer):
        return {}
    ratio = cell.grid.pixel_ratio
    fine, easel = Easel(cell, SUPER), Easel(wide)
    cover, index = fine.blank(np.uint8), easel.blank(np.int32)
    order = sorted(layer.hits(near(wide, 0)).tolist(), key=lambda i: (-layer.area[i], int(layer.ids[i])))
    for i in order:
        rings = fine.rings(layer, i)
        if rings:
            cv2.fillPoly(cover, rings, 255, cv2.LINE_8, 4)
        easel.fill(index, layer, i, i + 1)
    coverage = fine.coverage(cover)
    if not coverage.any():
        return {}
    heights = np.concatenate([[0.0], eaves(layer) * layer.scale])
    kind, cx, cy, turn, half, pitch = _roofs(layer, order)
    names = np.concatenate([[0], short_ids(layer.ids)]).astype(np.uint32)
    inner = index[cell.slices(wide)]
    roof = np.zeros(cell.shape, np.float32)
    y, x = np.nonzero(inner)
    own = inner[y, x]
    across = (x + cell.column + 0.5) / ratio, (y + cell.row + 0.5) / ratio
    offset = np.abs(-(across[0] - cx[own]) * np.sin(turn[own]) + (across[1] - cy[own]) * np.cos(turn[own]))
    gable = np.clip(half[own] - offset, 0.0, None) * pitch[own]
    roof[y, x] = np.where(kind[own] == 2, gable, 0.0)
    if (kind[1:] == 3).any():
        # Each building is its own island: a line between neighbours is the outside of both.
        mask = (kind[index] == 3).astype(np.uint8)
        mask[:, 1:][index[:, 1:] != index[:, :-1]] = 0
        mask[1:][index[1:] != index[:-1]] = 0
        inside = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[cell.slices(wide)]
        limit = np.float32(reach * ratio)
        rise = np.rint(np.minimum(inside, limit) * np.float32(64 / ratio)) / np.float32(64)
        hip = kind[inner] == 3
        roof[hip] = (rise * pitch[inner].astype(np.float32))[hip]
    return {
        "building": coverage,
        "building_id": names[inner],
        "building_height": heights[inner].astype(np.float32),
        "roof": roof,
        "roof_kind": kind[inner].astype(np.uint8),
    }


def _roofs(layer: VectorLayer, order: list[int]) -> tuple[np.ndarray, ...]:
    """Give kind, centre, ridge direction, half width and rise of every building; row 0 is nothing."""
    n = len(layer) + 1
    kind = np.zeros(n, np.int64)
    cx, cy, turn, half, pitch = (np.zeros(n) for _ in range(5))
    for i in order:
        ring = layer.parts(i)[0]
        origin = ring[0]
        (x, y), (long, short), angle = cv2.minAreaRect((ring - origin).astype(np.float32))
        if long < short:
            long, short, angle = short, long, angle + 90.0
        scale = max(float(layer.scale[i]), 1e-9)
        metres, fill = short / scale, layer.area[i] / max(long * short, 1e-9)
        detail = str(layer.detail[i])
        flat = detail in _FLAT
        k = i + 1
        cx[k], cy[k], turn[k], half[k] = origin[0] + x, origin[1] + y, math.radians(angle), short / 2
        wide_ok = GABLE_WIDTH * (1.6 if detail in _PITCHED else 1.0)
        if not flat and fill > GABLE_FILL and metres < wide_ok:
            kind[k], pitch[k] = 2, 1.3 if detail in ("church", "cathedral", "chapel") else 0.85
        elif not flat and metres < HIP_WIDTH and layer.area[i] / scale**2 < HIP_AREA:
            kind[k], pitch[k] = 3, 0.7
        else:
            kind[k] = 1
    return kind, cx, cy, turn, half, pitch
