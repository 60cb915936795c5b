"""All that decides what the diffusion engine paints, known before torch is imported."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from mapstyle.engines.base import Watch
from mapstyle.engines.diffusion.chain import ENCODE_MARGIN
from mapstyle.engines.diffusion.fit import Fit
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
"""Logical pixels on the side of what is painted at once: halos cost little then, and it fits into memory."""
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
    """

    settings: Diffusion
    plan: Plan
    painter: PainterSpec
    parts: tuple[Part, ...]
    fit: Fit
    cache: Path | None = None
    name: str = "sdxl"

    @cached_property
    def reach(self) -> int:
        """Reach of the lattice, of encoding and of the painter's ground, in pixels."""
        lattice = Lattices(self.plan, Grid.web_mercator(10)).reach
        # A detector works on whole cells, and sees a margin around them of at most a cell.
        detectors = 3 * DETECTOR_CELL if any(c.detector for c in self.settings.controls) else 0
        return lattice + ENCODE_MARGIN * LATENT + detectors + self.painter.reach

    @property
    def needs(self) -> frozenset[str]:
        """Planes that the painter looks at for the ground to start from."""
        return self.painter.needs

    @property
    def block(self) -> int:
        """What it is best asked for at once."""
        return BLOCK

    def work(self, frame: Frame) -> int | None:
        """Count windows times steps."""
        return Lattices(self.plan, frame.grid).evaluations(frame)

    def overhead(self, frame: Frame) -> float:
        """Give the evaluations of a frame over those of independent windows without margins."""
        return Lattices(self.plan, frame.grid).overhead(frame)

    def identity(self) -> str:
        """Digest of all that decides pixels: settings, weights by content, machine, versions."""
        weights = [(p.role, p.found.sha256) for p in self.parts]
        # Where weights lie is nobody's business; what they are, their digests say, and how they run, the fit.
        settings = _without_places(self.settings.model_dump())
        plan = (self.plan.sampler, self.plan.spacing, self.plan.steps, self.plan.first, self.plan.phases,
                self.plan.cfg, self.plan.cfg_steps, self.plan.tiny, self.plan.lattice,
                [(lora.weight, lora.text_weight, lora.blocks) for lora in self.plan.loras])  # fmt: skip
        return fingerprint(
            "diffusion", VERSION, settings, plan, weights, self.painter.identity(), self.fit.identity,
            versions(any(c.detector for c in self.settings.controls)),
        )  # fmt: skip

    def load(self, watch: Watch | None = None) -> "DiffusionEngine":
        """Load the weights."""
        from mapstyle.engines.diffusion.engine import DiffusionEngine

        return DiffusionEngine(self, watch or Watch())

    def part(self, role: str) -> Iterator[Part]:
        """Give the weights that play a part, in order."""
        return (p for p in self.parts if p.role == role)


def find_parts(settings: Diffusion, style: str, folder: Path | None, registry: Registry) -> tuple[Part, ...]:
    """Find and check all weights that a style needs.

    Args:
        settings: the style's section.
        style: its name, for the line that says how to get what is missing.
        folder: its folder, for paths that begin there.
        registry: what is on this machine.

    Raises:
        EngineError: something is missing, or is not what it was.
        StyleError: settings that do not go together.
    """
    pull = style if settings.profile == "standard" else f"{style} --profile {settings.profile}"
    return tuple(
        Part(role, ref, registry.resolve(ref, pull, folder)) for role, ref in needed(settings, resolve(settings))
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


def _without_places(table: dict[str, object]) -> dict[str, object]:
    places = ("source", "file", "revision", "sha256", "licence", "civitai", "config", "batch")
    out: dict[str, object] = {}
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
