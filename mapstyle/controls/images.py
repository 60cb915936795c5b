"""Control images: hints as ControlNets were taught to read them, and as people can look at them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.controls.roofs import GABLED
from mapstyle.image import ControlImage, Scene
from mapstyle.layers import ROADS, LandClass, LayerKind
from mapstyle.levels import Levels

TERRAIN_RADIUS = 64
"""Logical pixels of the box over which terrain is averaged before it is taken away for ``depth``."""
_GROUND = 88.0
"""Grey of level ground in ``depth``."""
_GAIN = 9.0
"""Greys to a logical pixel of height in ``depth``, close to the ground."""
_HEADROOM = 167.0
"""Greys above and below the ground that heights come near, but never reach."""
_PIXELS_PER_METRE = 0.6
"""Logical pixels to a metre of terrain at level 16, about 48 degrees north: one number, so that the gain of a
level is the same everywhere."""
EDGE_REACH = 2
"""Pixels that ``edges`` looks around each pixel, at most."""
NARROW = 3.0
"""Logical pixels: lines of kinds narrower than this on the map are one line in ``edges``, others have two sides."""
_FIELDS_FROM = 12.0
"""Level from which the borders of fields are drawn in ``edges``; below it they are a net over everything."""
_FOOT = frozenset((LayerKind.PATH, LayerKind.STEPS, LayerKind.TRACK))

# ADE20K classes in the 150-class order and palette of the ControlNets trained on it.
ADE20K: Mapping[str, tuple[int, int, int]] = {
    "sea": (9, 7, 230), "water": (61, 230, 250), "river": (11, 200, 200), "lake": (10, 190, 212),
    "sand": (160, 150, 20), "earth": (120, 120, 70), "land": (0, 194, 255), "grass": (4, 250, 7),
    "field": (112, 9, 255), "tree": (4, 200, 3), "plant": (204, 255, 4), "road": (140, 140, 140),
    "sidewalk": (235, 255, 7), "path": (255, 31, 0), "dirt track": (0, 10, 255), "runway": (153, 255, 0),
    "building": (180, 120, 120), "house": (255, 9, 224), "bridge": (255, 82, 0), "pier": (71, 0, 255),
    "railing": (255, 61, 6), "wall": (120, 120, 120), "steps": (31, 0, 255), "rock": (255, 41, 10),
    "mountain": (143, 255, 140), "floor": (80, 50, 50),
}  # fmt: skip

_LAND: Mapping[LandClass, str] = {
    LandClass.GROUND: "land", LandClass.RESIDENTIAL: "land", LandClass.COMMERCIAL: "floor",
    LandClass.INDUSTRIAL: "floor", LandClass.INSTITUTION: "land", LandClass.FARMLAND: "field",
    LandClass.MEADOW: "field", LandClass.GRASS: "grass", LandClass.PARK: "grass", LandClass.GARDEN: "plant",
    LandClass.WOOD: "tree", LandClass.SCRUB: "plant", LandClass.HEATH: "plant", LandClass.ORCHARD: "plant",
    LandClass.VINEYARD: "plant", LandClass.WETLAND: "grass", LandClass.BEACH: "sand", LandClass.ROCK: "rock",
    LandClass.QUARRY: "earth", LandClass.GLACIER: "mountain", LandClass.CEMETERY: "grass",
    LandClass.PITCH: "grass", LandClass.SQUARE: "sidewalk", LandClass.PARKING: "floor",
    LandClass.AERODROME: "grass",
}  # fmt: skip


@dataclass(frozen=True)
class ControlKind:
    """How a control image is made.

    Attributes:
        needs: planes it looks at.
        reach: logical pixels it looks beyond a pixel.
        draw: scene to image over the scene's whole frame.
    """

    needs: frozenset[str]
    reach: int
    draw: Callable[[Scene], ControlImage]


def draw_segmentation(scene: Scene) -> ControlImage:
    """Draw ADE20K classes in their palette, one colour a pixel, nothing blended."""
    table = np.zeros((256, 3), np.uint8)
    for land, name in _LAND.items():
        table[int(land)] = ADE20K[name]
    rgb = table[scene.plane("landcover")]

    def burn(where: NDArray[np.bool_], name: str) -> None:
        rgb[where] = ADE20K[name]

    def covered(plane: str) -> NDArray[np.bool_]:
        return scene.plane(plane) > 127

    burn(covered("water_area"), "lake")
    burn(covered("ocean"), "sea")
    # A stream is often thinner than a pixel, and still a line.
    burn(scene.plane("water_line") > 80, "river")
    burn(covered("pier"), "pier")
    burn(covered("runway"), "runway")
    burn(scene.plane("tree") > 0, "tree")
    burn(covered("bridge"), "bridge")
    classes = scene.plane("road_class")
    names = {LayerKind.STEPS: "steps", LayerKind.PATH: "path", LayerKind.TRACK: "dirt track"}
    for rank, kind in enumerate(ROADS):
        burn(classes == rank + 1, names.get(kind, "road"))
    burn(covered("rail"), "railing")
    burn(scene.plane("wall") > 80, "wall")
    burn(covered("building"), "building")
    burn(covered("building") & (scene.plane("roof_kind") >= GABLED), "house")
    return ControlImage("segmentation", scene.frame, rgb)


def draw_edges(scene: Scene) -> ControlImage:
    """Draw thin white lines on black: shores, sides of roads, outlines of buildings and fields, by rank and level.

    What matters more is whiter: an engine follows grey lines less closely.
    """
    lines = np.zeros(scene.frame.shape, np.uint8)

    def lay(edge: NDArray[np.uint8], strength: float) -> None:
        cv2.max(lines, cv2.convertScaleAbs(edge, alpha=strength), dst=lines)

    if scene.level >= _FIELDS_FROM:
        lay(_borders(scene.plane("parcel")), 0.5)
    lay(_borders(scene.plane("landcover")), 0.6)
    narrow = Levels()
    sides = np.zeros(scene.frame.shape, np.uint8)
    for kind in ROADS:
        if f"road_{kind.value}" in scene:
            cover = scene.plane(f"road_{kind.value}")
            if float(narrow.line_width(kind, scene.level, 0.0)) < NARROW:
                lay(_ridge(cover), 0.6 if kind in _FOOT else 0.8)
            else:
                sides = cv2.add(sides, cover)
    lay(_outline(sides), 0.9)
    for plane, strength in (("water_line", 0.75), ("rail", 0.85), ("wall", 0.7), ("pier", 0.9)):
        if plane in scene:
            lay(_either(scene.plane(plane)), strength)
    for plane, strength in (("runway", 0.9), ("bridge", 0.9), ("water_area", 1.0), ("building", 1.0)):
        if plane in scene:
            lay(_outline(scene.plane(plane)), strength)
    if "building_id" in scene:
        lay(_borders(scene.plane("building_id")) & scene.plane("building"), 0.8)
    return ControlImage("edges", scene.frame, _grey(lines))


def _outline(cover: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give the steepness of coverage: a soft line some two pixels wide along every edge. Reach: 1."""
    gx = cv2.filter2D(cover, cv2.CV_32F, _ACROSS)
    gy = cv2.filter2D(cover, cv2.CV_32F, _ACROSS.T)
    return np.clip(np.sqrt(gx * gx + gy * gy) * np.float32(1.35) - np.float32(90), 0, 255).astype(np.uint8)


