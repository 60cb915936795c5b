"""Typed layers: geography after every file format and tagging scheme has been left behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mapstyle.frame import Frame, Grid
from mapstyle.placed import LabelSeed


class LayerKind(StrEnum):
    """What a feature is. The only vocabulary that anything after the sources may use."""

    OCEAN = "ocean"
    WATER = "water"
    POOL = "pool"
    RIVER = "river"
    STREAM = "stream"
    CANAL = "canal"
    DITCH = "ditch"
    WETLAND = "wetland"
    GLACIER = "glacier"
    BEACH = "beach"
    ROCK = "rock"
    WOOD = "wood"
    SCRUB = "scrub"
    HEATH = "heath"
    GRASS = "grass"
    MEADOW = "meadow"
    PARK = "park"
    GARDEN = "garden"
    CEMETERY = "cemetery"
    PITCH = "pitch"
    FARMLAND = "farmland"
    ORCHARD = "orchard"
    VINEYARD = "vineyard"
    RESIDENTIAL = "residential"
    COMMERCIAL = "commercial"
    INDUSTRIAL = "industrial"
    INSTITUTION = "institution"
    QUARRY = "quarry"
    SQUARE = "square"
    PARKING = "parking"
    AERODROME = "aerodrome"
    BUILDING = "building"
    MOTORWAY = "motorway"
    TRUNK = "trunk"
    PRIMARY = "primary"
    SECONDARY = "secondary"
    TERTIARY = "tertiary"
    STREET = "street"
    SERVICE = "service"
    TRACK = "track"
    PATH = "path"
    STEPS = "steps"
    RAIL = "rail"
    TRAM = "tram"
    RUNWAY = "runway"
    TAXIWAY = "taxiway"
    PIER = "pier"
    BREAKWATER = "breakwater"
    DAM = "dam"
    BRIDGE = "bridge"
    WALL = "wall"
    CITY_WALL = "city_wall"
    BORDER = "border"
    COAST = "coast"
    TREE = "tree"
    TREE_ROW = "tree_row"
    PLACE = "place"
    POI = "poi"
    PEAK = "peak"


K = LayerKind

ROADS: tuple[LayerKind, ...] = (
    K.STEPS, K.PATH, K.TRACK, K.SERVICE, K.STREET, K.TERTIARY, K.SECONDARY, K.PRIMARY, K.TRUNK, K.MOTORWAY,
)  # fmt: skip
"""Road kinds, least first; ``road_class`` of a control is 1 + the index here."""

STILL_OR_WIDE_WATER: tuple[LayerKind, ...] = (K.OCEAN, K.WATER, K.POOL)
WATER_LINES: tuple[LayerKind, ...] = (K.DITCH, K.STREAM, K.CANAL, K.RIVER)


class LandClass(IntEnum):
    """Land cover as the painter sees it: the values of the ``landcover`` control."""

    GROUND = 0
    RESIDENTIAL = 1
    COMMERCIAL = 2
    INDUSTRIAL = 3
    INSTITUTION = 4
    FARMLAND = 5
    MEADOW = 6
    GRASS = 7
    PARK = 8
    GARDEN = 9
    WOOD = 10
    SCRUB = 11
    HEATH = 12
    ORCHARD = 13
    VINEYARD = 14
    WETLAND = 15
    BEACH = 16
    ROCK = 17
    QUARRY = 18
    GLACIER = 19
    CEMETERY = 20
    PITCH = 21
    SQUARE = 22
    PARKING = 23
    AERODROME = 24


LAND_COVER: Mapping[LayerKind, LandClass] = {
    LayerKind(c.name.lower()): c for c in LandClass if c is not LandClass.GROUND
}
"""Kinds that make up the land cover, and the class each is drawn as."""


WORDS_ONLY = frozenset((LayerKind.PLACE, LayerKind.POI, LayerKind.PEAK))
"""Kinds that reach a picture as placed labels alone."""


@dataclass(frozen=True)
class VectorLayer:
    """Features of one kind and one shape (areas, lines or points), as ragged arrays.

    Coordinates are *logical pixels* of a grid, x right and y down, of whole features: never clipped.
    ``f`` features own ``r`` rings (a line or a point is one ring, an area its outer rings and holes),
    and rings own ``n`` vertices. Areas are filled by the even-odd rule over all rings of a feature.

    Attributes:
        kind: what they are.
        coords: float64[n, 2].
        rings: int64[r + 1], where each ring starts in ``coords``.
        features: int64[f + 1], where each feature starts in ``rings``.
        boxes: float64[f, 4], left, top, right, bottom of each whole feature.
        ids: uint64[f], stable from run to run: a hash of the source's own id.
        area: float64[f], square logical pixels of the whole feature (0 for lines and points).
        scale: float64[f], logical pixels per metre on the ground at the feature's own place.
        rank: int16[f], 0 is the most important (places 0-5, borders by admin level, POIs by kind).
        layer: int8[f], the stacking level of bridges and tunnels.
        bridge: bool[f].
        tunnel: bool[f].
        width: float32[f], metres, NaN where unknown.
        height: float32[f], metres above ground of the top, NaN where unknown.
        base: float32[f], metres above ground where it begins, 0 where unknown.
        along: float64[r], logical pixels of the whole line before each ring starts.
        detail: object[f] of str, the finer class, such as ``building=church`` gives ``church``.
        names: object[f] of ``dict[str, str]``, language code to name; ``""`` is the local name.
    """

    kind: LayerKind
    coords: NDArray[np.float64]
    rings: NDArray[np.int64]
    features: NDArray[np.int64]
    boxes: NDArray[np.float64]
    ids: NDArray[np.uint64]
    area: NDArray[np.float64]
    scale: NDArray[np.float64]
    rank: NDArray[np.int16]
    layer: NDArray[np.int8]
    bridge: NDArray[np.bool_]
    tunnel: NDArray[np.bool_]
    width: NDArray[np.float32]
    height: NDArray[np.float32]
    base: NDArray[np.float32]
    along: NDArray[np.float64]
    detail: NDArray[np.object_]
    names: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.ids)

    def parts(self, feature: int) -> list[NDArray[np.float64]]:
        """Give the rings of one feature: views, float64[m, 2], logical pixels."""
        first, last = self.features[feature], self.features[feature + 1]
        starts = self.rings[first : last + 1]
        return [self.coords[a:b] for a, b in pairwise(starts)]

    def pick(self, chosen: NDArray[np.int64]) -> "VectorLayer":
        """Give the layer of the chosen features, in the order given."""
        counts = self.features[chosen + 1] - self.features[chosen]
        ring_index = spans(self.features[chosen], counts)
        sizes = self.rings[ring_index + 1] - self.rings[ring_index]
        vertex_index = spans(self.rings[ring_index], sizes)
        rows = {name: getattr(self, name)[chosen] for name in PER_FEATURE}
        return VectorLayer(
            kind=self.kind,
            coords=self.coords[vertex_index],
            rings=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            features=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            along=self.along[ring_index],
            **rows,
        )

    def moved(self, dx: float) -> "VectorLayer":
        """Give the same layer ``dx`` logical pixels further east (a turn round the world)."""
        values = {name: getattr(self, name) for name in (*PER_FEATURE, "rings", "features", "along")}
        values["boxes"] = self.boxes + np.array([dx, 0.0, dx, 0.0])
        return VectorLayer(kind=self.kind, coords=self.coords + np.array([dx, 0.0]), **values)

    def hits(self, box: tuple[float, float, float, float]) -> NDArray[np.int64]:
        """Find the features whose bounding boxes touch a box of logical pixels."""
        left, top, right, bottom = box
        b = self.boxes
        near = (b[:, 2] >= left) & (b[:, 0] <= right) & (b[:, 3] >= top) & (b[:, 1] <= bottom)
        return np.flatnonzero(near)


PER_FEATURE = (
    "boxes", "ids", "area", "scale", "rank", "layer", "bridge", "tunnel", "width", "height", "base",
    "detail", "names",
)  # fmt: skip
"""Fields of a :class:`VectorLayer` with one row a feature."""


def spans(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenate ``arange(start, start + count)`` for every pair."""
    if not len(starts):
        return np.zeros(0, np.int64)
    ends = np.cumsum(counts)
    return np.arange(ends[-1], dtype=np.int64) + np.repeat(starts - (ends - counts), counts)


