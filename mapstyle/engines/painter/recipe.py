"""A style's arrangement of brushes, and the engine that carries it out."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mapstyle.engines.base import View, Watch
from mapstyle.engines.painter import diorama, pen, wash, woodblock
from mapstyle.engines.painter.brush import Brush, Medium, total_reach
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.errors import explain, nearest
from mapstyle.fingerprint import fingerprint
from mapstyle.frame import Frame
from mapstyle.image import Scene

VERSION = 1
"""Raised when a brush comes to paint other pixels from the same settings."""

ALIGN = 64
"""Painted windows begin and end on multiples of this many logical pixels: vector instructions then never
meet a ragged end, and work at reduced size starts on whole steps of the world."""

_M = TypeVar("_M", bound=BaseModel)

MEDIA: Mapping[str, tuple[type[Medium], Mapping[str, type[Brush]]]] = {
    name: (box.MEDIUM, {b.model_fields["brush"].default: b for b in box.BRUSHES})
    for name, box in (("wash", wash), ("pen", pen), ("diorama", diorama), ("woodblock", woodblock))
}
"""Every medium by name, with its box of brushes."""


class Recipe(BaseModel):
    """The ``[painter]`` part of a style: a medium, and brushes in the order in which they are used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    medium: str = Field(description="what is painted with: one of MEDIA")
    settings: Any = Field(default_factory=dict, description="settings of the medium")
    brushes: Mapping[str, Any] = Field(description="name -> brush and its settings, in order")

    @field_validator("medium")
    @classmethod
    def _known_medium(cls, medium: str) -> str:
        if medium not in MEDIA:
            raise ValueError(nearest(medium, MEDIA))
        return medium

    @model_validator(mode="after")
    def _resolve(self) -> "Recipe":
        kind, box = MEDIA[self.medium]
        made: dict[str, Brush] = {}
        for name, values in self.brushes.items():
            if isinstance(values, Brush):
                made[name] = values
                continue
            if not isinstance(values, Mapping) or "brush" not in values:
                raise ValueError(f"brushes.{name}: say which, as in brush = 'name'. {nearest(name, box)}")
            wanted = str(values["brush"])
            if wanted not in box:
                raise ValueError(f"brushes.{name}.brush: no brush '{wanted}'. {nearest(wanted, box)}")
            made[name] = _settle(f"brushes.{name}.", box[wanted], values)
        # Frozen models are settled here, once, so that everything after the door is resolved.
        object.__setattr__(self, "brushes", made)
        if not isinstance(self.settings, Medium):
            object.__setattr__(self, "settings", _settle("settings.", kind, self.settings))
        return self


def _settle(where: str, model: type[_M], values: Any) -> _M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ValueError(where + explain(error, model)) from None


@dataclass(frozen=True)
class PainterSpec:
    """The painter with one recipe."""

    recipe: Recipe
    name: str = "painter"

    @cached_property
    def reach(self) -> int:
        """Reach of the longest chain of brushes, logical pixels."""
        return total_reach(self.recipe.settings, self.recipe.brushes.values())

    @cached_property
    def needs(self) -> frozenset[str]:
        """Planes the medium and the brushes look at."""
        return self.recipe.settings.needs.union(*(b.needs for b in self.recipe.brushes.values()))

    def identity(self) -> str:
        """Digest of the recipe and of the painter's version."""
        described = {n: b.model_dump() for n, b in self.recipe.brushes.items()}
        order = list(self.recipe.brushes)
        return fingerprint("painter", VERSION, self.recipe.medium, self.recipe.settings, order, described)

    @property
    def images(self) -> frozenset[str]:
        """None: it looks at planes alone."""
        return frozenset()

    @property
    def block(self) -> int:
        """Any block will do."""
        return 0

    @property
    def devices(self) -> tuple[str, ...]:
        """None: it works on the CPU."""
        return ()

    def work(self, frame: Frame) -> int | None:
        """Leave the count to blocks."""
        return None

    def overhead(self, frame: Frame) -> float:
        """Count nothing."""
        return 1.0

    def load(self, watch: Watch | None = None) -> "Painter":
        """Give the painter; nothing is heavy here."""
        return Painter(self)


class Painter:
    """Paints ground with a recipe."""

    def __init__(self, spec: PainterSpec) -> None:
        self._spec = spec
        self._recipe = spec.recipe

    def paint(self, frame: Frame, view: View, seed: int, base: bool = False) -> NDArray[np.uint8]:
        """Paint a frame; see :class:`mapstyle.engines.base.Engine`.

        With ``base``, what a diffusion model would make objects of is left out: paper grain, granulation, hatching.
        """
        window = frame.pad(self._spec.reach).align(ALIGN)
        return self.paint_scene(view.scene(window), seed, base)[frame.slices(window)]

    def paint_scene(self, scene: Scene, seed: int, base: bool = False) -> NDArray[np.uint8]:
        """Paint all of a scene: uint8[height, width, 3], true further inside than the reach."""
        canvas = Canvas(scene, seed, base)
        self._recipe.settings.begin(canvas)
        for brush in self._recipe.brushes.values():
            first, last = brush.levels
            if first <= canvas.level <= last:
                brush.paint(canvas)
        picture = self._recipe.settings.finish(canvas)
        picture = picture * np.float32(255)
        picture += np.float32(0.5)
        np.clip(picture, 0, 255, out=picture)
        return picture.astype(np.uint8)
