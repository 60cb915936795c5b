"""The control drawer: gives a scene for any frame, drawing only what is asked for."""

from collections.abc import Iterable, Mapping, Sequence

from mapstyle.controls.borders import draw_borders
from mapstyle.controls.buildings import draw_buildings
from mapstyle.controls.calm import draw_calm
from mapstyle.controls.cells import CellStore, Draw, assemble
from mapstyle.controls.land import draw_land
from mapstyle.controls.made import draw_made
from mapstyle.controls.rails import draw_rails
from mapstyle.controls.relief import draw_relief
from mapstyle.controls.roads import draw_road_coordinates, draw_roads
from mapstyle.controls.shore import draw_shore
from mapstyle.controls.trees import draw_trees
from mapstyle.controls.water import draw_water
from mapstyle.frame import Frame
from mapstyle.image import PLANES, Scene
from mapstyle.layers import Layers
from mapstyle.levels import Levels
from mapstyle.placed import PlacedLabel

GROUPS: Mapping[str, Draw] = {
    "land": draw_land,
    "border": draw_borders,
    "water": draw_water,
    "shore": draw_shore,
    "road": draw_roads,
    "road_uv": draw_road_coordinates,
    "rail": draw_rails,
    "made": draw_made,
    "building": draw_buildings,
    "tree": draw_trees,
    "relief": draw_relief,
}
"""What draws each group of planes on a cell."""
ROOM = 400_000_000
"""Bytes of drawn cells that are kept."""


class ControlDrawer:
    """Draws scenes of one ground in one style's levels; safe to use from several threads."""

    def __init__(self, layers: Layers, levels: Levels, room: int = ROOM) -> None:
        """Make ready to draw, keeping ``room`` bytes of what was drawn."""
        self._store = CellStore(GROUPS, layers, levels, room)

    def scene(self, frame: Frame, needs: Iterable[str], labels: Sequence[PlacedLabel] = ()) -> Scene:
        """Give a frame's scene with the planes asked for.

        Two scenes agree to the bit where their frames overlap. Planes in which there is nothing are left out.
        """
        wanted = frozenset(needs)
        groups = frozenset(PLANES[name].group for name in wanted) & GROUPS.keys()
        scene = assemble(frame, wanted, groups, self._store)
        if "calm" in wanted:
            calm = draw_calm(frame, labels)
            if calm is not None:
                return Scene(frame, {**scene.planes, "calm": calm})
        return scene
