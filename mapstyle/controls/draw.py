"""Draw geometry on a cell: exact fractional widths by supersampling, coordinates made small first."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Protocol

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from mapstyle.frame import Frame
from mapstyle.layers import VectorLayer, spans

SUPER = 4
"""Sub-pixels on the side of a real pixel when coverage is drawn."""
SHIFT = 4
"""Fractional bits of the coordinates given to OpenCV."""
FAR = 64.0
"""Real pixels beyond a cell at which geometry is cut off; OpenCV's fixed point overflows silently."""
FITS = 1e7
"""Sub-pixels that safely fit into fixed point; what lies beyond belongs to features that are cut off."""
THINNEST = 4.0
"""Sub-pixels: thinner lines are drawn this wide, and as much fainter. ``cv2.fillPoly`` moves corners to whole
(sub-)pixels whatever their fraction says, so a line thinner than that would swell and shrink."""
GAIN, LOSS = 0.48, 0.19
"""Sub-pixels by which a slanting edge lies too far out as it is painted, and too far in after :meth:`Easel.coverage`
of corners (measured: the mean over all directions)."""
QUARTER = 4
"""Segments to a quarter circle of caps and joins: 2 % short of a circle at most."""

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]


class Lines(Protocol):
    """Lines as ragged arrays; the fields mean what they mean in a :class:`~mapstyle.layers.VectorLayer`."""

    @property
    def coords(self) -> Floats:
        """float64[n, 2], logical pixels."""

    @property
    def rings(self) -> NDArray[np.int64]:
        """int64[r + 1], where each line starts in ``coords``."""

    @property
    def features(self) -> NDArray[np.int64]:
        """int64[f + 1], where each feature starts in ``rings``."""


