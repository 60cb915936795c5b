"""Small pyramids of the sample town, and runs of them that come to harm: as a module, and as the program they run."""

import contextlib
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

HARM = "MAPSTYLE_TEST_HARM"
"""Environment variable with what is to go wrong, as JSON; see :func:`do_harm`."""
PLACE = ("--around", "3.8925,54.5972", "--radius", "1.2", "--style", "watercolour")
LEVELS = ("--zoom", "13-15")


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of an error; there must be nothing of Python's own."""
        lines = [x for x in self.err.splitlines() if x.startswith("mapstyle: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err, self.err
        return lines[0]


@dataclass(frozen=True)
class Pyramid:
    """Outputs of one run, and what is kept beside them.

    Attributes:
        folder: where all of it lies.
    """

    folder: Path

    @property
    def tiles(self) -> Path:
        """The folder of tiles."""
        return self.folder / "t"

    @property
    def outputs(self) -> tuple[Path, ...]:
        """A folder, an MBTiles file and a PMTiles file."""
        return self.tiles, self.folder / "t.mbtiles", self.folder / "t.pmtiles"

    @property
    def home(self) -> Path:
        """The folder of finished blocks, ledger and logs."""
        return self.folder / "t.store"

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.home / "ledger.db"

    @property
    def into(self) -> list[str]:
        """All three outputs, as options."""
        return [part for output in self.outputs for part in ("-o", str(output))]

    def blocks(self) -> list[Path]:
        """Give the files of finished blocks."""
        return sorted(f for f in (self.home / "blocks").glob("??/*") if not f.name.startswith("."))

    def held(self, output: Path) -> dict[str, bytes]:
        """Give all tiles of an output, by z/x/y."""
        if output.suffix == ".mbtiles":
            with contextlib.closing(sqlite3.connect(output)) as file:
                rows = file.execute("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles").fetchall()
            return {f"{z}/{x}/{(1 << z) - 1 - y}": data for z, x, y, data in rows}
        if output.suffix == ".pmtiles":
            from pmtiles.reader import MmapSource, all_tiles

            with output.open("rb") as file:
                return {f"{z}/{x}/{y}": data for (z, x, y), data in all_tiles(MmapSource(file))}
        return {str(p.relative_to(output).with_suffix("")): p.read_bytes() for p in output.glob("*/*/*.png")}

    def check_whole(self, made: dict[str, bytes]) -> None:
        """Make sure that all three outputs are there, with these very tiles and nothing hidden beside them."""
        for output in self.outputs:
            assert self.held(output) == made, output
        assert not [p for p in (*self.folder.iterdir(), *self.tiles.iterdir()) if p.name.startswith(".")]

    def check_so_far(self, made: dict[str, bytes]) -> None:
        """Make sure that whatever has a final name is whole: tiles, files, blocks."""
        from mapstyle.batch.store import BlockStore

        for output in self.outputs:
            if output == self.tiles:
                assert set(self.held(output).items()) <= set(made.items()), output
            elif output.exists():
                assert self.held(output) == made, output
        for block in self.blocks():
            assert BlockStore(self.home / "blocks").get(block.name) is not None, block


@dataclass(frozen=True)
class Bench:
    """What all runs of a module share.

    Attributes:
        cache: what was read once.
        source: the town, or other data.
    """

    cache: Path
    source: Path

    def command(self, pyramid: Pyramid, *options: object, only: bool = False) -> list[str]:
        """Give the words of the command that makes a pyramid; ``only`` its folder of tiles."""
        into = ["-o", str(pyramid.tiles)] if only else pyramid.into
        return ["tiles", str(self.source), *PLACE, *LEVELS, *into, *map(str, options)]

    def here(self, *words: object) -> Said:
        """Run a command in this process, with blocks of one tile."""
        out, err = io.StringIO(), io.StringIO()
        before = signal.getsignal(signal.SIGTERM)
        code = 0
        with (
            patch.dict(os.environ, {"MAPSTYLE_CACHE": str(self.cache)}),
            patch.object(sys, "argv", ["mapstyle", *map(str, words)]),
            small_blocks(),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            from mapstyle.cli.main import run

            try:
                run()
            except SystemExit as end:
                code = int(end.code or 0)
            finally:
                signal.signal(signal.SIGTERM, before)
        return Said(code, out.getvalue(), err.getvalue())

    def begin(self, words: list[str], harm: dict[str, object] | None = None, **how: object) -> "subprocess.Popen[str]":
        """Start a command as a program and a session of its own, which may come to harm."""
        surroundings = {**os.environ, "MAPSTYLE_CACHE": str(self.cache), HARM: json.dumps(harm or {})}
        return subprocess.Popen(
            [sys.executable, __file__, *words], env=surroundings, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **how,
        )  # fmt: skip

    def apart(self, words: list[str], harm: dict[str, object] | None = None, **how: object) -> Said:
        """Run a command as a program of its own to its end."""
        return ended(self.begin(words, harm, **how))


def ended(run: "subprocess.Popen[str]", within: float = 120) -> Said:
    """Wait for a program's end, and end all that it may have left behind."""
    try:
        run.wait(within)  # what it says fits into a pipe
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    out, err = run.communicate()
    return Said(run.returncode, out, err)


def copied(pyramid: Pyramid, folder: Path, without: int = 0) -> Pyramid:
    """Copy ledger and finished blocks, but for some, without the outputs: so much less is left to do."""
    left = {block.name for block in pyramid.blocks()[:without]}
    shutil.copytree(pyramid.home, Pyramid(folder).home, ignore=lambda _, names: left & set(names))
    return Pyramid(folder)


def bring_back(pyramid: Pyramid, copy: Pyramid) -> None:
    """Copy finished blocks alone to where they were lost, as from a backup: so much less is left to do."""
    copy.folder.mkdir(exist_ok=True)
    shutil.copytree(pyramid.home / "blocks", copy.home / "blocks", dirs_exist_ok=True)


def places(pyramid: Pyramid) -> dict[str, tuple[int, int, int]]:
    """Give the blocks that a ledger knows, by the name of their file."""
    with contextlib.closing(sqlite3.connect(pyramid.ledger)) as ledger:
        rows = ledger.execute("SELECT fingerprint, level, column, row FROM blocks").fetchall()
    return {name: tuple(place) for name, *place in rows}


def workers_of(parent: int) -> list[int]:
    """Give the processes that make blocks for another."""
    found = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False).stdout.split()
    return [int(child) for child in found if b"spawn_main" in _words(int(child))]


def alive(process: int) -> bool:
    """Tell whether a process runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _words(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def small_blocks() -> "contextlib.AbstractContextManager[object]":
    """Make blocks of one tile, so that there are many moments to be killed at."""
    from mapstyle.batch import plan as plans

    true = plans.plan

    def plan(bounds, levels, grid, shrink=False):
        return true(bounds, levels, replace(grid, side=grid.size), shrink)

    return patch.object(plans, "plan", plan)


def do_harm(harm: dict[str, object]) -> None:
    """Change the program before it runs.

    Args:
        harm: ``slow``, seconds that each block takes longer; ``notes``, a folder in which each process leaves a file
            with its first block; ``poison`` and ``deadly``, a block [level, column, row]
            that raises or that ends its process; ``slow_tile``, seconds that each tile takes longer to be gathered;
            ``dies_packing``, an output's suffix at whose packing the process is killed.
    """
    from mapstyle.batch.work import Worker
    from mapstyle.exports import archives, tiles

    small_blocks().__enter__()
    make, write = Worker._make, tiles.Folder.write

    def harmed(self, task, wanted):
        if "notes" in harm:
            Path(str(harm["notes"]), str(os.getpid())).touch()
        time.sleep(float(harm.get("slow", 0)))
        where = [task.block.level, task.block.column, task.block.row]
        if where == harm.get("deadly"):
            os._exit(9)
        if where == harm.get("poison"):
            raise ValueError("a poisoned block")
        return make(self, task, wanted)

    def slowly(self, *tile):
        time.sleep(float(harm.get("slow_tile", 0)))
        write(self, *tile)

    Worker._make, tiles.Folder.write = harmed, slowly
    for kind in (archives.Mbtiles, archives.Pmtiles):
        if harm.get("dies_packing") == f".{kind.__name__.lower()}":
            kind._pack = lambda self, file: os.kill(os.getpid(), signal.SIGKILL)


if __name__ in ("__main__", "__mp_main__"):  # workers begin with the program's own file, too
    do_harm(json.loads(os.environ[HARM]))
if __name__ == "__main__":
    from mapstyle.cli.main import run

    run()
