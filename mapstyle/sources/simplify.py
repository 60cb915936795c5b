"""Simplify rings so that borders shared by neighbours stay shared.

Rings are cut into arcs where the company of a vertex changes, each arc is simplified once, in one
direction, and the rings are put together again from what is left of their arcs.
"""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstyle.layers import spans
from mapstyle.sources.gather import Floats, Ints, Rings, following, offsets

TOLERANCE = 0.35
"""Logical pixels by which a simplified line may leave the true one: below what a brush can show."""


@dataclass(frozen=True)
class _Arcs:
    """Stretches of rings between junctions, both ends included; in order along the rings.

    Attributes:
        vertex: int64[n], numbers of vertices.
        starts: int64[a + 1].
        ring: int64[a].
        backward: bool[a], whether the arc runs against its canonical direction.
        same: int64[a], number of the distinct arc that it is an occurrence of.
        first: int64[d], an occurrence of each distinct arc.
    """

    vertex: Ints
    starts: Ints
    ring: Ints
    backward: NDArray[np.bool_]
    same: Ints
    first: Ints


def simplify(rings: Rings, points: Floats, exact: NDArray[np.bool_], tolerance: float = TOLERANCE) -> tuple[Ints, Ints]:
    """Simplify rings together.

    Args:
        rings: closed rings of three vertices or more, open ones of two or more.
        points: float64[v, 2], logical pixels of each numbered vertex.
        exact: bool[r], rings that must stay as they are.
        tolerance: logical pixels.

    Returns:
        Numbers of the vertices left, and int64[r + 1] where each ring starts among them. Here closed
        rings end with their first vertex. Rings that collapse have fewer than four.
    """
    if not len(rings):
        return np.zeros(0, np.int64), np.zeros(1, np.int64)
    arcs = _cut(rings, _junctions(rings, len(points)))
    kept, kept_starts = _simplify_distinct(arcs, points, exact, tolerance)
    return _put_together(arcs, kept, kept_starts, len(rings))


def _junctions(rings: Rings, count: int) -> NDArray[np.bool_]:
    """Tell of each numbered vertex whether its neighbours differ from ring to ring, or a line ends there."""
    vertex = rings.vertex
    after = following(rings)
    ends = after < 0
    before = np.full(len(vertex), -1, np.int64)
    before[after[~ends]] = np.flatnonzero(~ends)
    ahead = np.where(ends, -1, vertex[after])
    behind = np.where(before < 0, -1, vertex[before])
    low, high = np.minimum(ahead, behind), np.maximum(ahead, behind)
    sample = np.empty(count, np.int64)
    sample[vertex] = np.arange(len(vertex))
    sample = sample[vertex]
    special = (low != low[sample]) | (high != high[sample]) | (low < 0) | (low == high)
    out = np.zeros(count, np.bool_)
    out[vertex[special]] = True
    return out


def _cut(rings: Rings, junction: NDArray[np.bool_]) -> _Arcs:
    """Cut rings at junctions; a ring without any starts at its lowest-numbered vertex."""
    node = junction[rings.vertex]
    lowest = np.minimum.reduceat(rings.vertex, rings.starts[:-1])
    alone = np.bincount(rings.ring, node, len(rings)) == 0
    node |= alone[rings.ring] & (rings.vertex == lowest[rings.ring])
    at = np.flatnonzero(node)
    ring = rings.ring[at]
    last = np.ones(len(at), np.bool_)
    last[:-1] = ring[1:] != ring[:-1]
    first_at = at[np.searchsorted(ring, ring)]
    sizes = rings.sizes[ring]
    reach = np.empty(len(at), np.int64)  # steps to the next node
    reach[:-1] = at[1:] - at[:-1]
    reach[last] = (first_at + sizes - at)[last]
    keep = ~last | rings.closed[ring]
    at, ring, reach, sizes = at[keep], ring[keep], reach[keep], sizes[keep]
    lengths = reach + 1
    begin = rings.starts[ring]
    places = spans(at - begin, lengths) % np.repeat(sizes, lengths) + np.repeat(begin, lengths)
    vertex, starts = rings.vertex[places], offsets(lengths)
    head, tail = starts[:-1], starts[1:] - 1
    there = vertex[head], vertex[head + 1]
    back = vertex[tail], vertex[tail - 1]
    backward = (back[0] < there[0]) | ((back[0] == there[0]) & (back[1] < there[1]))
    key = np.where(backward, back[0], there[0]) << 32 | np.where(backward, back[1], there[1])
    _, first, same = np.unique(key, return_index=True, return_inverse=True)
    return _Arcs(vertex, starts, ring, backward, same.ravel(), first)


def _simplify_distinct(arcs: _Arcs, points: Floats, exact: NDArray[np.bool_], tolerance: float) -> tuple[Ints, Ints]:
    """Simplify each distinct arc in its canonical direction; give the vertices left and their starts."""
    sizes = np.diff(arcs.starts)[arcs.first]
    begin, end = arcs.starts[arcs.first], arcs.starts[arcs.first + 1] - 1
    run = spans(np.zeros(len(sizes), np.int64), sizes)
    turned = arcs.backward[arcs.first]
    places = np.repeat(np.where(turned, end, begin), sizes) + np.where(np.repeat(turned, sizes), -run, run)
    vertex = arcs.vertex[places]
    firm = np.bincount(arcs.same, exact[arcs.ring], len(sizes)) > 0
    ready = firm | (sizes == 2)
    if tolerance <= 0 or ready.all():
        return vertex, offsets(sizes)
    loose = np.repeat(~ready, sizes)
    # The third ordinate carries each vertex's own place through the simplification.
    place = np.flatnonzero(loose)
    coords = np.column_stack([points[vertex[loose]], place])
    number = np.repeat(np.cumsum(~ready) - 1, np.where(ready, 0, sizes))
    lines = shapely.linestrings(coords, indices=number)
    left = shapely.get_coordinates(shapely.simplify(lines, tolerance, preserve_topology=False), include_z=True)[:, 2]
    keep = ~loose
    keep[left.astype(np.int64)] = True
    arc = np.repeat(np.arange(len(sizes)), sizes)
    return vertex[keep], offsets(np.bincount(arc[keep], minlength=len(sizes)))


def _put_together(arcs: _Arcs, kept: Ints, kept_starts: Ints, rings: int) -> tuple[Ints, Ints]:
    begin, end = kept_starts[arcs.same], kept_starts[arcs.same + 1] - 1
    last = np.ones(len(arcs.ring), np.bool_)
    last[:-1] = arcs.ring[1:] != arcs.ring[:-1]
    counts = end - begin + last  # the end of an arc is the beginning of the next
    run = spans(np.zeros(len(counts), np.int64), counts)
    turned = np.repeat(arcs.backward, counts)
    places = np.repeat(np.where(arcs.backward, end, begin), counts) + np.where(turned, -run, run)
    sizes = np.bincount(arcs.ring, counts, rings).astype(np.int64)
    return kept[places], offsets(sizes)
