"""Made things: piers and dams, runways, walls."""

import numpy as np

from mapstyle.controls.cells import Planes, Plot
from mapstyle.controls.draw import SUPER, Easel
from mapstyle.layers import LayerKind

_PLANES = {
    "pier": (LayerKind.BREAKWATER, LayerKind.DAM, LayerKind.PIER),
    "runway": (LayerKind.TAXIWAY, LayerKind.RUNWAY),
    "wall": (LayerKind.WALL, LayerKind.CITY_WALL),
}


def draw_made(plot: Plot) -> Planes:
    """Draw ``pier``, ``runway`` and ``wall`` from lines and areas."""
    out: Planes = {}
    easel = Easel(plot.cell, SUPER, corners=True)
    for plane, kinds in _PLANES.items():
        image = None
        for kind in kinds:
            lines = plot.lines(kind)
            if lines is not None:
                image = easel.blank() if image is None else image
                easel.stroke_all(image, lines, plot.widths(kind, lines), ~lines.tunnel)
        for kind in kinds:
            areas = plot.areas(kind)
            if areas is not None:
                image = easel.blank(np.uint8) if image is None else image
                easel.fill_all(image, areas)
        if image is not None:
            out[plane] = easel.coverage(image)
    return out
