"""What could be labelled at a level: anchors, repeats and paths, all from whole features."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mapstyle.fingerprint import stable_id
from mapstyle.frame import Frame
from mapstyle.layers import LayerKind, VectorLayer
from mapstyle.placed import LabelKind, LabelSeed
from mapstyle.sources.anchors import roomiest
from mapstyle.sources.atlas import Shape
from mapstyle.sources.features import Features
from mapstyle.sources.gather import Floats, Ints, offsets
from mapstyle.sources.label_paths import Manner, pieces, width_of
from mapstyle.sources.merge import chain, ways_of

K = LayerKind

SPARE_LEVELS = 2.0
"""How many levels before it is wanted a seed is there, so that a style may show it sooner."""
WORLD_WIDE = 60.0
"""Degrees across from which an atlas is of the world, whose ranks go by the world."""

PLACE_LEVELS = (2.0, 4.5, 8.0, 10.5, 13.0, 14.5)
"""Level from which a place of each rank is wanted (judgement, near what common web styles do)."""
WORLD_PLACE_LEVELS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
"""The same on maps of the world, which stop sooner."""
PLACE_DETAILS: Mapping[str, float] = {
    "country": 2.5, "state": 5.0, "region": 8.0, "province": 8.0, "county": 9.0, "municipality": 10.5,
    "archipelago": 9.0, "island": 11.0, "suburb": 12.0, "borough": 12.0, "quarter": 13.5,
    "neighbourhood": 14.0, "islet": 14.5,
}  # fmt: skip
"""Places whose level does not follow from their rank."""
SEA_LEVELS = (1.0, 3.0, 11.0)
"""Ocean, sea, bay."""
POI_LEVELS = (12.0, 14.0, 15.0, 16.0, 16.5, 17.0, 17.5)
PEAK_LEVELS = (9.0, 10.0, 11.0, 12.0, 13.0, 13.5)
STREETS: Mapping[LayerKind, tuple[int, float]] = {
    K.MOTORWAY: (0, 10.0), K.TRUNK: (1, 11.5), K.PRIMARY: (1, 12.0), K.SECONDARY: (2, 13.0),
    K.TERTIARY: (3, 13.5), K.STREET: (3, 14.5), K.SERVICE: (4, 15.5), K.TRACK: (4, 15.5), K.PATH: (5, 16.0),
    K.STEPS: (5, 16.5),
}  # fmt: skip
"""Rank of a street's name and the level from which it is wanted."""
RIVERS: Mapping[LayerKind, tuple[int, float]] = {
    K.RIVER: (2, 9.0), K.CANAL: (2, 12.0), K.STREAM: (3, 12.5), K.DITCH: (4, 15.0),
}  # fmt: skip
"""The same for water lines; long rivers come sooner."""
LONG_RIVERS = ((200_000.0, 0, 3.0), (50_000.0, 1, 6.0))
"""Metres of a river in the data, rank, level."""
_STREET_MANNER = Manner(spacing=720.0, step=6.0, smooth=9.0)
_PATH_MANNER = Manner(spacing=900.0, step=6.0, smooth=9.0)
_RIVER_MANNER = Manner(spacing=700.0, step=8.0, smooth=18.0)
_STREAM_MANNER = Manner(spacing=900.0, step=8.0, smooth=14.0)

GREEN = (
    K.PARK, K.WOOD, K.GARDEN, K.CEMETERY, K.GRASS, K.MEADOW, K.HEATH, K.SCRUB, K.WETLAND, K.BEACH, K.ROCK,
    K.GLACIER, K.ORCHARD, K.VINEYARD, K.FARMLAND, K.PITCH, K.SQUARE,
)  # fmt: skip
"""Areas that are named like parks."""
QUARTERS = (K.RESIDENTIAL, K.COMMERCIAL, K.INDUSTRIAL, K.QUARRY)
"""Areas that are named like places of the least rank."""
RUNNING = ("river", "riverbank", "stream", "canal", "ditch", "drain")
"""Areas of water that take their name from the line within."""
AREA_WANTED = 1600.0
"""Square logical pixels from which an area's name is wanted: a line of words on a square of 40."""
LEAST_ROOM = 12.0
"""Logical pixels of width under which an area has no room for any name."""
_WATER_RANKS = (1e8, 1e7, 1e6, 1e5, 1e4)
"""Square metres from which a water or a park has rank 0, 1, ..."""


