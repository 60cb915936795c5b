"""Elevation rasters as files: what they are, where their samples lie, and windows of them."""

import logging
import math
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapstyle.errors import SourceError

SUFFIXES = (".tif", ".tiff", ".hgt")
"""Endings of the rasters that can be read, plain or inside a zip."""
WHOLE = 16 << 20
"""Samples up to which a zipped raster is unpacked into memory at once (an SRTM tile of one second has 13 million)."""
MAX_ZIPPED = 64 << 20
"""Samples up to which a raster may stay in its zip."""
MAX_MEMBERS = 10_000
LOWEST_LAND = -500.0
"""Metres below which a sample of SRTM is a void: the shore of the Dead Sea, the lowest land, is at -430."""
LOWEST_SEA = -11_500.0
"""Metres below which no ground lies (Challenger Deep is at -10 935)."""
HIGHEST = 9_000.0
"""Metres above which no ground lies (Everest is at 8 849)."""
UNDECLARED = -9_999.0
"""The number most often written for nothing without being declared."""
FOOT = 0.3048
_UNITS = {"ft": FOOT, "feet": FOOT, "foot": FOOT, "us survey foot": 1200 / 3937, "ftus": 1200 / 3937}

_READING = RLock()
"""Held while GDAL reads, for the log that is silenced meanwhile is everybody's."""

Heights = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Raster:
    """One raster file of heights; its samples lie at pixel centres, ``transform`` at (column + 0.5, row + 0.5).

    Attributes:
        shown: what it is called in messages.
        address: what GDAL opens.
        driver: GDAL's name of the format.
        crs: WKT of its coordinate reference system.
        transform: a, b, c, d, e, f of x = a column + b row + c, y = d column + e row + f (pixel corners).
        width: samples in a row.
        height: rows.
        is_point: whether the file says its samples are points; GDAL has moved ``transform`` accordingly.
        void: the number that stands for nothing, or None.
        masked: whether a mask of its own says what is void.
        to_metres: factor and offset from stored numbers to metres.
    """

    shown: str
    address: str
    driver: str
    crs: str
    transform: tuple[float, float, float, float, float, float]
    width: int
    height: int
    is_point: bool
    void: float | None
    masked: bool
    to_metres: tuple[float, float]

    @property
    def member(self) -> str:
        """Its name inside a zip; the same wherever the zip lies. Empty for a plain file."""
        return self.address.partition("}/")[2]

    def read(self, left: int, top: int, right: int, bottom: int) -> tuple[Heights, Mask]:
        """Read a window of samples that lies inside the raster.

        Returns:
            float32[rows, columns] metres, 0 where void, and bool[rows, columns], whether there is a sample.
        """
        if self.address.startswith("/vsizip/") and self.width * self.height <= WHOLE:
            heights, valid = _whole(self)
            return heights[top:bottom, left:right], valid[top:bottom, left:right]
        return self._read(left, top, right, bottom)

    def thumbnail(self, side: int = 8) -> NDArray[np.float64]:
        """Read a few samples spread over the raster: float64[n], metres, without voids."""
        columns = np.unique(np.linspace(0, self.width - 1, side).astype(int))
        rows = np.unique(np.linspace(0, self.height - 1, side).astype(int))
        found = []
        for row in rows:
            for column in columns:
                heights, valid = self.read(column, row, column + 1, row + 1)
                if valid[0, 0]:
                    found.append(float(heights[0, 0]))
        return np.array(found, np.float64)

    def _read(self, left: int, top: int, right: int, bottom: int) -> tuple[Heights, Mask]:
        import rasterio

        window = ((top, bottom), (left, right))
        with quiet():
            try:
                with rasterio.open(self.address, driver=self.driver) as file:
                    stored = file.read(1, window=window)
                    mask = file.read_masks(1, window=window) if self.masked else None
            except (rasterio.errors.RasterioError, OSError, RuntimeError) as error:
                raise SourceError(f"{self.shown} is damaged or cut short: {reason(error)}") from None
        heights = stored.astype(np.float64)
        valid = np.isfinite(heights) if mask is None else np.isfinite(heights) & (mask > 0)
        if self.void is not None:
            valid &= heights != self.void
        valid &= heights != UNDECLARED
        heights = np.where(valid, heights, 0.0) * self.to_metres[0] + self.to_metres[1]
        lowest = LOWEST_LAND if self.driver == "SRTMHGT" else LOWEST_SEA
        valid &= (heights >= lowest) & (heights <= HIGHEST)
        return np.where(valid, heights, 0.0).astype(np.float32), valid


@lru_cache(maxsize=4)
def _whole(raster: Raster) -> tuple[Heights, Mask]:
    return raster._read(0, 0, raster.width, raster.height)


def open_rasters(path: Path) -> list[Raster]:
    """Open the rasters behind a path, which may be a zip of several.

    Raises:
        SourceError: the file is missing, broken, not elevation, or does not say where it lies.
    """
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file")
    lower = path.name.lower()
    if not lower.endswith(".zip"):
        return [_open(path.name, str(path.resolve()), lower)]
    address = f"/vsizip/{{{path.resolve()}}}/"
    rasters = [_open(path.name, address + name, name.lower()) for name in _members(path)]
    for raster in rasters:
        if raster.width * raster.height > MAX_ZIPPED:
            raise SourceError(f"{path.name} holds a raster too large to be read from a zip; unpack it first")
    return rasters


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise SourceError(f"{path.name} cannot be read as a zip: {reason(error)}") from None
    if len(names) > MAX_MEMBERS:
        raise SourceError(f"{path.name} holds {len(names)} files; {MAX_MEMBERS} is the limit")
    found = []
    for name in sorted(names):
        parts = PurePosixPath(name).parts
        if not name.lower().endswith(SUFFIXES) or "__MACOSX" in parts:
            continue
        if name.startswith("/") or ".." in parts or "\\" in name:
            raise SourceError(f"{path.name} holds a file that would land outside its folder: {name!r}")
        found.append(name)
    if not found:
        raise SourceError(f"{path.name} holds no elevation; it should hold a .tif or .hgt")
    return found


