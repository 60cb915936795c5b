"""Railways and trams."""

import numpy as np

from mapstyle.controls.cells import Planes, Plot
from mapstyle.controls.coordinates import line_coordinates
from mapstyle.controls.draw import SUPER, Easel
from mapstyle.controls.roads import deck_widths
from mapstyle.controls.ways import RAIL, TRAM, ways_of

FIELD = 9.0
"""Logical pixels to either side of a railway's axis within which coordinates are given, at least."""


def draw_rails(plot: Plot) -> Planes:
    """Draw ``rail``, ``tram``, ``rail_u`` and ``rail_v``; without tunnels, and broken under the decks of roads."""
    ways = ways_of(plot)
    if ways is None or not ((ways.rank >= RAIL) & (ways.storey >= 0)).any():
        return {}
    out: Planes = {}
    decks = (ways.rank < RAIL) & (ways.storey > 0)
    ways = ways.pick((ways.storey >= 0) & (ways.rank >= RAIL) | decks)
    wide = np.where(ways.rank < RAIL, deck_widths(ways, plot.level), ways.width)
    easel = Easel(plot.cell, SUPER)
    strokes = easel.strokes(ways, wide)
    values = np.rint(easel.strength(ways.width) * 255).astype(int).tolist()
    ranks = ways.rank.tolist()
    for plane, rank in (("rail", RAIL), ("tram", TRAM)):
        if rank not in ranks:
            continue
        image = easel.blank()
        # Roads come before the railways of their storey: there these run in the road, and are not hidden by it.
        for i, rings in enumerate(strokes):
            if ranks[i] == rank or ranks[i] < RAIL:
                easel.fill(image, rings, values[i] if ranks[i] == rank else 0)
        out[plane] = easel.coverage(image)
    ways = ways.pick(ways.rank != TRAM)
    found = line_coordinates(plot.cell, ways, FIELD, ways.rank < RAIL)
    if found is not None:
        out["rail_u"], out["rail_v"] = found
    return out
