"""Ways: roads as reserved paper between key-lines, by rank; tracks, rails and runways."""

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Setting

from mapstyle.engines.painter.brush import Colour, Share, rgb
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.masks import blur, ramp, remainder
from mapstyle.engines.painter.wash.pigment import ByLevel, at_level, ceil_reach, look_up
from mapstyle.engines.painter.wash.sparse import Sparse, largest_of
from mapstyle.engines.painter.wash.ways import RoadName
from mapstyle.engines.painter.woodblock.knife import LINE_REACH, outline, swell, unbroken
from mapstyle.engines.painter.woodblock.plank import COLOUR, KEY, clear, draw, lay
from mapstyle.layers import ROADS

Field = NDArray[np.float32]
f32 = np.float32

_RANKS = {kind.value: 1 + i for i, kind in enumerate(ROADS)}
_SMALL = ("road_track", "road_path", "road_steps")


class RoadInk(BaseModel):
    """How one class of road is printed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ink: Colour = Setting(description="colour of the road")
    key: float = Setting(1.0, ge=0, le=3, description="factor on its key-lines")


class Roads(Sparse):
    """Roads: reserved paper or a pale ink, between key-lines that are heavier for greater roads."""

    brush: Literal["roads"] = "roads"
    needs: ClassVar[frozenset[str]] = frozenset({"road", "road_class", "casing", *_SMALL})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR, KEY})

    inks: Mapping[RoadName, RoadInk] = Setting(description="road class -> how it is printed")
    weight: ByLevel = Setting(((0.0, 1.0),), description="strength of the key-lines, by level")

    @property
    def reach(self) -> int:
        """The class must reach under soft edges."""
        return ceil_reach(LINE_REACH, 3)

    @cached_property
    def _tables(self) -> tuple[Field, Field, Field]:
        ink, shown, key = np.zeros((3, 256), f32), np.zeros(256, f32), np.zeros(256, f32)
        for name, road in self.inks.items():
            rank = _RANKS[name]
            ink[:, rank], shown[rank], key[rank] = rgb(road.ink), 1, road.key
        return ink, shown, key

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow road."""
        return largest_of(canvas, "road", "casing")

    def touch(self, canvas: Canvas) -> None:
        """Reserve all roads at once, each pixel in the colour of the road on top."""
        s = canvas.s
        ink, shown, key = self._tables
        size = 2 * s + 1
        rank = cv2.dilate(canvas.control("road_class"), np.ones((size, size), np.uint8))
        mask = canvas.cover("road") * look_up(shown, rank)
        if "casing" in canvas.scene:
            # The strip between two key-lines is reserved too, so that no ground shows inside a road.
            np.maximum(mask, canvas.cover("casing") * look_up(shown, rank), out=mask)
        clear(canvas, mask)
        planes = canvas.planes[COLOUR]
        for i in range(3):
            change = blur(look_up(ink[i], rank), 0.5 * s)
            change -= planes[i]
            change *= mask
            planes[i] += change
        weight = at_level(self.weight, canvas.level)
        if weight <= 0 or "casing" not in canvas.scene:
            return
        wide = cv2.dilate(rank, np.ones((size, size), np.uint8))
        line = canvas.cover("casing") * look_up(key, wide)
        line *= swell(canvas) * f32(weight)
        line *= unbroken(canvas)
        np.minimum(line, 1, out=line)
        draw(canvas, line)


