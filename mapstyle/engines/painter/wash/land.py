"""Land: one wash a parcel, in the colours of its land cover, parted by paper left white or run together wet."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Brush, Colour, Share, blur_reach
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import blur, edges, ramp
from mapstyle.engines.painter.wash.hand import (
    HOLD_REACH,
    HOLDS,
    TREMOR_REACH,
    flow,
    hand,
    held_off,
    hue,
    pooled,
    puddle,
    trembling,
)
from mapstyle.engines.painter.wash.paper import tooth
from mapstyle.engines.painter.wash.pigment import (
    ByLevel,
    at_level,
    byte_hash,
    density_of,
    density_table,
    look_up,
    spread_table,
)
from mapstyle.errors import nearest
from mapstyle.layers import LandClass

Field = NDArray[np.float32]
f32 = np.float32

CLASSES: Mapping[str, LandClass] = {c.name.lower(): c for c in LandClass}
"""Land classes by the names that styles use."""


def _known(name: str) -> str:
    if name not in CLASSES:
        raise ValueError(f"no land class '{name}'. {nearest(name, CLASSES)}")
    return name


ClassName = Annotated[str, AfterValidator(_known)]
_SEAM_SIGMA = 1.2
_CROWD_SIGMA = 6.0
_RIM_SIGMA = 2.4
_SOFT_SIGMA = 0.7
_BLEED = 4
"""Wet paint runs on a sheet of a quarter of the resolution, whose cells lie on world multiples."""
_BLEED_SIGMA = 1.5
_PEAK = 1 / (_SEAM_SIGMA * np.sqrt(2 * np.pi))
"""Height of a line one pixel wide after the blur of seams."""


class LandWash(BaseModel):
    """The two pigments of a land cover, and how they are laid."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pigments: tuple[Colour, Colour] = Setting(description="colours between which the wash wanders")
    strength: float = Setting(1.0, ge=0, le=3, description="thickness of the wash")
    variety: Share = Setting(0.0, description="how much parcels differ in strength and hue")
    parted: bool = Setting(False, description="whether parcels of this class are parted from each other")


