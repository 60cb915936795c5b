"""What a pyramid of tiles costs beyond its painting, each figure beside its target.

    python benchmarks/tiles.py [SOURCE...] [--data DIR] [--style NAME] [--quick | --full] [--only PART,...]

Parts: ``executors`` (one worker, two, and Ray with two), ``render`` (beside bare rendering), ``planning`` (and the
ledger), ``curve`` (cost and memory from 100 to 100 000 tiles), ``encoding``, ``plain`` (open sea), ``shrunk``. What
is compared is measured by turns, so that a machine that is busy is busy for all alike. CPU is user and system time of
a process and of all below it. Data and level indexes are read beforehand, so that caches are warm.
"""

import argparse
import json
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tile_jobs import (
    BATCH,
    HANDS,
    RULES,
    SIDE,
    WARMING,
    Bounds,
    Measured,
    Order,
    Skipped,
    measure,
    table,
    tileset,
)

from mapstyle.batch.gather import gather
from mapstyle.batch.ledger import Entry, Ledger
from mapstyle.batch.local import Here
from mapstyle.batch.plan import Block, Plan, TileGrid
from mapstyle.batch.run import Run
from mapstyle.batch.store import BlockStore
from mapstyle.batch.work import Task, Worker
from mapstyle.choice import EngineChoice, choose_engine
from mapstyle.exports.encoding import TileFormat, encode
from mapstyle.exports.tiles import open_tiles
from mapstyle.frame import TILE, Frame, Grid
from mapstyle.job import Data
from mapstyle.pipeline import BLOCK, Pipeline
from mapstyle.sources.level_index import LevelIndex
from mapstyle.sources.store import cache_folder
from mapstyle.style import find_styles, load_style, packaged


