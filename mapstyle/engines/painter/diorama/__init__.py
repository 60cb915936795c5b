"""The model village: colour, height and one strong lamp."""

from mapstyle.engines.painter.brush import Brush, Medium
from mapstyle.engines.painter.diorama.ground import Ground, Rows
from mapstyle.engines.painter.diorama.houses import Houses
from mapstyle.engines.painter.diorama.medium import Diorama
from mapstyle.engines.painter.diorama.rails import Rails, Trams
from mapstyle.engines.painter.diorama.roads import Cars, Roads, Tracks
from mapstyle.engines.painter.diorama.seams import Fences
from mapstyle.engines.painter.diorama.trees import Foliage, MappedTrees, Plant
from mapstyle.engines.painter.diorama.water import Marsh, Water

BRUSHES: tuple[type[Brush], ...] = (
    Ground, Rows, Fences, Marsh, Water, Tracks, Roads, Cars, Houses, Plant, MappedTrees, Foliage, Rails, Trams,
)  # fmt: skip
MEDIUM: type[Medium] = Diorama
