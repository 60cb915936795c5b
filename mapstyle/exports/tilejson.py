"""What a tileset says about itself, once for all its tiles: TileJSON 3.0, MBTiles 1.3 and PMTiles 3."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mapstyle.exports.encoding import TileFormat
from mapstyle.exports.parameters import clean
from mapstyle.frame import MAX_LATITUDE, TILE, Frame, Grid

Scheme = Literal["xyz", "tms"]

_MBTILES_FORMATS = {"png": "png", "webp": "webp", "jpeg": "jpg"}


@dataclass(frozen=True)
class Tileset:
    """A pyramid of tiles, and what its readers are told.

    Attributes:
        name: what it is called, in plain words.
        description: what it shows, or empty.
        attribution: what the data's licence asks to be said, or empty.
        bounds: west, south, east, north of what is drawn, degrees; an east beyond 180, or west of west, crosses 180.
        centre: longitude, latitude and zoom of the first view.
        minzoom: lowest level.
        maxzoom: highest level.
        tile_size: logical pixels on the side of a tile, 256 or 512.
        pixel_ratio: real pixels on the side of a logical one; 2 is ``@2x``.
        format: how tiles are encoded.
        scheme: whether rows of a folder count from the north (``xyz``) or from the south (``tms``).
        style: the style's name.
        provenance: how the tiles were made, one line of JSON.
    """

    name: str
    description: str
    attribution: str
    bounds: tuple[float, float, float, float]
    centre: tuple[float, float, int]
    minzoom: int
    maxzoom: int
    tile_size: int
    pixel_ratio: int
    format: TileFormat
    scheme: Scheme
    style: str
    provenance: str

    def __post_init__(self) -> None:
        assert 0 <= self.minzoom <= self.maxzoom <= 24, "levels go upwards"
        assert self.tile_size in (256, 512), "the web knows two sizes of tiles"

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """West, south, east, north within the world; what crosses 180 is given as the whole round.

        TileJSON (3.2) forbids bounds that wrap, and no reader of the other two expects them.
        """
        west, south, east, north = self.bounds
        if not -180 <= west < east <= 180:
            west, east = -180.0, 180.0
        return (
            round(west, 7),
            round(max(south, -MAX_LATITUDE), 7),
            round(east, 7),
            round(min(north, MAX_LATITUDE), 7),
        )

    @property
    def view(self) -> tuple[float, float, int]:
        """Longitude, latitude and zoom of the first view, within the extent and the levels."""
        west, south, east, north = self.extent
        lon, lat, zoom = self.centre
        lon = (lon + 180) % 360 - 180
        return (
            round(min(max(lon, west), east), 7),
            round(min(max(lat, south), north), 7),
            min(max(zoom, self.minzoom), self.maxzoom),
        )


def tilejson(tileset: Tileset, url: str) -> dict[str, Any]:
    """Give the TileJSON of tiles at ``url``, which holds ``{z}``, ``{x}`` and ``{y}``.

    ``tileSize`` and ``pixelRatio`` are not of the standard; MapLibre takes the first, without which it would
    show tiles of 256 pixels at twice their size. ``vector_layers`` belongs to vector tiles alone (3.15).
    """
    return {
        "tilejson": "3.0.0",
        "tiles": [url],
        **_words(tileset),
        "scheme": tileset.scheme,
        "bounds": list(tileset.extent),
        "center": list(tileset.view),
        "minzoom": tileset.minzoom,
        "maxzoom": tileset.maxzoom,
        "format": _MBTILES_FORMATS[tileset.format.kind],
    }


def mbtiles_metadata(tileset: Tileset) -> dict[str, str]:
    """Give the rows of the ``metadata`` table, MBTiles 1.3; rows of tiles are TMS whatever the folder's are."""
    words = {name: str(value) for name, value in _words(tileset).items()}
    return {
        **words,
        "version": "1",  # of the tileset, a plain number here
        "format": _MBTILES_FORMATS[tileset.format.kind],
        "bounds": ",".join(f"{v:.10f}" for v in _whole_pixels(tileset)),
        "center": "{:.7f},{:.7f},{}".format(*tileset.view),
        "minzoom": str(tileset.minzoom),
        "maxzoom": str(tileset.maxzoom),
        "scheme": "tms",
    }


def pmtiles_metadata(tileset: Tileset) -> dict[str, Any]:
    """Give the JSON of a PMTiles archive; bounds, centre, levels and kind of tile are in its header."""
    return _words(tileset)


def pmtiles_header(tileset: Tileset) -> dict[str, int]:
    """Give the places of a PMTiles header, in ten-millionths of a degree."""
    west, south, east, north = (round(v * 1e7) for v in tileset.extent)
    lon, lat, zoom = tileset.view
    return {
        "min_lon_e7": west,
        "min_lat_e7": south,
        "max_lon_e7": east,
        "max_lat_e7": north,
        "center_lon_e7": round(lon * 1e7),
        "center_lat_e7": round(lat * 1e7),
        "center_zoom": zoom,
    }


def _whole_pixels(tileset: Tileset) -> tuple[float, float, float, float]:
    """Widen the extent to whole pixels of the highest level: GDAL lays the first pixel where the bounds begin."""
    level = tileset.maxzoom + (tileset.tile_size // TILE).bit_length() - 1
    grid = Grid.web_mercator(level, tileset.pixel_ratio)
    west, south, east, north = tileset.extent
    (left, top), (right, bottom) = grid.project(np.array([[west, north], [east, south]]))
    return Frame.covering(grid, left, top, right, bottom).lonlat_bounds()


def _words(tileset: Tileset) -> dict[str, Any]:
    """Give what all three say under the same names; what is empty is left out, but for the name."""
    told = {
        "description": clean(tileset.description),
        "attribution": clean(tileset.attribution),
        "style": clean(tileset.style),
    }
    return {
        "name": clean(tileset.name),
        **{name: text for name, text in told.items() if text},
        "type": "baselayer",
        "version": "1.0.0",
        "tileSize": tileset.tile_size,
        "pixelRatio": tileset.pixel_ratio,
        "mapstyle": tileset.provenance,
    }
