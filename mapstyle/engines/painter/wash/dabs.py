"""Dabs: crowns, bushes, tufts and stones, one touch of the brush each, and trees that are mapped."""

from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Colour, Share, blur_reach
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import blur, ramp, scatter
from mapstyle.engines.painter.wash.hand import HOLD_REACH, HOLDS, flow, hand, held_off, hue, look, quiet
from mapstyle.engines.painter.wash.land import CLASSES, ClassName
from mapstyle.engines.painter.wash.pigment import (
    byte_hash,
    byte_table,
    ceil_reach,
    density_of,
    lay,
    look_up,
    spread_table,
)
from mapstyle.engines.painter.wash.sparse import Sparse
from mapstyle.frame import Frame, Grid
from mapstyle.noise import periodic

Field = NDArray[np.float32]
Bytes = NDArray[np.uint8]
f32 = np.float32

_PERIOD = 512
_UNIT = 200
"""The byte that stands for a dab's rim in its texture."""
_INSIDE_SIGMA = 1.8


@lru_cache(maxsize=64)
def stamps(cell: int, small: float, large: float, aspect: float, angle: float, seed: int) -> Callable[[int, int], Any]:
    """Give a maker of dab textures; equal settings give the same maker, which is what textures are kept by."""
    return partial(_stamped, cell, small, large, aspect, angle, seed)


