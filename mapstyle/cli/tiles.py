"""``mapstyle tiles``: a pyramid of tiles that can be stopped, resumed and brought up to date."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mapstyle.cli import options as o

if TYPE_CHECKING:
    from mapstyle.batch.plan import Plan
    from mapstyle.batch.work import Recipe
    from mapstyle.exports.encoding import TileFormat
    from mapstyle.exports.tilejson import Tileset


class PyramidWay(StrEnum):
    """Where the lower levels come from."""

    AUTO = "auto"
    PAINT = "paint"
    SHRINK = "shrink"


Levels = Annotated[str, typer.Option("--zoom", metavar="A-B", help="Levels of the tiles, as in 8-15.")]
TileSize = Annotated[int, typer.Option("--tile-size", metavar="N", help="256, or 512 (a quarter of the requests).")]
Format = Annotated[str, typer.Option("--format", metavar="F", help="png, webp, webp-lossless or jpeg.")]
Pyramid = Annotated[
    PyramidWay,
    typer.Option(
        "--pyramid",
        help="Paint each level, or paint the highest and every third below it and shrink the two between; "
        "auto paints with the painter and shrinks with sdxl.",
    ),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try blocks again that failed in an earlier run.")]
ChangedOnly = Annotated[
    bool, typer.Option("--changed-only", help="Paint only blocks that were painted before and have changed.")
]
TellChanges = Annotated[
    bool, typer.Option("--report", help="Say which blocks have changed, and why; with --dry-run without painting.")
]
Price = Annotated[
    float | None, typer.Option("--price", metavar="PER_HOUR", min=0, help="What the machines cost, with --dry-run.")
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray", metavar="ADDRESS", help="Paint with Ray: on a cluster at HOST:PORT or auto; without ADDRESS here."
    ),
]


def tiles(
    sources: o.Sources = None,
    outputs: o.TileOutputs = ...,  # type: ignore[assignment]
    zoom: Levels = ...,  # type: ignore[assignment]
    extent: o.Extent = None,
    place: o.Place = None,
    around: o.Around = None,
    radius: o.Radius = None,
    tile_size: TileSize = 256,
    pixel_ratio: o.PixelRatio = 1,
    image_format: Format = "png",
    tms: o.Tms = False,
    pyramid: Pyramid = PyramidWay.AUTO,
    style: o.StyleName = "watercolour",
    changes: o.Changes = None,
    seed: o.Seed = None,
    engine: o.Engine = o.EngineName.AUTO,
    device: o.Device = "auto",
    no_labels: o.NoLabels = False,
    language: o.Language = "",
    title: o.Title = None,
    attribution: o.Attribution = None,
    workers: o.Workers = None,
    ray: Ray = None,
    retry_failed: RetryFailed = False,
    changed_only: ChangedOnly = False,
    report: TellChanges = False,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
    dry_run: o.DryRun = False,
    price: Price = None,
) -> None:
    """Make a tile pyramid. The same command again goes on where it stopped, and paints only what has changed."""
    from mapstyle.batch.plan import TileGrid, plan, side_for
    from mapstyle.batch.work import Recipe
    from mapstyle.choice import EngineChoice, choose_engine
    from mapstyle.cli import tiling
    from mapstyle.cli.opening import open_data
    from mapstyle.cli.painting import cores
    from mapstyle.cli.talk import Talk
    from mapstyle.errors import JobError
    from mapstyle.fingerprint import fingerprint
    from mapstyle.job import HowLarge, Where, check_hits, find_extent
    from mapstyle.labels import drawable_scripts
    from mapstyle.pipeline import Words
    from mapstyle.sources.store import cache_folder, source_files
    from mapstyle.style import load_style

    talk = Talk(quiet, as_json)
    if tile_size not in (256, 512):
        raise JobError(f"--tile-size {tile_size}: tiles are 256 or 512 pixels wide")
    if price is not None and not dry_run:
        raise JobError("--price is for an estimate; give it with --dry-run")
    kind, levels = tile_format(image_format), _levels(zoom)
    look = load_style(style, changes or ())
    data = open_data(sources or (), talk)
    where = find_extent(Where(extent, place, around, radius), HowLarge(), data)
    check_hits(where, data)
    box = where.degrees()
    spec, why = choose_engine(look, EngineChoice(engine.value), device, cache_folder())
    shrink = spec.block > 0 if pyramid is PyramidWay.AUTO else pyramid is PyramidWay.SHRINK
    job = plan(box, levels, TileGrid(tile_size, pixel_ratio, side_for(spec.block, pixel_ratio)), shrink)
    devices = spec.devices if device == "auto" else ()
    home = tiling.find_store(outputs[0])
    # A file names itself relative to where the command was given; workers begin elsewhere.
    recipe = Recipe(
        tuple(sources or ()), data.digest, Path.cwd(), cache_folder(), look, spec,
        look.seed if seed is None else seed, language, Words.NONE if no_labels else Words.BURN, job, (kind,),
        (home / "blocks").absolute(), "" if no_labels else fingerprint(drawable_scripts()),
    )  # fmt: skip
    credit = data.atlas.attribution if attribution is None else attribution
    tileset = _tileset(recipe, box, title or look.title, "" if credit == "none" else credit, tms)
    whole = tiling.TileJob(
        recipe, tileset, tuple(outputs), home, tuple(f for s in sources or () for f in source_files(s)), why,
        workers or (0 if ray else max(1, len(devices)) if spec.block else cores()), devices, ray, retry_failed,
        changed_only, overwrite, report,
    )  # fmt: skip
    tiling.check_outputs(whole)
    tiling.describe(whole, talk)
    if dry_run and report:
        tiling.tell_changes(tiling.look(whole, talk), talk)
    elif dry_run:
        tiling.estimate(whole, price, talk)
    else:
        tiling.tell(tiling.make(whole, talk), talk, report)


def _tileset(recipe: "Recipe", box: tuple[float, float, float, float], name: str, credit: str, tms: bool) -> "Tileset":
    from mapstyle.cli.tiling import provenance
    from mapstyle.exports.tilejson import Tileset

    job: Plan = recipe.plan
    first, last = job.parts[0].level, job.parts[-1].level
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, (first + last) // 2)
    return Tileset(
        name, recipe.style.summary, credit, box, centre, first, last, job.grid.size, job.grid.pixel_ratio,
        recipe.formats[0], "tms" if tms else "xyz", recipe.style.name, provenance(recipe),
    )  # fmt: skip


def tile_format(text: str) -> "TileFormat":
    """Read the name of a format of tiles."""
    from mapstyle.errors import JobError, nearest
    from mapstyle.exports.encoding import SUFFIXES, TileFormat

    kind, _, way = text.partition("-")
    if kind not in SUFFIXES or text not in (kind, "webp-lossless"):
        raise JobError(f"--format {text}: no such format of tiles. {nearest(text, (*SUFFIXES, 'webp-lossless'))}")
    return TileFormat(kind=kind, lossless=True) if way else TileFormat(kind=kind)


def _levels(text: str) -> range:
    """Read ``A-B`` or ``A``."""
    import re

    from mapstyle.errors import JobError

    match = re.fullmatch(r"(\d{1,2})(?:-(\d{1,2}))?", text.strip())
    if not match:
        raise JobError(f"--zoom {text}: write levels as A-B, as in 8-15")
    return range(int(match[1]), int(match[2] or match[1]) + 1)
