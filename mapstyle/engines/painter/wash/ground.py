"""What lies over the land's first wash: relief as cool glazes, puddles of second colours, rows of crops."""

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Brush, Colour, Share, blur_reach
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import blur, ramp, remainder
from mapstyle.engines.painter.wash.hand import (
    HOLD_REACH,
    HOLDS,
    TREMOR_REACH,
    flow,
    hand,
    held_off,
    hue,
    quiet,
    trembling,
)
from mapstyle.engines.painter.wash.land import CLASSES, ClassName
from mapstyle.engines.painter.wash.paper import tooth
from mapstyle.engines.painter.wash.pigment import (
    ByLevel,
    at_level,
    byte_hash,
    byte_table,
    density_of,
    lay,
    logical_world,
    look_up,
    spread_table,
)
from mapstyle.engines.painter.wash.sparse import Sparse

Field = NDArray[np.float32]
f32 = np.float32


class Relief(Brush):
    """Hills: slopes turned from the light take cool glazes, slopes towards it are lifted warm."""

    brush: Literal["relief"] = "relief"
    needs: ClassVar[frozenset[str]] = frozenset({"hillshade", "elevation", *HOLDS})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    shade: tuple[Colour, Colour] = Setting(("#8f96c4", "#7fa3b5"), description="colours of the shaded slopes")
    light: Colour = Setting("#fff0cf", description="colour of the lit slopes")
    strength: ByLevel = Setting(((0.0, 0.8),), description="strength of the glazes, by level")
    heights: tuple[tuple[float, Colour], ...] = Setting((), description="metres above the sea -> tint of the ground")
    tint: ByLevel = Setting(((0.0, 0.0),), description="strength of the tints, by level")
    soft: float = Setting(0.6, ge=0, le=2, description="strength of the soft glaze")
    hard: float = Setting(0.13, ge=0, le=1, description="strength of each glaze with an edge")
    steps: tuple[float, ...] = Setting(
        (0.12, 0.24, 0.38, 0.54), description="darkness of slope at which a further glaze begins, 0..1"
    )
    smoothing: float = Setting(1.2, ge=0, le=4, description="blur of the light before it is painted, px")

    @property
    def reach(self) -> int:
        """The blur of the light, and what the washes are held off."""
        return max(blur_reach(self.smoothing), HOLD_REACH)

    @cached_property
    def _tints(self) -> Field:
        metres = np.arange(256) * 20.0
        known = np.array([density_of(c) for _, c in self.heights])
        knots = [h for h, _ in self.heights]
        return np.array([np.interp(metres, knots, known[:, i]) for i in range(3)], f32)

    def paint(self, canvas: Canvas) -> None:
        """Tint by height, glaze the shade, lift the light."""
        if "hillshade" not in canvas.scene:
            return
        strength = at_level(self.strength, canvas.level)
        free = f32(1) - held_off(canvas)
        tint = at_level(self.tint, canvas.level)
        if tint > 0 and self.heights and "elevation" in canvas.scene:
            wander = canvas.noise(64, 4, 0.6, 23) * f32(40)
            wander += canvas.control("elevation")
            index = cv2.convertScaleAbs(np.maximum(wander, 0, out=wander), alpha=1 / 20)
            amount = flow(canvas) * f32(0.16)
            amount += f32(0.9)
            amount *= free
            amount *= f32(tint)
            for i in range(3):
                density = canvas.planes["density"][i]
                density += look_up(self._tints[i], index) * amount
        if strength <= 0:
            return
        light = blur(canvas.control("hillshade"), self.smoothing * canvas.s)
        light = light + hand(canvas, other=True) * np.abs(light) * f32(0.25)
        dark = np.clip(-light, 0, 1)
        # A soft glaze for the form, and further ones with an edge where the slope turns further away.
        form = dark * f32(self.soft)
        for at in self.steps:
            inward = dark - f32(at)
            form += ramp(inward, -0.02, 0.03) * f32(self.hard)
            # The rim of the glaze, where it dried.
            np.abs(inward, out=inward)
            form += ramp(inward, 0.04, 0.0) * f32(0.4 * self.hard)
        form *= flow(canvas) * f32(0.14) + f32(1)
        form *= free
        form *= f32(strength)
        np.maximum(form, 0, out=form)
        lay(canvas, form, density_of(self.shade[0]), density_of(self.shade[1]), hue(canvas))
        bright = np.clip(light, 0, 0.5)
        bright *= f32(1.7 * strength)
        np.minimum(bright, 0.75, out=bright)
        bright *= free
        for i in range(3):
            canvas.planes["density"][i] *= f32(1) - bright
        lay(canvas, bright, density_of(self.light))


