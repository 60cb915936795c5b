"""Smooth curves through a table of samples, one axis after the other."""

from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]
Number = TypeVar("Number", np.float32, np.float64)


class Taps(NamedTuple):
    """Where to look in a table along one axis: ``first`` int64[n], the first of four, and ``weights`` float[4, n]."""

    first: NDArray[np.int64]
    weights: NDArray[Any]


def b_spline(at: NDArray[np.float64]) -> Taps:
    """Weigh for the uniform cubic B-spline, whose curve has no kink in slope or curvature and never overshoots.

    It does not pass through the samples but smooths them by [1 4 1]/6; straight slopes stay as they are.

    Args:
        at: float64[n], positions counted in entries of the table, which lie at whole numbers.
    """
    whole = np.floor(at)
    t = (at - whole).astype(np.float32)
    s = 1 - t
    weights = np.empty((4, len(at)), np.float32)
    sixth = np.float32(1 / 6)
    weights[0] = s * s * s * sixth
    weights[3] = t * t * t * sixth
    weights[1] = (3 * t - 6) * t * t * sixth + np.float32(2 / 3)
    weights[2] = (3 * s - 6) * s * s * sixth + np.float32(2 / 3)
    return Taps(whole.astype(np.int64) - 1, weights)


def catmull_rom(at: NDArray[np.float64]) -> Taps:
    """Weigh for the Catmull-Rom cubic, which passes through the entries; for tables of coordinates."""
    whole = np.floor(at)
    t = at - whole
    weights = np.stack(
        [
            (-(t**3) + 2 * t**2 - t) / 2,
            (3 * t**3 - 5 * t**2 + 2) / 2,
            (-3 * t**3 + 4 * t**2 + t) / 2,
            (t**3 - t**2) / 2,
        ],
        axis=0,
    )
    return Taps(whole.astype(np.int64) - 1, weights)


def on_lattice(table: NDArray[Number], rows: Taps, columns: Taps) -> NDArray[Number]:
    """Evaluate at every crossing of rows and columns: [len(rows), len(columns)], as exact as the table."""
    between = table[rows.first] * rows.weights[0][:, None]
    for k in (1, 2, 3):
        between += table[rows.first + k] * rows.weights[k][:, None]
    out = np.take(between, columns.first, axis=1) * columns.weights[0]
    for k in (1, 2, 3):
        out += np.take(between, columns.first + k, axis=1) * columns.weights[k]
    return out


def scattered(table: Values, rows: Taps, columns: Taps) -> Values:
    """Evaluate at points that lie anyhow: ``rows`` and ``columns`` are of one length, which the result has too."""
    flat = np.ascontiguousarray(table).ravel()
    start = rows.first * table.shape[1] + columns.first
    out = np.zeros(len(start), np.float32)
    line, tap = np.empty_like(out), np.empty_like(out)
    for j in range(4):
        np.multiply(flat.take(start), columns.weights[0], out=line)
        for i in (1, 2, 3):
            # The window of the flat table starts i samples later; that is cheaper than moving all the places.
            flat[i:].take(start, out=tap, mode="clip")
            line += np.multiply(tap, columns.weights[i], out=tap)
        out += np.multiply(line, rows.weights[j], out=line)
        start += table.shape[1]
    return out
