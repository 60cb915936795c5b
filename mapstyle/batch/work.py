"""What a worker does: a block of tiles, painted or shrunk, lettered and encoded."""

import json
import os
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from mapstyle.batch.ledger import DONE, FAILED, Entry
from mapstyle.batch.plan import MARGIN, Block, Plan
from mapstyle.batch.store import BlockStore, Name
from mapstyle.compose import shrink
from mapstyle.controls.cells import read_reach
from mapstyle.controls.images import TERRAIN_RADIUS
from mapstyle.drawn import digest_drawn, digest_labels
from mapstyle.engines.base import EngineSpec
from mapstyle.errors import JobError, MapstyleError, OutputError
from mapstyle.exports.encoding import TileFormat, decode, encode
from mapstyle.exports.picture import write_text
from mapstyle.fingerprint import fingerprint
from mapstyle.frame import Frame
from mapstyle.image import MapImage
from mapstyle.job import Data
from mapstyle.labels import HALO_REACH
from mapstyle.making import Making
from mapstyle.pipeline import CALM_REACH, Pipeline, Words
from mapstyle.plain import SQUARE
from mapstyle.sources.level_index import LevelIndex
from mapstyle.style import Style

ATTEMPTS = 3
"""How often a block is tried before it is recorded as failed."""
VERSION = 2
"""Raised when tiles come to be cut or encoded in another way from the same pixels."""
HELPERS = 3
"""Threads that ink and letter one part of a block while a model paints the next."""
_KNOWN = 10_000
"""Finished blocks that a worker remembers having found whole."""
ART = "art"
"""What a block's picture without words is called among its tiles, where it is kept to be shrunk."""
_LIBRARIES = (
    "mapstyle", "numpy", "opencv-python-headless", "shapely", "pyproj", "rasterio", "pyogrio", "pillow", "uharfbuzz",
)  # fmt: skip
"""Distributions whose versions may change pixels."""
_MODELS = ("torch", "diffusers", "transformers")
"""The same for an engine with a model."""
_ART_FORMAT = TileFormat(kind="webp", lossless=True)
_CHANGED = "a source has changed while the run was going on; run the same command again, it paints what has changed"

assert MARGIN == HALO_REACH, "what is kept around art is what halos look at"


class DamagedError(JobError):
    """A block that another is shrunk from cannot be read."""


class ChangedError(JobError):
    """The sources are no longer those the run began with."""


@dataclass(frozen=True)
class Task:
    """A block to be made.

    Attributes:
        block: which.
        run: digest of the run it belongs to.
        sources: fingerprints of the blocks it is shrunk from, in the order of :meth:`Plan.sources`.
        look: whether it is only to be looked at: named, and not made.
    """

    block: Block
    run: str
    sources: tuple[str, ...] = ()
    look: bool = False

    def failed(self, error: str) -> Entry:
        """Say that it could not be made."""
        return Entry(self.block, FAILED, "", self.run, error=error)


@dataclass(frozen=True)
class Recipe:
    """All that a worker needs to know; small, and the same for every worker.

    Attributes:
        sources: as on the command line.
        digest: of the content of all sources.
        here: folder in which their paths begin.
        cache: folder of what was read once.
        style: the look.
        spec: who paints.
        seed: the map's.
        language: of the names.
        words: whether names are burned in.
        plan: which tiles there are.
        formats: what tiles are encoded as.
        store: folder of finished blocks.
        fonts: digest of the fonts that draw each script.
    """

    sources: tuple[str, ...]
    digest: str
    here: Path
    cache: Path
    style: Style
    spec: EngineSpec
    seed: int
    language: str
    words: Words
    plan: Plan
    formats: tuple[TileFormat, ...]
    store: Path
    fonts: str = ""

    @property
    def run(self) -> str:
        """Digest of all that decides the pixels of the whole run; while it stays, no finished block is looked at."""
        return fingerprint(self.digest, self.parts)

    @property
    def parts(self) -> Mapping[str, str]:
        """What decides pixels apart from the geography, part by part, so that a change can be told by its name."""
        return {
            "program": fingerprint(VERSION, versions(self.spec)),
            "style": self.style.digest,
            "engine": self.spec.identity(),
            "seed": str(self.seed),
            "names": fingerprint(self.language, self.words, self.fonts),
            "tiles": fingerprint(self.plan.grid, list(self.formats)),
        }


