"""The diffusion engine: ground painted by SDXL, window by window, the same whoever asks for which part."""

from collections.abc import Mapping
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapstyle.engines.base import View, Watch
from mapstyle.engines.diffusion.batches import Picture
from mapstyle.engines.diffusion.chain import Chain
from mapstyle.engines.diffusion.denoiser import is_on
from mapstyle.engines.diffusion.detectors import Detector, find_detector
from mapstyle.engines.diffusion.fit import Fit
from mapstyle.engines.diffusion.lattice import Lattices, Rect
from mapstyle.engines.diffusion.loading import Loaded
from mapstyle.engines.diffusion.model import SdxlModel
from mapstyle.engines.diffusion.mosaic import Mosaic
from mapstyle.engines.diffusion.profiles import Plan
from mapstyle.engines.diffusion.settings import Control
from mapstyle.engines.diffusion.spec import DETECTOR_CELL, DiffusionSpec, versions
from mapstyle.engines.diffusion.windows import WindowStore, prune
from mapstyle.engines.painter import Painter
from mapstyle.frame import Frame, Grid
from mapstyle.making import Making, WeightUsed

_SAMPLER_NAMES = {
    "euler": "Euler",
    "euler-ancestral": "Euler a",
    "dpmpp-2m-karras": "DPM++ 2M",
    "lcm": "LCM",
}
"""Samplers as A1111 calls them."""


class DiffusionEngine:
    """Paints ground with a loaded model."""

    def __init__(self, spec: DiffusionSpec, watch: Watch, loaded: Loaded | None = None) -> None:
        """Load the weights, unless they are loaded, and open the cache of windows."""
        self._spec = spec
        self._watch = watch
        self._detectors = {c.detector: _detector(spec, c.detector) for c in spec.settings.controls if c.detector}
        self._loaded = loaded or Loaded(spec, watch)
        self._store = WindowStore(spec.cache, watch.say)
        if spec.cache is not None:  # ours, as the store has made sure
            prune(spec.cache)
        self._chains: dict[tuple[Grid, int], tuple[Chain, Drawn]] = {}
        self._identities: dict[Fit, str] = {}
        self._lock = Lock()

    def paint(self, frame: Frame, view: View, seed: int) -> NDArray[np.uint8]:
        """Paint a frame; see :class:`mapstyle.engines.base.Engine`."""
        with self._lock:
            chain, drawn = self._chain(frame.grid, seed)
            drawn.view = view
            return chain.paint(frame)

    def making(self, seed: int) -> Making:
        """Tell how pictures are made."""
        spec, plan, settings = self._spec, self._spec.plan, self._spec.settings
        exact = all(chain.exact for chain, _ in self._chains.values())
        return Making(
            prompt=self._loaded.prompt,
            negative=settings.negative,
            sampler=_SAMPLER_NAMES[plan.sampler],
            schedule=_schedule_name(plan),
            steps=plan.steps,
            evaluated=plan.executed,
            cfg=plan.cfg,
            strength=settings.strength,
            seed=seed,
            weights=tuple(_weights(spec)),
            controls=tuple(_control(spec, c) for c in settings.controls),
            lattice={**plan.lattice.model_dump(), "phases": [len(p) for p in plan.phases]},
            device=_device(self._loaded.fit),
            settings=spec.described(),
            exact=exact,
            identity=replace(spec, fit=self._loaded.fit).identity(),
        )

    @property
    def evaluations(self) -> int:
        """See :class:`mapstyle.engines.base.ModelEngine`."""
        return self.counts.get("evaluations", 0)

    @property
    def counts(self) -> Mapping[str, int]:
        """What was done so far: windows made and found, evaluations, decoded windows, retries."""
        total: dict[str, int] = {}
        for chain, _ in self._chains.values():
            for name, value in vars(chain.counts).items():
                total[name] = total.get(name, 0) + value
        return total

    def _identity(self, fit: Fit) -> str:
        """Give what decides windows with another fit; asked for with every window, worked out once."""
        if fit not in self._identities:
            self._identities[fit] = replace(self._spec, fit=fit).windows_identity()
        return self._identities[fit]

    def _chain(self, grid: Grid, seed: int) -> "tuple[Chain, Drawn]":
        key = (grid, seed)
        if key not in self._chains:
            spec = self._spec
            model = SdxlModel(self._loaded, spec.plan, self._identity, grid, seed)
            drawn = Drawn(spec, self._detectors, grid, seed)
            chain = Chain(
                Lattices(spec.plan, grid), model, self._store, drawn,
                workers=max(2, spec.fit.threads), say=self._watch.say, step=self._watch.step,
            )  # fmt: skip
            self._chains[key] = chain, drawn
        return self._chains[key]


