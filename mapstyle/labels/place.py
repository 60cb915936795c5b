"""Placing: all labels that touch a frame, the same from any frame.

Seeds are kept by fixed cells of the world. A cell's labels are settled together with as much of their
neighbourhood as :mod:`mapstyle.labels.rounds` may look at; which frame asked is not known here.
"""

import math
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from threading import RLock
from typing import TypeVar

import numpy as np
import shapely

from mapstyle.frame import Frame
from mapstyle.labels.candidates import EXTENT, Candidate, candidates, importance
from mapstyle.labels.fonts import font_book
from mapstyle.labels.rounds import HOPS, Contender, Rivals, settle
from mapstyle.labels.settings import MAX_REPEAT, LabelSettings
from mapstyle.layers import Layers
from mapstyle.noise import hash2
from mapstyle.placed import LabelSeed, PlacedLabel

CELL = 512
"""Logical pixels on the side of a label cell; where the world is smaller, the world."""
MEETING = 2 * EXTENT + 8.0
"""Labels whose anchors are further apart than this never meet: two extents and the largest gap (8 px)."""
REACH = math.ceil(HOPS * MEETING + EXTENT)
"""Logical pixels from a picture within which a seed may, at the very most, change which labels are drawn."""
_CELLS_KEPT = 1024

assert max(MEETING, MAX_REPEAT) <= CELL, "rivals lie in neighbouring cells"

Cell = tuple[int, int]
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Kept(OrderedDict[K, V]):
    """The last few answers, so that memory stays bounded on a sheet of any size."""

    def fetch(self, key: K, make: Callable[[K], V]) -> V:
        if key in self:
            self.move_to_end(key)
            return self[key]
        value = self[key] = make(key)
        while len(self) > _CELLS_KEPT:
            self.popitem(last=False)
        return value


