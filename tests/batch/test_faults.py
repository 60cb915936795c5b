"""Whatever goes wrong, nothing half-written is ever seen, one line says what to do, and the same command goes on."""

import ctypes
import errno
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pyramids import Bench, Pyramid, Said, alive, bring_back, copied, ended, places, workers_of

from mapstyle.batch.ledger import Ledger
from mapstyle.batch.local import Local
from mapstyle.batch.plan import Block
from mapstyle.batch.store import BlockStore
from mapstyle.batch.work import Task, Worker
from mapstyle.errors import JobError
from mapstyle.exports import tiles as sinks
from mapstyle.style import packaged

ONE = ("--workers", "1")
SHRINK = ("--pyramid", "shrink")
CURES = ("run the same command again", "--overwrite", "free some room", "another -o", "delete", "with -o", "once more",
         "repeat the command", "make it again")  # fmt: skip
"""What an error may tell a person to do."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    return Bench(tmp_path_factory.mktemp("cache"), packaged("sample_data") / "doggerhaven.gpkg")


def _undisturbed(bench: Bench, folder: Path, *options: str) -> Pyramid:
    pyramid = Pyramid(folder)
    said = bench.here(*bench.command(pyramid, *ONE, *options))
    assert said.code == 0, said.err
    return pyramid


@pytest.fixture(scope="module")
def painted(bench, tmp_path_factory) -> Pyramid:
    """The town, undisturbed, each level painted."""
    return _undisturbed(bench, tmp_path_factory.mktemp("painted"))


@pytest.fixture(scope="module")
def shrunk(bench, tmp_path_factory) -> Pyramid:
    """The town, undisturbed, its lower levels shrunk."""
    return _undisturbed(bench, tmp_path_factory.mktemp("shrunk"), *SHRINK)


@pytest.fixture(scope="module")
def made(painted) -> dict[str, bytes]:
    """The tiles that there ought to be."""
    return painted.held(painted.tiles)


def long(*values: object) -> list[object]:
    """Mark values of a parameter for the long dose."""
    return [pytest.param(*(v if isinstance(v, tuple) else (v,)), marks=pytest.mark.long) for v in values]


def check_refused(said: Said, *told: str) -> None:
    """Make sure that a command ended with one line that names a cure."""
    assert said.code == 1, said.err
    assert any(cure in said.line for cure in CURES), said.line
    for words in told:
        assert words in said.line


# Killed


@dataclass
class Killer:
    """Kills runs of a pyramid at random moments, until it has hit often enough.

    Attributes:
        bench: what all runs share.
        folder: where it works.
        whole: the same pyramid, undisturbed.
        options: of the command.
        without: how many blocks are to be painted.
        chance: decides when and whom.
        struck: how often it hit, by whom and when.
    """

    bench: Bench
    folder: Path
    whole: Pyramid
    options: tuple[str, ...]
    without: int
    chance: random.Random
    struck: Counter[str] = field(default_factory=Counter)

    def kill(self, times: int) -> None:
        """Kill so often: by turns runs that paint much, and runs that only gather what is painted."""
        made = self.whole.held(self.whole.tiles)
        turn = 0
        while self.struck.total() < times:
            pyramid = Pyramid(self.folder / str(turn))
            left = times - self.struck.total()
            if turn % 2:
                self._disturb(copied(self.whole, pyramid.folder), ("gather",), min(2, left), made)
            else:
                copied(self.whole, pyramid.folder, self.without)
                self._disturb(pyramid, ("block", "hidden"), min(4, left), made)
            shutil.rmtree(pyramid.folder)
            turn += 1

    def _disturb(self, pyramid: Pyramid, moments: tuple[str, ...], times: int, made: dict[str, bytes]) -> None:
        command = self.bench.command(pyramid, "--workers", "2", *self.options)
        run = None
        for _ in range(times):
            run = run or self.bench.begin(command, {"slow_tile": 0.02})
            moment = self.chance.choice(moments)
            self._wait(moment, pyramid, run)
            workers = [] if run.poll() is not None else workers_of(run.pid)
            victim = self.chance.choice(("worker", "parent", "all")) if workers else "parent"
            if run.poll() is None:
                for process in {"worker": workers[:1], "parent": [run.pid], "all": [run.pid, *workers]}[victim]:
                    os.kill(process, signal.SIGKILL)
                self.struck[f"{victim} at {moment}"] += 1
            pyramid.check_so_far(made)
            if victim != "worker":
                said, run = ended(run), None
                assert said.code in (0, -signal.SIGKILL), said.err
                pyramid.check_so_far(made)
        said = self.bench.apart(command) if run is None else ended(run)
        assert said.code == 0, said.err
        assert "Traceback" not in said.err, said.err
        pyramid.check_whole(made)

    def _wait(self, moment: str, pyramid: Pyramid, run: "subprocess.Popen[str]") -> None:
        """Wait for a moment: some blocks more, a block being written, outputs being written; or for the run's end."""
        before, more, end = len(pyramid.blocks()), self.chance.randint(1, 4), time.monotonic() + 15
        while run.poll() is None and time.monotonic() < end:
            if moment == "hidden" and any((pyramid.home / "blocks").glob("??/.*")):
                return
            if moment == "block" and len(pyramid.blocks()) >= before + more:
                break
            if moment == "gather" and any(pyramid.folder.glob(".mapstyle-*")):
                break
            time.sleep(0.0005)
        time.sleep(self.chance.uniform(0, 0.5))


