"""How high buildings are, and what roofs they have."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.layers import VectorLayer
from mapstyle.noise import hash_ids, unit

FLAT, GABLED, HIPPED = 1, 2, 3
"""Kinds of roof, as in the plane ``roof_kind``; 0 is none."""
GABLE_FILL = 0.72
"""Share of its smallest rectangle that a building fills if it has a gable."""
GABLE_WIDTH, HIP_WIDTH = 15.0, 24.0
"""Metres across the smallest rectangle up to which a building has a gable or a hip."""
HIP_AREA = 900.0
"""Square metres up to which a building has a hip."""
HIP_CORNERS = 40
"""Edges up to which a building has a hip; with more it is something else, and costly."""
GABLE_RISE, HIP_RISE, CHURCH_RISE = 0.85, 0.7, 1.3
"""Rise over run of a roof."""
LOWEST, HIGHEST = 1.5, 500.0
"""Metres to the eaves at least and at most."""
_STANDING = 0.55
"""Share of a known height that is wall, at least."""

_FLAT = frozenset(
    {
        "apartments", "commercial", "retail", "office", "industrial", "warehouse", "hospital", "parking", "garage",
        "garages", "hangar", "supermarket", "terminal", "tower", "roof", "castle", "greenhouse", "carport", "bunker",
        "storage_tank", "silo", "stadium", "grandstand", "lighthouse", "hotel",
    }
)  # fmt: skip
_PITCHED = frozenset(
    {
        "house", "detached", "semidetached_house", "terrace", "farm", "barn", "townhall", "school", "church",
        "chapel", "cathedral", "monastery", "farm_auxiliary", "stable", "bungalow",
    }
)  # fmt: skip
_CHURCH = frozenset({"church", "chapel", "cathedral", "monastery"})
_EAVES = {
    "church": 12.0, "cathedral": 20.0, "chapel": 6.0, "monastery": 10.0, "tower": 28.0, "lighthouse": 30.0,
    "garage": 2.8, "garages": 2.8, "carport": 2.6, "shed": 2.6, "hut": 2.6, "roof": 4.0, "kiosk": 3.0, "bunker": 3.0,
    "greenhouse": 3.5, "cabin": 3.0, "bungalow": 3.4, "house": 5.6, "detached": 5.6, "semidetached_house": 5.8,
    "terrace": 6.2, "residential": 7.5, "apartments": 14.0, "hotel": 16.0, "office": 16.0, "commercial": 10.0,
    "retail": 7.0, "supermarket": 6.5, "industrial": 8.0, "warehouse": 8.5, "hangar": 10.0, "terminal": 11.0,
    "station": 9.0, "train_station": 9.0, "school": 9.0, "hospital": 14.0, "townhall": 10.0, "castle": 16.0,
    "farm": 6.0, "barn": 5.0, "farm_auxiliary": 4.5, "stable": 4.0, "stadium": 18.0, "grandstand": 10.0,
    "silo": 14.0, "storage_tank": 9.0, "parking": 9.0,
}  # fmt: skip
"""Metres to the eaves where the data says nothing (judgement)."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Roofs:
    """Buildings' heights and roofs, by feature.

    Attributes:
        kind: int64[f].
        eaves: float64[f], metres.
        rise: float64[f], rise over run of the slopes; 0 where flat.
        x, y: float64[f], logical pixels, middle of the smallest rectangle.
        turn: float64[f], radians, direction of its longer side.
        half: float64[f], logical pixels, half its shorter side.
    """

    kind: NDArray[np.int64]
    eaves: Floats
    rise: Floats
    x: Floats
    y: Floats
    turn: Floats
    half: Floats


def roofs_of(layer: VectorLayer) -> Roofs:
    """Work out heights and roofs from whole buildings, each at its own scale."""
    x, y, turn, half, long = _rectangles(layer)
    scale = np.maximum(layer.scale, 1e-9)
    across, square_metres = 2 * half / scale, layer.area / scale**2
    fill = layer.area / np.maximum(2 * half * long, 1e-9)
    detail = [str(d) for d in layer.detail]
    flat = np.array([d in _FLAT for d in detail], np.bool_)
    pitched = np.array([d in _PITCHED for d in detail], np.bool_)
    church = np.array([d in _CHURCH for d in detail], np.bool_)
    edges = layer.rings[layer.features[1:]] - layer.rings[layer.features[:-1]]
    gabled = ~flat & (fill > GABLE_FILL) & (across < GABLE_WIDTH * np.where(pitched, 1.6, 1.0))
    hipped = ~flat & ~gabled & (across < HIP_WIDTH * np.where(pitched, 1.6, 1.0))
    hipped &= ((square_metres < HIP_AREA) | pitched) & (edges <= HIP_CORNERS)
    kind = np.where(gabled, GABLED, np.where(hipped, HIPPED, FLAT))
    rise = np.where(gabled, np.where(church, CHURCH_RISE, GABLE_RISE), np.where(hipped, HIP_RISE, 0.0))
    luck = unit(hash_ids(layer.ids.view(np.int64), 17)).astype(np.float64)
    guess = np.where(square_metres < 300, 5.0 + 2.2 * luck, 7.0 + 3.0 * luck)
    guess = np.where(square_metres < 45, 3.0, guess)
    usual = np.array([_EAVES.get(d, math.nan) for d in detail], np.float64)
    guess = np.where(np.isfinite(usual), usual * (0.9 + 0.2 * luck), guess)
    top = layer.height.astype(np.float64)
    # Where the height of the top is known, a steep roof may not take all of it.
    rise = np.where(np.isfinite(top), np.minimum(rise, (1 - _STANDING) * top / np.maximum(across / 2, 0.1)), rise)
    known = top - rise * across / 2
    eaves = np.clip(np.where(np.isfinite(top), known, guess), LOWEST, HIGHEST)
    return Roofs(kind, eaves, rise, x, y, turn, half)


def _rectangles(layer: VectorLayer) -> tuple[Floats, ...]:
    """Give middle, direction, half the shorter and all of the longer side of each building's smallest rectangle."""
    out = np.zeros((5, len(layer)))
    starts = layer.rings[layer.features]
    for i, ring in enumerate(layer.features[:-1].tolist()):
        outer = layer.coords[layer.rings[ring] : layer.rings[ring + 1]]
        if layer.features[i + 1] - ring > 1:
            outer = layer.coords[starts[i] : starts[i + 1]]  # parts and holes: the rectangle of all
        (cx, cy), (long, short), angle = cv2.minAreaRect((outer - outer[0]).astype(np.float32))
        if long < short:
            long, short, angle = short, long, angle + 90.0
        out[:, i] = outer[0, 0] + cx, outer[0, 1] + cy, math.radians(angle), short / 2, long
    return tuple(out)