def _open(shown: str, address: str, name: str) -> Raster:
    import rasterio

    driver = "SRTMHGT" if name.endswith(".hgt") else "GTiff"
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a file without a place is refused below, in our own words
        try:
            # The driver is named so that no other format, which might point elsewhere, hides behind the suffix.
            with rasterio.open(address, driver=driver) as file:
                return _describe(shown, address, driver, file)
        except (rasterio.errors.RasterioError, OSError, RuntimeError) as error:
            if driver == "SRTMHGT" and not re.fullmatch(r"[ns]\d\d[ew]\d{3}.*", Path(name).name):
                raise SourceError(
                    f"{shown}: an SRTM file says where it lies by its name, as in N42E001.hgt; give it its name back"
                ) from None
            raise SourceError(f"{shown} cannot be read as elevation: {reason(error)}") from None


def _describe(shown: str, address: str, driver: str, file: Any) -> Raster:
    from rasterio.enums import MaskFlags

    kind = np.dtype(file.dtypes[0])
    if file.count in (3, 4) and kind == np.uint8:
        raise SourceError(f"{shown} is a picture, not elevation: it has {file.count} bands of colour")
    if kind.kind not in "iuf":
        raise SourceError(f"{shown} is not elevation: its samples are of type {file.dtypes[0]}")
    transform = tuple(float(v) for v in tuple(file.transform)[:6])
    if file.transform.is_identity or not all(map(math.isfinite, transform)) or file.transform.determinant == 0:
        raise SourceError(f"{shown} does not say where on the ground it lies; it has no geotransform")
    if file.crs is None:
        raise SourceError(
            f"{shown} does not say which coordinate reference system it is in; write it anew with one, such as: "
            f"gdal_translate -a_srs EPSG:25832 {shown} new.tif"
        )
    check_blocks(shown, address, file)
    flags = file.mask_flag_enums[0]
    unit = _UNITS.get((file.units[0] or "").lower(), 1.0)
    a, b, c, d, e, f = transform
    return Raster(
        shown=shown,
        address=address,
        driver=driver,
        crs=file.crs.to_wkt(),
        transform=(a, b, c, d, e, f),
        width=file.width,
        height=file.height,
        is_point=file.tags().get("AREA_OR_POINT") == "Point",
        void=None if file.nodata is None or math.isnan(file.nodata) else float(file.nodata),
        masked=MaskFlags.all_valid not in flags and MaskFlags.nodata not in flags,
        to_metres=(file.scales[0] * unit, file.offsets[0] * unit),
    )


def check_blocks(shown: str, address: str, file: Any) -> None:
    """Find out now, not in the middle of a picture, that a TIFF ends before its blocks do."""
    if file.driver != "GTiff" or address.startswith("/vsizip/"):
        return
    size = Path(address).stat().st_size
    rows, columns = file.block_shapes[0]
    across, down = -(-file.width // columns), -(-file.height // rows)
    step = max(1, across * down // 4096)
    for block in (*range(0, across * down, step), across * down - 1):
        place = f"{block % across}_{block // across}"
        start = file.get_tag_item(f"BLOCK_OFFSET_{place}", "TIFF", bidx=1)
        length = file.get_tag_item(f"BLOCK_SIZE_{place}", "TIFF", bidx=1)
        if start and length and int(start) + int(length) > size:
            raise SourceError(f"{shown} is damaged or cut short: it ends before its last block")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep GDAL from talking, and read pixel-is-point files as they are meant."""
    import rasterio

    log = logging.getLogger("rasterio")
    with _READING:
        propagate, silence = log.propagate, logging.NullHandler()
        log.addHandler(silence)
        log.propagate = False
        try:
            with rasterio.Env(GTIFF_POINT_GEO_IGNORE=False):
                yield
        finally:
            log.propagate = propagate
            log.removeHandler(silence)


def reason(error: BaseException) -> str:
    """Give what GDAL says is wrong: one line, without folders, shortened."""
    cause = error.__cause__ or error
    text = str(cause).strip() or type(cause).__name__
    text = re.sub(r"/vsizip/\{?[^}]*\}?/|(/[^\s/:]+)+/", "", text.splitlines()[0])
    return text if len(text) <= 160 else text[:157] + "..."


def outline(raster: Raster, steps: int = 17) -> NDArray[np.float64]:
    """Give points along a raster's rim in its own CRS: float64[n, 2].

    The rim runs through the outer samples where they are points, else along the outer pixel edges.
    """
    inset = 0.5 if raster.is_point else 0.0
    column = np.linspace(inset, raster.width - inset, steps)
    row = np.linspace(inset, raster.height - inset, steps)
    first = np.full(steps, inset)
    pixels = np.concatenate(
        [
            np.column_stack([column, first]),
            np.column_stack([column, first + raster.height - 2 * inset]),
            np.column_stack([first, row]),
            np.column_stack([first + raster.width - 2 * inset, row]),
        ]
    )
    a, b, c, d, e, f = raster.transform
    x = a * pixels[:, 0] + b * pixels[:, 1] + c
    y = d * pixels[:, 0] + e * pixels[:, 1] + f
    return np.column_stack([x, y])
