"""The straight line: layers to labels to controls to ground to ink to one image, a frame at a time."""

import ctypes
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.compose import compose
from mapstyle.controls import ControlDrawer
from mapstyle.engines.base import Engine, EngineSpec
from mapstyle.engines.painter import PainterSpec
from mapstyle.errors import EngineError
from mapstyle.fingerprint import fingerprint
from mapstyle.frame import Frame
from mapstyle.image import MapImage, Scene
from mapstyle.ink import draw_ink
from mapstyle.labels import HALO_REACH, LabelPlacer, draw_labels, drop_cut
from mapstyle.layers import Layers
from mapstyle.placed import PlacedLabel
from mapstyle.style import Style

ALIGN = 64
"""Painted windows begin and end on multiples of this many logical pixels: vector instructions then never
meet a ragged end, and work at reduced size starts on whole steps of the world."""
BLOCK = 512
"""Logical pixels on the side of a block. Windows of this size stay in the cache (measured, docs/log.md)."""


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


class EngineChoice(StrEnum):
    """Who paints."""

    AUTO = "auto"
    PAINTER = "painter"
    SDXL = "sdxl"


@dataclass(frozen=True)
class Painted:
    """One frame, done.

    Attributes:
        image: the map; with labels when they are burned in.
        sheet: the labels alone, when they are wanted apart.
    """

    image: MapImage
    sheet: MapImage | None = None


def choose_engine(style: Style, choice: EngineChoice) -> tuple[EngineSpec, str]:
    """Settle who paints, and say why."""
    if choice is EngineChoice.SDXL:
        raise EngineError("the sdxl engine is not in this version; leave out --engine, and the painter paints")
    why = "as asked" if choice is EngineChoice.PAINTER else "it needs no GPU and no download"
    return PainterSpec(style.painter), f"painter ({why})"


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
        """
        self.layers = layers
        self.style = style
        self.spec = spec
        self.seed = style.seed if seed is None else seed
        self._words = words
        self._edge = sheet_frame if edge_labels is EdgeLabels.DROP else None
        self._drawer = ControlDrawer(layers, style.levels)
        self._placer = None if words is Words.NONE else LabelPlacer(layers, style.labels, language)
        self._engine: Engine | None = None

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
        """Draw the controls that the engine and the ink look at, and ``more``."""
        needs = self.spec.needs | self.style.ink.needs | more
        labels = self.labels(frame.pad(ALIGN)) if "calm" in needs else []
        return self._drawer.scene(frame, needs, labels)

    def render(self, frame: Frame) -> Painted:
        """Render one frame in one pass; furniture is not part of it."""
        picture = np.empty((*frame.shape, 4), np.uint8)
        sheet = np.zeros_like(picture) if self._words is Words.SHEET else None
        for part, home in frame.world_pieces():
            # A place past the antimeridian is rendered from the address at which everybody else renders it.
            done = self._render_home(home)
            picture[part.slices(frame)] = done.image.rgba
            if sheet is not None and done.sheet is not None:
                sheet[part.slices(frame)] = done.sheet.rgba
        return Painted(MapImage(frame, picture), None if sheet is None else MapImage(frame, sheet))

    def blocks(self, frame: Frame, workers: int = 1, size: int = BLOCK) -> Iterator[Painted]:
        """Render a frame as blocks anchored to the grid, a few at a time, in reading order."""
        step = size * frame.grid.pixel_ratio
        pieces = list(frame.pieces(step, step))
        if workers <= 1:
            yield from map(self.render, pieces)
            return
        waiting: deque[Future[Painted]] = deque()
        with ThreadPoolExecutor(workers) as pool:
            try:
                for piece in pieces:
                    waiting.append(pool.submit(self.render, piece))
                    if len(waiting) > 2 * workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def base(self, frame: Frame) -> NDArray[np.uint8]:
        """Paint the ground as a diffusion model wants to start from: uint8[height, width, 3], no labels."""
        return self._paint(frame, base=True)[0]

    def _render_home(self, frame: Frame) -> Painted:
        labels = self.labels(frame) if self._words in (Words.BURN, Words.SHEET) else []
        margin = HALO_REACH if labels else 0
        around = frame.pad(margin)
        ground, scene = self._paint(around)
        rgba = np.dstack([ground, np.full(around.shape, 255, np.uint8)])
        image = MapImage(around, rgba)
        ink = draw_ink(scene, self.style.ink)
        if ink is not None:
            image = compose(image, [ink.crop(around)])
        words = draw_labels(labels, image, self.style.labels, frame) if labels else None
        image = image.crop(frame)
        if words is not None and self._words is Words.BURN:
            image = compose(image, [words])
        return Painted(image, words)

    def _paint(self, frame: Frame, base: bool = False) -> tuple[NDArray[np.uint8], Scene]:
        window = frame.pad(self.spec.reach).align(ALIGN)
        scene = self.scene(window)
        if self._engine is None:
            _settle_process()
            self._engine = self.spec.load()
        painted = self._engine.paint(scene, self.seed, base)
        return painted[frame.slices(window)], scene

    def identity(self, sources: str, options: Sequence[str] = ()) -> str:
        """Digest everything that decides the pixels of this run."""
        return fingerprint(sources, self.style.digest, self.spec.identity(), self.seed, list(options), self.layers.grid)


def _settle_process() -> None:
    """Set this process up for painting: speed only, never pixels."""
    cv2.setNumThreads(1)  # blocks run side by side; threads inside one only get in each other's way
    # A window's planes are a few MB each. By default the C library gives such memory back at once, and the
    # next plane pays for fresh pages: a tenth of all painting time (docs/log.md).
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 256 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)
    except (OSError, AttributeError):
        return  # another C library, which has its own ways


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(3)."""
