"""What an engine is: a cheap spec that can be hashed, and the loaded thing that paints."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mapstyle.image import Scene


class Engine(Protocol):
    """Something that paints scenes; made by :meth:`EngineSpec.load`."""

    def paint(self, scene: Scene, seed: int, base: bool = False) -> NDArray[np.uint8]:
        """Paint the ground of a scene.

        Args:
            scene: its frame is aligned to multiples of 64 logical pixels and padded by the spec's reach.
            seed: the map's seed.
            base: leave out what a diffusion model would make objects of (paper grain, granulation, hatching).

        Returns:
            uint8[height, width, 3], RGB, sRGB, over the whole frame; true further inside than the reach.
        """


class EngineSpec(Protocol):
    """All that decides what an engine paints, known before anything heavy is loaded."""

    @property
    def name(self) -> str:
        """What people call the engine."""

    @property
    def reach(self) -> int:
        """How many logical pixels away the scene may still change a pixel."""

    @property
    def needs(self) -> frozenset[str]:
        """Names of the planes (:data:`mapstyle.image.PLANES`) it looks at."""

    def identity(self) -> str:
        """Digest of everything about the engine that decides pixels."""

    def load(self) -> Engine:
        """Make it ready to paint; here, and only here, weights are paid for."""
