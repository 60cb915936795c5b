"""Paths for words along lines: long, smooth, and where the line is calm."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mapstyle.sources.gather import Floats, Ints

_LONGEST = 400.0
"""Logical pixels of path that a label is ever given."""
_SPARE = 60.0
"""Logical pixels of path beyond what the words are thought to need."""
_WANDER = 0.3
"""Part of the distance between repeats by which one may leave its even place for a calmer one."""


@dataclass(frozen=True)
class Manner:
    """How words are set along one kind of line, in logical pixels.

    Attributes:
        spacing: between repeats.
        step: between vertices of a path.
        smooth: standard deviation of the Gaussian that rounds a path.
    """

    spacing: float
    step: float
    smooth: float


def width_of(names: Mapping[str, str]) -> float:
    """Guess how wide a name is set, logical pixels: 6.5 a letter, 11 where writing is square."""
    return sum(11.0 if ord(c) >= 0x2E80 else 6.5 for c in names.get("", ""))


def pieces(line: Floats, words: float, manner: Manner) -> Iterator[tuple[Floats, float, float]]:
    """Give paths for a label's repeats along a whole line: each path, and the anchor in its middle.

    Args:
        line: float64[n, 2], logical pixels.
        words: how wide the label is thought to be.
        manner: how to set it.
    """
    length = _length(line)
    if length < 0.9 * words:
        return
    halves = max(1, round(length / manner.step / 2))
    path = _even(line, 2 * halves + 1)
    path = _even(_smooth(path, min(manner.smooth / manner.step, halves / 4)), 2 * halves + 1)
    step = length / (2 * halves)
    reach = min(halves, math.ceil(min(_LONGEST, words + _SPARE) / 2 / step))
    repeats = max(1, round(length / manner.spacing))
    bend = _bend(path)
    for i in range(repeats):
        even = (i + 0.5) * 2 * halves / repeats
        middle = _calmest(bend, even, _WANDER * 2 * halves / repeats, reach)
        x, y = path[middle].tolist()
        yield path[middle - reach : middle + reach + 1].copy(), x, y


def _length(line: Floats) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def _even(line: Floats, count: int) -> Floats:
    """Set ``count`` points at even distances along a line."""
    ends = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    at = np.linspace(0.0, ends[-1], count)
    return np.column_stack([np.interp(at, ends, line[:, 0]), np.interp(at, ends, line[:, 1])])


def _smooth(path: Floats, sigma: float) -> Floats:
    """Smooth a path of even points by a Gaussian; its ends stay, for it is mirrored in them."""
    reach = math.ceil(3 * sigma)
    if reach < 1 or len(path) < 3:
        return path
    reach = min(reach, len(path) - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    head = 2 * path[0] - path[reach:0:-1]
    tail = 2 * path[-1] - path[-2 : -reach - 2 : -1]
    # From the first point, because large coordinates would cost digits.
    wide = np.concatenate([head, path, tail]) - path[0]
    out = np.column_stack([np.convolve(wide[:, i], kernel, mode="valid") for i in (0, 1)])
    return np.asarray(out + path[0])


def _bend(path: Floats) -> Floats:
    """Add up the squares of turns along a path: float64[n + 1], so that differences are sums."""
    ahead = np.diff(path, axis=0)
    angle = np.arctan2(ahead[:, 1], ahead[:, 0])
    turn = (np.diff(angle) + np.pi) % (2 * np.pi) - np.pi
    square = np.concatenate([[0.0], turn**2, [0.0]])
    return np.concatenate([[0.0], np.cumsum(square)])


def _calmest(bend: Floats, even: float, wander: float, reach: int) -> int:
    """Find where a label bends least near its even place; whole calm wins over a place a little better."""
    last = len(bend) - 2
    low = max(reach, math.ceil(even - wander))
    high = min(last - reach, math.floor(even + wander))
    if high <= low:
        return min(max(reach, round(even)), last - reach)
    at: Ints = np.arange(low, high + 1)
    cost = bend[at + reach + 1] - bend[at - reach] + 0.3 * ((at - even) / max(wander, 1.0)) ** 2
    return int(at[np.argmin(np.round(cost, 6))])