def test_killed_at_random_moments_the_tiles_are_the_same(bench, painted, tmp_path):
    Killer(bench, tmp_path, painted, (), 12, random.Random(1)).kill(5)


def test_killed_at_random_moments_shrunk_tiles_are_the_same(bench, shrunk, tmp_path):
    Killer(bench, tmp_path, shrunk, SHRINK, 12, random.Random(2)).kill(2)


@pytest.mark.long
def test_killed_fifty_times_the_tiles_are_the_same(bench, painted, tmp_path):
    killer = Killer(bench, tmp_path, painted, (), 22, random.Random(3))
    killer.kill(50)
    print(dict(killer.struck))


@pytest.mark.long
def test_killed_fifty_times_shrunk_tiles_are_the_same(bench, shrunk, tmp_path):
    killer = Killer(bench, tmp_path, shrunk, SHRINK, 42, random.Random(4))
    killer.kill(50)
    print(dict(killer.struck))


@pytest.mark.parametrize("suffix", [".pmtiles", ".mbtiles"])
def test_killed_between_two_outputs_the_same_command_goes_on(bench, painted, made, tmp_path, suffix):
    pyramid = copied(painted, tmp_path)
    said = bench.apart(bench.command(pyramid, *ONE), {"dies_packing": suffix})
    assert said.code == -signal.SIGKILL
    pyramid.check_so_far(made)
    said = bench.here(*bench.command(pyramid, *ONE))
    assert said.code == 0, said.err
    pyramid.check_whole(made)


def test_no_block_is_lost_when_workers_die_while_nobody_waits_for_them():
    """The pool breaks while the run is writing its ledger: what was just about to be handed out must not vanish."""
    tasks = [Task(Block(15, i, 0), "run") for i in range(6)]
    with Local(_recipe(), 1) as pool:
        entries = pool(tasks)
        found = [next(entries).block]
        for worker in multiprocessing.active_children():
            worker.kill()
        time.sleep(0.5)
        found += [entry.block for entry in entries]
    assert sorted(found) == [task.block for task in tasks]


def _recipe():
    """Give a recipe whose blocks all fail at once, for want of sources."""
    from mapstyle.batch.plan import TileGrid, plan
    from mapstyle.batch.work import Recipe
    from mapstyle.engines.painter import PainterSpec
    from mapstyle.exports.encoding import TileFormat
    from mapstyle.pipeline import Words
    from mapstyle.style import load_style

    style = load_style("watercolour", ())
    here = Path(tempfile.gettempdir())
    job = plan((3.87, 54.58, 3.91, 54.6), range(15, 16), TileGrid())
    return Recipe(("nothing.gpkg",), "", here, here, style, PainterSpec(style.painter), 1, "", Words.NONE, job,
                  (TileFormat(),), here)  # fmt: skip


# No room


