"""Water: wet-in-wet seas and lakes in glazes that follow the shore, and streams of one brush stroke."""

from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Colour, Share, blur_reach
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import blur, ramp
from mapstyle.engines.painter.wash.hand import drawn, flow, hand, hue, pooled, puddle
from mapstyle.engines.painter.wash.paper import flocks, tooth
from mapstyle.engines.painter.wash.pigment import ByLevel, at_level, ceil_reach, density_of, lay, lift
from mapstyle.engines.painter.wash.sparse import Sparse, largest_of

Field = NDArray[np.float32]
f32 = np.float32

_EDGE_SIGMA = 1.0
_RIM_SIGMA = 2.6
_STREAM_SIGMA = 0.7
_DECK_SIGMA = 0.9
DECKS = ("road", "rail", "tram", "pier", "bridge", "runway")
"""What crosses water and is left white in its wash."""


def decks(canvas: Canvas) -> Field | None:
    """Give what crosses water, with a narrow margin, 0..1; None where nothing does. Reach: 3."""
    top = largest_of(canvas, *DECKS)
    if top is None:
        return None
    near = blur(top.astype(f32) * f32(1 / 255), _DECK_SIGMA * canvas.s)
    return ramp(near, 0.12, 0.45)


class Water(Sparse):
    """Seas, lakes and wide rivers: paper left white at the shore, a dark rim, glazes one over another."""

    brush: Literal["water"] = "water"
    needs: ClassVar[frozenset[str]] = frozenset({"water_area", "shore", *DECKS})
    writes: ClassVar[frozenset[str]] = frozenset({"density", "grain"})

    shallow: tuple[Colour, Colour] = Setting(("#86cfd2", "#b2e0d2"), description="pigments near the shore")
    deep: tuple[Colour, Colour] = Setting(("#4a92c6", "#6ab6cd"), description="pigments far from it")
    glazes: tuple[tuple[float, float], ...] = Setting(
        ((5.0, 0.10), (17.0, 0.13), (40.0, 0.15)),
        description="distance from the shore at which each further glaze begins, px, and its strength",
    )
    spread: ByLevel = Setting(((0.0, 1.0),), description="factor on distances from the shore, by level")
    strength: float = Setting(0.55, ge=0, le=3, description="thickness of the first wash")
    rim: float = Setting(1.0, ge=0, le=4, description="pigment that pools at the shore")
    sparkle: Share = Setting(0.6, description="how often a dry brush leaves paper bare far from the shore")
    granulation: Share = Setting(0.07, description="how much pigment settles in the tooth")
    flocking: Share = Setting(0.03, description="how much pigment gathers in clusters")

    @property
    def reach(self) -> int:
        """The redrawn outline and its rim; distances come from a control."""
        return ceil_reach(max(blur_reach(_EDGE_SIGMA), blur_reach(_DECK_SIGMA)) + blur_reach(_RIM_SIGMA))

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow water area."""
        return largest_of(canvas, "water_area")

    def touch(self, canvas: Canvas) -> None:
        """Lay the washes of water."""
        s = canvas.s
        push = hand(canvas)
        mask = drawn(canvas.cover("water_area"), push * f32(0.8), _EDGE_SIGMA * s, 0.17, 0.05)
        crossing = decks(canvas)
        if crossing is not None:
            mask *= f32(1) - crossing
        # Far out a strait is a few pixels wide: everything that follows the shore draws closer to it.
        shore = canvas.control("shore") * f32(1 / at_level(self.spread, canvas.level))
        large = canvas.noise(256, 4, 0.5, 13)
        swell = canvas.noise(128, 4, 0.6, 14, 0.25)
        rim = pooled(mask, _RIM_SIGMA * s)
        depth = np.clip(shore * f32(1 / 64), 0, 1)
        amount = large * f32(0.19)
        cv2.scaleAdd(flow(canvas), 0.035, amount, dst=amount)
        cv2.scaleAdd(swell, 0.085, amount, dst=amount)
        cv2.scaleAdd(puddle(canvas), 1.3, amount, dst=amount)
        cv2.scaleAdd(depth, 0.10, amount, dst=amount)
        amount += f32(self.strength - 0.05)
        wavering = large * f32(2.2)
        cv2.scaleAdd(canvas.noise(32, 3, 0.6, 12), 1.7, wavering, dst=wavering)
        cv2.scaleAdd(push, 1.6, wavering, dst=wavering)
        wet = ramp(canvas.noise(128, 3, 0.55, 9), -0.1, 1.2)
        for at, strength in self.glazes:
            self._glaze(amount, shore, wavering, wet, at, strength)
        amount *= mask
        rim *= f32(self.rim) * (f32(1) + push)
        bare = self._sparkle(canvas, shore, swell)
        amount *= bare
        mix = canvas.noise(64, 3, 0.6, 4) * f32(0.16)
        cv2.scaleAdd(large, 0.18, mix, dst=mix)
        mix += f32(0.42)
        np.clip(mix, 0, 1, out=mix)
        near = ramp(shore - wavering * f32(1.5), 30.0, 3.0)
        np.maximum(amount, 0, out=amount)
        if not canvas.base:
            amount *= f32(1) + f32(self.flocking) * flocks(canvas)
        off = amount * near
        on = amount - off
        # What pools at the shore is the dark pigment, however pale the shallows are.
        on += rim
        lay(canvas, on, density_of(self.deep[0]), density_of(self.deep[1]), mix)
        lay(canvas, off, density_of(self.shallow[0]), density_of(self.shallow[1]), mix)
        mask *= f32(self.granulation) - canvas.planes["grain"]
        canvas.planes["grain"] += mask

    @staticmethod
    def _glaze(amount: Field, shore: Field, wavering: Field, wet: Field, at: float, strength: float) -> None:
        """Add one glaze: dry-edged with a pooled rim in places, running out softly in others."""
        span = min(1.0, 0.35 + at / 19.0)
        inward = shore - wavering * f32(span)
        inward -= f32(at)
        soft = wet * f32(7.0 * span)
        soft += f32(0.9)
        inward /= soft
        step = ramp(inward, -1.0, 1.0)
        # The rim of the glaze: a bump at its edge, gone where the paper was wet.
        inward -= f32(1.0)
        np.abs(inward, out=inward)
        bump = ramp(inward, 2.0, 0.0)
        bump /= soft
        step *= f32(strength)
        cv2.scaleAdd(bump, 0.9 * strength, step, dst=step)
        amount += step

    def _sparkle(self, canvas: Canvas, shore: Field, swell: Field) -> Field:
        """Give what a fast, dry, level stroke leaves: 1, less where the tips of the tooth stay bare."""
        bare = canvas.noise(64, 3, 0.6, 19, 0.25) * f32(0.42)
        cv2.scaleAdd(swell, -0.12, bare, dst=bare)
        cv2.scaleAdd(tooth(canvas), 0.16, bare, dst=bare)
        bare = ramp(bare, 0.84, 1.10)
        bare *= ramp(shore, 8.0, 22.0)
        bare *= f32(-self.sparkle)
        bare += f32(1)
        return bare


class Streams(Sparse):
    """Rivers, streams and ditches as lines: single strokes of a loaded brush, thick and thin."""

    brush: Literal["streams"] = "streams"
    needs: ClassVar[frozenset[str]] = frozenset({"water_line", "water_area", *DECKS})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    pigments: tuple[Colour, Colour] = Setting(("#4f97c8", "#7cc4cc"), description="colours it wanders between")
    strength: ByLevel = Setting(((0.0, 0.8),), description="thickness of the stroke, by level")
    rim: float = Setting(0.5, ge=0, le=4, description="pigment that pools at the sides")

    @property
    def reach(self) -> int:
        """The redrawn outline and its rim."""
        return ceil_reach(blur_reach(_DECK_SIGMA), blur_reach(1.6))

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow water line."""
        return largest_of(canvas, "water_line")

    def touch(self, canvas: Canvas) -> None:
        """Draw the strokes."""
        s = canvas.s
        line = canvas.cover("water_line")
        if "water_area" in canvas.scene:
            line = line * (f32(1) - canvas.cover("water_area"))
        mask = drawn(line, hand(canvas) * f32(0.8), _STREAM_SIGMA * s, 0.30, 0.04)
        crossing = decks(canvas)
        if crossing is not None:
            mask *= f32(1) - crossing
        rim = pooled(mask, 1.6 * s)
        amount = flow(canvas) * f32(0.14)
        amount += f32(at_level(self.strength, canvas.level))
        amount *= mask
        cv2.scaleAdd(rim, self.rim, amount, dst=amount)
        np.maximum(amount, 0, out=amount)
        lay(canvas, amount, density_of(self.pigments[0]), density_of(self.pigments[1]), hue(canvas))


