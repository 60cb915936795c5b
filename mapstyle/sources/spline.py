"""Smooth curves through a table of samples, one axis after the other."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]


class Taps(NamedTuple):
    """Where to look in a table along one axis: ``first`` int64[n], the first of four, and ``weights`` float[n, 4]."""

    first: NDArray[np.int64]
    weights: NDArray[np.floating]

    @property
    def span(self) -> tuple[int, int]:
        """First entry looked at, and the one after the last."""
        return int(self.first.min()), int(self.first.max()) + 4


def b_spline(at: NDArray[np.float64]) -> Taps:
    """Weigh for the uniform cubic B-spline, whose curve has no kink in slope or curvature and never overshoots.

    It does not pass through the samples but smooths them by [1 4 1]/6; straight slopes stay as they are.

    Args:
        at: float64[n], positions counted in entries of the table, which lie at whole numbers.
    """
    whole = np.floor(at)
    t = at - whole
    s = 1 - t
    weights = np.stack([s**3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (3 * s**3 - 6 * s**2 + 4) / 6, t**3 / 6], axis=-1)
    return Taps(whole.astype(np.int64) - 1, weights.astype(np.float32))


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
        axis=-1,
    )
    return Taps(whole.astype(np.int64) - 1, weights)


def on_lattice(table: NDArray[np.floating], rows: Taps, columns: Taps) -> NDArray[np.floating]:
    """Evaluate at every crossing of rows and columns: [len(rows), len(columns)], as exact as the table."""
    between = table[rows.first] * rows.weights[:, 0, None]
    for k in (1, 2, 3):
        between += table[rows.first + k] * rows.weights[:, k, None]
    out = np.take(between, columns.first, axis=1) * columns.weights[:, 0]
    for k in (1, 2, 3):
        out += np.take(between, columns.first + k, axis=1) * columns.weights[:, k]
    return out


def scattered(table: Values, rows: Taps, columns: Taps) -> Values:
    """Evaluate at points that lie anyhow: ``rows`` and ``columns`` are of one length, which the result has too."""
    flat = np.ascontiguousarray(table).ravel()
    start = rows.first * table.shape[1] + columns.first
    out = np.zeros(len(start), np.float32)
    for j in range(4):
        line = np.zeros(len(start), np.float32)
        for i in range(4):
            line += flat.take(start + (j * table.shape[1] + i)) * columns.weights[:, i]
        out += line * rows.weights[:, j]
    return out
