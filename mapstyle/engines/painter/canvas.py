"""The canvas: a scene being painted, its ground noise, and the working planes the brushes share."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapstyle.image import Scene
from mapstyle.layers import LandClass
from mapstyle.noise import fbm, tiled

Field = NDArray[np.float32]
f32 = np.float32


class Canvas:
    """What one window's painting knows and holds.

    Attributes:
        scene: the controls; read only.
        seed: the map's seed.
        s: real pixels in a logical pixel; multiply every length by it.
        base: paint without grain, granulation and hatching, as a diffusion model wants to start.
        planes: working planes by name (``density``, ``ink``, ``height`` ...), of the type the medium makes them.
    """

    def __init__(self, scene: Scene, seed: int, base: bool = False) -> None:
        self.scene = scene
        self.frame = scene.frame
        self.seed = seed
        self.s = scene.pixel_ratio
        self.level = scene.level
        self.base = base
        self.planes: dict[str, NDArray[Any]] = {}
        self._kept: dict[object, NDArray[Any]] = {}

    def noise(self, cell: int, octaves: int, gain: float, stream: int, aspect: float = 1.0) -> Field:
        """Give ground noise, mean 0, variance 1, kept for the window; do not write into it.

        Brushes that should move together (a wash and its edge) share a stream.
        """
        key = ("noise", cell, octaves, gain, stream, aspect)
        if key not in self._kept:
            seed = (self.seed * 1009 + stream) & 0x7FFFFFFF
            self._kept[key] = fbm(self.frame, cell, octaves, gain, seed, aspect)
        return self._kept[key]

    def texture(self, period: int, make: Callable[[int, int], Field]) -> Field:
        """Give a periodic texture (see :func:`mapstyle.noise.tiled`), kept for the window."""
        key = ("texture", period, make)
        if key not in self._kept:
            self._kept[key] = tiled(self.frame, period, make)
        return self._kept[key]

    def control(self, name: str) -> NDArray[Any]:
        """Give a control plane as it is."""
        return self.scene.plane(name)

    def cover(self, name: str) -> Field:
        """Give a coverage control as float32 0..1, kept for the window; do not write into it."""
        key = ("cover", name)
        if key not in self._kept:
            self._kept[key] = self.scene.plane(name).astype(f32) * f32(1 / 255)
        return self._kept[key]

    def is_land(self, classes: Sequence[LandClass]) -> NDArray[np.bool_]:
        """Tell where the land cover is one of some classes."""
        key = ("land", tuple(classes))
        if key not in self._kept:
            table = np.zeros(256, np.bool_)
            table[[int(c) for c in classes]] = True
            self._kept[key] = table[self.scene.plane("landcover")]
        return self._kept[key]

    def keep(self, key: object, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Give something dear that several brushes share, made once a window."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def zeros(self) -> Field:
        """Give a fresh plane of zeros."""
        return np.zeros(self.frame.shape, f32)