class Paths(Sparse):
    """Tracks and paths: pale lines of reserved paper with a broken key-line, steps as rungs."""

    brush: Literal["paths"] = "paths"
    needs: ClassVar[frozenset[str]] = frozenset({"road_v", *_SMALL})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR, KEY})

    paper: Colour = Setting("#f2e6c8", description="colour")
    line: ByLevel = Setting(((13.0, 0.0), (15.0, 0.5), (18.0, 0.8)), description="width of the key-lines, px")
    dash: float = Setting(7.0, ge=2, le=40, description="length of a dash with its gap, px")

    @property
    def reach(self) -> int:
        """The key-lines."""
        return LINE_REACH

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow tracks, paths and steps."""
        return largest_of(canvas, *_SMALL)

    def touch(self, canvas: Canvas) -> None:
        """Reserve the paper, then cut."""
        line = at_level(self.line, canvas.level)
        for name in _SMALL:
            if name not in canvas.scene:
                continue
            mask = canvas.cover(name)
            clear(canvas, mask)
            lay(canvas, mask, rgb(self.paper))
            if line <= 0:
                continue
            edge = outline(canvas, mask, line) * f32(0.7)
            if "road_v" in canvas.scene and name != "road_track":
                short = 2.6 if name == "road_steps" else self.dash
                place = remainder(canvas.control("road_v"), short)
                place -= f32(short / 2)
                np.abs(place, out=place)
                edge *= ramp(place, 0.36 * short, 0.26 * short)
            draw(canvas, edge)


class Rails(Sparse):
    """Railways: a ladder of black and paper between two key-lines; tramways: a fine line."""

    brush: Literal["rails"] = "rails"
    needs: ClassVar[frozenset[str]] = frozenset({"rail", "rail_u", "rail_v", "tram"})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR, KEY})

    bed: Colour = Setting("#efe4c8", description="colour between the lines")
    half: ByLevel = Setting(((10.0, 0.6), (14.0, 1.1), (16.0, 1.9), (18.0, 3.4)), description="half the width, px")
    ties: ByLevel = Setting(((10.0, 8.0), (16.0, 10.0), (18.0, 14.0)), description="length of a dark and a light, px")
    tram: Share = Setting(0.6, description="strength of tramways")

    @property
    def reach(self) -> int:
        """Looks at its own pixel only, and at a key-line's width."""
        return LINE_REACH

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow rail and tram."""
        return largest_of(canvas, "rail", "tram")

    def touch(self, canvas: Canvas) -> None:
        """Print bed and ladder."""
        s = canvas.s
        if "rail_u" in canvas.scene:
            half = at_level(self.half, canvas.level)
            away = np.abs(canvas.control("rail_u"))
            body = np.clip((f32(half + 0.7) - away) * f32(s) + f32(0.5), 0, 1)
            clear(canvas, body)
            lay(canvas, body, rgb(self.bed))
            gap = at_level(self.ties, canvas.level)
            place = remainder(canvas.control("rail_v"), gap)
            place -= f32(gap / 2)
            np.abs(place, out=place)
            tie = np.clip((f32(gap / 4) - place) * f32(s) + f32(0.5), 0, 1)
            tie *= np.clip((f32(half) - away) * f32(s) + f32(0.5), 0, 1)
            edge = np.abs(away - f32(half))
            line = swell(canvas) * f32(0.4)
            line -= edge
            line *= f32(s)
            line += f32(0.5)
            np.clip(line, 0, 1, out=line)
            np.maximum(line, tie, out=line)
            draw(canvas, line * f32(0.92))
        if "tram" in canvas.scene:
            draw(canvas, canvas.cover("tram") * f32(self.tram))


class Runways(Sparse):
    """Runways and taxiways: one flat grey in a key-line."""

    brush: Literal["runways"] = "runways"
    needs: ClassVar[frozenset[str]] = frozenset({"runway"})
    writes: ClassVar[frozenset[str]] = frozenset({COLOUR, KEY})

    ink: Colour = Setting("#c9c3b8", description="colour")
    line: ByLevel = Setting(((10.0, 0.5), (15.0, 1.0)), description="width of the key-line, px, by level")

    @property
    def reach(self) -> int:
        """The key-line."""
        return LINE_REACH

    def where(self, canvas: Canvas) -> NDArray[np.uint8] | None:
        """Follow runway."""
        return largest_of(canvas, "runway")

    def touch(self, canvas: Canvas) -> None:
        """Print it."""
        mask = canvas.cover("runway")
        clear(canvas, mask)
        lay(canvas, mask, rgb(self.ink))
        draw(canvas, outline(canvas, mask, at_level(self.line, canvas.level)))
