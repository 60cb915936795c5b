"""What an output says it holds: how many tiles, which, and a digest of them that does not hang on their order."""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mapstyle.fingerprint import fingerprint

CONTENTS = "mapstyle_tiles"
"""Key under which an output says so, beside ``mapstyle``, which says how its tiles were made."""
MODULUS = 1 << 128
"""Digests of tiles are added up modulo this."""
MOST_PARTS = 32
"""Rectangles that are believed in; there is one a level."""


@dataclass(frozen=True, order=True)
class Part:
    """A rectangle of tiles of one level that was asked for.

    Attributes:
        level: their level.
        column: the first, within the world.
        row: the first, from the north.
        columns: how many; those beyond the world's right edge go on at its left.
        rows: how many.
    """

    level: int
    column: int
    row: int
    columns: int
    rows: int

    def __len__(self) -> int:
        return self.columns * self.rows

    def tiles(self) -> Iterator[tuple[int, int]]:
        """Give column and row of each tile, row by row."""
        for row in range(self.row, self.row + self.rows):
            for column in range(self.column, self.column + self.columns):
                yield column % (1 << self.level), row

    def index(self, column: int, row: int) -> int | None:
        """Tell where in :meth:`tiles` a tile comes; None when it is not of this part."""
        across, down = (column - self.column) % (1 << self.level), row - self.row
        inside = 0 <= column < 1 << self.level and across < self.columns and 0 <= down < self.rows
        return down * self.columns + across if inside else None


@dataclass(frozen=True)
class Contents:
    """What an output says it holds.

    Attributes:
        parts: the tiles that were asked for, one rectangle a level, the lowest level first.
        count: tiles that are there; fewer than asked for when blocks have failed.
        digest: sum of :func:`tile_digest` of them, modulo 2^128, 32 hex digits.
        about: digest of the above and of all else that the output's metadata say, 32 hex digits.
    """

    parts: tuple[Part, ...]
    count: int
    digest: str
    about: str = ""

    @property
    def promised(self) -> int:
        """How many tiles were asked for."""
        return sum(map(len, self.parts))

    def sealed(self, words: Mapping[str, Any]) -> "Contents":
        """Give the same with a digest over itself and ``words``, the other metadata, as they come back from JSON.

        ``tiles`` is left out: whoever publishes a folder writes its address there.
        """
        said = {key: value for key, value in words.items() if key not in (CONTENTS, "tiles")}
        about = fingerprint(said, list(self.parts), self.count, self.digest)
        return Contents(self.parts, self.count, self.digest, about)

    def as_json(self) -> str:
        """Give one line of JSON; metadata hold it as text, so that it outlives a change from one format to another."""
        parts = [[p.level, p.column, p.row, p.columns, p.rows] for p in self.parts]
        return json.dumps({"count": self.count, "digest": self.digest, "levels": parts, "about": self.about})

    @classmethod
    def from_json(cls, text: object) -> "Contents | None":
        """Read what :meth:`as_json` wrote; None when it is anything else."""
        try:
            told = json.loads(text) if isinstance(text, str) else None
        except (ValueError, RecursionError):
            return None
        if not isinstance(told, dict):
            return None
        count, digest, about, levels = (told.get(key) for key in ("count", "digest", "about", "levels"))
        if not isinstance(count, int) or not isinstance(digest, str) or not isinstance(about, str):
            return None
        if not (_whole(count) and _is_digest(digest) and _is_digest(about)):
            return None
        if not isinstance(levels, list) or not 0 < len(levels) <= MOST_PARTS:
            return None
        if not all(isinstance(p, list) and len(p) == 5 and all(map(_whole, p)) for p in levels):
            return None
        parts = tuple(Part(*p) for p in levels)
        known = all(
            p.level <= 24 and p.column < 1 << p.level and 0 < p.columns <= 1 << p.level and p.rows > 0
            and p.row + p.rows <= 1 << p.level
            for p in parts
        )  # fmt: skip
        if not known or [p.level for p in parts] != sorted({p.level for p in parts}):
            return None
        return cls(parts, count, digest, about)


def tile_digest(z: int, x: int, y: int, data: bytes) -> int:
    """Digest a tile with its address, ``y`` from the north: blake2b of z (1 byte), x, y (4 bytes each) and bytes."""
    head = struct.pack(">BII", z, x, y)
    return int.from_bytes(hashlib.blake2b(head + data, digest_size=16).digest(), "big")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _is_digest(value: str) -> bool:
    return len(value) == 32 and all(c in "0123456789abcdef" for c in value)