def _stamped(
    cell: int, small: float, large: float, aspect: float, angle: float, seed: int, period: int, ratio: int
) -> Bytes:
    """Make uint8[period, period, 4]: place in the dab (200 is its rim), offsets to its middle + 128, hash.

    Two jittered lattices, the nearer dab on top, hide the lattice; outlines waver by periodic noise.
    ``angle`` is in degrees, or negative for any.
    """
    grid = Grid("", 1.0, 0.0, 0.0, 0.0, ratio, _PERIOD)
    frame = Frame(grid, 0, 0, period, period)
    waver = periodic(period, [(4 * ratio, 4 * ratio), (2 * ratio, 2 * ratio)], [1.0, 0.5], seed) * f32(0.13)
    best = np.full((period, period), 9, f32)
    out = np.zeros((period, period, 4), np.uint8)
    for i, move in enumerate(((0, 0), (cell // 2 + 1, cell // 2 - 1))):
        found = scatter(frame, cell, (small, large), seed + 101 * i)
        if angle < 0:
            turned = (found.hashed >> np.uint32(3) & np.uint32(255)).astype(f32) * f32(np.pi / 256)
        else:
            turned = np.full_like(found.dx, np.radians(angle))
        c, s = np.cos(turned), np.sin(turned)
        u, v = c * found.dx + s * found.dy, (c * found.dy - s * found.dx) / f32(aspect)
        place = np.sqrt(u * u + v * v) / np.maximum(found.radius, f32(0.01)) + waver
        layers = (place, found.dx, found.dy, (found.hashed >> np.uint32(11) & np.uint32(255)))
        place, dx, dy, kind = (np.roll(a, (move[1] * ratio, move[0] * ratio), (0, 1)) for a in layers)
        nearer = (place < best) & (place < 1.2)
        best[nearer] = place[nearer]
        out[nearer, 1] = np.rint(dx[nearer]) + 128
        out[nearer, 2] = np.rint(dy[nearer]) + 128
        out[nearer, 3] = kind[nearer]
    out[..., 0] = np.minimum(np.maximum(best, 0) * _UNIT, 255)
    return out


def body_table(rim: float) -> Field:
    """Give float32[256], thickness of a dab by its place byte: a soft-edged body with a pooled rim."""

    def profile(byte: NDArray[np.float64]) -> NDArray[np.float64]:
        q = byte / _UNIT
        body = np.clip((1.08 - q) / 0.22, 0, 1)
        return body * (1 + rim * np.clip(q, 0, 1) ** 3)

    return byte_table(profile)


class Dabs(Sparse):
    """Touches of the brush scattered over some land covers, thinned by ground noise."""

    brush: Literal["dabs"] = "dabs"
    needs: ClassVar[frozenset[str]] = frozenset({"landcover", "building", "calm", *HOLDS})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    classes: tuple[ClassName, ...] = Setting(description="land classes they are put on")
    pigments: tuple[Colour, Colour] = Setting(description="colours of single dabs")
    cell: Literal[4, 8, 16, 32] = Setting(16, description="two dabs in each square of this many px")
    radius: tuple[float, float] = Setting((2.2, 5.0), description="smallest and largest, px")
    aspect: float = Setting(1.0, ge=0.1, le=1, description="width over length")
    angle: float = Setting(-1, ge=-1, le=180, description="direction, degrees from east; -1 is any")
    cover: Share = Setting(0.8, description="share of the ground that is dabbed")
    strength: float = Setting(0.35, ge=0, le=3, description="thickness")
    rim: float = Setting(1.2, ge=0, le=4, description="pigment that pools at a dab's rim")
    volume: Share = Setting(0.0, description="how much darker a dab is on the side away from the light")
    clumps: Literal[32, 64, 128] = Setting(64, description="size of the groups they stand in, px")
    stream: int = Setting(41, ge=0, description="which noise they follow; another number, other places")

    @property
    def reach(self) -> int:
        """From a dab's rim to its middle, and what is asked there."""
        return ceil_reach(1.25 * self.radius[1], 1, max(blur_reach(_INSIDE_SIGMA), HOLD_REACH))

    @cached_property
    def _chosen(self) -> Bytes:
        table = np.zeros(256, np.uint8)
        table[[int(CLASSES[c]) for c in self.classes]] = 255
        return table

    def where(self, canvas: Canvas) -> Bytes:
        """Follow the land classes."""
        return cv2.LUT(canvas.control("landcover"), self._chosen)

    def touch(self, canvas: Canvas) -> None:
        """Set the dabs."""
        s = canvas.s
        free = blur(self.where(canvas).astype(f32) * f32(1 / 255), _INSIDE_SIGMA * s)
        free = ramp(free, 0.55, 0.75)
        free *= f32(1) - held_off(canvas)
        if "building" in canvas.scene:
            free *= f32(1) - canvas.cover("building")
        seed = canvas.seed * 131 + self.stream
        thin = canvas.noise(self.clumps, 4, 0.6, self.stream) * f32(0.9)
        thin += f32(3.2 * self.cover - 1.6 + 0.35)
        np.clip(thin, 0, 1, out=thin)
        free *= thin
        small = cv2.convertScaleAbs(free, alpha=255)
        maker = stamps(self.cell, self.radius[0], self.radius[1], self.aspect, self.angle, seed & 0xFFFF)
        place, dx, dy, kind = cv2.split(canvas.texture(_PERIOD, maker))
        back_x, back_y = (np.subtract(128, d, dtype=np.int16) for d in (dx, dy))
        kept = look(small, back_x, back_y).astype(f32)
        kept *= f32(self.strength / 255)
        kept *= look_up(body_table(self.rim), place)
        kept *= look_up(spread_table(4) * f32(0.7) + f32(0.65), kind)
        if self.volume > 0:
            side = cv2.add(back_x, back_y, dtype=cv2.CV_32F)
            side *= f32(-self.volume / (self.radius[1] * s))
            side += f32(1)
            kept *= np.clip(side, 0.2, 1.8, out=side)
        quiet(canvas, kept)
        mix = look_up(spread_table(5) - f32(0.5), kind)
        mix += hue(canvas)
        np.clip(mix, 0, 1, out=mix)
        lay(canvas, kept, density_of(self.pigments[0]), density_of(self.pigments[1]), mix)


class Trees(Sparse):
    """Trees that are mapped one by one: a dab with a pooled rim and a small violet shade."""

    brush: Literal["trees"] = "trees"
    needs: ClassVar[frozenset[str]] = frozenset({"tree", "tree_id"})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    pigments: tuple[Colour, Colour] = Setting(("#6a9a63", "#a9b95f"), description="colours of single trees")
    shadow: Colour = Setting("#8d86ad", description="colour of the shade")
    strength: float = Setting(0.7, ge=0, le=3, description="thickness")
    throw: float = Setting(1.8, ge=0, le=8, description="length of the shade, px")

    @property
    def reach(self) -> int:
        """The length of the shade."""
        return ceil_reach(self.throw, 1)

    def where(self, canvas: Canvas) -> Bytes | None:
        """Follow the crowns."""
        return cv2.compare(canvas.control("tree"), 0.0, cv2.CMP_GT) if "tree" in canvas.scene else None

    def touch(self, canvas: Canvas) -> None:
        """Shade, then dab."""
        near = canvas.control("tree")
        edge = near + hand(canvas) * f32(0.18)
        body = ramp(edge, 0.03, 0.22)
        body *= ramp(near, 0.0, 0.04)
        away = round(self.throw * canvas.s)
        if away:
            shade = np.zeros_like(body)
            shade[away:, away:] = body[:-away, :-away]
            shade -= body
            np.maximum(shade, 0, out=shade)
            shade *= f32(0.4)
            lay(canvas, shade, density_of(self.shadow))
        density = canvas.planes["density"]
        left = body * f32(-0.6)
        left += f32(1)
        for i in range(3):
            density[i] *= left
        kind = byte_hash(canvas.control("tree_id"), 3)
        rim = ramp(edge, 0.55, 0.05)
        rim *= f32(0.7)
        rim += f32(0.75)
        rim += flow(canvas) * f32(0.12)
        body *= rim
        body *= f32(self.strength)
        mix = look_up(spread_table(5), kind)
        lay(canvas, body, density_of(self.pigments[0]), density_of(self.pigments[1]), mix)
