"""Make features fit for a level: drop what is too small, simplify the rest, join lines; all on whole features."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapstyle.frame import Grid
from mapstyle.layers import LayerKind, spans
from mapstyle.sources.atlas import Shape
from mapstyle.sources.features import Features
from mapstyle.sources.gather import Floats, Gathered, Ints, Rings, following, offsets
from mapstyle.sources.merge import chain, ways_of
from mapstyle.sources.simplify import simplify

SMALLEST_AREA = 4.0
"""Square logical pixels under which an area is dropped."""
SMALLEST_SINGLE = 1.0
"""The same for buildings and pools, which are small by nature and seen as dots."""
SMALLEST_RING = 0.25
"""Part of those under which a single hole or part of an area is dropped."""
EXACT_BUILDINGS = 15.0
"""Level from which buildings keep every corner."""

_KINDS, _SHAPES = list(LayerKind), list(Shape)
_SINGLE = (_KINDS.index(LayerKind.BUILDING), _KINDS.index(LayerKind.POOL))


def generalise(gathered: Gathered, grid: Grid) -> Features:
    """Turn gathered features into the features of a level."""
    rings, points = gathered.rings, gathered.points
    shape = gathered.shape
    areal = shape[rings.feature] == _SHAPES.index(Shape.AREA)
    point = shape[rings.feature] == _SHAPES.index(Shape.POINT)
    ring_area = np.where(areal, _enclosed(rings, points), 0.0)
    area = np.zeros(len(shape))
    np.add.at(area, rings.feature, np.where(rings.hole, -ring_area, ring_area))
    least = np.where(np.isin(gathered.kind, _SINGLE), SMALLEST_SINGLE, SMALLEST_AREA)
    large = (area >= least)[rings.feature] & (ring_area >= SMALLEST_RING * least[rings.feature])
    kept = np.flatnonzero(~areal | _with_outer(rings, large))
    point, rings = point[kept], rings.pick(kept)

    drawn = np.flatnonzero(~point)
    building = gathered.kind[rings.feature[drawn]] == _KINDS.index(LayerKind.BUILDING)
    vertex, starts = simplify(rings.pick(drawn), points, building & (grid.level >= EXACT_BUILDINGS))
    alone = np.flatnonzero(point)
    vertex = np.concatenate([vertex, rings.vertex[rings.starts[alone]]])
    sizes = np.concatenate([np.diff(starts), np.ones(len(alone), np.int64)])
    rings = rings.pick(np.concatenate([drawn, alone]))
    rings = Rings(vertex, offsets(sizes), rings.closed, rings.hole, rings.feature)
    rings = rings.pick(np.argsort(rings.feature, kind="stable"))
    rings = rings.pick(np.flatnonzero(_whole(rings, shape)))

    rings, along = _joined(rings, gathered)
    return _features(gathered, grid, rings, along, area)


def _enclosed(rings: Rings, points: Floats) -> Floats:
    """Measure what each ring encloses (the shoelace formula, from each ring's own first vertex)."""
    if not len(rings):
        return np.zeros(0)
    local = points[rings.vertex] - points[rings.vertex[rings.starts[:-1]]][rings.ring]
    after = following(rings)
    ahead = local[after]
    cross = np.where(after < 0, 0.0, local[:, 0] * ahead[:, 1] - local[:, 1] * ahead[:, 0])
    return np.asarray(np.abs(np.add.reduceat(cross, rings.starts[:-1])) / 2)


def _with_outer(rings: Rings, good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Take away holes whose outer ring is gone: by the even-odd rule they would be filled."""
    part = np.cumsum(~rings.hole) - 1
    return np.asarray(good & good[np.flatnonzero(~rings.hole)][part]) if len(rings) else good


def _whole(rings: Rings, shape: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Tell which simplified rings are still something: areas of three corners, lines of some length."""
    first, last = rings.vertex[rings.starts[:-1]], rings.vertex[rings.starts[1:] - 1]
    line = shape[rings.feature] == _SHAPES.index(Shape.LINE)
    good = np.where(rings.closed, rings.sizes >= 4, ~line | (rings.sizes > 2) | (first != last))
    return np.asarray(good & _with_outer(rings, good))


def _joined(rings: Rings, gathered: Gathered) -> tuple[Rings, Floats]:
    """Turn lines the way their chains run, and measure along these."""
    along = np.zeros(len(rings))
    lines = np.flatnonzero(gathered.shape[rings.feature] == _SHAPES.index(Shape.LINE))
    if not len(lines):
        return rings, along
    kind = gathered.kind[rings.feature[lines]].astype(np.int64)
    some = rings.pick(lines)
    begin, end = some.vertex[some.starts[:-1]], some.vertex[some.starts[1:] - 1]
    name = _lasting(rings, gathered)[lines]
    chains = chain(ways_of(gathered.points[some.vertex], some.starts, begin, end, kind, name))
    along[lines[chains.way]] = chains.along
    return turned(rings, lines[chains.way[chains.flipped]]), along


def _lasting(rings: Rings, gathered: Gathered) -> NDArray[np.uint64]:
    """Name each ring by its feature and its number within it."""
    ids = np.concatenate([t.ids for t in gathered.tables])[rings.feature]
    first = np.searchsorted(rings.feature, rings.feature)
    return np.asarray(ids + (np.arange(len(rings)) - first).astype(np.uint64))


def turned(rings: Rings, which: Ints) -> Rings:
    """Turn some rings round."""
    sizes, turn = rings.sizes, np.zeros(len(rings), np.bool_)
    turn[which] = True
    run = spans(np.zeros(len(sizes), np.int64), sizes)
    last = np.repeat(rings.starts[1:] - 1, sizes)
    places = np.where(np.repeat(turn, sizes), last - run, np.arange(len(rings.vertex)))
    return Rings(rings.vertex[places], rings.starts, rings.closed, rings.hole, rings.feature)


def _features(gathered: Gathered, grid: Grid, rings: Rings, along: Floats, area: Floats) -> Features:
    counts = np.bincount(rings.feature, minlength=len(gathered.table))
    tables = gathered.tables
    ids = _column(tables, "ids", np.uint64)
    rank = _column(tables, "rank", np.int16)
    # Areas larger first, so that small ones lie on top; the rest least first; ties by id.
    size = np.where(gathered.shape == _SHAPES.index(Shape.AREA), area, rank)
    order = np.lexsort((ids, -size, gathered.table))
    order = order[counts[order] > 0]
    chosen = spans(offsets(counts)[order], counts[order])
    rings, along = rings.pick(chosen), along[chosen]
    coords = gathered.points[rings.vertex]
    owners = offsets(counts[order])
    begins = rings.starts[owners[:-1]]
    boxes = np.zeros((0, 4))
    if len(order):
        boxes = np.hstack([np.minimum.reduceat(coords, begins), np.maximum.reduceat(coords, begins)])
    table = gathered.table[order]
    present = np.unique(table)
    rows: dict[str, Any] = {
        name: _column(tables, name, kind)[order]
        for name, kind in (
            ("layer", np.int8), ("bridge", np.bool_), ("tunnel", np.bool_), ("width", np.float32),
            ("height", np.float32), ("base", np.float32), ("detail", np.object_), ("names", np.object_),
        )
    }  # fmt: skip
    return Features(
        layers=tuple((tables[i].kind, tables[i].shape) for i in present.tolist()),
        first=np.append(np.searchsorted(table, present), len(table)).astype(np.int64),
        coords=coords,
        rings=rings.starts,
        features=owners,
        along=along,
        boxes=boxes,
        ids=ids[order],
        area=area[order],
        scale=grid.pixels_per_metre(gathered.latitude[order]),
        rank=rank[order],
        **rows,
    )


def _column(tables: tuple[Any, ...], name: str, kind: Any) -> NDArray[Any]:
    if not tables:
        return np.zeros(0, kind)
    return np.concatenate([getattr(t, name) for t in tables]).astype(kind)
