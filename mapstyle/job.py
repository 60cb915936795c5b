"""The run: what a person asked for, made into one frame on one grid."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyproj
from numpy.typing import NDArray

from mapstyle.errors import ExtentError, JobError
from mapstyle.fingerprint import fingerprint
from mapstyle.frame import MAX_LATITUDE, TILE, Frame, Grid
from mapstyle.sources.atlas import Atlas
from mapstyle.sources.elevation import Elevation
from mapstyle.sources.extent import dense_bounds
from mapstyle.sources.find import Hit, find_place
from mapstyle.sources.imagery import Imagery
from mapstyle.sources.store import open_atlas

DEFAULT_SIDE = 2048
"""Logical pixels on the longer side when nobody says how large."""
MAX_LEVEL = 22
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Extent:
    """A box on the ground.

    Attributes:
        bounds: west, south, east, north in ``crs``; in degrees east may exceed 180, past the antimeridian.
        crs: what the numbers are in; ``EPSG:4326`` is degrees, longitude first.
        why: where the box comes from, for messages.
    """

    bounds: Bounds
    crs: str = "EPSG:4326"
    why: str = "the extent"

    def on(self, grid: Grid) -> Bounds:
        """Give left, top, right, bottom of the box in a grid's logical pixels."""
        west, south, east, north = self.bounds
        if self.crs == grid.crs:
            r = grid.resolution
            return (
                (west - grid.origin_x) / r,
                (grid.origin_y - north) / r,
                (east - grid.origin_x) / r,
                (grid.origin_y - south) / r,
            )
        points = grid.project(self._outline())
        left, top = points.min(axis=0)
        right, bottom = points.max(axis=0)
        return float(left), float(top), float(right), float(bottom)

    def degrees(self) -> Bounds:
        """Give west, south, east, north in degrees."""
        if self.crs == "EPSG:4326":
            return self.bounds
        points = self._outline()
        west, south = points.min(axis=0)
        east, north = points.max(axis=0)
        return float(west), float(south), float(east), float(north)

    def _outline(self) -> NDArray[np.float64]:
        west, south, east, north = self.bounds
        x, y = np.linspace(west, east, 33), np.linspace(south, north, 33)
        ring = np.concatenate(
            [
                np.column_stack([x, np.full_like(x, south)]),
                np.column_stack([x, np.full_like(x, north)]),
                np.column_stack([np.full_like(y, west), y]),
                np.column_stack([np.full_like(y, east), y]),
            ]
        )
        if self.crs == "EPSG:4326":
            return ring
        to_degrees = pyproj.Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True)
        lon, lat = to_degrees.transform(ring[:, 0], ring[:, 1])
        out = np.column_stack([lon, lat])
        if not np.isfinite(out).all():
            raise ExtentError(f"{self.why} lies outside what {self.crs} can show; give it in degrees without --crs")
        return out


@dataclass(frozen=True)
class Where:
    """What a person said about the place; at most one of the four."""

    extent: str | None = None
    place: str | None = None
    around: str | None = None
    radius: float | None = None
    tile: str | None = None


@dataclass(frozen=True)
class HowLarge:
    """What a person said about the size of a pixel (at most one of the first three), of the picture, and the CRS.

    A size with one of the three is a picture of that size about the middle of the place; alone, it picks
    the level at which the place fits into it.
    """

    zoom: int | None = None
    resolution: float | None = None
    scale: float | None = None
    dpi: float = 300.0
    size: str | None = None
    crs: str | None = None
    pixel_ratio: int = 1


