"""The nib: strokes as bytes, laid and scraped off, lines along edges, and the tremble of the hand.

Ink is kept as bytes, 255 being solid: OpenCV's byte arithmetic is exact in any crop and many times faster
than floats. All lengths here are *real* pixels unless a name says otherwise.
"""

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator

from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import edges
from mapstyle.errors import nearest
from mapstyle.layers import LandClass

Bytes = NDArray[np.uint8]
Field = NDArray[np.float32]
f32 = np.float32

INK, WATER_INK, SEPIA, POOL = "ink", "water_ink", "sepia", "pool"
"""Working planes, bytes: strokes of the main ink and of the water's, a wash over land and one over water."""

TREMBLE = 2
"""Logical pixels by which the hand moves an outline at most."""


def _knots(value: object) -> object:
    return ((0.0, float(value)),) if isinstance(value, (int, float)) else value


Levelled = Annotated[tuple[tuple[float, float], ...], BeforeValidator(_knots)]
"""A number, or ``[[level, number], ...]`` with straight lines between."""


def at_level(value: Levelled, level: float) -> float:
    """Give a value at a level; before the first and after the last knot it stays as it is there."""
    return float(np.interp(level, [k for k, _ in value], [v for _, v in value]))


def _known_class(name: str) -> str:
    if name.upper() not in LandClass.__members__:
        raise ValueError(f"no land class '{name}'. {nearest(name, [c.name.lower() for c in LandClass])}")
    return name.lower()


ClassName = Annotated[str, AfterValidator(_known_class)]
"""A land class by its name in small letters."""


def class_of(name: str) -> int:
    """Give a land class's index."""
    return int(LandClass[name.upper()])


def class_table(classes: Iterable[str], value: int = 255) -> Bytes:
    """Give uint8[256]: ``value`` for some land classes, else 0."""
    table = np.zeros(256, np.uint8)
    table[[class_of(c) for c in classes]] = value
    return table


def has_land(canvas: Canvas, classes: Iterable[str]) -> bool:
    """Tell whether any of some land classes is in the window at all; only for leaving work undone."""

    def count() -> Field:
        return cv2.calcHist([canvas.control("landcover")], [0], None, [256], [0, 256]).ravel()

    present = canvas.keep("land present", count)
    return any(present[class_of(c)] > 0 for c in classes)


def table(make: Callable[[Field], Field]) -> Bytes:
    """Give uint8[256] from a function of 0..1 to 0..1."""
    return np.rint(np.clip(make(np.arange(256, dtype=f32) / f32(255)), 0, 1) * 255).astype(np.uint8)


def draw(canvas: Canvas, stroke: Bytes, plane: str = INK) -> None:
    """Lay strokes; where two cross, ink does not get blacker than ink. Reach: 0."""
    cv2.max(canvas.planes[plane], stroke, dst=canvas.planes[plane])


def erase(canvas: Canvas, mask: Bytes, washes: bool = False) -> None:
    """Scrape strokes of both inks off beneath something nearer, and the washes if asked. Reach: 0."""
    left = cv2.bitwise_not(mask)
    for name in (INK, WATER_INK, SEPIA, POOL) if washes else (INK, WATER_INK):
        cv2.min(canvas.planes[name], left, dst=canvas.planes[name])


def boundaries(ids: NDArray[Any], ratio: int) -> Bytes:
    """Draw lines about a logical pixel wide between pixels of different ids, evenly to both sides. Reach: 1."""
    line = edges(ids.view(np.int32)).view(np.uint8) * np.uint8(255)
    if ratio > 1:
        return cv2.dilate(line, np.ones((ratio, ratio), np.uint8))
    return cv2.boxFilter(line, -1, (2, 2))


def blur8(plane: Bytes, sigma: float) -> Bytes:
    """Blur bytes by a Gaussian in fixed point, the same in any crop. Reach: ``ceil(3 sigma)``."""
    size = 2 * math.ceil(3 * sigma) + 1
    return cv2.GaussianBlur(plane, (size, size), sigma, borderType=cv2.BORDER_REPLICATE)


def to_bytes(plane: Field, scale: float, shift: float) -> Bytes:
    """Give ``plane * scale + shift`` as bytes, cut at 0 and 255. Reach: 0."""
    held = np.multiply(plane, f32(scale))
    held += f32(shift)
    np.clip(held, 0, 255, out=held)
    return held.astype(np.uint8)


def outline_sigma(width: float, inside: float = 0.0) -> float:
    """Give the blur, logical pixels, from which a line of some width along an edge can be read."""
    return max(0.5, (abs(inside) + width / 2 + 0.5) / 2.2)


