"""Pure functions on planes that every medium uses; each says how far it reaches.

All lengths are *real* pixels (callers multiply by the pixel ratio). None looks at the window: no minimum,
mean or percentile of what happens to be inside, no address but the world's.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.frame import Frame
from mapstyle.noise import hash2, unit

Field = NDArray[np.float32]
f32 = np.float32


def blur(plane: Field, sigma: float) -> Field:
    """Blur by a Gaussian cut at three sigma. Reach: ``ceil(3 sigma)``."""
    if sigma <= 0:
        return plane
    size = 2 * math.ceil(3 * sigma) + 1
    return cv2.GaussianBlur(plane, (size, size), sigma, borderType=cv2.BORDER_REPLICATE)


def ramp(plane: Field, low: float, high: float) -> Field:
    """Rise linearly from 0 at ``low`` to 1 at ``high``. Reach: 0."""
    out = plane - f32(low)
    out *= f32(1 / (high - low))
    return np.clip(out, 0, 1, out=out)


def remainder(plane: Field, period: float | Field) -> Field:
    """Give the positive remainder; ``np.mod`` on floats is many times slower. Reach: 0."""
    p = period if isinstance(period, np.ndarray) else f32(period)
    q = plane / p
    np.floor(q, out=q)
    q *= p
    return np.subtract(plane, q, out=q)


def edges(index: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark pixels whose right or lower neighbour has another value. Reach: 1."""
    out = np.zeros(index.shape, np.bool_)
    out[:, :-1] |= index[:, 1:] != index[:, :-1]
    out[:-1] |= index[1:] != index[:-1]
    return out


def shift(plane: Field, dx: int, dy: int, fill: float = 0.0) -> Field:
    """Move a plane by whole pixels, right and down. Reach: the longer of the two."""
    out = np.full_like(plane, fill)
    height, width = plane.shape[:2]
    if abs(dx) >= width or abs(dy) >= height:
        return out
    out[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = plane[
        max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    return out


def warp(plane: NDArray[Any], dx: Field, dy: Field, smooth_values: bool = True) -> NDArray[Any]:
    """Look a plane up at displaced places. Reach: the largest displacement plus 1.

    ``remap`` rounds absolute coordinates, so a crop could round another way: displacements are snapped to
    ``k/32 + 1/128`` px, which makes the sum with a pixel index exact in float32 and never a tie.
    """
    gx, gy = _indices(*plane.shape[:2])
    sx = np.floor(dx * f32(32)) * f32(1 / 32) + f32(1 / 128)
    sy = np.floor(dy * f32(32)) * f32(1 / 32) + f32(1 / 128)
    how = cv2.INTER_LINEAR if smooth_values else cv2.INTER_NEAREST
    return cv2.remap(plane, gx + sx, gy + sy, how, borderMode=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=4)
def _indices(height: int, width: int) -> tuple[Field, Field]:
    gx, gy = np.meshgrid(np.arange(width, dtype=f32), np.arange(height, dtype=f32))
    gx.flags.writeable = gy.flags.writeable = False
    return gx, gy


def cast(height: Field, dx: float, dy: float, fall: float, reach: int) -> Field:
    """Give the height of the shadow that a height field casts along (dx, dy), sinking ``fall`` per pixel.

    Doubling maxima: about log2(reach) shifts. Reach: ``2 * reach``.
    """
    out, step = height, 1
    while step <= reach:
        mx, my = round(dx * step), round(dy * step)
        out = np.maximum(out, shift(out, mx, my) - f32(fall * math.hypot(mx, my)))
        step *= 2
    return out


def slope(height: Field, scale: float = 1.0) -> tuple[Field, Field]:
    """Give the gradient per pixel, right and down, by Sobel's kernel over 8. Reach: 1."""
    return (
        cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=scale / 8, borderType=cv2.BORDER_REPLICATE),
        cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=scale / 8, borderType=cv2.BORDER_REPLICATE),
    )


@dataclass(frozen=True)
class Stamps:
    """One disc in each cell of a jittered lattice, seen from every pixel.

    Attributes:
        dx: float32, real pixels from the disc's centre to the pixel, right.
        dy: the same, down.
        radius: float32, real pixels; 0 where the cell has no disc.
        hashed: uint32 of the disc, for its colour and kind.
    """

    dx: Field
    dy: Field
    radius: Field
    hashed: NDArray[np.uint32]


def scatter(
    frame: Frame,
    cell: int,
    radii: tuple[float, float],
    seed: int,
    keep: NDArray[np.bool_] | None = None,
    offset: tuple[int, int] = (0, 0),
    jitter: float = 1.0,
) -> Stamps:
    """Scatter discs, one a cell and wholly inside it. Reach: ``cell``.

    Args:
        frame: where.
        cell: logical pixels on the side of a lattice cell.
        radii: smallest and largest radius, logical pixels.
        seed: seed and stream.
        keep: bool over the frame: a disc is kept where its centre's pixel is true.
        offset: logical pixels by which this lattice is moved.
        jitter: 0 puts discs in the middle of their cells, 1 anywhere they fit.
    """
    s = frame.grid.pixel_ratio
    size = cell * s
    x0, y0 = frame.column + offset[0] * s, frame.row + offset[1] * s
    a0, b0 = x0 // size, y0 // size
    a1, b1 = -(-(x0 + frame.width) // size), -(-(y0 + frame.height) // size)
    columns, rows = np.arange(a0, a1)[None, :], np.arange(b0, b1)[:, None]
    h = hash2(columns, rows, seed)
    kind = hash2(columns, rows, seed + 991)
    radius = (f32(radii[0]) + f32(radii[1] - radii[0]) * unit(kind)) * f32(s)
    u = unit(h) * f32(2) - f32(1)
    v = unit(h * np.uint32(747796405) + np.uint32(2891336453)) * f32(2) - f32(1)
    room = np.maximum(f32(size / 2) - radius, 0) * f32(jitter)
    # Centres relative to their own cells first: exact however far from the origin the frame lies.
    cx = f32(size / 2) + u * room + (columns * size - x0).astype(f32)
    cy = f32(size / 2) + v * room + (rows * size - y0).astype(f32)
    if keep is not None:
        px, py = np.floor(cx).astype(np.int64), np.floor(cy).astype(np.int64)
        inside = (px >= 0) & (px < frame.width) & (py >= 0) & (py < frame.height)
        kept = keep[np.clip(py, 0, frame.height - 1), np.clip(px, 0, frame.width - 1)]
        radius = np.where(inside & kept, radius, f32(0))
    ox, oy = x0 - a0 * size, y0 - b0 * size

    def spread(values: NDArray[Any]) -> NDArray[Any]:
        wide = cv2.resize(
            values.view(np.int32) if values.dtype == np.uint32 else values,
            None, fx=size, fy=size, interpolation=cv2.INTER_NEAREST,
        )  # fmt: skip
        cut = wide[oy : oy + frame.height, ox : ox + frame.width]
        return np.ascontiguousarray(cut).view(values.dtype)

    gx, gy = _indices(*frame.shape)
    return Stamps(gx - spread(cx), gy - spread(cy), spread(radius), spread(kind))
