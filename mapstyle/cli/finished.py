"""``mapstyle export``, ``status`` and ``verify``: what can be done with tiles that are painted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mapstyle.cli import options as o

if TYPE_CHECKING:
    from mapstyle.batch.ledger import Ledger

StoreArgument = Annotated[Path, typer.Argument(metavar="STORE", help="An output of 'mapstyle tiles', or its .store.")]
OutArgument = Annotated[Path, typer.Argument(metavar="OUT", help="An output of 'mapstyle tiles'.")]
Outputs = Annotated[
    list[Path],
    typer.Option("--output", "-o", metavar="OUT", help="A folder, .mbtiles, .pmtiles or .tif (COG); may be repeated."),
]
Format = Annotated[str, typer.Option("--format", metavar="F", help="png, webp, webp-lossless or jpeg [as painted].")]
Tms = Annotated[bool, typer.Option("--tms", help="Count the rows of a folder from the bottom.")]


def export(
    store: StoreArgument,
    outputs: Outputs,
    image_format: Format = "",
    tms: Tms = False,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
) -> None:
    """Write finished tiles into another output, without painting anything again."""
    from dataclasses import replace

    from mapstyle.batch.gather import broken, kept_job
    from mapstyle.batch.store import BlockStore
    from mapstyle.cli.talk import Talk
    from mapstyle.cli.tiles import tile_format
    from mapstyle.cli.tiling import ours, write_outputs
    from mapstyle.errors import JobError
    from mapstyle.exports.encoding import decode, encode
    from mapstyle.exports.tiles import check_tiles

    talk = Talk(quiet, as_json)
    home = _home(store)
    ledger = _ledger(home, store)
    ledger.hold()
    try:
        kept = kept_job(ledger, home)
        before = kept.tileset.format
        kind = tile_format(image_format) if image_format else before
        tileset = replace(kept.tileset, format=kind, scheme="tms" if tms else "xyz")
        for output in outputs:
            check_tiles(output, tileset, overwrite or ours(home, output))
        blocks = BlockStore(home / "blocks")
        damaged = next(broken(kept.plan, ledger, blocks), None)
        if damaged is not None:
            raise JobError(
                f"{home}: finished blocks are damaged or gone there; run the 'mapstyle tiles' command that made them "
                "once more, it paints those alone"
            )
        if not before.lossless and kind != before:
            talk.say(f"note: tiles were kept as {before.kind} and lose a little more in {kind.kind}")
        side = (tileset.tile_size * tileset.pixel_ratio,) * 2
        change = None if kind == before else lambda data: encode(decode(data, side), kind)
        write_outputs(kept.plan, tileset, outputs, ledger, blocks, overwrite, talk, change)
    finally:
        ledger.release()


def status(out: OutArgument, as_json: o.Json = False) -> None:
    """Tell how far a tile pyramid is, and what failed."""
    from contextlib import closing

    from mapstyle.batch.ledger import DONE, FAILED
    from mapstyle.cli.talk import Talk
    from mapstyle.cli.tiling import name_of

    talk = Talk(False, as_json)
    with closing(_ledger(_home(out), out)) as ledger:
        counts = ledger.counts()
        told = {"done": counts.get(DONE, 0), "failed": counts.get(FAILED, 0),
                "planned": int(ledger.fact("planned") or 0)}  # fmt: skip
        talk.result(f"{told['done']} of {told['planned']} blocks done, {told['failed']} failed", **told)
        for entry in ledger.entries(FAILED):
            talk.result(f"failed: {name_of(entry.block)}: {entry.error}", error=entry.error)


def _home(path: Path) -> Path:
    """Find the folder of finished blocks that a person means."""
    from mapstyle.cli.tiling import store_folder

    return path if (path / "ledger.db").is_file() else store_folder(path)


def _ledger(home: Path, named: Path) -> "Ledger":
    from mapstyle.batch.ledger import Ledger
    from mapstyle.errors import JobError

    file = home / "ledger.db"
    if not file.is_file():
        raise JobError(f"{named}: there is no {file} that tells how it was made; name an output of 'mapstyle tiles'")
    return Ledger(file)
