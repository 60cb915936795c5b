"""The lattice: windows fixed to the world, their weights, and which windows a picture needs.

Everything is whole numbers of *latents* (8 real pixels) counted from the grid's origin, so that a window,
its neighbours and its weights are the same whatever extent was asked for.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mapstyle.engines.diffusion.profiles import Plan
from mapstyle.engines.diffusion.settings import Windows
from mapstyle.frame import Frame, Grid

LATENT = 8
"""Real pixels on the side of a latent (SDXL's VAE halves three times)."""


@dataclass(frozen=True, order=True)
class Rect:
    """Rectangle of latents: columns from ``x``, rows from ``y``."""

    x: int
    y: int
    width: int
    height: int

    def pad(self, margin: int) -> "Rect":
        """Widen by ``margin`` latents on each side."""
        return Rect(self.x - margin, self.y - margin, self.width + 2 * margin, self.height + 2 * margin)

    def frame(self, grid: Grid) -> Frame:
        """Give the frame of real pixels that this covers."""
        return Frame(grid, self.x * LATENT, self.y * LATENT, self.width * LATENT, self.height * LATENT)


@dataclass(frozen=True)
class Axis:
    """Windows along one axis.

    Attributes:
        windows: their sizes.
        offset: where window 0 begins.
        turn: latents once round the world, or 0: then the axis closes on itself, and strides are as even
            as whole numbers allow, never longer than ``windows.stride``.
    """

    windows: Windows
    offset: int = 0
    turn: int = 0

    @property
    def count(self) -> int:
        """Windows once round the world; 0 on an axis that does not close."""
        return -(-self.turn // self.windows.stride)

    def start(self, index: int) -> int:
        """Give the first latent of a window."""
        if self.turn:
            return self.offset + index * self.turn // self.count
        return self.offset + index * self.windows.stride

    def home(self, index: int) -> int:
        """Give the index at which everybody computes this window: once round the world is the same place."""
        return index % self.count if self.turn else index

    def meeting(self, begin: int, end: int) -> range:
        """Give the windows that count (their guard does not) anywhere in ``[begin, end)``."""
        size, guard = self.windows.window, self.windows.guard
        stride = self.turn / self.count if self.turn else self.windows.stride
        first = math.floor((begin - (size - guard) - self.offset) / stride) - 1
        while self.start(first) + size - guard <= begin:
            first += 1
        last = math.ceil((end - guard - self.offset) / stride) + 1
        while self.start(last) + guard >= end:
            last -= 1
        return range(first, last + 1)


@dataclass(frozen=True)
class Block:
    """A rectangle of windows of one lattice, by index; indices may lie outside the home world."""

    columns: range
    rows: range

    def __len__(self) -> int:
        return len(self.columns) * len(self.rows)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Give (column, row) in the fixed order: row by row."""
        for j in self.rows:
            for i in self.columns:
                yield i, j


@dataclass(frozen=True)
class Layer:
    """One lattice over the plane: a phase's, or the decoder's."""

    windows: Windows
    offset: int = 0
    turn: int = 0

    @property
    def columns(self) -> Axis:
        """The horizontal axis, which may close round the world."""
        return Axis(self.windows, self.offset, self.turn)

    @property
    def rows(self) -> Axis:
        """The vertical axis."""
        return Axis(self.windows, self.offset)

    def rect(self, column: int, row: int) -> Rect:
        """Give the latents of a window."""
        return Rect(self.columns.start(column), self.rows.start(row), self.windows.window, self.windows.window)

    def meeting(self, rect: Rect) -> Block:
        """Give the windows that count anywhere in a rectangle."""
        return Block(self.columns.meeting(rect.x, rect.x + rect.width), self.rows.meeting(rect.y, rect.y + rect.height))

    def hull(self, block: Block) -> Rect:
        """Give the smallest rectangle that holds all windows of a block."""
        first = self.rect(block.columns[0], block.rows[0])
        last = self.rect(block.columns[-1], block.rows[-1])
        return Rect(first.x, first.y, last.x + last.width - first.x, last.y + last.height - first.y)

    def count(self, block: Block) -> int:
        """Count the windows of a block, each once."""
        columns = len(block.columns)
        return (min(columns, self.columns.count) if self.turn else columns) * len(block.rows)

    def homes(self, block: Block) -> list[tuple[int, int]]:
        """Give each window of a block once, at the index at which it is computed."""
        seen = dict.fromkeys((self.columns.home(i), j) for i, j in block)
        return list(seen)


@dataclass(frozen=True)
class Cone:
    """Every window that a picture depends on.

    Attributes:
        decode: windows to decode.
        phases: windows to denoise, phase by phase.
    """

    decode: Block
    phases: tuple[Block, ...]


class Lattices:
    """The lattices of one plan on one grid."""

    def __init__(self, plan: Plan, grid: Grid) -> None:
        """Lay the windows out; phases alternate by half a stride, the last one has no offset."""
        turn = grid.turn * grid.pixel_ratio // LATENT
        paint = plan.lattice.paint
        count = len(plan.phases)
        shift = _shift(paint)
        self.plan = plan
        self.grid = grid
        self.phases = tuple(Layer(paint, shift * ((count - 1 - k) % 2), turn) for k in range(count))
        self.decode = Layer(plan.lattice.decode, 0, turn)

    def cone(self, frame: Frame) -> Cone:
        """Find every window that a frame depends on, from the decoder back to the first phase."""
        decode = self.decode.meeting(covering(frame))
        hull = self.decode.hull(decode)
        blocks = []
        for layer in reversed(self.phases):
            block = layer.meeting(hull)
            blocks.append(block)
            hull = layer.hull(block)
        return Cone(decode, tuple(reversed(blocks)))

    def evaluations(self, frame: Frame) -> int:
        """Count the windows times steps that a frame costs when nothing is kept from its neighbours."""
        cone = self.cone(frame)
        return sum(
            layer.count(block) * len(steps)
            for layer, block, steps in zip(self.phases, cone.phases, self.plan.phases, strict=True)
        )

    def overhead(self, frame: Frame) -> float:
        """Give the evaluations of a frame over those of independent windows without any margin."""
        side = self.plan.lattice.paint.window * LATENT
        alone = frame.width * frame.height / (side * side) * self.plan.executed
        return self.evaluations(frame) / alone

    @property
    def margin(self) -> int:
        """Latents around a window that are encoded with it."""
        return encode_margin(self.plan.lattice.paint)

    @property
    def reach(self) -> int:
        """How many real pixels away something may still change a pixel, margins of encoding counted."""
        paint, decode = self.plan.lattice.paint, self.plan.lattice.decode
        steps = len(self.phases) - 1
        further = paint.stride // 2 if _shift(paint) else paint.window - paint.guard
        whole = decode.window - decode.guard + paint.window - paint.guard + steps * further
        return LATENT * (whole + encode_margin(paint))


def encode_margin(windows: Windows) -> int:
    """Give the latents around a window that are encoded with it and cut off.

    The encoder's convolutions reach 13.5 latents, but 12 from the border, the guard among them, all but a few
    thousandths is over; a wide margin is dear (with 16 the encoder takes as much as two evaluations).
    """
    return max(0, 12 - windows.guard)


def covering(frame: Frame) -> Rect:
    """Give the smallest rectangle of latents that covers a frame."""
    x, y = frame.column // LATENT, frame.row // LATENT
    return Rect(x, y, -(-frame.end_column // LATENT) - x, -(-frame.end_row // LATENT) - y)


@lru_cache(maxsize=16)
def ramp(windows: Windows, scale: int = 1) -> NDArray[np.float32]:
    """Give the weight along a window: 0 in the guard, a squared sine in the ramp, 1 in the core.

    Neighbouring windows' weights sum to one, so what they agree on stays as it is.

    Args:
        windows: sizes in latents.
        scale: samples to a latent; 8 is real pixels.

    Returns:
        float32[window * scale], read only.
    """
    size, guard, rise = windows.window * scale, windows.guard * scale, windows.ramp * scale
    out = np.zeros(size)
    out[guard : size - guard] = 1.0
    if rise:
        curve = np.sin(math.pi / 2 * (np.arange(rise) + 0.5) / rise) ** 2
        out[guard : guard + rise] = curve
        out[size - guard - rise : size - guard] = curve[::-1]
    weights = out.astype(np.float32)
    weights.flags.writeable = False
    return weights


class Blend:
    """A weighted mean of windows over a rectangle, summed in the order in which they are added."""

    def __init__(self, target: Rect, weight: NDArray[np.float32], scale: int = 1, channels: int = 4) -> None:
        """Begin with nothing.

        Args:
            target: where the result is wanted.
            weight: of a window along each axis, as :func:`ramp` gives it at this scale.
            scale: samples to a latent.
            channels: of the values.
        """
        self._target = target
        self._weight = weight
        self._scale = scale
        self._total = np.zeros((channels, target.height * scale, target.width * scale), np.float32)
        self._weights = np.zeros(self._total.shape[1:], np.float32)

    def add(self, rect: Rect, values: NDArray[np.floating]) -> None:
        """Add a window: [channels, height * scale, width * scale]; what lies outside is left out."""
        target, scale = self._target, self._scale
        left, top = max(rect.x, target.x), max(rect.y, target.y)
        right = min(rect.x + rect.width, target.x + target.width)
        bottom = min(rect.y + rect.height, target.y + target.height)
        if right <= left or bottom <= top:
            return

        def within(home: Rect) -> tuple[slice, slice]:
            rows = slice((top - home.y) * scale, (bottom - home.y) * scale)
            return rows, slice((left - home.x) * scale, (right - home.x) * scale)

        here, there = within(rect), within(target)
        weight = self._weight[here[0], None] * self._weight[None, here[1]]
        self._total[:, there[0], there[1]] += values[:, here[0], here[1]] * weight
        self._weights[there] += weight

    def result(self) -> NDArray[np.float32]:
        """Give float32[channels, height * scale, width * scale]; 0 where no window counts."""
        return np.asarray(self._total / np.maximum(self._weights, np.float32(1e-12)), np.float32)


def _shift(windows: Windows) -> int:
    """Give half a stride if a window then reads fewer windows of the phase before, else nothing."""
    half = windows.stride // 2
    axis = Axis(windows)
    moved = len(axis.meeting(half, half + windows.window))
    return half if moved < len(axis.meeting(0, windows.window)) else 0