class Easel:
    """A cell's coordinate system at some supersampling.

    ``cv2.fillPoly`` paints all that lies within about half a (sub-)pixel of a polygon, so areas come out too
    large on every side. Two ways round it:

    - *corners*: what is painted are the corners of sub-pixels, and a sub-pixel counts when its four corners
      are painted (:meth:`coverage`). For unions of areas.
    - else sub-pixels are painted at their centres, and lines are made thinner by what they gain. For index
      images of lines, and of areas where half a pixel does not matter.

    World pixel ``i`` covers ``[i, i + 1)``.
    """

    def __init__(self, frame: Frame, sub: int = 1, corners: bool = False) -> None:
        self.frame, self.sub, self.corners = frame, sub, corners
        self.shape = frame.height * sub + corners, frame.width * sub + corners
        self.scale = float(frame.grid.pixel_ratio * sub)
        self._origin = np.array([frame.column * sub, frame.row * sub], np.float64)
        self._offset = 0.0 if corners else 0.5

    def blank(self, dtype: type = np.uint8) -> NDArray[Any]:
        """Give an empty image of the cell."""
        return np.zeros(self.shape, dtype)

    def place(self, coords: Floats) -> Floats:
        """Bring logical pixels of the grid to sub-pixels of the cell, continuous."""
        return coords * self.scale - self._origin

    def fixed(self, local: Floats) -> Ints:
        """Bring continuous sub-pixels to OpenCV's fixed point."""
        return np.rint((local - self._offset) * (1 << SHIFT)).astype(np.int32)

    def outlines(self, layer: VectorLayer) -> Iterator[list[Ints]]:
        """Give each feature's rings ready for filling, cut off outside the cell."""
        local = self.place(layer.coords)
        far = FAR * self.sub
        right, bottom = self.shape[1] + far, self.shape[0] + far
        box = self.place(layer.boxes.reshape(-1, 2)).reshape(-1, 4)
        whole = (box[:, 0] >= -far) & (box[:, 1] >= -far) & (box[:, 2] <= right) & (box[:, 3] <= bottom)
        fixed = self.fixed(np.clip(local, -FITS, FITS))
        features, rings = layer.features.tolist(), layer.rings.tolist()
        for i, (first, last) in enumerate(pairwise(features)):
            if whole[i]:
                yield [fixed[a:b] for a, b in pairwise(rings[first : last + 1])]
                continue
            cut = (clip_ring(local[a:b], -far, -far, right, bottom) for a, b in pairwise(rings[first : last + 1]))
            yield [self.fixed(ring) for ring in cut if len(ring) > 2]

    def fill(self, image: NDArray[Any], rings: Sequence[Ints], value: int) -> None:
        """Fill rings by the even-odd rule."""
        if rings:
            cv2.fillPoly(image, rings, value, cv2.LINE_8, SHIFT)

    def fill_all(self, image: NDArray[Any], layer: VectorLayer, value: int = 255) -> None:
        """Fill every area of a layer."""
        for rings in self.outlines(layer):
            self.fill(image, rings, value)

    def strokes(self, layer: Lines, widths: Floats, flat: bool = False) -> list[list[Ints]]:
        """Give the outline of each feature's lines, drawn ``widths`` logical pixels wide, joins round.

        Ends are round, or ``flat``: cut where the line ends. Filling an outline by the even-odd rule is the
        stroke, also where a line crosses itself.
        """
        count = len(layer.features) - 1
        out: list[list[Ints]] = [[] for _ in range(count)]
        half = np.maximum(widths * self.scale, THINNEST) / 2
        sizes = np.diff(layer.rings)
        fit = np.flatnonzero(sizes > 1)
        if not len(fit):
            return out
        owner, group = np.unique(np.repeat(np.arange(count), np.diff(layer.features))[fit], return_inverse=True)
        local = self.place(layer.coords[spans(layer.rings[fit], sizes[fit])])
        lines = shapely.linestrings(local, indices=np.repeat(np.arange(len(fit)), sizes[fit]))
        lines = shapely.multilinestrings(lines, indices=group)
        # Each line is clipped at a distance that goes by its own width: the buffer of a line that is clipped elsewhere
        # differs a little, and the widest line near a cell must not move all others.
        reach = np.ceil(half[owner] / self.sub) * self.sub + 8.0 * self.sub
        for far in np.unique(reach):
            same = reach == far
            lines[same] = shapely.clip_by_rect(lines[same], -far, -far, self.shape[1] + far, self.shape[0] + far)
        wider = LOSS if self.corners else -GAIN
        shapes = shapely.buffer(lines, half[owner] + wider, quad_segs=QUARTER, cap_style="flat" if flat else "round")
        parts, line = shapely.get_parts(shapes, return_index=True)
        rings, part = shapely.get_rings(parts, return_index=True)
        points, ring = shapely.get_coordinates(rings, return_index=True)
        fixed = self.fixed(points)
        starts = np.searchsorted(ring, np.arange(len(rings) + 1)).tolist()
        for (a, b), i in zip(pairwise(starts), owner[line[part]].tolist(), strict=True):
            out[i].append(fixed[a:b])
        return out

    def strength(self, widths: Floats) -> Floats:
        """Tell how strongly lines are to be drawn, 0..1: those thinner than can be drawn are fainter."""
        return np.minimum(widths * self.scale / THINNEST, 1.0)

    def stroke_all(self, image: Bytes, layer: VectorLayer, widths: Floats, chosen: NDArray[np.bool_]) -> None:
        """Draw all chosen lines of a layer, faint ones first."""
        picked = np.flatnonzero(chosen)
        if not len(picked):
            return
        if len(picked) < len(layer):
            layer, widths = layer.pick(picked), widths[picked]
        values = np.rint(self.strength(widths) * 255).astype(int)
        strokes = self.strokes(layer, widths)
        for i in np.argsort(values, kind="stable").tolist():
            self.fill(image, strokes[i], int(values[i]))

    def coverage(self, image: Bytes) -> Bytes:
        """Shrink a supersampled 0-255 image to coverage, uint8[height, width]; the image is used up."""
        if self.corners:
            # In place: a fresh image of this size costs more than the work on it.
            image = cv2.erode(image, np.ones((2, 2), np.uint8), dst=image, anchor=(0, 0))[:-1, :-1]
        step = self.sub
        while step > 1:
            # Halving twice is ten times as fast as quartering.
            image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
            step //= 2
        return image


def clip_ring(ring: Floats, left: float, top: float, right: float, bottom: float) -> Floats:
    """Cut a ring to a box (Sutherland and Hodgman, 1974); edges along the box may be added, inside nothing changes."""
    for axis, limit, sign in ((0, left, 1.0), (0, right, -1.0), (1, top, 1.0), (1, bottom, -1.0)):
        if len(ring) < 3:
            return ring[:0]
        inside = (ring[:, axis] - limit) * sign
        kept = inside >= 0
        if kept.all():
            continue
        if not kept.any():
            return ring[:0]
        if (ring[0] == ring[-1]).all():
            ring, inside, kept = ring[:-1], inside[:-1], kept[:-1]
        after = np.arange(1, len(ring) + 1)
        after[-1] = 0
        crosses = np.flatnonzero(kept != kept[after])
        share = inside[crosses] / (inside[crosses] - inside[after[crosses]])
        met = ring[crosses] + (ring[after[crosses]] - ring[crosses]) * share[:, None]
        met[:, axis] = limit
        # Where an edge crosses, the place where it does follows its first vertex.
        order = np.argsort(np.concatenate([np.flatnonzero(kept), crosses + 0.5]), kind="stable")
        ring = np.concatenate([ring[kept], met])[order]
    return ring


def short_ids(ids: NDArray[np.uint64]) -> Ints:
    """Fold 64-bit ids to 31 bits, never 0, which is nothing."""
    folded = ((ids ^ (ids >> np.uint64(32))) & np.uint64(0x7FFFFFFF)).astype(np.int64)
    return np.maximum(folded, 1).astype(np.int32)
