"""Water as coverage: the sea, lakes, and rivers drawn as lines."""

import cv2

from mapstyle.controls.cells import Planes, Plot
from mapstyle.controls.draw import SUPER, Bytes, Easel
from mapstyle.layers import STILL_OR_WIDE_WATER, WATER_LINES, LayerKind

LAND_IN_WATER = (LayerKind.PIER, LayerKind.BREAKWATER, LayerKind.DAM)
"""Kinds whose areas are land, also where the sea's outline runs behind them."""


def draw_water(plot: Plot) -> Planes:
    """Draw ``water_area``, ``ocean`` and ``water_line`` as coverage; tunnels left out."""
    out: Planes = {}
    easel = Easel(plot.cell, SUPER, corners=True)
    sea = water_cover(easel, plot, (LayerKind.OCEAN,), 0.0)
    if sea is not None:
        out["ocean"] = sea
    if any(plot.areas(k) is not None for k in STILL_OR_WIDE_WATER if k is not LayerKind.OCEAN):
        both = water_cover(easel, plot, STILL_OR_WIDE_WATER, 0.0)
        assert both is not None, "there are lakes"
        out["water_area"] = both
    elif sea is not None:
        out["water_area"] = sea.copy()
    lines = Easel(plot.cell, SUPER)
    image = None
    for kind in WATER_LINES:
        layer = plot.lines(kind)
        if layer is not None:
            image = lines.blank() if image is None else image
            lines.stroke_all(image, layer, plot.widths(kind, layer), ~layer.tunnel)
    if image is not None:
        out["water_line"] = lines.coverage(image)
    return out


def water_cover(easel: Easel, plot: Plot, kinds: tuple[LayerKind, ...], margin: float) -> Bytes | None:
    """Draw the coverage of water areas near a cell, less what is land in them; None where there are none."""
    water = _union(easel, plot, kinds, margin)
    land = None if water is None else _union(easel, plot, LAND_IN_WATER, margin)
    return water if water is None or land is None else cv2.subtract(water, land)


def _union(easel: Easel, plot: Plot, kinds: tuple[LayerKind, ...], margin: float) -> Bytes | None:
    image = None
    for kind in kinds:
        layer = plot.areas(kind, margin)
        if layer is not None:
            image = easel.blank() if image is None else image
            easel.fill_all(image, layer)
    return None if image is None else easel.coverage(image)
