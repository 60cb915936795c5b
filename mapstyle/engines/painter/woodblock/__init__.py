"""Woodblock: flat colours printed from carved planks, graded by wiping, held together by one indigo key block."""

from mapstyle.engines.painter.brush import Brush, Medium
from mapstyle.engines.painter.woodblock.growth import Crowns, Trees
from mapstyle.engines.painter.woodblock.houses import Roofs, Shadows
from mapstyle.engines.painter.woodblock.land import Land, Relief, Rows
from mapstyle.engines.painter.woodblock.lines import Borders, Walls
from mapstyle.engines.painter.woodblock.plank import PlankMedium
from mapstyle.engines.painter.woodblock.water import Decks, Streams, Water, Waves
from mapstyle.engines.painter.woodblock.ways import Paths, Rails, Roads, Runways

BRUSHES: tuple[type[Brush], ...] = (
    Land,
    Relief,
    Rows,
    Crowns,
    Trees,
    Water,
    Waves,
    Streams,
    Decks,
    Runways,
    Paths,
    Roads,
    Rails,
    Shadows,
    Roofs,
    Walls,
    Borders,
)
MEDIUM: type[Medium] = PlankMedium