@dataclass(frozen=True)
class Data:
    """A job's sources, opened.

    Attributes:
        atlas: the vectors.
        elevation: the heights, or None.
        imagery: pictures of the ground, or None.
    """

    atlas: Atlas
    elevation: Elevation | None
    imagery: Imagery | None = None

    @classmethod
    def open(cls, sources: Sequence[str], cache: Path, say: Callable[[str], None]) -> "Data":
        """Read the sources, or what a cache keeps of them; ``say`` is told what is read."""
        atlas = open_atlas(sources, cache, say)
        elevation = Elevation.open(atlas.elevation, cache) if atlas.elevation else None
        return cls(atlas, elevation, Imagery.open(atlas.imagery) if atlas.imagery else None)

    @property
    def digest(self) -> str:
        """Names the content of all sources."""
        rasters = self.elevation, self.imagery
        return fingerprint(self.atlas.digest, *(raster.digest if raster else "" for raster in rasters))

    @property
    def bounds(self) -> Bounds:
        """West, south, east, north in degrees of all features; without any, of the rasters."""
        return self._of_rasters or self.atlas.bounds

    @property
    def centre(self) -> tuple[float, float]:
        """Longitude and latitude of the middle of the data."""
        west, south, east, north = self.dense
        return (west + east) / 2, (south + north) / 2

    @property
    def dense(self) -> Bounds:
        """Bounds of the part where the data is dense, in degrees."""
        return self._of_rasters or dense_bounds(self.atlas)

    @property
    def _of_rasters(self) -> Bounds | None:
        """Bounds of all rasters where there is nothing else."""
        boxes = [raster.bounds for raster in (self.elevation, self.imagery) if raster is not None]
        if not boxes or len(self.atlas.tables) > 0:
            return None
        west, south, east, north = zip(*boxes, strict=True)
        return min(west), min(south), max(east), max(north)


def plan_frame(where: Where, how: HowLarge, data: Data) -> Frame:
    """Settle the frame of a picture.

    Raises:
        ExtentError: the place is out of range, unknown, or where the data is not.
        JobError: options that exclude each other, or cannot be read.
    """
    _only_one_place(where)
    _only_one({"--zoom": how.zoom, "--resolution": how.resolution, "--scale": how.scale})
    if where.tile is not None:
        if how.zoom is not None or how.resolution or how.scale or how.size or how.crs:
            raise JobError("--tile says both place and size; leave out --zoom, --resolution, --scale, --size and --crs")
        frame = Frame.tile(*parse_tile(where.tile), pixel_ratio=how.pixel_ratio)
        check_hits(Extent(frame.lonlat_bounds(), why=f"tile {where.tile}"), data)
        return frame
    extent = find_extent(where, how, data)
    check_hits(extent, data)
    return frame_for(extent, how, data)


def find_extent(where: Where, how: HowLarge, data: Data) -> Extent:
    """Settle the box on the ground, from whichever option says it, else from the data."""
    _only_one_place(where)
    if where.extent is not None:
        return parse_extent(where.extent, how.crs)
    if where.around is not None:
        numbers = _numbers(where.around, 2, "--around LON,LAT")
        return _around(numbers[0], numbers[1], 1.0 if where.radius is None else where.radius)
    if where.radius is not None:
        raise JobError("--radius belongs to --around LON,LAT; give both")
    if where.place is not None:
        hits = find_place(data.atlas, where.place)
        first = hits[0]
        rivals = [h for h in hits[1:] if h.score >= first.score - 1e-9]
        if rivals:
            listed = "; ".join(_describe(h) for h in (first, *rivals)[:6])
            raise ExtentError(
                f"several places are called '{where.place}': {listed}. Pick one with --around LON,LAT --radius KM"
            )
        return Extent(first.bounds, why=f"'{first.name}'")
    return Extent(data.dense, why="the data")