class Puddle(BaseModel):
    """A second colour dropped into a land cover."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pigment: Colour = Setting(description="colour of the drops")
    share: Share = Setting(0.4, description="how much of the ground they cover")
    strength: float = Setting(0.5, ge=0, le=3, description="thickness")


class Puddles(Brush):
    """Second colours dropped into damp washes: soft shapes with a pooled edge, in places."""

    brush: Literal["puddles"] = "puddles"
    needs: ClassVar[frozenset[str]] = frozenset({"landcover", "parcel", *HOLDS})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    drops: Mapping[ClassName, Puddle] = Setting(description="land class -> what is dropped into it")
    cell: Literal[16, 32, 64, 128, 256] = Setting(32, description="size of the drops, px")
    edge: Share = Setting(0.5, description="how much pigment pools at their edges")
    push: Share = Setting(0.7, description="how far they push the first wash aside")
    stream: int = Setting(31, ge=0, description="which noise they follow; another number, other places")

    @property
    def reach(self) -> int:
        """The trembling outline of the land, its softening, and what washes are held off."""
        return max(TREMOR_REACH + blur_reach(1.0), HOLD_REACH)

    @cached_property
    def _tables(self) -> tuple[Field, Field, Field]:
        share, strength, pigment = np.full(256, -9, f32), np.zeros(256, f32), np.zeros((3, 256), f32)
        for name, drop in self.drops.items():
            index = CLASSES[name]
            # Share of a normal field above a threshold, nearly: threshold = 1.7 (1 - 2 share).
            share[index], strength[index] = 1.7 * (2 * drop.share - 1), drop.strength
            pigment[:, index] = density_of(drop.pigment)
        return share, strength, pigment

    def paint(self, canvas: Canvas) -> None:
        """Drop the colours."""
        share, strength, pigment = self._tables
        cover = trembling(canvas, "landcover").astype(np.uint8, copy=False)
        thick = look_up(strength, cover)
        if not cv2.countNonZero(thick):
            return
        n = canvas.noise(self.cell, 4, 0.55, self.stream) + look_up(share, cover)
        body = ramp(n, -0.10, 0.55)
        rim = ramp(np.abs(n - f32(0.02)), 0.14, 0.0)
        body *= f32(0.75)
        cv2.scaleAdd(rim, 0.6 * self.edge, body, dst=body)
        body *= blur(thick, 1.0 * canvas.s)
        body *= f32(1) - held_off(canvas)
        body *= flow(canvas) * f32(0.2) + f32(1)
        np.maximum(body, 0, out=body)
        density = canvas.planes["density"]
        # Clean water and new pigment push the first wash aside: laid over it, green on rose would be mud.
        left = f32(1) - np.minimum(body, 1) * f32(self.push)
        for i in range(3):
            density[i] *= left
            density[i] += look_up(pigment[i], cover) * body


class Rows(Sparse):
    """Furrows, vines and fruit trees: dry strokes along each parcel's own direction."""

    brush: Literal["rows"] = "rows"
    needs: ClassVar[frozenset[str]] = frozenset({"landcover", "parcel", "calm", *HOLDS})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    classes: tuple[ClassName, ...] = Setting(description="land classes that are drawn in rows")
    pigments: tuple[Colour, Colour] = Setting(description="colours of the rows")
    pitch: float = Setting(6.0, ge=2, le=64, description="distance between rows, px")
    width: float = Setting(1.6, ge=0.5, le=16, description="width of a row, px")
    beads: float = Setting(0.0, ge=0, le=64, description="distance between plants in a row, px; 0 is a stroke")
    share: Share = Setting(1.0, description="share of parcels that have rows")
    strength: float = Setting(0.4, ge=0, le=3, description="thickness")
    broken: float = Setting(0.5, ge=0, le=2, description="how far noise and tooth break the strokes")

    @property
    def reach(self) -> int:
        """The trembling outline, softened, and what washes are held off."""
        return max(TREMOR_REACH + blur_reach(1.2), HOLD_REACH)

    @cached_property
    def _chosen(self) -> NDArray[np.uint8]:
        table = np.zeros(256, np.uint8)
        table[[int(CLASSES[c]) for c in self.classes]] = 255
        return table

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow the land classes; a model gets no hatching."""
        if canvas.base:
            return None
        return cv2.LUT(trembling(canvas, "landcover").astype(np.uint8, copy=False), self._chosen)

    def touch(self, canvas: Canvas) -> None:
        """Draw the rows."""
        where = self.where(canvas)
        assert where is not None, "a sparse brush is only called where there is something to follow"
        s = canvas.s
        char = byte_hash(trembling(canvas, "parcel").astype(np.uint32, copy=False), 21)
        has = byte_table(lambda b: np.where(b / 256 < self.share, 1.0, 0.0))
        angle = (np.arange(256) * 167 % 256) / 256 * np.pi
        x, y = logical_world(canvas)
        # Far from the origin a float holds 1/128 px: coarse steps of direction keep neighbours in step.
        cosine, sine = look_up(np.cos(angle).astype(f32), char), look_up(np.sin(angle).astype(f32), char)
        across = cosine * x
        across += sine * y
        cv2.scaleAdd(hand(canvas), 1.3, across, dst=across)
        half = self.width / 2
        off = remainder(across, self.pitch)
        off -= f32(self.pitch / 2)
        np.abs(off, out=off)
        if self.beads > 0:
            along = sine * x
            along -= cosine * y
            along = remainder(along, self.beads)
            along -= f32(self.beads / 2)
            off *= off
            along *= along
            off += along
            np.sqrt(off, out=off)
            cv2.scaleAdd(hand(canvas, other=True), 0.8, off, dst=off)
        stroke = ramp(off, half + 0.45, half - 0.45)
        lifted = canvas.noise(32, 3, 0.6, 27) * f32(0.55)
        cv2.scaleAdd(tooth(canvas), -0.45, lifted, dst=lifted)
        lifted *= f32(self.broken)
        lifted += f32(0.75)
        stroke *= np.clip(lifted, 0, 1, out=lifted)
        inside = where.astype(f32) * f32(1 / 255)
        inside *= look_up(has, char)
        inside = ramp(blur(inside, 1.2 * s), 0.55, 0.9)
        inside *= f32(1) - held_off(canvas)
        stroke *= inside
        stroke *= f32(self.strength)
        quiet(canvas, stroke)
        lay(canvas, stroke, density_of(self.pigments[0]), density_of(self.pigments[1]), look_up(spread_table(3), char))
