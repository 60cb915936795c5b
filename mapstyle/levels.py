"""What appears from which level, and how wide a line is there."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mapstyle.layers import LayerKind

K = LayerKind

APPEARS: Mapping[LayerKind, float] = {
    K.OCEAN: 0, K.COAST: 0, K.GLACIER: 3, K.WATER: 3, K.RIVER: 4, K.WOOD: 7, K.FARMLAND: 9, K.RESIDENTIAL: 8,
    K.MEADOW: 10, K.GRASS: 11, K.SCRUB: 10, K.HEATH: 10, K.WETLAND: 10, K.BEACH: 10, K.ROCK: 9, K.QUARRY: 11,
    K.PARK: 10, K.GARDEN: 13, K.CEMETERY: 12, K.PITCH: 13, K.ORCHARD: 11, K.VINEYARD: 10, K.COMMERCIAL: 10,
    K.INDUSTRIAL: 9, K.INSTITUTION: 12, K.SQUARE: 13, K.PARKING: 14, K.AERODROME: 10, K.POOL: 15,
    K.BUILDING: 13.5, K.CANAL: 10, K.STREAM: 12, K.DITCH: 14,
    K.MOTORWAY: 5, K.TRUNK: 6, K.PRIMARY: 7.5, K.SECONDARY: 9, K.TERTIARY: 11, K.STREET: 12.5, K.SERVICE: 14.5,
    K.TRACK: 13.5, K.PATH: 14.5, K.STEPS: 15, K.RAIL: 8, K.TRAM: 14, K.RUNWAY: 10.5, K.TAXIWAY: 13,
    K.PIER: 13, K.BREAKWATER: 12, K.DAM: 13, K.BRIDGE: 14, K.WALL: 15, K.CITY_WALL: 14, K.BORDER: 2,
    K.TREE: 15.5, K.TREE_ROW: 14.5, K.PLACE: 0, K.POI: 14, K.PEAK: 10,
}  # fmt: skip
"""Level from which each kind is drawn; a style may override any of them."""

REAL_WIDTH: Mapping[LayerKind, float] = {
    K.MOTORWAY: 24, K.TRUNK: 16, K.PRIMARY: 12, K.SECONDARY: 10, K.TERTIARY: 8.5, K.STREET: 7, K.SERVICE: 4.5,
    K.TRACK: 3, K.PATH: 2, K.STEPS: 2.5, K.RAIL: 6.5, K.TRAM: 3.2, K.RUNWAY: 45, K.TAXIWAY: 18, K.PIER: 4,
    K.BREAKWATER: 8, K.DAM: 8, K.BRIDGE: 8, K.WALL: 0.8, K.CITY_WALL: 2.5, K.RIVER: 14, K.CANAL: 10, K.STREAM: 3,
    K.DITCH: 1.6, K.TREE_ROW: 6,
}  # fmt: skip
"""Metres across where the data does not say (typical carriageways with shoulders; judgement)."""

# Cartographic widths in logical pixels at levels 8, 12, 14, 16 and 18: what a line needs in order to be read,
# whatever its size on the ground (judgement, near what common web styles use).
_KNOTS = (5.0, 8.0, 12.0, 14.0, 16.0, 18.0)
CARTOGRAPHIC: Mapping[LayerKind, tuple[float, ...]] = {
    K.MOTORWAY: (0.9, 1.6, 3.6, 6.0, 10.0, 15.0),
    K.TRUNK: (0.7, 1.4, 3.2, 5.2, 9.0, 13.0),
    K.PRIMARY: (0.5, 1.1, 2.8, 4.8, 8.5, 12.0),
    K.SECONDARY: (0.4, 0.9, 2.2, 4.0, 7.2, 11.0),
    K.TERTIARY: (0.3, 0.7, 1.7, 3.2, 6.2, 10.0),
    K.STREET: (0.2, 0.4, 1.1, 2.3, 5.0, 9.0),
    K.SERVICE: (0.2, 0.3, 0.7, 1.4, 3.0, 6.0),
    K.TRACK: (0.2, 0.3, 0.8, 1.2, 2.0, 4.0),
    K.PATH: (0.2, 0.3, 0.6, 0.9, 1.5, 2.6),
    K.STEPS: (0.2, 0.3, 0.6, 0.9, 1.8, 3.2),
    K.RAIL: (0.5, 0.8, 1.6, 2.4, 4.2, 7.0),
    K.TRAM: (0.3, 0.5, 0.9, 1.3, 2.2, 4.0),
    K.RUNWAY: (0.5, 1.0, 3.0, 8.0, 20.0, 60.0),
    K.TAXIWAY: (0.3, 0.6, 1.4, 3.0, 8.0, 24.0),
    K.PIER: (0.3, 0.6, 1.0, 1.6, 3.0, 6.0),
    K.BREAKWATER: (0.3, 0.8, 1.4, 2.4, 4.5, 8.0),
    K.DAM: (0.3, 0.6, 1.0, 1.8, 3.5, 7.0),
    K.BRIDGE: (0.3, 0.6, 1.5, 3.0, 6.0, 10.0),
    K.WALL: (0.2, 0.3, 0.5, 0.7, 1.1, 1.8),
    K.CITY_WALL: (0.2, 0.4, 0.9, 1.4, 2.4, 4.0),
    K.BORDER: (1.0, 1.2, 1.6, 2.0, 2.4, 3.0),
    K.RIVER: (0.8, 1.3, 2.6, 4.2, 7.0, 10.0),
    K.CANAL: (0.4, 0.8, 1.8, 3.0, 5.5, 8.0),
    K.STREAM: (0.3, 0.5, 1.0, 1.6, 2.6, 4.5),
    K.DITCH: (0.2, 0.3, 0.6, 0.9, 1.5, 2.6),
    K.TREE_ROW: (0.2, 0.4, 1.0, 1.8, 4.0, 8.0),
    K.COAST: (0.8, 0.9, 1.0, 1.1, 1.2, 1.3),
}


class Levels(BaseModel):
    """A style's own say on what appears where; whatever it leaves out follows the common table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    appears: Mapping[LayerKind, float] = Field(default_factory=dict, description="kind -> level it appears from")
    width: Mapping[LayerKind, float] = Field(
        default_factory=dict, description="kind -> factor on the width of its lines"
    )

    def first(self, kind: LayerKind) -> float:
        """Give the level from which a kind is drawn."""
        return self.appears.get(kind, APPEARS[kind])

    def shows(self, kind: LayerKind, level: float) -> bool:
        """Tell whether a kind is drawn at a level."""
        return level >= self.first(kind)

    def line_width(
        self,
        kind: LayerKind,
        level: float,
        scale: NDArray[np.float64] | float,
        metres: NDArray[np.float32] | float = float("nan"),
    ) -> NDArray[np.float64]:
        """Give widths of lines in logical pixels.

        The width is the cartographic one at small scales and the real one at large scales, joined by a
        fourth-power mean so that it is continuous and never below either.

        Args:
            kind: a line kind.
            level: the grid's level.
            scale: logical pixels per metre at each feature's own place.
            metres: widths on the ground, NaN where unknown.
        """
        drawn = float(np.interp(level, _KNOTS, CARTOGRAPHIC[kind]))
        known = np.asarray(metres, dtype=np.float64)
        real = np.where(np.isfinite(known), known, REAL_WIDTH.get(kind, 0.0)) * np.asarray(scale, np.float64)
        joined = np.power(np.power(drawn, 4) + np.power(real, 4), 0.25)
        return np.asarray(joined * self.width.get(kind, 1.0))
