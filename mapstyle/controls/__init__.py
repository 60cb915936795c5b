"""Controls: layers drawn on world-anchored cells, as planes for engines and as control images."""

from mapstyle.controls.drawer import ControlDrawer
from mapstyle.controls.images import CONTROLS, ControlKind

__all__ = ["CONTROLS", "ControlDrawer", "ControlKind"]