class Decks(Sparse):
    """Bridges and piers: lifted clean, shaded towards the south-east, with a pencil line on either side."""

    brush: Literal["decks"] = "decks"
    needs: ClassVar[frozenset[str]] = frozenset({"bridge", "pier", "water_area", "water_line"})
    writes: ClassVar[frozenset[str]] = frozenset({"density"})

    pier: tuple[Colour, Colour] = Setting(("#e6d6bd", "#dccbb8"), description="colours of piers")
    shadow: Colour = Setting("#6f7fae", description="colour of the shade on the water")
    line: Colour = Setting("#6d6257", description="colour of the pencil")
    depth: ByLevel = Setting(((12.0, 0.8), (16.0, 2.2), (18.0, 4.0)), description="width of the shade, px, by level")
    pencil: ByLevel = Setting(((12.0, 0.25), (16.0, 0.75)), description="strength of the pencil, by level")

    @property
    def reach(self) -> int:
        """The longest shade, and the blurs about it."""
        return ceil_reach(max(v for _, v in self.depth), blur_reach(0.8), 2)

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow bridge and pier."""
        return largest_of(canvas, "bridge", "pier")

    def touch(self, canvas: Canvas) -> None:
        """Shade, then draw."""
        s = canvas.s
        marks = self.where(canvas)
        assert marks is not None, "a sparse brush is only called where there is something to follow"
        deck = marks.astype(f32) * f32(1 / 255)
        away = max(1, round(at_level(self.depth, canvas.level) * s))
        thrown = deck.copy()
        for step in range(1, away + 1):
            np.maximum(thrown[step:, step:], deck[:-step, :-step], out=thrown[step:, step:])
        thrown -= deck
        np.maximum(thrown, 0, out=thrown)
        wet = canvas.scene.plane("water_area")
        if "water_line" in canvas.scene:
            wet = cv2.max(wet, canvas.control("water_line"))
        shade = blur(thrown, 0.8 * s)
        shade *= f32(0.25) + wet.astype(f32) * f32(0.5 / 255)
        lay(canvas, shade, density_of(self.shadow))
        if "pier" in canvas.scene:
            mask = drawn(canvas.cover("pier"), hand(canvas) * f32(0.5), 0.7 * s, 0.22, 0.03)
            lift(canvas, mask * f32(0.9))
            amount = flow(canvas) * f32(0.15)
            amount += f32(0.8)
            amount *= mask
            lay(canvas, amount, density_of(self.pier[0]), density_of(self.pier[1]), hue(canvas))
        near = blur(deck, 0.7 * s)
        near -= f32(0.42)
        np.abs(near, out=near)
        outline = ramp(near, 0.30, 0.04)
        outline *= ramp(tooth(canvas) * f32(-0.3), -0.5, 0.3)
        outline *= f32(at_level(self.pencil, canvas.level))
        lay(canvas, outline, density_of(self.line))
