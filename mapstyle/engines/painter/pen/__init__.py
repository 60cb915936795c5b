"""Pen and ink: strokes that follow what they draw."""

from mapstyle.engines.painter.brush import Brush, Medium
from mapstyle.engines.painter.pen.growth import Marks, Trees
from mapstyle.engines.painter.pen.houses import Houses, Shadows
from mapstyle.engines.painter.pen.land import Fields, Seams, Tint
from mapstyle.engines.painter.pen.made import Borders, Bridges, Piers, Runways, Tunnels, Walls
from mapstyle.engines.painter.pen.medium import PenMedium
from mapstyle.engines.painter.pen.relief import Hachures
from mapstyle.engines.painter.pen.water import Streams, Water
from mapstyle.engines.painter.pen.ways import Rails, Roads, Tracks

BRUSHES: tuple[type[Brush], ...] = (
    Tint,
    Hachures,
    Fields,
    Seams,
    Marks,
    Water,
    Streams,
    Piers,
    Runways,
    Tunnels,
    Tracks,
    Roads,
    Bridges,
    Rails,
    Walls,
    Trees,
    Shadows,
    Houses,
    Borders,
)
MEDIUM: type[Medium] = PenMedium
