"""Small things modelled once: boats, chimneys, roof gear, pools, beds, bales, beasts, boulders, parasols.

Lengths are metres of the model; ``metre`` says how many logical pixels that is (see ``surface.toy``).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapstyle.engines.painter.brush import rgb
from mapstyle.engines.painter.diorama.stamps import Sheet
from mapstyle.noise import hash2, unit

f32 = np.float32
Plane = NDArray[np.floating[Any]]

TURNS = 16
"""Directions in which each thing is modelled: half a turn in steps of pi / 16."""
KINDS = 4
"""Different ones of each thing in each direction; picture ``turn * KINDS + kind``."""


class Bench:
    """Pictures in the making: all turns and kinds of one thing at once."""

    def __init__(self, cell: int, metre: float, s: int, stream: int) -> None:
        n, k = TURNS * KINDS, cell * s
        at = (np.arange(k) + 0.5 - k / 2) / (s * metre)
        turn = (np.arange(n) // KINDS * np.pi / TURNS)[:, None, None]
        self.u = at[None, None, :] * np.cos(turn) + at[None, :, None] * np.sin(turn)
        self.v = at[None, :, None] * np.cos(turn) - at[None, None, :] * np.sin(turn)
        self._sharp = metre * s
        self._scale = metre * s
        self._stream = stream
        self.rgb = np.zeros((n, 3, k, k), f32)
        self.alpha = np.zeros((n, k, k), f32)
        self.height = np.zeros((n, k, k), f32)

    def luck(self, salt: int) -> Plane:
        """Give a number in [0, 1) for each picture, the same in every turn: float32[n, 1, 1]."""
        kind = np.arange(TURNS * KINDS) % KINDS
        return unit(hash2(kind, np.zeros(1, np.int64), self._stream * 64 + salt))[:, None, None]

    def lay(
        self, distance: Plane, colour: Sequence[str] | str, height: Plane | float, share: Plane | float = 1.0
    ) -> None:
        """Lay down what is inside an outline (distance below 0, metres); colours go by kind."""
        cover = np.clip(0.5 - distance * self._sharp, 0, 1) * share
        colours = [colour] * KINDS if isinstance(colour, str) else list(colour)
        paint = np.array([rgb(colours[i % KINDS % len(colours)]) for i in range(TURNS * KINDS)], f32)
        self.rgb += cover[:, None] * (paint[:, :, None, None] - self.rgb) * (self.alpha[:, None] > 0)
        self.rgb = np.where(self.alpha[:, None] > 0, self.rgb, paint[:, :, None, None]).astype(f32)
        self.alpha = np.maximum(self.alpha, cover).astype(f32)
        rise = np.broadcast_to(np.asarray(height, f32) * self._scale, cover.shape)
        self.height += (cover * (rise - self.height)).astype(f32)

    def box(self, long: Plane | float, wide: Plane | float, u: Plane | float = 0.0, v: Plane | float = 0.0) -> Plane:
        """Give the signed distance to a box, metres."""
        return np.maximum(np.abs(self.u - u) - np.asarray(long) / 2, np.abs(self.v - v) - np.asarray(wide) / 2)

    def disc(self, radius: Plane | float, u: Plane | float = 0.0, v: Plane | float = 0.0) -> Plane:
        """Give the signed distance to a disc, metres."""
        return np.hypot(self.u - u, self.v - v) - radius

    def sheet(self) -> Sheet:
        """Take the pictures off the bench."""
        n, k = self.alpha.shape[:2]
        return Sheet(self.rgb, self.alpha, self.height.astype(f32), np.full((n, 2), k // 2, np.int64))


def _boat(b: Bench) -> None:
    long = 7.0 + 3.0 * b.luck(1)
    wide = 2.7 + 0.7 * b.luck(2)
    # A hull: blunt at the stern, drawn to a point at the bow.
    narrow = wide / 2 * np.sqrt(np.clip(1 - np.clip(b.u / (long / 2), 0, 1) ** 2.2, 0, 1))
    hull = np.maximum(np.abs(b.u) - long / 2, np.abs(b.v) - narrow)
    b.lay(hull, ("#f4f1e8", "#f0ede4", "#e9eef0", "#d9cfb8"), 1.1)
    b.lay(hull + 0.55, ("#d9b98a", "#c9ccd0", "#e6e2d6", "#b98a5a"), 0.9)
    b.lay(b.box(long * 0.34, wide * 0.55, long * 0.02), ("#4a6a8a", "#f7f5ee", "#35414c", "#8a3b33"), 2.2)


def _sail(b: Bench) -> None:
    long, wide = 9.5, 2.8
    narrow = wide / 2 * np.sqrt(np.clip(1 - np.clip(np.abs(b.u) / (long / 2), 0, 1) ** 2.0, 0, 1))
    hull = np.maximum(np.abs(b.u) - long / 2, np.abs(b.v) - narrow)
    b.lay(hull, ("#f4f1e8", "#efe9da", "#e9eef0", "#f4f1e8"), 1.0)
    b.lay(hull + 0.6, "#d9b98a", 0.9)
    sail = np.maximum(np.maximum(-b.u - 3.4, b.u - 2.6), np.abs(b.v - 0.25 * (b.u + 3.4) * 0.6) - 0.42)
    b.lay(sail, ("#fffdf6", "#fbf3e2", "#fffdf6", "#c9584a"), 5.0)


def _chimney(b: Bench) -> None:
    b.lay(b.box(1.25, 0.95), ("#9a5a48", "#8a4c3c", "#b9a890", "#a86a54"), 1.7)
    b.lay(b.box(0.55, 0.4), "#2c2624", 1.5)


def _roof_gear(b: Bench) -> None:
    shift = (b.luck(1) - 0.5) * 2.0
    b.lay(b.box(2.4 + 1.6 * b.luck(2), 1.8 + b.luck(3), shift), ("#d9d4c8", "#b9b7b2", "#e6dfd0", "#c0a890"), 1.5)
    b.lay(b.box(1.0, 1.0, 2.6 - shift, 1.2), ("#8f9aa0", "#efe9da", "#a9a7a2", "#9ab0b8"), 0.8)
    b.lay(b.disc(0.45, shift), "#6f7072", 1.4)


def _terrace(b: Bench) -> None:
    b.lay(b.box(5.2, 4.0), ("#b98a62", "#c9b391", "#a9795a", "#d2c2a2"), 0.12)
    b.lay(b.disc(1.25, -1.0 + b.luck(1)), ("#efe7d2", "#d8a93c", "#c9584a", "#f4f1e8"), 1.6)
    b.lay(b.disc(0.8, 2.0, 1.2), ("#5d7a3e", "#6a8644", "#4d6f38", "#748a4a"), 1.0)
    b.lay(b.disc(0.7, 1.8, -1.3), ("#6a8644", "#5d7a3e", "#748a4a", "#4d6f38"), 0.9)


def _pool(b: Bench) -> None:
    round_one = b.luck(1) < 0.4
    shape = np.where(round_one, b.disc(2.3), b.box(6.0, 3.4))
    b.lay(shape - 0.7, ("#e6ddc8", "#d2c7b2", "#efe9da", "#c9b391"), 0.05)
    b.lay(shape, ("#5fb8c9", "#6cc3cf", "#54adc4", "#7acbd0"), 0.0)


def _bed(b: Bench) -> None:
    b.lay(b.box(6.5, 4.4), ("#6d5540", "#75593f", "#64503d", "#7a6046"), 0.1)
    for row in range(-1, 2):
        b.lay(b.box(5.8, 0.62, 0.0, row * 1.35), ("#6f8f45", "#86a052", "#5f8442", "#9aa04c"), 0.45)


def _bale(b: Bench) -> None:
    side = b.box(2.2, 1.9)
    b.lay(side, ("#d9bf82", "#cfb274", "#e0c88e", "#c9aa68"), 1.6 - 0.5 * np.abs(b.v))
    b.lay(b.box(0.3, 1.9), "#b3935a", 1.5)


def _beast(b: Bench) -> None:
    b.lay(np.hypot(b.u / 1.45, b.v / 0.72) - 1.0, ("#f3efe6", "#8a5a3e", "#efe9dc", "#4a4038"), 1.5)
    b.lay(b.disc(0.42, 1.5), ("#e6dfd0", "#7a4c34", "#4a4038", "#efe9dc"), 1.4)
    b.lay(b.disc(0.5, -0.3, 0.15), ("#f3efe6", "#8a5a3e", "#4a4038", "#f3efe6"), 1.5)


def _boulder(b: Bench) -> None:
    size = 1.0 + 1.2 * b.luck(1)
    far = np.hypot(b.u / 1.25, b.v) / size
    b.lay((far - 1 + 0.12 * np.sin(3 * b.u + 5 * b.v)) * size, ("#a59c8e", "#968d80", "#b4aa98", "#8c857a"),
          np.sqrt(np.clip(1 - far * far, 0, 1)) * size)  # fmt: skip


def _parasol(b: Bench) -> None:
    angle = np.arctan2(b.v, b.u)
    stripe = (np.floor(angle * 4 / np.pi) % 2 == 0).astype(f32)
    b.lay(b.disc(1.75), ("#d0503f", "#3f7fb0", "#e0b23c", "#4a9a7a"), 2.0 - 0.5 * np.hypot(b.u, b.v))
    b.lay(b.disc(1.75), "#f7f2e4", 2.0 - 0.5 * np.hypot(b.u, b.v), stripe)
    b.lay(b.box(2.0, 0.8, 0.0, 2.6), ("#f1e3c8", "#d0503f", "#f1e3c8", "#3f7fb0"), 0.2)


MODELS: Mapping[str, tuple[Callable[[Bench], None], float]] = {
    "boat": (_boat, 11.0), "sail": (_sail, 10.5), "chimney": (_chimney, 1.8), "roof_gear": (_roof_gear, 8.0),
    "terrace": (_terrace, 7.0), "pool": (_pool, 9.2), "bed": (_bed, 8.2), "bale": (_bale, 3.2),
    "beast": (_beast, 4.4), "boulder": (_boulder, 6.0), "parasol": (_parasol, 7.2),
}  # fmt: skip
"""How each thing is made, and the room it takes, metres across."""


@lru_cache(maxsize=64)
def sheet(what: str, cell: int, metre: float, s: int) -> Sheet:
    """Make the pictures of one thing; logical pixels a cell and a metre."""
    bench = Bench(cell, metre, s, 300 + list(MODELS).index(what))
    MODELS[what][0](bench)
    return bench.sheet()
