"""The straight line: layers to labels to controls to ground to ink to one image, a frame at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import pairwise
from pathlib import Path
from threading import Event, Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mapstyle.compose import compose
from mapstyle.controls import CONTROLS, ControlDrawer
from mapstyle.engines.base import Engine, EngineSpec, ModelEngine, View, Watch
from mapstyle.engines.painter import ALIGN, PainterSpec
from mapstyle.engines.process import settle_process
from mapstyle.errors import EngineError
from mapstyle.fingerprint import fingerprint
from mapstyle.frame import Frame
from mapstyle.image import MapImage, Scene
from mapstyle.ink import draw_ink
from mapstyle.labels import HALO_REACH, LabelPlacer, draw_labels, drop_cut
from mapstyle.layers import WORDS_ONLY, LayerKind, Layers
from mapstyle.making import Making
from mapstyle.placed import PlacedLabel
from mapstyle.plain import Plain
from mapstyle.style import Style

CALM_REACH = 64
"""Logical pixels beyond a frame from which labels still calm it."""
BLOCK = 512
"""Logical pixels on the side of a block. Windows of this size stay in the cache (measured, docs/log.md)."""


_T = TypeVar("_T")


class Words(StrEnum):
    """What becomes of the labels."""

    BURN = "burn"
    SHEET = "sheet"
    VECTOR = "vector"
    NONE = "none"


class EdgeLabels(StrEnum):
    """What becomes of labels over the picture's own edge."""

    CUT = "cut"
    DROP = "drop"


@dataclass(frozen=True)
class Painted:
    """One frame, done.

    Attributes:
        image: the map; with labels when they are burned in.
        sheet: the labels alone, when they are wanted apart.
    """

    image: MapImage
    sheet: MapImage | None = None