def _tmpfs(folder: Path, size: str):
    """Give a small disk of its own, where that is allowed."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True,
                          text=True, check=False)  # fmt: skip
    if made.returncode:
        pytest.skip(f"no small disk may be mounted here: {made.stderr.strip()}")


@pytest.mark.parametrize(
    ("size", "finished"),
    [
        ("64k", False),
        ("2m", False),
        ("5m", True),
        *long(("1600k", False), ("3500k", True), ("8m", True), ("10m", True)),
    ],
)
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(bench, painted, made, tmp_path, size, finished):
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command here")
    disk = tmp_path / "disk"
    _tmpfs(disk, size)
    try:
        pyramid = Pyramid(disk / "p") if size == "64k" else copied(painted, disk / "p", 0 if finished else 14)
        pyramid.folder.mkdir(exist_ok=True)
        said = bench.here(*bench.command(pyramid, *ONE))
        check_refused(said, "free some room")
        pyramid.check_so_far(made)
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        said = bench.here(*bench.command(pyramid, *ONE))
        assert said.code == 0, said.err
        pyramid.check_whole(made)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize(
    ("size", "workers"),
    [
        (120_000, 2),
        *long((1_000_000, 1)),
    ],
)
def test_a_limit_of_file_size_is_one_line_and_the_same_command_goes_on(bench, painted, made, tmp_path, size, workers):
    pyramid = Pyramid(tmp_path) if size < 100_000 else copied(painted, tmp_path, 4)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    said = bench.apart(bench.command(pyramid, "--workers", workers), preexec_fn=limit)
    check_refused(said, "free some room")
    pyramid.check_so_far(made)
    said = bench.here(*bench.command(pyramid, *ONE))
    assert said.code == 0, said.err
    pyramid.check_whole(made)


def test_a_disk_that_fills_up_while_blocks_are_stored_leaves_none_half_written(
    bench, painted, made, tmp_path, monkeypatch
):
    pyramid = copied(painted, tmp_path, 6)
    put, replace = BlockStore.put, os.replace

    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def puts(self, *what):
        monkeypatch.setattr(os, "replace", replace if len(pyramid.blocks()) < 19 else full)
        put(self, *what)

    monkeypatch.setattr(BlockStore, "put", puts)
    check_refused(bench.here(*bench.command(pyramid, *ONE)), "the disk is full", "run the same command again")
    assert len(pyramid.blocks()) == 19
    assert not any(output.exists() for output in pyramid.outputs)
    assert not list(pyramid.home.glob("blocks/??/.*"))
    monkeypatch.undo()
    said = bench.here(*bench.command(pyramid, *ONE))
    assert said.code == 0, said.err
    assert "3 blocks painted" in said.err
    assert "19 kept" in said.err
    pyramid.check_whole(made)


# Folders that go


@pytest.mark.parametrize("what", ["folder", *long("home")])
def test_a_folder_that_vanishes_while_blocks_are_painted_can_be_made_again(
    bench, painted, made, tmp_path, monkeypatch, what
):
    pyramid = copied(painted, tmp_path / "p", 6)
    make, gone = Worker._make, []

    def vanishing(self, task, wanted):
        if not gone and len(pyramid.blocks()) == 18:
            gone.append(shutil.move(pyramid.home if what == "home" else pyramid.folder, tmp_path / "gone"))
        return make(self, task, wanted)

    monkeypatch.setattr(Worker, "_make", vanishing)
    said = bench.here(*bench.command(pyramid, *ONE))
    check_refused(said)
    monkeypatch.undo()
    bring_back(painted, pyramid)
    said = bench.here(*bench.command(pyramid, *ONE))
    assert said.code == 0, said.err
    pyramid.check_whole(made)


@pytest.mark.parametrize("what", ["tiles", "folder"])
def test_a_folder_that_vanishes_while_tiles_are_gathered_can_be_made_again(
    bench, painted, made, tmp_path, monkeypatch, what
):
    pyramid = copied(painted, tmp_path / "p")
    write = sinks.Folder.write

    def vanishing(self, z, x, y, data):
        if len(pyramid.held(pyramid.tiles)) == 7:
            shutil.rmtree(pyramid.tiles if what == "tiles" else pyramid.folder)
        write(self, z, x, y, data)

    monkeypatch.setattr(sinks.Folder, "write", vanishing)
    said = bench.here(*bench.command(pyramid, *ONE))
    check_refused(said, "vanished")
    monkeypatch.undo()
    bring_back(painted, pyramid)
    said = bench.here(*bench.command(pyramid, *ONE))
    assert said.code == 0, said.err
    pyramid.check_whole(made)


def _without_privilege() -> None:
    """Obey the permissions of files even as root: take away CAP_DAC_OVERRIDE, prctl(2), for what is executed next."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(24, 1)  # PR_CAPBSET_DROP


@pytest.fixture(scope="module")
def obedient(tmp_path_factory):
    """Give what makes a program obey read-only folders."""
    folder = tmp_path_factory.mktemp("shut")
    folder.chmod(0o555)
    tried = subprocess.run(["touch", str(folder / "file")], preexec_fn=_without_privilege, capture_output=True,
                           check=False)  # fmt: skip
    if tried.returncode == 0:
        pytest.skip("root writes everywhere here, and its privilege cannot be taken away")
    return {"preexec_fn": _without_privilege}


