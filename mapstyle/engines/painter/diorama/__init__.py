"""The model village: colour, height and one strong lamp."""

from mapstyle.engines.painter.brush import Brush, Medium
from mapstyle.engines.painter.diorama.ground import Ground, Rows
from mapstyle.engines.painter.diorama.houses import Houses
from mapstyle.engines.painter.diorama.made import Bridges, Piers, Places, Runways, Walls
from mapstyle.engines.painter.diorama.medium import Diorama
from mapstyle.engines.painter.diorama.objects import Objects
from mapstyle.engines.painter.diorama.plots import Orchards, Vineyards, Wilds
from mapstyle.engines.painter.diorama.rails import Rails, Trams
from mapstyle.engines.painter.diorama.roads import Cars, Roads, Tracks
from mapstyle.engines.painter.diorama.seams import Fences
from mapstyle.engines.painter.diorama.terrain import Borders, Globe, Mountains
from mapstyle.engines.painter.diorama.trees import Foliage, MappedTrees, Plant
from mapstyle.engines.painter.diorama.water import Basin, Water
from mapstyle.engines.painter.diorama.yards import Yards

BRUSHES: tuple[type[Brush], ...] = (
    Ground, Globe, Mountains, Rows, Yards, Fences, Places, Wilds, Vineyards, Water, Basin, Borders, Runways,
    Tracks, Roads, Trams, Rails, Piers, Bridges, Cars, Walls, Houses, Objects, Plant, Orchards, MappedTrees,
    Foliage,
)  # fmt: skip
MEDIUM: type[Medium] = Diorama