@dataclass(frozen=True)
class Seeds:
    """All label seeds of a level, those wanted soonest first."""

    seeds: tuple[LabelSeed, ...]

    @cached_property
    def _places(self) -> Floats:
        return np.array([(s.x, s.y) for s in self.seeds], np.float64).reshape(-1, 2)

    def inside(self, frame: Frame) -> list[LabelSeed]:
        """Give the seeds whose anchor lies in a frame, left and upper side included."""
        left, top, right, bottom = frame.logical_box
        xy, turn = self._places, frame.grid.turn
        if not len(xy):
            return []
        turns = range(1)
        if turn:
            turns = range(math.floor(left / turn) - 1, math.floor(right / turn) + 1)
        out = []
        for k in turns:
            x = xy[:, 0] + k * turn
            hit = (x >= left) & (x < right) & (xy[:, 1] >= top) & (xy[:, 1] < bottom)
            out += [_moved(self.seeds[i], k * turn) for i in np.flatnonzero(hit)]
        return out


def _moved(seed: LabelSeed, dx: float) -> LabelSeed:
    if not dx:
        return seed
    path = None if seed.path is None else seed.path + np.array([dx, 0.0])
    values = {**seed.__dict__, "x": seed.x + dx, "path": path}
    return LabelSeed(**values)


def find_seeds(features: Features, level: float, turn: int, bounds: tuple[float, float, float, float]) -> Seeds:
    """Find everything of a level that could be labelled.

    Args:
        features: the features of the level.
        level: the grid's.
        turn: logical columns round the world, 0 where the grid does not close.
        bounds: of the atlas, degrees.
    """
    wide = bounds[2] - bounds[0] > WORLD_WIDE
    found = [*_points(features, wide), *_areas(features, level)]
    found += _lines(features, STREETS, LabelKind.STREET)
    found += _lines(features, RIVERS, LabelKind.RIVER)
    kept = [s if not turn or 0 <= s.x < turn else _moved(s, -math.floor(s.x / turn) * turn) for s in found]
    near = (s for s in kept if s.level <= level + SPARE_LEVELS)
    return Seeds(tuple(sorted(near, key=lambda s: (s.level, s.rank, s.id))))


def _pick(levels: tuple[float, ...], rank: int) -> float:
    return levels[min(max(rank, 0), len(levels) - 1)]


def _points(features: Features, wide: bool) -> Iterator[LabelSeed]:
    for kind, label in (
        (K.PLACE, LabelKind.PLACE),
        (K.OCEAN, LabelKind.OCEAN),
        (K.POI, LabelKind.POI),
        (K.PEAK, LabelKind.PEAK),
    ):
        layer = features.layer_of(kind, Shape.POINT)
        for i in _named(layer):
            assert layer is not None
            rank, detail = int(layer.rank[i]), str(layer.detail[i])
            if kind is K.PLACE:
                level = PLACE_DETAILS.get(detail, _pick(PLACE_LEVELS, rank))
                level = _pick(WORLD_PLACE_LEVELS, rank) if wide else level
            elif kind is K.OCEAN:
                level = 1.0 + 0.8 * rank if wide else _pick(SEA_LEVELS, rank)
            elif kind is K.POI:
                level = _pick(POI_LEVELS, rank)
            else:
                level = _pick(PEAK_LEVELS, rank)
                metres = float(layer.height[i])
                detail = f"{detail}:{metres:.0f}" if math.isfinite(metres) else detail
            x, y = layer.coords[layer.rings[layer.features[i]]].tolist()
            yield LabelSeed(label, rank, layer.names[i], _id(label, layer.ids[i]), x, y, level=level, detail=detail)


def _named(layer: VectorLayer | None) -> Iterator[int]:
    if layer is not None:
        yield from (i for i, names in enumerate(layer.names) if names.get(""))


def _id(label: LabelKind, feature: np.uint64, repeat: int = 0) -> int:
    return stable_id(f"{label}/{int(feature)}/{repeat}")