def outline(mask: Bytes, width: float, ratio: int, inside: float = 0.0) -> Bytes:
    """Draw a line of even width along a mask's edge; lengths in logical pixels.

    The blurred mask tells how far the edge is. Reach: ``ceil(3 outline_sigma(width, inside))``.
    """
    sigma = outline_sigma(width, inside) * ratio
    return cv2.LUT(blur8(mask, sigma), _outline_table(sigma, width * ratio, inside * ratio))


@lru_cache(maxsize=128)
def _outline_table(sigma: float, width: float, inside: float) -> Bytes:
    spread = math.sqrt(sigma * sigma + 1 / 12)

    def line(b: Field) -> Field:
        # The blurred edge is an error function; its inverse, to a thousandth of a pixel (Winitzki, 2008).
        away = _inverse_error(f32(2) * b - f32(1)) * f32(spread * math.sqrt(2)) - f32(inside)
        return f32(0.5 + width / 2) - np.abs(away)

    return table(line)


def _inverse_error(y: Field) -> Field:
    y = np.clip(y, -0.9999, 0.9999)
    log = np.log(1 - y * y)
    first = f32(2 / (math.pi * 0.147)) + log / 2
    return np.sign(y) * np.sqrt(np.sqrt(first * first - log / f32(0.147)) - first)


@lru_cache(maxsize=128)
def solid_table(sigma: float, grow: float = 0.0) -> Bytes:
    """Give uint8[256] that sharpens a mask blurred by ``sigma`` again, ``grow`` pixels larger; both real."""
    assert abs(grow) + 0.5 <= 2.45 * sigma, "an edge can be moved only as far as the blur spreads it"
    spread = math.sqrt(sigma * sigma + 1 / 12)
    return table(lambda b: _inverse_error(f32(2) * b - f32(1)) * f32(spread * math.sqrt(2)) + f32(0.5 + grow))


def halo(mask: Bytes, width: float, ratio: int) -> Bytes:
    """Give a mask widened by ``width`` logical pixels, its edge soft. Reach: ``ceil(width) + 2``."""
    radius = max(1, round(width * ratio))
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return blur8(cv2.dilate(mask, around), 0.5 * ratio)


@lru_cache(maxsize=4)
def _places(height: int, width: int) -> NDArray[np.int16]:
    gx, gy = np.meshgrid(np.arange(width, dtype=np.int16), np.arange(height, dtype=np.int16))
    out = np.ascontiguousarray(np.stack([gx, gy], axis=-1))
    out.flags.writeable = False
    return out


def trembling(canvas: Canvas, name: str) -> Bytes:
    """Give a byte control as a hand would trace it: displaced by up to TREMBLE px. Reach: TREMBLE + 1."""
    return canvas.keep(("trembling", name), lambda: tremble(canvas, canvas.control(name)))


def tremble(canvas: Canvas, plane: Bytes) -> Bytes:
    """Displace bytes by the tremble of the hand. Reach: TREMBLE + 1."""
    whole, parts = canvas.keep("tremble", lambda: _moves(canvas))
    return cv2.remap(plane, whole, parts, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _moves(canvas: Canvas) -> Any:
    """Give where to look, as OpenCV's fixed-point maps: whole pixels and steps of 1/32, exact in any crop."""
    whole = np.empty((*canvas.frame.shape, 2), np.int16)
    parts = None
    limit = 32 * TREMBLE * canvas.s
    places = _places(*canvas.frame.shape)
    for axis, stream in ((0, 1), (1, 7)):
        steps = canvas.noise(16, 2, 0.6, stream) * f32(0.48 * canvas.s * 32)
        np.clip(steps, -limit, limit, out=steps)
        steps = np.rint(steps, out=steps).astype(np.int16)
        np.add(places[..., axis], steps >> 5, out=whole[..., axis])
        steps &= 31
        if parts is None:
            parts = steps.astype(np.uint16)
        else:
            parts |= steps.astype(np.uint16) << 5
    return whole, parts


def look(plane: NDArray[Any], columns: NDArray[np.int16], rows: NDArray[np.int16]) -> NDArray[Any]:
    """Look a texture up by whole addresses. Reach: 0."""
    return cv2.remap(plane, cv2.merge([columns, rows]), None, cv2.INTER_NEAREST)


def calm8(canvas: Canvas, most: int) -> Bytes | None:
    """Give how much strokes are to hold back under labels, 0..``most``, or None without labels. Reach: 0."""
    if "calm" not in canvas.scene:
        return None
    return canvas.keep(("calm", most), lambda: to_bytes(canvas.control("calm"), most, 0.0))