@pytest.mark.parametrize("what", ["home", "blocks", "tiles", "folder"])
def test_a_folder_that_becomes_read_only_is_one_line_and_the_same_command_goes_on(
    bench, painted, made, tmp_path, obedient, what
):
    pyramid = copied(painted, tmp_path / "p")
    pyramid.tiles.mkdir()
    pyramid.blocks()[0].unlink()
    shut = {"home": pyramid.home, "blocks": pyramid.home / "blocks", "tiles": pyramid.tiles, "folder": pyramid.folder}
    paths = [shut[what], *(p for p in shut[what].rglob("*") if what in ("home", "blocks"))]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    said = bench.apart(bench.command(pyramid, *ONE), **obedient)
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)
    check_refused(said)
    pyramid.check_so_far(made)
    said = bench.here(*bench.command(pyramid, *ONE))
    assert said.code == 0, said.err
    pyramid.check_whole(made)


# Two at once


def test_of_two_runs_at_once_one_makes_the_tiles_and_the_other_is_refused(bench, painted, made, tmp_path):
    pyramid = copied(painted, tmp_path, 12)
    pyramid.ledger.unlink()
    runs = [bench.begin(bench.command(pyramid, *ONE), {"slow": 0.1}) for _ in range(2)]
    told = []
    while all(run.poll() is None for run in runs):
        time.sleep(0.05)
    loser = next(run for run in runs if run.poll() is not None)
    winner = next(run for run in runs if run is not loser)
    check_refused(ended(loser), "another run")
    while winner.poll() is None:
        said = bench.here("status", pyramid.tiles)
        assert said.code == 0, said.err
        told.append(said.out)
        said = bench.here("export", pyramid.tiles, "-o", tmp_path / "other.pmtiles")
        if said.code:
            check_refused(said, "another run")
            assert not (tmp_path / "other.pmtiles").exists()
        time.sleep(0.2)
    said = ended(winner)
    assert said.code == 0, said.err
    assert len(told) > 3
    assert any(not line.startswith("22 of 22") for line in told)
    (tmp_path / "other.pmtiles").unlink(missing_ok=True)
    pyramid.check_whole(made)


def _hold(path: Path, start, answers, done) -> None:
    start.wait()
    try:
        Ledger(path).hold()
        answers.put("held")
        done.wait(30)  # whoever holds it lives
    except JobError as error:
        answers.put(str(error))
    except Exception as error:
        answers.put(f"{type(error).__name__}: {error}")


def test_of_many_that_begin_a_ledger_at_the_same_moment_one_holds_it(tmp_path):
    context = multiprocessing.get_context("fork")
    for i in range(10):
        start, done, answers = context.Barrier(4), context.Event(), context.Queue()
        path = tmp_path / str(i) / "ledger.db"
        runs = [context.Process(target=_hold, args=(path, start, answers, done)) for _ in range(4)]
        for run in runs:
            run.start()
        told = sorted(answers.get(timeout=60) for _ in runs)
        done.set()
        for run in runs:
            run.join()
        assert told.count("held") == 1, told
        assert all("another run" in line for line in told if line != "held"), told


# Damaged files


def _truncated(block: Path, other: Path) -> None:
    block.write_bytes(block.read_bytes()[:-20_000])


