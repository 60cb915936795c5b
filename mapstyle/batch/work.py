"""What a worker does: a block of tiles, painted, lettered and encoded."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapstyle.batch.ledger import DONE, Entry
from mapstyle.batch.plan import Block, TileGrid
from mapstyle.batch.store import BlockStore, Name
from mapstyle.controls import CONTROLS
from mapstyle.controls.cells import read_reach
from mapstyle.controls.images import TERRAIN_RADIUS
from mapstyle.drawn import drawn_digest
from mapstyle.engines.base import EngineSpec
from mapstyle.exports.encoding import TileFormat, encode
from mapstyle.fingerprint import fingerprint
from mapstyle.frame import Frame
from mapstyle.job import Data
from mapstyle.labels import HALO_REACH
from mapstyle.pipeline import BLOCK, CALM_REACH, Pipeline, Words
from mapstyle.sources.level_index import LevelIndex
from mapstyle.style import Style

VERSION = 1
"""Raised when tiles come to be cut or encoded in another way from the same pixels."""


@dataclass(frozen=True)
class Recipe:
    """All that a worker needs to know; small, and the same for every worker.

    Attributes:
        sources: as on the command line.
        here: folder in which their paths begin.
        cache: folder of what was read once.
        style: the look.
        spec: who paints.
        seed: the map's.
        language: of the names.
        words: whether names are burned in.
        grid: how tiles lie.
        formats: what tiles are encoded as.
        store: folder of finished blocks.
    """

    sources: tuple[str, ...]
    here: Path
    cache: Path
    style: Style
    spec: EngineSpec
    seed: int
    language: str
    words: Words
    grid: TileGrid
    formats: tuple[TileFormat, ...]
    store: Path

    def digest(self, sources: str) -> str:
        """Digest all that decides the pixels of the whole run; while it stays, no finished block is looked at again.

        Args:
            sources: digest of the content of all sources.
        """
        return fingerprint(sources, self.look)

    @property
    def needs(self) -> frozenset[str]:
        """Planes, and ``imagery``, that the engine, its control images and the ink look at."""
        images = self.spec.images
        drawn = (CONTROLS[name].needs for name in images if name in CONTROLS)
        return self.spec.needs | self.style.ink.needs | (images & {"imagery"}) | frozenset().union(*drawn)

    @property
    def look(self) -> str:
        """Digest of all that decides pixels, but for the geography."""
        return fingerprint(
            VERSION, self.style.digest, self.spec.identity(), self.seed, self.language, self.words, self.grid,
            list(self.formats),
        )  # fmt: skip


class Worker:
    """Makes blocks; everything that is slow to begin with is done once."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._store = BlockStore(recipe.store)
        self._pipelines: dict[int, Pipeline] = {}
        self._look = recipe.look
        self._needs = recipe.needs

    def __call__(self, block: Block, wanted: Sequence[tuple[int, int]], run: str) -> Entry:
        """Make a block, unless the very same one is finished.

        Args:
            block: which.
            wanted: its tiles that the job asks for, column and row.
            run: digest of the whole run, for the ledger.
        """
        begun = time.perf_counter()
        recipe = self._recipe
        frame = block.frame(recipe.grid)
        pipeline = self._pipeline(block.level)
        around = frame.pad(HALO_REACH + recipe.spec.reach + TERRAIN_RADIUS)
        labels = pipeline.labels(around.pad(CALM_REACH) if "calm" in self._needs else frame)
        reach = read_reach(frame.grid.level)
        drawn = drawn_digest(pipeline.layers, around, labels, recipe.style.levels, self._needs, reach)
        digest = fingerprint(self._look, block, sorted(wanted), drawn)
        if self._store.get(digest) is None:
            image = self._paint(pipeline, frame)
            self._store.put(digest, self._cut(block, frame, image, wanted))
        return Entry(block, DONE, digest, run, time.perf_counter() - begun)

    def _paint(self, pipeline: Pipeline, frame: Frame) -> NDArray[np.uint8]:
        out = np.empty((*frame.shape, 3), np.uint8)
        for painted in pipeline.blocks(frame, size=BLOCK):
            out[painted.image.frame.slices(frame)] = painted.image.rgba[..., :3]
        return out

    def _cut(
        self, block: Block, frame: Frame, image: NDArray[np.uint8], wanted: Sequence[tuple[int, int]]
    ) -> dict[Name, bytes]:
        tiles: dict[Name, bytes] = {}
        for column, row in wanted:
            place = self._recipe.grid.tile(block.level, column, row)
            rgb = np.ascontiguousarray(image[place.slices(frame)])
            for kind in self._recipe.formats:
                tiles[kind.suffix, column, row] = encode(rgb, kind)
        return tiles

    def _pipeline(self, level: int) -> Pipeline:
        if level not in self._pipelines:
            recipe, data = self._recipe, self._data
            layers = LevelIndex.build(
                data.atlas, recipe.grid.grid(level).at_ratio(1), data.elevation, recipe.cache, data.imagery
            )
            self._pipelines.clear()  # one level at a time is enough, and its layers are large
            self._pipelines[level] = Pipeline(
                layers, recipe.style, recipe.spec, recipe.seed, recipe.language, recipe.words
            )
        return self._pipelines[level]

    @cached_property
    def _data(self) -> Data:
        os.chdir(self._recipe.here)
        return Data.open(self._recipe.sources, self._recipe.cache, lambda line: None)
