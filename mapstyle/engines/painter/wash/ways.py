"""Ways: roads by rank in one pass, dry-brushed paths, rails with their ties, tramways, runways."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Colour, blur_reach
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import blur, ramp, remainder
from mapstyle.engines.painter.wash.hand import drawn, flow, hand, hue, pooled
from mapstyle.engines.painter.wash.paper import tooth
from mapstyle.engines.painter.wash.pigment import (
    ByLevel,
    at_level,
    ceil_reach,
    density_of,
    lay,
    lift,
    look_up,
)
from mapstyle.engines.painter.wash.sparse import Sparse, largest_of
from mapstyle.errors import nearest
from mapstyle.layers import ROADS

Field = NDArray[np.float32]
f32 = np.float32

_RANKS = {kind.value: 1 + i for i, kind in enumerate(ROADS)}


def _known(name: str) -> str:
    if name not in _RANKS:
        raise ValueError(f"no road class '{name}'. {nearest(name, _RANKS)}")
    return name


RoadName = Annotated[str, AfterValidator(_known)]
_EDGE_SIGMA = 0.9
_RIM_SIGMA = 1.9


class RoadWash(BaseModel):
    """Colour of one class of road."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pigment: Colour = Setting(description="colour of the wash")
    strength: float = Setting(1.0, ge=0, le=3, description="thickness")


class Roads(Sparse):
    """Roads: a thin warm wash inside the margin that the land left white, warmer for greater ones."""

    brush: Literal["roads"] = "roads"
    needs: ClassVar[frozenset[str]] = frozenset({"road", "road_class"})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    washes: Mapping[RoadName, RoadWash] = Setting(description="road class -> its wash; classes left out stay paper")
    rim: float = Setting(0.8, ge=0, le=4, description="pigment that pools along both sides")
    edge: Colour = Setting("#8a7563", description="colour of the line along both sides")
    line: ByLevel = Setting(((0.0, 0.0),), description="strength of that line, by level")

    @property
    def reach(self) -> int:
        """The redrawn outline and its rim."""
        return ceil_reach(blur_reach(_EDGE_SIGMA), blur_reach(_RIM_SIGMA))

    @cached_property
    def _tables(self) -> tuple[Field, Field]:
        pigment, edge = np.zeros((3, 256), f32), np.zeros(256, f32)
        for name, wash in self.washes.items():
            pigment[:, _RANKS[name]] = density_of(wash.pigment) * f32(wash.strength)
            edge[_RANKS[name]] = 1
        return pigment, edge

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow road."""
        return largest_of(canvas, "road")

    def touch(self, canvas: Canvas) -> None:
        """Lay all roads at once, each pixel in the colour of the road on top."""
        s = canvas.s
        # The class must reach as far as the soft edge of what it colours; the greater road wins a junction.
        rank = cv2.dilate(canvas.control("road_class"), np.ones((2 * s + 1, 2 * s + 1), np.uint8))
        pigment, edged = self._tables
        cover = canvas.cover("road") * look_up(edged, rank)
        mask = drawn(cover, hand(canvas) * f32(0.5), _EDGE_SIGMA * s, 0.2, 0.01)
        rim = pooled(mask, _RIM_SIGMA * s)
        amount = flow(canvas) * f32(0.16)
        amount += f32(0.88)
        amount *= mask
        cv2.scaleAdd(rim, self.rim, amount, dst=amount)
        np.maximum(amount, 0, out=amount)
        density = canvas.planes["density"]
        left = f32(1) - f32(0.85) * mask
        for i in range(3):
            wash = look_up(pigment[i], rank)
            wash = blur(wash, 0.8 * s)
            wash *= amount
            density[i] *= left
            density[i] += wash
        strength = at_level(self.line, canvas.level)
        if strength > 0:
            near = blur(cover, 0.6 * s)
            near -= f32(0.42)
            near -= hand(canvas, other=True) * f32(0.10)
            np.abs(near, out=near)
            line = ramp(near, 0.30, 0.06)
            broken = tooth(canvas) * f32(-0.45)
            cv2.scaleAdd(flow(canvas), 0.5, broken, dst=broken)
            line *= ramp(broken, -0.7, 0.8)
            line *= f32(strength)
            lay(canvas, line, density_of(self.edge))


class Paths(Sparse):
    """Tracks, paths and steps: a dry brush dragged along, broken by the tooth."""

    brush: Literal["paths"] = "paths"
    needs: ClassVar[frozenset[str]] = frozenset({"road_track", "road_path", "road_steps", "road_v", "road_u"})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    pigment: Colour = Setting("#a8845c", description="colour of tracks")
    foot: Colour = Setting("#a0765c", description="colour of paths and steps")
    strength: ByLevel = Setting(((0.0, 0.6),), description="thickness, by level")

    @property
    def reach(self) -> int:
        """The redrawn outline."""
        return ceil_reach(blur_reach(0.7))

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow road track and road path and road steps."""
        return largest_of(canvas, "road_track", "road_path", "road_steps")

    def touch(self, canvas: Canvas) -> None:
        """Drag the brush."""
        s = canvas.s
        strength = at_level(self.strength, canvas.level)
        for names, colour, dash in (
            (("road_track",), self.pigment, 0.0),
            (("road_path", "road_steps"), self.foot, 6.0),
        ):
            found = [canvas.control(n) for n in names if n in canvas.scene]
            if not found:
                continue
            line = found[0] if len(found) == 1 else cv2.max(found[0], found[1])
            mask = drawn(line.astype(f32) * f32(1 / 255), hand(canvas) * f32(0.5), 0.7 * s, 0.28, 0.06)
            dry = tooth(canvas) * f32(-0.17)
            cv2.scaleAdd(flow(canvas), 0.10, dry, dst=dry)
            dry += mask
            mask *= ramp(dry, 0.30, 0.80)
            if dash and "road_v" in canvas.scene:
                phase = remainder(canvas.control("road_v"), dash)
                phase += hand(canvas) * f32(1.2)
                phase -= f32(dash / 2)
                np.abs(phase, out=phase)
                mask *= ramp(phase, 2.6, 1.6)
            mask *= f32(strength)
            lay(canvas, mask, density_of(colour))


