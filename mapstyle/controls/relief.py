"""Relief: elevation and the light on it."""

import math

import cv2
import numpy as np

from mapstyle.controls.cells import Planes
from mapstyle.frame import Frame
from mapstyle.layers import Layers
from mapstyle.levels import Levels

REACH = 2
"""Logical pixels beyond a cell that the slope looks at."""
AZIMUTH, ALTITUDE = 315.0, 45.0
"""Degrees: light from the north-west, half way up, as maps are used to."""


def draw_relief(layers: Layers, levels: Levels, cell: Frame) -> Planes:
    """Draw ``elevation`` and ``hillshade`` (Lambert's cosine on the slope minus that on flat ground)."""
    wide = cell.pad(REACH)
    ground = layers.elevation(wide)
    if ground is None:
        return {}
    heights = ground.values * ground.known
    rows = (np.arange(wide.row, wide.end_row) + 0.5) / cell.grid.pixel_ratio
    column = np.full_like(rows, (cell.column + cell.width / 2) / cell.grid.pixel_ratio)
    latitude = cell.grid.unproject(np.column_stack([column, rows]))[:, 1]
    # Real pixels to a metre on the ground, row by row: where the place is, not where the frame is.
    scale = (cell.grid.pixels_per_metre(latitude) * cell.grid.pixel_ratio).astype(np.float32)[:, None]
    gx = cv2.Sobel(heights, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8) * scale
    gy = cv2.Sobel(heights, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8) * scale
    azimuth, altitude = math.radians(AZIMUTH), math.radians(ALTITUDE)
    lx, ly, lz = math.sin(azimuth) * math.cos(altitude), -math.cos(azimuth) * math.cos(altitude), math.sin(altitude)
    light = (np.float32(lz) - gx * np.float32(lx) - gy * np.float32(ly)) / np.sqrt(gx * gx + gy * gy + np.float32(1))
    inner = cell.slices(wide)
    shade = (light - np.float32(lz))[inner] * ground.known[inner]
    return {
        "elevation": np.ascontiguousarray(heights[inner], dtype=np.float32),
        "hillshade": np.ascontiguousarray(shade, dtype=np.float32),
    }
