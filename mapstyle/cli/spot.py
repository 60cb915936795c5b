"""The spot that shows most of what a style can do: water, woods, houses and fields in one picture."""

import cv2
import numpy as np

from mapstyle.cli.opening import layers_for
from mapstyle.controls import ControlDrawer
from mapstyle.errors import ExtentError
from mapstyle.frame import Frame
from mapstyle.job import Data, HowLarge, Where, plan_frame
from mapstyle.layers import LandClass
from mapstyle.levels import Levels

_SIDE = 512
"""Pixels on the side of the small map that is looked at."""
_ENOUGH = 0.15
"""Share of a picture from which a thing is well shown."""
_GROUPS = (
    (LandClass.WOOD, LandClass.SCRUB),
    (LandClass.RESIDENTIAL, LandClass.COMMERCIAL, LandClass.INDUSTRIAL, LandClass.INSTITUTION),
    (LandClass.FARMLAND, LandClass.MEADOW, LandClass.GRASS, LandClass.ORCHARD, LandClass.VINEYARD, LandClass.HEATH),
    (LandClass.PARK, LandClass.GARDEN, LandClass.CEMETERY, LandClass.PITCH, LandClass.BEACH),
)
_WEIGHTS = (2.0, 1.0, 1.6, 1.0, 1.0)
"""Of water and the groups: how much each adds to a picture."""


def liveliest(data: Data, wanted: Frame) -> str:
    """Give ``LON,LAT`` about which a picture as large as ``wanted`` shows most kinds of ground; else its own middle."""
    west, south, east, north = wanted.lonlat_bounds()
    middle = f"{(west + east) / 2:.6f},{(south + north) / 2:.6f}"
    try:
        small = plan_frame(Where(), HowLarge(size=f"{_SIDE}x{_SIDE}"), data)
        scene = ControlDrawer(layers_for(data, small), Levels()).scene(small, frozenset({"landcover", "water_area"}))
    except ExtentError:
        return middle
    land, water = scene.plane("landcover"), scene.plane("water_area") > 127
    shrunk = wanted.grid.resolution / small.grid.resolution / wanted.grid.pixel_ratio
    window = max(1, round(wanted.width * shrunk)), max(1, round(wanted.height * shrunk))
    if window[0] >= small.width or window[1] >= small.height:
        return middle
    score = np.zeros(small.shape)
    masks = [water, *(np.isin(land, [int(c) for c in group]) & ~water for group in _GROUPS)]
    for mask, weight in zip(masks, _WEIGHTS, strict=True):
        share = cv2.boxFilter(mask.astype(np.float64), -1, window, borderType=cv2.BORDER_CONSTANT)
        score += weight * np.minimum(share / _ENOUGH, 1)
        if mask is water:
            score -= 2.5 * np.maximum(share - 0.4, 0)  # the sea alone says little
    y, x = np.mgrid[: small.height, : small.width]
    # Of like places the one nearest the middle.
    score -= 0.8 * np.hypot(x / small.width - 0.5, y / small.height - 0.5)
    row, column = np.unravel_index(int(score.argmax()), score.shape)
    at = Frame(small.grid, small.column + int(column), small.row + int(row), 1, 1).lonlat_bounds()
    return f"{(at[0] + at[2]) / 2:.6f},{(at[1] + at[3]) / 2:.6f}"
