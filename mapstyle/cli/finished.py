"""``mapstyle export``, ``status`` and ``verify``: what can be done with tiles that are painted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mapstyle.cli import options as o

if TYPE_CHECKING:
    from mapstyle.batch.ledger import Ledger
    from mapstyle.exports.verdict import Expected

StoreArgument = Annotated[Path, typer.Argument(metavar="STORE", help="An output of 'mapstyle tiles', or its .store.")]
OutArgument = Annotated[Path, typer.Argument(metavar="OUT", help="An output of 'mapstyle tiles'.")]
Format = Annotated[str, typer.Option("--format", metavar="F", help="png, webp, webp-lossless or jpeg [as painted].")]


def export(
    store: StoreArgument,
    outputs: o.TileOutputs,
    image_format: Format = "",
    tms: o.Tms = False,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
) -> None:
    """Write finished tiles into another output, without painting anything again."""
    from dataclasses import replace

    from mapstyle.batch.gather import BrokenBlockError, done, kept_job
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
            if kind != before and str(output.absolute()) == str(home.absolute()).removesuffix(".store"):
                raise JobError(f"{output}: is what these blocks were painted for; give the other format another name")
        blocks = BlockStore(home / "blocks")
        finished = sum(1 for _ in done(kept.plan, ledger))
        if finished < kept.plan.count:
            talk.say(f"note: {kept.plan.count - finished} of {kept.plan.count} blocks are not finished; "
                     "their tiles are missing")  # fmt: skip
        if not before.lossless and kind != before:
            talk.say(f"note: tiles were kept as {before.kind} and lose a little more in {kind.kind}")
        side = (tileset.tile_size * tileset.pixel_ratio,) * 2
        change = None if kind == before else lambda data: encode(decode(data, side), kind)
        write_outputs(kept.plan, tileset, outputs, ledger, blocks, overwrite, talk, change, kept=True)
    except BrokenBlockError:
        raise JobError(
            f"{home}: finished blocks are damaged or gone there; run the 'mapstyle tiles' command that made them "
            "once more, it paints those alone"
        ) from None
    finally:
        ledger.release()


def status(out: OutArgument, as_json: o.Json = False) -> None:
    """Tell how far a tile pyramid is, and what failed."""
    from contextlib import closing

    from mapstyle.batch.gather import kept_job
    from mapstyle.batch.ledger import FAILED
    from mapstyle.cli.talk import Talk
    from mapstyle.cli.tiling import name_of

    talk = Talk(False, as_json)
    with closing(_ledger(_home(out), out)) as ledger:
        plan = kept_job(ledger, out).plan
        found = [entry for block in plan.blocks() if (entry := ledger.entry(block)) is not None]
        failed = [entry for entry in found if entry.state == FAILED]
        told = {"done": len(found) - len(failed), "failed": len(failed), "planned": plan.count}
        talk.result(f"{told['done']} of {told['planned']} blocks done, {told['failed']} failed", **told)
        for entry in failed:
            talk.result(f"failed: {name_of(entry.block)}: {entry.error}", error=entry.error)


def verify(out: OutArgument, quiet: o.Quiet = False, as_json: o.Json = False) -> None:
    """Read every tile of an output and tell what is wrong with it.

    With its .store beside it, each tile is also compared with what was painted.
    """
    from contextlib import ExitStack, closing

    from mapstyle.cli.talk import Talk
    from mapstyle.exports.verify import verify_tiles

    talk = Talk(quiet, as_json)
    with ExitStack() as stack:
        home = _home(out)
        expected = None
        if (home / "ledger.db").is_file():
            expected = _expected(stack.enter_context(closing(_ledger(home, out))), home, out)
        verdict = verify_tiles(out, expected)
    for fault in verdict.faults:
        talk.result(str(fault), where=fault.where, what=fault.what, cure=fault.cure)
    if verdict.count > len(verdict.faults):
        talk.result(f"... and {verdict.count - len(verdict.faults)} more")
    compared = " and compared with what was painted" if expected is not None and verdict.kind != "cog" else ""
    talk.say(
        f"{out}: {verdict.present} of {verdict.promised} tiles are there, all read{compared}; "
        + ("sound" if verdict.sound else f"{verdict.count} {'fault' if verdict.count == 1 else 'faults'}"),
        kind=verdict.kind, promised=verdict.promised, present=verdict.present, faults=verdict.count,
    )  # fmt: skip
    if not verdict.sound:
        raise typer.Exit(3)


def _expected(ledger: "Ledger", home: Path, out: Path) -> "Expected | None":
    """Give what the store has of each tile; None when the output was not written from it as it is now."""
    from functools import lru_cache

    from mapstyle.batch.gather import kept_job
    from mapstyle.batch.ledger import DONE
    from mapstyle.batch.plan import Block
    from mapstyle.batch.store import BlockStore
    from mapstyle.errors import JobError
    from mapstyle.exports.contents import tile_digest

    try:
        kept = kept_job(ledger, home)
    except JobError:
        return None
    if f"{out.absolute()}\t{kept.tileset.format.model_dump_json()}" not in ledger.fact("written").splitlines():
        return None
    store, n, suffix = BlockStore(home / "blocks"), kept.plan.grid.across, kept.tileset.format.suffix

    @lru_cache(maxsize=4096)
    def of_block(block: Block) -> dict[tuple[int, int], int]:
        entry = ledger.entry(block)
        tiles = store.get(entry.fingerprint) if entry is not None and entry.state == DONE else None
        places = {(block.column * n + c, block.row * n + r): data for (kind, c, r), data in (tiles or {}).items()
                  if kind == suffix}  # fmt: skip
        return {place: tile_digest(block.level, *place, data) for place, data in places.items()}

    return lambda z, x, y: of_block(Block(z, x // n, y // n)).get((x, y))


def _home(path: Path) -> Path:
    """Find the folder of finished blocks that a person means."""
    from mapstyle.cli.tiling import find_store

    return path if (path / "ledger.db").is_file() else find_store(path)


def _ledger(home: Path, named: Path) -> "Ledger":
    from mapstyle.batch.ledger import Ledger
    from mapstyle.errors import JobError

    file = home / "ledger.db"
    if not file.is_file():
        raise JobError(f"{named}: there is no {file} that tells how it was made; name an output of 'mapstyle tiles'")
    return Ledger(file)