class Rails(Sparse):
    """Railways: an indigo line with ties on a bed of paper; tramways: a fine line."""

    brush: Literal["rails"] = "rails"
    needs: ClassVar[frozenset[str]] = frozenset({"rail", "rail_u", "rail_v", "tram"})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    pigment: Colour = Setting("#67617f", description="colour of line and ties")
    bed: Colour = Setting("#e9e2dc", description="colour of the ballast")
    ties: ByLevel = Setting(((11.0, 9.0), (16.0, 9.0), (18.0, 12.0)), description="distance between ties, px, by level")
    size: ByLevel = Setting(((10.0, 0.55), (15.0, 1.0), (18.0, 1.5)), description="size of line and ties, by level")

    @property
    def reach(self) -> int:
        """The softened bed."""
        return ceil_reach(blur_reach(0.9))

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow rail and tram."""
        return largest_of(canvas, "rail", "tram")

    def touch(self, canvas: Canvas) -> None:
        """Lay the bed, then the line and its ties."""
        s = canvas.s
        if "rail" in canvas.scene:
            bed = drawn(canvas.cover("rail"), hand(canvas) * f32(0.5), 0.9 * s, 0.2, 0.0)
            lift(canvas, bed * f32(0.8))
            bed *= f32(0.8)
            lay(canvas, bed, density_of(self.bed))
            size = at_level(self.size, canvas.level)
            across = np.abs(canvas.control("rail_u"))
            cv2.scaleAdd(canvas.noise(4, 2, 0.7, 2), 0.22, across, dst=across)
            core = ramp(across, 1.15 * size, 0.35 * size)
            core *= hand(canvas) * f32(0.6) + f32(0.78)
            gap = at_level(self.ties, canvas.level)
            along = remainder(canvas.control("rail_v"), gap)
            along -= f32(gap / 2)
            along += hand(canvas, other=True) * f32(0.5)
            np.abs(along, out=along)
            tie = ramp(along, 1.15 * size, 0.5 * size)
            tie *= ramp(across, 3.4 * size, 2.7 * size)
            np.maximum(core, tie * f32(0.75), out=core)
            core *= flow(canvas) * f32(0.16) + f32(0.95)
            lay(canvas, core, density_of(self.pigment))
        if "tram" in canvas.scene:
            line = drawn(canvas.cover("tram"), hand(canvas) * f32(0.4), 0.6 * s, 0.3, 0.1)
            line *= f32(0.45)
            lay(canvas, line, density_of(self.pigment))


class Runways(Sparse):
    """Runways and taxiways: a cool grey wash with a firm rim."""

    brush: Literal["runways"] = "runways"
    needs: ClassVar[frozenset[str]] = frozenset({"runway"})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    pigments: tuple[Colour, Colour] = Setting(("#cfcbd3", "#dcd3cc"), description="colours it wanders between")
    rim: float = Setting(1.3, ge=0, le=4, description="pigment that pools along both sides")

    @property
    def reach(self) -> int:
        """The redrawn outline and its rim."""
        return ceil_reach(blur_reach(_EDGE_SIGMA), blur_reach(_RIM_SIGMA))

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow runway."""
        return largest_of(canvas, "runway")

    def touch(self, canvas: Canvas) -> None:
        """Lay the wash."""
        mask = drawn(canvas.cover("runway"), hand(canvas) * f32(0.4), _EDGE_SIGMA * canvas.s, 0.2)
        rim = pooled(mask, _RIM_SIGMA * canvas.s)
        lift(canvas, mask * f32(0.9))
        amount = flow(canvas) * f32(0.15)
        amount += f32(0.9)
        amount *= mask
        cv2.scaleAdd(rim, self.rim, amount, dst=amount)
        lay(canvas, amount, density_of(self.pigments[0]), density_of(self.pigments[1]), hue(canvas))
