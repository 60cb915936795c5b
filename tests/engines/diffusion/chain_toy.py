"""A model made of a few sums, for tests of the chain itself: it has all the faults that a lattice must hide.

Like a UNet it sees a whole window and nothing else, mixes neighbouring latents, and errs at the border.
"""

import cv2
import numpy as np

from mapstyle.engines.diffusion.batches import OutOfMemoryError
from mapstyle.engines.diffusion.chain import Chain
from mapstyle.engines.diffusion.lattice import LATENT, Lattices, Rect, encode_margin
from mapstyle.engines.diffusion.profiles import resolve
from mapstyle.engines.diffusion.settings import Diffusion, Lattice, Windows
from mapstyle.engines.diffusion.windows import WindowStore
from mapstyle.frame import Grid

SMALL_LATTICE = Lattice(
    paint=Windows(window=16, stride=12, guard=1, ramp=2), decode=Windows(window=24, stride=16, guard=2, ramp=4)
)


MARGIN = encode_margin(SMALL_LATTICE.paint)


def toy_lattices(grid: Grid, phases: int = 3, steps: int = 4) -> Lattices:
    settings = Diffusion(prompt="x", strength=1, steps=steps, phases=phases, lattice=SMALL_LATTICE)
    return Lattices(resolve(settings), grid)


def ground(rect: Rect, stream: int) -> np.ndarray:
    """Values that belong to places: float32[height, width]."""
    x = np.arange(rect.x, rect.x + rect.width, dtype=np.int64)[None]
    y = np.arange(rect.y, rect.y + rect.height, dtype=np.int64)[:, None]
    mixed = (x * 73856093) ^ (y * 19349663) ^ (stream * 83492791)
    return ((mixed * 2654435761 >> 7) % 1000 / 500 - 1).astype(np.float32)


class ToySupply:
    """Hints that belong to places, a pixel at a time."""

    def __init__(self, turn: int = 0) -> None:
        self.drawn = 0
        self.turn = turn
        self.changed: tuple[int, int] | None = None

    def picture(self, rect):
        return self._pixels(rect, 1)

    def hints(self, rect):
        self.drawn += 1
        return (self._pixels(rect, 2),)

    def _pixels(self, rect, stream):
        if self.turn:
            columns = np.arange(rect.x, rect.x + rect.width) % self.turn
            grey = ground(Rect(0, rect.y, self.turn, rect.height), stream)[:, columns]
        else:
            grey = ground(rect, stream)
        grey = ((grey + 1) * 127).astype(np.uint8).repeat(LATENT, 0).repeat(LATENT, 1)
        if self.changed is not None:
            x, y = self.changed[0] - rect.x * LATENT, self.changed[1] - rect.y * LATENT
            if 0 <= x < grey.shape[1] and 0 <= y < grey.shape[0]:
                grey[y, x] ^= 255
        return np.repeat(grey[..., None], 3, axis=2)


class ToyModel:
    """Blurs, bends and spoils the border; the noise of phase k is laid on after fusing."""

    def __init__(self, grid: Grid, batch=(2, 2), room: int = 99) -> None:
        self.batch = batch
        self.grid = grid
        self.room = room
        self.calls = 0
        self.samples = 0
        self.broken: set[tuple[int, int, int]] = set()
        self.always_broken = False

    @property
    def identity(self) -> str:
        return f"toy {self.batch}"

    def start(self, rects, pictures, careful=False):
        out = np.full((len(rects), 4, 16, 16), np.nan, np.float32)
        for slot, (rect, picture) in enumerate(zip(rects, pictures, strict=True)):
            if rect is not None:
                small = cv2.resize(picture, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
                out[slot] = small[MARGIN:-MARGIN, MARGIN:-MARGIN, 0] / 64.0
                out[slot] += self._noise(rect, 0)
        return out

    def run(self, phase, latents, rects, hints, careful=False):
        if len(latents) > self.room:
            raise OutOfMemoryError
        self.calls += 1
        out = np.empty_like(latents)
        for slot, (rect, hint) in enumerate(zip(rects, hints, strict=True)):
            if rect is None:
                continue
            self.samples += 1
            guide = cv2.resize(hint[0], None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)[..., 0] / 255.0
            for channel in range(4):
                blurred = cv2.blur(latents[slot, channel], (3, 3), borderType=cv2.BORDER_CONSTANT)  # errs at the border
                out[slot, channel] = np.tanh(blurred * 0.9 + guide + latents[slot].mean() * 0.01)
            if (phase, rect.x, rect.y) in self.broken and (self.always_broken or not careful):
                out[slot] = np.nan
        return out

    def noise(self, phase, rect):
        return None if phase % 2 else np.stack([self._noise(rect, 1 + phase)] * 4)

    def _noise(self, rect, stream):
        turn = self.grid.turn // LATENT
        if not turn:
            return ground(rect, stream) * 0.3
        columns = np.arange(rect.x, rect.x + rect.width) % turn
        return ground(Rect(0, rect.y, turn, rect.height), stream)[:, columns] * np.float32(0.3)

    def decode(self, latents, careful=False):
        grown = cv2.resize(np.moveaxis(latents[:3], 0, 2), None, fx=8, fy=8, interpolation=cv2.INTER_LINEAR)
        return np.moveaxis(np.clip(grown * 0.2 + 0.5 + latents.mean() * 0.01, 0, 1), 2, 0).astype(np.float32)

    def step_down(self):
        if self.batch == (1, 1):
            return ""
        self.batch = (1, 1)
        return "one window at a time"


def toy_chain(grid: Grid, folder=None, phases=3, batch=(2, 2), workers=2, **more) -> Chain:
    said: list[str] = []
    turn = grid.turn // LATENT
    chain = Chain(
        toy_lattices(grid, phases), ToyModel(grid, batch, **more), WindowStore(folder, said.append), ToySupply(turn),
        workers=workers, say=said.append,
    )  # fmt: skip
    chain.said = said  # type: ignore[attr-defined]
    return chain
