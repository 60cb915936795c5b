"""The distance to the shore of water areas."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.controls.cells import Planes, Plot
from mapstyle.controls.draw import SUPER, Bytes, Easel
from mapstyle.controls.water import fill_water
from mapstyle.layers import STILL_OR_WIDE_WATER

SHORE = 64
"""Logical pixels to which the distance to the shore is given."""
REACH = SHORE + 4
"""Logical pixels beyond a cell at which a shore still matters."""
_STEPS = 64
"""Parts of a pixel to which distances are rounded: the last bits of a square root are nobody's business."""

f32 = np.float32


def draw_shore(plot: Plot, reach: int = REACH) -> Planes:
    """Draw ``shore``: the signed distance to the shore of water areas, positive in the water.

    The distance transform of a window is not that of the whole, so it is run on the cell widened by ``reach``.
    """
    wide = plot.cell.pad(reach)
    easel = Easel(wide, SUPER, corners=True)
    image = fill_water(easel, plot, STILL_OR_WIDE_WATER, float(reach))
    if image is None:
        return {}
    cover = easel.coverage(image)
    inner = plot.cell.slices(wide)
    signed = signed_distance(cover, inner) * f32(1 / plot.cell.grid.pixel_ratio)
    signed = np.rint(signed * f32(_STEPS)) * f32(1 / _STEPS)
    return {"shore": np.clip(signed, f32(-SHORE), f32(SHORE))}


def signed_distance(cover: Bytes, inner: tuple[slice, slice]) -> NDArray[np.float32]:
    """Measure how far pixels lie inside what is covered, or (negative) outside.

    Each pixel that the edge runs through knows, from its coverage and the slope of the coverage, where in it
    the edge is; every other pixel measures to the edge in the nearest of these. So distances are smooth though
    the transform itself counts whole pixels.

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
    share = cover[rows, columns].astype(f32) * f32(1 / 255) - f32(0.5)
    edge_x, edge_y = columns - share * gx / steep, rows - share * gy / steep
    _, label = cv2.distanceTransformWithLabels(
        (~edge).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    known_x, known_y = (np.zeros(len(rows) + 1, f32) for _ in range(2))
    known_x[label[rows, columns]], known_y[label[rows, columns]] = edge_x, edge_y
    nearest = label[inner]
    down, across = inner
    dx = known_x[nearest] - np.arange(across.start, across.stop, dtype=f32)
    dy = known_y[nearest] - np.arange(down.start, down.stop, dtype=f32)[:, None]
    distance = np.sqrt(dx * dx + dy * dy)
    return np.where(inside, distance, -distance)
