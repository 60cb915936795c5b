"""Watercolour: washes of pigment on wet paper, in optical density."""

from mapstyle.engines.painter.brush import Brush, Medium
from mapstyle.engines.painter.wash.dabs import Dabs, Trees
from mapstyle.engines.painter.wash.ground import Puddles, Relief, Rows
from mapstyle.engines.painter.wash.houses import Roofs, Shadows
from mapstyle.engines.painter.wash.land import Land
from mapstyle.engines.painter.wash.lines import Borders, Walls
from mapstyle.engines.painter.wash.paper import WashMedium
from mapstyle.engines.painter.wash.water import Decks, Streams, Water
from mapstyle.engines.painter.wash.ways import Paths, Rails, Roads, Runways

BRUSHES: tuple[type[Brush], ...] = (
    Land,
    Relief,
    Puddles,
    Rows,
    Dabs,
    Trees,
    Water,
    Streams,
    Decks,
    Roads,
    Paths,
    Rails,
    Runways,
    Shadows,
    Roofs,
    Borders,
    Walls,
)
MEDIUM: type[Medium] = WashMedium