@dataclass(frozen=True)
class RasterLayer:
    """Values of the ground on a frame.

    Attributes:
        frame: where it is.
        values: float32[height, width]; metres above sea level for elevation, without voids.
        known: float32[height, width], 1 where the data reaches, falling smoothly to 0 at its edge.
    """

    frame: Frame
    values: NDArray[np.float32]
    known: NDArray[np.float32]


@dataclass(frozen=True)
class LayerStack:
    """All vector layers near a place: whole features, by kind."""

    grid: Grid
    areas: Mapping[LayerKind, VectorLayer] = field(default_factory=dict)
    lines: Mapping[LayerKind, VectorLayer] = field(default_factory=dict)
    points: Mapping[LayerKind, VectorLayer] = field(default_factory=dict)


class Layers(Protocol):
    """Geography made ready for one grid; asked for a frame at a time, from any thread.

    What a frame gets never depends on what was asked before, and a feature comes whole.
    """

    @property
    def grid(self) -> Grid:
        """The grid whose logical pixels all coordinates are in (its pixel ratio is ignored)."""

    def read(self, frame: Frame) -> LayerStack:
        """Give the features whose bounding boxes touch the frame."""

    def elevation(self, frame: Frame) -> RasterLayer | None:
        """Give the elevation at pixel centres of the frame; None where there is no elevation source at all."""

    def imagery(self, frame: Frame) -> NDArray[np.uint8] | None:
        """Give pictures of the ground at the pixels of the frame: uint8[height, width, 3], RGB; None without any."""

    def seeds(self, frame: Frame) -> Sequence[LabelSeed]:
        """Give everything that could be labelled and whose anchor lies in the frame."""
