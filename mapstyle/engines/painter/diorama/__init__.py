"""The model village: colour, height and one strong lamp."""

from mapstyle.engines.painter.brush import Brush, Medium

BRUSHES: tuple[type[Brush], ...] = ()
MEDIUM: type[Medium] = Medium
