"""Join lines end to end into chains, so that what runs along a line knows nothing of where its ways were cut."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mapstyle.sources.gather import Floats, Ints, offsets

STRAIGHT = math.radians(60)
"""Largest turn at which a line goes on as the same line through a junction."""


@dataclass(frozen=True)
class Ways:
    """Lines to be joined.

    Attributes:
        key: int64[w]; only lines of one key are joined.
        order: uint64[w], a lasting name that settles ties.
        start: int64[w], number of the first vertex.
        end: int64[w], number of the last.
        out: float64[w, 2], direction in which the line leaves its first vertex.
        back: float64[w, 2], direction in which it leaves its last vertex, backwards.
        length: float64[w], logical pixels.
    """

    key: Ints
    order: NDArray[np.uint64]
    start: Ints
    end: Ints
    out: Floats
    back: Floats
    length: Floats


@dataclass(frozen=True)
class Chains:
    """Lines in the order in which they follow each other.

    Attributes:
        way: int64[w], each line once, chain after chain.
        starts: int64[c + 1], where each chain starts in ``way``.
        flipped: bool[w], by position in ``way``: whether the chain runs against the line.
        along: float64[w], by position: logical pixels of the chain before the line.
        length: float64[c].
    """

    way: Ints
    starts: Ints
    flipped: NDArray[np.bool_]
    along: Floats
    length: Floats


def ways_of(coords: Floats, starts: Ints, begin: Ints, end: Ints, key: Ints, order: NDArray[np.uint64]) -> Ways:
    """Describe lines, given by their vertices and where each starts among them, so that they can be joined."""
    first, last = starts[:-1], starts[1:] - 1
    step = np.hypot(*np.diff(coords, axis=0, append=coords[-1:]).T)
    step[last] = 0.0
    out = _unit(coords[first + 1] - coords[first])
    back = _unit(coords[last - 1] - coords[last])
    return Ways(key, order, begin, end, out, back, np.add.reduceat(step, first))


def _unit(vectors: Floats) -> Floats:
    length = np.hypot(vectors[:, 0], vectors[:, 1])
    return np.asarray(vectors / np.where(length > 0, length, 1.0)[:, None])


def chain(ways: Ways) -> Chains:
    """Join lines of one key wherever they meet end to end.

    Where two ends meet they are joined; where more do, the straightest pairs go on as one. A chain runs the
    way most of its length was drawn (rivers downstream, coasts with land on the left).
    """
    partner = _partners(ways)
    order = np.argsort(ways.order, kind="stable")
    runs = [_directed(run, ways) for run in _walk(order, partner)]
    sizes = np.array([len(run) for run in runs], np.int64)
    flat = np.array([end for run in runs for end in run], np.int64)
    way, flipped = flat >> 1, (flat & 1).astype(np.bool_)
    starts = offsets(sizes)
    total = np.zeros(len(runs))
    along = np.zeros(len(way))
    for i, (a, b) in enumerate(pairwise(starts.tolist())):
        ends = np.cumsum(ways.length[way[a:b]])
        along[a + 1 : b] = ends[:-1]
        total[i] = ends[-1]
    return Chains(way, starts, flipped, along, total)


def _partners(ways: Ways) -> Ints:
    """Give for each end (twice the line's number, one more for its last vertex) the end it goes on with, or -1."""
    count = len(ways.key)
    key = np.repeat(ways.key, 2)
    node = np.stack([ways.start, ways.end], axis=1).ravel()
    name = np.repeat(ways.order, 2)
    direction = np.stack([ways.out, ways.back], axis=1).reshape(-1, 2)
    order = np.lexsort((np.arange(2 * count), name, node, key))
    new = np.ones(2 * count, np.bool_)
    new[1:] = (key[order][1:] != key[order][:-1]) | (node[order][1:] != node[order][:-1])
    starts = np.flatnonzero(new)
    sizes = np.diff(np.append(starts, 2 * count))
    partner = np.full(2 * count, -1, np.int64)
    pairs = starts[sizes == 2]
    a, b = order[pairs], order[pairs + 1]
    open_pair = a >> 1 != b >> 1
    partner[a[open_pair]], partner[b[open_pair]] = b[open_pair], a[open_pair]
    for i in np.flatnonzero(sizes > 2):
        group = order[starts[i] : starts[i] + sizes[i]]
        for one, other in _straightest(group, direction[group]):
            partner[one], partner[other] = other, one
    return partner


def _straightest(group: Ints, direction: Floats) -> Iterator[tuple[int, int]]:
    """Pair ends that meet, straightest first, as long as the turn is small."""
    turn = np.pi - np.arccos(np.clip(direction @ direction.T, -1.0, 1.0))
    one, other = np.triu_indices(len(group), 1)
    # Rounded, so that the last bit of an arc cosine settles nothing.
    angles = np.round(turn[one, other], 6)
    free = [True] * len(group)
    for i in np.argsort(angles, kind="stable"):
        a, b = int(one[i]), int(other[i])
        if angles[i] > STRAIGHT:
            return
        if free[a] and free[b] and group[a] >> 1 != group[b] >> 1:
            free[a] = free[b] = False
            yield int(group[a]), int(group[b])


def _walk(order: Ints, partner: Ints) -> Iterator[list[int]]:
    """Follow the joints: give chains as ends by which each line is entered, loops last."""
    onward = partner.tolist()
    seen = [False] * (len(onward) // 2)
    begins = [2 * w + side for w in order.tolist() for side in (0, 1) if onward[2 * w + side] < 0]
    for begin in [*begins, *(2 * w for w in order.tolist())]:
        if seen[begin >> 1]:
            continue
        run, entered = [], begin
        while entered >= 0 and not seen[entered >> 1]:
            seen[entered >> 1] = True
            run.append(entered)
            entered = onward[entered ^ 1]
        yield run


def _directed(run: list[int], ways: Ways) -> list[int]:
    """Turn a chain round if most of it runs against its lines, or, undecided, from its higher end."""
    forward = math.fsum(float(ways.length[e >> 1]) * (-1 if e & 1 else 1) for e in run)
    if abs(forward) < 1e-6:
        first, last = run[0], run[-1]
        begin = int(ways.end[first >> 1] if first & 1 else ways.start[first >> 1])
        finish = int(ways.start[last >> 1] if last & 1 else ways.end[last >> 1])
        forward = finish - begin
    return run if forward >= 0 else [e ^ 1 for e in reversed(run)]
