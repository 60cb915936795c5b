"""What is found when an output is verified: its faults, and which of its tiles are there."""

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mapstyle.exports.contents import MODULUS, Contents, tile_digest

Expected = Callable[[int, int, int], int | None]
"""Level, column, row from the north -> :func:`tile_digest` of the tile that should be there; None when none should."""

LISTED = 20
"""Faults that a verdict lists; the others it counts."""
MOST_PROMISED = 1 << 33
"""Tiles that are kept account of, a bit each."""
MAKE_AGAIN = "give the command that made it once more with --overwrite"
RETRY = "give the command that made it once more, with --retry-failed if its block failed"


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with an output.

    Attributes:
        where: the file, tile or part of it.
        what: what is wrong.
        cure: what to do.
    """

    where: str
    what: str
    cure: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.cure}"


@dataclass(frozen=True)
class Verdict:
    """What verifying an output has found.

    Attributes:
        path: the output.
        kind: ``folder``, ``mbtiles``, ``pmtiles`` or ``cog``.
        promised: tiles that its metadata promise.
        present: those of them that are there.
        faults: the first of what is wrong.
        count: how many faults there are; a missing tile is one.
    """

    path: Path
    kind: str
    promised: int
    present: int
    faults: tuple[Fault, ...]
    count: int

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.count


class Examination:
    """Looks at the tiles of one output, one after the other, and keeps account; memory is a bit a promised tile."""

    def __init__(self, expected: Expected | None = None) -> None:
        self.faults: list[Fault] = []
        self.count = 0
        self.present = 0
        self.promised = 0
        self._expected = expected
        self._contents: Contents | None = None
        self._total = 0
        self._last: tuple[bytes | None, str] = (None, "")

    def fault(self, where: str, what: str, cure: str = MAKE_AGAIN) -> None:
        """Note that something is wrong."""
        self.count += 1
        if len(self.faults) < LISTED:
            printable = (" ".join(text.split())[:300] for text in (where, what, cure))
            self.faults.append(Fault(*("".join(c if c.isprintable() else "?" for c in text) for text in printable)))

    def begin(self, contents: Contents, kind: str, side: int) -> bool:
        """Learn what is promised, and what tiles look like; False when it is too much to believe."""
        if contents.promised > MOST_PROMISED:
            self.fault("metadata", f"promise {contents.promised} tiles, more than any map has")
            return False
        self._contents, self._kind, self._side = contents, kind, side
        self.promised = contents.promised
        self._seen = {part.level: np.zeros(len(part) + 7 >> 3, np.uint8) for part in contents.parts}
        self._parts = {part.level: part for part in contents.parts}
        return True

    @property
    def longest(self) -> int:
        """Most bytes that an encoded tile may have: nothing we write is larger than its pixels are."""
        return self._side * self._side * 4 + (1 << 16)

    def mark(self, z: int, x: int, y: int) -> bool:
        """Note that a tile is there; False when it should not be, or not again."""
        part = self._parts.get(z)
        at = None if part is None else part.index(x, y)
        if at is None:
            self.fault(f"tile {z}/{x}/{y}", "is none of this pyramid's")
            return False
        bit = 1 << (at & 7)
        if self._seen[z][at >> 3] & bit:
            self.fault(f"tile {z}/{x}/{y}", "is there twice")
            return False
        self._seen[z][at >> 3] |= bit
        self.present += 1
        return True

    def tile(self, z: int, x: int, y: int, data: bytes) -> bool:
        """Look at one tile; False when it should not be there, or not again."""
        if not self.mark(z, x, y):
            return False
        digest = tile_digest(z, x, y, data)
        self._total = (self._total + digest) % MODULUS
        if data != self._last[0]:
            self._last = data, tile_fault(data, self._kind, self._side)
        name = f"tile {z}/{x}/{y}"
        if self._last[1]:
            self.fault(name, self._last[1])
        elif self._expected is not None:
            wanted = self._expected(z, x, y)
            if wanted is None:
                self.fault(name, "is there, but no finished block has it")
            elif wanted != digest:
                self.fault(name, "is another than the finished block's")
        return True

    def end(self, digests: bool = True) -> None:
        """Note what is missing, and whether the whole is what was written.

        Args:
            digests: whether tiles have been looked at as they were written, so that their digest can be compared.
        """
        contents = self._contents
        if contents is None:
            return
        whole = not digests or (self.present == contents.count and f"{self._total:032x}" == contents.digest)
        missing = self.promised - self.present
        if missing:
            listed = 0
            for tile in self._missing():
                listed += 1
                wanted = self._expected(*tile) if self._expected is not None else None
                if wanted is not None:
                    self.fault("tile {}/{}/{}".format(*tile), "is missing, though its block is finished")
                elif whole:
                    self.fault("tile {}/{}/{}".format(*tile), "was never made", RETRY)
                else:
                    self.fault("tile {}/{}/{}".format(*tile), "is missing")
            self.count += missing - listed
        if not whole:
            told = f"{contents.count} tiles with the digest {contents.digest}"
            self.fault("tiles", f"are not those that were written ({told}): {self.present} with {self._total:032x}")

    def verdict(self, path: Path, kind: str) -> Verdict:
        """Give what was found."""
        return Verdict(path, kind, self.promised, self.present, tuple(self.faults), self.count)

    def _missing(self) -> Iterator[tuple[int, int, int]]:
        """Give the first tiles that are missing, the lowest level first."""
        left = LISTED
        for level, part in self._parts.items():
            for start in range(0, len(self._seen[level]), 1 << 16):
                gaps = np.flatnonzero(np.unpackbits(~self._seen[level][start : start + (1 << 16)], bitorder="little"))
                for at in (gaps[: left + 8] + start * 8).tolist():
                    if at < len(part) and left:
                        left -= 1
                        row, column = divmod(at, part.columns)
                        yield level, (part.column + column) % (1 << level), part.row + row
                if not left:
                    return


def tile_fault(data: bytes, kind: str, side: int) -> str:
    """Say what is wrong with an encoded tile; empty when it is sound.

    Nothing is decoded that says it is larger than it should be.
    """
    size = _webp_size(data) if kind == "webp" else None
    if kind == "webp" and size is None:
        return "is no webp as it should be"
    try:
        if size in (None, (side, side)):
            with Image.open(io.BytesIO(data), formats=[kind.upper()]) as image:
                size = image.size
                if size == (side, side):
                    image.load()
                    return "" if image.mode in ("RGB", "P") else f"has other colours than it should ({image.mode})"
    except Exception as error:  # decoders raise what they like; any of it means that the tile is broken
        return f"cannot be read as {kind} ({type(error).__name__})"
    assert size is not None
    return f"is {size[0]} x {size[1]} px, not {side} x {side}"


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Read the size of a plain WebP: Pillow makes room for all its pixels before it tells."""
    if len(data) < 30 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    if data[12:16] == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if data[12:16] == b"VP8L":
        bits = struct.unpack("<I", data[21:25])[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None