def _areas(features: Features, level: float) -> Iterator[LabelSeed]:
    pois = features.layer_of(K.POI, Shape.POINT)
    told = set() if pois is None else set(pois.ids.tolist())
    for kind in (K.WATER, *GREEN, *QUARTERS, K.BUILDING):
        layer = features.layer_of(kind, Shape.AREA)
        for i in _named(layer):
            assert layer is not None
            detail = str(layer.detail[i])
            wanted = level + math.log(AREA_WANTED / float(layer.area[i]), 4)
            if wanted > level + SPARE_LEVELS or (kind is K.WATER and detail in RUNNING):
                continue
            if kind is not K.WATER and int(layer.ids[i]) in told:
                continue  # it is a point of interest, and labelled as one
            place = roomiest(layer.parts(i))
            if place is None or place[2] < LEAST_ROOM:
                continue
            x, y, room = place
            metres = float(layer.area[i]) / float(layer.scale[i]) ** 2
            rank = sum(metres < least for least in _WATER_RANKS)
            if kind is K.WATER:
                label = LabelKind.WATER
            elif kind is K.BUILDING:
                label, rank, wanted = LabelKind.POI, 5, max(wanted, POI_LEVELS[4])
            elif kind in QUARTERS:
                label, rank, wanted = LabelKind.PLACE, 5, max(wanted + 1, PLACE_LEVELS[5])
            else:
                label = LabelKind.PARK
            yield LabelSeed(
                label, rank, layer.names[i], _id(label, layer.ids[i]), x, y,
                room=room, level=wanted, detail=detail or kind.value,
            )  # fmt: skip


@dataclass(frozen=True)
class _Named:
    """Named lines of several kinds: one row a ring."""

    coords: Floats
    starts: Ints
    kind: Ints
    ids: NDArray[np.uint64]
    scale: Floats
    names: list[Mapping[str, str]]


def _named_lines(features: Features, kinds: list[LayerKind]) -> _Named | None:
    coords, sizes, number, ids, scale = [], [], [], [], []
    names: list[Mapping[str, str]] = []
    for k, kind in enumerate(kinds):
        layer = features.layer_of(kind, Shape.LINE)
        for i in _named(layer):
            assert layer is not None
            for j, part in enumerate(layer.parts(i)):
                coords.append(part)
                sizes.append(len(part))
                number.append(k)
                ids.append(int(layer.ids[i]) + j & 0xFFFFFFFFFFFFFFFF)
                scale.append(float(layer.scale[i]))
                names.append(layer.names[i])
    if not coords:
        return None
    return _Named(
        np.concatenate(coords),
        offsets(np.array(sizes)),
        np.array(number),
        np.array(ids, np.uint64),
        np.array(scale),
        names,
    )


def _lines(features: Features, ranks: Mapping[LayerKind, tuple[int, float]], label: LabelKind) -> Iterator[LabelSeed]:
    """Join lines of one name, whatever their kinds, and set repeats along each whole chain."""
    kinds = list(ranks)
    lines = _named_lines(features, kinds)
    if lines is None:
        return
    ends = np.stack([lines.coords[lines.starts[:-1]], lines.coords[lines.starts[1:] - 1]]).reshape(-1, 2)
    _, number = np.unique(ends, axis=0, return_inverse=True)
    begin, end = number.reshape(2, -1).astype(np.int64)
    _, key = np.unique(np.array([n[""] for n in lines.names]), return_inverse=True)
    ways = ways_of(lines.coords, lines.starts, begin, end, key.astype(np.int64), lines.ids)
    chains = chain(ways)
    for a, b, length in zip(chains.starts[:-1], chains.starts[1:], chains.length, strict=True):
        way, flipped = chains.way[a:b], chains.flipped[a:b]
        names = min((lines.names[w] for w in way), key=lambda n: (-len(n), sorted(n.items())))
        words = width_of(names)
        if length < 0.9 * words:
            continue
        shares = np.bincount(lines.kind[way], ways.length[way], len(kinds))
        kind = kinds[int(np.argmax(np.round(shares, 3)))]
        rank, level = ranks[kind]
        if kind is K.RIVER:
            metres = float(length) / float(lines.scale[way].mean())
            rank, level = next(((r, at) for far, r, at in LONG_RIVERS if metres >= far), (rank, level))
        parts = [lines.coords[lines.starts[w] : lines.starts[w + 1]] for w in way]
        whole = np.concatenate([p[::-1] if f else p for p, f in zip(parts, flipped, strict=True)])
        first = lines.ids[way].min()
        for repeat, (path, x, y) in enumerate(pieces(whole, words, _manner(label, rank))):
            yield LabelSeed(label, rank, names, _id(label, first, repeat), x, y, path, level=level, detail=kind.value)


def _manner(label: LabelKind, rank: int) -> Manner:
    if label is LabelKind.STREET:
        return _STREET_MANNER if rank < 4 else _PATH_MANNER
    return _RIVER_MANNER if rank < 3 else _STREAM_MANNER
