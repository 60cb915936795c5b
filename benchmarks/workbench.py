"""What benchmarks of diffusion share: the machine, the networks, the sample town, and clocks around the chain."""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from full_size import FULL, SMALL, InMemory, Networks, Size, pick_fit, random_networks, real_networks, settings_for

from mapstyle.cli.opening import layers_for, open_data
from mapstyle.cli.talk import Talk
from mapstyle.engines.diffusion.engine import Drawn
from mapstyle.engines.diffusion.fit import choose, look
from mapstyle.engines.diffusion.lattice import LATENT, Rect
from mapstyle.engines.diffusion.model import SdxlModel
from mapstyle.engines.diffusion.profiles import Plan, resolve
from mapstyle.engines.diffusion.settings import Diffusion
from mapstyle.engines.diffusion.spec import DiffusionSpec
from mapstyle.engines.painter import PainterSpec
from mapstyle.frame import Frame, Grid
from mapstyle.layers import Layers
from mapstyle.pipeline import Pipeline
from mapstyle.style import load_style, packaged

ZOOM = 16
CENTRE = (3.89016, 54.59785)
"""The town's church: streets and houses all around it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that all benchmarks of diffusion have."""
    parser.add_argument("--style", default="watercolour", help="who paints the ground to start from")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="", help="float16, bfloat16 or float32; the product's choice if left out")
    parser.add_argument("--batch", default="", help="windows at a time, such as 2x2; the product's choice if left out")
    parser.add_argument("--peak", type=float, default=790.0, help="TFLOP/s of the device in a large matrix product")
    parser.add_argument("--flat", action="store_true", help="leave the town's elevation out")
    parser.add_argument("--small", action="store_true", help="networks and windows so small that any CPU will do")
    parser.add_argument("--base", default="", help="folder or file of an SDXL base; random weights if left out")
    parser.add_argument("--net", default="", help="folder or file of a union ControlNet, needed with --base")
    parser.add_argument("--vae", default="", help="folder or file of a VAE instead of the base's")
    parser.add_argument("--tiny", default="", help="folder or file of a tiny VAE")
    parser.add_argument("--lora", action="append", default=[], metavar="FILE[@WEIGHT]", help="what makes a base fast")
    parser.add_argument("--prompt", default="a map painted in watercolour, soft washes, paper")


