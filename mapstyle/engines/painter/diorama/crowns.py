"""Trees of ground foam: crowns modelled once on small sheets, their heights and tones packed in one number.

A packed number is ``floor(64 z) * 256 + tone * 16 + shade`` in float32 (exact to 2**24, which is 1024 px of
height), so that the taller of two overlapping crowns wins, colour and all, by a plain maximum.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.noise import hash2, nodes, unit

Field = NDArray[np.float32]
f32 = np.float32

VARIANTS = 64
"""Crowns on a sheet."""
_LOBES = 7


@dataclass(frozen=True)
class Crowns:
    """A sheet of crowns.

    Attributes:
        packed: float32[n, k, k], height and shade, tone 0; 0 outside the crown.
        present: float32[n, k, k], 16 where there is crown, else 0: times a tone it is added to ``packed``.
        feet: int[n, 2], column and row of the trunk.
    """

    packed: Field
    present: Field
    feet: NDArray[np.int64]


@lru_cache(maxsize=64)
def crowns(kind: str, cell: int, smallest: float, largest: float, s: int) -> Crowns:
    """Model a sheet of crowns, each wholly inside a cell of ``cell`` logical pixels.

    ``kind`` is ``round`` (broadleaved), ``cone`` (conifers) or ``bush``; radii are logical pixels.
    """
    n, k = VARIANTS, cell * s
    number = np.arange(n)[:, None]

    def draw(stream: int, columns: int = 1) -> Field:
        return unit(hash2(np.arange(columns)[None, :], number, 9000 + stream))

    radius = smallest + (largest - smallest) * draw(1)
    room = np.maximum(cell / 2 - radius, 0)
    feet = cell / 2 + (2 * draw(2, 2) - 1) * room
    at = ((np.arange(k) + 0.5) / s).astype(f32)
    dx = at[None, None, :] - feet[:, 0, None, None]
    dy = at[None, :, None] - feet[:, 1, None, None]
    r = radius[:, :, None]
    foam = _foam(n, k, s)
    far = np.sqrt(dx * dx + dy * dy) / r
    if kind == "cone":
        angle = np.arctan2(dy, dx)
        count = 7 + np.floor(4 * draw(3))[:, :, None]
        edge = 1 - 0.10 * (1 + np.cos(angle * count + 6.3 * draw(4)[:, :, None])) * 0.8
        d = far / edge
        inside = np.clip((1 - d) * r * 1.6, 0, 1)
        boughs = 0.16 * np.cos(d * 14 + foam * 0.9)
        body = 1.9 * np.clip(1 - d, 0, 1) + boughs * np.clip(1 - d, 0, 1) ** 0.5
        z = r * (0.45 + body)
        light = 0.30 + 0.62 * np.clip(1 - d, 0, 1) + boughs * 1.2 + 0.06 * foam
    else:
        top = np.zeros((n, k, k), f32)
        hollow = np.zeros((n, k, k), f32)
        angles, spans = draw(5, _LOBES) * 6.2832, draw(6, _LOBES)
        for lobe in range(_LOBES):
            out = 0.0 if lobe == 0 else 0.52
            size = 0.72 if lobe == 0 else 0.36 + 0.16 * spans[:, lobe]
            turn = angles[:, 0] + 6.2832 * lobe / (_LOBES - 1) + 0.6 * spans[:, lobe]
            size = np.broadcast_to(np.asarray(size, f32), (n,))[:, None, None]
            lx = dx / r - (out * np.cos(turn))[:, None, None]
            ly = dy / r - (out * np.sin(turn))[:, None, None]
            under = np.clip(1 - (lx * lx + ly * ly) / (size * size), 0, None)
            rise = np.sqrt(under) * size + (0.24 if lobe == 0 else 0.0) * (under > 0)
            hollow = np.where(rise > top, np.sqrt(under), hollow)
            top = np.maximum(top, rise)
        inside = np.clip((1 - far) * r * 1.6, 0, 1) * np.clip(top * r * 2.2, 0, 1)
        tall = 0.35 if kind == "bush" else 0.75
        z = r * (tall + 1.05 * top) + 0.16 * foam
        light = 0.36 + 0.28 * hollow + 0.30 * np.clip(top, 0, 1) + 0.08 * foam
    z = np.maximum(z, 0.2) * np.sqrt(inside) * s
    shade = np.clip(np.floor(light * 16), 0, 15)
    high = np.floor(np.clip(z, 0, 1000) * 64)
    present = (high > 0).astype(f32)
    packed = ((high * 256 + shade) * present).astype(f32)
    where = np.clip(np.floor(feet * s), 0, k - 1).astype(np.int64)
    return Crowns(packed, present * f32(16), where)


def _foam(n: int, k: int, s: int) -> Field:
    """Give a lump of noise for each crown, one logical pixel fine."""
    side = -(-k // s) + 4
    rows = nodes(np.arange(side), np.arange(n * side), 77).reshape(n, side, side)
    out = np.empty((n, k, k), f32)
    for i in range(n):
        big = cv2.resize(rows[i], None, fx=s, fy=s, interpolation=cv2.INTER_CUBIC) if s > 1 else rows[i]
        out[i] = big[2 * s : 2 * s + k, 2 * s : 2 * s + k]
    return out
