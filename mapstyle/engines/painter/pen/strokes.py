"""Strokes: periodic textures of hand-drawn hatching whose lines grow and lift with the tone that is asked for.

A texture holds, at each pixel, how soon a stroke gets there: add the tone wanted, and what passes the
threshold is ink. So strokes swell in the dark, thin in the light and lift off one by one, as in Salisbury et
al., Orientable Textures for Image-Based Pen-and-Ink Illustration (1997), and never turn to grey.
"""

import math
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache, partial

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.engines.painter.pen.nib import Bytes, look
from mapstyle.frame import Frame
from mapstyle.noise import hash2, periodic, unit

Field = NDArray[np.float32]
f32 = np.float32

FALL = 80
"""Bytes by which a stroke's value falls a logical pixel away from its middle."""
PEAK = 150
"""Value in the middle of the boldest stroke."""
_HALF = 215
"""Sum of value and tone at which a pixel is half covered."""


class Manner(StrEnum):
    """How the strokes of a texture are made."""

    LINES = "lines"
    LONG = "long"
    DASHES = "dashes"
    DOTS = "dots"
    VINES = "vines"
    TREES = "trees"
    RIPPLES = "ripples"
    MOWN = "mown"
    TICKS = "ticks"


# Pitch in logical pixels; share of cells in which a line is broken; sideways wander in pixels.
_PITCH = {
    "lines": 6.4,
    "long": 8.5,
    "dashes": 6.0,
    "dots": 6.0,
    "vines": 6.5,
    "trees": 12.0,
    "ripples": 7.0,
    "mown": 4.6,
    "ticks": 5.6,
}
_BROKEN = {"lines": 0.07, "long": 0.04, "dashes": 0.42, "ripples": 0.55, "mown": 0.03}
_WANDER = {
    "lines": 0.45,
    "long": 0.6,
    "dashes": 0.4,
    "dots": 0.5,
    "vines": 0.4,
    "trees": 0.6,
    "ripples": 1.7,
    "mown": 0.3,
    "ticks": 0.2,
}


def tone_for(width: float) -> int:
    """Give the tone at which the boldest strokes are ``width`` logical pixels wide."""
    return round(_HALF - PEAK + width * FALL / 2)


@lru_cache(maxsize=4)
def _ink_table(ratio: int) -> Bytes:
    value = np.arange(256, dtype=f32)
    return np.rint(np.clip(f32(0.5) + (value - _HALF) * f32(ratio / FALL), 0, 1) * 255).astype(np.uint8)


def inked(value: Bytes, tone: Bytes | int, ratio: int, held: Bytes | None = None) -> Bytes:
    """Turn values and the tone wanted into ink; ``held`` is taken off the tone. Reach: 0."""
    total = cv2.add(value, tone)
    if held is not None:
        cv2.subtract(total, held, dst=total)
    return cv2.LUT(total, _ink_table(ratio))


@lru_cache(maxsize=64)
def hatching(manner: Manner, turns: int, period: int, pitch: float = 0.0) -> Callable[[int, int], Bytes]:
    """Give a maker of one manner at ``turns`` directions in half a circle, one below another.

    Equal settings give the same maker, which is what textures are kept by.
    """
    return partial(_hatching, manner, turns, pitch)


