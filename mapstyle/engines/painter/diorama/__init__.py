"""The model village: colour, height and one strong lamp."""

from mapstyle.engines.painter.brush import Brush, Medium
from mapstyle.engines.painter.diorama.ground import Ground, Rows
from mapstyle.engines.painter.diorama.medium import Diorama

BRUSHES: tuple[type[Brush], ...] = (Ground, Rows)
MEDIUM: type[Medium] = Diorama
