"""What grows: crowns as flat-footed domes, light at the top and dark below, and trees that are mapped."""

from functools import cached_property
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Colour, Share, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import ramp
from mapstyle.engines.painter.wash.land import CLASSES, ClassName
from mapstyle.engines.painter.wash.pigment import byte_hash, ceil_reach, look_up, spread_table
from mapstyle.engines.painter.wash.sparse import Sparse, largest_of
from mapstyle.engines.painter.woodblock.knife import CARVE_REACH, carved
from mapstyle.engines.painter.woodblock.plank import COLOUR, KEY, clear, draw, lay
from mapstyle.engines.painter.woodblock.stamps import Stamps, stamps

Field = NDArray[np.float32]
Bytes = NDArray[np.uint8]
f32 = np.float32

OBSTACLES = ("road", "building", "water_area", "water_line", "rail", "runway", "pier", "tram")
_GOLDEN = (0.618034, 0.381966)


class Crowns(Sparse):
    """Crowns of trees and bushes: domes with a flat foot, one over another, each cut round by the key block."""

    brush: Literal["crowns"] = "crowns"
    needs: ClassVar[frozenset[str]] = frozenset({"landcover", "calm", *OBSTACLES})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR, KEY})

    classes: tuple[ClassName, ...] = Setting(description="land classes they stand on")
    light: tuple[Colour, Colour] = Setting(("#8fae74", "#a9b977"), description="inks at the top of single crowns")
    dark: Colour = Setting("#22504e", description="ink at the foot")
    cell: int = Setting(16, ge=4, le=40, description="room for one crown, px")
    radius: tuple[float, float] = Setting((4.0, 7.0), description="smallest and largest, px")
    flat: float = Setting(2.2, ge=1, le=6, description="how much flatter the foot is than the top")
    layers: int = Setting(4, ge=1, le=10, description="lattices laid over one another")
    cover: Share = Setting(0.6, description="share of the ground they stand on")
    clumps: Literal[32, 64, 128] = Setting(64, description="size of the groups they stand in, px")
    key: float = Setting(0.8, ge=0, le=3, description="width of the key-line about them, px")
    stream: int = Setting(41, ge=0, description="which luck they follow; another number, other places")

    @property
    def reach(self) -> int:
        """From a crown's rim to the place that decides whether it stands."""
        return ceil_reach(self.cell, CARVE_REACH, 4)

    @cached_property
    def _chosen(self) -> Bytes:
        table = np.zeros(256, np.uint8)
        table[[int(CLASSES[c]) for c in self.classes]] = 255
        return table

    def where(self, canvas: Canvas) -> Bytes:
        """Follow the land classes."""
        return cv2.LUT(carved(canvas, "landcover").astype(np.uint8, copy=False), self._chosen)

    def touch(self, canvas: Canvas) -> None:
        """Set crowns, lattice over lattice."""
        s = canvas.s
        free = self.where(canvas) > 0
        busy = largest_of(canvas, *OBSTACLES)
        if busy is not None:
            size = 2 * round(2.0 * s) + 1
            free &= cv2.dilate(busy, np.ones((size, size), np.uint8)) < 64
        thin: Field = canvas.noise(self.clumps, 3, 0.55, 400 + self.stream)
        if "calm" in canvas.scene and not canvas.base:
            thin = np.subtract(thin, canvas.control("calm") * f32(0.8))
        scallop = canvas.noise(4, 2, 0.6, 341) * f32(0.07)
        for k in range(self.layers):
            # Clumps thin out layer by layer, so that no clearing has a hard edge.
            keep = free & (thin > f32(1.9 - 3.8 * self.cover + 0.45 * (k / self.layers - 0.5)))
            if not keep.any():
                continue
            move = tuple(int(g * self.cell * (k + 1)) % self.cell for g in _GOLDEN)
            seed = (canvas.seed * 131 + self.stream * 32 + k) & 0x7FFFFFFF
            found = stamps(canvas.frame, self.cell, self.radius, seed, keep, (move[0], move[1]))
            self._print(canvas, found, scallop)

    def _print(self, canvas: Canvas, found: Stamps, scallop: Field) -> None:
        s = f32(canvas.s)
        # The cell's upper part is the dome; its foot is drawn in.
        down = np.where(found.dy > 0, found.dy * f32(self.flat), found.dy)
        away = np.sqrt(found.dx * found.dx + down * down)
        inward = found.radius * (f32(0.92) + scallop[found.y, found.x]) - away
        on = inward > -0.5
        part, inward = found.at(on), inward[on]
        y, x, u, v, r, luck = part.y, part.x, part.dx, part.dy, part.radius, part.luck
        body = np.minimum(inward + f32(0.5), 1)
        tone = np.clip(v / r * f32(1.05) + f32(0.62) + u / r * f32(0.25), 0, 1)
        colour = canvas.planes[COLOUR]
        one, two, deep = rgb(self.light[0]), rgb(self.light[1]), rgb(self.dark)
        for i in range(3):
            top = one[i] + luck * f32(two[i] - one[i])
            want = top + (deep[i] - top) * tone
            colour[i, y, x] += (want - colour[i, y, x]) * body
        if self.key > 0:
            # The line swells towards the foot, as a brush presses.
            width = f32(self.key) * s * (f32(0.75) + f32(0.5) * tone)
            line = np.clip(width - inward + f32(0.5), 0, 1) * body
            key = canvas.planes[KEY]
            key[y, x] = key[y, x] * (f32(1) - body) + line * f32(0.85)


class Trees(Sparse):
    """Trees that are mapped one by one: a small crown in the key block's ring."""

    brush: Literal["trees"] = "trees"
    needs: ClassVar[frozenset[str]] = frozenset({"tree", "tree_id"})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR, KEY})

    light: tuple[Colour, Colour] = Setting(("#8fae74", "#b3bd74"), description="inks of single crowns")
    dark: Colour = Setting("#2d5f52", description="ink on the side away from the light")
    key: Share = Setting(0.85, description="strength of the ring")

    @property
    def reach(self) -> int:
        """The step that tells the shaded side."""
        return 3

    def where(self, canvas: Canvas) -> Bytes | None:
        """Follow the crowns."""
        return cv2.compare(canvas.control("tree"), 0.0, cv2.CMP_GT) if "tree" in canvas.scene else None

    def touch(self, canvas: Canvas) -> None:
        """Print the crowns."""
        s = canvas.s
        near = canvas.control("tree")
        body = ramp(near, 0.02, 0.16)
        before = np.zeros_like(near)
        before[2 * s :, s:] = near[: -2 * s, :-s]
        side = ramp(before - near, -0.25, 0.35)
        char = byte_hash(canvas.control("tree_id"), 3)
        luck = look_up(spread_table(5), char)
        one, two, deep = rgb(self.light[0]), rgb(self.light[1]), rgb(self.dark)
        clear(canvas, body)
        top = luck
        lay(canvas, body, one, two, top)
        lay(canvas, body * side, deep)
        ring = ramp(near, 0.0, 0.10) * ramp(near, 0.42, 0.22)
        draw(canvas, ring * f32(self.key))
