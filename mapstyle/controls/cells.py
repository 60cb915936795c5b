"""World-anchored cells: what is drawn once, kept, and copied into every frame that touches it."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from mapstyle.frame import Frame
from mapstyle.image import PLANES, Scene

CELL = 512
"""Logical pixels on the side of a cell."""

Planes = dict[str, NDArray[Any]]
Draw = Callable[[Frame], Planes]


class CellStore:
    """Keeps drawn cells, the least lately used going first when there is no more room."""

    def __init__(self, room: int) -> None:
        """Make a store of ``room`` bytes."""
        self._room = room
        self._kept: OrderedDict[tuple[str, Frame], Planes] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def get(self, group: str, cell: Frame, draw: Draw) -> Planes:
        """Give the planes of a cell, drawing them if they are not here. Planes that are all zero are left out."""
        key = (group, cell)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        planes = {name: plane for name, plane in draw(cell).items() if not _is_nothing(name, plane)}
        for plane in planes.values():
            plane.flags.writeable = False
        with self._lock:
            if key not in self._kept:
                self._kept[key] = planes
                self._size += sum(p.nbytes for p in planes.values())
                while self._size > self._room and len(self._kept) > 1:
                    _, old = self._kept.popitem(last=False)
                    self._size -= sum(p.nbytes for p in old.values())
        return planes


def assemble(frame: Frame, groups: Mapping[str, Draw], needs: Iterable[str], store: CellStore) -> Scene:
    """Copy the cells of a frame together into a scene."""
    wanted = set(needs)
    empty = Scene(frame, {})
    out: Planes = {}
    for cell in frame.cells(CELL):
        shared = cell.intersection(frame)
        assert shared is not None, "a frame's cells touch it"
        there, here = shared.slices(frame), shared.slices(cell)
        for group, draw in groups.items():
            for name, plane in store.get(group, cell, draw).items():
                if name in wanted:
                    if name not in out:
                        out[name] = empty.plane(name).copy()
                    out[name][there] = plane[here]
    return Scene(frame, out)


def nothing(name: str) -> float:
    """Give the value that means "nothing here" in a plane."""
    return {"road_u": 99.0, "rail_u": 99.0, "shore": -64.0}.get(name, 0.0)


def _is_nothing(name: str, plane: NDArray[Any]) -> bool:
    assert plane.dtype == PLANES[name].dtype, f"plane {name} has the type that PLANES says"
    return not (plane != nothing(name)).any()