def frame_for(extent: Extent, how: HowLarge, data: Data) -> Frame:
    """Put a box on the grid that a person asked for, or on one that gives a picture of the default size."""
    ratio = how.pixel_ratio
    metres = how.resolution
    if how.scale is not None:
        if not (0 < how.scale < math.inf and 0 < how.dpi < math.inf):
            raise JobError("--scale and --dpi are positive numbers, as in --scale 10000 --dpi 300")
        metres = how.scale * 0.0254 / how.dpi
    if metres is not None:
        if not (math.isfinite(metres) and 0.001 <= metres <= 100_000):
            raise JobError(f"--resolution {metres:g}: metres to a pixel lie between 0.001 and 100000")
        lon, lat = data.centre
        crs = how.crs or utm_zone(lon, lat)
        if not pyproj.CRS(crs).is_projected:
            raise JobError(f"{crs} counts in degrees, not metres; pass a projected --crs or leave it out")
        return _sized(Grid.metric(crs, metres, lat, ratio), extent, how.size)
    if how.zoom is not None:
        if not 0 <= how.zoom <= MAX_LEVEL:
            raise JobError(f"--zoom {how.zoom}: levels go from 0 to {MAX_LEVEL}")
        return _sized(Grid.web_mercator(how.zoom, ratio), extent, how.size)
    world = Grid.web_mercator(0)
    left, top, right, bottom = extent.on(world)
    wide, high = max(right - left, 1e-9), max(bottom - top, 1e-9)
    if how.size is not None:
        width, height = parse_size(how.size)
    else:
        longer = max(wide, high)
        width = max(64, round(DEFAULT_SIDE * wide / longer))
        height = max(64, round(DEFAULT_SIDE * high / longer))
    level = math.floor(math.log2(min(width / wide, height / high)) + 1e-9)
    level = max(0, min(MAX_LEVEL, level))
    grid = Grid.web_mercator(level, ratio)
    if how.size is None and level == 0:
        width, height = min(width, TILE), min(height, TILE)
    return _about(grid, (left + right) / 2 * 2**level, (top + bottom) / 2 * 2**level, width, height)


def _sized(grid: Grid, extent: Extent, size: str | None) -> Frame:
    """Cover an extent, or take a picture of a size about its middle."""
    left, top, right, bottom = extent.on(grid)
    if size is None:
        return Frame.covering(grid, left, top, right, bottom)
    return _about(grid, (left + right) / 2, (top + bottom) / 2, *parse_size(size))


def _about(grid: Grid, x: float, y: float, width: int, height: int) -> Frame:
    """Give the frame of a size, in logical pixels, about a place."""
    ratio = grid.pixel_ratio
    column = math.floor((x - width / 2) * ratio + 0.5)
    row = math.floor((y - height / 2) * ratio + 0.5)
    return Frame(grid, column, row, width * ratio, height * ratio)


def parse_extent(text: str, crs: str | None) -> Extent:
    """Read ``W,S,E,N``, in degrees or in a CRS."""
    west, south, east, north = _numbers(text, 4, "--extent W,S,E,N")
    if south >= north:
        raise ExtentError(
            f"--extent {text}: south ({south:g}) must be less than north ({north:g}); the order is W,S,E,N"
        )
    if crs is not None and not pyproj.CRS(crs).is_geographic:
        if west >= east:
            raise ExtentError(f"--extent {text}: west ({west:g}) must be less than east ({east:g}) in {crs}")
        return Extent((west, south, east, north), crs)
    if not (-180 <= west <= 180 and -180 <= east <= 180):
        raise ExtentError(f"--extent {text}: longitudes lie between -180 and 180; for metres pass --crs")
    if not (-90 <= south <= 90 and -90 <= north <= 90):
        raise ExtentError(f"--extent {text}: latitudes lie between -90 and 90; the order is W,S,E,N")
    if west == east:
        raise ExtentError(f"--extent {text}: west and east are the same")
    south, north = max(south, -MAX_LATITUDE), min(north, MAX_LATITUDE)
    if south >= north:
        raise ExtentError(f"--extent {text}: lies beyond {MAX_LATITUDE:.2f} degrees, where web maps end")
    return Extent((west, south, east + 360 if east < west else east, north))


