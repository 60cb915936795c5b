"""Ink: thin vector work drawn back over the ground."""

from mapstyle.ink.draw import InkSettings, draw_ink

__all__ = ["InkSettings", "draw_ink"]
