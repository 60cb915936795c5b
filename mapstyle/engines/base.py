"""What an engine is: a cheap spec that can be hashed, and the loaded thing that paints."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mapstyle.frame import Frame
from mapstyle.image import Scene
from mapstyle.making import Making


class View(Protocol):
    """All that an engine may know: what is on the ground, anywhere on one grid."""

    def scene(self, frame: Frame) -> Scene:
        """Draw the planes that the engine's spec needs over any frame."""

    def control(self, name: str, frame: Frame) -> NDArray[np.uint8]:
        """Draw a control image over any frame: uint8[height, width, 3], RGB."""


@dataclass(frozen=True)
class Watch:
    """Who looks on while an engine works.

    Attributes:
        say: takes a line for people.
        step: is told how many steps of work were done.
    """

    say: Callable[[str], None] = lambda line: None
    step: Callable[[int], None] = lambda count: None


class Engine(Protocol):
    """Something that paints ground; made by :meth:`EngineSpec.load`."""

    def paint(self, frame: Frame, view: View, seed: int) -> NDArray[np.uint8]:
        """Paint the ground of a frame.

        Two frames agree to the bit where they overlap: the engine looks around as far as it needs.

        Returns:
            uint8[height, width, 3], RGB, sRGB.
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

    @property
    def images(self) -> frozenset[str]:
        """Names of the control images, ``imagery`` among them, that it asks a view for."""

    @property
    def block(self) -> int:
        """Logical pixels on the side of what it is best asked for at once; 0 when any block will do."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Numbers of the CUDA devices that processes may share out among them; none when a CPU will do."""

    def identity(self) -> str:
        """Digest of everything about the engine that decides pixels."""

    def work(self, frame: Frame) -> int | None:
        """Count the steps of work (:meth:`Watch.step`) that a frame will cost; None when the engine counts none."""

    def overhead(self, frame: Frame) -> float:
        """Give the work of a frame over the least that any engine of this kind could do; 1 when none is counted."""

    def load(self, watch: Watch | None = None) -> Engine:
        """Make it ready to paint; here, and only here, weights are paid for."""


@runtime_checkable
class ModelEngine(Engine, Protocol):
    """An engine in which a model paints, and which can say how."""

    @property
    def evaluations(self) -> int:
        """How many windows times steps were evaluated so far."""

    def making(self, seed: int) -> Making:
        """Tell how its pictures are made."""
