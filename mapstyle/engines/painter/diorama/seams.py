"""Seams between parcels: some carry a hedge, some a fence, the others are left to the grass."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mapstyle.engines.painter.brush import Brush, Share, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.diorama.surface import (
    OCCUPIED,
    OCCUPIED_REACH,
    bounds,
    lay,
    occupied,
    soften,
)
from mapstyle.layers import LandClass

f32 = np.float32
Mask = NDArray[np.uint8]

HEDGED = 96
FENCED = 150
"""Of 256 pairs of neighbours so many share a hedge, and up to here a fence."""
_OPEN = (
    LandClass.GROUND, LandClass.FARMLAND, LandClass.MEADOW, LandClass.GRASS, LandClass.ORCHARD,
    LandClass.VINEYARD, LandClass.PARK, LandClass.GARDEN, LandClass.CEMETERY, LandClass.RESIDENTIAL,
    LandClass.PITCH, LandClass.HEATH, LandClass.AERODROME, LandClass.INSTITUTION, LandClass.INDUSTRIAL,
)  # fmt: skip


@dataclass(frozen=True)
class Seams:
    """Where the seams run, 1 or 0, two pixels wide: all, the hedged and the fenced."""

    every: Mask
    hedge: Mask
    fence: Mask


def seams(canvas: Canvas) -> Seams:
    """Find the seams of a window. Reach: 2."""
    every = canvas.keep("seams", lambda: np.stack(_find(canvas)))
    return Seams(every[0], every[1], every[2])


def _find(canvas: Canvas) -> tuple[Mask, Mask, Mask]:
    parcel, land = canvas.control("parcel"), canvas.control("landcover")
    table = np.zeros(256, np.uint8)
    table[[int(c) for c in _OPEN]] = 1
    is_open = cv2.LUT(land, table)
    every, hedge, fence = (np.zeros(parcel.shape, np.uint8) for _ in range(3))
    both = (slice(None), slice(None, -1)), (slice(None), slice(1, None))
    down = (slice(None, -1), slice(None)), (slice(1, None), slice(None))
    for here, there in (both, down):
        pair = parcel[here] ^ parcel[there]
        seam = (pair != 0).view(np.uint8) & is_open[here] & is_open[there]
        # The pair is the same from either side, so a seam is of one kind along its whole length.
        pair *= np.uint32(0x9E3779B1)
        kind = (pair >> np.uint32(24)).astype(np.uint8)
        hedged = seam & (kind < np.uint8(HEDGED)).view(np.uint8)
        fenced = seam & (kind < np.uint8(FENCED)).view(np.uint8) & (np.uint8(1) - hedged)
        for plane, found in ((every, seam), (hedge, hedged), (fence, fenced)):
            plane[here] |= found
            plane[there] |= found
    if canvas.s > 1:  # as wide in logical pixels at any ratio
        wide = np.ones((canvas.s, canvas.s), np.uint8)
        return cv2.dilate(every, wide), cv2.dilate(hedge, wide), cv2.dilate(fence, wide)
    return every, hedge, fence


class Fences(Brush):
    """Rough grass along every seam, and post-and-rail fences along some."""

    brush: Literal["fences"] = "fences"
    needs: ClassVar[frozenset[str]] = OCCUPIED | {"parcel", "landcover"}
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "height", "bump"})
    levels: tuple[float, float] = (14.5, 30.0)

    balk: Share = Field(0.45, description="how far the unmown strip darkens the seam")
    rails: Share = Field(0.75, description="strength of a fence's rails")

    @property
    def reach(self) -> int:
        """Softening of the strip."""
        return OCCUPIED_REACH + 4

    def paint(self, canvas: Canvas) -> None:
        """Draw strips, posts and rails."""
        found = seams(canvas)
        box = bounds(found.every, 4 * canvas.s)
        if box is None:
            return
        s = canvas.s
        free = f32(1) - np.minimum(occupied(canvas)[box].astype(f32) * f32(1 / 90), f32(1))
        strip = soften(found.every[box] * np.uint8(255), 0.9 * s)
        strip *= free
        lay(canvas.planes["albedo"], rgb("#6d7a40"), strip * f32(self.balk), box)
        canvas.planes["bump"][box] += strip * f32(0.35 * s)
        if not found.fence.any():
            return
        rows, columns = found.fence.shape
        y = (canvas.frame.row + np.arange(rows)[box[0]])[:, None] // s
        x = (canvas.frame.column + np.arange(columns)[box[1]])[None, :] // s
        posts = (((x % 4 == 0) | (y % 4 == 0)) & (found.fence[box] > 0)).astype(np.uint8)
        line = soften(found.fence[box] * np.uint8(255), 0.45 * s)
        line *= free
        lay(canvas.planes["albedo"], rgb("#8d7455"), line * f32(0.7 * self.rails), box)
        post = soften(posts * np.uint8(255), 0.4 * s)
        post *= free
        lay(canvas.planes["albedo"], rgb("#d8c8a8"), post * f32(0.9 * self.rails), box)
        line += post
        canvas.planes["height"][box] += line * f32(0.9 * s)
