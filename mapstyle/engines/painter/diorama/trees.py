"""Trees: planted by land class, along banks and seams, in rows or where the map has one; then leafed."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from mapstyle.engines.painter.brush import Brush, Colour, Share
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.diorama.crowns import VARIANTS, crowns
from mapstyle.engines.painter.diorama.seams import seams
from mapstyle.engines.painter.diorama.stamps import lattice, share
from mapstyle.engines.painter.diorama.surface import (
    LARGEST_TREE,
    OCCUPIED,
    OCCUPIED_REACH,
    blend,
    bounds,
    colour_table,
    grain,
    lay,
    occupied,
    quiet,
    raise_to,
    ramped,
    tints,
    tree_size,
    tuft,
)
from mapstyle.layers import LandClass

f32 = np.float32

_PITCHES = (1.0, 1.18, 0.88, 1.27, 1.07, 0.94, 1.13, 0.82)
_BANK = 5
"""Logical pixels from water that are its bank."""
CONE_TONES = (11, 12, 13)
"""Tones of the palette that are kept for conifers; those before are for broadleaved trees."""


class Plant(Brush):
    """Plants crowns where the land is of certain classes, along banks, or on seams between parcels."""

    brush: Literal["plant"] = "plant"
    needs: ClassVar[frozenset[str]] = OCCUPIED | {"landcover", "parcel", "shore", "calm"}
    writes: ClassVar[frozenset[str]] = frozenset({"canopy"})
    levels: tuple[float, float] = (9.5, 30.0)

    land: Mapping[str, Share] = Field(description="land class -> share of the lattice's cells that are planted")
    where: Literal["land", "banks", "hedges"] = Field("land", description="all over, by water, on seams")
    cell: int = Field(14, ge=4, le=15, description="pitch of the lattice at level 16, logical px")
    radius: tuple[float, float] = Field((3.6, 6.0), description="smallest and largest crown at level 16")
    layers: int = Field(5, ge=1, le=8, description="lattices laid over each other")
    kind: Literal["round", "bush"] = Field("round", description="how crowns that are no cones look")
    cones: Share = Field(0.0, description="share of conifers")
    tones: tuple[int, int] = Field((0, 9), description="first and last tone of the palette used")
    clump: float = Field(0.0, ge=0, le=3, description="how much they gather in clumps")
    stream: int = Field(80, description="stream of the noise")

    @field_validator("land")
    @classmethod
    def _known(cls, land: Mapping[str, float]) -> Mapping[str, float]:
        for name in land:
            if name.upper() not in LandClass.__members__:
                raise ValueError(f"no land class '{name}'")
        return land

    @property
    def reach(self) -> int:
        """One cell at its largest, and the clearing round what stands there."""
        cell = max(self._cell(LARGEST_TREE, i) for i in range(self.layers))
        return cell + (_BANK if self.where == "banks" else OCCUPIED_REACH)

    def _cell(self, size: float, layer: int) -> int:
        return max(3, round(self.cell * size * _PITCHES[layer]))

    def paint(self, canvas: Canvas) -> None:
        """Plant."""
        table = np.zeros(256, f32)
        for name, density in self.land.items():
            table[LandClass[name.upper()]] = density
        land = canvas.control("landcover")
        wanted = cv2.LUT(land, (table > 0).astype(np.uint8))
        if not wanted.any():
            return
        free = _free(canvas, wanted)
        if self.where == "hedges":
            free &= seams(canvas).hedge
        elif self.where == "banks":
            free &= _banks(canvas)
        if bounds(free) is None:
            return
        size = tree_size(canvas.level)
        room = float(np.interp(canvas.level, (12, 14, 16), (0.30, 0.34, 0.38)))
        for layer in range(self.layers):
            # Lattices of many pitches, with room to stray in: together they show no rows.
            cell = self._cell(size, layer)
            small, large = self.radius[0] * size, min(self.radius[1] * size, room * cell)
            self._layer(canvas, layer, cell, (round(small, 2), round(large, 2)), free, table)

    def _layer(
        self,
        canvas: Canvas,
        layer: int,
        cell: int,
        radius: tuple[float, float],
        free: NDArray[np.uint8],
        table: NDArray[np.float32],
    ) -> None:
        cells = lattice(canvas, cell, layer, self.stream)
        if cells is None:
            return
        sheet = crowns(self.kind, cell, *radius, canvas.s)
        picture = (cells.hashed & np.uint32(VARIANTS - 1)).astype(np.int64)
        feet = sheet.feet[picture]
        density = table[cells.at(canvas.control("landcover"), feet)]
        if self.layers > 4:
            density = density * f32(0.8)  # gaps in one lattice show the next: no rows
        if self.clump:
            lumps = cells.at(canvas.noise(64, 3, 0.6, 23), feet)
            density = density * np.clip(1 + self.clump * lumps, 0, 3)
        kept = cells.whole & (cells.at(free, feet) > 0) & (share(cells.hashed, 1) < density)
        if not kept.any():
            return
        picture = picture[kept]
        first, last = self.tones
        tone = np.floor(first + share(cells.hashed, 2)[kept] * f32(last + 1 - first))
        packed, present = sheet.packed[picture], sheet.present[picture]
        if self.cones:
            grove = cells.at(canvas.noise(128, 4, 0.55, 3), feet)[kept]
            own = share(cells.hashed, 3)[kept]
            cone = own < np.clip(self.cones * (1 + 1.5 * grove), 0.02, 0.97)
            spruce = crowns("cone", cell, *radius, canvas.s)
            packed[cone], present[cone] = spruce.packed[picture[cone]], spruce.present[picture[cone]]
            pick = np.floor(share(cells.hashed, 4)[kept] * f32(len(CONE_TONES)))
            tone = np.where(cone, f32(CONE_TONES[0]) + pick, tone)
        # Some stand on higher ground than others, or every crown of a lattice would top its neighbours.
        lift = np.floor(share(cells.hashed, 5)[kept] * f32(0.8 * radius[1] * 64 * canvas.s)) * f32(16)
        packed += present * (tone.astype(f32) + lift)[:, None, None]
        view = cells.cells(canopy(canvas))
        row, column = cells.y[kept], cells.x[kept]
        view[row, column] = np.maximum(view[row, column], packed)


def canopy(canvas: Canvas) -> NDArray[np.float32]:
    """Give the packed canopy, made at the first planting."""
    if "canopy" not in canvas.planes:
        canvas.planes["canopy"] = canvas.zeros()
    return canvas.planes["canopy"]


def _free(canvas: Canvas, wanted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    free = (occupied(canvas) < np.uint8(90)).view(np.uint8)
    return free & wanted


def _banks(canvas: Canvas) -> NDArray[np.uint8]:
    """Mark land beside inland water. Reach: 5."""

    def make() -> NDArray[np.uint8]:
        water = np.zeros(canvas.frame.shape, np.uint8)
        for name in ("water_line", "water_area"):
            if name in canvas.scene:
                np.maximum(water, canvas.control(name), out=water)
        if "ocean" in canvas.scene:
            water = cv2.subtract(water, canvas.control("ocean"))
        k = 2 * _BANK * canvas.s + 1
        return (cv2.blur(water, (k, k)) > 4).view(np.uint8)

    return canvas.keep("banks", make)


class MappedTrees(Brush):
    """Trees that the map itself has, each a crown of its own."""

    brush: Literal["mapped_trees"] = "mapped_trees"
    needs: ClassVar[frozenset[str]] = frozenset({"tree", "tree_id"})
    writes: ClassVar[frozenset[str]] = frozenset({"canopy"})
    levels: tuple[float, float] = (14.0, 30.0)

    height: float = Field(7.0, ge=0, le=30, description="height at level 16, logical px")

    def paint(self, canvas: Canvas) -> None:
        """Raise each crown."""
        if "tree" not in canvas.scene:
            return
        box = bounds((canvas.control("tree") > 0).view(np.uint8))
        if box is None:
            return
        size = tree_size(canvas.level) * canvas.s
        near = canvas.control("tree")[box]
        dome = np.sqrt(near * (f32(2) - near))
        dome += tuft(canvas)[box] * f32(0.07)
        dome *= f32(0.55)
        dome += f32(0.45)
        dome *= ramped(near, 0.0, 0.12)
        high = np.floor(np.maximum(dome, f32(0)) * f32(64 * self.height * size))
        shade = np.floor(np.clip(dome * f32(15.9), 0, 15))
        mixed = canvas.control("tree_id")[box] * np.uint32(0x9E3779B1)
        tone = ((mixed >> np.uint32(24)) % np.uint32(10)).astype(f32)
        packed = high * f32(256)
        packed += tone * f32(16)
        packed += shade
        packed *= high > 0
        plane = canopy(canvas)
        plane[box] = np.maximum(plane[box], packed)


class Foliage(Brush):
    """Turns the canopy into colour, height and lumps of foam."""

    brush: Literal["foliage"] = "foliage"
    needs: ClassVar[frozenset[str]] = frozenset({"calm"})
    reads: ClassVar[frozenset[str]] = frozenset({"canopy", "height"})
    writes: ClassVar[frozenset[str]] = frozenset({"albedo", "height", "bump"})

    palette: tuple[Colour, ...] = Field(
        (
            "#4d6f38", "#5a7a3e", "#446638", "#667f44", "#4d7144", "#61804b", "#55763a", "#4a6a35", "#75824a",
            "#6a7a42", "#8a8748", "#35573c", "#3d6240", "#314f3c", "#a07c42", "#d9b9bd",
        ),
        min_length=16, max_length=16,
        description="tones: 0-9 broadleaved, 10 yellowing, 11-13 conifers, 14 autumn, 15 blossom",
    )  # fmt: skip
    contrast: float = Field(1.0, ge=0, le=2, description="light and dark within a crown")
    foam: float = Field(1.0, ge=0, le=3, description="coarseness of the foam's grain")

    def paint(self, canvas: Canvas) -> None:
        """Leaf every crown."""
        if "canopy" not in canvas.planes:
            return
        packed = canvas.planes.pop("canopy")
        box = bounds((packed > 0).view(np.uint8))
        if box is None:
            return
        s = canvas.s
        packed = packed[box]
        high = np.floor(packed * f32(1 / 256))
        code = (packed - high * f32(256)).astype(np.uint8)
        high *= f32(1 / 64)
        alpha = ramped(high, 0.25 * s, 1.1 * s)
        height = canvas.planes["height"][box]
        alpha *= high > height
        table = np.empty((3, 256), f32)
        colours = colour_table(self.palette)
        shades = 1 + self.contrast * (np.linspace(0.58, 1.20, 16) - 1)
        for tone in range(16):
            # Shaded foam turns blue, lit foam yellow.
            for channel, power in enumerate((1.08, 1.0, 0.80)):
                table[channel, tone * 16 : tone * 16 + 16] = colours[channel, tone] * shades**power
        colour = tints(code, table)
        rough = grain(canvas)[box] * f32(0.07 * self.foam)
        rough += canvas.noise(32, 3, 0.6, 9)[box] * f32(0.045)
        rough += canvas.noise(256, 4, 0.6, 14)[box] * f32(0.05)
        still = quiet(canvas)
        if still is not None:
            rough *= still[box]
        rough += f32(1)
        for plane in colour:
            plane *= rough
        lay(canvas.planes["albedo"], colour, alpha, box)
        raise_to(height, high)
        canvas.planes["shine"][box] *= f32(1) - alpha
        lumps = tuft(canvas)[box] * f32(0.30 * s * self.foam)
        lumps += high
        blend(canvas.planes["bump"][box], lumps, alpha)
