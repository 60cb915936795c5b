"""Jobs of tiles, each carried out and measured in a process of its own; for tiles.py."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mapstyle.batch.gather import gather
from mapstyle.batch.ledger import DONE, Entry, Ledger
from mapstyle.batch.local import Here, Local
from mapstyle.batch.plan import Block, TileGrid, plan
from mapstyle.batch.run import Executor, Run, Stamps
from mapstyle.batch.store import BlockStore
from mapstyle.batch.work import Recipe, Task
from mapstyle.choice import EngineChoice, choose_engine
from mapstyle.errors import MapstyleError
from mapstyle.exports.encoding import TileFormat
from mapstyle.exports.tilejson import Tileset
from mapstyle.exports.tiles import open_tiles
from mapstyle.frame import TILE, Frame
from mapstyle.job import Data
from mapstyle.pipeline import Words
from mapstyle.sources.store import cache_folder, source_files
from mapstyle.style import load_style

HANDS = {"here": "one worker", "local": "two workers", "ray": "Ray, two actors"}
WARMING = 2
"""Blocks that each worker paints before anything is measured."""
SIDE = TileGrid().across
BATCH = "batch: digests, painting, encoding, store, ledger"
RULES = 48
"""Roads through each block of ruled ground."""
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Order:
    """What a process that is measured does: a whole job of tiles, or, with no sources, planning and the ledger."""

    folder: str
    bounds: Bounds
    levels: tuple[int, int]
    sources: tuple[str, ...] = ()
    style: str = "watercolour"
    hands: str = "here"
    flat: bool = False
    shrink: bool = False

    def recipe(self) -> Recipe:
        """Give what workers need to know."""
        look = load_style(self.style)
        spec: Any = choose_engine(look, EngineChoice.PAINTER)[0]
        digest = Data.open(self.sources, cache_folder(), lambda line: None).digest if self.sources else ""
        job = plan(self.bounds, range(self.levels[0], self.levels[1] + 1), TileGrid(), self.shrink)
        return Recipe(
            self.sources, digest, Path.cwd(), cache_folder(), look, Flat(spec.needs) if self.flat else spec, look.seed,
            "", Words.NONE if self.flat else Words.BURN, job, (TileFormat(),), Path(self.folder) / "blocks",
        )  # fmt: skip


@dataclass(frozen=True)
class Flat:
    """An engine that costs nothing: a colour a tile, so that the rest of a job is what is measured.

    Attributes:
        needs: what it would look at, so that as much is digested as for the painter.
    """

    needs: frozenset[str]
    name: str = "flat"
    reach: int = 0
    images: frozenset[str] = frozenset()
    block: int = 0
    devices: tuple[str, ...] = ()

    def identity(self) -> str:
        return "flat"

    def work(self, frame: Frame) -> int | None:
        return None

    def overhead(self, frame: Frame) -> float:
        return 1.0

    def load(self, watch: object = None) -> "Flat":
        return self

    def paint(self, frame: Frame, view: object, seed: int) -> Any:
        rows, columns = (np.arange(a, b) // TILE for a, b in
                         ((frame.row, frame.end_row), (frame.column, frame.end_column)))  # fmt: skip
        numbers = np.arange(rows[0], rows[-1] + 1)[:, None] * 7919 + np.arange(columns[0], columns[-1] + 1) * 104729
        colours = np.stack([numbers & 255, numbers >> 8 & 255, numbers >> 16 & 255], 2).astype(np.uint8)
        return colours[(rows - rows[0])[:, None], columns - columns[0]]


def mark(stage: str, **told: object) -> None:
    """Say that a stage is over, and wait until it has been measured."""
    print(json.dumps({"stage": stage, "at": time.perf_counter(), **told}), flush=True)
    sys.stdin.readline()


def executor_for(hands: str, recipe: Recipe) -> AbstractContextManager[Executor]:
    if hands != "ray":
        return Here(recipe) if hands == "here" else Local(recipe, 2)
    from mapstyle.batch.ray import RayCluster

    return RayCluster(recipe, None, 2)


def tiles_job(order: Order) -> None:
    """Make a job's tiles as the command does: blocks, ledger, a check of all, one .pmtiles."""
    recipe = order.recipe()
    job, store = recipe.plan, BlockStore(recipe.store)
    files = tuple(file for source in order.sources for file in source_files(source))
    ledger = Ledger(Path(order.folder) / "ledger.db")
    ledger.hold()
    mark("open")
    with executor_for(order.hands, recipe) as executor:
        top = job.phases()[0][0]
        first = min(job.of_level(top), key=lambda block: (block.row, block.column))
        count = WARMING * (1 if order.hands == "here" else 2)
        # Blocks beside the job's: no tile of theirs is wanted, and nothing that they leave behind is of use to it.
        around = [Task(Block(top, first.column + i, first.row - 1), recipe.run) for i in range(count)]
        for entry in executor(around):
            store.drop(entry.fingerprint)
        mark("warm")
        report = Run(recipe, ledger, Stamps(files)).execute(executor, lambda entry: None)
        assert not report.failed, report.failed[0].error
        mark("paint")
        assert not Run(recipe, ledger).strike()
        path = Path(order.folder) / "out.pmtiles"
        with open_tiles(path, tileset(recipe, order.bounds)) as sink:
            gather(job, ledger, store, lambda kind, *rest: sink.write(*rest))
        mark("gather", tiles=job.tiles, blocks=job.count)
    ledger.release()


