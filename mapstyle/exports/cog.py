"""Write a pyramid as one Cloud Optimized GeoTIFF: the highest level, with the lower levels' own tiles as overviews."""

import contextlib
import errno
import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mapstyle.errors import OutputError
from mapstyle.exports.cog_end import check_end
from mapstyle.exports.contents import CONTENTS, Part
from mapstyle.exports.parameters import clean
from mapstyle.exports.picture import place
from mapstyle.exports.spool import Tally, telling
from mapstyle.exports.tilejson import Held, Tileset, contents
from mapstyle.frame import Frame

MOST = 20_000_000_000
"""Most pixels of the highest level; on disk there are four bytes for each while the file is made."""
SMALLEST = 512
"""Overviews go on until both sides are at most so many pixels."""
IMAGES = "MAPSTYLE_IMAGES"
"""Name of the metadata that say how large tiles were, and how many images, from the largest, are levels' own."""
MARK = b'<Item name="MAPSTYLE_DIGEST">'
"""What comes, within the file, before the digest of the file itself."""
_CACHE = 64  # MB of blocks that GDAL may hold
_UNKNOWN = "0" * 32
_BLOCK = 256


def own_frames(part: Part, size: int, pixel_ratio: int, minzoom: int) -> list[Frame]:
    """Give the frame of the highest level's tiles, and its place on the levels below whose tiles fit it exactly.

    Args:
        part: tiles of the highest level.
        size: logical pixels on the side of a tile.
        pixel_ratio: real pixels on the side of a logical one.
        minzoom: lowest level.
    """
    first = Frame.tile(part.level, part.column, part.row, size, pixel_ratio)
    frames = [replace(first, width=part.columns * first.width, height=part.rows * first.height)]
    for level in range(part.level - 1, minzoom - 1, -1):
        box = (frames[-1].column, frames[-1].row, frames[-1].width, frames[-1].height)
        if max(box[2:]) <= SMALLEST or any(value % 2 for value in box):
            break
        frames.append(Frame(Frame.tile(level, 0, 0, size, pixel_ratio).grid, *(value // 2 for value in box)))
    return frames


def check_size(path: Path, tileset: Tileset) -> None:
    """Refuse a picture that is too large.

    Raises:
        OutputError: it has more than :data:`MOST` pixels.
    """
    frame = _frames(tileset)[0]
    if frame.width * frame.height > MOST:
        raise OutputError(
            f"{path}: level {tileset.maxzoom} has {frame.width} x {frame.height} px, too many for one {path.suffix} "
            f"(at most {MOST // 1_000_000} million); write .pmtiles or .mbtiles, or ask for a lower --zoom"
        )


class Cog:
    """One Cloud Optimized GeoTIFF in EPSG:3857.

    Each level goes into a raw file of its own as its tiles come; in the end GDAL makes one file of them. Peak disk is
    four bytes a pixel and the result; memory is some 64 MB of GDAL's and a byte a tile, whatever the extent. A picture
    that crosses the antimeridian goes on beyond the world's edge, in one piece. Lossless tiles come back pixel for
    pixel; JPEG and WebP tiles are encoded a second time, at their own quality. What never came is masked.
    """

    def __init__(self, path: Path, tileset: Tileset, work: Path) -> None:
        self._path, self._tileset = path, tileset
        self._frames = _frames(tileset)
        self._ready = work / "ready"
        # GDAL takes a file that adds .ovr to another's name for its overviews, and so on.
        self._files = [work / ("level.tif" + ".ovr" * k) for k in range(len(self._frames))]
        self._seen = [np.zeros(tiles_over(frame, tileset.side)[2:], bool) for frame in self._frames]
        self._open: list[Any] = []
        with telling(path), gdal():
            self._ready.mkdir()
            self._tally = Tally(work)
            for file, frame in zip(self._files, self._frames, strict=True):
                self._open.append(_raw(file, frame))

    def write(self, z: int, x: int, y: int, data: bytes) -> None:
        """Take one tile."""
        k = self._tileset.maxzoom - z
        with telling(self._path), gdal():
            self._tally.add(z, x, y, data)
            if not 0 <= k < len(self._frames):
                return
            rgb = self._decode(f"{z}/{x}/{y}", data)
            for part, tile in self._places(k, x, y):
                rows, columns = part.slices(tile)
                self._open[k].write(np.moveaxis(rgb[rows, columns], 2, 0), window=_window(part, self._frames[k]))
                left, top, *_ = tiles_over(self._frames[k], self._tileset.side)
                self._seen[k][tile.row // tile.height - top, tile.column // tile.width - left] = True

    def finish(self) -> None:
        """Make one file of all levels and put it in place."""
        held = self._tally.held()
        if not self._seen[0].any():
            raise OutputError(f"{self._path}: there are no tiles of level {self._tileset.maxzoom}; ask for a larger "
                              "extent, or --retry-failed")  # fmt: skip
        own = next((k for k, seen in enumerate(self._seen) if not seen.any()), len(self._seen))
        with telling(self._path):
            with gdal():
                if not all(seen.all() for seen in self._seen[:own]):
                    self._mask(own)
                self._open[0].update_tags(**self._words(held, own))  # while it is open: here a full disk is noticed
                self.close()
                for file in self._files[own:]:
                    file.unlink()
                self._shrink(self._files[own - 1], self._frames[own - 1])
                self._check_written(own)
                self._copy(self._ready / self._path.name)
                check_end(self._ready / self._path.name)
            _seal(self._ready / self._path.name)
            place(self._ready, self._path)

    def close(self) -> None:
        """Let go of the files."""
        for dataset in self._open:
            with contextlib.suppress(OSError):  # trouble has been told already
                dataset.close()
        self._open.clear()
        self._tally.close()

    def _decode(self, name: str, data: bytes) -> NDArray[np.uint8]:
        side = self._tileset.side
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.size == (side, side):
                    return np.asarray(image.convert("RGB"))
                why = f"is {image.width} x {image.height} px, not {side} x {side}"
        except (OSError, ValueError, SyntaxError) as error:
            why = f"cannot be read ({error})"
        raise OutputError(f"{self._path}: tile {name} {why}; delete the store of finished blocks and begin anew")

    def _places(self, k: int, x: int, y: int) -> Iterator[tuple[Frame, Frame]]:
        """Give where in a level's frame a tile lies: (visible part, whole tile), twice where the frame goes round."""
        frame, side = self._frames[k], self._tileset.side
        world = side << self._tileset.maxzoom - k
        for turn in range(frame.column // world, (frame.end_column - 1) // world + 1):
            tile = Frame(frame.grid, x * side + turn * world, y * side, side, side)
            part = frame.intersection(tile)
            if part is not None:
                yield part, tile

    def _mask(self, own: int) -> None:
        """Say of every level which pixels there are."""
        side = self._tileset.side
        for frame, seen, dataset in zip(self._frames[:own], self._seen, self._open, strict=False):
            left, top, *_ = tiles_over(frame, side)
            for row, column in np.argwhere(seen).tolist():
                part = frame.intersection(Frame(frame.grid, (left + column) * side, (top + row) * side, side, side))
                assert part is not None, "only tiles that lie in the frame have been seen"
                dataset.write_mask(np.full(part.shape, 255, np.uint8), window=_window(part, frame))

    def _check_written(self, own: int) -> None:
        """Make sure that GDAL has written every block: when it closes a file on a full disk, it does not say so."""
        for frame, file in zip(self._frames[:own], self._files, strict=False):
            blocks = -(-frame.width // _BLOCK) * -(-frame.height // _BLOCK)
            if file.stat().st_size < blocks * _BLOCK * _BLOCK * 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _words(self, held: Held, own: int) -> dict[str, str]:
        tileset = self._tileset
        words = {
            "TIFFTAG_IMAGEDESCRIPTION": clean(tileset.name) or f"Map in the style {clean(tileset.style)}",
            "TIFFTAG_COPYRIGHT": clean(tileset.attribution),
            "MAPSTYLE": _made(tileset, self._frames[0]),
        }
        if software := _read(tileset.provenance).get("software"):
            words["TIFFTAG_SOFTWARE"] = clean(str(software))
        images = {"tileSize": tileset.tile_size, "pixelRatio": tileset.pixel_ratio, "levels": own}
        return {
            **words,
            CONTENTS.upper(): contents(tileset, held).sealed(images).as_json(),
            IMAGES: json.dumps(images),
            "MAPSTYLE_DIGEST": _UNKNOWN,
        }

    def _shrink(self, file: Path, frame: Frame) -> None:
        """Make averaged overviews of the lowest of the levels' own."""
        import rasterio
        from rasterio.enums import Resampling

        factors = [2]
        while max(frame.width, frame.height) > SMALLEST * factors[-1]:
            factors.append(factors[-1] * 2)
        if max(frame.width, frame.height) > SMALLEST:
            with rasterio.open(file, "r+") as dataset:
                dataset.build_overviews(factors, Resampling.average)

    def _copy(self, file: Path) -> None:
        from rasterio.shutil import copy

        kind = self._tileset.format
        if kind.lossless:
            how = {"compress": "DEFLATE", "predictor": "YES", "level": 3}
        else:
            how = {"compress": kind.kind.upper(), "quality": kind.quality}
        copy(self._files[0], file, driver="COG", blocksize=SMALLEST, overviews="FORCE_USE_EXISTING", bigtiff="IF_SAFER",
             num_threads="2", **how)  # fmt: skip


def _frames(tileset: Tileset) -> list[Frame]:
    return own_frames(tileset.part(tileset.maxzoom), tileset.tile_size, tileset.pixel_ratio, tileset.minzoom)


def file_digest(file: Path) -> tuple[str, str, int]:
    """Give the digest a COG says it has, the one it has, and where in the file the former stands.

    The digest is blake2b-128 of the whole file, with zeros where its own 32 digits stand. Both texts are empty when
    the file does not say.
    """
    at = _find(file)
    if at < 0:
        return "", "", at
    digest = hashlib.blake2b(digest_size=16)
    with file.open("rb") as data:
        left = at
        while left and (chunk := data.read(min(left, 1 << 20))):
            digest.update(chunk)
            left -= len(chunk)
        said = data.read(32)
        digest.update(_UNKNOWN.encode())
        while chunk := data.read(1 << 20):
            digest.update(chunk)
    return said.decode("ascii", "replace"), digest.hexdigest(), at


def _seal(file: Path) -> None:
    """Write a file's digest into it."""
    said, digest, at = file_digest(file)
    assert said == _UNKNOWN, "GDAL writes metadata as they are, once, before the pixels"
    with file.open("r+b") as data:
        data.seek(at)
        data.write(digest.encode())


def _find(file: Path) -> int:
    """Tell where the digest in a file begins; -1 when there is none."""
    before, start = b"", 0
    with file.open("rb") as data:
        while chunk := data.read(1 << 20):
            at = (before + chunk).find(MARK)
            if at >= 0:
                return start - len(before) + at + len(MARK)
            start += len(chunk)
            before = (before + chunk)[-len(MARK) :]
    return -1


def _made(tileset: Tileset, frame: Frame) -> str:
    """Give the tiles' provenance with the picture's place, as any picture of ours has it."""
    grid = frame.grid
    place = {
        "title": clean(tileset.name), "attribution": clean(tileset.attribution), "crs": grid.crs,
        "resolution": grid.resolution, "origin": [grid.origin_x, grid.origin_y], "turn": grid.turn,
        "level": grid.level, "pixel_ratio": grid.pixel_ratio,
        "frame": [frame.column, frame.row, frame.width, frame.height],
    }  # fmt: skip
    return json.dumps({"sources": ""} | _read(tileset.provenance) | place)


def _read(provenance: str) -> dict[str, Any]:
    try:
        told = json.loads(provenance)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def tiles_over(frame: Frame, side: int) -> tuple[int, int, int, int]:
    """Give first column and row, rows and columns of the tiles that touch a frame."""
    left, top = frame.column // side, frame.row // side
    return left, top, -(-frame.end_row // side) - top, -(-frame.end_column // side) - left


def _window(part: Frame, frame: Frame) -> Any:
    from rasterio.windows import Window

    return Window(part.column - frame.column, part.row - frame.row, part.width, part.height)


def gdal() -> Any:
    """Have GDAL tell of trouble by exceptions, keep masks within files and hold little."""
    import rasterio

    return rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_CACHEMAX=_CACHE)


def _raw(file: Path, frame: Frame) -> Any:
    import rasterio
    from rasterio.transform import Affine

    west, _, _, north = frame.crs_bounds()
    size = frame.grid.resolution / frame.grid.pixel_ratio
    return rasterio.open(
        file, "w", driver="GTiff", width=frame.width, height=frame.height, count=3, dtype="uint8", crs=frame.grid.crs,
        transform=Affine(size, 0, west, 0, -size, north), tiled=True, blockxsize=_BLOCK, blockysize=_BLOCK,
        interleave="pixel", photometric="RGB", BIGTIFF="YES",
    )  # fmt: skip
