"""Borders: the areas that are governed together, and the lines between them."""

import numpy as np

from mapstyle.controls.cells import Planes, Plot
from mapstyle.controls.draw import SUPER, Easel, short_ids
from mapstyle.layers import LayerKind

_COUNTRY = 2
"""Rank (admin level) down to which a border is that of a country, and drawn wider."""
_WIDER = 1.6


def draw_borders(plot: Plot) -> Planes:
    """Draw ``territory``, smaller areas over larger, and ``border`` lines."""
    out: Planes = {}
    areas = plot.areas(LayerKind.BORDER)
    if areas is not None:
        easel = Easel(plot.cell)
        territory = easel.blank(np.int32)
        rings, names = list(easel.outlines(areas)), short_ids(areas.ids).tolist()
        for i in np.lexsort((areas.ids, -areas.area)).tolist():
            easel.fill(territory, rings[i], names[i])
        out["territory"] = territory.view(np.uint32)
    easel = Easel(plot.cell, SUPER)
    image = None
    around = plot.areas(LayerKind.BORDER, plot.reach)
    for layer in (around, plot.lines(LayerKind.BORDER)):
        if layer is None:
            continue
        image = easel.blank() if image is None else image
        width = plot.levels.line_width(LayerKind.BORDER, plot.level, 0.0)
        widths = np.where(layer.rank <= _COUNTRY, _WIDER, 1.0) * width
        easel.stroke_all(image, layer, widths, np.ones(len(layer), np.bool_))
    if image is not None:
        out["border"] = easel.coverage(image)
    return out
