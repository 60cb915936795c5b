"""All that decides what the diffusion engine paints, known before torch is imported."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapstyle.engines.base import Watch
from mapstyle.engines.diffusion.fit import Fit, alike
from mapstyle.engines.diffusion.lattice import LATENT, Lattices
from mapstyle.engines.diffusion.mosaic import CELL
from mapstyle.engines.diffusion.profiles import Plan, resolve
from mapstyle.engines.diffusion.registry import Found, Registry, needed
from mapstyle.engines.diffusion.settings import Diffusion, Weights
from mapstyle.engines.painter import PainterSpec
from mapstyle.fingerprint import fingerprint
from mapstyle.frame import Frame, Grid

if TYPE_CHECKING:
    from mapstyle.engines.diffusion.engine import DiffusionEngine

VERSION = 1
"""Raised when the engine comes to paint other pixels from the same settings."""
BLOCK = 4096
"""Least logical pixels on the side of what is painted at once: halos cost little then, and it fits into memory."""
DETECTOR_CELL = 2 * CELL
"""Real pixels on the side of the cells on which detectors work."""
_LIBRARIES = ("torch", "diffusers", "transformers", "numpy")
_DETECTING = ("controlnet_aux", "opencv-python-headless")


@dataclass(frozen=True)
class Part:
    """Weights that take part: as the style names them, and where they were found."""

    role: str
    ref: Weights
    found: Found


@dataclass(frozen=True)
class DiffusionSpec:
    """SDXL with one style's settings on one machine.

    Attributes:
        settings: the style's section.
        plan: what it comes to.
        painter: paints the ground that the model starts from.
        parts: weights, found and checked.
        fit: how it runs here.
        cache: folder in which finished windows are kept; None keeps them in memory.
        folder: the style's own, where paths in it begin.
    """

    settings: Diffusion
    plan: Plan
    painter: PainterSpec
    parts: tuple[Part, ...]
    fit: Fit
    cache: Path | None = None
    folder: Path | None = None
    name: str = "sdxl"

    @cached_property
    def reach(self) -> int:
        """Reach of the lattice, of encoding and of the painter's ground, in pixels."""
        lattice = Lattices(self.plan, Grid.web_mercator(10)).reach
        # A detector works on whole cells, and sees a margin around them of at most a cell.
        detectors = 3 * DETECTOR_CELL if any(c.detector for c in self.settings.controls) else 0
        return lattice + detectors + self.painter.reach

    @property
    def needs(self) -> frozenset[str]:
        """Planes that the painter looks at for the ground to start from."""
        return self.painter.needs

    @property
    def images(self) -> frozenset[str]:
        """What its controls are drawn from; the painter's ground is its own."""
        return frozenset(c.image for c in self.settings.controls if c.image != "painter")

    @property
    def block(self) -> int:
        """What it is best asked for at once: whole batches and whole decoded cells, so that no slot stays empty."""
        lattice = self.plan.lattice
        step = LATENT * math.lcm(2 * lattice.paint.stride, lattice.decode.stride)
        return -(-BLOCK // step) * step

    @property
    def devices(self) -> tuple[str, ...]:
        """Numbers of the CUDA devices of this machine that give the same bits as the one it fits."""
        return alike(self.fit)

    def work(self, frame: Frame) -> int | None:
        """Count windows times steps."""
        return Lattices(self.plan, frame.grid).evaluations(frame)

    def overhead(self, frame: Frame) -> float:
        """Give the evaluations of a frame over those of independent windows without margins."""
        return Lattices(self.plan, frame.grid).overhead(frame)

    def identity(self) -> str:
        """Digest of all that decides pixels: what windows are decided by, the ground they start from, the decoder."""
        return fingerprint(self.windows_identity(), self.painter.identity(), self.plan.lattice, self.plan.tiny)

    def windows_identity(self) -> str:
        """Digest of all that decides windows, but for the pictures drawn for them.

        Settings, weights (by what they are, not by where they lie), machine and versions.
        """
        settings = _without_places(self.settings.model_dump(exclude={"lattice", "preview_vae"}))
        plan = (self.plan.sampler, self.plan.spacing, self.plan.steps, self.plan.first, self.plan.phases,
                self.plan.cfg, self.plan.cfg_steps, self.plan.tiny, self.plan.lattice.paint,
                [(lora.weight, lora.text_weight, lora.blocks) for lora in self.plan.loras])  # fmt: skip
        return fingerprint(
            "diffusion", VERSION, settings, plan, [(p.role, p.found.sha256) for p in self.parts], *self._configs(),
            self.fit.identity, versions(any(c.detector for c in self.settings.controls)),
        )  # fmt: skip

    def described(self) -> dict[str, Any]:
        """Give the settings as JSON has them, but for where weights lie."""
        return _without_places(self.settings.model_dump(mode="json"))

    def _configs(self) -> Iterator[Any]:
        """Give the files of a config folder that the style names: they say how a lone file's weights are used."""
        folder = self.config
        if folder is not None:
            for file in sorted(f for f in folder.rglob("*") if f.is_file()):
                yield file.relative_to(folder).as_posix()
                yield file

    def load(self, watch: Watch | None = None) -> "DiffusionEngine":
        """Load the weights."""
        from mapstyle.engines.diffusion.engine import DiffusionEngine

        return DiffusionEngine(self, watch or Watch())

    @property
    def config(self) -> Path | None:
        """The folder of configs that the style names for lone files, or None for SDXL's own."""
        named = self.plan.base.config
        return (self.folder or Path()) / Path(named).expanduser() if named else None

    def found(self, role: str, ref: Weights) -> Found | None:
        """Give where the weights that the style names so were found; None when they are not needed."""
        return next((p.found for p in self.parts if p.role == role and p.ref == ref), None)

    def part(self, role: str) -> Iterator[Part]:
        """Give the weights that play a part, in order."""
        return (p for p in self.parts if p.role == role)


def find_parts(settings: Diffusion, style: str, folder: Path | None, registry: Registry) -> tuple[Part, ...]:
    """Find and check all weights that a style needs.

    Args:
        settings: the style's section.
        style: what follows ``mapstyle models pull`` to get what is missing.
        folder: its folder, for paths that begin there.
        registry: what is on this machine.

    Raises:
        EngineError: something is missing, or is not what it was.
        StyleError: settings that do not go together.
    """
    return tuple(
        Part(role, ref, registry.resolve(ref, style, folder)) for role, ref in needed(settings, resolve(settings))
    )


def versions(detectors: bool = False) -> dict[str, str]:
    """Give the versions of the libraries that decide bits, with those of detectors or without."""
    names = (*_LIBRARIES, *(_DETECTING if detectors else ()))
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def _without_places(table: dict[str, Any]) -> dict[str, Any]:
    places = ("source", "file", "revision", "sha256", "licence", "civitai", "config", "batch")
    out: dict[str, Any] = {}
    for key, value in table.items():
        if key in places:
            continue
        if isinstance(value, dict):
            out[key] = _without_places(value)
        elif isinstance(value, (list, tuple)):
            out[key] = [_without_places(v) if isinstance(v, dict) else v for v in value]
        else:
            out[key] = value
    return out
