"""A tile job as the command line runs it: said beforehand, made, gathered, and told of."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mapstyle import __version__
from mapstyle.batch.gather import BrokenBlockError, done, gather, keep_job
from mapstyle.batch.ledger import Entry, Ledger
from mapstyle.batch.local import Here, Local
from mapstyle.batch.plan import Block, Plan
from mapstyle.batch.run import Executor, Report, Run, Stamps
from mapstyle.batch.store import BlockStore
from mapstyle.batch.work import ATTEMPTS, Recipe, Task, Worker, read_making
from mapstyle.cli.talk import Talk
from mapstyle.errors import JobError
from mapstyle.exports.metadata import SOURCE_TYPES, source_type
from mapstyle.exports.tilejson import Tileset
from mapstyle.exports.tiles import check_tiles, open_tiles

SHRINKING = 0.4
"""Seconds that a shrunk block of 1024 px takes a core, roughly: unpacking, halving, lettering and encoding."""


@dataclass(frozen=True)
class TileJob:
    """What the command line comes to.

    Attributes:
        recipe: how blocks are made.
        tileset: what outputs say of themselves.
        outputs: where tiles go.
        home: folder of finished blocks, ledger and logs.
        files: of all sources.
        who: the engine, in words.
        workers: processes on this machine; with Ray, actors in the whole cluster, 0 for as many as it has room for.
        devices: CUDA devices that they share out among them.
        ray: address of a Ray cluster, ``local`` for one of this machine alone; None without Ray.
        retry_failed: whether blocks that failed before are tried again.
        changed_only: whether only blocks that were made before are looked at.
        overwrite: whether outputs of somebody else are replaced.
        report: whether changed blocks are told one by one.
    """

    recipe: Recipe
    tileset: Tileset
    outputs: tuple[Path, ...]
    home: Path
    files: tuple[Path, ...]
    who: str
    workers: int
    devices: tuple[str, ...] = ()
    ray: str | None = None
    retry_failed: bool = False
    changed_only: bool = False
    overwrite: bool = False
    report: bool = False

    @property
    def plan(self) -> Plan:
        """Which tiles there are."""
        return self.recipe.plan


def store_folder(output: Path) -> Path:
    """Give the folder beside an output in which its finished blocks and its ledger are kept.

    Raises:
        JobError: a path without a name, such as ``.``.
    """
    if output.name in ("", ".."):
        raise JobError(f"{output}: has no name of its own; name a folder or a file in it")
    return output.with_name(f"{output.name}.store")


def find_store(output: Path) -> Path:
    """Find the folder of finished blocks that an output was written from: its own, or that of another beside it."""
    own = store_folder(output)
    if not (own / "ledger.db").is_file():
        for ledger in sorted(output.absolute().parent.glob("*.store/ledger.db")):
            if ours(ledger.parent, output):
                return ledger.parent
    return own


def describe(job: TileJob, talk: Talk) -> None:
    """Say what is about to be done."""
    plan, recipe = job.plan, job.recipe
    levels = [part.level for part in plan.parts]
    west, south, east, north = job.tileset.bounds
    hands = f"{job.workers} {'worker' if job.workers == 1 else 'workers'}" if job.ray is None else f"Ray ({job.ray})"
    shrunk = f", {len(plan.shrunk)} of the levels shrunk" if plan.shrunk else ""
    talk.say(
        f"{', '.join(map(str, job.outputs))}: levels {levels[0]}-{levels[-1]}{shrunk}, "
        f"{west:.5f},{south:.5f},{east:.5f},{north:.5f}, {plan.tiles} tiles in {plan.count} blocks, "
        f"style {recipe.style.name}, engine {job.who}, {hands}",
        tiles=plan.tiles, blocks=plan.count, style=recipe.style.name, engine=recipe.spec.name, workers=job.workers,
        bounds=[west, south, east, north], shrunk=sorted(plan.shrunk),
    )  # fmt: skip


def make(job: TileJob, talk: Talk) -> Report:
    """Make what is left to do, and write the outputs.

    Raises:
        JobError: another run is at work here, a source has changed, blocks failed.
    """
    ledger = Ledger(job.home / "ledger.db")
    ledger.hold()
    try:
        talk.record(job.home / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}.log")
        keep_job(ledger, job.plan, job.tileset)
        for attempt in range(ATTEMPTS):
            # What failed because a block that it is shrunk from was damaged is tried again.
            report = _paint(replace(job, retry_failed=True) if attempt else job, ledger, talk)
            if next(done(job.plan, ledger), None) is None:
                if job.changed_only and not report.failed:
                    raise JobError(f"{job.home}: nothing has been made yet, so nothing can have changed")
                return report  # without a single tile there is nothing to write; the report says why
            tileset = replace(job.tileset, provenance=provenance(job.recipe))
            keep_job(ledger, job.plan, tileset)  # how a model painted is known only now
            try:
                if any(not entry.run for entry in report.failed):
                    raise BrokenBlockError  # one that others are shrunk from
                write_outputs(job.plan, tileset, job.outputs, ledger, BlockStore(job.recipe.store), job.overwrite, talk)
                break
            except BrokenBlockError:
                broken = Run(job.recipe, ledger).strike()
                talk.say(f"note: {len(broken)} finished blocks were damaged on disk; they are painted again")
        else:
            raise JobError(f"{job.recipe.store}: finished blocks are damaged there again and again; is the disk sound?")
        Run(job.recipe, ledger).sweep()
    finally:
        ledger.release()
    return report


def look(job: TileJob, talk: Talk) -> Report:
    """Find out which blocks would be made, and make none."""
    if not (job.home / "ledger.db").is_file():
        raise JobError(f"{job.home}: nothing has been made yet, so nothing can have changed; leave out --report")
    with closing(Ledger(job.home / "ledger.db")) as ledger:
        return _paint(job, ledger, talk, look=True)


def write_outputs(
    plan: Plan, tileset: Tileset, outputs: Sequence[Path], ledger: Ledger, store: BlockStore, overwrite: bool,
    talk: Talk, change: Callable[[bytes], bytes] | None = None, kept: bool = False,
) -> None:  # fmt: skip
    """Write finished tiles into outputs; each appears whole or not at all.

    Args:
        plan: which tiles.
        tileset: what outputs say of themselves.
        outputs: where they go.
        ledger: knows which blocks are finished, and which outputs were written from it.
        store: has them.
        overwrite: whether outputs that are not from this ledger are replaced.
        talk: is told each path.
        change: encodes tiles anew.
        kept: whether what was written before still holds the same tiles.
    """
    known = ledger.fact("outputs").splitlines()
    replaced = [overwrite or str(path.absolute()) in known for path in outputs]
    for path, replace_it in zip(outputs, replaced, strict=True):
        check_tiles(path, tileset, replace_it)
    # From now on they are ours: what a killed run leaves of them may be replaced by the next.
    ledger.tell(outputs="\n".join(sorted({*known, *(str(path.absolute()) for path in outputs)})))
    with ExitStack() as stack:
        sinks = [
            stack.enter_context(open_tiles(path, tileset, replace_it))
            for path, replace_it in zip(outputs, replaced, strict=True)
        ]

        def write(kind: str, level: int, column: int, row: int, data: bytes) -> None:
            data = data if change is None else change(data)
            for sink in sinks:
                sink.write(level, column, row, data)

        with talk.progress("writing", plan.tiles, "tiles") as advance:

            def count(kind: str, level: int, column: int, row: int, data: bytes) -> None:
                write(kind, level, column, row, data)
                advance.step()

            gather(plan, ledger, store, count)
    written = dict(line.split("\t", 1) for line in ledger.fact("written").splitlines() if "\t" in line and kept)
    written |= {str(path.absolute()): tileset.format.model_dump_json() for path in outputs}
    ledger.tell(written="\n".join(f"{path}\t{told}" for path, told in written.items()))
    for output in outputs:
        talk.result(str(output))


def ours(home: Path, output: Path) -> bool:
    """Tell whether an output was written from a store: then it is brought up to date."""
    if not (home / "ledger.db").is_file():
        return False
    with closing(Ledger(home / "ledger.db")) as ledger:
        return str(output.absolute()) in ledger.fact("outputs").splitlines()


def check_outputs(job: TileJob) -> None:
    """Refuse, before anything is painted, outputs that cannot be written."""
    if len({output.absolute() for output in job.outputs}) < len(job.outputs):
        raise JobError("-o names the same output twice; give each another name")
    for output in job.outputs:
        check_tiles(output, job.tileset, job.overwrite or ours(job.home, output))


def _paint(job: TileJob, ledger: Ledger, talk: Talk, look: bool = False) -> Report:
    with talk.progress("looking" if look else "painting", job.plan.tiles, "tiles") as advance:

        def kept(block: Block) -> None:
            advance.skip(len(job.plan.wanted(block)))

        noted: set[str] = set()

        def step(entry: Entry) -> None:
            block = entry.block
            advance.step(len(job.plan.wanted(block)), failed=bool(entry.error))
            talk.note_in_log(
                "block", level=block.level, column=block.column, row=block.row, state=entry.state,
                seconds=round(entry.seconds, 3), painted=entry.painted, why=entry.why, error=entry.error,
            )  # fmt: skip
            if entry.why and job.report and talk.as_json:  # people are told the first of them, at the end
                tell_change(entry, talk)
            for note in entry.notes:
                if note not in noted:
                    talk.say(f"note: {note}")
                    noted.add(note)
            if entry.error:
                talk.say(f"note: {name_of(block)}: {entry.error}")

        run = Run(job.recipe, ledger, Stamps(job.files), job.retry_failed, job.changed_only, kept)
        with _executor(job, talk) as executor:
            try:
                return run.execute(executor, step, look)
            except KeyboardInterrupt:
                if not isinstance(executor, Here):  # which has said so, and done so
                    talk.say("finishing the blocks in hand; Ctrl-C once more stops at once")
                raise


def _executor(job: TileJob, talk: Talk) -> AbstractContextManager[Executor]:
    if job.ray is not None:
        from mapstyle.batch.ray import RayCluster

        return RayCluster(job.recipe, job.ray, job.workers or None, talk.say)
    if job.workers == 1 and not job.devices:
        return Here(job.recipe)
    return Local(job.recipe, job.workers, job.devices)


def name_of(block: Block) -> str:
    """Name a block for people."""
    return f"level {block.level}, block {block.column}/{block.row}"


def tell(report: Report, talk: Talk, listed: bool) -> None:
    """Say what a run has done.

    Raises:
        JobError: blocks failed.
    """
    left = f", {report.passed} left for another run" if report.passed else ""
    unchanged = report.looked - report.painted - report.tried
    talk.say(
        f"{report.painted} blocks painted, {max(0, unchanged)} found unchanged, {report.kept} kept, "
        f"{len(report.failed)} failed{left}",
        painted=report.painted, unchanged=max(0, unchanged), kept=report.kept, failed=len(report.failed),
        passed=report.passed,
    )  # fmt: skip
    if listed:
        tell_changes(report, talk)
    if report.failed:
        first = report.failed[0]
        raise JobError(
            f"{len(report.failed)} blocks failed and their tiles are missing, the first ({name_of(first.block)}) "
            f"because: {first.error}; --retry-failed tries them again, 'mapstyle status OUT' lists them"
        )


def tell_changes(report: Report, talk: Talk) -> None:
    """Say which blocks are others than before, and why."""
    for why, count in report.changed.most_common():
        talk.result(f"{count} blocks: {', '.join(why)}", blocks=count, why=list(why))
    if talk.as_json:
        return
    for entry in report.first:
        tell_change(entry, talk)
    if (more := report.changed.total() - len(report.first)) > 0:
        talk.result(f"... and {more} more; the log in OUT.store/logs, or --json, has all")


def tell_change(entry: Entry, talk: Talk) -> None:
    """Say that a block is another than before, and why."""
    block = entry.block
    talk.result(f"{name_of(block)}: {', '.join(entry.why)}", level=block.level, column=block.column, row=block.row,
                why=list(entry.why))  # fmt: skip


def estimate(job: TileJob, price: float | None, talk: Talk) -> None:
    """Say how long all of it would take, how much disk and, at a price an hour, how much money.

    Three blocks are painted for it, in a folder that is thrown away, after some more have been looked at to see how
    many are plain ground.
    """
    plan = job.plan
    top = plan.phases()[0][0]
    blocks = list(plan.of_level(top))
    picked = [blocks[i] for i in np.unique(np.linspace(0, len(blocks) - 1, 24).astype(int))]
    with TemporaryDirectory(prefix="mapstyle-") as folder:
        store = BlockStore(Path(folder) / "blocks")
        worker = Worker(replace(job.recipe, store=store.folder))
        looked = [worker(Task(block, "", look=True)) for block in picked]
        busy = [entry.block for entry in looked if set(json.loads(entry.drawn)) != {"plain"}]
        spent, size, tiles = [], 0, 0
        if job.recipe.spec.block:
            worker(Task((busy or picked)[-1], ""))  # weights are read only once
        for block in (busy or picked)[:: max(1, len(busy or picked) // 3)][:3]:
            begun = time.perf_counter()
            made = worker(Task(block, ""))
            spent.append(time.perf_counter() - begun)
            size += store.path(made.fingerprint).stat().st_size
            tiles += len(plan.wanted(block))
    share = len(busy) / len(picked)
    painted = sum(1 for level in plan.phases()[0] for _ in plan.of_level(level))
    seconds = painted * share * float(np.mean(spent)) + (plan.count - painted) * SHRINKING
    hands = job.workers or 1
    seconds /= hands
    disk = 2 * size / max(tiles, 1) * (plan.tiles * max(share, 1 / len(picked)))
    cost = "" if price is None else f", costs {seconds / 3600 * price:.2f} at {price:g} an hour"
    talk.say(
        f"about {clock(seconds)} with {hands} {'worker' if hands == 1 else 'workers'} "
        f"({np.mean(spent):.1f} s a block of level {top}, {share:.0%} of them not plain), "
        f"{disk / 1e9:.2f} GB of disk, half of it in {job.home.name}{cost}",
        expected_seconds=round(seconds, 1), expected_bytes=int(disk),
        expected_price=None if price is None else round(seconds / 3600 * price, 2),
    )  # fmt: skip


def clock(seconds: float) -> str:
    """Say a time for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def provenance(recipe: Recipe) -> str:
    """Say, as one line of JSON, how tiles are made; and that a model has painted them, once it has."""
    made: dict[str, object] = {
        "software": f"mapstyle {__version__}", "style": recipe.style.name, "style_digest": recipe.style.digest,
        "engine": recipe.spec.name, "seed": recipe.seed, "sources": recipe.digest, "run": recipe.run,
    }  # fmt: skip
    making = read_making(recipe)
    if making is not None:
        made |= {"digital_source_type": SOURCE_TYPES + source_type(making), "making": asdict(making)}
    return json.dumps(made)