class Workbench:
    """The machine, the networks and the town.

    Attributes:
        window: pixels on the side of a window that is denoised.
        fit: how the product would run here, or as asked.
    """

    def __init__(self, asked: argparse.Namespace) -> None:
        import torch

        self.asked = asked
        self.size: Size = SMALL if asked.small else FULL
        self.window = self.size.lattice.paint.window * LATENT
        self.machine = look(asked.device)
        chosen = choose(self.machine, self.plan("standard"), nets=1)
        self.fit = pick_fit(self.size, self.machine, chosen, asked.batch, asked.dtype)
        if asked.small:
            torch.set_num_threads(1)
        kind = self.fit.device, self.fit.dtype
        self.networks: Networks = (
            real_networks(asked.base, asked.net, asked.vae, asked.tiny, asked.lora, *kind, self.size)
            if asked.base
            else random_networks(self.size, *kind)
        )
        self.style = load_style(asked.style)
        self.grid, self.centre, self.layers = open_town(asked.flat)

    @property
    def cuda(self) -> bool:
        return self.fit.device.startswith("cuda")

    def settings(self, profile: str, **changes: Any) -> Diffusion:
        return settings_for(self.size, profile, prompt=self.asked.prompt, **changes)

    def plan(self, profile: str) -> Plan:
        return resolve(self.settings(profile))

    def spec(self, settings: Diffusion) -> DiffusionSpec:
        return DiffusionSpec(settings, resolve(settings), PainterSpec(self.style.painter), (), self.fit)

    def drawn(self, spec: DiffusionSpec) -> Drawn:
        drawn = Drawn(spec, {}, self.grid, self.style.seed)
        drawn.view = Pipeline(self.layers, self.style, spec)
        return drawn

    def model(self, spec: DiffusionSpec, loaded: InMemory | None = None) -> SdxlModel:
        loaded = InMemory(spec, self.networks) if loaded is None else loaded
        # The identity is asked for as the engine does it: what it costs is part of what is measured.
        identity = lambda fit: replace(spec, fit=fit).identity()  # noqa: E731
        return SdxlModel(loaded, spec.plan, identity, self.grid, self.style.seed)

    def square(self, side: int) -> Frame:
        """Give a square of ``side`` pixels about the town's centre, its corner on a whole latent."""
        column, row = ((v - side // 2) // LATENT * LATENT for v in self.centre)
        return Frame(self.grid, column, row, side, side)

    def told(self) -> str:
        """Say what all of it is measured on."""
        import diffusers
        import torch

        weights = "real weights" if self.networks.real else "random weights"
        return (
            f"{self.machine.name}, torch {torch.__version__}, diffusers {diffusers.__version__}; {self.fit.describe}; "
            f"{self.size.name} size, {weights}"
        )

    def settle(self) -> None:
        """Wait until the device has finished."""
        import torch

        if self.cuda:
            torch.cuda.synchronize()

    def reset_peak(self) -> None:
        import torch

        if self.cuda:
            torch.cuda.reset_peak_memory_stats()

    def peak(self) -> float:
        """Give the GB of the device's memory that were in use at once; 0 on a CPU."""
        import torch

        return float(torch.cuda.max_memory_allocated()) / 1e9 if self.cuda else 0.0

    def seconds(self, work: Callable[[], Any]) -> float:
        """Time work until the device has finished."""
        self.settle()
        begun = time.perf_counter()
        work()
        self.settle()
        return time.perf_counter() - begun


def open_town(flat: bool) -> tuple[Grid, tuple[int, int], Layers]:
    """Open the sample town: its grid, the pixel of its centre, and its layers.

    Args:
        flat: leave the elevation out; what was kept of the rest is then read without GDAL.
    """
    sources = ["doggerhaven.gpkg"] if flat else ["doggerhaven.gpkg", "doggerhaven-elevation.tif"]
    data = open_data([str(packaged("sample_data") / name) for name in sources], Talk(True, False))
    grid = Grid.web_mercator(ZOOM)
    column, row = (int(v) for v in grid.project(np.array([CENTRE]))[0])
    layers = layers_for(data, Frame(grid, column - 512, row - 512, 1024, 1024))
    return grid, (column, row), layers


@dataclass
class Spent:
    """What a model has done, and when, until its results were in main memory.

    Attributes:
        worked: when it worked, from and to; one thread works on the device.
        seconds: of that, by kind of work: ``start``, ``decode``, and ``run`` by phase.
        windows: likewise; those asked for, without what filled up batches.
        guided: rectangles whose control images were brought to the device.
    """

    worked: list[tuple[float, float]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    windows: dict[str, int] = field(default_factory=dict)
    guided: set[Rect] = field(default_factory=set)

    @property
    def busy(self) -> float:
        """Seconds in which the model worked."""
        return sum(self.seconds.values())

    def add(self, kind: str, windows: int, begun: float) -> None:
        """Count work that began at a time and is now done."""
        now = time.perf_counter()
        self.worked.append((begun, now))
        self.seconds[kind] = self.seconds.get(kind, 0.0) + now - begun
        self.windows[kind] = self.windows.get(kind, 0) + windows


class TimedModel:
    """A model of the chain that takes its own time; results come as arrays, so that the device has finished."""

    def __init__(self, model: SdxlModel) -> None:
        self._model = model
        self.spent = Spent()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def start(self, rects: Sequence[Rect | None], pictures: Sequence[Any], careful: bool = False) -> Any:
        begun = time.perf_counter()
        done = self._model.start(rects, pictures, careful)
        self.spent.add("start", sum(p is not None for p in pictures), begun)
        return done

    def run(self, phase: int, latents: Any, rects: Sequence[Rect | None], hints: Any, careful: bool = False) -> Any:
        begun = time.perf_counter()
        done = self._model.run(phase, latents, rects, hints, careful)
        there = [rect for rect in rects if rect is not None]
        self.spent.add(f"run {phase}", len(there), begun)
        self.spent.guided.update(there)
        return done

    def decode(self, latents: Any, careful: bool = False) -> Any:
        begun = time.perf_counter()
        done = self._model.decode(latents, careful)
        self.spent.add("decode", 1, begun)
        return done


class TimedSupply:
    """What is drawn for windows, and when it was drawn, in any thread."""

    def __init__(self, drawn: Drawn) -> None:
        self._drawn = drawn
        self.worked: list[tuple[float, float]] = []

    def picture(self, rect: Rect) -> Any:
        begun = time.perf_counter()
        done = self._drawn.picture(rect)
        self.worked.append((begun, time.perf_counter()))
        return done

    def hints(self, rect: Rect) -> Any:
        begun = time.perf_counter()
        done = self._drawn.hints(rect)
        self.worked.append((begun, time.perf_counter()))
        return done


def seconds_without(these: list[tuple[float, float]], those: list[tuple[float, float]]) -> float:
    """Tell for how long any of these went on while none of those did."""
    changes = [(at, 0, step) for begin, end in these for at, step in ((begin, 1), (end, -1))]
    changes += [(at, 1, step) for begin, end in those for at, step in ((begin, 1), (end, -1))]
    going, last, total = [0, 0], 0.0, 0.0
    for at, which, step in sorted(changes):
        if going[0] > 0 and going[1] == 0:
            total += at - last
        going[which] += step
        last = at
    return total
