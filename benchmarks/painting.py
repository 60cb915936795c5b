"""Pictures painted by the chain with all that went through the model kept, and what can be asked of them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from full_size import InMemory
from numpy.typing import NDArray
from workbench import Workbench

from mapstyle.audit.seams import Lines, lattice_lines
from mapstyle.engines.diffusion.batches import Latents, Picture
from mapstyle.engines.diffusion.chain import Chain
from mapstyle.engines.diffusion.engine import Drawn
from mapstyle.engines.diffusion.lattice import LATENT, Blend, Lattices, Rect, covering, ramp
from mapstyle.engines.diffusion.settings import Diffusion
from mapstyle.engines.diffusion.windows import WindowStore
from mapstyle.frame import Frame

Values = NDArray[np.floating[Any]]


class Painting:
    """A frame painted by the chain, with every window that went through the model.

    Attributes:
        picture: uint8[side, side, 3].
        before: states that windows had before each phase, by rectangle; ``after`` likewise.
        codes: latents of each decoded window.
    """

    def __init__(self, bed: Workbench, settings: Diffusion, frame: Frame, encode: Any = None) -> None:
        self.spec = bed.spec(settings)
        self.frame = frame
        self.loaded = InMemory(self.spec, bed.networks)
        self.model = bed.model(self.spec, self.loaded)
        self.drawn: Drawn = bed.drawn(self.spec)
        self.lattices = Lattices(self.spec.plan, bed.grid)
        self._encode = encode
        self.before: list[dict[Rect, Latents]] = [{} for _ in self.spec.plan.phases]
        self.after: list[dict[Rect, Latents]] = [{} for _ in self.spec.plan.phases]
        self.chain = Chain(self.lattices, self, WindowStore(None), self.drawn, workers=max(2, bed.fit.threads))
        self.picture = self.chain.paint(frame)
        places = [self.lattices.decode.rect(*w) for w in self.lattices.cone(frame).decode]
        self.codes = {rect: self.chain.latents(rect) for rect in places}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def start(self, rects: Sequence[Rect | None], pictures: Sequence[Picture | None], careful: bool = False) -> Latents:
        if self._encode is None:
            return self.model.start(rects, pictures, careful)
        noise = self.model.start(rects, [None] * len(rects))
        for slot, picture in enumerate(pictures):
            if picture is not None:
                noise[slot] += self._encode(picture)
        return noise

    def run(self, phase: int, latents: Latents, rects: Sequence[Rect | None], hints: Any, careful: bool = False) -> Any:
        done = self.model.run(phase, latents, rects, hints, careful)
        for slot, rect in enumerate(rects):
            if rect is not None:
                self.before[phase][rect], self.after[phase][rect] = latents[slot].copy(), done[slot].copy()
        return done

    def sigmas(self, phase: int) -> tuple[float, float]:
        """Give the noise level before and after a phase of one step."""
        (step,) = self.spec.plan.phases[phase]
        return self.loaded.schedule.sigmas[step], self.loaded.schedule.sigmas[step + 1]

    def clean(self, phase: int, before: Latents, after: Latents) -> Latents:
        """Give the picture that the model saw in a state, from what an Euler step made of it."""
        sigma, then = self.sigmas(phase)
        return (after - then / sigma * before) / (1 - then / sigma)

    def state(self, phase: int, rect: Rect) -> Latents:
        """Fuse the windows before a phase, not the first, over a rectangle."""
        layer = self.lattices.phases[phase - 1]
        blend = Blend(rect, ramp(layer.windows))
        for window in layer.meeting(rect):
            home = layer.rect(*window)
            blend.add(home, self.after[phase - 1][home])
        noise = self.model.noise(phase - 1, rect)
        return blend.result() if noise is None else blend.result() + noise

    def evaluate(self, phase: int, rects: Sequence[Rect]) -> list[Latents]:
        """Give the clean pictures of windows anywhere, from the fused states before a phase."""
        wide, high = self.model.batch
        out = []
        for begin in range(0, len(rects), wide * high):
            group: list[Rect | None] = list(rects[begin : begin + wide * high])
            group += [None] * (wide * high - len(group))
            states = [
                np.zeros_like(next(iter(self.after[0].values()))) if r is None else self.state(phase, r) for r in group
            ]
            drawn = [None if r is None else self.drawn.hints(r) for r in group]
            done = self.model.run(phase, np.stack(states), group, drawn)
            out += [self.clean(phase, states[i], done[i]) for i, r in enumerate(group) if r is not None]
        return out


def overlaps(windows: dict[Rect, Latents], guard: int, scale: int = 1) -> Iterator[tuple[Values, Values]]:
    """Give what two neighbours say where both count, side by side and one above the other."""
    for one, values in windows.items():
        for other, there in windows.items():
            aligned = (one.y == other.y and one.x < other.x) or (one.x == other.x and one.y < other.y)
            left, top = max(one.x, other.x) + guard, max(one.y, other.y) + guard
            right = min(one.x + one.width, other.x + other.width) - guard
            bottom = min(one.y + one.height, other.y + other.height) - guard
            if not aligned or right <= left or bottom <= top:
                continue
            part = [
                v[:, (top - r.y) * scale : (bottom - r.y) * scale, (left - r.x) * scale : (right - r.x) * scale]
                for v, r in ((values, one), (there, other))
            ]
            yield part[0], part[1]


@contextmanager
def frozen_norms(decoder: Any, look: Callable[[], Any]) -> Iterator[None]:
    """Let a decoder's group norms use the mean and variance that they have on average while it looks around."""
    import torch

    norms = [m for m in decoder.modules() if isinstance(m, torch.nn.GroupNorm)]
    means: dict[Any, list[Any]] = {norm: [] for norm in norms}

    def groups(norm: Any, x: Any) -> Any:
        return x.float().reshape(x.shape[0], norm.num_groups, -1)

    def note(norm: Any, taken: Any, _: Any) -> None:
        values = groups(norm, taken[0])
        means[norm].append((values.mean((0, 2)), values.square().mean((0, 2))))

    def freeze(norm: Any, taken: Any, _: Any) -> Any:
        x = taken[0]
        mean, square = (torch.stack(part).mean(0)[None, :, None] for part in zip(*means[norm], strict=True))
        values = (groups(norm, x) - mean) / (square - mean**2 + norm.eps).sqrt()
        shape = (1, -1, *[1] * (x.ndim - 2))
        scaled = values.reshape(x.shape) * norm.weight.float().reshape(shape) + norm.bias.float().reshape(shape)
        return scaled.to(x.dtype)

    hooks = [norm.register_forward_hook(note) for norm in norms]
    try:
        look()
        for hook in hooks:
            hook.remove()
        hooks = [norm.register_forward_hook(freeze) for norm in norms]
        yield
    finally:
        for hook in hooks:
            hook.remove()


def lines_of(lattices: Lattices, frame: Frame) -> list[Lines]:
    """Name the lines of all lattices, counted from a frame's corner."""
    layers = {f"phase {k}": layer for k, layer in enumerate(lattices.phases)}
    different = {layer.offset: (name, layer) for name, layer in layers.items()}
    found = []
    for name, layer in (*different.values(), ("decode", lattices.decode)):
        w = layer.windows
        # From a window in the frame: where the grid closes round the world, strides are not all alike.
        home = layer.rect(*next(iter(layer.meeting(covering(frame)))))
        for one in lattice_lines(name, w.window, w.stride, w.guard, w.ramp):
            x, y = home.x * LATENT + one.x - frame.column, home.y * LATENT + one.y - frame.row
            found.append(Lines(one.name, one.period, x % one.period, y % one.period))
    return found
