"""Options that several commands share, each defined once.

``Sources``, ``Extent``, ``Place``, ``Around``, ``Radius``, ``Tile``: where.
``Zoom``, ``Resolution``, ``Scale``, ``Dpi``, ``Size``, ``Crs``, ``PixelRatio``: how large a pixel is.
``StyleName``, ``Changes``, ``Seed``, ``Engine``: how it looks and who paints.
``Words``, ``NoLabels``, ``Language``, ``EdgeLabels``, ``Title``, ``Attribution``: words.
``Overwrite``, ``Workers``, ``Quiet``, ``Json``, ``DryRun``: how the run goes.
``Output``, ``TileOutputs``, ``Tms``: what is written.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class EngineName(StrEnum):
    """Who paints."""

    AUTO = "auto"
    PAINTER = "painter"
    SDXL = "sdxl"


class LabelWay(StrEnum):
    """What becomes of the labels."""

    BURN = "burn"
    SHEET = "sheet"
    VECTOR = "vector"
    NONE = "none"


class EdgeWay(StrEnum):
    """What becomes of labels over the picture's own edge."""

    CUT = "cut"
    DROP = "drop"


Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE...",
        help="Files: OSM .osm.pbf .osm .osm.gz .osm.bz2, .gpkg .geojson .shp .fgb .parquet, .zip of those, "
        "GeoTIFF or .hgt(.zip) elevation. FILE#LAYER picks a layer, FILE=KIND says what an untagged file is.",
        show_default=False,
    ),
]
Extent = Annotated[
    str | None, typer.Option("--extent", metavar="W,S,E,N", help="Degrees, or in --crs; W > E crosses 180.")
]
Place = Annotated[
    str | None, typer.Option("--place", metavar="NAME", help="A place, area or street named in the data.")
]
Around = Annotated[str | None, typer.Option("--around", metavar="LON,LAT", help="Centre; see --radius.")]
Radius = Annotated[float | None, typer.Option("--radius", metavar="KM", help="Half the width, with --around [1].")]
Tile = Annotated[str | None, typer.Option("--tile", metavar="Z/X/Y", help="Exactly that tile of 256 px.")]
Zoom = Annotated[int | None, typer.Option("--zoom", metavar="Z", help="Web Mercator level, 0-22.")]
Resolution = Annotated[float | None, typer.Option("--resolution", metavar="M", help="Metres to a pixel.")]
Scale = Annotated[float | None, typer.Option("--scale", metavar="N", help="Map scale 1:N, printed at --dpi.")]
Dpi = Annotated[float, typer.Option("--dpi", metavar="D", help="Dots per inch, with --scale.")]
Size = Annotated[
    str | None, typer.Option("--size", metavar="WxH", help="Pixels of the picture; alone, it picks the level.")
]
Crs = Annotated[str | None, typer.Option("--crs", metavar="CRS", help="CRS of --extent and of a metre grid.")]
PixelRatio = Annotated[
    int, typer.Option("--pixel-ratio", metavar="N", min=1, max=4, help="2 is @2x: the same map, finer.")
]
StyleName = Annotated[str, typer.Option("--style", metavar="NAME", help="A style's name, or a path to one.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of the style; may be repeated."),
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", min=0, help="Another hand, same style.")]
Engine = Annotated[
    EngineName,
    typer.Option("--engine", help="Who paints; auto is sdxl when a CUDA device and the style's weights are here."),
]
Device = Annotated[
    str, typer.Option("--device", help="What a model runs on: auto, cuda, cuda:1, mps or cpu.", show_default=True)
]
Words = Annotated[
    LabelWay,
    typer.Option(
        "--labels",
        help="Burned in, on a sheet of their own beside the picture, as GeoJSON beside it, or none.",
    ),
]
NoLabels = Annotated[bool, typer.Option("--no-labels", help="Same as --labels none.")]
Language = Annotated[
    str,
    typer.Option("--language", metavar="CODE", help="Language of the names, as in 'en' [the local name]."),
]
EdgeLabels = Annotated[EdgeWay, typer.Option("--edge-labels", help="Labels over the picture's own edge.")]
Title = Annotated[str | None, typer.Option("--title", metavar="TEXT", help="A title on the sheet.")]
Attribution = Annotated[
    str | None, typer.Option("--attribution", metavar="TEXT|none", help="Credit line [the data's own].")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
Workers = Annotated[int | None, typer.Option("--workers", metavar="N", min=1, help="Blocks at a time [cores].")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Say everything as JSON, a line each.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Where to write.", show_default=False)]
TileOutputs = Annotated[
    list[Path],
    typer.Option("--output", "-o", metavar="OUT", help="A folder, .mbtiles, .pmtiles or .tif (COG); may be repeated."),
]
Tms = Annotated[bool, typer.Option("--tms", help="Count the rows of a folder from the bottom.")]
