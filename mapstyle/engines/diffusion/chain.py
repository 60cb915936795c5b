"""The chain: windows of one phase from windows of the phase before, each a pure function of its own place.

A window's value is decided by the settings, the seed, its address, the hints drawn over it and the windows
it reads; its key is the digest of just that. So it does not matter which picture asked first, in which
order windows were made, by how many processes, or what was found finished on disk.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mapstyle.engines.diffusion.batches import Batches, Latents, Made, Picture, Ready, WindowModel, with_room
from mapstyle.engines.diffusion.lattice import LATENT, Blend, Block, Lattices, Rect, covering, ramp
from mapstyle.engines.diffusion.windows import WindowStore
from mapstyle.errors import EngineError
from mapstyle.fingerprint import fingerprint
from mapstyle.frame import Frame

_DECODED_ROOM = 400_000_000
"""Bytes of decoded windows that are kept for the next picture."""

_A = TypeVar("_A")
_T = TypeVar("_T")
Decoded = NDArray[np.floating]


class Supply(Protocol):
    """What is drawn for windows; asked from several threads."""

    def picture(self, rect: Rect) -> Picture | None:
        """Give the picture to start from, uint8[8 height, 8 width, 3]; None to start from noise alone."""

    def hints(self, rect: Rect) -> tuple[Picture, ...]:
        """Give the control images, one a control, uint8[8 height, 8 width, 3]."""


@dataclass
class Counts:
    """What a chain has done: windows made and found, evaluations (windows times steps, empty slots included)."""

    made: int = 0
    found: int = 0
    evaluations: int = 0
    decoded: int = 0
    retried: int = 0


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
        counts: what was done.
    """

    lattices: Lattices
    model: WindowModel
    store: WindowStore
    supply: Supply
    workers: int = 2
    say: Callable[[str], None] = print
    step: Callable[[int], None] = lambda evaluations: None
    counts: Counts = field(default_factory=Counts)
    _identities: set[str] = field(default_factory=set)
    _keys: dict[tuple[int, int, int], str] = field(default_factory=dict)
    _decoded: OrderedDict[tuple[int, int], Decoded] = field(default_factory=OrderedDict)

    @property
    def exact(self) -> bool:
        """Whether all windows were made under one identity."""
        return len(self._identities) <= 1

    def paint(self, frame: Frame) -> Picture:
        """Give a frame's ground: uint8[height, width, 3], RGB."""
        cone = self.lattices.cone(frame)
        with self._threads() as (pool, device):
            self._phases(cone.phases, pool, device)
            return self._picture(frame, pool, device)

    def latents(self, rect: Rect) -> Latents:
        """Give the fused latents of the last phase, before they are decoded: float32[4, height, width]."""
        last = len(self.lattices.phases) - 1
        with self._threads() as (pool, device):
            self._phases(self.lattices.cone(rect.frame(self.lattices.grid)).phases, pool, device)
            return self._read(last, rect)

    @contextmanager
    def _threads(self) -> Iterator[tuple[ThreadPoolExecutor, ThreadPoolExecutor]]:
        """Give threads that draw and read ahead, and the one on which the model does all that it does."""
        with ThreadPoolExecutor(max(1, self.workers)) as pool, ThreadPoolExecutor(1) as device:
            yield pool, device

    def _phases(self, blocks: Sequence[Block], pool: ThreadPoolExecutor, device: ThreadPoolExecutor) -> None:
        for phase, block in enumerate(blocks):
            self._phase(phase, self.lattices.phases[phase].homes(block), pool, device)

    def _phase(
        self, phase: int, windows: Iterable[tuple[int, int]], pool: ThreadPoolExecutor, device: ThreadPoolExecutor
    ) -> None:
        """Make the windows of one phase that nobody has made."""
        steps = len(self.lattices.plan.phases[phase])
        size = self.lattices.phases[phase].windows.window
        wide, high = self.model.batch
        todo = [w for w in windows if (phase, *w) not in self._keys]
        todo.sort(key=lambda w: (w[1] // high, w[0] // wide, w[1], w[0]))

        def keep(made: Made) -> None:
            key = fingerprint(made.identity, made.window.digest)
            self.store.put(key, made.values.astype(np.float16))
            self._keys[phase, made.window.column, made.window.row] = key
            self._identities.add(made.identity)
            self.counts.made += 1
            self.step(steps)

        batches = Batches(self.model, phase, size, device, keep, self.say)
        for ready in self._ahead(lambda w: self._prepare(phase, *w), todo, pool, device):
            if ready.key:
                self._keys[phase, ready.column, ready.row] = ready.key
                self._identities.add(ready.identity)
                self.counts.found += 1
                self.step(steps)
            else:
                batches.add(ready)
        batches.close()
        self.counts.evaluations += batches.samples * steps
        self.counts.retried += batches.retried

    def _ahead(
        self, task: Callable[[_A], _T], todo: Sequence[_A], pool: ThreadPoolExecutor, device: ThreadPoolExecutor
    ) -> Iterator[_T]:
        """Carry out tasks in threads, a little ahead of who takes the results, in order.

        Windows that a task finds lost from the store are made anew, and the task is tried again.
        """
        ahead = 2 * self.workers + self.model.batch[0] * self.model.batch[1]
        waiting: deque[tuple[_A, Future[_T]]] = deque()
        queue = iter(todo)
        try:
            while True:
                while len(waiting) < ahead and (item := next(queue, None)) is not None:
                    waiting.append((item, pool.submit(task, item)))
                if not waiting:
                    return
                item, future = waiting.popleft()
                while True:
                    try:
                        result = future.result()
                        break
                    except _LostError as lost:
                        phase, column, row = lost.window
                    self._keys.pop((phase, column, row), None)
                    self._phase(phase, [(column, row)], pool, device)
                    future = pool.submit(task, item)
                yield result
        finally:
            for _, future in waiting:
                future.cancel()

    def _prepare(self, phase: int, column: int, row: int) -> Ready:
        layer = self.lattices.phases[phase]
        rect = layer.rect(column, row)
        hints = self.supply.hints(rect)
        picture = self.supply.picture(rect.pad(self.lattices.margin)) if phase == 0 else None
        inputs = []
        if phase:
            before = self.lattices.phases[phase - 1]
            for window in before.homes(before.meeting(rect)):
                if (source := self._keys.get((phase - 1, *window))) is None:
                    raise _LostError(phase - 1, *window)
                inputs.append(source)
        digest = fingerprint(phase, column, row, inputs, *hints, b"" if picture is None else picture)
        identity = self.model.identity
        key = fingerprint(identity, digest)
        if self.store.get(key) is not None:
            return Ready(column, row, rect, digest, key=key, identity=identity)
        latents = self._read(phase - 1, rect) if phase else None
        return Ready(column, row, rect, digest, hints, picture, latents)

    def _read(self, phase: int, rect: Rect) -> Latents:
        """Fuse the windows of a phase over a rectangle, in their fixed order, and add what noise follows."""
        layer = self.lattices.phases[phase]
        blend = Blend(rect, ramp(layer.windows))
        for i, j in layer.meeting(rect):
            home = layer.columns.home(i)
            key = self._keys.get((phase, home, j))
            window = None if key is None else self.store.get(key)
            if window is None:
                raise _LostError(phase, home, j)
            blend.add(layer.rect(i, j), window)
        fused = blend.result()
        noise = self.model.noise(phase, rect)
        return fused if noise is None else fused + noise

    def _picture(self, frame: Frame, pool: ThreadPoolExecutor, device: ThreadPoolExecutor) -> Picture:
        """Decode and blend the windows of the last phase over a frame, a strip at a time, for memory's sake."""
        out = np.empty((*frame.shape, 3), np.uint8)
        step = self.lattices.decode.windows.stride * LATENT
        blending: deque[tuple[Frame, Future[Picture]]] = deque()
        for strip in frame.pieces(8 * step, step):
            blending.append((strip, pool.submit(self._blend, strip, self._parts(strip, pool, device))))
            if len(blending) > 2:
                done, future = blending.popleft()
                out[done.slices(frame)] = future.result()
        for done, future in blending:
            out[done.slices(frame)] = future.result()
        return out

    def _parts(self, strip: Frame, pool: ThreadPoolExecutor, device: ThreadPoolExecutor) -> list[tuple[Rect, Decoded]]:
        """Give the decoded windows that count in a strip, in their fixed order."""
        layer, last = self.lattices.decode, len(self.lattices.phases) - 1
        block = layer.meeting(covering(strip))
        homes = {(i, j): (layer.columns.home(i), j) for i, j in block}
        for home in homes.values():
            if home in self._decoded:
                self._decoded.move_to_end(home)
        kept = {home: self._decoded[home] for home in homes.values() if home in self._decoded}
        todo = [home for home in dict.fromkeys(homes.values()) if home not in kept]
        latents = self._ahead(lambda home: self._read(last, layer.rect(*home)), todo, pool, device)
        waiting: deque[tuple[tuple[int, int], Latents, Future[Decoded]]] = deque()
        for home, values in zip(todo, latents, strict=True):
            waiting.append((home, values, device.submit(self._decode, values)))
            if len(waiting) > 1:  # one is checked while the next is decoded
                self._keep(kept, *waiting.popleft(), device)
        for rest in waiting:
            self._keep(kept, *rest, device)
        return [(layer.rect(*window), kept[home]) for window, home in homes.items()]

    def _keep(
        self, kept: dict[tuple[int, int], Decoded], home: tuple[int, int], latents: Latents, future: Future[Decoded],
        device: ThreadPoolExecutor,
    ) -> None:  # fmt: skip
        """Take a decoded window; one without numbers, or all black, is decoded once more in float32."""
        picture = future.result()
        self.counts.decoded += 1
        if not np.isfinite(total := float(picture.sum(dtype=np.float32))) or total == 0:
            self.counts.retried += 1
            picture = device.submit(self._decode, latents, True).result()
            where = self._where(self.lattices.decode.rect(*home))
            if not np.isfinite(total := float(picture.sum(dtype=np.float32))):
                raise EngineError(
                    f"the VAE gave no numbers (NaN) for the window at {where}, in float32 too; "
                    f"check its weights with 'mapstyle models check'"
                )
            if total == 0:
                self.say(f"note: the window at {where} came out black, in float32 too")
        kept[home] = self._decoded[home] = picture
        while len(self._decoded) * picture.nbytes > _DECODED_ROOM and len(self._decoded) > 1:
            self._decoded.popitem(last=False)

    def _decode(self, latents: Latents, careful: bool = False) -> Decoded:
        return with_room(self.model, self.say, lambda: self.model.decode(latents, careful))

    def _blend(self, frame: Frame, parts: Sequence[tuple[Rect, Decoded]]) -> Picture:
        target = covering(frame)
        blend = Blend(target, ramp(self.lattices.decode.windows, LATENT), LATENT, channels=3)
        for rect, picture in parts:
            blend.add(rect, picture)
        values = blend.result()
        top, left = frame.row - target.y * LATENT, frame.column - target.x * LATENT
        values = values[:, top : top + frame.height, left : left + frame.width]
        return np.moveaxis(np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8), 0, 2)

    def _where(self, rect: Rect) -> str:
        """Say where a window is, in words a person can look up."""
        west, south, east, north = rect.frame(self.lattices.grid).lonlat_bounds()
        return f"{west:.4f},{south:.4f},{east:.4f},{north:.4f}"
