"""``mapstyle tiles``: a pyramid of tiles that can be stopped, resumed and brought up to date."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mapstyle.cli import options as o

if TYPE_CHECKING:
    from mapstyle.batch.ledger import Ledger
    from mapstyle.batch.plan import Block, Plan
    from mapstyle.batch.run import Report, Run
    from mapstyle.batch.work import Recipe
    from mapstyle.cli.talk import Talk
    from mapstyle.exports.encoding import TileFormat
    from mapstyle.exports.tilejson import Tileset

Levels = Annotated[str, typer.Option("--zoom", metavar="A-B", help="Levels of the tiles, as in 8-15.")]
Outputs = Annotated[
    list[Path], typer.Option("--output", "-o", metavar="OUT", help="A folder, .mbtiles or .pmtiles; may be repeated.")
]
TileSize = Annotated[int, typer.Option("--tile-size", metavar="N", help="256, or 512 (a quarter of the requests).")]
Format = Annotated[str, typer.Option("--format", metavar="F", help="png, webp or jpeg.")]
Tms = Annotated[bool, typer.Option("--tms", help="Count the rows of a folder from the bottom.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try blocks again that failed in an earlier run.")]
OutArgument = Annotated[Path, typer.Argument(metavar="OUT", help="An output of 'mapstyle tiles'.")]


def tiles(
    sources: o.Sources = None,
    outputs: Outputs = ...,  # type: ignore[assignment]
    zoom: Levels = ...,  # type: ignore[assignment]
    extent: o.Extent = None,
    place: o.Place = None,
    around: o.Around = None,
    radius: o.Radius = None,
    tile_size: TileSize = 256,
    pixel_ratio: o.PixelRatio = 1,
    image_format: Format = "png",
    tms: Tms = False,
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
    retry_failed: RetryFailed = False,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Make a tile pyramid. The same command again goes on where it stopped, and paints only what has changed."""
    from mapstyle.batch.ledger import Ledger
    from mapstyle.batch.local import ATTEMPTS
    from mapstyle.batch.plan import TileGrid, plan
    from mapstyle.batch.run import Run
    from mapstyle.batch.store import BlockStore
    from mapstyle.batch.work import Recipe
    from mapstyle.cli.opening import open_data, sources_digest
    from mapstyle.cli.painting import cores
    from mapstyle.cli.talk import Talk
    from mapstyle.errors import JobError
    from mapstyle.exports.tiles import check_tiles
    from mapstyle.job import HowLarge, Where, find_extent
    from mapstyle.pipeline import EngineChoice, Words, choose_engine
    from mapstyle.sources.store import cache_folder
    from mapstyle.style import load_style

    talk = Talk(quiet, as_json)
    if tile_size not in (256, 512):
        raise JobError(f"--tile-size {tile_size}: tiles are 256 or 512 pixels wide")
    kind, levels = _format(image_format), _levels(zoom)
    look = load_style(style, changes or ())
    data = open_data(sources or (), talk)
    box = find_extent(Where(extent, place, around, radius), HowLarge(), data).degrees()
    spec, why = choose_engine(look, EngineChoice(engine.value), device, cache_folder())
    side = -(-max(spec.block, 1024) // tile_size) * tile_size
    job = plan(box, levels, TileGrid(tile_size, pixel_ratio, side))
    count = workers or (1 if spec.block else cores())
    home = store_folder(outputs[0])
    # A file names itself relative to where the command was given; workers begin elsewhere.
    recipe = Recipe(
        tuple(sources or ()), Path.cwd(), cache_folder(), look, spec, look.seed if seed is None else seed, language,
        Words.NONE if no_labels else Words.BURN, job.grid, (kind,), home / "blocks",
    )  # fmt: skip
    digest = recipe.digest(sources_digest(data))
    credit = data.atlas.attribution if attribution is None else attribution
    tileset = _tileset(job, box, title or look.title, "" if credit == "none" else credit, kind, tms, recipe, digest)
    for output in outputs:
        check_tiles(output, tileset, overwrite or _ours(home, output))
    talk.say(
        f"{', '.join(map(str, outputs))}: levels {levels[0]}-{levels[-1]}, {job.tiles} tiles in {job.count} blocks, "
        f"style {look.name}, engine {why}, {count} {'worker' if count == 1 else 'workers'}",
        tiles=job.tiles, blocks=job.count, style=look.name, engine=spec.name, workers=count, bounds=list(box),
    )  # fmt: skip
    if dry_run:
        return
    ledger = Ledger(home / "ledger.db")
    ledger.hold()
    try:
        store = BlockStore(recipe.store)
        for _ in range(ATTEMPTS):
            run = Run(job, ledger, store, digest, retry_failed)
            report = _paint(run, job, recipe, count, talk)
            broken = _gather(run, outputs, tileset, overwrite, ledger)
            if not broken:
                break
            talk.say(f"note: {len(broken)} finished blocks were damaged on disk; they are painted again")
        else:
            raise JobError(f"{recipe.store}: finished blocks are damaged there again and again; is the disk sound?")
        run.sweep()
        for output in outputs:
            talk.result(str(output))
    finally:
        ledger.release()
    _tell(report, talk)


def status(out: OutArgument, as_json: o.Json = False) -> None:
    """Tell how far a tile pyramid is, and what failed."""
    from mapstyle.batch.ledger import DONE, FAILED, Ledger
    from mapstyle.cli.talk import Talk
    from mapstyle.errors import JobError

    talk = Talk(False, as_json)
    file = store_folder(out) / "ledger.db"
    if not file.is_file():
        raise JobError(f"{out}: there is no {file} that tells how it was made; name an output of 'mapstyle tiles'")
    ledger = Ledger(file)
    counts = ledger.counts()
    told = {"done": counts.get(DONE, 0), "failed": counts.get(FAILED, 0), "planned": int(ledger.fact("planned") or 0)}
    talk.result(f"{told['done']} of {told['planned']} blocks done, {told['failed']} failed", **told)
    for entry in ledger.entries(FAILED):
        block = entry.block
        talk.result(f"failed: level {block.level}, block {block.column}/{block.row}: {entry.error}", error=entry.error)


def store_folder(output: Path) -> Path:
    """Give the folder beside an output in which its finished blocks and its ledger are kept."""
    return output.with_name(f"{output.name}.store")


def _ours(home: Path, output: Path) -> bool:
    """Tell whether an output was written from this store: then it is brought up to date."""
    from contextlib import closing

    from mapstyle.batch.ledger import Ledger

    if not (home / "ledger.db").is_file():
        return False
    with closing(Ledger(home / "ledger.db")) as ledger:
        return str(output.absolute()) in ledger.fact("outputs").splitlines()


def _paint(run: "Run", job: "Plan", recipe: "Recipe", workers: int, talk: "Talk") -> "Report":
    from mapstyle.batch.ledger import Entry
    from mapstyle.batch.local import run_here, run_local

    run.tell(planned=str(job.count))
    with talk.progress("painting", job.count, "blocks") as advance:

        def step(entry: Entry) -> None:
            advance.step()
            if entry.error:
                talk.say(
                    f"note: level {entry.block.level}, block {entry.block.column}/{entry.block.row}: {entry.error}"
                )

        if workers == 1:
            return run.execute(lambda tasks: run_here(recipe, tasks), step)
        return run.execute(lambda tasks: run_local(recipe, tasks, workers), step)


def _gather(run: "Run", outputs: list[Path], tileset: "Tileset", overwrite: bool, ledger: "Ledger") -> "list[Block]":
    """Write all outputs; none of them when finished blocks turn out to be damaged, which are given then."""
    from contextlib import ExitStack

    from mapstyle.exports.tiles import open_tiles

    if broken := run.broken():
        return broken

    known = ledger.fact("outputs").splitlines()
    with ExitStack() as stack:
        sinks = [
            stack.enter_context(open_tiles(path, tileset, overwrite or str(path.absolute()) in known))
            for path in outputs
        ]

        def write(kind: str, level: int, column: int, row: int, data: bytes) -> None:
            for sink in sinks:
                sink.write(level, column, row, data)

        run.gather(write)
    ledger.tell(outputs="\n".join(sorted({*known, *(str(path.absolute()) for path in outputs)})))
    return []


def _tell(report: "Report", talk: "Talk") -> None:
    from mapstyle.errors import JobError

    talk.say(
        f"{len(report.changed)} blocks painted, {report.made - len(report.changed)} found unchanged, "
        f"{report.kept} kept, {len(report.failed)} failed",
        painted=len(report.changed), unchanged=report.made - len(report.changed), kept=report.kept,
        failed=len(report.failed),
    )  # fmt: skip
    if report.failed:
        first = report.failed[0]
        where = f"level {first.block.level}, block {first.block.column}/{first.block.row}"
        raise JobError(
            f"{len(report.failed)} blocks failed and their tiles are missing, the first ({where}) because: "
            f"{first.error}; --retry-failed tries them again, 'mapstyle status OUT' lists them"
        )


def _tileset(
    job: "Plan", box: tuple[float, float, float, float], name: str, credit: str, kind: "TileFormat", tms: bool,
    recipe: "Recipe", digest: str,
) -> "Tileset":  # fmt: skip
    import json

    from mapstyle import __version__
    from mapstyle.exports.tilejson import Tileset

    levels = [part.level for part in job.parts]
    made = {"software": f"mapstyle {__version__}", "style": recipe.style.name, "style_digest": recipe.style.digest,
            "engine": recipe.spec.name, "seed": recipe.seed, "run": digest}  # fmt: skip
    middle = (levels[0] + levels[-1]) // 2
    return Tileset(
        name, recipe.style.summary, credit, box, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, middle), levels[0],
        levels[-1], job.grid.size, job.grid.pixel_ratio, kind, "tms" if tms else "xyz", recipe.style.name,
        json.dumps(made),
    )  # fmt: skip


def _format(text: str) -> "TileFormat":
    from mapstyle.errors import JobError, nearest
    from mapstyle.exports.encoding import SUFFIXES, TileFormat

    if text not in SUFFIXES:
        raise JobError(f"--format {text}: no such format of tiles. {nearest(text, SUFFIXES)}")
    return TileFormat(kind=text)


def _levels(text: str) -> range:
    """Read ``A-B`` or ``A``."""
    import re

    from mapstyle.errors import JobError

    match = re.fullmatch(r"(\d{1,2})(?:-(\d{1,2}))?", text.strip())
    if not match:
        raise JobError(f"--zoom {text}: write levels as A-B, as in 8-15")
    return range(int(match[1]), int(match[2] or match[1]) + 1)
