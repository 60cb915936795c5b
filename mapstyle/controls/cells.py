"""World-anchored cells: what is drawn once, kept, and copied into every frame that touches it."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mapstyle.frame import Frame
from mapstyle.image import PLANES, Scene
from mapstyle.layers import LayerKind, Layers, LayerStack, VectorLayer
from mapstyle.levels import Levels

CELL = 256
"""Logical pixels on the side of a cell. Cells of 512 px take as long for the same ground (narrower margins, but
images that no longer fit the cache), twice as long for a single tile, and more has to be kept (docs/log.md)."""

Planes = dict[str, NDArray[Any]]
Made = TypeVar("Made")


@dataclass(frozen=True)
class Plot:
    """One cell to be drawn, and all geography near it.

    Attributes:
        cell: where the planes are wanted.
        layers: the geography.
        levels: what appears, and how wide.
    """

    cell: Frame
    layers: Layers
    levels: Levels
    _kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def level(self) -> float:
        """The level of the cell's grid."""
        return self.cell.grid.level

    @property
    def reach(self) -> int:
        """Logical pixels beyond the cell at which features are read; no line reaches further than that."""
        return read_reach(self.level)

    @cached_property
    def stack(self) -> LayerStack:
        """Whole features that touch the cell widened by the reach."""
        return self.layers.read(self.cell.pad(self.reach))

    def areas(self, kind: LayerKind, margin: float = 0.0) -> VectorLayer | None:
        """Give the areas of a kind that appear within ``margin`` logical pixels of the cell, or None."""
        return self._near(self.stack.areas, kind, margin)

    def lines(self, kind: LayerKind) -> VectorLayer | None:
        """Give the lines of a kind that appear within reach of the cell, or None."""
        return self._near(self.stack.lines, kind, self.reach)

    def points(self, kind: LayerKind) -> VectorLayer | None:
        """Give the points of a kind that appear within reach of the cell, or None."""
        return self._near(self.stack.points, kind, self.reach)

    def widths(self, kind: LayerKind, layer: VectorLayer) -> NDArray[np.float64]:
        """Give the drawn widths of lines, float64[f], logical pixels."""
        widths = self.levels.line_width(kind, self.level, layer.scale, layer.width)
        # What a margin is for must not depend on what a source says; nothing real is that wide.
        return np.minimum(widths, 2.0 * (self.reach - SPARE))

    def keep(self, name: str, make: Callable[[], Made]) -> Made:
        """Give what several groups need, made once."""
        if name not in self._kept:
            self._kept[name] = make()
        made: Made = self._kept[name]
        return made

    def _near(self, layers: Mapping[LayerKind, VectorLayer], kind: LayerKind, margin: float) -> VectorLayer | None:
        layer = layers.get(kind)
        if layer is None or not self.levels.shows(kind, self.level):
            return None
        left, top, right, bottom = self.cell.logical_box
        chosen = layer.hits((left - margin, top - margin, right + margin, bottom + margin))
        if len(chosen) == len(layer):
            return layer
        return layer.pick(chosen) if len(chosen) else None


SPARE = 16
"""Logical pixels of a line's reach beyond half its width: casings, and the field of its coordinates."""


def read_reach(level: float) -> int:
    """Give the logical pixels beyond a cell within which features matter to it.

    The shore looks 72 px far; half a runway of 60 m is 50 px at level 17, and twice that at each further level.
    """
    return 72 + int(48 * max(0.0, 2.0 ** (level - 17) - 1.0))


Draw = Callable[[Plot], Planes]


class CellStore:
    """Keeps drawn cells, the least lately used going first when there is no more room; draws each but once."""

    def __init__(self, groups: Mapping[str, Draw], layers: Layers, levels: Levels, room: int) -> None:
        """Make a store of ``room`` bytes for planes that ``groups`` draw."""
        self._groups = groups
        self._layers, self._levels = layers, levels
        self._room = room
        self._kept: OrderedDict[tuple[str, Frame], Planes] = OrderedDict()
        self._size = 0
        self._lock = Lock()
        self._busy: dict[Frame, tuple[Lock, int]] = {}

    def get(self, cell: Frame, groups: Iterable[str]) -> dict[str, Planes]:
        """Give the planes of groups on a cell, drawing those that are not here; empty planes are left out."""
        names = list(groups)
        found = self._find(cell, names)
        if len(found) == len(names):
            return found
        lock = self._take(cell)
        try:
            with lock:
                found = self._find(cell, names)
                plot = Plot(cell, self._layers, self._levels)
                for name in names:
                    if name not in found:
                        planes = {k: p for k, p in self._groups[name](plot).items() if not _is_nothing(k, p)}
                        found[name] = planes
                        self._keep((name, cell), planes)
        finally:
            self._leave(cell)
        return found

    def _find(self, cell: Frame, names: Iterable[str]) -> dict[str, Planes]:
        with self._lock:
            found = {}
            for name in names:
                if (name, cell) in self._kept:
                    self._kept.move_to_end((name, cell))
                    found[name] = self._kept[name, cell]
            return found

    def _take(self, cell: Frame) -> Lock:
        """Give the lock of a cell, so that two threads never draw the same one."""
        with self._lock:
            lock, users = self._busy.get(cell, (Lock(), 0))
            self._busy[cell] = lock, users + 1
            return lock

    def _leave(self, cell: Frame) -> None:
        with self._lock:
            lock, users = self._busy.pop(cell)
            if users > 1:
                self._busy[cell] = lock, users - 1

    def _keep(self, key: tuple[str, Frame], planes: Planes) -> None:
        for plane in planes.values():
            plane.flags.writeable = False
        with self._lock:
            self._kept[key] = planes
            self._size += sum(p.nbytes for p in planes.values())
            while self._size > self._room and len(self._kept) > 1:
                _, old = self._kept.popitem(last=False)
                self._size -= sum(p.nbytes for p in old.values())


def assemble(frame: Frame, wanted: frozenset[str], groups: frozenset[str], store: CellStore) -> Scene:
    """Copy the cells of a frame together into a scene."""
    turn = frame.grid.turn * frame.grid.pixel_ratio
    size = min(CELL, frame.grid.turn or CELL)
    out: Planes = {}
    for cell in frame.cells(size):
        shared = cell.intersection(frame)
        assert shared is not None, "a frame's cells touch it"
        # Past the antimeridian it is the same cell again: drawn at one address, it has the same last bits.
        home = replace(cell, column=cell.column % turn) if turn else cell
        there, here = shared.slices(frame), shared.slices(cell)
        for planes in store.get(home, sorted(groups)).values():
            for name, plane in planes.items():
                if name in wanted:
                    if name not in out:
                        out[name] = np.full(frame.shape, PLANES[name].nothing, PLANES[name].dtype)
                    out[name][there] = plane[here]
    return Scene(frame, out)


def _is_nothing(name: str, plane: NDArray[Any]) -> bool:
    assert plane.dtype == PLANES[name].dtype, f"plane {name} has the type that PLANES says"
    fill = PLANES[name].nothing
    return not (plane.any() if fill == 0 else (plane != plane.dtype.type(fill)).any())
