"""Draw a style's ink lines: thin things that an engine may have lost, where the vectors know they are."""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mapstyle.image import PLANES, MapImage, Scene


def _colour(text: str) -> str:
    if len(text) != 7 or text[0] != "#" or any(c not in "0123456789abcdefABCDEF" for c in text[1:]):
        raise ValueError("a colour is written as '#rrggbb'")
    return text.lower()


class InkLine(BaseModel):
    """How one kind of line is inked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    colour: Annotated[str, AfterValidator(_colour)] = Field("#333333", description="colour, #rrggbb")
    opacity: float = Field(1.0, ge=0.0, le=1.0, description="0 is invisible, 1 covers the ground")


def _known(lines: Mapping[str, InkLine]) -> Mapping[str, InkLine]:
    for name in lines:
        if name not in PLANES or PLANES[name].dtype is not np.uint8 or name in ("landcover", "roof_kind", "road_class"):
            coverages = sorted(n for n, p in PLANES.items() if p.meaning.startswith("coverage"))
            raise ValueError(f"no lines called '{name}'. Known: {', '.join(coverages)}.")
    return lines


class InkSettings(BaseModel):
    """The ``[ink]`` part of a style: coverage planes drawn back over the ground, in order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lines: Annotated[Mapping[str, InkLine], AfterValidator(_known)] = Field(
        default_factory=dict, description="plane -> how it is inked, in drawing order"
    )

    @property
    def needs(self) -> frozenset[str]:
        """Planes it looks at."""
        return frozenset(self.lines)


def draw_ink(scene: Scene, settings: InkSettings) -> MapImage | None:
    """Draw the ink of a scene's frame as a sheet, or None where there is none. Reach: 0."""
    present = [(name, line) for name, line in settings.lines.items() if name in scene]
    if not present:
        return None
    height, width = scene.frame.shape
    colour = np.zeros((height, width, 3), np.float32)
    alpha = np.zeros((height, width), np.float32)
    for name, line in present:
        top = scene.plane(name).astype(np.float32) * np.float32(line.opacity / 255)
        rgb = np.array([int(line.colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32)
        joined = top + alpha * (1 - top)
        share = top / np.maximum(joined, np.float32(1e-6))
        colour += (rgb - colour) * share[..., None]
        alpha = joined
    rgba = np.empty((height, width, 4), np.uint8)
    rgba[..., :3] = colour + np.float32(0.5)
    rgba[..., 3] = alpha * np.float32(255) + np.float32(0.5)
    return MapImage(scene.frame, rgba)
