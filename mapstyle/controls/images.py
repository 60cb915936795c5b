"""Control images: hints as ControlNets were taught to read them, and as people can look at them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.image import ControlImage, Scene
from mapstyle.layers import ROADS, LandClass, LayerKind

TERRAIN_RADIUS = 64
"""Logical pixels of the box over which terrain is averaged before it is taken away for ``depth``."""
STOREYS = 24.0
"""Logical pixels of height that fill the upper half of ``depth``'s range at level 16."""

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
    burn(covered("water_line"), "river")
    burn(covered("pier"), "pier")
    burn(covered("runway"), "runway")
    burn(covered("bridge"), "bridge")
    classes = scene.plane("road_class")
    names = {LayerKind.STEPS: "steps", LayerKind.PATH: "path", LayerKind.TRACK: "dirt track"}
    for rank, kind in enumerate(ROADS):
        burn(classes == rank + 1, names.get(kind, "road"))
    burn(covered("rail"), "railing")
    burn(covered("wall"), "wall")
    small = scene.plane("roof_kind") >= 2
    burn(covered("building"), "building")
    burn(covered("building") & small, "house")
    return ControlImage("segmentation", scene.frame, rgb)


def draw_edges(scene: Scene) -> ControlImage:
    """Draw thin white lines on black: shores, road sides, outlines of buildings and fields, by rank."""
    lines = np.zeros(scene.frame.shape, np.float32)

    def lay(edge: NDArray[np.float32], strength: float) -> None:
        np.maximum(lines, np.clip(edge, 0, 1) * np.float32(strength), out=lines)

    def outline(plane: str) -> NDArray[np.float32]:
        cover = scene.plane(plane).astype(np.float32) * np.float32(1 / 255)
        return (np.float32(1) - np.abs(cover * 2 - 1)) * np.float32(1.6) + _step(scene.plane(plane) > 127)

    lay(_step(scene.plane("landcover")) + _step(scene.plane("parcel")), 0.55)
    for plane, strength in (("road", 0.8), ("water_line", 0.75), ("water_area", 1.0), ("rail", 0.8), ("pier", 0.9),
                            ("runway", 0.8), ("wall", 0.7), ("bridge", 0.9), ("building", 1.0)):  # fmt: skip
        if plane in scene:
            lay(outline(plane), strength)
    lay(_step(scene.plane("building_id")), 0.9)
    return ControlImage("edges", scene.frame, np.repeat((lines * 255 + 0.5).astype(np.uint8)[..., None], 3, axis=2))


def draw_depth(scene: Scene) -> ControlImage:
    """Draw height as nearness: buildings, and terrain minus its mean nearby; constant gain, grey is the ground."""
    ratio = scene.pixel_ratio
    size = 2 * TERRAIN_RADIUS * ratio + 1
    ground = scene.plane("elevation")
    # Whole decimetres in double: a box sum of them is exact, so the window does not matter.
    exact = np.rint(ground * np.float32(10)).astype(np.float64)
    mean = cv2.boxFilter(exact, -1, (size, size), borderType=cv2.BORDER_REPLICATE) / 10
    level = scene.level
    terrain = np.rint((ground - mean) * 64) / 64 * (2.0 ** (level - 16) * 0.6)
    height = scene.plane("building_height") + scene.plane("roof") + terrain
    grey = 96 + height * (128 / STOREYS)
    image = np.clip(grey + 0.5, 0, 255).astype(np.uint8)
    return ControlImage("depth", scene.frame, np.repeat(image[..., None], 3, axis=2))


def draw_relief_image(scene: Scene) -> ControlImage:
    """Draw the hillshade as grey; middle grey is flat."""
    grey = np.clip(scene.plane("hillshade") * 180 + 128.5, 0, 255).astype(np.uint8)
    return ControlImage("relief", scene.frame, np.repeat(grey[..., None], 3, axis=2))


def _step(index: NDArray[np.generic]) -> NDArray[np.float32]:
    out = np.zeros(index.shape, np.float32)
    out[:, :-1] = index[:, 1:] != index[:, :-1]
    out[:-1] = np.maximum(out[:-1], index[1:] != index[:-1])
    return out


_ALL = frozenset(
    {
        "landcover", "parcel", "water_area", "ocean", "water_line", "pier", "runway", "bridge", "road", "road_class",
        "rail", "wall", "building", "roof_kind", "building_id",
    }
)  # fmt: skip
CONTROLS: Mapping[str, ControlKind] = {
    "segmentation": ControlKind(_ALL, 0, draw_segmentation),
    "edges": ControlKind(_ALL, 1, draw_edges),
    "depth": ControlKind(frozenset({"elevation", "building_height", "roof"}), TERRAIN_RADIUS, draw_depth),
    "relief": ControlKind(frozenset({"hillshade"}), 0, draw_relief_image),
}
"""Every control image by name."""
