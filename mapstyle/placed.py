"""Words on the map: what could be labelled, and labels that have found their place."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class LabelKind(StrEnum):
    """What a label names; a style sets type for each."""

    PLACE = "place"
    OCEAN = "ocean"
    WATER = "water"
    RIVER = "river"
    PARK = "park"
    STREET = "street"
    POI = "poi"
    PEAK = "peak"


@dataclass(frozen=True)
class LabelSeed:
    """Something that could be labelled, from a whole feature (or a whole merged line).

    Attributes:
        kind: what it names.
        rank: 0 is the most important of its kind (places: 0 capital or metropolis, 1 city, 2 town,
            3 village or suburb, 4 hamlet or quarter, 5 isolated dwelling or locality; streets: 0
            motorway to 5 path; water and parks: by size; POIs by kind).
        names: language code to name; ``""`` is the local name and is always there.
        id: stable hash of the feature and, on lines, of the repeat.
        x: logical pixels of the anchor.
        y: logical pixels of the anchor.
        path: float64[n, 2] in logical pixels: the line to set the words along, or None. The anchor
            lies on it, half of it on either side.
        room: logical pixels of width at the anchor inside an area; 0 for points and lines.
        level: the level from which it is wanted, before the style has its say.
        detail: finer class, such as ``church``, ``station``, ``lake``, ``stream``.
    """

    kind: LabelKind
    rank: int
    names: Mapping[str, str]
    id: int
    x: float
    y: float
    path: NDArray[np.float64] | None = None
    room: float = 0.0
    level: float = 0.0
    detail: str = ""


@dataclass(frozen=True)
class PlacedGlyph:
    """One glyph at its place.

    Attributes:
        font: index into the fonts of the stage that shaped it.
        glyph: glyph number in that font.
        x: logical pixels from the grid's origin, of the glyph's origin on the baseline.
        y: logical pixels of the same.
        angle: radians, clockwise from east, of the baseline.
    """

    font: int
    glyph: int
    x: float
    y: float
    angle: float = 0.0


@dataclass(frozen=True)
class PlacedLabel:
    """A label that has found its place; it is drawn whole by every frame it touches.

    Attributes:
        text: the words in reading order, of the language chosen.
        kind: what it names.
        rank: its seed's rank.
        id: its seed's id.
        size: type size, logical pixels to the em.
        glyphs: shaped and placed.
        box: left, top, right, bottom in logical pixels, halo included.
        detail: its seed's detail.
        x: logical pixels of the anchor: its seed's, or the middle of the words where there is no mark.
        y: logical pixels of the same.
        mark: name of the little sign drawn at the anchor; empty for none.
    """

    text: str
    kind: LabelKind
    rank: int
    id: int
    size: float
    glyphs: tuple[PlacedGlyph, ...]
    box: tuple[float, float, float, float]
    detail: str = ""
    x: float = 0.0
    y: float = 0.0
    mark: str = ""