class Bench:
    """The parts, with the data and the sizes that were asked for."""

    def __init__(self, sources: list[str], style: str, size: str, repeats: int) -> None:
        self.quick, self.full, self.style = size == "quick", size == "full", style
        self.repeats = repeats or (1 if self.quick else 3)
        self.sources = tuple(str(Path(source).absolute()) for source in sources)
        self.data = Data.open(self.sources, cache_folder(), lambda line: None)
        self.verdicts: list[str] = []

    def verdict(self, what: str, value: float, target: float, unit: str = "x", digits: int = 2) -> None:
        """Say a figure beside its target, of which it is at most."""
        shown, most = f"{value:.{digits}f} {unit}", f"{target:.{digits}f} {unit}"
        self.verdicts.append(f"{what:66}{shown:>10}  at most {most:>9}  {'kept' if value <= target else 'MISSED'}")
        print(self.verdicts[-1], flush=True)

    def order(self, blocks: int, largest: int = 0, levels: int = 1, **more: Any) -> Order:
        """Ask for so many blocks in the middle of the data, at the lowest level at which the largest job fits."""
        wide, high = _sides(largest or blocks)
        west, south, east, north = self.data.bounds
        level, spans = 0, np.zeros(2)
        while level < 22 and (spans[0] < wide + 1 or spans[1] < high + 2):
            level += 1
            corners = Grid.web_mercator(level).project(np.array([[west, north], [east, south]]))
            spans = (corners[1] - corners[0]) / (SIDE * TILE)
        for below in range(level + 1 - levels, level + 1):
            self.layers(below)
        return replace(self.about(level, _sides(blocks)), levels=(level + 1 - levels, level), **more)

    def about(self, level: int, sides: tuple[int, int]) -> Order:
        """Ask for a rectangle of blocks of a level about the middle of the data."""
        side, grid = SIDE * TILE, Grid.web_mercator(level)
        x, y = grid.project(np.array([self.data.centre]))[0] / side
        column, row = round(x - sides[0] / 2) * side, round(y - sides[1] / 2) * side
        inner = Frame(grid, column + 1, row + 1, sides[0] * side - 2, sides[1] * side - 2)
        return Order("", inner.lonlat_bounds(), (level, level), self.sources, self.style)

    def layers(self, level: int) -> LevelIndex:
        grid, data = Grid.web_mercator(level), self.data
        return LevelIndex.build(data.atlas, grid, data.elevation, cache_folder(), data.imagery)

    def pipeline(self, level: int, style: str) -> Pipeline:
        look = load_style(style)
        spec, _ = choose_engine(look, EngineChoice.PAINTER)
        return Pipeline(self.layers(level), look, spec, cache=cache_folder())

    def executors(self) -> None:
        """CPU a tile of one worker, of two, and of Ray with two actors."""
        order = self.order(16 if self.quick else 64, levels=2 if self.quick else 4)
        measure(self.order(1, 16 if self.quick else 64))  # plain ground is painted once and kept
        found: dict[str, list[Measured]] = {hands: [] for hands in HANDS}
        for _ in range(self.repeats):
            for hands in list(found):
                try:
                    found[hands].append(measure(replace(order, hands=hands)))
                except Skipped as why:
                    print(f"{HANDS[hands]}: left out: {why}")
                    del found[hands]
        tiles = found["here"][0].told["tiles"]
        print(f"levels {order.levels[0]}-{order.levels[1]}, {tiles} tiles; ms a tile, medians of {self.repeats} rounds")
        print(f"whole job: with start-up (and in it {WARMING} blocks of each worker), a check of all, one .pmtiles")
        mid = statistics.median
        table([
            {"": HANDS[hands], "CPU ms": mid(m.each("paint") for m in rows),
             "lowest": min(m.each("paint") for m in rows), "highest": max(m.each("paint") for m in rows),
             "wall ms": mid(m.each("paint", wall=True) for m in rows), "whole job CPU": mid(m.each() for m in rows),
             "wall": mid(m.each(wall=True) for m in rows),
             "start-up CPU s": mid(m.cpu["open"] + m.cpu["warm"] for m in rows),
             "wall s": mid(m.wall["open"] + m.wall["warm"] for m in rows),
             "MB parent": max(m.parent for m in rows), "worker": max(m.worker for m in rows)}
            for hands, rows in found.items()
        ])  # fmt: skip
        for hands, rows in list(found.items())[1:]:
            for what, stages in (("painting", ("paint",)), ("whole job", ())):
                ratio = mid(b.each(*stages) / a.each(*stages) for a, b in zip(found["here"], rows, strict=True))
                self.verdict(f"CPU a tile, {HANDS[hands]} over one, {what}", ratio, 1.08)

    def render(self) -> None:
        """A job of one level beside bare rendering of the same blocks and encoding of their tiles, block by block."""
        order = self.order(4 if self.quick else 16)
        level, found = order.levels[0], []
        for turn in range(self.repeats + 1):  # the first is for what is read only once
            spent: dict[str, float] = defaultdict(float)
            with TemporaryDirectory(prefix="mapstyle-") as folder:
                recipe = replace(order, folder=folder).recipe()
                ledger, here, bare = Ledger(Path(folder) / "ledger.db"), Here(recipe), self.pipeline(level, self.style)
                job = recipe.plan
                frame = next(job.blocks()).frame(job.grid)
                for pipeline in (bare, here.worker.pipeline(level)):
                    pipeline.render(Frame(frame.grid, frame.column, frame.row - BLOCK, BLOCK, BLOCK))

                def by_turns(
                    tasks: Iterable[Task], here: Here = here, bare: Pipeline = bare, spent: dict[str, float] = spent,
                    job: Plan = job,
                ) -> Iterator[Entry]:  # fmt: skip
                    for task in tasks:
                        begun = time.process_time()
                        for painted in bare.blocks(task.block.frame(job.grid)):
                            since = time.process_time()
                            for tile in painted.image.frame.pieces(TILE, TILE):
                                encode(np.ascontiguousarray(painted.image.crop(tile).rgba[..., :3]), TileFormat())
                            spent["bare: encoding"] += time.process_time() - since
                        spent["bare: both"] += time.process_time() - begun
                        yield from here([task])

                begun = time.process_time()
                Run(recipe, ledger).execute(by_turns, lambda entry: None)
                spent[BATCH] = time.process_time() - begun - spent["bare: both"]
                begun = time.process_time()
                Run(recipe, ledger).strike()
                with open_tiles(Path(folder) / "out.pmtiles", tileset(recipe, order.bounds)) as sink:
                    gather(job, ledger, BlockStore(recipe.store), lambda kind, *rest: sink.write(*rest))
                spent["batch: check of the store, one .pmtiles"] = time.process_time() - begun
                ledger.close()
            found += [spent] if turn else []
        print(f"level {level}, {job.tiles} tiles, medians of {self.repeats} turns")
        mids = {name: statistics.median(spent[name] for spent in found) for name in found[0]}
        table([{"": name, "CPU ms a tile": seconds / job.tiles * 1e3} for name, seconds in mids.items()])
        ratio = statistics.median(spent[BATCH] / spent["bare: both"] for spent in found)
        self.verdict("CPU of batch over bare rendering", ratio, 1.05)

    def planning(self) -> None:
        """100 000 blocks planned, and a ledger that knows them all."""
        wide = 360 / (1 << 15) * (368 if self.quick else 1096)
        done = measure(Order("", (3.0, 0.0, 3.0 + wide, wide), (8, 15), style=self.style))
        blocks, painting = done.told["blocks"], self.block_seconds()
        print(f"{blocks} blocks of levels 8-15; a painted block of {SIDE**2} tiles takes {painting:.2f} s")
        stages = [stage for stage in done.cpu if stage not in ("open", "files")]
        table([
            {"": stage, "s": done.wall[stage], "CPU s": done.cpu[stage], "us a block": done.wall[stage] / blocks * 1e6,
             "% of its painting": done.wall[stage] / blocks / painting * 100}
            for stage in stages
        ])  # fmt: skip
        scale = 100_000 / blocks
        for what, names in (("planning", stages[:2]), ("finding nothing to do", stages[-1:])):
            seconds = scale * sum(done.wall[stage] for stage in names)
            self.verdict(f"{what}, 100 000 blocks", seconds, 20, "s", 1)
        self.verdict("peak of memory, libraries included", done.parent, 500, "MB", 0)
        ledger = done.wall["record"] + 2 * done.wall["entry"]
        self.verdict("the ledger, of a painted block", ledger / blocks / painting * 100, 1, "%")

    def block_seconds(self) -> float:
        """Paint four blocks, and give the seconds that one takes."""
        with TemporaryDirectory(prefix="mapstyle-") as folder:
            recipe = self.order(4, folder=folder).recipe()
            entries = list(Here(recipe)(Task(block, "") for block in recipe.plan.blocks()))
        return statistics.median(entry.seconds for entry in entries[1:])

    def curve(self) -> None:
        """Cost a tile and peaks of memory, from 100 to 100 000 tiles."""
        print("painted: the data, whose ground is not the same everywhere; flat: a colour a tile, on ruled ground")
        sizes = (6, 64, 625, 6250)
        painted, flat = (1, 2) if self.quick else (3, 4) if self.full else (2, 3)
        with TemporaryDirectory(prefix="mapstyle-") as folder:
            ruled = ruled_ground(Path(folder), _sides(sizes[-1]))
            ordered = [
                ("painted, two workers", [self.order(n, sizes[painted - 1], hands="local") for n in sizes[:painted]])
            ]
            ordered += [("flat, one worker", [replace(ruled, bounds=_box(*_sides(n))) for n in sizes[:flat]])]
            for name, orders in ordered:
                found = [measure(order) for order in orders]
                table([
                    {name: f"{m.told['tiles']} tiles", "CPU ms/tile": m.each("paint"), "gathering": m.each("gather"),
                     "wall": m.each("paint", wall=True), "MB parent": m.parent, "worker": m.worker}
                    for m in found
                ])  # fmt: skip
                if orders[0].flat:
                    grown = found[-1].each("paint", "gather") / found[0].each("paint", "gather")
                    self.verdict(f"{name}: CPU a tile, largest job over smallest", grown, 1.1)
                for before, last in zip(found[-2:-1], found[-1:], strict=False):
                    self.verdict(f"{name}: memory, largest over the one before", last.parent / before.parent, 1.1)
                    if not orders[0].flat:
                        self.verdict(f"{name}: memory of a worker, likewise", last.worker / before.worker, 1.1)

    def encoding(self) -> None:
        """What a tile's encoding takes, beside its painting."""
        kinds = {"png": TileFormat(), "webp": TileFormat(kind="webp"), "jpeg": TileFormat(kind="jpeg")}
        kinds["webp-lossless"] = TileFormat(kind="webp", lossless=True)
        order = self.order(1 if self.quick else 4)
        frames = [block.frame(TileGrid()) for block in order.recipe().plan.blocks()]
        print(f"level {order.levels[0]}, {len(frames) * SIDE**2} tiles of each style, CPU a tile")
        rows: list[dict[str, object]] = []
        for style in sorted(find_styles()):
            pipeline = self.pipeline(order.levels[0], style)
            pipeline.render(Frame(frames[0].grid, frames[0].column, frames[0].row - BLOCK, BLOCK, BLOCK))
            begun = time.process_time()
            images = [painted.image for frame in frames for painted in pipeline.blocks(frame)]
            painting = (time.process_time() - begun) / (len(frames) * SIDE**2) * 1e3
            tiles = [np.ascontiguousarray(m.crop(t).rgba[..., :3]) for m in images for t in m.frame.pieces(TILE, TILE)]
            for name, kind in kinds.items():
                begun = time.process_time()
                size = sum(len(encode(tile, kind)) for tile in tiles) / len(tiles) / 1000
                each = (time.process_time() - begun) / len(tiles) * 1e3
                rows.append({"": f"{style}, {name}", "painting ms": painting, "encoding ms": each,
                             "% of the whole": each / (painting + each) * 100, "kB": size})  # fmt: skip
        table(rows)
        most = max(float(str(row["% of the whole"])) for row in rows)
        self.verdict("encoding, the slowest beside its painting", most, 50, "%")

    def plain(self) -> None:
        """Open sea beside what is painted, around the data at level 14."""
        reach = 6 if self.quick else 16
        with TemporaryDirectory(prefix="mapstyle-") as folder:
            order = replace(self.about(14, (reach, reach)), folder=folder)
            recipe, names = order.recipe(), dict[Block, str]()
            spent: dict[str, list[float]] = defaultdict(list)
            blocks, store = list(recipe.plan.blocks()), BlockStore(recipe.store)
            Worker(recipe)(Task(blocks[0], ""))
            worker = Worker(recipe)
            worker.pipeline(14)
            for block in blocks:
                begun = time.process_time()
                entry = worker(Task(block, ""))
                kind = "plain" if set(json.loads(entry.drawn)) == {"plain"} else "painted"
                spent[kind].append(time.process_time() - begun)
                names |= {block: entry.fingerprint} if kind == "plain" else {}
            table([
                {"": kind, "blocks": len(s), "a second of CPU": len(s) / sum(s),
                 "CPU ms a tile": sum(s) / len(s) / SIDE**2 * 1e3}
                for kind, s in sorted(spent.items())
            ])  # fmt: skip
            if len(spent) < 2:
                print("there is but one kind of ground here; name a source with a shore")
                return
            path = Path(folder) / "plain.pmtiles"
            with open_tiles(path, tileset(recipe, order.bounds)) as sink:
                for block, name in names.items():
                    for (_, column, row), data in (store.get(name) or {}).items():
                        sink.write(14, block.column * SIDE + column, block.row * SIDE + row, data)
            told = f"{len(names) * SIDE**2} plain tiles, {len(set(names.values()))} blocks in the store"
            print(f"{told}, {path.stat().st_size} bytes of .pmtiles")
            ratio = statistics.mean(spent["plain"]) / statistics.mean(spent["painted"])
            self.verdict("CPU of a plain block over a painted one", ratio, 0.1)

    def shrunk(self) -> None:
        """Blocks of levels that are shrunk beside the painted ones that they are made of."""
        spent: dict[int, list[float]] = defaultdict(list)
        with TemporaryDirectory(prefix="mapstyle-") as folder:
            recipe = self.order(4 if self.quick else 16, levels=3, shrink=True, folder=folder).recipe()
            job, worker, ledger = recipe.plan, Worker(recipe), Ledger(Path(folder) / "ledger.db")

            def timed(tasks: Iterable[Task]) -> Iterator[Entry]:
                for task in tasks:
                    worker.pipeline(task.block.level)
                    begun = time.process_time()
                    entry = worker(task)
                    spent[task.block.level].append(time.process_time() - begun)
                    yield entry

            report = Run(recipe, ledger).execute(timed, lambda entry: None)
            ledger.close()
            assert not report.failed
        rows: list[dict[str, object]] = []
        for level, seconds in spent.items():
            pixels = sum(region.width * region.height for region in map(job.region, job.of_level(level)))
            kind = "shrunk" if level in job.shrunk else "painted"
            rows.append({
                "": f"level {level}, {kind}", "blocks": len(seconds), "CPU s a block": statistics.mean(seconds),
                "a million px": sum(seconds) / pixels * 1e6,
            })  # fmt: skip
        table(rows)
        each = [float(str(row["a million px"])) for row in rows]
        self.verdict("CPU of a shrunk pixel over a painted one", each[1] / each[0], 1)