def _hatching(manner: Manner, turns: int, pitch: float, period: int, ratio: int) -> Bytes:
    wanted = (pitch or _PITCH[manner]) * ratio

    def one(k: int) -> Bytes:
        return _one(manner, math.pi * (k + 0.5) / turns, wanted, period, ratio, k)

    if manner is Manner.TREES or turns % 4:
        return np.concatenate([one(k) for k in range(turns)])
    # Strokes have no side that the light falls on: an eighth of the circle gives the rest by mirrors.
    eighth = [one(k) for k in range(turns // 4)]
    quarter = eighth + [e.T for e in eighth[::-1]]
    return np.concatenate(quarter + [q[:, ::-1] for q in quarter[::-1]])


def _one(manner: Manner, angle: float, pitch: float, period: int, ratio: int, seed: int) -> Bytes:
    """Make uint8[period, period]: strokes along ``angle``, radians clockwise from east.

    Phases across and along the strokes are whole numbers of turns over the period, so that it repeats
    without a seam; the cells between whole phases carry the luck of the hand.
    """
    m, n = round(-math.sin(angle) * period / pitch), round(math.cos(angle) * period / pitch)
    m, n = (m, n) if (m, n) != (0, 0) else (0, 1)
    size = period / math.hypot(m, n)
    y, x = np.mgrid[0:period, 0:period].astype(f32)
    waver = periodic(period, [(16 * ratio, 16 * ratio), (8 * ratio, 8 * ratio)], [1.0, 0.45], seed + 3)
    across = (x * f32(m / period) + y * f32(n / period)) + waver * f32(_WANDER[manner] * ratio / size)
    along = x * f32(n / period) - y * f32(m / period)
    if manner in (Manner.TREES, Manner.VINES):
        along = along + np.roll(waver, period // 2, 0) * f32(_WANDER[manner] * ratio / size)
    i, j = np.floor(across), np.floor(along)
    u, v = (across - i - f32(0.5)) * f32(size), (along - j - f32(0.5)) * f32(size)
    luck = partial(_luck, i.astype(np.int64), j.astype(np.int64), m, n, seed)
    bold = periodic(period, [(64 * ratio, 64 * ratio), (16 * ratio, 16 * ratio)], [1.0, 0.8], seed + 5) * f32(11)
    fall = f32(FALL / ratio)
    if manner is Manner.DOTS:
        away = np.hypot(u + (luck(1) - f32(0.5)) * f32(0.35 * size), v + (luck(2) - f32(0.5)) * f32(0.5 * size))
        value = f32(PEAK + 8) - away * fall - luck(3) * f32(30)
    elif manner is Manner.VINES:
        stake = np.hypot(u, v)
        shoot = np.hypot(np.maximum(np.abs(u) - f32(0.30 * size), 0), v - (luck(4) - f32(0.5)) * f32(0.3 * size))
        value = f32(PEAK) - np.minimum(np.maximum(stake - f32(0.5 * ratio), 0), shoot) * fall - luck(3) * f32(16)
    elif manner is Manner.TICKS:
        value = f32(PEAK) - np.hypot(np.maximum(np.abs(u) - f32(0.28 * size), 0), v) * fall - luck(3) * f32(12)
    elif manner is Manner.TREES:
        value = f32(PEAK) - _small_crown(u, v, angle, size, ratio, luck(5)) * fall
        value[luck(6) < f32(0.06)] = 0
    else:
        value = f32(PEAK) - np.abs(u) * fall - luck(3) * f32(14)
        value -= _ends(v, size, luck, _BROKEN[manner], FALL / ratio)
    value += np.clip(bold, -26, 10)
    return np.rint(np.clip(value, 0, 255)).astype(np.uint8)


def _luck(i: NDArray[np.int64], j: NDArray[np.int64], m: int, n: int, seed: int, stream: int, ahead: int = 0) -> Field:
    """Give 0..1 of each cell; cells that are one when the texture repeats have the same.

    The middle of a cell in doubled lattice units is ``(m (2i + 1) + n (2j + 1), n (2i + 1) - m (2j + 1))``, and the
    texture repeats after ``2 (m^2 + n^2)`` of them.
    """
    turn = 2 * (m * m + n * n)
    a, b = 2 * i + 1, 2 * (j + ahead) + 1
    return unit(hash2((m * a + n * b) % turn, (n * a - m * b) % turn, seed * 64 + stream))


def _ends(v: Field, size: float, luck: Callable[..., Field], broken: float, fall: float) -> Field:
    """Give what strokes lose towards their ends: cells drawn by lot are gaps, and their neighbours taper."""
    gap = luck(7) < f32(broken)
    before, after = luck(7, -1) < f32(broken), luck(7, 1) < f32(broken)
    half = f32(size / 2)
    lost = np.where(gap, half * f32(2), 0).astype(f32)
    lost = np.where(~gap & after, np.maximum(v + half * f32(0.2), 0), lost)
    lost = np.where(~gap & before, np.maximum(lost, half * f32(0.2) - v), lost)
    return np.minimum(lost * f32(fall * 0.8), f32(255))


def _small_crown(u: Field, v: Field, angle: float, size: float, ratio: int, luck: Field) -> Field:
    """Give the distance to the strokes of a small round tree: a ring, and hatching on the side away from the light."""
    c, s = f32(math.cos(angle)), f32(math.sin(angle))
    x, y = v * c - u * s, v * s + u * c
    radius = f32(size) * (f32(0.26) + luck * f32(0.10))
    away = np.hypot(x, y)
    shade = (x + y) * f32(math.sqrt(0.5))
    ring = np.maximum(np.abs(away - radius) - np.clip(shade / radius, -0.3, 1) * f32(0.35 * ratio), 0)
    strokes = np.abs((x - y) * f32(math.sqrt(0.5)) % f32(2.2 * ratio) - f32(1.1 * ratio))
    strokes = np.where((away < radius) & (shade > f32(0.15) * radius), strokes, f32(99))
    return np.minimum(ring, strokes)


def addresses(frame: Frame, period: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Give (columns[1, width], rows[height, 1]) of a frame's pixels in a texture of ``period`` real pixels."""
    columns = (np.arange(frame.column, frame.end_column) % period).astype(np.int16)
    rows = (np.arange(frame.row, frame.end_row) % period).astype(np.int16)
    return columns[None, :], rows[:, None]


def turned(texture: Bytes, frame: Frame, turn: Bytes, move: tuple[Bytes, Bytes] | None = None) -> Bytes:
    """Look hatching up with a direction for each pixel, and each pixel's own shift. Reach: 0.

    Args:
        texture: from :func:`hatching`: directions one below another.
        frame: where.
        turn: number of the direction.
        move: shifts right and down, real pixels; strokes of neighbouring fields then do not meet.
    """
    period = texture.shape[1]
    columns, rows = addresses(frame, period)
    x, y = np.broadcast_to(columns, frame.shape), np.broadcast_to(rows, frame.shape)
    if move is not None:
        mask = np.int16(period - 1)
        x, y = (x + move[0]) & mask, (y + move[1]) & mask
    y = y + turn * np.int16(period)
    return look(texture, np.ascontiguousarray(x), y)


@lru_cache(maxsize=16)
def one_way(manner: Manner, period: int, ratio: int, pitch: float = 0.0, angle: float = 0.0) -> Bytes:
    """Make one texture of strokes that run one way; ``angle`` in radians clockwise from east."""
    return _one(manner, angle, (pitch or _PITCH[manner]) * ratio, period, ratio, 97)
