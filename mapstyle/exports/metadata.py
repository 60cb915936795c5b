"""What a file says about itself: how it was made, whether a model made it, and where on Earth it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

import pyproj
from pydantic import TypeAdapter

from mapstyle.exports.parameters import a1111_parameters, clean
from mapstyle.frame import Frame
from mapstyle.making import Making

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""IPTC's vocabulary of digital source types (version of 2024-10-23)."""
XMP_NAMESPACES: Mapping[str, str] = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "mapstyle": "urn:mapstyle:metadata:",
}
"""Prefix -> name space, of what we write into XMP; the last is our own."""


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
        making: how the model painted it; None when no model had a hand in it.
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
    making: Making | None = None

    def as_json(self, frame: Frame) -> str:
        """Give one line of JSON in ASCII, with the frame's place and the grid it lies on."""
        grid = frame.grid
        made = {} if self.making is None else {"making": TypeAdapter(Making).dump_python(self.making, mode="json")}
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
                "origin": [grid.origin_x, grid.origin_y],
                "turn": grid.turn,
                "level": grid.level,
                "pixel_ratio": grid.pixel_ratio,
                "frame": [frame.column, frame.row, frame.width, frame.height],
                **self.more,
                **made,
            },
            ensure_ascii=True,
        )

    def parameters(self, frame: Frame) -> str:
        """Give the text that A1111 and CivitAI read; empty when no model painted."""
        return "" if self.making is None else a1111_parameters(self.making, frame.width, frame.height, self.software)

    def xmp(self, made: str = "") -> str:
        """Give the XMP packet that marks the work of a model, with ``made`` (JSON) in it; empty when none painted."""
        if self.making is None:
            return ""
        base = next((w.name for w in self.making.weights if w.role == "base"), "")
        prompt = self.making.prompt + (f"; not: {self.making.negative}" if self.making.negative else "")
        told = {
            "xmp:CreatorTool": self.software,
            "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPES + source_type(self.making),
            "Iptc4xmpExt:AISystemUsed": base,
            "Iptc4xmpExt:AIPromptInformation": prompt,
            "mapstyle:made": made,
        }
        spaces = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in XMP_NAMESPACES.items())
        lines = "\n".join(f"  <{name}>{escape(clean(text))}</{name}>" for name, text in told.items() if text)
        return (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
            f'<rdf:RDF {spaces}>\n <rdf:Description rdf:about="">\n{lines}\n </rdf:Description>\n</rdf:RDF>\n'
            '</x:xmpmeta>\n<?xpacket end="w"?>'
        )


def source_type(making: Making) -> str:
    """Give IPTC's term for what a model painted.

    ``compositeWithTrainedAlgorithmicMedia`` is "augmentation, correction or enhancement using a generative AI
    model": the model went over a picture that the painter had drawn from real data, and lines and labels drawn
    from it lie on top. At full strength nothing of that picture was kept, only its outlines led the hand, and the
    stronger ``trainedAlgorithmicMedia``, "created using an AI model", is the honest one. The third candidate,
    ``compositeSynthetic``, says no more than that some part came from a model, and few viewers show it as AI.
    """
    return "compositeWithTrainedAlgorithmicMedia" if making.strength < 1 else "trainedAlgorithmicMedia"


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
