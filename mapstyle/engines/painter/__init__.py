"""The painter: our own engine, which needs nothing but a CPU."""

from mapstyle.engines.painter.recipe import Painter, PainterSpec, Recipe

__all__ = ["Painter", "PainterSpec", "Recipe"]
