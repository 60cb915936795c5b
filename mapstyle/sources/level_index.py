"""The level index: an atlas made ready for one grid, once, and asked for frames ever after."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mapstyle.fingerprint import fingerprint
from mapstyle.frame import Frame, Grid
from mapstyle.layers import LayerStack, RasterLayer
from mapstyle.placed import LabelSeed
from mapstyle.sources.atlas import Atlas
from mapstyle.sources.features import Features
from mapstyle.sources.gather import gather
from mapstyle.sources.generalise import generalise
from mapstyle.sources.level_cache import load_level, save_level
from mapstyle.sources.seeds import Seeds, find_seeds

INDEX_VERSION = 2
"""Raised whenever the same atlas would give another index, so that kept ones are built anew."""


class Heights(Protocol):
    """Something that knows how high the ground is."""

    @property
    def digest(self) -> str:
        """Names its content."""

    def sample(self, frame: Frame) -> RasterLayer:
        """Give the elevation at pixel centres of a frame."""


class Pictures(Protocol):
    """Something that knows how the ground looks from above."""

    @property
    def digest(self) -> str:
        """Names its content."""

    def sample(self, frame: Frame) -> NDArray[np.uint8]:
        """Give what is seen at the pixels of a frame: uint8[height, width, 3], RGB."""


class LevelIndex:
    """Everything an atlas has for one grid; the :class:`~mapstyle.layers.Layers` of real data.

    Simplified shapes, merged lines and label seeds are of whole features and made when it is built, so
    nothing that a frame is given depends on the frame.
    """

    def __init__(
        self,
        grid: Grid,
        features: Features,
        seeds: Seeds,
        digest: str,
        heights: Heights | None = None,
        pictures: Pictures | None = None,
    ) -> None:
        self._grid = grid.at_ratio(1)
        self._features = features
        self._seeds = seeds
        self._heights = heights
        self._pictures = pictures
        self._digest = digest
        features.prepare()

    @classmethod
    def build(
        cls,
        atlas: Atlas,
        grid: Grid,
        elevation: Heights | None = None,
        cache: Path | None = None,
        imagery: Pictures | None = None,
    ) -> "LevelIndex":
        """Build the index of an atlas for a grid, or load the one that was kept.

        Args:
            atlas: all vector features.
            grid: where; its pixel ratio does not matter.
            elevation: knows the heights; None where there is no such source.
            cache: folder in which indexes are kept; nothing is kept when left out.
            imagery: knows how the ground looks; None where there is no such source.
        """
        grid = grid.at_ratio(1)
        digest = fingerprint(INDEX_VERSION, atlas.digest, grid)
        path = None if cache is None else cache / f"{digest}.level.npz"
        loaded = None if path is None else load_level(path)
        if loaded is None:
            features = generalise(gather(atlas, grid), grid)
            loaded = features, find_seeds(features, grid.level, grid.turn, atlas.bounds)
            if path is not None:
                save_level(path, *loaded)
        return cls(grid, *loaded, digest, elevation, imagery)

    @property
    def grid(self) -> Grid:
        """The grid whose logical pixels all coordinates are in, at pixel ratio 1."""
        return self._grid

    @property
    def digest(self) -> str:
        """Names the content: atlas, grid, elevation, imagery and the way they are made ready."""
        return fingerprint(self._digest, *(s.digest if s else "" for s in (self._heights, self._pictures)))

    def read(self, frame: Frame) -> LayerStack:
        """Give the features whose bounding boxes touch the frame, moved round the world where it asks so."""
        self._check(frame)
        chosen, turns = self._features.touching(frame.logical_box, self._grid.turn)
        return self._features.stack(self._grid, chosen, turns)

    def elevation(self, frame: Frame) -> RasterLayer | None:
        """Give the elevation at pixel centres of the frame; None where there is no elevation source."""
        self._check(frame)
        return None if self._heights is None else self._heights.sample(frame)

    def imagery(self, frame: Frame) -> NDArray[np.uint8] | None:
        """Give what is seen at the pixels of the frame; None where there is no picture of the ground."""
        self._check(frame)
        return None if self._pictures is None else self._pictures.sample(frame)

    def seeds(self, frame: Frame) -> Sequence[LabelSeed]:
        """Give everything that could be labelled and whose anchor lies in the frame."""
        self._check(frame)
        return self._seeds.inside(frame)

    def _check(self, frame: Frame) -> None:
        assert frame.grid.at_ratio(1) == self._grid, "an index answers for frames of its own grid only"