class Pipeline:
    """Renders frames of one grid in one style.

    What a frame gets depends on the ground alone: two frames agree to the bit where they overlap.
    """

    def __init__(
        self,
        layers: Layers,
        style: Style,
        spec: EngineSpec,
        seed: int | None = None,
        language: str = "",
        words: Words = Words.BURN,
        edge_labels: EdgeLabels = EdgeLabels.CUT,
        sheet_frame: Frame | None = None,
        watch: Watch | None = None,
        cache: Path | None = None,
        engine: Engine | None = None,
    ) -> None:
        """Make ready to render.

        Args:
            layers: the geography.
            style: the look.
            spec: who paints.
            seed: the map's seed; None is the style's own.
            language: language code of the names; empty is the local name.
            words: what becomes of labels.
            edge_labels: DROP leaves out labels over the edge of ``sheet_frame`` and moves no other.
            sheet_frame: the whole picture that the frames are parts of.
            watch: who looks on while the engine works.
            cache: folder in which plain ground is kept.
            engine: loaded already, for another grid.
        """
        self.layers = layers
        self.style = style
        self.spec = spec
        self.seed = style.seed if seed is None else seed
        self._words = words
        self._edge = sheet_frame if edge_labels is EdgeLabels.DROP else None
        self._drawer = ControlDrawer(layers, style.levels)
        self.plain = None if "imagery" in spec.images else self._plain(cache)
        self._placer = None if words is Words.NONE else LabelPlacer(layers, style.labels, language)
        self.loaded = engine
        self._stop = Event()
        self._watch = self._stoppable(watch or Watch())
        self._loading = Lock()

    @property
    def needs(self) -> frozenset[str]:
        """Planes, and ``imagery``, that the engine, its control images and the ink look at."""
        images = self.spec.images
        drawn = (CONTROLS[name].needs for name in images if name in CONTROLS)
        return self.spec.needs | self.style.ink.needs | (images & {"imagery"}) | frozenset().union(*drawn)

    @property
    def missing_scripts(self) -> tuple[str, ...]:
        """Scripts of labels that had to be left out for want of a font."""
        return self._placer.missing if self._placer else ()

    def labels(self, frame: Frame) -> list[PlacedLabel]:
        """Place the labels that touch a frame; whole."""
        if self._placer is None:
            return []
        placed = self._placer.place(frame)
        return drop_cut(placed, self._edge) if self._edge is not None else placed

    def scene(self, frame: Frame, more: frozenset[str] = frozenset()) -> Scene:
        """Draw the planes that the engine and the ink look at, and ``more``."""
        needs = self.spec.needs | self.style.ink.needs | more
        labels = self.labels(frame.pad(CALM_REACH)) if "calm" in needs else []
        return self._drawer.scene(frame, needs, labels)

    def control(self, name: str, frame: Frame) -> NDArray[np.uint8]:
        """Draw a control image, or give imagery: uint8[height, width, 3], RGB."""
        if name == "imagery":
            return self._imagery(frame)
        kind = CONTROLS[name]
        around = frame.pad(kind.reach)
        labels = self.labels(around.pad(CALM_REACH)) if "calm" in kind.needs else []
        drawn = kind.draw(self._drawer.scene(around, kind.needs, labels))
        return np.ascontiguousarray(drawn.rgb[frame.slices(around)])

    def _imagery(self, frame: Frame) -> NDArray[np.uint8]:
        seen = self.layers.imagery(frame)
        if seen is None:
            raise EngineError(
                "a control of this style needs imagery: give a picture of the ground (.tif, .jpg, .png) "
                "among the sources"
            )
        return seen

    def render(self, frame: Frame, ground: MapImage | None = None) -> Painted:
        """Render one frame in one pass; furniture is not part of it.

        Args:
            frame: where.
            ground: painted already, around the frame, at its address in the home world.
        """
        picture = np.empty((*frame.shape, 4), np.uint8)
        sheet = np.zeros_like(picture) if self._words is Words.SHEET else None
        for part, home in frame.world_pieces():
            # A place past the antimeridian is rendered from the address at which everybody else renders it.
            done = self._render_home(home, ground)
            picture[part.slices(frame)] = done.image.rgba
            if sheet is not None and done.sheet is not None:
                sheet[part.slices(frame)] = done.sheet.rgba
        return Painted(MapImage(frame, picture), None if sheet is None else MapImage(frame, sheet))

    def blocks(self, frame: Frame, workers: int = 1, size: int = BLOCK) -> Iterator[Painted]:
        """Render a frame as blocks anchored to the grid, a few at a time; always in the same order."""
        step = size * frame.grid.pixel_ratio
        with ThreadPoolExecutor(max(1, workers)) as pool:
            if self.spec.block:
                tasks = self._in_fields(frame, step, self.render)
            else:
                tasks = (partial(self.render, piece) for piece in frame.pieces(step, step))
            yield from _in_order(tasks, pool, 2 * workers if workers > 1 else 0)

    def art(self, frame: Frame, workers: int = 1) -> MapImage:
        """Paint a frame without words, ground and ink, a few pieces at a time."""
        step = BLOCK * frame.grid.pixel_ratio
        pieces = (part for piece in frame.pieces(step, step) for part, _ in piece.world_pieces())
        out = np.empty((*frame.shape, 4), np.uint8)
        with ThreadPoolExecutor(max(1, workers)) as pool:
            if self.spec.block:
                tasks = self._in_fields(frame, step, self._piece)
            else:
                tasks = (partial(self._piece, piece) for piece in pieces)
            for image in _in_order(tasks, pool, 2 * workers if workers > 1 else 0):
                out[image.frame.slices(frame)] = image.rgba
        return MapImage(frame, out)

    def _in_fields(
        self, frame: Frame, step: int, make: Callable[[Frame, MapImage | None], _T]
    ) -> Iterator[Callable[[], _T]]:
        """Give the pieces of a frame whose ground is painted in fields as large as the engine likes best.

        The engine is already at the next field while the pieces of this one are inked, lettered and encoded.
        """
        side = self.spec.block * frame.grid.pixel_ratio
        fields = [part for piece in _fields(frame, side) for part, _ in piece.world_pieces()]
        with ExitStack() as after, ThreadPoolExecutor(1) as engine:
            after.callback(self._stop.clear)  # once the thread that was told to stop has done so
            waiting = deque([engine.submit(self._field, fields[0])])
            try:
                for i, field in enumerate(fields):
                    if i + 1 < len(fields):
                        waiting.append(engine.submit(self._field, fields[i + 1]))
                    ground = waiting.popleft().result()
                    for piece in field.pieces(step, step):
                        yield partial(make, piece, ground)
            finally:
                self._stop.set()  # nobody waits for the rest: Ctrl-C, or a sink that failed
                for future in waiting:
                    future.cancel()

    def _stoppable(self, watch: Watch) -> Watch:
        """Have the engine stop at its next step of work once nobody waits for it; what is finished is kept by then."""

        def step(count: int) -> None:
            if self._stop.is_set():
                raise _StoppedError
            watch.step(count)

        return replace(watch, step=step)

    def _field(self, field: Frame) -> MapImage:
        """Paint a field's ground, with what halos see around it, at its address in the home world."""
        ((_, home),) = field.world_pieces()
        around = home.pad(HALO_REACH)
        painted = self._ground(around, self)
        return MapImage(around, np.dstack([painted, np.full(around.shape, 255, np.uint8)]))

    def base(self, frame: Frame) -> NDArray[np.uint8]:
        """Paint the ground as a diffusion model wants to start from: uint8[height, width, 3], no labels."""
        return PainterSpec(self.style.painter).load().paint(frame, self, self.seed, base=True)

    def _render_home(self, frame: Frame, ground: MapImage | None = None) -> Painted:
        labels = self.labels(frame) if self._words in (Words.BURN, Words.SHEET) else []
        return self._letter(self._art(frame.pad(HALO_REACH if labels else 0), ground), frame, labels)

    def _piece(self, frame: Frame, ground: MapImage | None = None) -> MapImage:
        """Paint a piece that lies on one side of the antimeridian, without words."""
        ((_, home),) = frame.world_pieces()
        return MapImage(frame, self._art(home, ground).rgba)

    def letter(self, art: MapImage, frame: Frame) -> MapImage:
        """Set a frame's words over art that covers it and what halos see around it."""
        out = np.empty((*frame.shape, 4), np.uint8)
        for part, home in frame.world_pieces():
            around = art.crop(part.pad(HALO_REACH)).rgba
            labels = self.labels(home)
            out[part.slices(frame)] = self._letter(MapImage(home.pad(HALO_REACH), around), home, labels).image.rgba
        return MapImage(frame, out)

    def _art(self, frame: Frame, ground: MapImage | None) -> MapImage:
        view = _View(self)
        if ground is None:
            painted = self._ground(frame, view)
            image = MapImage(frame, np.dstack([painted, np.full(frame.shape, 255, np.uint8)]))
        else:
            image = ground.crop(frame)
        if not self.style.ink.needs:
            return image
        ink = draw_ink(view.drawn(frame), self.style.ink)
        return image if ink is None else compose(image, [ink.crop(frame)])

    def _letter(self, art: MapImage, frame: Frame, labels: Sequence[PlacedLabel]) -> Painted:
        words = draw_labels(labels, art, self.style.labels, frame) if labels else None
        image = art.crop(frame)
        if words is not None and self._words is Words.BURN:
            image = compose(image, [words])
        return Painted(image, words)

    def _ground(self, frame: Frame, view: View) -> NDArray[np.uint8]:
        if self.plain is None:
            return self.engine.paint(frame, view, self.seed)
        return self.plain.over(frame, lambda part: self.engine.paint(part, view, self.seed))

    def _shows(self, kind: LayerKind) -> bool:
        return kind not in WORDS_ONLY and self.style.levels.shows(kind, self.layers.grid.level)

    def _plain(self, cache: Path | None) -> Plain:
        """Make the rule of plain ground, which the painter paints whoever the engine is."""
        spec = PainterSpec(self.style.painter)
        needs = (self.needs | spec.needs) - {"calm"}
        return Plain(
            self.layers.grid, self.layers.read, self._shows,
            lambda frame: self._drawer.scene(frame, needs),
            lambda scene: spec.load().paint_scene(scene, self.seed),
            (None if cache is None else cache / "plain", fingerprint(spec.identity(), self.seed)),
        )  # fmt: skip

    @property
    def engine(self) -> Engine:
        """The engine, loaded when it is first asked for."""
        with self._loading:
            if self.loaded is None:
                settle_process()
                if "imagery" in self.spec.images:
                    self._imagery(Frame(self.layers.grid, 0, 0, 1, 1))  # what is missing is said before weights load
                self.loaded = self.spec.load(self._watch)
        return self.loaded

    @property
    def evaluations(self) -> int:
        """How many evaluations of a model were needed so far; 0 when none painted."""
        return self.engine.evaluations if isinstance(self.engine, ModelEngine) else 0

    @property
    def making(self) -> Making | None:
        """How a model painted the ground; None when no model did."""
        return self.engine.making(self.seed) if isinstance(self.engine, ModelEngine) else None

    def identity(self, sources: str, options: Sequence[str] = ()) -> str:
        """Digest everything that decides the pixels of this run."""
        return fingerprint(sources, self.style.digest, self.spec.identity(), self.seed, list(options), self.layers.grid)