def _flipped(block: Path, other: Path) -> None:
    data = bytearray(block.read_bytes())
    data[len(data) // 2] ^= 4
    block.write_bytes(data)


def _emptied(block: Path, other: Path) -> None:
    block.write_bytes(b"")


def _gone(block: Path, other: Path) -> None:
    block.unlink()


def _folder(block: Path, other: Path) -> None:
    block.unlink()
    block.mkdir()
    (block / "something").write_text("else")


def _exchanged(block: Path, other: Path) -> None:
    shutil.copyfile(other, block)


DAMAGES = (_truncated, _flipped, _emptied, _gone, _exchanged)


@pytest.mark.parametrize("damage", [*DAMAGES, _folder])
def test_a_damaged_block_is_painted_again(bench, painted, made, tmp_path, damage):
    pyramid = copied(painted, tmp_path)
    blocks = pyramid.blocks()
    damage(blocks[3], blocks[7])
    said = bench.here(*bench.command(pyramid, *ONE))
    assert said.code == 0, said.err
    assert "1 blocks painted" in said.err
    pyramid.check_whole(made)


@pytest.mark.parametrize(
    "damage",
    [
        _gone,
        _flipped,
        _folder,
    ],
)
def test_art_that_is_damaged_is_painted_again_before_others_are_shrunk_from_it(bench, shrunk, tmp_path, damage):
    pyramid = copied(shrunk, tmp_path)
    with sqlite3.connect(pyramid.ledger) as ledger:
        names = dict(ledger.execute("SELECT level, min(fingerprint) FROM blocks GROUP BY level").fetchall())
        other = ledger.execute("SELECT max(fingerprint) FROM blocks WHERE level = 15").fetchone()[0]
    store = BlockStore(pyramid.home / "blocks")
    damage(store.path(names[15]), store.path(other))
    for level in (13, 14):
        for (name,) in sqlite3.connect(pyramid.ledger).execute(
            "SELECT fingerprint FROM blocks WHERE level = ?", (level,)
        ):
            store.drop(name)
    said = bench.here(*bench.command(pyramid, *ONE, *SHRINK))
    assert said.code == 0, said.err
    pyramid.check_whole(shrunk.held(shrunk.tiles))


def test_a_damaged_block_is_not_exported(bench, painted, tmp_path):
    pyramid = copied(painted, tmp_path)
    _flipped(pyramid.blocks()[5], pyramid.blocks()[6])
    check_refused(bench.here("export", pyramid.home, "-o", tmp_path / "other.mbtiles"), "damaged")
    assert not (tmp_path / "other.mbtiles").exists()


def _check_mended(bench: Bench, pyramid: Pyramid, made: dict[str, bytes]) -> None:
    """Make sure that a ledger is mended, or that a person is told to delete it, which mends it."""
    for words in (["status", pyramid.tiles], ["export", pyramid.home, "-o", pyramid.folder / "other.mbtiles"]):
        said = bench.here(*words)
        if said.code:
            check_refused(said)
    said = bench.here(*bench.command(pyramid, *ONE))
    if said.code:
        check_refused(said, "delete it", str(pyramid.ledger))
        pyramid.check_so_far(made)
        pyramid.ledger.unlink()
        for output in pyramid.outputs[1:]:
            assert not output.exists()
        said = bench.here(*bench.command(pyramid, *ONE))
        assert said.code == 0, said.err
        assert " 0 blocks painted" in said.err or "\n0 blocks painted" in said.err
    (pyramid.folder / "other.mbtiles").unlink(missing_ok=True)
    pyramid.check_whole(made)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_ledger_that_was_cut_off_is_healed_or_refused_with_the_cure(bench, painted, made, tmp_path, share):
    pyramid = copied(painted, tmp_path)
    data = pyramid.ledger.read_bytes()
    pyramid.ledger.write_bytes(data[: int(len(data) * share)])
    _check_mended(bench, pyramid, made)


def test_a_ledger_with_flipped_bytes_is_healed_or_refused_with_the_cure(bench, painted, made, tmp_path):
    chance = random.Random(7)
    for i in range(8):
        pyramid = copied(painted, tmp_path / str(i))
        data = bytearray(pyramid.ledger.read_bytes())
        page = 4096 * (i % (len(data) // 4096))  # each page in turn, its head first of all
        for at in [
            page + (100 if not page else 0) + chance.randrange(12),
            *(chance.randrange(len(data)) for _ in range(3 * i)),
        ]:
            data[at] = chance.randrange(256)
        pyramid.ledger.write_bytes(data)
        _check_mended(bench, pyramid, made)


def test_what_a_killed_run_left_beside_its_ledger_does_no_harm(bench, painted, made, tmp_path):
    pyramid = copied(painted, tmp_path, 6)
    run = bench.begin(bench.command(pyramid, *ONE), {"slow": 0.4})
    while run.poll() is None and len(pyramid.blocks()) < 20:
        time.sleep(0.02)
    run.kill()
    run.communicate()
    journal = Path(f"{pyramid.ledger}-wal")
    assert journal.stat().st_size > 0, "the run was killed before its ledger was put in order"
    for i, damage in enumerate((None, _flipped, _emptied)):
        copy = Pyramid(tmp_path / str(i))
        shutil.copytree(pyramid.home, copy.home)
        if damage is not None:
            damage(Path(f"{copy.ledger}-wal"), journal)
        _check_mended(bench, copy, made) if i else None
    pyramid.ledger.unlink()  # as a person is told to do; what lies beside it stays
    said = bench.here(*bench.command(pyramid, *ONE))
    assert said.code == 0, said.err
    assert pyramid.held(pyramid.tiles) == made


# Sources that change


def box(lon: float, lat: float, side: float) -> dict:
    corners = [(0, 0), (side, 0), (side, side), (0, side), (0, 0)]
    return {"type": "Polygon", "coordinates": [[[lon + x, lat + y] for x, y in corners]]}


COUNTRY = ("--zoom", "14-15", "--extent", "10.01,50.01,10.04,50.035", *ONE)


def write_country(path: Path, moved: float = 0) -> None:
    """Write a forest with a row of houses, and one that is moved by some degrees."""
    rows = [({"landuse": "forest"}, box(10.0, 50.0, 0.06))]
    rows += [({"building": "yes"}, box(10.002 + i * 0.004, 50.003, 0.0002)) for i in range(12)]
    rows += [({"building": "yes"}, box(10.03 + moved, 50.03, 0.0003))]
    features = [{"type": "Feature", "properties": p, "geometry": g} for p, g in rows]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def _raise_heights(path: Path) -> None:
    import rasterio

    with rasterio.open(path, "r+") as file:
        heights = file.read(1)
        heights[: heights.shape[0] // 2] += 40
        file.write(heights, 1)


def _touch(path: Path) -> None:
    os.utime(path)


@pytest.mark.parametrize(
    "change",
    [lambda p: write_country(p, 0.0004), *long(Path.unlink, lambda p: p.write_text("{"), _touch)],
    ids=["edited", "deleted", "cut off", "touched"],
)
def test_a_source_that_changes_during_the_run_is_refused_and_then_painted(bench, tmp_path, monkeypatch, change):
    source = tmp_path / "country.geojson"
    write_country(source)
    make, pyramid = Worker._make, Pyramid(tmp_path / "p")
    pyramid.folder.mkdir()

    def changing(self, task, wanted):
        if len(pyramid.blocks()) == 4:
            change(source)
        return make(self, task, wanted)

    monkeypatch.setattr(Worker, "_make", changing)
    said = bench.here("tiles", source, *COUNTRY, *pyramid.into)
    check_refused(said, "has changed while the run was going on", "run the same command again")
    assert not any(output.exists() for output in pyramid.outputs)
    monkeypatch.undo()
    if not source.exists() or source.stat().st_size < 100:
        assert bench.here("tiles", source, *COUNTRY, *pyramid.into).code == 1
        write_country(source, 0.0004)
    said = bench.here("tiles", source, *COUNTRY, *pyramid.into)
    assert said.code == 0, said.err
    fresh = Pyramid(tmp_path / "fresh")
    fresh.folder.mkdir()
    assert bench.here("tiles", source, *COUNTRY, *fresh.into).code == 0
    pyramid.check_whole(fresh.held(fresh.tiles))


@pytest.mark.parametrize("workers", [1, *long(2)])
def test_heights_that_change_during_the_run_are_refused_and_then_painted(bench, tmp_path, workers):
    heights = tmp_path / "heights.tif"
    shutil.copy(packaged("sample_data") / "doggerhaven-elevation.tif", heights)
    pyramid, fresh = Pyramid(tmp_path / "p"), Pyramid(tmp_path / "fresh")
    for each in (pyramid, fresh):
        each.folder.mkdir()
    command = [*bench.command(pyramid, "--workers", workers), str(heights), "--zoom", "13-14"]
    run = bench.begin(command, {"slow": 0.5})
    while run.poll() is None and not pyramid.blocks():
        time.sleep(0.02)
    _raise_heights(heights)
    check_refused(ended(run), "has changed while the run was going on", "run the same command again")
    assert not any(output.exists() for output in pyramid.outputs)
    said = bench.here(*command, *ONE)
    assert said.code == 0, said.err
    assert bench.here(*bench.command(fresh, *ONE), heights, "--zoom", "13-14").code == 0
    pyramid.check_whole(fresh.held(fresh.tiles))


# Poison


@pytest.mark.parametrize(("harm", "told"), [("poison", "a poisoned block"), ("deadly", "its worker died 3 times")])
def test_a_poisoned_block_is_recorded_and_all_others_are_made(bench, painted, made, tmp_path, harm, told):
    pyramid = copied(painted, tmp_path, 2)
    place = min(places(painted)[block.name] for block in painted.blocks()[:2])
    name = "/".join(map(str, place))
    others = {tile: data for tile, data in made.items() if tile != name}
    command = bench.command(pyramid, "--workers", 2)
    said = bench.apart(command, {harm: list(place)})
    assert said.code == 1
    assert "1 blocks failed" in said.line
    assert told in said.line
    assert "--retry-failed" in said.line
    pyramid.check_whole(others)
    listed = bench.here("status", pyramid.tiles)
    assert "21 of 22 blocks done, 1 failed" in listed.out
    assert f"level {place[0]}, block {place[1]}/{place[2]}" in listed.out
    said = bench.here(*command, "--workers", 1)
    assert said.code == 1, "not tried again unless asked for"
    assert told in said.line
    pyramid.check_whole(others)
    said = bench.here(*command, "--workers", 1, "--retry-failed")
    assert said.code == 0, said.err
    assert "1 blocks painted" in said.err
    pyramid.check_whole(made)


def test_blocks_shrunk_from_a_poisoned_one_are_recorded_and_mended(bench, shrunk, tmp_path, monkeypatch):
    pyramid, made = copied(shrunk, tmp_path), shrunk.held(shrunk.tiles)
    place = Block(*max(where for where in places(shrunk).values() if "/".join(map(str, where)) in made))
    make = Worker._make
    parents = {(15 - i, place.column >> i, place.row >> i) for i in range(3)}
    for name in (name for name, where in places(shrunk).items() if where in parents):
        BlockStore(pyramid.home / "blocks").drop(name)

    def poisoned(self, task, wanted):
        if task.block == place:
            raise ValueError("a poisoned block")
        return make(self, task, wanted)

    monkeypatch.setattr(Worker, "_make", poisoned)
    command = bench.command(pyramid, *ONE, *SHRINK)
    said = bench.here(*command)
    assert said.code == 1
    assert "a poisoned block" in said.line
    missing = {name for name in made if name not in pyramid.held(pyramid.tiles)}
    assert missing == {"/".join(map(str, parent)) for parent in parents} & set(made)
    assert len(missing) > 1
    assert "of which it is made, failed" in bench.here("status", pyramid.tiles).out
    monkeypatch.undo()
    assert bench.here(*command).code == 1
    said = bench.here(*command, "--retry-failed")
    assert said.code == 0, said.err
    pyramid.check_whole(made)


# Interrupted


def _painting(bench: Bench, pyramid: Pyramid, workers: int, slow: float, more: int):
    """Start a run and wait until some blocks are there."""
    run = bench.begin(bench.command(pyramid, "--workers", workers), {"slow": slow})
    while run.poll() is None and len(pyramid.blocks()) < more:
        time.sleep(0.01)
    return run


@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGINT, 2), (signal.SIGTERM, 1), *long((signal.SIGINT, 1), (signal.SIGTERM, 2))]
)
def test_interrupted_a_run_keeps_what_is_finished_and_goes_on(bench, painted, made, tmp_path, number, workers):
    pyramid = copied(painted, tmp_path, 9)
    run = _painting(bench, pyramid, workers, 0.3, 15)
    children = workers_of(run.pid)
    assert len(children) == (workers if workers > 1 else 0)
    if number == signal.SIGINT:
        os.killpg(run.pid, number)  # as a terminal does
    else:
        run.send_signal(number)
    said = ended(run, 20)
    assert said.code == 130, said.err
    assert "stopped; nothing half-written is left" in said.line
    assert not any(alive(child) for child in children)
    finished = len(pyramid.blocks())
    assert finished < len(made)
    pyramid.check_so_far(made)
    assert not list(pyramid.home.glob("blocks/??/.*"))
    said = bench.here(*bench.command(pyramid, *ONE))
    assert said.code == 0, said.err
    assert f"{len(made) - finished} blocks painted" in said.err
    pyramid.check_whole(made)


def test_interrupted_a_run_finishes_the_blocks_in_hand(bench, painted, tmp_path):
    pyramid = copied(painted, tmp_path, 12)
    run = _painting(bench, pyramid, 2, 1.0, 12)
    time.sleep(0.3)
    before = len(pyramid.blocks())
    run.send_signal(signal.SIGINT)
    said = ended(run, 20)
    assert said.code == 130
    assert "finishing the blocks in hand" in said.err
    assert before + 2 <= len(pyramid.blocks()) <= before + 4


def test_interrupted_twice_a_run_stops_at_once_and_leaves_nobody(bench, tmp_path):
    pyramid, notes = Pyramid(tmp_path / "p"), tmp_path / "notes"
    pyramid.folder.mkdir()
    notes.mkdir()
    harm = {"slow": 25, "notes": str(notes)}
    run = bench.begin(bench.command(pyramid, "--workers", 2), harm)
    while run.poll() is None and len(list(notes.iterdir())) < 2:
        time.sleep(0.05)
    children = workers_of(run.pid)
    assert len(children) == 2
    begun = time.monotonic()
    os.killpg(run.pid, signal.SIGINT)
    time.sleep(0.5)
    assert run.poll() is None, "it waits for the blocks in hand"
    os.killpg(run.pid, signal.SIGINT)
    try:
        said = ended(run, 10)
    finally:
        left = [child for child in children if alive(child)]
        for child in left:
            os.kill(child, signal.SIGKILL)
    assert time.monotonic() - begun < 8
    assert said.code == 130, said.err
    assert "stopped" in said.line
    assert not left


@pytest.mark.parametrize("wait", [0.1, *long(0.0, 0.3, 0.6, 1.0, 1.5, 2.0)])
def test_interrupted_while_workers_begin_nobody_complains(bench, tmp_path, wait):
    pyramid = Pyramid(tmp_path)
    run = bench.begin(bench.command(pyramid, "--workers", 2))
    while run.poll() is None and not workers_of(run.pid):
        time.sleep(0.01)
    time.sleep(wait)
    os.killpg(run.pid, signal.SIGINT)
    said = ended(run, 20)
    assert said.code == 130, said.err
    assert "stopped" in said.line


@pytest.mark.parametrize("wait", [0.3, *long(0.0, 0.1, 0.6, 1.0, 1.4, 2.0, 3.0)])
def test_killed_a_run_leaves_no_workers(bench, tmp_path, wait):
    pyramid = Pyramid(tmp_path)
    run = bench.begin(bench.command(pyramid, "--workers", 2), {"slow": 1})
    children: list[int] = []
    while run.poll() is None and len(children) < 2:
        time.sleep(0.01)
        children = workers_of(run.pid)
    time.sleep(wait)
    run.kill()
    end = time.monotonic() + 6
    while any(map(alive, children)) and time.monotonic() < end:
        time.sleep(0.05)
    left = [child for child in children if alive(child)]
    for child in left:
        os.kill(child, signal.SIGKILL)
    run.communicate()
    assert not left


# Changes told


def _changes(said: Said) -> dict[tuple[int, int, int], list[str]]:
    """Give the blocks that a report names, with what it says of each."""
    events = [json.loads(line) for line in said.out.splitlines()]
    return {(e["level"], e["column"], e["row"]): e["why"] for e in events if "level" in e and e["event"] == "result"}


def test_after_an_edit_of_one_building_just_its_blocks_are_told_and_painted(bench, tmp_path):
    source = tmp_path / "country.geojson"
    pyramid, fresh = Pyramid(tmp_path / "p"), Pyramid(tmp_path / "fresh")
    for each in (pyramid, fresh):
        each.folder.mkdir()
    write_country(source)
    command = ["tiles", source, *COUNTRY, "--changed-only", "--report", "--json", *pyramid.into]
    assert bench.here(*command, "--dry-run").code == 1, "nothing has been made, so nothing can have changed"
    assert not pyramid.home.exists()
    assert bench.here("tiles", source, *COUNTRY, *pyramid.into).code == 0
    before = pyramid.held(pyramid.tiles)
    assert _changes(bench.here(*command, "--dry-run")) == {}
    write_country(source, 0.0004)
    kept = {f: f.read_bytes() for f in (pyramid.ledger, *pyramid.blocks())}
    expected = _changes(bench.here(*command, "--dry-run"))
    assert {f: f.read_bytes() for f in (pyramid.ledger, *pyramid.blocks())} == kept
    assert pyramid.held(pyramid.tiles) == before
    assert 2 <= len(expected) <= 8
    assert all("areas" in why for why in expected.values())
    said = bench.here(*command)
    assert said.code == 0, said.err
    assert _changes(said) == expected
    painted = next(e["painted"] for e in map(json.loads, said.out.splitlines()) if "painted" in e)
    assert painted == len(expected)
    assert bench.here("tiles", source, *COUNTRY, *fresh.into).code == 0
    pyramid.check_whole(fresh.held(fresh.tiles))
    differing = {name for name, data in pyramid.held(pyramid.tiles).items() if before[name] != data}
    assert differing
    assert differing <= {"/".join(map(str, block)) for block in expected}


@pytest.mark.parametrize(
    ("option", "why"), [(("--seed", "8"), "seed"), (("--set", "painter.settings.granulation=0.2"), "style")]
)
def test_after_a_change_of_the_job_all_blocks_are_told_with_the_reason(bench, painted, made, tmp_path, option, why):
    pyramid = copied(painted, tmp_path)
    before = {f: f.read_bytes() for f in pyramid.blocks()}
    said = bench.here(*bench.command(pyramid, *ONE, *option), "--dry-run", "--report", "--json")
    assert said.code == 0, said.err
    told = _changes(said)
    assert {"/".join(map(str, block)) for block in told} == set(made)
    assert all(why in reasons for reasons in told.values())
    if why == "seed":
        assert all(reasons == ["seed"] for reasons in told.values())
    assert {f: f.read_bytes() for f in pyramid.blocks()} == before
