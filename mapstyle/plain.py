"""Plain ground: where nothing is for a long way, such as the open sea, one picture repeats and nobody paints."""

import contextlib
import os
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from mapstyle.fingerprint import fingerprint
from mapstyle.frame import Frame, Grid
from mapstyle.image import PLANES, Scene
from mapstyle.layers import LayerKind, LayerStack, VectorLayer

SQUARE = 1024
"""Logical pixels on the side of the world-anchored squares that are plain or not, and after which plain ground
repeats: a tile of 256 or 512 of it then has the same pixels in all of a level."""
RAMP = 384
"""Logical pixels over which plain ground takes over from painted ground."""
OVERLAP = 128
"""Logical pixels over which the two ends of the repeated picture are worked into one another."""
SMALLEST = 4 * SQUARE
"""Worlds that are narrower have no plain ground: a square's neighbours must be eight others."""
MANY = 32
"""A square near so many areas is taken for not plain without being drawn."""
VERSION = 1
"""Raised when plain ground comes to be made in another way."""
_RIM = 256
"""Logical pixels around the picture from which brushes may still take something."""
_KEPT = 100_000
"""Squares whose kind is remembered."""

Kind = tuple[tuple[str, float], ...]
"""What plain ground is of: the planes that are the same everywhere in it, and their values."""
Share = NDArray[np.uint16]
"""uint16[height, width], how much of a pixel is plain ground, 0 to 256."""


Paint = Callable[[Frame], NDArray[np.uint8]]
"""Paints a frame: uint8[height, width, 3]."""


