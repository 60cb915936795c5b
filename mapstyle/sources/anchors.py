"""Find where inside an area its name has the most room."""

from collections.abc import Sequence

import numpy as np

from mapstyle.sources.gather import Floats

_ROWS = 15
"""Heights at which an area is looked at."""
_HALF_LINE = 6.0
"""Half the height of a line of words, logical pixels: the room must be free above and below as well."""
_RUNS = 5
"""The longest stretches of a row that are looked at."""
_PULL = 0.25
"""How much a place at the top or bottom of an area counts less than one in the middle."""


def roomiest(parts: Sequence[Floats]) -> tuple[float, float, float] | None:
    """Find the middle of the widest free stretch of an area.

    Args:
        parts: closed rings, float64[m, 2], filled by the even-odd rule.

    Returns:
        x, y and the width free there, logical pixels; None where nothing is free.
    """
    begin = np.concatenate([p[:-1] for p in parts])
    end = np.concatenate([p[1:] for p in parts])
    top, bottom = float(begin[:, 1].min()), float(begin[:, 1].max())
    height = bottom - top
    half = min(_HALF_LINE, height / 5)
    best: tuple[float, float, float, float] | None = None
    for i in range(_ROWS):
        share = (i + 0.5) / _ROWS
        y = top + share * height
        runs = _inside(begin, end, y)
        if not len(runs):
            continue
        runs = runs[np.argsort(runs[:, 0] - runs[:, 1], kind="stable")[:_RUNS]]
        for beside in (y - half, y + half):
            runs = _shared(runs, _inside(begin, end, beside))
        for left, right in runs.tolist():
            score = (right - left) * (1.0 - _PULL * abs(2 * share - 1))
            if best is None or score > best[0] + 1e-6:
                best = score, (left + right) / 2, y, right - left
    return None if best is None else best[1:]


def _inside(begin: Floats, end: Floats, y: float) -> Floats:
    """Give the stretches of a row that lie inside: float64[k, 2]."""
    crossing = (begin[:, 1] <= y) != (end[:, 1] <= y)
    a, b = begin[crossing], end[crossing]
    x = np.sort(a[:, 0] + (y - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0]))
    return x[: len(x) // 2 * 2].reshape(-1, 2)


def _shared(runs: Floats, others: Floats) -> Floats:
    """Cut each stretch down to the longest piece that it shares with another row."""
    if not len(runs) or not len(others):
        return np.zeros((0, 2))
    left = np.maximum(runs[:, None, 0], others[None, :, 0])
    right = np.minimum(runs[:, None, 1], others[None, :, 1])
    longest = np.argmax(right - left, axis=1)
    row = np.arange(len(runs))
    out = np.column_stack([left[row, longest], right[row, longest]])
    return out[out[:, 1] > out[:, 0]]
