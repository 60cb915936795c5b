"""Laying colour and relief on a model's surface: small operations on whole planes.

Colour is kept as three separate planes (``albedo[3, height, width]``), which NumPy works through much
faster than interleaved pixels. All lengths are real pixels unless a name says otherwise.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.engines.painter.brush import rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.layers import LandClass
from mapstyle.noise import periodic

Field = NDArray[np.float32]
Mask = NDArray[np.uint8]
Box = tuple[slice, slice]
f32 = np.float32

WORLD_HASH = np.uint32(0x9E3779B1)
PERIOD = 512
"""Logical pixels after which the fine textures repeat."""


def bounds(mask: NDArray[Any], margin: int = 0) -> Box | None:
    """Give the box of all pixels that are set, widened by ``margin``; None where nothing is."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8) if mask.dtype == np.bool_ else mask)
    if width == 0:
        return None
    rows, columns = mask.shape
    return (
        slice(max(0, top - margin), min(rows, top + height + margin)),
        slice(max(0, left - margin), min(columns, left + width + margin)),
    )


def look_up(index: Mask, table: Field) -> Field:
    """Replace each index by its entry of a table of 256 numbers."""
    return cv2.LUT(index, table)


def lay(albedo: Field, colour: Field | Sequence[Field], alpha: Field, box: Box | None = None) -> None:
    """Lay a colour (three numbers or three planes) over the albedo, in place.

    ``alpha``, and planes of colour, have the box's own shape.
    """
    target = albedo if box is None else albedo[:, box[0], box[1]]
    spare = np.empty_like(alpha)
    for plane, value in zip(target, colour, strict=True):
        np.subtract(value, plane, out=spare)
        spare *= alpha
        plane += spare


def blend(plane: Field, value: Field | float, alpha: Field) -> None:
    """Move a plane towards a value by ``alpha``, in place."""
    spare = np.subtract(f32(value) if isinstance(value, (int, float)) else value, plane)
    spare *= alpha
    plane += spare


def raise_to(plane: Field, height: Field) -> None:
    """Bring a plane up to a height wherever there is any (water, which lies below 0, stays), in place."""
    np.maximum(plane, height, out=plane, where=height > 0)


def ramped(plane: Field, low: float, high: float) -> Field:
    """Rise linearly from 0 at ``low`` to 1 at ``high``, over a fresh array (high may lie below low)."""
    out = plane * f32(1 / (high - low))
    out += f32(-low / (high - low))
    np.maximum(out, f32(0), out=out)
    return np.minimum(out, f32(1), out=out)


def colour_table(colours: Sequence[str]) -> Field:
    """Give float32[3, 256] whose first entries are the colours."""
    table = np.zeros((3, 256), f32)
    for i, colour in enumerate(colours):
        table[:, i] = rgb(colour)
    return table


def class_table(values: Mapping[LandClass, float], rest: float = 0.0) -> Field:
    """Give float32[256] by land class."""
    table = np.full(256, rest, f32)
    for land, value in values.items():
        table[int(land)] = value
    return table


def tints(index: Mask, table: Field) -> tuple[Field, Field, Field]:
    """Give three planes of colour by index."""
    return cv2.LUT(index, table[0]), cv2.LUT(index, table[1]), cv2.LUT(index, table[2])


def spread(mask: Mask, radius: float) -> Mask:
    """Widen a coverage by ``radius`` real pixels (a disc's maximum). Reach: ``ceil(radius)``."""
    return cv2.dilate(mask, _disc(radius))


def shrink(mask: Mask, radius: float) -> Mask:
    """Narrow a coverage by ``radius`` real pixels (a disc's minimum). Reach: ``ceil(radius)``."""
    return cv2.erode(mask, _disc(radius))


def _disc(radius: float) -> Mask:
    n = int(np.ceil(radius))
    y, x = np.mgrid[-n : n + 1, -n : n + 1]
    return (x * x + y * y <= (radius + 0.25) ** 2).astype(np.uint8)


def soften(mask: Mask, sigma: float) -> Field:
    """Blur a coverage to float32 0..1. Reach: ``ceil(3 sigma)``."""
    size = 2 * int(np.ceil(3 * sigma)) + 1
    out = cv2.GaussianBlur(mask.astype(f32), (size, size), sigma, borderType=cv2.BORDER_REPLICATE)
    out *= f32(1 / 255)
    return out


def smear(plane: Field, sigma: float) -> Field:
    """Blur a plane. Reach: ``ceil(3 sigma)``."""
    size = 2 * int(np.ceil(3 * sigma)) + 1
    return cv2.GaussianBlur(plane, (size, size), sigma, borderType=cv2.BORDER_REPLICATE)


def byte(hashed: NDArray[np.uint32], which: int) -> Mask:
    """Give one of a hash's four bytes as an index image."""
    return (hashed >> np.uint32(8 * which)).astype(np.uint8)


