"""Pictures that know where they are, and the planes an engine may look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mapstyle.frame import Frame

Plane = NDArray[Any]


@dataclass(frozen=True)
class MapImage:
    """A picture of a frame: uint8[height, width, 4], RGBA, sRGB, straight alpha."""

    frame: Frame
    rgba: NDArray[np.uint8]

    def __post_init__(self) -> None:
        assert self.rgba.shape == (*self.frame.shape, 4), "a picture fills its frame"

    def crop(self, frame: Frame) -> "MapImage":
        """Cut out a frame that lies inside."""
        return MapImage(frame, self.rgba[frame.slices(self.frame)])


@dataclass(frozen=True)
class ControlImage:
    """A hint on a frame, as a person or a ControlNet sees it: uint8[height, width, 3], RGB."""

    name: str
    frame: Frame
    rgb: NDArray[np.uint8]


@dataclass(frozen=True)
class PlaneSpec:
    """What a plane of a scene holds."""

    dtype: DTypeLike
    group: str
    meaning: str
    nothing: float = 0.0
    """The value that means "nothing here"."""


def _u8(group: str, meaning: str) -> PlaneSpec:
    return PlaneSpec(np.uint8, group, f"coverage, 0-255: {meaning}")


PLANES: Mapping[str, PlaneSpec] = {
    # land
    "landcover": PlaneSpec(np.uint8, "land", "LandClass index, no roads, buildings or water burnt in"),
    "parcel": PlaneSpec(np.uint32, "land", "stable hashed id of the land-cover area on top; 0 is none"),
    # borders
    "territory": PlaneSpec(np.uint32, "border", "stable hashed id of the smallest admin area; 0 is none"),
    "border": _u8("border", "admin boundary lines"),
    # water
    "water_area": _u8("water", "sea, lakes, wide rivers, pools, as areas"),
    "water_line": _u8("water", "rivers, streams, canals, ditches, as lines; tunnels left out"),
    "ocean": _u8("water", "the sea only"),
    "shore": PlaneSpec(
        np.float32, "shore", "signed distance to the shore of water areas, logical px, + in water, ±64", nothing=-64
    ),
    # roads: drawn in their true order, tunnels apart
    "road": _u8("road", "fills of all roads"),
    "casing": _u8("road", "outlines of roads after the order of bridges has been settled"),
    "road_class": PlaneSpec(np.uint8, "road", "0 none, else 1 + index in ROADS of the road on top"),
    "bridge": _u8("road", "decks of road and rail bridges"),
    "tunnel": _u8("road", "roads and rails in tunnels"),
    **{
        f"road_{name}": _u8("road", f"fills of {name} roads, where they are on top")
        for name in (
            "steps",
            "path",
            "track",
            "service",
            "street",
            "tertiary",
            "secondary",
            "primary",
            "trunk",
            "motorway",
        )
    },
    "road_u": PlaneSpec(
        np.float32,
        "road_uv",
        "offset across the nearest road's axis, logical px, + on its right; 99 is far",
        nothing=99,
    ),
    "road_v": PlaneSpec(np.float32, "road_uv", "length along the whole merged road at that point, logical px"),
    # rails
    "rail": _u8("rail", "the ballast bed of railways"),
    "tram": _u8("rail", "tram tracks"),
    "rail_u": PlaneSpec(np.float32, "rail", "as road_u, to ±9 px, for railways", nothing=99),
    "rail_v": PlaneSpec(np.float32, "rail", "as road_v, for railways"),
    # made things
    "pier": _u8("made", "piers, breakwaters, dams, over water"),
    "runway": _u8("made", "runways and taxiways"),
    "wall": _u8("made", "walls and city walls"),
    # buildings
    "building": _u8("building", "buildings"),
    "building_id": PlaneSpec(np.uint32, "building", "stable hashed id; 0 is none"),
    "building_height": PlaneSpec(np.float32, "building", "height of the eaves, logical px; 0 outside"),
    "roof": PlaneSpec(np.float32, "building", "height of the roof above the eaves, logical px"),
    "roof_kind": PlaneSpec(np.uint8, "building", "0 none, 1 flat, 2 gabled, 3 hipped"),
    # single trees
    "tree": PlaneSpec(np.float32, "tree", "1 at a mapped tree's trunk falling to 0 at the rim of its crown"),
    "tree_id": PlaneSpec(np.uint32, "tree", "stable hashed id of that tree; 0 is none"),
    # relief
    "elevation": PlaneSpec(np.float32, "relief", "metres above the sea; 0 without elevation data"),
    "hillshade": PlaneSpec(
        np.float32, "relief", "light on the slope minus light on flat ground, -1..1; 0 without elevation data"
    ),
    # labels
    "calm": PlaneSpec(np.float32, "calm", "0..1, where labels will lie and the art should keep still"),
}
"""Every plane a scene may have. Planes of a group are drawn together."""


@dataclass(frozen=True)
class Scene:
    """All that an engine may know: a frame and what is on it.

    Attributes:
        frame: the padded, aligned frame to be painted.
        planes: arrays of the frame's shape, named and typed as in :data:`PLANES`. A plane that is
            zero everywhere in the frame may be left out: :meth:`plane` then gives zeros.
    """

    frame: Frame
    planes: Mapping[str, Plane]
    _zeros: dict[str, Plane] = field(default_factory=dict, repr=False, compare=False)

    def __contains__(self, name: str) -> bool:
        return name in self.planes

    def plane(self, name: str) -> Plane:
        """Give a plane; read it, do not write into it."""
        found = self.planes.get(name)
        if found is None:
            spec = PLANES[name]
            found = self._zeros.setdefault(name, np.full(self.frame.shape, spec.nothing, spec.dtype))
        return found

    @property
    def level(self) -> float:
        """The level of the frame's grid."""
        return self.frame.grid.level

    @property
    def pixel_ratio(self) -> int:
        """Real pixels on the side of a logical pixel."""
        return self.frame.grid.pixel_ratio
