"""Small things put down by hand: each kind knows where it belongs."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from mapstyle.engines.painter.brush import Brush, Share
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.diorama.sheets import KINDS, MODELS, TURNS, sheet
from mapstyle.engines.painter.diorama.stamps import Lattice, lattice, place, share
from mapstyle.engines.painter.diorama.surface import (
    OCCUPIED,
    bounds,
    byte,
    homesteads,
    occupied,
    parcel_hash,
    shrink,
    smear,
    spread,
    toy,
)
from mapstyle.layers import LandClass

f32 = np.float32
Mask = NDArray[np.uint8]
_MOORING = 7.0
_HOME = 10
_LARGEST = 2.0
"""Logical pixels a metre is at most taken for; cells are at most :data:`_WIDEST` pixels."""
_WIDEST = 19


class Objects(Brush):
    """Puts down things of one kind, each whole and in a fitting place."""

    brush: Literal["objects"] = "objects"
    needs: ClassVar[frozenset[str]] = OCCUPIED | {
        "landcover", "parcel", "shore", "ocean", "roof", "roof_kind", "building_id",
    }  # fmt: skip
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "height", "bump"})
    levels: tuple[float, float] = (15.5, 30.0)

    what: Literal[
        "boat", "sail", "chimney", "roof_gear", "terrace", "pool", "bed", "bale", "beast", "boulder", "parasol"
    ] = Field(description="the thing")
    land: Mapping[str, Share] = Field(default_factory=dict, description="land class -> share of places taken")
    often: Share = Field(0.3, description="share of places taken, for what does not go by land")
    layers: int = Field(1, ge=1, le=4, description="lattices laid over each other")
    parcels: Share = Field(1.0, description="share of parcels that have any")
    stream: int = Field(500, description="stream of the noise")

    @field_validator("land")
    @classmethod
    def _known(cls, land: Mapping[str, float]) -> Mapping[str, float]:
        for name in land:
            if name.upper() not in LandClass.__members__:
                raise ValueError(f"no land class '{name}'")
        return land

    @property
    def reach(self) -> int:
        """One cell, and the look around from its middle."""
        return _WIDEST + max(_HOME + 1, math.ceil(_MOORING) + 1)

    def paint(self, canvas: Canvas) -> None:
        """Put them down."""
        metre = round(min(toy(canvas) / canvas.s, _LARGEST), 3)
        cell = min(_WIDEST, math.ceil(MODELS[self.what][1] * metre) + 1)
        if self.what == "chimney":
            cell = max(cell, 5)
        free = self._free(canvas, metre)
        if free is None or bounds(free) is None:
            return
        pictures = sheet(self.what, cell, metre, canvas.s)
        density = np.full(256, self.often if not self.land else 0.0, f32)
        for name, value in self.land.items():
            density[LandClass[name.upper()]] = value
        middle = np.full((1, 1, 2), cell * canvas.s // 2, np.int64)
        for layer in range(self.layers):
            cells = lattice(canvas, cell, layer, self.stream)
            if cells is None:
                return
            wanted = density[cells.at(canvas.control("landcover"), middle)]
            kept = (cells.at(free, middle) > 0) & (share(cells.hashed, 1) < wanted)
            if self.parcels < 1:
                kept &= cells.at(byte(parcel_hash(canvas), 3), middle) < 256 * self.parcels
            kind = np.floor(share(cells.hashed, 2) * f32(KINDS)).astype(np.int64)
            turn = self._turn(canvas, cells, middle)
            place(canvas, cells, pictures, kept, turn * KINDS + kind)

    def _turn(self, canvas: Canvas, cells: Lattice, middle: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.what == "bed":
            return cells.at(byte(parcel_hash(canvas), 2) & np.uint8(15), middle).astype(np.int64)
        if self.what == "boat":
            # Moored at right angles to the pier.
            gx = cells.at(canvas.keep("pier_x", lambda: _lean(canvas, 1, 0)), middle)
            gy = cells.at(canvas.keep("pier_y", lambda: _lean(canvas, 0, 1)), middle)
            steep = np.arctan2(gy.astype(np.float64), gx.astype(np.float64))
            return (np.rint(steep * (TURNS / np.pi)).astype(np.int64)) % TURNS
        return (share(cells.hashed, 3) * f32(TURNS)).astype(np.int64)

    def _free(self, canvas: Canvas, metre: float) -> Mask | None:
        """Mark where the middle of a thing may lie."""
        s = canvas.s
        if self.what in ("chimney", "roof_gear", "terrace"):
            if "building" not in canvas.scene:
                return None
            kind = canvas.control("roof_kind")
            solid = (canvas.control("building") > 200).view(np.uint8)
            if self.what == "chimney":
                ridge = canvas.control("roof") > f32(0.55 + 0.35 * metre)
                return shrink(solid, min(1.0 * metre * s, 4.0 * s)) & ((kind > 1) & ridge).view(np.uint8)
            room = min((2.6 if self.what == "roof_gear" else 3.3) * metre * s, 8.0 * s)
            return shrink(solid & (kind == 1).view(np.uint8), room)
        if self.what in ("boat", "sail"):
            return self._afloat(canvas, metre)
        table = np.zeros(256, np.uint8)
        for name in self.land:
            table[LandClass[name.upper()]] = 1
        here = cv2.LUT(canvas.control("landcover"), table)
        if not here.any():
            return None
        if self.what in ("pool", "bed"):
            if "building" not in canvas.scene:
                return None
            here &= (homesteads(canvas, _HOME) > 90).view(np.uint8)
        room = min(MODELS[self.what][1] * 0.36 * metre, 6.0) * s
        taken = spread((occupied(canvas) > 90).view(np.uint8), max(room - 1.0 * s, 0.5 * s))
        return here & (taken == 0).view(np.uint8)

    def _afloat(self, canvas: Canvas, metre: float) -> Mask | None:
        if "water_area" not in canvas.scene:
            return None
        shore = canvas.control("shore")
        if self.what == "sail":
            return ((shore > f32(22.0)) & (canvas.control("ocean") > 0)).view(np.uint8)
        if "pier" not in canvas.scene:
            return None
        s = canvas.s
        pier = (canvas.control("pier") > 90).view(np.uint8)
        near = spread(pier, min(_MOORING, 6.5 * metre) * s)
        blocked = spread(pier, min(_MOORING, 3.2 * metre) * s)
        wet = (canvas.control("water_area") > 200) & (shore > f32(1.9 * metre))
        return near & ((blocked == 0) & wet & (canvas.control("building") == 0)).view(np.uint8)


def _lean(canvas: Canvas, dx: int, dy: int) -> NDArray[np.float32]:
    """Give the slope of the blurred piers: it points to the nearest. Reach: 8."""
    near = canvas.keep("pier_near", lambda: smear(canvas.cover("pier"), 2.2 * canvas.s))
    return cv2.Sobel(near, cv2.CV_32F, dx, dy, ksize=3, borderType=cv2.BORDER_REPLICATE)
