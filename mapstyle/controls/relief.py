"""Relief: elevation and the light on it."""

import math

import cv2
import numpy as np

from mapstyle.controls.cells import Planes, Plot

REACH = 2
"""Logical pixels beyond a cell that the slope looks at."""
AZIMUTH, ALTITUDE = 315.0, 45.0
"""Degrees: light from the north-west, half way up, as maps are used to."""

f32 = np.float32


def draw_relief(plot: Plot, reach: int = REACH) -> Planes:
    """Draw ``elevation`` and ``hillshade``: Lambert's cosine on the slope minus that on flat ground."""
    cell = plot.cell
    wide = cell.pad(reach)
    ground = plot.layers.elevation(wide)
    if ground is None or not ground.known.any():
        return {}
    ratio = cell.grid.pixel_ratio
    rows = (np.arange(wide.row, wide.end_row) + 0.5) / ratio
    column = np.full_like(rows, (cell.column + cell.width / 2) / ratio)
    latitude = cell.grid.unproject(np.column_stack([column, rows]))[:, 1]
    # Real pixels to a metre on the ground, row by row: where the place is, not where the frame is.
    scale = (cell.grid.pixels_per_metre(latitude) * ratio).astype(f32)[:, None]
    gx = cv2.Sobel(ground.values, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8) * scale
    gy = cv2.Sobel(ground.values, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8) * scale
    azimuth, altitude = math.radians(AZIMUTH), math.radians(ALTITUDE)
    lx, ly, lz = math.sin(azimuth) * math.cos(altitude), -math.cos(azimuth) * math.cos(altitude), math.sin(altitude)
    light = (f32(lz) - gx * f32(lx) - gy * f32(ly)) / np.sqrt(gx * gx + gy * gy + f32(1))
    inner = cell.slices(wide)
    known = ground.known[inner]
    # Where the data ends, light and height fade; the slope is that of the ground, not of the fading.
    return {
        "elevation": np.ascontiguousarray(ground.values[inner] * known),
        "hillshade": np.ascontiguousarray((light[inner] - f32(lz)) * known),
    }
