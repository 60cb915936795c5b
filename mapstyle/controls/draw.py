"""Draw geometry on a cell: fractional widths by supersampling, coordinates made small first."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.frame import Frame
from mapstyle.layers import VectorLayer

SUPER = 4
"""Sub-pixels on the side of a real pixel when coverage is drawn."""
SHIFT = 4
"""Fractional bits of the coordinates given to OpenCV."""
FAR = 1024.0
"""Real pixels beyond a cell at which geometry is cut off before it is drawn."""

Ints = NDArray[np.int32]


class Easel:
    """A cell's coordinate system at some supersampling.

    World pixel ``i`` covers ``[i, i + 1)``, while OpenCV puts pixel ``i``'s centre at ``i``: hence the half.
    """

    def __init__(self, frame: Frame, sub: int = 1) -> None:
        self.frame, self.sub = frame, sub
        self.shape = (frame.height * sub, frame.width * sub)
        self._scale = float(frame.grid.pixel_ratio * sub)
        self._origin = np.array([frame.column * sub, frame.row * sub], float)

    def place(self, coords: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring logical pixels of the grid to sub-pixels of the cell, continuous."""
        return coords * self._scale - self._origin

    def fixed(self, local: NDArray[np.float64]) -> Ints:
        """Bring continuous sub-pixels to OpenCV's fixed point."""
        ready = (local - 0.5) * (1 << SHIFT)
        np.rint(ready, out=ready)
        return np.clip(ready, -(2.0**30), 2.0**30).astype(np.int32)

    def blank(self, dtype: type = np.uint8) -> NDArray[Any]:
        """Give an empty image of the cell."""
        return np.zeros(self.shape, dtype)

    def rings(self, layer: VectorLayer, feature: int) -> list[Ints]:
        """Give a feature's rings ready for filling, cut off far outside the cell."""
        left, top, right, bottom = layer.boxes[feature]
        west, north, east, south = self.frame.logical_box
        far = FAR / self.frame.grid.pixel_ratio
        huge = left < west - far or top < north - far or right > east + far or bottom > south + far
        out = []
        for ring in layer.parts(feature):
            local = self.place(ring)
            if huge:
                local = clip_ring(
                    local,
                    -FAR * self.sub,
                    -FAR * self.sub,
                    self.shape[1] + FAR * self.sub,
                    self.shape[0] + FAR * self.sub,
                )
            if len(local) >= 3:
                out.append(self.fixed(local))
        return out

    def fill(self, image: NDArray[Any], layer: VectorLayer, feature: int, value: int) -> None:
        """Fill an area, holes kept."""
        rings = self.rings(layer, feature)
        if rings:
            cv2.fillPoly(image, rings, value, cv2.LINE_8, SHIFT)

    def stroke(
        self,
        image: NDArray[Any],
        layer: VectorLayer,
        feature: int,
        width: float,
        value: int,
        closed: bool = False,
    ) -> None:
        """Draw a line ``width`` logical pixels wide, caps and joins round."""
        # OpenCV draws a line of thickness t one pixel wider, but for t = 1.
        thick = max(1, round(width * self._scale) - 1)
        lines = [self.fixed(self.place(part)) for part in layer.parts(feature) if len(part) > 1]
        if lines:
            cv2.polylines(image, lines, closed, value, thick, cv2.LINE_8, SHIFT)

    def coverage(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Shrink a supersampled 0/255 image to coverage by halving: mean of every 2 x 2, again and again."""
        step = self.sub
        while step > 1:
            image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
            step //= 2
        return image


def clip_ring(ring: NDArray[np.float64], left: float, top: float, right: float, bottom: float) -> NDArray[np.float64]:
    """Cut a ring to a box (Sutherland and Hodgman, 1974); edges along the box may be added, inside nothing changes."""
    for axis, limit, sign in ((0, left, 1.0), (0, right, -1.0), (1, top, 1.0), (1, bottom, -1.0)):
        if len(ring) < 3:
            return ring[:0]
        if (ring[0] == ring[-1]).all():
            ring = ring[:-1]
        inside = (ring[:, axis] - limit) * sign
        ahead_in, ahead = np.roll(inside, -1), np.roll(ring, -1, axis=0)
        crosses = (inside >= 0) != (ahead_in >= 0)
        if not crosses.any():
            if inside[0] < 0:
                return ring[:0]
            continue
        span = np.where(crosses, inside - ahead_in, 1.0)
        met = ring + (ahead - ring) * (inside / span)[:, None]
        met[:, axis] = np.where(crosses, limit, met[:, axis])
        both = np.stack([ring, met], axis=1).reshape(-1, 2)
        ring = both[np.stack([inside >= 0, crosses], axis=1).reshape(-1)]
    return ring


def near(frame: Frame, margin: float) -> tuple[float, float, float, float]:
    """Give a frame's box in logical pixels, widened."""
    left, top, right, bottom = frame.logical_box
    return left - margin, top - margin, right + margin, bottom + margin


def short_ids(ids: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Fold 64-bit ids to 31 bits, never 0, which is nothing."""
    folded = ((ids ^ (ids >> np.uint64(32))) & np.uint64(0x7FFFFFFF)).astype(np.int64)
    return np.maximum(folded, 1).astype(np.int32)
