"""The distance to the shore of water areas."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.controls.cells import Planes, Plot
from mapstyle.controls.draw import SUPER, Bytes, Easel
from mapstyle.controls.water import water_cover
from mapstyle.layers import STILL_OR_WIDE_WATER

SHORE = 64
"""Logical pixels to which the distance to the shore is given."""
REACH = SHORE + 4
"""Logical pixels beyond a cell at which a shore still matters."""
_PIECE, _FARTHER, _LONGEST = 0.7, 0.06, 2.5
"""Pixels of edge to either side that one pixel of it stands for, how much more for each pixel away (the transform
finds a neighbour of the nearest, the further off the more so), and at most."""
_STEPS = 64
"""Parts of a pixel to which distances are rounded: the last bits of a square root are nobody's business."""

f32 = np.float32
Field = NDArray[np.float32]


def draw_shore(plot: Plot, reach: int = REACH) -> Planes:
    """Draw ``shore``: the signed distance to the shore of water areas, positive in the water.

    The distance transform of a window is not that of the whole, so it is run on the cell widened by ``reach``.
    """
    wide = plot.cell.pad(reach)
    easel = Easel(wide, SUPER, corners=True)
    cover = water_cover(easel, plot, STILL_OR_WIDE_WATER, float(reach))
    if cover is None:
        return {}
    inner = plot.cell.slices(wide)
    signed = signed_distance(cover, inner) * f32(1 / plot.cell.grid.pixel_ratio)
    signed = np.rint(signed * f32(_STEPS)) * f32(1 / _STEPS)
    return {"shore": np.clip(signed, f32(-SHORE), f32(SHORE))}


def signed_distance(cover: Bytes, inner: tuple[slice, slice]) -> Field:
    """Measure how far pixels lie inside what is covered, or (negative) outside.

    Each pixel that the edge runs through knows, from its coverage and the slope of the coverage, where in it
    the edge is, and which way it runs; every other pixel measures to that piece of the edge in the nearest of
    these. So distances are smooth though the transform itself counts whole pixels.

    Args:
        cover: coverage, 0-255.
        inner: the part for which distances are wanted.

    Returns:
        float32, pixels; without any edge ±1e4.
    """
    inside = cover[inner] > 127
    # An edge between two pixels leaves no pixel half covered: then it runs along the side of the full one.
    full = cover == 255
    bare = cv2.dilate((cover == 0).view(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))).view(np.bool_)
    edge = ((cover > 0) & ~full) | (full & bare)
    rows, columns = np.nonzero(edge)
    if not len(rows):
        return np.where(inside, f32(1e4), f32(-1e4))
    gx = cv2.Sobel(cover, cv2.CV_32F, 1, 0, ksize=3)[rows, columns]
    gy = cv2.Sobel(cover, cv2.CV_32F, 0, 1, ksize=3)[rows, columns]
    steep = np.maximum(np.hypot(gx, gy), f32(1e-3))
    gx, gy = gx / steep, gy / steep
    deep = _depth(cover[rows, columns].astype(f32) * f32(1 / 255), np.abs(gx), np.abs(gy))
    _, label = cv2.distanceTransformWithLabels(
        (~edge).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    pieces = np.zeros((len(rows) + 1, 4), f32)
    pieces[label[rows, columns]] = np.stack([columns - deep * gx, rows - deep * gy, gx, gy], axis=1)
    nearest = pieces[label[inner]]
    down, across = inner
    dx = np.arange(across.start, across.stop, dtype=f32) - nearest[..., 0]
    dy = np.arange(down.start, down.stop, dtype=f32)[:, None] - nearest[..., 1]
    off = dx * nearest[..., 2] + dy * nearest[..., 3]
    square = dx * dx + dy * dy
    off *= off
    aside = np.sqrt(np.maximum(square - off, f32(0)))
    half = np.minimum(f32(_PIECE) + f32(_FARTHER) * np.sqrt(square), f32(_LONGEST))
    aside = np.maximum(aside - half, f32(0))
    distance = np.sqrt(off + aside * aside)
    return np.where(inside, distance, -distance)


def _depth(share: Field, nx: Field, ny: Field) -> Field:
    """Tell how far the middle of a pixel lies inside an edge that leaves ``share`` of the pixel covered.

    The edge is straight, with normal (nx, ny), both positive (Gustavson and Strand, Anti-aliased Euclidean
    distance transform, 2011, eq. 6).
    """
    a, b = np.maximum(nx, ny), np.maximum(np.minimum(nx, ny), f32(1e-6))
    corner = f32(0.5) * b / np.maximum(a, f32(1e-6))
    little, much = np.sqrt(2 * a * b * share), np.sqrt(2 * a * b * (1 - share))
    half = f32(0.5) * (a + b)
    middle = (share - f32(0.5)) * a
    depth: Field = np.where(share < corner, little - half, np.where(share > 1 - corner, half - much, middle))
    return depth