def parse_tile(text: str) -> tuple[int, int, int]:
    """Read ``Z/X/Y``."""
    match = re.fullmatch(r"(\d{1,2})/(\d{1,8})/(\d{1,8})", text.strip())
    if not match:
        raise JobError(f"--tile {text}: write it as Z/X/Y, as in 16/34119/23858")
    z, x, y = (int(g) for g in match.groups())
    if z > MAX_LEVEL or x >= 1 << z or y >= 1 << z:
        raise JobError(f"--tile {text}: level {z} has tiles 0 to {(1 << z) - 1}; levels go to {MAX_LEVEL}")
    return z, x, y


def parse_size(text: str) -> tuple[int, int]:
    """Read ``WxH``."""
    match = re.fullmatch(r"(\d{1,6})\s*[xX×]\s*(\d{1,6})", text.strip())
    if not match or 0 in (int(g) for g in match.groups()):
        raise JobError(f"--size {text}: write it as WIDTHxHEIGHT in pixels, up to six digits each, as in 2048x1024")
    return int(match[1]), int(match[2])


def check_crs(text: str | None) -> str | None:
    """Give a CRS's authority code, or None; refuse what PROJ does not know."""
    if text is None:
        return None
    try:
        crs = pyproj.CRS.from_user_input(text)
    except pyproj.exceptions.CRSError:
        raise JobError(f"--crs {text}: not a CRS that PROJ knows; write it as in EPSG:32632") from None
    if crs.is_projected and any(abs(a.unit_conversion_factor - 1) > 1e-12 for a in crs.axis_info[:2]):
        raise JobError(f"--crs {text}: its unit is not the metre; choose one in metres, such as a UTM zone")
    authority = crs.to_authority()
    return ":".join(authority) if authority else crs.to_wkt()


def utm_zone(lon: float, lat: float) -> str:
    """Give the EPSG code of the UTM zone of a place (WGS 84; 326xx north, 327xx south)."""
    zone = int((lon + 180) // 6) % 60 + 1
    return f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"


def _around(lon: float, lat: float, radius: float) -> Extent:
    if not (-180 <= lon <= 180 and -MAX_LATITUDE <= lat <= MAX_LATITUDE):
        raise ExtentError(f"--around {lon:g},{lat:g}: longitude comes first, within ±180, then latitude within ±85")
    if not (math.isfinite(radius) and 0 < radius <= 5000):
        raise ExtentError(f"--radius {radius:g}: kilometres between 0 and 5000")
    # One degree of a meridian is 111.32 km on the sphere of Web Mercator.
    high = radius / 111.32
    wide = high / max(math.cos(math.radians(lat)), 0.01)
    return Extent(
        (lon - wide, max(lat - high, -MAX_LATITUDE), lon + wide, min(lat + high, MAX_LATITUDE)),
        why=f"{radius:g} km around {lon:g},{lat:g}",
    )


def check_hits(extent: Extent, data: Data) -> None:
    """Refuse a box in which there is nothing of the data.

    Raises:
        ExtentError: it misses the data.
    """
    west, south, east, north = extent.degrees()
    w, s, e, n = data.bounds
    overlaps = any(west + turn < e and east + turn > w for turn in (-360.0, 0.0, 360.0))
    if not (overlaps and south < n and north > s):
        raise ExtentError(
            f"{extent.why} misses the data, which lies within {w:.4f},{s:.4f},{e:.4f},{n:.4f} (W,S,E,N in degrees)"
        )


def _numbers(text: str, count: int, form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.replace(" ", "").split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(math.isfinite(v) for v in numbers):
        raise ExtentError(f"'{text}' is not {form.split(' ')[1]}; write {form} as numbers with commas between")
    return numbers


def _only_one_place(where: Where) -> None:
    _only_one({"--extent": where.extent, "--place": where.place, "--around": where.around, "--tile": where.tile})


def _only_one(options: dict[str, object]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise JobError(f"{' and '.join(given)} exclude each other; pass one of them")


def _describe(hit: Hit) -> str:
    return f"{hit.name} ({hit.kind}) at {hit.lon:.4f},{hit.lat:.4f}"
