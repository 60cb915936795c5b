"""Compose: sheets in, one image out."""

from mapstyle.compose.shrink import shrink
from mapstyle.compose.stack import compose, overlay

__all__ = ["compose", "overlay", "shrink"]