class Land(Brush):
    """Washes of land cover: outlines redrawn by hand, pooling at their rims, wandering in hue."""

    brush: Literal["land"] = "land"
    needs: ClassVar[frozenset[str]] = frozenset({"landcover", "parcel", "territory", "shore", *HOLDS})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    washes: Mapping[ClassName, LandWash] = Setting(
        description="land class -> its wash; 'ground' is what all others follow"
    )
    realms: tuple[Colour, ...] = Setting(
        (), description="colours of territories, where the ground is tinted by territory"
    )
    realm_share: ByLevel = Setting(((0.0, 0.0),), description="how far territories tint bare ground, 0..1, by level")
    seam: ByLevel = Setting(((0.0, 1.0),), description="how much paper is left white between washes, 0..1.5")
    parcels: ByLevel = Setting(((0.0, 1.0),), description="how clearly parcels of one class are parted, 0..1")
    wet: ByLevel = Setting(((0.0, 0.7),), description="how far neighbours run into each other, 0..1")
    rim: float = Setting(1.5, ge=0, le=4, description="pigment that pools at the rim")
    wander: Share = Setting(0.17, description="how much the strength wanders")
    dry: Share = Setting(0.35, description="how much paper a dry brush leaves bare")
    coast: ByLevel = Setting(((0.0, 0.0),), description="pigment that gathers along shores, by level")

    @property
    def reach(self) -> int:
        """A trembling outline, its seam, and the longest of what is made of it."""
        seam = 1 + max(
            blur_reach(_SEAM_SIGMA) + blur_reach(_RIM_SIGMA), blur_reach(_CROWD_SIGMA) + blur_reach(_RIM_SIGMA)
        )
        run = _BLEED * (blur_reach(_BLEED_SIGMA) + 2)
        return max(TREMOR_REACH + max(seam, run), HOLD_REACH + blur_reach(_RIM_SIGMA))

    @cached_property
    def _tables(self) -> tuple[Field, Field, Field, Field, NDArray[np.int32]]:
        ground = self.washes.get("ground", LandWash(pigments=("#f4ecd6", "#ece6cf")))
        first, second = np.zeros((3, 256), f32), np.zeros((3, 256), f32)
        strength, variety = np.ones(256, f32), np.zeros(256, f32)
        parted = np.zeros(256, np.int32)
        for name, index in CLASSES.items():
            wash = self.washes.get(name, ground)
            first[:, index], second[:, index] = density_of(wash.pigments[0]), density_of(wash.pigments[1])
            strength[index], variety[index], parted[index] = wash.strength, wash.variety, wash.parted
        return first, second, strength, variety, parted

    def paint(self, canvas: Canvas) -> None:
        """Lay all land washes at once; neighbours are told apart by their seams."""
        cover = trembling(canvas, "landcover").astype(np.uint8, copy=False)
        parcel = trembling(canvas, "parcel").astype(np.uint32, copy=False)
        char = byte_hash(parcel, 5)
        colours = self._colours(canvas, cover, char)
        wet = self._wet(canvas)
        mask, overlap = self._coverage(canvas, cover, parcel, char, wet)
        held = held_off(canvas)
        mask *= f32(1) - held
        rim = pooled(mask, _RIM_SIGMA * canvas.s)
        amount = flow(canvas) * f32(self.wander)
        amount += puddle(canvas)
        amount += f32(0.93)
        # Dry brush: where the wash runs thin, the tips of the tooth stay bare.
        thin = canvas.noise(128, 4, 0.6, 17) * f32(0.30)
        cv2.scaleAdd(tooth(canvas), 0.20, thin, dst=thin)
        thin = ramp(thin, 0.42, 0.78)
        thin *= f32(-self.dry)
        thin += f32(1)
        amount *= thin
        amount *= mask
        rim *= f32(self.rim)
        rim *= hand(canvas) * f32(0.8) + f32(1)
        amount += rim
        overlap *= mask
        amount += overlap
        coast = at_level(self.coast, canvas.level)
        if coast > 0 and "water_area" in canvas.scene:
            inland = canvas.control("shore") + hand(canvas) * f32(3.0)
            near = ramp(inland, -14.0, 0.0)
            near *= near
            near *= mask
            cv2.scaleAdd(near, coast, amount, dst=amount)
        density = canvas.planes["density"]
        for i in range(3):
            self._run(canvas, colours[i], wet)
            colours[i] *= amount
            density[i] += colours[i]

    def _colours(self, canvas: Canvas, cover: NDArray[np.uint8], char: NDArray[np.uint8]) -> list[Field]:
        """Give the density per channel of each place's own wash."""
        first, second, strength, variety, _ = self._tables
        varied = look_up(variety, cover)
        mix = look_up(spread_table(1), char)
        mix -= f32(0.5)
        mix *= varied
        mix += hue(canvas)
        np.clip(mix, 0, 1, out=mix)
        thick = look_up(spread_table(2), char)
        thick -= f32(0.5)
        thick *= varied
        thick *= f32(0.9)
        thick += f32(1)
        thick *= look_up(strength, cover)
        out = []
        for i in range(3):
            channel = look_up(second[i] - first[i], cover)
            channel *= mix
            channel += look_up(first[i], cover)
            channel *= thick
            out.append(channel)
        share = at_level(self.realm_share, canvas.level)
        if share > 0 and self.realms and "territory" in canvas.scene:
            territory = trembling(canvas, "territory").astype(np.uint32, copy=False)
            belongs = (territory != 0) & (cover == LandClass.GROUND)
            tint = byte_hash(territory, 9)
            table = density_table(self.realms)
            weight = belongs.astype(f32) * f32(share)
            for i in range(3):
                channel = look_up(table[i], tint)
                channel -= out[i]
                channel *= weight
                out[i] += channel
        return out

    def _wet(self, canvas: Canvas) -> Field:
        """Give where the paper was still wet, 0..1."""
        share = at_level(self.wet, canvas.level)
        return ramp(canvas.noise(64, 3, 0.55, 8), 1.6 - 1.6 * share, 2.2 - 1.6 * share)

    def _coverage(
        self, canvas: Canvas, cover: NDArray[np.uint8], parcel: NDArray[np.uint32], char: NDArray[np.uint8], wet: Field
    ) -> tuple[Field, Field]:
        """Give where washes lie, 0..1, and how much more where neighbours overlap."""
        s = canvas.s
        classes = edges(cover).astype(f32)
        apart = at_level(self.parcels, canvas.level)
        if apart > 0:
            own = parcel * cv2.LUT(cover, self._tables[4]).view(np.uint32)
            between = edges(own).astype(f32)
            between *= f32(apart)
            np.maximum(classes, between, out=classes)
        if at_level(self.realm_share, canvas.level) > 0 and "territory" in canvas.scene:
            np.maximum(classes, edges(trembling(canvas, "territory")).astype(f32), out=classes)
        line = blur(classes, _SEAM_SIGMA * s)
        line *= f32(s / _PEAK)
        # In a crowd of seams each would be as wide as what it parts: they thin out and vanish.
        small = cv2.resize(line, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        small = blur(small, _CROWD_SIGMA * s / 2)
        crowd = cv2.resize(small, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
        level = canvas.noise(32, 3, 0.6, 5) * f32(0.20)
        level += hand(canvas, other=True) * f32(0.30)
        seam = at_level(self.seam, canvas.level)
        level += f32(0.95 - 0.45 * seam)
        cv2.scaleAdd(wet, 0.6, level, dst=level)
        cv2.scaleAdd(ramp(crowd, 0.30, 0.65), 0.7, level, dst=level)
        gap = line - level
        mask = ramp(gap, 0.14, -0.10)
        # Where the threshold is above the line's own height, both washes cross it and add up.
        level -= f32(0.95)
        np.clip(level, 0, 0.25, out=level)
        level *= line
        level *= f32(1) - wet
        return mask, level

    def _run(self, canvas: Canvas, channel: Field, wet: Field) -> None:
        """Soften a channel's borders, and let it run where the paper is wet."""
        s = canvas.s
        softened = blur(channel, _SOFT_SIGMA * s)
        step = _BLEED * s
        small = cv2.resize(channel, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
        small = blur(small, _BLEED_SIGMA)
        far = cv2.resize(small, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
        far -= softened
        far *= wet
        np.add(softened, far, out=channel)