def tileset(recipe: Recipe, box: Bounds) -> Tileset:
    first, last = recipe.plan.parts[0].level, recipe.plan.parts[-1].level
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, first)
    return Tileset("b", "", "", box, centre, first, last, TILE, 1, recipe.formats[0], "xyz", recipe.style.name, "{}")


def planning_job(order: Order) -> None:
    """Plan, and go through all that a ledger is asked, with nobody who paints."""
    mark("open")
    recipe = order.recipe()
    blocks = list(recipe.plan.blocks())
    mark("plan", blocks=len(blocks))
    ledger = Ledger(Path(order.folder) / "ledger.db")
    ledger.hold()
    given: list[int] = []

    def nobody(tasks: Iterable[Task]) -> Iterator[Entry]:
        given.append(sum(1 for _ in tasks))
        return iter(())

    Run(recipe, ledger).execute(nobody, lambda entry: None)
    mark("tasks, nothing done yet")
    del blocks
    run, told = Run(recipe, ledger), recipe.run
    made = (
        Entry(b, DONE, f"{i % 256:02x}{i:030x}", told, 1.0, "", run.wanted(b), '{"road": "01234567"}')
        for i, b in enumerate(recipe.plan.blocks())
    )
    while together := list(islice(made, 50)):
        ledger.record(together)
    mark("record")
    for block in recipe.plan.blocks():
        assert ledger.entry(block) is not None
    mark("entry")
    store = BlockStore(recipe.store)
    for entry in ledger.entries():
        path = store.path(entry.fingerprint)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    mark("files")  # of the benchmark's own making
    report = Run(recipe, ledger).execute(nobody, lambda entry: None)
    assert given == [report.kept, 0], "all of them at first, and then none"
    mark("tasks, all done")
    ledger.release()


class Measured:
    """What a process did: seconds by stage, what it told, peaks of memory in MB of it and of those below it."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}
        self.cpu: dict[str, float] = {}
        self.wall: dict[str, float] = {}
        self.parent = self.worker = 0.0

    def each(self, *stages: str, wall: bool = False) -> float:
        """Give milliseconds a tile, over some stages or all."""
        spans = self.wall if wall else self.cpu
        return sum(spans[stage] for stage in stages or spans) / int(self.told["tiles"]) * 1e3


class Skipped(Exception):  # noqa: N818 - it is no error
    """Something that is not installed here."""


def family(root: int) -> dict[int, tuple[float, float]]:
    """Give CPU seconds, with those of children that have ended, and peak MB of a process and of all below it."""
    told: dict[int, tuple[int, float, float]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, StopIteration):  # it has just ended
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            lines = (folder / "status").read_text().splitlines()
            peak = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
            spent = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
            told[int(folder.name)] = int(fields[1]), spent, peak
    mine, before = {root}, 0
    while before < len(mine):
        before = len(mine)
        mine |= {pid for pid, (parent, *_) in told.items() if parent in mine}
    return {pid: told[pid][1:] for pid in mine}


def measure(order: Order) -> Measured:
    """Carry out an order in a fresh process.

    Raises:
        Skipped: what it needs is not there.
    """
    done, before, since = Measured(), 0.0, time.perf_counter()
    with TemporaryDirectory(prefix="mapstyle-") as folder:
        command = [sys.executable, __file__, json.dumps(asdict(replace(order, folder=folder)))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            for line in child.stdout:
                if not line.startswith('{"stage"'):
                    continue
                told, seen = json.loads(line), family(child.pid)
                stage = told.pop("stage")
                done.told |= told
                spent = sum(cpu for cpu, _ in seen.values())
                done.cpu[stage], before = spent - before, spent
                done.wall[stage] = told.pop("at") - since
                done.parent = max(done.parent, seen.pop(child.pid)[1])
                done.worker = max([done.worker, *(peak for _, peak in seen.values())])
                since = time.perf_counter()
                child.stdin.write("\n")
        if "why" in done.told:
            raise Skipped(done.told["why"])
        assert child.returncode == 0, "the process that was measured failed"
    done.worker = done.worker or done.parent
    return done


def table(rows: list[dict[str, object]]) -> None:
    """Print rows as one table."""

    def text(value: object) -> str:
        if not isinstance(value, float):
            return str(value)
        return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"

    columns = {name: [name, *(text(row.get(name, "")) for row in rows)] for name in rows[0]}
    for i in range(len(rows) + 1):
        cells = [(column[i], max(map(len, column))) for column in columns.values()]
        print(
            "  ".join(cell.rjust(wide) if n else cell.ljust(wide) for n, (cell, wide) in enumerate(cells)), flush=True
        )


def main(text: str) -> None:
    """Carry out an order, given as JSON."""
    told: dict[str, Any] = json.loads(text)
    lists = {key: tuple(value) for key, value in told.items() if isinstance(value, list)}
    order = Order(**told | lists)
    try:
        (tiles_job if order.sources else planning_job)(order)
    except (MapstyleError, ImportError) as error:
        mark("skipped", why=str(error))


if __name__ == "__main__":
    main(sys.argv[1])