class _StoppedError(Exception):
    """Nobody waits for what the engine is painting."""


class _View:
    """What an engine sees while one frame is rendered; the last scene is kept, for the ink."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._last: Scene | None = None

    def scene(self, frame: Frame) -> Scene:
        """See :class:`mapstyle.engines.base.View`."""
        self._last = self._pipeline.scene(frame)
        return self._last

    def control(self, name: str, frame: Frame) -> NDArray[np.uint8]:
        """See :class:`mapstyle.engines.base.View`."""
        return self._pipeline.control(name, frame)

    def drawn(self, frame: Frame) -> Scene:
        """Give a scene that covers a frame: the last one, if it does."""
        last = self._last
        return last if last is not None and last.frame.contains(frame) else self.scene(frame.align(ALIGN))


def _fields(frame: Frame, side: int) -> Iterator[Frame]:
    """Cut a frame along multiples of ``side`` real pixels, but never so that only a margin's width is left."""
    slack = 2 * CALM_REACH * frame.grid.pixel_ratio
    rows, columns = (
        [start, *(at for at in range(start - start % side + side, end, side) if start + slack < at < end - slack), end]
        for start, end in ((frame.row, frame.end_row), (frame.column, frame.end_column))
    )
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            yield Frame(frame.grid, left, top, right - left, bottom - top)


def _in_order(tasks: Iterable[Callable[[], _T]], pool: ThreadPoolExecutor, ahead: int) -> Iterator[_T]:
    """Carry out tasks in threads, at most ``ahead`` before the one that is waited for; give results in order."""
    waiting: deque[Future[_T]] = deque()
    try:
        for task in tasks:
            if not ahead:
                yield task()
                continue
            waiting.append(pool.submit(task))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
