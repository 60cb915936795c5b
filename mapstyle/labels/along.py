"""Set words along a line: glyph by glyph on a smooth path, upright, never round a sharp bend."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapstyle.labels.shape import Line
from mapstyle.placed import PlacedGlyph

Path = NDArray[np.float64]
Box = tuple[float, float, float, float]

STEP = 3.0
"""Logical pixels between the points of the smooth path."""
MOST_TURN = math.radians(20)
"""Largest angle between neighbouring letters; joined letters may turn half as far."""
MOST_BEND = math.radians(80)
"""Largest angle between the first letter and any other."""
MOST_LEAN = math.radians(105)
"""Largest angle of a letter from upright."""


def along(line: Line, size: float, path: Path, x: float, y: float) -> tuple[list[PlacedGlyph], list[Box]] | None:
    """Set a line of words on a path, centred at a point of it.

    Args:
        line: the shaped words.
        size: logical pixels to the em.
        path: float64[n, 2], logical pixels.
        x: the anchor, on the path.
        y: the anchor.

    Returns:
        Glyphs and the boxes they cover; None where the path is too short, too crooked, or comes back on itself.
    """
    half = line.width * size / 2
    track = _smooth(path, x, y, half + 0.6 * size, size)
    if track is None:
        return None
    points, middle = track
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    if middle - half < 0 or middle + half > lengths[-1]:
        return None
    ends = _at(points, lengths, np.array([middle - half, middle + half]))
    run = ends[1] - ends[0]
    span = float(np.hypot(*run))
    if span < 1.2 * half:
        return None
    # Read from left to right; a line straight up and down reads upwards, as on a book's spine.
    if run[0] < -1e-3 * span or (abs(run[0]) <= 1e-3 * span and run[1] > 0):
        points, lengths, middle = points[::-1], lengths[-1] - lengths[::-1], float(lengths[-1] - middle)
    return _set(line, size, points, lengths, middle - half)


def _set(
    line: Line, size: float, points: Path, lengths: NDArray[np.float64], start: float
) -> tuple[list[PlacedGlyph], list[Box]] | None:
    advances = np.array([c.advance for c in line.clusters]) * size
    begins = start + np.concatenate([[0.0], np.cumsum(advances)[:-1]])
    middles = begins + advances / 2
    # The chord under a letter and half its neighbours gives its slope: steadier than the path's own tangent.
    reach = np.maximum(advances / 2, 0.3 * size)
    before, after = _at(points, lengths, middles - reach), _at(points, lengths, middles + reach)
    angles = np.unwrap(np.arctan2(after[:, 1] - before[:, 1], after[:, 0] - before[:, 0]))
    turns = np.abs(np.diff(angles))
    limit = MOST_TURN * (0.5 if line.connected else 1.0)
    if len(turns) and (turns.max() > limit or np.abs(angles - angles[0]).max() > MOST_BEND):
        return None
    if np.abs(angles).max() > MOST_LEAN:
        return None
    seats = _at(points, lengths, middles)
    drop = 0.31 * size  # half a capital's height: the line runs through the middle of the letters
    glyphs: list[PlacedGlyph] = []
    boxes: list[Box] = []
    rise, fall = (max(line.top, 0.5) * size - drop), (min(line.bottom, 0.0) * -size + drop)
    for cluster, seat, angle, advance in zip(line.clusters, seats, angles, advances, strict=True):
        turn = round(float(angle) * 1024) / 1024
        c, s = math.cos(turn), math.sin(turn)
        # From the middle of the letter on the line, back to its pen on the baseline.
        pen = (seat[0] - c * advance / 2 - s * drop, seat[1] - s * advance / 2 + c * drop)
        for face, glyph, dx, dy in cluster.glyphs:
            gx, gy = pen[0] + (c * dx + s * dy) * size, pen[1] + (s * dx - c * dy) * size
            glyphs.append(PlacedGlyph(face, glyph, _grain(gx), _grain(gy), turn))
        if cluster.glyphs:
            boxes.append(_box(seat, c, s, advance / 2, rise, fall))
    return glyphs, boxes


def _box(seat: Path, c: float, s: float, half: float, rise: float, fall: float) -> Box:
    """Give the upright box about a letter that is turned: ``half`` to its sides, ``rise`` above the line."""
    xs = [c * u - s * v for u in (-half, half) for v in (-rise, fall)]
    ys = [s * u + c * v for u in (-half, half) for v in (-rise, fall)]
    return (
        _grain(float(seat[0]) + min(xs)), _grain(float(seat[1]) + min(ys)),
        _grain(float(seat[0]) + max(xs)), _grain(float(seat[1]) + max(ys)),
    )  # fmt: skip


def _smooth(path: Path, x: float, y: float, reach: float, size: float) -> tuple[Path, float] | None:
    """Cut the part of a path within ``reach`` of the anchor and take its corners off.

    Returns:
        Points about :data:`STEP` apart and the anchor's length along them; None where it is too short.
    """
    path = _distinct(path)
    if len(path) < 2:
        return None
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    anchor = _nearest(path, lengths, x, y)
    soft = 0.9 * size  # corners are rounded over about a letter
    start, end = max(0.0, anchor - reach - 3 * soft), min(float(lengths[-1]), anchor + reach + 3 * soft)
    if min(anchor - start, end - anchor) < reach - 0.6 * size:
        return None
    back, on = int((anchor - start) // STEP), int((end - anchor) // STEP)
    stations = anchor + STEP * np.arange(-back, on + 1)
    points = _at(path, lengths, stations)
    kernel = np.exp(-0.5 * (np.arange(-3, 4) * STEP / soft * 1.2) ** 2)
    kernel /= kernel.sum()
    for _ in range(2):
        padded = np.concatenate(
            [2 * points[0] - points[3:0:-1], points, 2 * points[-1] - points[-2:-5:-1]]
        ) if len(points) > 4 else None  # fmt: skip
        if padded is None:
            break
        # Summed tap by tap: the same order, hence the same bits, wherever the words stand.
        total = np.zeros_like(points)
        for k, weight in enumerate(kernel):
            total += weight * padded[k : k + len(points)]
        points = total
    new = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    return points, float(new[back])


def _distinct(path: Path) -> Path:
    steps = np.hypot(*np.diff(path, axis=0).T)
    return path[np.concatenate([[True], steps > 1e-6])]


def _nearest(path: Path, lengths: NDArray[np.float64], x: float, y: float) -> float:
    """Give the length along a path at which it passes nearest to a point."""
    a, d = path[:-1], np.diff(path, axis=0)
    t = np.clip(((x - a[:, 0]) * d[:, 0] + (y - a[:, 1]) * d[:, 1]) / (d**2).sum(axis=1), 0, 1)
    gap = np.hypot(a[:, 0] + t * d[:, 0] - x, a[:, 1] + t * d[:, 1] - y)
    i = int(np.argmin(gap))
    return float(lengths[i] + t[i] * (lengths[i + 1] - lengths[i]))


def _at(points: Path, lengths: NDArray[np.float64], where: NDArray[np.floating[Any]]) -> Path:
    return np.column_stack([np.interp(where, lengths, points[:, 0]), np.interp(where, lengths, points[:, 1])])


def _grain(value: float) -> float:
    return round(value * 64) / 64
