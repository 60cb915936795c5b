"""What brushes and media are, and how far a row of them reaches."""

import math
from collections.abc import Iterable
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mapstyle.engines.painter.canvas import Canvas


def _colour(text: str) -> str:
    body = text.removeprefix("#")
    if len(body) != 6 or any(c not in "0123456789abcdefABCDEF" for c in body):
        raise ValueError("a colour is written as '#rrggbb'")
    return "#" + body.lower()


Colour = Annotated[str, AfterValidator(_colour)]
"""``#rrggbb``, sRGB."""
Share = Annotated[float, Field(ge=0.0, le=1.0)]


def rgb(colour: str) -> NDArray[np.float32]:
    """Give a colour as float32[3], 0..1, sRGB."""
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / np.float32(255)


class Brush(BaseModel):
    """One way of laying something down: a pure function of controls, ground noise and these settings.

    Subclasses name themselves with ``brush: Literal["name"] = "name"``, declare what they look at, and
    change the canvas's working planes in place. Every setting carries its range and a description.

    Attributes:
        needs: names of the control planes it looks at.
        reads: working planes it looks at away from the pixel it changes (a blur of ``height``, say).
        writes: working planes it changes.
        levels: the levels at which it is at work, first and last.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    needs: ClassVar[frozenset[str]] = frozenset()
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset()

    levels: tuple[float, float] = Field((0.0, 30.0), description="levels at which it is at work, first and last")

    @property
    def reach(self) -> int:
        """How many logical pixels away what it looks at may change what it writes."""
        return 0

    def paint(self, canvas: Canvas) -> None:
        """Change the canvas's planes."""
        raise NotImplementedError


class Medium(BaseModel):
    """What is painted on and with: prepares the working planes and turns them into a picture."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    needs: ClassVar[frozenset[str]] = frozenset()
    reads: ClassVar[frozenset[str]] = frozenset()
    """Working planes :meth:`finish` looks at away from the pixel."""
    planes: ClassVar[frozenset[str]] = frozenset()
    """Working planes :meth:`begin` makes."""

    @property
    def reach(self) -> int:
        """How far :meth:`finish` looks, logical pixels."""
        return 0

    def begin(self, canvas: Canvas) -> None:
        """Make the working planes."""
        raise NotImplementedError

    def finish(self, canvas: Canvas) -> NDArray[np.float32]:
        """Give float32[height, width, 3], sRGB, 0..1 (clipped by the caller)."""
        raise NotImplementedError


def total_reach(medium: Medium, brushes: Iterable[Brush]) -> int:
    """Add up reaches along the longest chain of brushes that look at each other's planes."""
    reach = dict.fromkeys(medium.planes, 0)
    for brush in brushes:
        seen = max((reach.get(p, 0) for p in brush.reads), default=0)
        for plane in brush.writes:
            reach[plane] = max(reach.get(plane, 0), seen + brush.reach)
    looked = max((reach[p] for p in medium.reads), default=0)
    return max(max(reach.values(), default=0), looked + medium.reach)


def blur_reach(sigma: float) -> int:
    """Give the reach of :func:`mapstyle.engines.painter.masks.blur`, logical pixels."""
    return math.ceil(3 * sigma)
