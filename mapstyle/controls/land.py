"""Land cover and parcels."""

import numpy as np

from mapstyle.controls.cells import Planes, Plot
from mapstyle.controls.draw import Easel, short_ids
from mapstyle.layers import LAND_COVER

REACH = 0
"""Logical pixels beyond a cell that land cover looks at: whole areas are filled, nothing more."""
_SUB = 2


def draw_land(plot: Plot) -> Planes:
    """Draw ``landcover`` and ``parcel``: larger areas first, ties by id, over all kinds together."""
    found = [(k, a) for k in LAND_COVER if (a := plot.areas(k, REACH)) is not None]
    if not found:
        return {}
    # Points in the middle of pixels are corners of half-pixels: painted there, an edge is a quarter pixel off at
    # most. All areas are one index image; what they are is looked up afterwards.
    easel = Easel(plot.cell, _SUB, corners=True)
    index = easel.blank(np.int32)
    rings = [r for _, layer in found for r in easel.outlines(layer)]
    area = np.concatenate([layer.area for _, layer in found])
    ids = np.concatenate([layer.ids for _, layer in found])
    classes = np.repeat([0] + [int(LAND_COVER[k]) for k, _ in found], [1] + [len(layer) for _, layer in found])
    for i in np.lexsort((classes[1:], ids, -area)).tolist():
        easel.fill(index, rings[i], i + 1)
    middle = np.ascontiguousarray(index[1::_SUB, 1::_SUB])
    names = np.concatenate([[0], short_ids(ids)]).astype(np.uint32)
    return {"landcover": classes.astype(np.uint8)[middle], "parcel": names[middle]}