class LabelPlacer:
    """Places the labels of one map; may be asked from any thread."""

    def __init__(
        self,
        layers: Layers,
        settings: LabelSettings,
        language: str = "",
        level: float | None = None,
        hops: int = HOPS,
        meeting: float = MEETING,
    ) -> None:
        """Make ready to place.

        Args:
            layers: where seeds come from.
            settings: the style's say.
            language: language code of names; empty is the local name.
            level: the level that tables go by; None is the grid's own.
            hops: how far to look along chains of rivals. Less than :data:`HOPS` is wrong, and for tests.
            meeting: how far apart rivals may be. Less than :data:`MEETING` is wrong, and for tests.
        """
        self._layers = layers
        self._settings = settings
        self._language = language
        self._grid = layers.grid.at_ratio(1)
        self._level = self._grid.level if level is None else level
        self._hops = hops
        self._meeting = meeting
        turn = self._grid.turn
        self._size = min(CELL, turn) if turn else CELL
        self._across = turn // self._size if turn else 0
        self._ring = math.ceil(max(MEETING, MAX_REPEAT) / self._size)
        self._lock = RLock()
        self._contenders: _Kept[Cell, list[Contender]] = _Kept()
        self._rivals: _Kept[Cell, dict[Contender, Rivals]] = _Kept()
        self._settled: _Kept[Cell, list[PlacedLabel]] = _Kept()

    @property
    def missing(self) -> tuple[str, ...]:
        """One line for each script whose labels had to be left out for want of a font."""
        return font_book().notes

    def place(self, frame: Frame) -> list[PlacedLabel]:
        """Give every label that touches a frame, whole, the least important first (as they are drawn)."""
        left, top, right, bottom = frame.logical_box
        near = Frame.covering(self._grid, left - EXTENT, top - EXTENT, right + EXTENT, bottom + EXTENT)
        found: list[PlacedLabel] = []
        with self._lock:
            for cell in near.cells(self._size):
                found += [
                    label
                    for label in self._settle((cell.column // self._size, cell.row // self._size))
                    if label.box[2] > left and label.box[0] < right and label.box[3] > top and label.box[1] < bottom
                ]
        return sorted(found, key=_drawing_order)

    def _settle(self, cell: Cell) -> list[PlacedLabel]:
        home, dx = self._home(cell)
        labels = self._settled.fetch(home, self._settle_home)
        if not dx:
            return labels
        return [Candidate(label, ()).moved(dx).label for label in labels]

    def _settle_home(self, cell: Cell) -> list[PlacedLabel]:
        contenders = self._contenders.fetch(cell, self._contend)
        taken = settle(contenders, self._rivals_of, self._hops)
        return [c.candidates[taken[c]].label for c in contenders if c in taken]

    def _home(self, cell: Cell) -> tuple[Cell, float]:
        """Give a cell's address inside the one true world, and how far east of there it lies."""
        if not self._across:
            return cell, 0.0
        home = cell[0] % self._across
        return (home, cell[1]), float((cell[0] - home) * self._size)

    def _contend(self, cell: Cell) -> list[Contender]:
        home, dx = self._home(cell)
        if dx:
            own = self._contenders.fetch(home, self._contend)
            return [Contender(c.order, [k.moved(dx) for k in c.candidates], cell) for c in own]
        left, top = cell[0] * self._size, cell[1] * self._size
        seeds = self._layers.seeds(Frame(self._grid, left, top, self._size, self._size))
        inside = [
            s for s in seeds if left <= s.x < left + self._size and top <= s.y < top + self._size
        ]  # fmt: skip
        out = []
        for seed in sorted(inside, key=lambda s: (s.id, s.x, s.y)):
            places = candidates(seed, self._settings, self._level, self._language)
            if places:
                out.append(Contender((importance(seed.kind, seed.rank), _toss(seed)), places, cell))
        return out

    def _rivals_of(self, contender: Contender) -> Rivals:
        return self._rivals.fetch(contender.cell, self._find_rivals)[contender]

    def _find_rivals(self, cell: Cell) -> dict[Contender, Rivals]:
        """Find whom each contender of a cell meets: boxes that overlap, and the same words too near."""
        own = self._contenders.fetch(cell, self._contend)
        found = {c: Rivals() for c in own}
        if not own:
            return found
        around: list[Contender] = []
        for row in range(cell[1] - self._ring, cell[1] + self._ring + 1):
            for column in range(cell[0] - self._ring, cell[0] + self._ring + 1):
                around += self._contenders.fetch((column, row), self._contend)
        ours, theirs = _boxes(own), _boxes(around)
        tree = shapely.STRtree(theirs[2])
        for i, j in tree.query(ours[2], predicate="intersects").T:
            here, there = own[ours[0][i]], around[theirs[0][j]]
            if here is not there and self._may_meet(here, there):
                found[here].meets.setdefault(there, set()).add((ours[1][i], theirs[1][j]))
        same: dict[str, list[Contender]] = {}
        for other in around:
            same.setdefault(_words(other), []).append(other)
        for here in own:
            for there in same[_words(here)]:
                if here is not there and self._repeats(here, there):
                    pairs = {(i, j) for i in range(len(here.candidates)) for j in range(len(there.candidates))}
                    found[here].meets[there] = pairs
        return found

    def _may_meet(self, one: Contender, other: Contender) -> bool:
        return self._meeting >= MEETING or _apart(one, other) <= self._meeting

    def _repeats(self, one: Contender, other: Contender) -> bool:
        a, b = one.candidates[0].label, other.candidates[0].label
        least = max(self._settings.of(a.kind).repeat, self._settings.of(b.kind).repeat)
        return math.hypot(a.x - b.x, a.y - b.y) < least and self._may_meet(one, other)


def place_labels(
    layers: Layers, frame: Frame, settings: LabelSettings, level: float | None = None, language: str = ""
) -> list[PlacedLabel]:
    """Give every label that touches a frame, whole, in drawing order."""
    return LabelPlacer(layers, settings, language, level).place(frame)


def drop_cut(labels: Sequence[PlacedLabel], frame: Frame) -> list[PlacedLabel]:
    """Leave out labels that cross the edge of a picture, and move no other."""
    left, top, right, bottom = frame.logical_box
    return [
        label
        for label in labels
        if label.box[0] >= left and label.box[1] >= top and label.box[2] <= right and label.box[3] <= bottom
    ]


def _drawing_order(label: PlacedLabel) -> tuple[float, int, float, float]:
    return -importance(label.kind, label.rank), label.id, label.x, label.y


@lru_cache(maxsize=4096)
def _fold(text: str) -> str:
    """Bring a name to what it has in common with its other spellings: letters and figures."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if c.isalnum()) or text


def _words(contender: Contender) -> str:
    return _fold(contender.candidates[0].label.text)


def _apart(one: Contender, other: Contender) -> float:
    a, b = one.candidates[0].label, other.candidates[0].label
    return max(abs(a.x - b.x), abs(a.y - b.y))


def _toss(seed: LabelSeed) -> int:
    """Hash a seed's id once more, so that ids which are near give tosses which are not."""
    low, high = np.array([seed.id & 0x7FFFFFFF]), np.array([(seed.id >> 31) & 0x7FFFFFFF])
    return int(hash2(low, high, 0x1ABE1)[0])


def _boxes(contenders: Sequence[Contender]) -> tuple[list[int], list[int], np.ndarray]:
    """Lay out all boxes of all places: whose each is, of which place, and its outline."""
    whose, which, corners = [], [], []
    for i, contender in enumerate(contenders):
        for k, candidate in enumerate(contender.candidates):
            for box in candidate.boxes:
                whose.append(i)
                which.append(k)
                corners.append(box)
    sides = np.array(corners, np.float64).reshape(-1, 4)
    return whose, which, shapely.box(sides[:, 0], sides[:, 1], sides[:, 2], sides[:, 3])