def ruled_ground(folder: Path, sides: tuple[int, int]) -> Order:
    """Draw ground that is alike everywhere: so many roads through each block that none is taken for plain."""
    wide, high = sides
    west, south, east, north = _box(wide + 1, high + 1)
    step = (north - south) / ((high + 1) * RULES)
    rules = [[[west, south + i * step], [east, south + i * step]] for i in range((high + 1) * RULES)]
    road = {"type": "Feature", "properties": {"highway": "residential"}}
    features = [road | {"geometry": {"type": "LineString", "coordinates": rule}} for rule in rules]
    file = folder / "ruled.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    order = Order("", _box(*sides), (15, 15), (str(file),), flat=True)
    data = Data.open(order.sources, cache_folder(), lambda line: None)
    LevelIndex.build(data.atlas, Grid.web_mercator(15), None, cache_folder())
    return order


def _box(wide: int, high: int) -> Bounds:
    """Give a box of blocks of level 15 about a place on the equator."""
    side = SIDE * TILE
    grid = Grid.web_mercator(15)
    column, row = (4100 - wide // 2) * side + 1, (4096 - high // 2) * side + 1
    return Frame(grid, column, row, wide * side - 2, high * side - 2).lonlat_bounds()


def _sides(blocks: int) -> tuple[int, int]:
    high = math.isqrt(blocks)
    return blocks // high, high


PARTS = ("executors", "render", "planning", "curve", "encoding", "plain", "shrunk")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("sources", nargs="*", help="files; the sample town when left out")
    parser.add_argument(
        "--data", metavar="DIR", help="folder of north-bayreuth.osm.gz; and of monaco.osm.gz, for plain"
    )
    parser.add_argument("--style", default="watercolour")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--repeats", type=int, default=0, help="rounds of what is measured by turns")
    parser.add_argument("--quick", dest="size", action="store_const", const="quick", help="shows that all works")
    parser.add_argument("--full", dest="size", action="store_const", const="full", help="up to 100 000 tiles")
    asked = parser.parse_args()
    town, verdicts = packaged("sample_data"), []
    sample = [str(town / name) for name in json.loads((town / "views.json").read_text())["sources"]]
    for name in asked.only.split(","):
        if name not in PARTS:
            parser.error(f"--only {name}: the parts are {', '.join(PARTS)}")
        extract = f"{asked.data}/{'monaco' if name == 'plain' else 'north-bayreuth'}.osm.gz"
        bench = Bench(
            asked.sources or ([extract] if asked.data else sample), asked.style, asked.size or "", asked.repeats
        )
        part = getattr(bench, name)
        print(f"\n{name}: {part.__doc__} ({', '.join(Path(s).name for s in bench.sources)}, {asked.style})", flush=True)
        begun = time.perf_counter()
        part()
        print(f"({time.perf_counter() - begun:.0f} s)", flush=True)
        verdicts += [f"{name:11}{line}" for line in bench.verdicts]
    print("\n" + "\n".join(verdicts))


if __name__ == "__main__":
    main()
