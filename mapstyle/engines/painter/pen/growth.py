"""What grows and lies about: crowns, bushes, tufts, reeds, stones; and trees that are mapped."""

import math
from functools import cached_property
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting
from pydantic import field_validator

from mapstyle.engines.painter.brush import Brush, Share
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.pen.marks import HALF, MARKS
from mapstyle.engines.painter.pen.nib import (
    INK,
    WATER_INK,
    Bytes,
    ClassName,
    Levelled,
    at_level,
    class_table,
    draw,
    f32,
    has_land,
)
from mapstyle.engines.painter.pen.stamps import Lattice, press, sheet
from mapstyle.errors import nearest
from mapstyle.noise import unit

OBSTACLES = ("road", "building", "water_area", "water_line", "rail", "runway", "pier", "wall", "tram")
"""Planes that small marks keep clear of."""
_MOST = 32
_VERSIONS = 48


def obstacles(canvas: Canvas) -> Bytes:
    """Give the coverage of all that small marks keep clear of. Reach: 0."""

    def make() -> Bytes:
        out = np.zeros(canvas.frame.shape, np.uint8)
        for name in OBSTACLES:
            if name in canvas.scene:
                cv2.max(out, canvas.control(name), dst=out)
        return out

    return canvas.keep("obstacles", make)