class Worker:
    """Makes blocks; everything that is slow to begin with is done once."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._store = BlockStore(recipe.store)
        self._pipelines: dict[int, Pipeline] = {}
        self._look = fingerprint(recipe.parts)
        self._whole: set[str] = set()
        self._told: bool | None = None
        # A model's process has cores to itself that ink and letter what is painted while the GPU goes on.
        self._helpers = HELPERS if recipe.spec.block else 1

    def __call__(self, task: Task) -> Entry:
        """Make a block, unless the very same one is finished."""
        begun = time.perf_counter()
        job, block = self._recipe.plan, task.block
        wanted = [(column - block.column * job.grid.across, row - block.row * job.grid.across)
                  for column, row in job.wanted(block)]  # fmt: skip
        place, drawn = self._drawn(task)
        kept = (job.margin(block.level), job.keeps_art(block.level))
        name = fingerprint(self._look, kept, place, wanted, drawn)
        painted = not task.look and not self._has(name)
        if painted:
            self._store.put(name, self._make(task, wanted))
            self._whole.add(name)
            self._tell_making(block.level)
        spent = time.perf_counter() - begun
        asked = digest_wanted(job.way(block.level), tuple(wanted))
        told = json.dumps(_short(drawn))
        notes = self._pipelines[block.level].missing_scripts
        return Entry(block, DONE, name, task.run, spent, "", asked, told, painted=painted, notes=notes)

    def _tell_making(self, level: int) -> None:
        """Note beside the store how a model paints; one block that was painted otherwise than said counts for all."""
        pipeline = self._pipelines[level]
        if pipeline.loaded is None or (making := pipeline.making) is None or making.exact == self._told:
            return
        before = read_making(self._recipe)
        making = replace(making, exact=making.exact and (before is None or before.exact))
        write_text(_making_file(self._recipe), json.dumps(asdict(making)))
        self._told = making.exact

    def _has(self, name: str) -> bool:
        """Tell whether a block is finished and whole; plain ground is asked for again and again."""
        if len(self._whole) > _KNOWN:
            self._whole.clear()
        if name not in self._whole and self._store.get(name) is not None:
            self._whole.add(name)
        return name in self._whole and self._store.has(name)

    def _drawn(self, task: Task) -> tuple[object, Mapping[str, object]]:
        """Digest what a block draws; and where it is, unless it is the same everywhere."""
        job, block = self._recipe.plan, task.block
        pipeline, region = self.pipeline(block.level), job.region(block)
        if task.sources:
            labels = pipeline.labels(region)
            return block, {"shrunk": task.sources, "labels": digest_labels(labels, region)}
        frame = region.pad(job.margin(block.level))
        needs = pipeline.needs
        around = frame.pad(HALO_REACH + self._recipe.spec.reach + TERRAIN_RADIUS)
        labels = pipeline.labels(around.pad(CALM_REACH) if "calm" in needs else region)
        plain = pipeline.plain
        if plain is not None and (kind := plain.whole(frame)) is not None and not pipeline.labels(region):
            side = SQUARE * frame.grid.pixel_ratio
            return (block.level, frame.column % side, frame.row % side, frame.shape), {"plain": kind}
        reach = read_reach(frame.grid.level)
        drawn = digest_drawn(pipeline.layers, around, labels, self._recipe.style.levels, needs, reach)
        return block, {**drawn, "plain": [] if plain is None else plain.pattern(frame)}

    def _make(self, task: Task, wanted: list[tuple[int, int]]) -> dict[Name, bytes]:
        """Paint or shrink a block, and give its encoded tiles, and its art where that is kept."""
        job, block = self._recipe.plan, task.block
        pipeline, region, margin = self.pipeline(block.level), job.region(block), job.margin(block.level)
        tiles: dict[Name, bytes] = {}
        if margin:
            frame = region.pad(margin)
            art = self._shrunk(task, frame) if task.sources else pipeline.art(frame, self._helpers)
            image = pipeline.letter(art, region).rgba[..., :3]
            if job.keeps_art(block.level):
                tiles[ART, 0, 0] = encode(np.ascontiguousarray(art.rgba[..., :3]), _ART_FORMAT)
        else:
            image = np.empty((*region.shape, 3), np.uint8)
            for painted in pipeline.blocks(region, self._helpers):
                image[painted.image.frame.slices(region)] = painted.image.rgba[..., :3]
        n = job.grid.across
        for column, row in wanted:
            place = job.grid.tile(block.level, block.column * n + column, block.row * n + row)
            rgb = np.ascontiguousarray(image[place.slices(region)])
            for kind in self._recipe.formats:
                tiles[kind.suffix, column, row] = encode(rgb, kind)
        return tiles

    def _shrunk(self, task: Task, frame: Frame) -> MapImage:
        """Halve the art of the level above over a frame."""
        job = self._recipe.plan
        level = task.block.level + 1
        twice = Frame(
            job.grid.grid(level), 2 * frame.column, 2 * frame.row, 2 * frame.width, 2 * frame.height
        )  # fmt: skip
        above = np.empty((*twice.shape, 3), np.uint8)
        for block, name in zip(job.sources(task.block), task.sources, strict=True):
            around = job.region(block).pad(job.margin(level))
            shared = around.intersection(twice)
            kept = (self._store.get(name) or {}).get((ART, 0, 0))
            if kept is None:
                raise DamagedError(
                    f"block {block.column}/{block.row} of level {level}, of which it is made, is damaged"
                )
            if shared is not None:
                above[shared.slices(twice)] = decode(kept, around.shape)[shared.slices(around)]
        return MapImage(frame, _opaque(shrink(above)))

    def pipeline(self, level: int) -> Pipeline:
        """Give what renders frames of a level; one level at a time is kept, for its layers are large."""
        if level not in self._pipelines:
            recipe, data = self._recipe, self._data
            layers = LevelIndex.build(
                data.atlas, recipe.plan.grid.grid(level).at_ratio(1), data.elevation, recipe.cache, data.imagery
            )
            before = next(iter(self._pipelines.values()), None)
            self._pipelines.clear()
            self._pipelines[level] = Pipeline(
                layers, recipe.style, recipe.spec, recipe.seed, recipe.language, recipe.words, cache=recipe.cache,
                engine=None if before is None else before.loaded,
            )  # fmt: skip
        return self._pipelines[level]

    @cached_property
    def _data(self) -> Data:
        os.chdir(self._recipe.here)
        data = Data.open(self._recipe.sources, self._recipe.cache, lambda line: None)
        if data.digest != self._recipe.digest:
            raise ChangedError(_CHANGED)
        return data


@lru_cache(maxsize=4096)
def digest_wanted(way: tuple[int, int], wanted: tuple[tuple[int, int], ...]) -> str:
    """Digest how a block is made and which of its tiles are asked for, counted from its corner: nearly always all."""
    return fingerprint(way, wanted)


def versions(spec: EngineSpec) -> dict[str, str]:
    """Give the versions of what decides the last bits of pixels."""
    found = {}
    for name in (*_LIBRARIES, *(_MODELS if spec.block else ())):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def read_making(recipe: Recipe) -> Making | None:
    """Tell how a model has painted in this run; None when none has."""
    try:
        return _MAKING.validate_json(_making_file(recipe).read_bytes())
    except (OSError, ValidationError):
        return None


def _making_file(recipe: Recipe) -> Path:
    return recipe.store.with_name(f"making-{recipe.run}.json")


_MAKING: TypeAdapter[Making] = TypeAdapter(Making)


def _opaque(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])


def _short(drawn: Mapping[str, object]) -> dict[str, str]:
    """Give what is enough to see whether a part has changed."""
    return {name: fingerprint(value)[:8] for name, value in drawn.items()}


def tried(worker: Worker, task: Task) -> Entry:
    """Make a block; what goes wrong with one is recorded and leaves the others alone."""
    error = ""
    for _ in range(ATTEMPTS):
        try:
            return worker(task)
        except (OutputError, ChangedError):
            raise  # no other block could be made either
        except DamagedError as known:
            # Settled by no run: it is tried again once the other has been mended.
            return replace(task.failed(str(known)), run="")
        except MapstyleError as known:
            return task.failed(str(known))
        except Exception as unknown:  # a bug, or a library's mood: the run goes on and the ledger tells
            last = traceback.extract_tb(unknown.__traceback__)[-1]
            error = f"{type(unknown).__name__}: {unknown} ({last.filename.rpartition('/')[2]}:{last.lineno})"
    return task.failed(" ".join(error.split())[:500])
