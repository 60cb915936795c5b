"""Verify a pyramid that was written as one Cloud Optimized GeoTIFF."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapstyle.exports.cog import IMAGES, MOST, SMALLEST, file_digest, gdal, own_frames, tiles_over
from mapstyle.exports.cog_end import image_shapes
from mapstyle.exports.contents import CONTENTS, Contents
from mapstyle.exports.verdict import Examination
from mapstyle.frame import Frame

_PLACE = ("IFD_OFFSET", "BLOCK_OFFSET_0_0")


def verify_cog(path: Path, examination: Examination) -> None:
    """See that the file is as it was written, is laid out as a COG, and that all its blocks can be read.

    What it tells of its tiles' digest cannot be compared: it keeps pixels, not encoded tiles. The digest of the file
    itself stands in.
    """
    said, digest, _ = file_digest(path)
    if not said:
        examination.fault(path.name, "does not say what it should be (no digest of ours)")
        return
    if said != digest:
        # GDAL is not asked what of it can still be read: it tells of broken files on stderr, past everybody.
        examination.fault(path.name, f"has been changed since it was written (digest {digest}, not {said})")
        return
    from rasterio.errors import NotGeoreferencedWarning

    with gdal(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            _verify_file(path, examination)
        except Exception as error:
            if not _of_gdal(error):
                raise
            examination.fault(path.name, f"cannot be read as a GeoTIFF ({error})")


def _verify_file(path: Path, examination: Examination) -> None:
    import rasterio

    with rasterio.open(path, driver="GTiff") as dataset:
        tags = dataset.tags()
        contents = Contents.from_json(tags.get(CONTENTS.upper()))
        images = _images(tags.get(IMAGES))
        if contents is None or images is None or contents.sealed(images).about != contents.about:
            examination.fault("metadata", "do not say, or not soundly, which tiles there should be")
            return
        size, ratio, own = images.values()
        frames = own_frames(contents.parts[-1], size, ratio, contents.parts[0].level)[:own]
        if frames[0].width * frames[0].height > MOST:
            examination.fault("metadata", "promise more pixels than are ever written")
            return
        if not examination.begin(_only(contents, len(frames)), "", size * ratio):
            return
        if not _verify_form(dataset, frames, examination):
            return
        shapes, masked = image_shapes(dataset), dataset.mask_flag_enums[0] != [rasterio.enums.MaskFlags.all_valid]
    for k, shape in enumerate(shapes):
        frame = frames[k] if k < len(frames) else None
        level = {} if k == 0 else {"overview_level": k - 1}
        with rasterio.open(path, driver="GTiff", **level) as dataset:
            if dataset.shape != shape:
                examination.fault(f"image {k}", f"is {dataset.width} x {dataset.height} px, not as it should be")
                continue
            seen = _Seen(frame, contents.parts[-1].level - k, size * ratio) if frame else None
            _verify_blocks(dataset, k, masked, seen, examination)
            if seen is not None:
                seen.tell(examination)


def _verify_form(dataset: Any, frames: list[Frame], examination: Examination) -> bool:
    """See that the file has the right place, size and layout; False when its tiles cannot be found in it."""
    first = frames[0]
    west, _, _, north = first.crs_bounds()
    pixel = first.grid.resolution / first.grid.pixel_ratio
    if dataset.shape != first.shape or dataset.count != 3 or set(dataset.dtypes) != {"uint8"}:
        examination.fault("image 0", f"is not {first.width} x {first.height} px in three colours of eight bits")
        return False
    told = (dataset.transform.a, dataset.transform.e, dataset.transform.c, dataset.transform.f)
    near = all(abs(a - b) <= 1e-6 * pixel for a, b in zip(told, (pixel, -pixel, west, north), strict=True))
    if not near or not dataset.crs or dataset.crs.to_epsg() != 3857:
        examination.fault("image 0", "lies elsewhere than its tiles")
    shapes = image_shapes(dataset)
    right = 1
    while max(first.shape) > SMALLEST << right - 1:
        right += 1
    if dataset.overviews(1) != [2**k for k in range(1, right)]:
        examination.fault("overviews", f"are not all there ({dataset.overviews(1)})")
    if dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") != "COG" or set(dataset.block_shapes) != {(SMALLEST, SMALLEST)}:
        examination.fault("layout", "is not that of a Cloud Optimized GeoTIFF")
    levels = [None, *range(len(shapes) - 1)]
    places = [[int(dataset.get_tag_item(what, "TIFF", 1, k) or 0) for what in _PLACE] for k in levels]
    heads, blocks = [place[0] for place in places], [place[1] for place in places if place[1]]
    if heads != sorted(heads) or blocks != sorted(blocks, reverse=True) or max(heads) > min(blocks, default=1 << 62):
        examination.fault("layout", "has its parts in another order than a Cloud Optimized GeoTIFF")
    return True


class _Seen:
    """Which tiles of a level a mask shows."""

    def __init__(self, frame: Frame, level: int, side: int) -> None:
        self._frame, self._level, self._side = frame, level, side
        self._left, self._top, rows, columns = tiles_over(frame, side)
        self._any, self._all = np.zeros((rows, columns), bool), np.ones((rows, columns), bool)

    def add(self, column: int, row: int, shown: NDArray[np.bool_] | bool, shape: tuple[int, int]) -> None:
        """Take a block's mask: bool[shape], or one value for all of it, whose first pixel is at ``column``, ``row``."""
        frame, side = self._frame, self._side
        block = Frame(frame.grid, frame.column + column, frame.row + row, shape[1], shape[0])
        left, top, rows, columns = tiles_over(block, side)
        for y in range(top, top + rows):
            for x in range(left, left + columns):
                tile = block.intersection(Frame(frame.grid, x * side, y * side, side, side))
                assert tile is not None, "only tiles that touch the block are asked"
                part = shown if isinstance(shown, bool) else shown[tile.slices(block)]
                self._any[y - self._top, x - self._left] |= np.any(part)
                self._all[y - self._top, x - self._left] &= np.all(part)

    def tell(self, examination: Examination) -> None:
        """Note which tiles are there."""
        for row, column in np.argwhere(self._any).tolist():
            x, y = (self._left + column) % (1 << self._level), self._top + row
            if not self._all[row, column]:
                examination.fault(f"tile {self._level}/{x}/{y}", "is there in part only")
            once = column - (1 << self._level)  # where a frame goes round the world, a tile may show twice
            if once < 0 or not self._any[row, once]:
                examination.mark(self._level, x, y)


def _verify_blocks(dataset: Any, k: int, masked: bool, seen: _Seen | None, examination: Examination) -> None:
    for (row, column), window in dataset.block_windows(1):
        try:
            dataset.read(window=window)
            shown = dataset.read_masks(1, window=window) > 0 if masked else True
        except Exception as error:
            if not _of_gdal(error):
                raise
            examination.fault(f"image {k}, block {column}/{row}", f"cannot be read ({error.__cause__ or error})")
            shown = True
        if seen is not None:
            seen.add(window.col_off, window.row_off, shown, (window.height, window.width))


def _images(text: str | None) -> dict[str, int] | None:
    try:
        told = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or list(told) != ["tileSize", "pixelRatio", "levels"]:
        return None
    fits = all(type(value) is int and 0 < value <= 512 for value in told.values())
    return told if fits and told["tileSize"] in (256, 512) and told["pixelRatio"] <= 8 else None


def _only(contents: Contents, levels: int) -> Contents:
    """Give what is promised of the highest levels alone: the others are not in the file."""
    return Contents(contents.parts[-levels:], contents.count, contents.digest, contents.about)


def _of_gdal(error: Exception) -> bool:
    return type(error).__module__.startswith("rasterio") or isinstance(error, OSError)
