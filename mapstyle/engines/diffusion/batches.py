"""Batches: windows sorted into fixed slots and given to the model, one batch ahead of who keeps the results."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mapstyle.engines.diffusion.lattice import Rect
from mapstyle.errors import EngineError

_T = TypeVar("_T")
Latents = NDArray[np.float32]
Picture = NDArray[np.uint8]


class OutOfMemoryError(Exception):
    """The device has no room for a batch of this size."""


class WindowModel(Protocol):
    """What turns windows into windows. A window's values never depend on its companions in a batch."""

    @property
    def identity(self) -> str:
        """Digest of all that decides values, the shape of batches among it."""

    @property
    def batch(self) -> tuple[int, int]:
        """Columns and rows of windows in a batch; window (i, j) always has slot (i mod columns, j mod rows)."""

    def start(self, rects: Sequence[Rect | None], pictures: Sequence[Picture | None], careful: bool = False) -> Latents:
        """Encode pictures with their margin and add the first noise: float32[batch, 4, window, window]."""

    def run(
        self, phase: int, latents: Latents, rects: Sequence[Rect | None], hints: Sequence[tuple[Picture, ...] | None],
        careful: bool = False,
    ) -> Latents:  # fmt: skip
        """Denoise through a phase's steps; ``careful`` in float32. Empty slots (None) may hold anything.

        Raises:
            OutOfMemoryError: the batch does not fit.
        """

    def noise(self, phase: int, rect: Rect) -> Latents | None:
        """Give the noise that a sampler adds after a phase, once its windows are fused; None when it adds none."""

    def decode(self, latents: Latents, careful: bool = False) -> NDArray[np.floating]:
        """Decode one window, float32[4, h, w], to [3, 8 h, 8 w] in 0..1."""

    def step_down(self) -> str:
        """Ask for less memory from here on, and say how; empty when there is nothing left to give up."""


@dataclass(frozen=True)
class Ready:
    """A window with all that is drawn and read for it.

    Attributes:
        column: its index.
        row: its index.
        rect: where it is.
        digest: of all that decides it, but the model.
        hints: control images.
        picture: to start from, in the first phase.
        latents: read from the phase before, in the others.
        key: under which it was found finished; empty when it is still to be made.
        identity: of the model that had made it, when it was found.
    """

    column: int
    row: int
    rect: Rect
    digest: str
    hints: tuple[Picture, ...] = ()
    picture: Picture | None = None
    latents: Latents | None = None
    key: str = ""
    identity: str = ""


class Made(NamedTuple):
    """A finished window, and the identity under which it was made."""

    window: Ready
    values: Latents
    identity: str


Group = Sequence[Ready | None]


class Batches:
    """The batches of one phase.

    Attributes:
        samples: slots that were evaluated, empty ones included.
        retried: windows that were done again in float32.
    """

    def __init__(
        self, model: WindowModel, phase: int, size: int, device: ThreadPoolExecutor,
        keep: Callable[[Made], None], say: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Begin with empty slots.

        Args:
            model: makes the windows.
            phase: which.
            size: side of a window, latents.
            device: the one thread on which the model works.
            keep: takes each finished window.
            say: takes a line for people.
        """
        self._model, self._phase, self._size, self._device = model, phase, size, device
        self._deliver, self._say = keep, say
        self._shape = model.batch
        self._slots: list[deque[Ready]] = [deque() for _ in range(self._shape[0] * self._shape[1])]
        self._running: Future[list[Made]] | None = None
        self.samples = 0
        self.retried = 0

    def add(self, window: Ready) -> None:
        """Put a window into its slot; a batch whose slots are all taken is run."""
        self._slots[_slot(window, self._shape)].append(window)
        if all(self._slots):
            self._submit([slot.popleft() for slot in self._slots])

    def close(self) -> None:
        """Run what is left, with empty slots, and wait for everything."""
        while any(self._slots):
            self._submit([slot.popleft() if slot else None for slot in self._slots])
        self._take(self._running)

    def _submit(self, group: Group) -> None:
        """Give a batch to the model; while it works, keep the results of the one before."""
        before, self._running = self._running, self._device.submit(self._make, group)
        self._take(before)

    def _take(self, future: "Future[list[Made]] | None") -> None:
        for made in future.result() if future is not None else ():
            self._deliver(made)

    def _make(self, group: Group) -> list[Made]:
        """Make a batch; on the model's thread."""
        shape = self._model.batch
        if len(group) != shape[0] * shape[1]:  # the device had to step down since these slots were laid out
            alone = []
            for window in filter(None, group):
                lone: list[Ready | None] = [None] * (shape[0] * shape[1])
                lone[_slot(window, shape)] = window
                alone += self._make(lone)
            return alone
        identity = self._model.identity
        values = None
        with suppress(OutOfMemoryError):  # what a failed attempt held is let go before the next one begins
            values = self._values(group)
        if values is None:
            step_down(self._model, self._say)
            return self._make(group)
        self.samples += len(group)
        return [Made(w, v, identity) for w, v in zip(group, values, strict=True) if w is not None]

    def _values(self, group: Group) -> Latents:
        rects = [None if w is None else w.rect for w in group]
        hints = [None if w is None else w.hints for w in group]
        if self._phase == 0:
            pictures = [None if w is None else w.picture for w in group]
            latents = self._model.start(rects, pictures)
            if not all(_sound(latents[i]) for i, w in enumerate(group) if w is not None):
                self.retried += 1
                latents = self._model.start(rects, pictures, careful=True)
        else:
            latents = np.zeros((len(group), 4, self._size, self._size), np.float32)
            for slot, window in enumerate(group):
                if window is not None and window.latents is not None:
                    latents[slot] = window.latents
        values = self._model.run(self._phase, latents, rects, hints)
        broken = [i for i, w in enumerate(group) if w is not None and not _sound(values[i])]
        if broken:
            self.retried += len(broken)
            again = self._model.run(self._phase, latents, rects, hints, careful=True)
            for i in broken:
                if not _sound(again[i]):
                    raise EngineError(
                        "the model gave no numbers (NaN) for a window, in float32 too: a LoRA or a net is broken; "
                        "take them out one by one with --set"
                    )
                values[i] = again[i]
        return values


def with_room(model: WindowModel, say: Callable[[str], None], task: Callable[[], _T]) -> _T:
    """Carry out a task of the model's, with less and less memory until it fits; on the model's thread.

    Raises:
        EngineError: it does not fit at all.
    """
    while True:
        with suppress(OutOfMemoryError):
            return task()
        step_down(model, say)


def step_down(model: WindowModel, say: Callable[[str], None]) -> None:
    """Have a model take less memory, and say so.

    Raises:
        EngineError: there is nothing left to give up.
    """
    told = model.step_down()
    if not told:
        raise EngineError(
            "the device ran out of memory with the smallest batch; close what else uses it, "
            "or take a profile with the tiny VAE (--set diffusion.profile=draft)"
        )
    say(f"note: out of memory: {told}; finished windows stay, and a picture made in two ways says 'not exact'")


def _slot(window: Ready, shape: tuple[int, int]) -> int:
    return window.column % shape[0] + shape[0] * (window.row % shape[1])


def _sound(values: Latents) -> bool:
    """Tell whether values are numbers that fit into float16, in which windows are kept."""
    return bool(np.isfinite(values).all()) and float(np.abs(values).max()) < 65_000