class Plain:
    """Knows where a grid's ground is plain: a rule of the ground, never of the frame that is asked for.

    A square is *uniform* when every plane that anybody looks at is the same all over it. One whose eight neighbours
    are uniform in the same way is plain to its edges. One with other neighbours fades from painted to plain
    ground away from them, so that nothing shows where painting stops.
    """

    def __init__(
        self,
        grid: Grid,
        read: Callable[[Frame], LayerStack],
        shows: Callable[[LayerKind], bool],
        scene: Callable[[Frame], Scene],
        picture: Callable[[Scene], NDArray[np.uint8]],
        kept: tuple[Path | None, str] = (None, ""),
    ) -> None:
        """Make ready.

        Args:
            grid: whose ground.
            read: gives the features whose bounding boxes touch a frame.
            shows: tells whether a kind is drawn on this grid at all.
            scene: draws the planes that anybody looks at.
            picture: paints the ground of a scene, as far as the scene goes.
            kept: folder in which finished plain ground is kept, and the digest of all that decides it.
        """
        self._grid, self._read, self._shows, self._scene, self._paint = grid, read, shows, scene, picture
        self._folder, self._told = kept
        self._kinds: OrderedDict[tuple[int, int], Kind | None] = OrderedDict()
        self._lock, self._painting = Lock(), Lock()
        self._none = bool(grid.turn) and grid.turn < SMALLEST
        self._picture = lru_cache(maxsize=4)(self._make)

    def over(self, frame: Frame, paint: Paint) -> NDArray[np.uint8]:
        """Paint a frame, or give plain ground where there is such; what is plain alone is not painted.

        Args:
            frame: in the home world.
            paint: paints any part of it.
        """
        shares = [(piece, self.share(piece)) for piece in squares(frame)]
        to_paint = [piece for piece, found in shares if found is None or int(found[1].min()) < 256]
        if len(to_paint) == len(shares) and all(found is None for _, found in shares):
            return paint(frame)
        out = np.empty((*frame.shape, 3), np.uint8)
        if to_paint:
            around = _hull(to_paint)
            out[around.slices(frame)] = paint(around)
        for piece, found in shares:
            if found is not None:
                here = piece.slices(frame)
                with self._painting:
                    picture = self._picture(found[0], piece.grid.pixel_ratio)
                out[here] = mix(out[here], repeat(picture, piece), found[1])
        return out

    def share(self, frame: Frame) -> tuple[Kind, Share] | None:
        """Tell how much of each pixel is plain ground, and of what kind; None where there is no plain ground.

        Args:
            frame: in the home world and in one square: see :func:`squares`.
        """
        kind, ramps = self._ramps(frame)
        if kind is None or not ramps:
            return None if kind is None else (kind, np.full(frame.shape, 256, np.uint16))
        ratio = frame.grid.pixel_ratio
        left, top = (frame.column // ratio) // SQUARE * SQUARE, (frame.row // ratio) // SQUARE * SQUARE
        x = (np.arange(frame.column, frame.end_column) + 0.5) / ratio - left
        y = (np.arange(frame.row, frame.end_row) + 0.5) / ratio - top
        away = np.full(frame.shape, float(SQUARE))
        for dx, dy in ramps:
            across = np.zeros_like(x) if dx == 0 else (x if dx < 0 else SQUARE - x)
            down = np.zeros_like(y) if dy == 0 else (y if dy < 0 else SQUARE - y)
            np.minimum(away, np.hypot(across[None, :], down[:, None]), out=away)
        t = np.clip(away / RAMP, 0.0, 1.0)
        share = np.rint(256 * t * t * (3 - 2 * t)).astype(np.uint16)
        return (kind, share) if share.any() else None

    def whole(self, frame: Frame) -> Kind | None:
        """Give the kind of a frame that is plain ground to its edges and of one kind; None for any other."""
        found: set[Kind | None] = set()
        for piece in squares(frame):
            kind, ramps = self._ramps(piece)
            found.add(None if ramps else kind)
            if None in found or len(found) > 1:
                return None
        return found.pop()

    def pattern(self, frame: Frame) -> Sequence[object]:
        """Give all that decides how much of a frame is plain ground, to be digested."""
        return [self._ramps(piece) for piece in squares(frame)]

    def _ramps(self, piece: Frame) -> tuple[Kind | None, list[tuple[int, int]]]:
        """Give the kind of the square that a piece lies in, and on which sides it fades to painted ground."""
        if self._none:
            return None, []
        side = SQUARE * piece.grid.pixel_ratio
        column, row = piece.column // side, piece.row // side
        kind = self._kind(column, row)
        if kind is None:
            return None, []
        around = [(dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dx or dy]
        return kind, [(dx, dy) for dx, dy in around if self._kind(column + dx, row + dy) != kind]

    def _kind(self, column: int, row: int) -> Kind | None:
        if self._grid.turn:
            column %= self._grid.turn // SQUARE
        with self._lock:
            if (column, row) in self._kinds:
                return self._kinds[column, row]
        kind = self._look(column, row)
        with self._lock:
            self._kinds[column, row] = kind
            while len(self._kinds) > _KEPT:
                self._kinds.popitem(last=False)
        return kind

    def _look(self, column: int, row: int) -> Kind | None:
        grid = self._grid.at_ratio(1)
        square = Frame(grid, column * SQUARE, row * SQUARE, SQUARE, SQUARE)
        stack = self._read(square)
        areas, lines, points = (
            [layer for kind, layer in kinds.items() if self._shows(kind)]
            for kinds in (stack.areas, stack.lines, stack.points)
        )
        # A line or a point in it is never the same all over a square, and so many areas cannot all cover it.
        if any(map(len, points)) or any(_near(layer, square) for layer in lines) or sum(map(len, areas)) > MANY:
            return None
        values = []
        for name, plane in sorted(self._scene(square).planes.items()):
            low = plane.min()
            if low != plane.max():
                return None
            values.append((name, float(low)))
        return tuple(values)

    def _make(self, kind: Kind, ratio: int) -> NDArray[np.uint8]:
        """Paint the endless picture of a kind, always at the same place of the grid, or take the one that is kept."""
        grid = self._grid.at_ratio(1).at_ratio(ratio)
        name = fingerprint("plain", VERSION, self._told, grid, [list(pair) for pair in kind])
        file = None if self._folder is None else self._folder / f"{name}.npy"
        if (found := _load(file, SQUARE * ratio)) is not None:
            return found
        side = (SQUARE + OVERLAP + 2 * _RIM) * ratio
        frame = Frame(grid, -_RIM * ratio, -_RIM * ratio, side, side)
        planes = {plane: np.full(frame.shape, value, PLANES[plane].dtype) for plane, value in kind}
        rim = slice(_RIM * ratio, side - _RIM * ratio)
        made = endless(self._paint(Scene(frame, planes))[rim, rim], ratio)
        _save(file, made)
        return made


def _near(layer: VectorLayer, square: Frame) -> bool:
    """Tell whether a piece of a line comes near a square: the box of a country's border holds the country."""
    left, top, right, bottom = square.logical_box
    low, high = np.minimum(layer.coords[:-1], layer.coords[1:]), np.maximum(layer.coords[:-1], layer.coords[1:])
    near = np.column_stack([low <= (right, bottom), high >= (left, top)])
    met: NDArray[np.bool_] = np.asarray(near.all(axis=1))
    met[layer.rings[1:-1] - 1] = False  # from the end of one line to the start of the next there is nothing
    return bool(met.any())


def squares(frame: Frame) -> list[Frame]:
    """Cut a frame at the squares that are plain or not."""
    side = SQUARE * frame.grid.pixel_ratio
    return list(frame.pieces(side, side))


def endless(painted: NDArray[np.uint8], ratio: int) -> NDArray[np.uint8]:
    """Make a picture that repeats without a seam from one a little larger.

    What lies beyond its right and lower ends is worked into its beginnings. Two textures that do not know
    each other lose contrast where they are mixed; dividing by the root of the squared weights gives it back (Heitz and
    Neyret 2018, "High-Performance By-Example Noise using a Histogram-Preserving Blending Operator", eq. 3).

    Args:
        painted: uint8[SQUARE + OVERLAP, SQUARE + OVERLAP, 3] times the pixel ratio.
        ratio: real pixels on the side of a logical one.

    Returns:
        uint8[SQUARE, SQUARE, 3] times the pixel ratio.
    """
    side, lap = SQUARE * ratio, OVERLAP * ratio
    picture = painted.astype(np.float32)
    mean = picture.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    t = (np.arange(lap, dtype=np.float32) + 0.5) / lap
    inner = t * t * (3 - 2 * t)
    for axis in (1, 0):
        turned = np.moveaxis(picture, axis, 0)
        weight = inner[:, None, None]
        mixed = (turned[:lap] - mean) * weight + (turned[side : side + lap] - mean) * (1 - weight)
        mixed = mean + mixed / np.sqrt(weight**2 + (1 - weight) ** 2)
        picture = np.moveaxis(np.concatenate([mixed, turned[lap:side]]), 0, axis)
    return np.ascontiguousarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8))