def grain(canvas: Canvas) -> Field:
    """Give the grain of ground foam: features of one and two logical pixels; none in a base picture."""
    return canvas.keep("grain", canvas.zeros) if canvas.base else canvas.texture(PERIOD, _grain)


def tuft(canvas: Canvas) -> Field:
    """Give tufts of static grass: features of two to eight logical pixels."""
    return canvas.texture(PERIOD, _tuft)


def _grain(period: int, s: int) -> Field:
    return periodic(period, [(s, s), (2 * s, 2 * s)], [1.0, 0.9], 31)


def _tuft(period: int, s: int) -> Field:
    return periodic(period, [(2 * s, 2 * s), (4 * s, 4 * s), (8 * s, 8 * s)], [0.6, 1.0, 0.5], 33)


def quiet(canvas: Canvas) -> Field | None:
    """Give how much texture may show, 1 everywhere but under labels; None where there are none."""
    if "calm" not in canvas.scene:
        return None
    return canvas.keep("quiet", lambda: f32(1) - f32(0.65) * canvas.control("calm"))


def toy(canvas: Canvas) -> float:
    """Give the size of a metre of model in real pixels: a third too large at z16, truer further in.

    A car must be seen at z16, where 4.5 m are 3 pixels, and must not be a lorry at z18.
    """
    return float(0.78 * 2.0 ** ((canvas.level - 16) * 0.85)) * canvas.s


def parcel_hash(canvas: Canvas) -> NDArray[np.uint32]:
    """Give well mixed bits of the parcel each pixel lies in."""

    def make() -> NDArray[np.uint32]:
        mixed = canvas.control("parcel") * WORLD_HASH
        mixed ^= mixed >> np.uint32(15)
        mixed *= np.uint32(0x2C1B3C6D)
        mixed ^= mixed >> np.uint32(13)
        return mixed

    return canvas.keep("parcel_hash", make)


def occupied(canvas: Canvas) -> Mask:
    """Give where nothing may grow: ways, water, buildings and other made things, a little widened. Reach: 2."""

    def make() -> Mask:
        taken = np.zeros(canvas.frame.shape, np.uint8)
        for name in ("road", "water_area", "water_line", "building", "rail", "pier", "runway", "tram"):
            if name in canvas.scene:
                np.maximum(taken, canvas.control(name), out=taken)
        return spread(taken, (1.6 if canvas.level >= 14.5 else 0.8) * canvas.s)

    return canvas.keep("occupied", make)


OCCUPIED = frozenset({"road", "water_area", "water_line", "building", "rail", "pier", "runway", "tram"})
"""Controls that :func:`occupied` looks at."""
OCCUPIED_REACH = 2


def directions(canvas: Canvas, box: Box) -> tuple[Field, Field]:
    """Give coordinates along and across each parcel's own direction (one of 16), real pixels.

    World coordinates modulo 4096 logical pixels stay exact enough in float32 that rows never tremble.
    """
    angle = byte(parcel_hash(canvas)[box], 2) & np.uint8(15)
    cos, sin = turns()
    c, s = look_up(angle, cos), look_up(angle, sin)
    x, y = world_box(canvas, box)
    return x * c + y * s, y * c - x * s


def world_box(canvas: Canvas, box: Box) -> tuple[Field, Field]:
    """Give a row of x and a column of y, real pixels modulo 4096 logical ones, at pixel centres."""
    rows, columns = canvas.frame.shape
    x = _within(canvas.frame.column + np.arange(columns)[box[1]], canvas.s)
    y = _within(canvas.frame.row + np.arange(rows)[box[0]], canvas.s)
    return x[None, :], y[:, None]


def _within(pixels: NDArray[np.int64], s: int) -> Field:
    return (pixels % (4096 * s)).astype(f32) + f32(0.5)


def turns() -> tuple[Field, Field]:
    """Give cosine and sine of the 16 directions a parcel may have, as tables of 256."""
    turn = np.arange(256) * (np.pi / 16)
    return np.cos(turn).astype(f32), np.sin(turn).astype(f32)


def homesteads(canvas: Canvas, radius: int) -> Mask:
    """Mark what lies within ``radius`` logical pixels of a building (a square). Reach: ``radius``."""

    def make() -> Mask:
        k = 2 * radius * canvas.s + 1
        return cv2.dilate(canvas.control("building"), np.ones((k, k), np.uint8))

    return canvas.keep(("homesteads", radius), make)


_KNOTS = (10.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0)
_SIZES = (0.34, 0.40, 0.50, 0.64, 0.82, 1.0, 1.22, 1.42)
LARGEST_TREE = _SIZES[-1]


def tree_size(level: float) -> float:
    """Give the size of trees against that at level 16: toys further out, never giants."""
    return float(np.interp(level, _KNOTS, _SIZES))
