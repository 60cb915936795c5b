"""Pen and ink: strokes that follow what they draw."""

from mapstyle.engines.painter.brush import Brush, Medium

BRUSHES: tuple[type[Brush], ...] = ()
MEDIUM: type[Medium] = Medium
