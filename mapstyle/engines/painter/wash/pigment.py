"""Pigment: colours as optical density, washes laid on planes of it, and values that go by level."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from mapstyle.engines.painter.brush import rgb
from mapstyle.engines.painter.canvas import Canvas

Field = NDArray[np.float32]
Bytes = NDArray[np.uint8]
f32 = np.float32

_DARKEST = 0.012
"""Share of light that the densest wash still lets through."""


def _steps(value: object) -> object:
    return ((0.0, float(value)),) if isinstance(value, (int, float)) else value


ByLevel = Annotated[tuple[tuple[float, float], ...], BeforeValidator(_steps)]
"""A number, or ``[[level, number], ...]`` with straight lines between."""


def at_level(value: ByLevel, level: float) -> float:
    """Give a value at a level; before the first and after the last knot it stays as it is there."""
    return float(np.interp(level, [k for k, _ in value], [v for _, v in value]))


def density_of(colour: str) -> Field:
    """Give float32[3], the optical density ``-ln(c)`` of a wash that looks so on white paper."""
    return -np.log(np.maximum(rgb(colour), f32(_DARKEST)))


def density_table(colours: Sequence[str]) -> Field:
    """Give float32[3, 256]: density per channel of a byte that counts through colours, and starts again."""
    known = np.array([density_of(c) for c in colours], f32)
    return np.ascontiguousarray(known[np.arange(256) % len(colours)].T)


def look_up(table: Field, index: Bytes) -> Field:
    """Give ``table[index]``: float32[256] by an image of bytes."""
    return cv2.LUT(index, table)


def lay(canvas: Canvas, amount: Field, first: Field, second: Field | None = None, mix: Field | None = None) -> None:
    """Lay a wash on the canvas: add ``amount`` times a pigment, or times two pigments mixed by a field.

    Args:
        canvas: its plane ``density``, float32[3, height, width], is added to.
        amount: float32[height, width], thickness of the wash.
        first: float32[3], density of the pigment.
        second: float32[3], of the pigment at ``mix`` 1.
        mix: float32[height, width].
    """
    density = canvas.planes["density"]
    blend = amount * mix if mix is not None and second is not None else None
    for i in range(3):
        cv2.scaleAdd(amount, float(first[i]), density[i], dst=density[i])
        if blend is not None and second is not None:
            cv2.scaleAdd(blend, float(second[i] - first[i]), density[i], dst=density[i])


def lift(canvas: Canvas, amount: Field) -> None:
    """Take pigment off again: 1 leaves bare paper."""
    density = canvas.planes["density"]
    left = f32(1) - amount
    for i in range(3):
        density[i] *= left


def byte_hash(ids: NDArray[np.uint32], salt: int) -> Bytes:
    """Give a byte for each id, spread evenly whatever the ids are (Fibonacci hashing of two rounds)."""
    h = ids ^ np.uint32(salt * 0x85EBCA6B & 0xFFFFFFFF)
    h *= np.uint32(0x9E3779B1)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h >>= np.uint32(24)
    return h.astype(np.uint8)


def byte_table(make: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Field:
    """Give float32[256] of a function of bytes, 0..255."""
    return make(np.arange(256, dtype=np.float64)).astype(f32)


def spread_table(salt: int) -> Field:
    """Give float32[256]: a number in 0..1 for each byte, unlike that of another salt."""
    return byte_table(lambda b: ((b * 167 + salt * 91) * (2 * salt + 1) % 256 + 0.5) / 256)


def logical_world(canvas: Canvas, divide: float = 1.0) -> tuple[Field, Field]:
    """Give world coordinates in logical pixels modulo 32768, as a row and a column to be broadcast.

    The modulus is taken before the division by the pixel ratio, so that @2x has the same phases.
    """
    s, frame = canvas.s, canvas.frame
    span = 32768 * s
    x = ((np.arange(frame.width) + frame.column % span).astype(f32) + f32(0.5)) * f32(1 / (s * divide))
    y = ((np.arange(frame.height) + frame.row % span).astype(f32) + f32(0.5)) * f32(1 / (s * divide))
    return x[None, :], y[:, None]


def ceil_reach(*lengths: float) -> int:
    """Give a reach that covers lengths in logical pixels, one after the other."""
    return math.ceil(sum(lengths))
