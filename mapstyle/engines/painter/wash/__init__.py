"""Watercolour: washes of pigment on wet paper, in optical density."""

from mapstyle.engines.painter.brush import Brush, Medium

BRUSHES: tuple[type[Brush], ...] = ()
MEDIUM: type[Medium] = Medium
