"""What a tileset says about itself, once for all its tiles: TileJSON 3.0, MBTiles 1.3 and PMTiles 3.

Two names are our own in all of them, each one line of JSON as text: ``mapstyle`` says how the tiles were made, and
``mapstyle_tiles`` what an output holds once it is whole: ``count`` tiles; their ``digest`` (the sum, modulo 2^128, of
blake2b-128 over z in one byte, x and y from the north in four each, high byte first, and the tile's bytes); ``levels``,
the rectangles of tiles that were asked for, ``[z, first column, first row, columns, rows]``; and ``about``, a digest of
all other metadata, so that a change to them is seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mapstyle.exports.contents import CONTENTS, Contents, Part
from mapstyle.exports.encoding import Kind, TileFormat
from mapstyle.exports.parameters import clean
from mapstyle.frame import MAX_LATITUDE, TILE, Frame, Grid, cover_tiles

Scheme = Literal["xyz", "tms"]

FORMATS: Mapping[Kind, str] = {"png": "png", "webp": "webp", "jpeg": "jpg"}
"""Kind of tile -> what TileJSON and MBTiles call it."""


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
    def side(self) -> int:
        """Real pixels on the side of a tile."""
        return self.tile_size * self.pixel_ratio

    def grid(self, level: int) -> Grid:
        """Give the grid on which a level's tiles lie."""
        return Grid.web_mercator(level + (self.tile_size // TILE).bit_length() - 1, self.pixel_ratio)

    def part(self, level: int) -> Part:
        """Give the rectangle of tiles of a level that the bounds touch."""
        return Part(level, *cover_tiles(self.bounds, level))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The rectangles of tiles of all levels, the lowest first."""
        return tuple(self.part(level) for level in range(self.minzoom, self.maxzoom + 1))

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


@dataclass(frozen=True)
class Held:
    """What was written into an output.

    Attributes:
        count: how many tiles.
        digest: of all of them, 32 hex digits.
    """

    count: int
    digest: str


def tilejson(tileset: Tileset, url: str, held: Held | None = None) -> dict[str, Any]:
    """Give the TileJSON of tiles at ``url``, which holds ``{z}``, ``{x}`` and ``{y}``; ``held`` once they are whole.

    ``tileSize`` and ``pixelRatio`` are not of the standard; MapLibre takes the first, without which it would
    show tiles of 256 pixels at twice their size. ``vector_layers`` belongs to vector tiles alone (3.15).
    """
    words = {
        "tilejson": "3.0.0",
        "tiles": [url],
        **_words(tileset),
        "scheme": tileset.scheme,
        "bounds": list(tileset.extent),
        "center": list(tileset.view),
        "minzoom": tileset.minzoom,
        "maxzoom": tileset.maxzoom,
        "format": FORMATS[tileset.format.kind],
    }
    return words | _contents(tileset, held, words)


def mbtiles_metadata(tileset: Tileset, held: Held | None = None) -> dict[str, str]:
    """Give the rows of the ``metadata`` table, MBTiles 1.3; rows of tiles are TMS whatever the folder's are."""
    words = {name: str(value) for name, value in _words(tileset).items()}
    words |= {
        "type": "baselayer",
        "version": "1",  # of the tileset, a plain number here
        "format": FORMATS[tileset.format.kind],
        "bounds": ",".join(f"{v:.10f}" for v in _whole_pixels(tileset)),
        "center": "{:.7f},{:.7f},{}".format(*tileset.view),
        "minzoom": str(tileset.minzoom),
        "maxzoom": str(tileset.maxzoom),
        "scheme": "tms",
    }
    return words | _contents(tileset, held, words)


def pmtiles_metadata(tileset: Tileset, held: Held | None = None) -> dict[str, Any]:
    """Give the JSON of a PMTiles archive; bounds, centre, levels and kind of tile are in its header."""
    words = _words(tileset) | {"type": "baselayer"}
    return words | _contents(tileset, held, words | pmtiles_header(tileset))


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
    grid = tileset.grid(tileset.maxzoom)
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
        "version": "1.0.0",
        "tileSize": tileset.tile_size,
        "pixelRatio": tileset.pixel_ratio,
        "mapstyle": tileset.provenance,
    }


def contents(tileset: Tileset, held: Held) -> Contents:
    """Give what an output holds, before it is sealed with its other metadata."""
    return Contents(tileset.parts, held.count, held.digest)


def _contents(tileset: Tileset, held: Held | None, words: dict[str, Any]) -> dict[str, str]:
    return {} if held is None else {CONTENTS: contents(tileset, held).sealed(words).as_json()}
