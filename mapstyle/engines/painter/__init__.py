"""The painter: our own engine, which needs nothing but a CPU."""

from mapstyle.engines.painter.recipe import ALIGN, Painter, PainterSpec, Recipe

__all__ = ["ALIGN", "Painter", "PainterSpec", "Recipe"]
