"""Georeferenced colour rasters as files: what they are, where their samples lie, and windows of them."""

import math
import warnings
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapstyle.errors import SourceError
from mapstyle.sources.elevation import unwrapped
from mapstyle.sources.raster import check_blocks, quiet, reason

DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
"""Endings of the pictures that can be read, and what GDAL calls their formats."""
CHUNK = 512
"""Samples on the side of what is read of a file at once."""
CHUNKS_KEPT = 96
"""Chunks kept in memory, of 1 MB each."""
WHOLE = 64_000_000
"""Samples up to which a format that is only read from top to bottom is taken; it lies in memory as a whole."""

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Photo:
    """One georeferenced file of colours.

    Attributes:
        shown: what it is called in messages.
        address: what GDAL opens.
        driver: GDAL's name of the format.
        crs: WKT of its coordinate reference system.
        transform: a, b, c, d, e, f of x = a column + b row + c, y = d column + e row + f (pixel corners).
        width: samples in a row.
        height: rows.
        bands: numbers of the bands that are red, green and blue.
        masked: whether it says itself where it shows nothing.
    """

    shown: str
    address: str
    driver: str
    crs: str
    transform: tuple[float, float, float, float, float, float]
    width: int
    height: int
    bands: tuple[int, int, int]
    masked: bool

    def size(self, level: int) -> tuple[int, int]:
        """Give columns and rows of means over 2**level by 2**level samples; a rest at the far edges is left out."""
        return max(1, self.width >> level), max(1, self.height >> level)

    def read(self, level: int, left: int, top: int, right: int, bottom: int) -> Picture:
        """Read a box of means that lies inside: uint8[rows, columns, 4], RGB and whether anything is shown."""
        out = np.empty((bottom - top, right - left, 4), np.uint8)
        side = CHUNK if self.driver == "GTiff" else max(self.size(level))
        for j in range(top // side, -(-bottom // side)):
            for i in range(left // side, -(-right // side)):
                chunk = (_chunk if self.driver == "GTiff" else _whole)(self, level, i, j, side)
                x0, x1 = max(left, i * side), min(right, (i + 1) * side)
                y0, y1 = max(top, j * side), min(bottom, (j + 1) * side)
                part = chunk[y0 - j * side : y1 - j * side, x0 - i * side : x1 - i * side]
                out[y0 - top : y1 - top, x0 - left : x1 - left] = part
        return out

    @cached_property
    def linear(self) -> Array:
        """The 2 x 2 part of its transform."""
        a, b, _, d, e, _ = self.transform
        return np.array([[a, b], [d, e]])

    @cached_property
    def outline(self) -> Array:
        """Points along its rim in degrees: float64[n, 2]; longitudes near each other."""
        import pyproj

        along = np.linspace(0, 1, 17)
        ends = np.concatenate([np.zeros(17), np.ones(17)])
        u = np.concatenate([np.tile(along, 2), ends]) * self.width
        v = np.concatenate([ends, np.tile(along, 2)]) * self.height
        xy = np.column_stack([u, v]) @ self.linear.T + np.array([self.transform[2], self.transform[5]])
        to_degrees = pyproj.Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True)
        out = np.column_stack(to_degrees.transform(xy[:, 0], xy[:, 1]))
        out = out[np.isfinite(out).all(axis=1)]
        if len(out) == 0:
            raise SourceError(f"{self.shown} lies nowhere on the ground that its coordinate reference system knows")
        return unwrapped(out)


def is_imagery(path: Path) -> bool:
    """Tell whether a file is a picture of the ground rather than elevation or vectors."""
    driver = DRIVERS.get(path.suffix.lower())
    if driver != "GTiff":
        return driver is not None
    import rasterio
    from rasterio.enums import ColorInterp

    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with rasterio.open(path, driver=driver) as file:
                whole = all(np.dtype(t).kind in "iu" for t in file.dtypes)
                return (whole and file.count in (3, 4)) or file.colorinterp[0] in (ColorInterp.red, ColorInterp.palette)
        except (rasterio.errors.RasterioError, OSError, RuntimeError):
            return False  # whoever reads it will say why


def open_photo(path: Path) -> Photo:
    """Open a picture of the ground.

    Raises:
        SourceError: it is missing, broken, without colours, or does not say where it lies.
    """
    import rasterio

    if not path.is_file():
        raise SourceError(f"{path}: there is no such file")
    driver = DRIVERS[path.suffix.lower()]
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a file without a place is refused below, in our own words
        try:
            # The driver is named so that no other format, which might point elsewhere, hides behind the suffix.
            with rasterio.open(path.resolve(), driver=driver) as file:
                photo = _describe(path, driver, file)
        except (rasterio.errors.RasterioError, OSError, RuntimeError) as error:
            raise SourceError(f"{path.name} cannot be read as a picture: {reason(error)}") from None
    if driver != "GTiff":
        # Nothing but reading it tells whether it is whole.
        level = max(photo.width, photo.height).bit_length() - 1
        photo.read(level, 0, 0, *photo.size(level))
    return photo


def _describe(path: Path, driver: str, file: Any) -> Photo:
    from rasterio.enums import ColorInterp, MaskFlags

    shown = path.name
    kinds = list(file.colorinterp)
    if ColorInterp.palette in kinds:
        raise SourceError(
            f"{shown} has a palette instead of red, green and blue; run: gdal_translate -expand rgb {shown} new.tif"
        )
    if any(t != "uint8" for t in file.dtypes):
        raise SourceError(
            f"{shown} has colours of type {file.dtypes[0]}, and 8 bits are read; "
            f"run: gdal_translate -ot Byte -scale {shown} new.tif"
        )
    colours = ColorInterp.red, ColorInterp.green, ColorInterp.blue
    bands = [kinds.index(c) + 1 for c in colours] if set(colours) <= set(kinds) else [1, 2, 3]
    if file.count < 3:
        bands = [1, 1, 1]
    transform = tuple(float(v) for v in tuple(file.transform)[:6])
    if file.transform.is_identity or not all(map(math.isfinite, transform)) or file.transform.determinant == 0:
        raise SourceError(
            f"{shown} does not say where on the ground it lies; put its world file ({path.stem}.{_world(path)}) beside "
            f"it, or run: gdal_translate -a_srs EPSG:25832 -a_ullr LEFT TOP RIGHT BOTTOM {shown} new.tif"
        )
    if file.crs is None:
        raise SourceError(
            f"{shown} does not say which coordinate reference system it is in; write it anew with one, such as: "
            f"gdal_translate -a_srs EPSG:25832 {shown} new.tif"
        )
    if driver != "GTiff" and file.width * file.height > WHOLE:
        raise SourceError(
            f"{shown} has more than {WHOLE // 1_000_000} million pixels, which only a tiled file can be read with; "
            f"run: gdal_translate -of COG {shown} new.tif"
        )
    check_blocks(shown, str(path.resolve()), file)
    a, b, c, d, e, f = transform
    return Photo(
        shown=shown,
        address=str(path.resolve()),
        driver=driver,
        crs=file.crs.to_wkt(),
        transform=(a, b, c, d, e, f),
        width=file.width,
        height=file.height,
        bands=(bands[0], bands[1], bands[2]),
        masked=any(MaskFlags.all_valid not in flags for flags in file.mask_flag_enums),
    )


def _world(path: Path) -> str:
    """Give the ending of a picture's world file: first and last letter of its own, and w."""
    ending = path.suffix.lower()
    return f"{ending[1]}{ending[-1]}w"


@lru_cache(maxsize=CHUNKS_KEPT)
def _chunk(photo: Photo, level: int, i: int, j: int, side: int) -> Picture:
    columns, rows = photo.size(level)
    return _read(photo, level, i * side, j * side, min(columns, (i + 1) * side), min(rows, (j + 1) * side))


@lru_cache(maxsize=2)
def _whole(photo: Photo, level: int, _i: int, _j: int, _side: int) -> Picture:
    return _read(photo, level, 0, 0, *photo.size(level))


def _read(photo: Photo, level: int, left: int, top: int, right: int, bottom: int) -> Picture:
    """Read a box of means from the file."""
    import rasterio
    from rasterio.enums import Resampling

    window = (
        (top << level, min(photo.height, bottom << level)),
        (left << level, min(photo.width, right << level)),
    )
    shape = bottom - top, right - left
    how = Resampling.average if level else Resampling.nearest
    with quiet():
        try:
            # A JPEG that is cut short is otherwise only worth a warning to GDAL.
            with (
                rasterio.Env(GDAL_ERROR_ON_LIBJPEG_WARNING=True),
                rasterio.open(photo.address, driver=photo.driver) as file,
            ):
                rgb = file.read(photo.bands, window=window, out_shape=(3, *shape), resampling=how)
                shown = file.dataset_mask(window=window, out_shape=shape, resampling=how) if photo.masked else 255
        except (rasterio.errors.RasterioError, OSError, RuntimeError) as error:
            raise SourceError(f"{photo.shown} is damaged or cut short: {reason(error)}") from None
    out = np.empty((*shape, 4), np.uint8)
    out[..., :3] = np.moveaxis(rgb, 0, -1)
    out[..., 3] = shown
    return out
