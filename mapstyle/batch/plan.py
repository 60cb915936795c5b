"""The plan of a tile job: which tiles there are, in which blocks they are made, and in which order."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstyle.errors import JobError
from mapstyle.frame import TILE, Frame, Grid, cover_tiles

SIDE = 1024
"""Logical pixels on the side of a block, unless the engine likes larger ones: 4 x 4 tiles of 256."""
EACH = 3
"""Of levels that are shrunk from one another, the highest of so many is painted."""
MARGIN = 8
"""Logical pixels of art around a block of the lowest shrunk level, at which halos look; twice as many a level up."""
MAX_LEVEL = 22
"""Highest level of tiles; addresses stay far below 2^31 pixels there."""

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class TileGrid:
    """How tiles lie on the web's grids.

    Attributes:
        size: logical pixels on the side of a tile: 256, or 512 with the resolution of the next level.
        pixel_ratio: real pixels on the side of a logical pixel.
        side: logical pixels on the side of a block, a multiple of ``size``.
    """

    size: int = TILE
    pixel_ratio: int = 1
    side: int = SIDE

    def __post_init__(self) -> None:
        assert self.size in (256, 512), "tiles are 256 or 512 logical pixels wide"
        assert self.side % self.size == 0, "blocks hold whole tiles"

    @property
    def across(self) -> int:
        """Tiles on the side of a block."""
        return self.side // self.size

    def grid(self, level: int) -> Grid:
        """Give the grid on which a level's tiles lie."""
        return Grid.web_mercator(level + (self.size // TILE).bit_length() - 1, self.pixel_ratio)

    def tile(self, level: int, column: int, row: int) -> Frame:
        """Give a tile's frame."""
        return Frame.tile(level, column, row, self.size, self.pixel_ratio)


@dataclass(frozen=True, order=True)
class Tiles:
    """A rectangle of tiles of one level; both ends are exclusive, and columns may pass the antimeridian.

    Attributes:
        level: their level.
        columns: first column and the one after the last; the last may exceed the world's.
        rows: first row and the one after the last.
    """

    level: int
    columns: tuple[int, int]
    rows: tuple[int, int]

    def __len__(self) -> int:
        return (self.columns[1] - self.columns[0]) * (self.rows[1] - self.rows[0])


@dataclass(frozen=True, order=True)
class Block:
    """A square of tiles fixed to the world, which is one unit of work; only those of the job are wanted.

    Attributes:
        level: of its tiles.
        column: in blocks, from the world's left.
        row: in blocks, from the top.
    """

    level: int
    column: int
    row: int

    def tiles(self, grid: TileGrid) -> Tiles:
        """Give all tiles of this block that the world has."""
        n = grid.across
        world = 1 << self.level
        columns = (self.column * n, min((self.column + 1) * n, world))
        return Tiles(self.level, columns, (self.row * n, min((self.row + 1) * n, world)))

    def frame(self, grid: TileGrid) -> Frame:
        """Give the frame that its tiles fill."""
        tiles = self.tiles(grid)
        real = grid.size * grid.pixel_ratio
        width, height = tiles.columns[1] - tiles.columns[0], tiles.rows[1] - tiles.rows[0]
        return Frame(grid.grid(self.level), tiles.columns[0] * real, tiles.rows[0] * real, width * real, height * real)


@dataclass(frozen=True)
class Plan:
    """All tiles of a job, level by level.

    Attributes:
        grid: how tiles lie.
        parts: the rectangle of tiles of each level that are asked for, the lowest level first.
        made: the rectangle of tiles of each level that are made; more than are asked for where a lower level is
            shrunk from them.
        depth: how many levels below each level are shrunk from it, one from the other; 0 where none is.
        shrunk: levels that are not painted but shrunk from the level above them.
    """

    grid: TileGrid
    parts: tuple[Tiles, ...]
    made: tuple[Tiles, ...]
    depth: tuple[int, ...]
    shrunk: frozenset[int] = frozenset()

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        return sum(len(part) for part in self.parts)

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return sum(len(columns) * len(rows) for columns, rows in map(self._blocks, self.made))

    def phases(self) -> list[list[int]]:
        """Group the levels: first all that are painted, then the shrunk ones, each after the one it is made of.

        High levels take longest, so they begin.
        """
        levels = [part.level for part in reversed(self.made)]
        painted = [level for level in levels if level not in self.shrunk]
        return [painted, *([level] for level in levels if level in self.shrunk)]

    def blocks(self) -> Iterator[Block]:
        """Give all blocks, phase by phase."""
        for phase in self.phases():
            for level in phase:
                yield from self.of_level(level)

    def of_level(self, level: int) -> Iterator[Block]:
        """Give the blocks of a level along a Hilbert curve.

        Neighbours on the curve are neighbours on the ground: what one worker has drawn and read serves the next
        block too.
        """
        columns, rows = self._blocks(self.made[self._at(level)])
        return (Block(level, int(c), int(r)) for c, r in hilbert_order(columns, rows))

    def wanted(self, block: Block) -> list[tuple[int, int]]:
        """Give the tiles (column, row) of a block that the job asks for, row by row."""
        return self._within(block, self.parts[self._at(block.level)])

    def region(self, block: Block) -> Frame:
        """Give the part of a block that is made: all of it, but where it is shrunk only what there is art for."""
        if block.level not in self.shrunk:
            return block.frame(self.grid)
        tiles = self._within(block, self.made[self._at(block.level)])
        (left, top), (right, bottom) = (
            (pick(c for c, _ in tiles), pick(r for _, r in tiles)) for pick in (min, max)
        )  # fmt: skip
        real = self.grid.size * self.grid.pixel_ratio
        grid = self.grid.grid(block.level)
        return Frame(grid, left * real, top * real, (right + 1 - left) * real, (bottom + 1 - top) * real)

    def sources(self, block: Block) -> list[Block]:
        """Give the blocks of the level above that a shrunk block is made of."""
        if block.level not in self.shrunk:
            return []
        there = self._within(block, self.made[self._at(block.level)])
        n = self.grid.across
        found = {(c * 2 // n, r * 2 // n) for c, r in there} | {((c * 2 + 1) // n, (r * 2 + 1) // n) for c, r in there}
        columns, rows = sorted({c for c, _ in found}), sorted({r for _, r in found})
        return [Block(block.level + 1, column, row) for row in rows for column in columns]

    def margin(self, level: int) -> int:
        """Give the logical pixels of art around a block that it, and those shrunk from it, are lettered with."""
        depth = self.depth[self._at(level)]
        return MARGIN << depth if depth or level in self.shrunk else 0

    def way(self, level: int) -> tuple[int, int]:
        """Tell how a level is made: how often a painted one is halved for it, and how many are made from it in turn."""
        halvings = 0
        while level + halvings in self.shrunk:
            halvings += 1
        return halvings, self.depth[self._at(level)]

    def keeps_art(self, level: int) -> bool:
        """Tell whether another level is shrunk from this one."""
        return self.depth[self._at(level)] > 0

    def _at(self, level: int) -> int:
        return level - self.parts[0].level

    def _within(self, block: Block, part: Tiles) -> list[tuple[int, int]]:
        own = block.tiles(self.grid)
        world = 1 << block.level
        return [
            (column, row)
            for row in range(max(own.rows[0], part.rows[0]), min(own.rows[1], part.rows[1]))
            for column in range(*own.columns)
            if (column - part.columns[0]) % world < part.columns[1] - part.columns[0]
        ]

    def _blocks(self, part: Tiles) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the columns and the rows of the blocks that hold a part's tiles."""
        n, world = self.grid.across, 1 << part.level
        columns = np.unique(np.arange(*part.columns) % world // n)
        return columns, np.unique(np.arange(*part.rows) // n)


def plan(bounds: Bounds, levels: range, grid: TileGrid, shrink: bool = False) -> Plan:
    """Cover a box with tiles.

    With ``shrink``, the highest level is painted and every third below it, and the two between are shrunk. So far a
    picture may be shrunk and still be a map of its level; and a tile two levels down is just one block of the
    usual size, so that hardly anything has to be painted that nobody asked for.

    Args:
        bounds: west, south, east, north in degrees; east may exceed 180.
        levels: lowest to highest.
        grid: how tiles lie.
        shrink: whether lower levels are shrunk from higher ones.

    Raises:
        JobError: levels that there are none of.
    """
    if len(levels) == 0 or levels[0] < 0 or levels[-1] > MAX_LEVEL:
        raise JobError(f"levels go from 0 to {MAX_LEVEL}, the lower one first, as in --zoom 8-15")
    parts = tuple(_cover(bounds, level) for level in levels)
    shrunk = frozenset(level for level in levels if shrink and (levels[-1] - level) % EACH)
    made = [parts[0]]
    for part in parts[1:]:
        below = made[-1]
        if below.level not in shrunk:
            made.append(part)
            continue
        made[-1] = below = _unbroken(below, grid.across)
        made.append(Tiles(part.level, _twice(below.columns), _twice(below.rows)))
    return Plan(grid, parts, tuple(made), _depths(levels, shrunk), shrunk)


def _depths(levels: range, shrunk: frozenset[int]) -> tuple[int, ...]:
    """Count for each level how many right below it are shrunk."""
    depths: list[int] = []
    for level in levels:
        depths.append(depths[-1] + 1 if depths and level - 1 in shrunk else 0)
    return tuple(depths)


def _unbroken(tiles: Tiles, across: int) -> Tiles:
    """Take all columns where otherwise a block would have some on its left, some on its right and none between."""
    world, wide = 1 << tiles.level, tiles.columns[1] - tiles.columns[0]
    broken = tiles.columns[1] > world and wide + across > world
    return Tiles(tiles.level, (0, world), tiles.rows) if broken else tiles


def _twice(ends: tuple[int, int]) -> tuple[int, int]:
    return 2 * ends[0], 2 * ends[1]


def side_for(field: int, pixel_ratio: int) -> int:
    """Give the side of blocks, logical pixels, for an engine that paints fields of so many; 0 when any will do.

    Two fields by two, so that one is inked, lettered and encoded while the next is painted; fewer where pixels are
    finer, since a block's art is kept as one picture, and a WebP holds 16383 pixels a side.
    """
    return -(-max(2 * field // pixel_ratio, SIDE) // SIDE) * SIDE


def hilbert_order(columns: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give all pairs of columns and rows in the order of the Hilbert curve through the world.

    Returns:
        int64[n, 2], column and row.
    """
    c, r = (a.ravel() for a in np.meshgrid(columns, rows))
    side = 1 << max(1, int(max(c.max(), r.max())).bit_length())
    # Hilbert's index by the loop over bits of Warren, Hacker's Delight (2013), 16-3, on whole arrays.
    x, y = c.copy(), r.copy()
    index = np.zeros_like(x)
    s = side // 2
    while s:
        right, below = (x & s) > 0, (y & s) > 0
        index += s * s * ((3 * right) ^ below)
        flip = ~below & right
        x, y = np.where(flip, side - 1 - x, x), np.where(flip, side - 1 - y, y)
        x, y = np.where(below, x, y), np.where(below, y, x)
        s //= 2
    order = np.argsort(index, kind="stable")
    return np.column_stack([c[order], r[order]])


def _cover(bounds: Bounds, level: int) -> Tiles:
    column, row, columns, rows = cover_tiles(bounds, level)
    return Tiles(level, (column, column + columns), (row, row + rows))
