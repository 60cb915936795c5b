"""The chain: windows of one phase from windows of the phase before, each a pure function of its own place.

A window's value is decided by the settings, the seed, its address, the hints drawn over it and the windows
it reads; its key is the digest of just that. So it does not matter which picture asked first, in which
order windows were made, by how many processes, or what was found finished on disk.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mapstyle.engines.diffusion.lattice import LATENT, Blend, Lattices, Rect, covering, ramp
from mapstyle.engines.diffusion.windows import WindowStore
from mapstyle.errors import EngineError
from mapstyle.fingerprint import fingerprint
from mapstyle.frame import Frame

ENCODE_MARGIN = 16
"""Latents around a window that are encoded with it and cut off: the encoder's convolutions reach 13.5."""
_DECODED_ROOM = 400_000_000
"""Bytes of decoded windows that are kept for the next picture."""

_T = TypeVar("_T")
Latents = NDArray[np.float32]
Picture = NDArray[np.uint8]


class OutOfMemoryError(Exception):
    """The device has no room for a batch of this size."""


class Supply(Protocol):
    """What is drawn for windows."""

    def picture(self, rect: Rect) -> Picture | None:
        """Give the picture to start from, uint8[8 height, 8 width, 3]; None to start from noise alone."""

    def hints(self, rect: Rect) -> tuple[Picture, ...]:
        """Give the control images, one a control, uint8[8 height, 8 width, 3]."""


class WindowModel(Protocol):
    """What turns windows into windows. A window's values never depend on its companions in a batch."""

    @property
    def identity(self) -> str:
        """Digest of all that decides values, the shape of batches among it."""

    @property
    def batch(self) -> tuple[int, int]:
        """Columns and rows of windows in a batch; window (i, j) always has slot (i mod columns, j mod rows)."""

    def start(self, rects: Sequence[Rect | None], pictures: Sequence[Picture | None]) -> Latents:
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

    def decode(self, latents: Latents, careful: bool = False) -> NDArray[np.float32]:
        """Decode one window, float32[4, h, w], to float32[3, 8 h, 8 w] in 0..1."""

    def step_down(self) -> str:
        """Ask for less memory from here on, and say how; empty when there is nothing left to give up."""


@dataclass
class Counts:
    """What a chain has done: windows made and found, evaluations (windows times steps, empty slots included)."""

    made: int = 0
    found: int = 0
    evaluations: int = 0
    decoded: int = 0
    retried: int = 0


@dataclass(frozen=True)
class _Prepared:
    """A window that is ready to be made: all that is drawn and read for it."""

    column: int
    row: int
    rect: Rect
    digest: str
    hints: tuple[Picture, ...]
    picture: Picture | None
    latents: Latents | None
    found: bool = False


class _LostError(Exception):
    """A finished window is no longer where it was kept."""

    def __init__(self, phase: int, column: int, row: int) -> None:
        super().__init__(f"window {phase}/{column}/{row}")
        self.window = (phase, column, row)