def repeat(picture: NDArray[np.uint8], frame: Frame) -> NDArray[np.uint8]:
    """Give an endless picture over a frame: uint8[height, width, 3]."""
    side = SQUARE * frame.grid.pixel_ratio
    rows = np.arange(frame.row, frame.end_row) % side
    columns = np.arange(frame.column, frame.end_column) % side
    return picture[rows[:, None], columns[None, :]]


def mix(painted: NDArray[np.uint8], plain: NDArray[np.uint8], share: Share) -> NDArray[np.uint8]:
    """Mix painted and plain ground, in whole numbers and pixel by pixel: the same in any crop."""
    part = share[..., None].astype(np.uint32)
    return ((painted * (256 - part) + plain * part + 128) >> 8).astype(np.uint8)


def _hull(pieces: Sequence[Frame]) -> Frame:
    """Give the smallest frame that holds all pieces."""
    column, row = min(p.column for p in pieces), min(p.row for p in pieces)
    width, height = max(p.end_column for p in pieces) - column, max(p.end_row for p in pieces) - row
    return Frame(pieces[0].grid, column, row, width, height)


def _load(file: Path | None, side: int) -> NDArray[np.uint8] | None:
    try:
        found = None if file is None else np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found is not None and found.shape == (side, side, 3) and found.dtype == np.uint8 else None


def _save(file: Path | None, picture: NDArray[np.uint8]) -> None:
    """Keep a picture, beside its name first; without room it is painted again the next time."""
    if file is None:
        return
    beside = file.with_name(f".{secrets.token_hex(8)}.npy")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(beside, picture, allow_pickle=False)
        os.replace(beside, file)
    with contextlib.suppress(OSError):
        beside.unlink(missing_ok=True)
