"""What a file says about itself: how it was made, and where on Earth it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

import pyproj

from mapstyle.frame import Frame


@dataclass(frozen=True)
class Provenance:
    """How a picture was made; enough to make it again from the same sources.

    Attributes:
        title: what it shows, or empty.
        attribution: what the data's licence asks to be said, or empty.
        software: program and version.
        style: the style's name.
        style_digest: digest of all its settings, changes included.
        engine: name and identity of what painted it.
        seed: the map's seed.
        sources: digest of the data.
        more: anything else worth keeping, such as options as given.
    """

    title: str
    attribution: str
    software: str
    style: str
    style_digest: str
    engine: str
    seed: int
    sources: str
    more: Mapping[str, str] = field(default_factory=dict)

    def as_json(self, frame: Frame) -> str:
        """Give one line of JSON, with the frame's place."""
        grid = frame.grid
        return json.dumps(
            {
                "software": self.software,
                "style": self.style,
                "style_digest": self.style_digest,
                "engine": self.engine,
                "seed": self.seed,
                "sources": self.sources,
                "title": self.title,
                "attribution": self.attribution,
                "crs": grid.crs,
                "resolution": grid.resolution,
                "level": grid.level,
                "pixel_ratio": grid.pixel_ratio,
                "frame": [frame.column, frame.row, frame.width, frame.height],
                **self.more,
            },
            ensure_ascii=True,
        )


def pixel_size(frame: Frame) -> float:
    """Give CRS units on the side of a real pixel."""
    return frame.grid.resolution / frame.grid.pixel_ratio


def world_file(frame: Frame) -> str:
    """Give the text of a world file: pixel size, rotation, and the centre of the upper left pixel."""
    size = pixel_size(frame)
    west, _, _, north = frame.crs_bounds()
    values = (size, 0.0, 0.0, -size, west + size / 2, north - size / 2)
    return "".join(f"{v:.10f}\n" for v in values)


def aux_xml(frame: Frame) -> str:
    """Give the text of a GDAL auxiliary file (PAM) with the CRS, the transform and no statistics."""
    size = pixel_size(frame)
    west, _, _, north = frame.crs_bounds()
    wkt = pyproj.CRS(frame.grid.crs).to_wkt()
    transform = ", ".join(f"{v:.17g}" for v in (west, size, 0.0, north, 0.0, -size))
    return (
        f'<PAMDataset>\n  <SRS dataAxisToSRSAxisMapping="1,2">{escape(wkt)}</SRS>\n'
        f"  <GeoTransform>{transform}</GeoTransform>\n</PAMDataset>\n"
    )