class Drawn:
    """What is drawn for windows of one grid: the painter's ground to start from, and control images.

    Attributes:
        view: where the ground is seen; the same ground each time.
    """

    view: View

    def __init__(self, spec: DiffusionSpec, detectors: Mapping[str, Detector], grid: Grid, seed: int) -> None:
        """Make ready to draw.

        Args:
            spec: what is needed.
            detectors: by name, for controls that come from a picture.
            grid: where.
            seed: the map's.
        """
        self._settings = spec.settings
        self._grid = grid
        painter = Painter(spec.painter)
        self._ground = Mosaic(lambda cell: painter.paint(cell, self.view, seed, base=True))
        executed = spec.plan.executed
        used = [any(is_on(c, step, executed) for step in range(executed)) for c in spec.settings.controls]
        self._controls = [
            self._mosaic(c, detectors) if on else _nothing for c, on in zip(spec.settings.controls, used, strict=True)
        ]

    def picture(self, rect: Rect) -> Picture | None:
        """See :class:`mapstyle.engines.diffusion.chain.Supply`."""
        return self._ground(rect.frame(self._grid)) if self._settings.start == "painter" else None

    def hints(self, rect: Rect) -> tuple[Picture, ...]:
        """See :class:`mapstyle.engines.diffusion.chain.Supply`."""
        frame = rect.frame(self._grid)
        return tuple(draw(frame) for draw in self._controls)

    def _mosaic(self, control: Control, detectors: Mapping[str, Detector]) -> Mosaic:
        if control.image == "painter":
            source = self._ground
        else:
            name = control.image
            source = Mosaic(lambda cell: self.view.control(name, cell))
        if not control.detector:
            return source
        detector = detectors[control.detector]
        scale = self._grid.pixel_ratio

        def detect(cell: Frame) -> Picture:
            # Detectors look far (Canny follows an edge without end), so each works on a fixed cell and its margin.
            around = cell.pad(detector.margin // scale)
            return np.ascontiguousarray(detector(source(around))[cell.slices(around)])

        return Mosaic(detect, cell=DETECTOR_CELL)


def _schedule_name(plan: Plan) -> str:
    """Name a schedule as A1111 does."""
    if "karras" in plan.sampler:
        return "Karras"
    return "SGM Uniform" if plan.spacing == "trailing" else "Normal"


def _detector(spec: DiffusionSpec, name: str) -> Detector:
    """Make a detector ready, with its weights if the style names some."""
    ref = spec.settings.detectors.get(name)
    found = None if ref is None else spec.found("detector", ref)
    return find_detector(name, None if found is None else found.path)


def _nothing(frame: Frame) -> Picture:
    """Stand in for a control that no step looks at."""
    return np.zeros((0, 0, 3), np.uint8)


def _weights(spec: DiffusionSpec) -> "list[WeightUsed]":
    out = []
    for part in spec.parts:
        weight = None
        if part.role == "lora":
            weight = getattr(part.ref, "weight", None)
        out.append(part.found.used(part.role, weight))
    return out


def _control(spec: DiffusionSpec, control: Control) -> dict[str, Any]:
    """Describe a control; its net by what it is called, never by where it lies."""
    ref = spec.settings.nets[control.net]
    found = spec.found("controlnet", ref)
    assert found is not None, "a spec has all the nets that its controls use"
    return {**control.model_dump(), "weights": found.name}


def _device(fit: Fit) -> dict[str, str]:
    told = {
        "device": fit.name,
        "dtype": fit.dtype,
        "threads": str(fit.threads),
        "batch": f"{fit.batch[0]}x{fit.batch[1]}",
    }
    return {**told, **versions()}