@dataclass
class Chain:
    """Pictures from windows.

    Attributes:
        lattices: where the windows are.
        model: what makes them.
        store: where they are kept.
        supply: what is drawn for them.
        workers: threads that draw hints and read windows ahead of the model.
        say: takes a line for people.
        step: is told of evaluations done.
        exact: whether all windows were made under one identity.
        counts: what was done.
    """

    lattices: Lattices
    model: WindowModel
    store: WindowStore
    supply: Supply
    workers: int = 2
    say: Callable[[str], None] = print
    step: Callable[[int], None] | None = None
    exact: bool = True
    counts: Counts = field(default_factory=Counts)
    _keys: dict[tuple[int, int, int], str] = field(default_factory=dict)
    _decoded: OrderedDict[tuple[int, int], NDArray[np.float16]] = field(default_factory=OrderedDict)

    def paint(self, frame: Frame) -> Picture:
        """Give a frame's ground: uint8[height, width, 3], RGB."""
        cone = self.lattices.cone(frame)
        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            for phase, block in enumerate(cone.phases):
                self._phase(phase, self.lattices.phases[phase].homes(block), pool)
            out = np.empty((*frame.shape, 3), np.uint8)
            step = self.lattices.decode.windows.stride * LATENT
            for strip in frame.pieces(8 * step, step):  # a little at a time, for memory's sake
                out[strip.slices(frame)] = self._picture(strip, pool)
            return out

    def _phase(self, phase: int, windows: Iterable[tuple[int, int]], pool: ThreadPoolExecutor) -> None:
        """Make the windows of one phase that nobody has made."""
        wide, high = self.model.batch
        steps = len(self.lattices.plan.phases[phase])
        todo = [w for w in windows if (phase, *w) not in self._keys]
        todo.sort(key=lambda w: (w[1] // high, w[0] // wide, w[1], w[0]))
        slots: list[deque[_Prepared]] = [deque() for _ in range(wide * high)]
        for ready in self._ahead(lambda w: self._prepare(phase, *w), todo, pool):
            if ready.found:
                self._keys[phase, ready.column, ready.row] = self._key(ready.digest)
                self.counts.found += 1
                self._tell(steps)
                continue
            slots[ready.column % wide + wide * (ready.row % high)].append(ready)
            if all(slots):
                self._make(phase, [slot.popleft() for slot in slots])
        while any(slots):
            self._make(phase, [slot.popleft() if slot else None for slot in slots])

    def _ahead(
        self, prepare: Callable[[tuple[int, int]], _Prepared], todo: Sequence[tuple[int, int]], pool: ThreadPoolExecutor
    ) -> Iterator[_Prepared]:
        """Prepare windows in threads, a little ahead of who takes them, in order."""
        ahead = 2 * self.workers + self.model.batch[0] * self.model.batch[1]
        waiting: deque[tuple[tuple[int, int], Future[_Prepared]]] = deque()
        queue = iter(todo)
        try:
            while True:
                while len(waiting) < ahead and (window := next(queue, None)) is not None:
                    waiting.append((window, pool.submit(prepare, window)))
                if not waiting:
                    return
                window, future = waiting.popleft()
                yield self._mended(future, lambda w=window: prepare(w), pool)  # type: ignore[misc]
        finally:
            for _, future in waiting:
                future.cancel()

    def _mended(self, future: Future[_T], again: Callable[[], _T], pool: ThreadPoolExecutor) -> _T:
        """Wait for a result; windows that were lost from the store meanwhile are made anew."""
        try:
            return future.result()
        except _LostError as lost:
            error = lost
        while True:
            phase, column, row = error.window
            self._keys.pop(error.window, None)
            self._phase(phase, [(column, row)], pool)
            try:
                return again()
            except _LostError as lost:
                error = lost

    def _prepare(self, phase: int, column: int, row: int) -> _Prepared:
        rect = self.lattices.phases[phase].rect(column, row)
        hints = self.supply.hints(rect)
        picture = self.supply.picture(rect.pad(ENCODE_MARGIN)) if phase == 0 else None
        inputs = [self._keys[phase - 1, *w] for w in self._sources(phase - 1, rect)] if phase else []
        digest = fingerprint(phase, column, row, inputs, *hints, b"" if picture is None else picture)
        if self.store.get(self._key(digest)) is not None:
            return _Prepared(column, row, rect, digest, (), None, None, found=True)
        return _Prepared(column, row, rect, digest, hints, picture, self._read(phase - 1, rect) if phase else None)

    def _sources(self, phase: int, rect: Rect) -> list[tuple[int, int]]:
        layer = self.lattices.phases[phase]
        return layer.homes(layer.meeting(rect))

    def _key(self, digest: str) -> str:
        return fingerprint(self.model.identity, digest)

    def _read(self, phase: int, rect: Rect) -> Latents:
        """Fuse the windows of a phase over a rectangle, in their fixed order, and add what noise follows."""
        layer = self.lattices.phases[phase]
        blend = Blend(rect, ramp(layer.windows))
        for i, j in layer.meeting(rect):
            home = layer.columns.home(i)
            window = self.store.get(self._keys[phase, home, j])
            if window is None:
                raise _LostError(phase, home, j)
            blend.add(layer.rect(i, j), window)
        fused = blend.result()
        noise = self.model.noise(phase, rect)
        return fused if noise is None else fused + noise

    def _make(self, phase: int, group: Sequence[_Prepared | None]) -> None:
        """Make one batch and keep it."""
        wide, high = self.model.batch
        if len(group) != wide * high:  # the device had to step down since this group was put together
            for window in filter(None, group):
                alone: list[_Prepared | None] = [None] * (wide * high)
                alone[window.column % wide + wide * (window.row % high)] = window
                self._make(phase, alone)
            return
        try:
            values = self._values(phase, group)
        except OutOfMemoryError:
            told = self.model.step_down()
            if not told:
                raise EngineError(
                    "the device ran out of memory with the smallest batch; close what else uses it, "
                    "or take a profile with the tiny VAE (--set diffusion.profile=draft)"
                ) from None
            self.exact = False
            self.say(f"note: out of memory: {told}; finished windows stay, and the picture will say 'not exact'")
            self._make(phase, group)
            return
        steps = len(self.lattices.plan.phases[phase])
        self.counts.evaluations += len(group) * steps
        for made, value in zip(group, values, strict=True):
            if made is None:
                continue
            key = self._key(made.digest)
            self.store.put(key, value.astype(np.float16))
            self._keys[phase, made.column, made.row] = key
            self.counts.made += 1
            self._tell(steps)

    def _values(self, phase: int, group: Sequence[_Prepared | None]) -> Latents:
        rects = [None if w is None else w.rect for w in group]
        hints = [None if w is None else w.hints for w in group]
        if phase == 0:
            latents = self.model.start(rects, [None if w is None else w.picture for w in group])
        else:
            size = self.lattices.phases[phase].windows.window
            latents = np.zeros((len(group), 4, size, size), np.float32)
            for slot, window in enumerate(group):
                if window is not None and window.latents is not None:
                    latents[slot] = window.latents
        values = self.model.run(phase, latents, rects, hints)
        broken = [i for i, w in enumerate(group) if w is not None and not _sound(values[i])]
        if broken:
            self.counts.retried += len(broken)
            again = self.model.run(phase, latents, rects, hints, careful=True)
            for i in broken:
                if not _sound(again[i]):
                    rect = rects[i]
                    raise EngineError(
                        f"the model gave no numbers (NaN) for the window at {rect}, in float32 too: "
                        f"a LoRA or a net is broken; take them out one by one with --set"
                    )
                values[i] = again[i]
        return values

    def _picture(self, frame: Frame, pool: ThreadPoolExecutor) -> Picture:
        """Decode and blend the windows of the last phase over a frame."""
        layer, last = self.lattices.decode, len(self.lattices.phases) - 1
        target = covering(frame)
        blend = Blend(target, ramp(layer.windows, LATENT), LATENT, channels=3)
        for i, j in layer.meeting(target):
            place = (layer.columns.home(i), j)
            decoded = self._decoded.get(place)
            if decoded is None:
                rect = layer.rect(*place)
                read = pool.submit(self._read, last, rect)
                decoded = self._decode(self._mended(read, lambda r=rect: self._read(last, r), pool), rect)  # type: ignore[misc]
                self._decoded[place] = decoded
                while len(self._decoded) * decoded.nbytes > _DECODED_ROOM and len(self._decoded) > 1:
                    self._decoded.popitem(last=False)
            blend.add(layer.rect(i, j), decoded)
        values = blend.result()
        top, left = frame.row - target.y * LATENT, frame.column - target.x * LATENT
        values = values[:, top : top + frame.height, left : left + frame.width]
        return np.moveaxis(np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8), 0, 2)

    def _decode(self, latents: Latents, rect: Rect) -> NDArray[np.float16]:
        self.counts.decoded += 1
        picture = self.model.decode(latents)
        if not np.isfinite(picture).all() or not picture.any():
            self.counts.retried += 1
            picture = self.model.decode(latents, careful=True)
            if not np.isfinite(picture).all():
                raise EngineError(
                    f"the VAE gave no numbers (NaN) for the window at {rect}, in float32 too; "
                    f"check its weights with 'mapstyle models check'"
                )
            if not picture.any():
                self.say(f"note: the window at {rect} came out black, in float32 too")
        return picture.astype(np.float16)

    def _tell(self, evaluations: int) -> None:
        if self.step is not None:
            self.step(evaluations)


def _sound(values: Latents) -> bool:
    """Tell whether values are numbers that fit into float16, in which windows are kept."""
    return bool(np.isfinite(values).all()) and float(np.abs(values).max()) < 65_000