def _ridge(cover: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give a narrow line as itself, made white."""
    return cv2.convertScaleAbs(cover, alpha=1.7)


def _either(cover: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give the outline of what is wide, and what is narrow as itself. Reach: 2."""
    core = cv2.erode(cover, np.ones((3, 3), np.uint8))
    wide = cv2.dilate(core, np.ones((3, 3), np.uint8))
    return cv2.max(cv2.min(_outline(cover), wide), _ridge(cv2.subtract(cover, wide)))


def _borders(index: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Give 255 on the first of two pixels that differ. Reach: 1."""
    out = np.zeros(index.shape, np.bool_)
    out[:, :-1] = index[:, 1:] != index[:, :-1]
    out[:-1] |= index[1:] != index[:-1]
    return out.view(np.uint8) * np.uint8(255)


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(image[..., None], 3, axis=2)


def draw_depth(scene: Scene) -> ControlImage:
    """Draw height as nearness: buildings, and terrain minus its mean nearby; constant gain, dark grey is the ground."""
    height = scene.plane("building_height") + scene.plane("roof")
    if "elevation" in scene:
        size = 2 * TERRAIN_RADIUS * scene.pixel_ratio + 1
        # Whole decimetres in double: a box sum of them is exact, so the window does not matter.
        ground = np.rint(scene.plane("elevation") * np.float32(10)).astype(np.float64)
        above = ground - cv2.boxFilter(ground, -1, (size, size), borderType=cv2.BORDER_REPLICATE)
        metres = np.rint(above * 6.4).astype(np.float32) * np.float32(1 / 64)
        height = height + metres * np.float32(2.0 ** (scene.level - 16) * _PIXELS_PER_METRE)
    greys = height * np.float32(_GAIN)
    greys = greys / (np.float32(1) + np.abs(greys) * np.float32(1 / _HEADROOM))
    return ControlImage(
        "depth", scene.frame, _grey(np.clip(greys + np.float32(_GROUND + 0.5), 0, 255).astype(np.uint8))
    )


def draw_relief_image(scene: Scene) -> ControlImage:
    """Draw the hillshade as grey; middle grey is flat."""
    light = scene.plane("hillshade") * np.float32(180) + np.float32(128.5)
    return ControlImage("relief", scene.frame, _grey(np.clip(light, 0, 255).astype(np.uint8)))


_ACROSS = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32) / 4
_SEGMENTS = frozenset(
    {
        "landcover", "water_area", "ocean", "water_line", "pier", "runway", "bridge", "road_class", "rail", "wall",
        "building", "roof_kind", "tree",
    }
)  # fmt: skip
_EDGES = frozenset(
    {
        "landcover", "parcel", "water_area", "water_line", "pier", "runway", "bridge", "rail", "wall", "building",
        "building_id", *(f"road_{kind.value}" for kind in ROADS),
    }
)  # fmt: skip
CONTROLS: Mapping[str, ControlKind] = {
    "segmentation": ControlKind(_SEGMENTS, 0, draw_segmentation),
    "edges": ControlKind(_EDGES, EDGE_REACH, draw_edges),
    "depth": ControlKind(frozenset({"elevation", "building_height", "roof"}), TERRAIN_RADIUS, draw_depth),
    "relief": ControlKind(frozenset({"hillshade"}), 0, draw_relief_image),
}
"""Every control image by name."""