class Marks(Brush):
    """One kind of mark scattered over some land covers, in clumps that ground noise decides."""

    brush: Literal["marks"] = "marks"
    needs: ClassVar[frozenset[str]] = frozenset({"landcover", "calm", *OBSTACLES})
    writes: ClassVar[frozenset[str]] = frozenset({INK, WATER_INK})

    mark: str = Setting(description="which mark: crown, conifer, bush, tuft, reed, grave, stone, grains, ...")
    classes: tuple[ClassName, ...] = Setting(description="land classes it is set on")
    cell: Literal[8, 16, 32] = Setting(16, description="room for one mark, px")
    size: float = Setting(1.0, ge=0.4, le=2, description="factor on its size; strokes stay as wide")
    rows: int = Setting(1, ge=1, le=_MOST, description="lattices laid over each other: how closely they stand")
    cover: Levelled = Setting(((0.0, 0.8),), description="share of the places that is taken, by level")
    clumps: Literal[32, 64, 128] = Setting(64, description="size of the groups they stand in, px")
    clumping: float = Setting(0.5, ge=0, le=4, description="how sharply groups and clearings part; 0 is even")
    margin: float = Setting(3.0, ge=0, le=12, description="px that the land cover must reach around a mark")
    clear: float = Setting(3.0, ge=0, le=12, description="px that must be free around a mark of roads, houses, water")
    water: bool = Setting(False, description="drawn with the water's ink")
    stream: int = Setting(70, ge=0, description="which luck they follow; another number, other places")

    @field_validator("mark")
    @classmethod
    def _known(cls, mark: str) -> str:
        if mark not in MARKS:
            raise ValueError(f"no mark '{mark}'. {nearest(mark, MARKS)}")
        return mark

    @property
    def reach(self) -> int:
        """From a stamp's rim to its middle, and what is asked around it."""
        half = min(HALF.get(self.mark, self.cell) * self.size, self.cell / 2)
        return math.ceil(half + max(self.margin, 0.7 * self.clear)) + 1

    @cached_property
    def _chosen(self) -> Bytes:
        return class_table(self.classes)

    def paint(self, canvas: Canvas) -> None:
        """Set the marks."""
        cover = at_level(self.cover, canvas.level)
        if cover <= 0 or not has_land(canvas, self.classes):
            return
        where = cv2.LUT(canvas.control("landcover"), self._chosen)
        stamps = sheet(MARKS[self.mark], self.cell, _VERSIONS, canvas.s, self.size)
        clump = canvas.noise(self.clumps, 3, 0.6, 90 + self.stream % 3) if self.clumping > 0 else None
        for k in range(self.rows):
            lattice = Lattice.over(canvas.frame, self.cell, self._move(k))
            luck = lattice.luck(canvas.seed * 131 + self.stream * 32 + k)
            version = 1 + (luck & np.uint32(0xFF)).astype(np.int64) % _VERSIONS
            at = np.rint(stamps.middles * canvas.s).astype(np.int64)[version]
            dx, dy = at[..., 0], at[..., 1]
            kept = self._free(canvas, lattice, where, dx, dy)
            likely: NDArray[np.floating]
            if clump is not None:
                # Clumps thin out row by row, so that no clearing has a hard edge.
                likely = lattice.ask(clump, dx, dy) * f32(self.clumping)
                likely += f32((cover - 0.5) * 3 + 0.5 - 0.5 * k / self.rows)
            else:
                likely = np.full(kept.shape, cover)
            if "calm" in canvas.scene:
                likely = likely - lattice.ask(canvas.control("calm"), dx, dy) * f32(0.75)
            kept &= unit(luck) < likely
            press(canvas, stamps, lattice, np.where(kept, version, 0), WATER_INK if self.water else INK)

    def _move(self, k: int) -> tuple[int, int]:
        # Steps of the golden ratio and of its square leave no two lattices in line.
        return int(k * 0.618034 * self.cell) % self.cell, int(k * 0.381966 * self.cell + k * k * 1.7) % self.cell

    def _free(
        self, canvas: Canvas, lattice: Lattice, where: Bytes, dx: NDArray[np.int64], dy: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        kept = lattice.ask(where, dx, dy) > 0
        busy = obstacles(canvas)
        kept &= lattice.ask(busy, dx, dy) < 60
        if not kept.any():
            return kept
        away = round(self.margin * canvas.s)
        if away:
            for mx, my in ((-away, 0), (away, 0), (0, -away), (0, away)):
                kept &= lattice.ask(where, dx + mx, dy + my) > 0
        away = round(0.7 * self.clear * canvas.s)
        if away:
            for mx, my in ((-away, -away), (away, -away), (-away, away), (away, away)):
                kept &= lattice.ask(busy, dx + mx, dy + my) < 60
        return kept


class Trees(Brush):
    """Trees that are mapped one by one: a ring, heavy and hatched on the side away from the light."""

    brush: Literal["trees"] = "trees"
    needs: ClassVar[frozenset[str]] = frozenset({"tree"})
    writes: ClassVar[frozenset[str]] = frozenset({INK, WATER_INK})

    share: Share = Setting(0.9, description="blackness of the strokes")

    @property
    def reach(self) -> int:
        """The throw of the shadow, and the slope of a crown."""
        return 4

    def paint(self, canvas: Canvas) -> None:
        """Draw shadows, then crowns."""
        if "tree" not in canvas.scene:
            return
        cone = canvas.control("tree")
        s = canvas.s
        body = np.where(cone > f32(0.02), np.uint8(255), np.uint8(0))
        throw = round(1.4 * s)
        shade = np.zeros_like(body)
        shade[throw:, throw:] = body[:-throw, :-throw]
        draw(canvas, cv2.subtract(shade, body))
        for name in (INK, WATER_INK):
            canvas.planes[name][body > 0] = 0
        y, x = np.nonzero(body)
        inner = (y > s) & (y < cone.shape[0] - 1 - s) & (x > s) & (x < cone.shape[1] - 1 - s)
        y, x = y[inner], x[inner]
        here = cone[y, x]
        gx, gy = cone[y, x + s] - cone[y, x - s], cone[y + s, x] - cone[y - s, x]
        steep = np.hypot(gx, gy)
        steep = np.maximum(steep, f32(1e-4))
        # Half the difference over two logical pixels is the fall a pixel, whose inverse is the radius.
        rim = here / (steep * f32(0.5))
        dark = -(gx + gy) / (steep * f32(1.4142))
        ring = np.clip(f32(0.5) + (f32(0.75) + np.clip(dark, 0, 1) * f32(0.8) - rim) * f32(s), 0, 1)
        # Lines 8 / sqrt(13) = 2.2 px apart, counted in whole pixels, which repeat after any turn of the world.
        phase = ((x + canvas.frame.column) * 3 - (y + canvas.frame.row) * 2) % (8 * s)
        lines = np.abs(phase.astype(f32) - f32(4 * s)) * f32(0.27735 / s)
        lines = np.clip(f32(0.5) + (f32(0.5) - lines) * f32(s), 0, 1)
        lines *= np.clip((dark - f32(0.25)) * 4, 0, 1) * np.clip((f32(0.75) - here) * 4, 0, 1)
        stroke = np.maximum(ring, lines) * f32(255 * self.share)
        canvas.planes[INK][y, x] = stroke.astype(np.uint8)
