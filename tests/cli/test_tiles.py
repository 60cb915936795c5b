"""``mapstyle tiles``: the same tiles whoever makes them, however often it is killed, and only what changed anew."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PLACE = ("--around", "3.8925,54.5972", "--radius", "1.2", "--style", "watercolour", "-q")


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.png")}


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory):
    """A small pyramid made by one worker, undisturbed."""
    return tmp_path_factory.mktemp("pyramid") / "town"


@pytest.fixture
def made(cli, town, pyramid):
    if not pyramid.exists():
        said = cli("tiles", town, *PLACE, "--zoom", "13-15", "-o", pyramid, "--workers", "1")
        assert said.code == 0, said.err
    return files(pyramid)


def test_a_tile_is_what_render_makes_of_it(cli, town, made, pyramid, tmp_path):
    assert len(made) > 12
    for name in sorted(made)[::5]:
        out = tmp_path / f"{name.replace('/', '-')}"
        assert (
            cli("render", town, "--tile", name.removesuffix(".png"), "--attribution", "none", "-q", "-o", out).code == 0
        )
        assert np.array_equal(pixels(pyramid / name), pixels(out)), name


def test_two_workers_and_other_outputs_hold_the_same_tiles(cli, town, made, tmp_path):
    outputs = [tmp_path / n for n in ("two", "two.mbtiles", "two.pmtiles")]
    names = [part for out in outputs for part in ("-o", out)]
    said = cli("tiles", town, *PLACE, "--zoom", "13-15", *names, "--workers", "2")
    assert said.code == 0, said.err
    assert files(outputs[0]) == made
    rows = sqlite3.connect(outputs[1]).execute("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles")
    assert {f"{z}/{x}/{(1 << z) - 1 - y}.png": data for z, x, y, data in rows} == made
    from pmtiles.reader import MmapSource, Reader, all_tiles

    with outputs[2].open("rb") as file:
        assert {f"{z}/{x}/{y}.png": data for (z, x, y), data in all_tiles(MmapSource(file))} == made
        assert Reader(MmapSource(file)).header()["max_zoom"] == 15


def test_the_same_command_again_keeps_everything(cli, town, made, pyramid):
    before = {p: p.stat().st_mtime_ns for p in pyramid.rglob("*.png")}
    said = cli("tiles", town, *[w for w in PLACE if w != "-q"], "--zoom", "13-15", "-o", pyramid, "--workers", "1")
    assert said.code == 0, said.err
    assert "0 blocks painted, 0 found unchanged" in said.err
    assert {p: p.stat().st_mtime_ns for p in pyramid.rglob("*.png")} == before
    told = cli("status", pyramid)
    assert "0 failed" in told.out


def test_killed_again_and_again_the_tiles_are_the_same(town, made, tmp_path, kept):
    command = [sys.executable, "-m", "mapstyle", "tiles", town, *PLACE, "--zoom", "13-15", "-o", tmp_path / "t",
               "--workers", "2"]  # fmt: skip
    surroundings = {**os.environ, "MAPSTYLE_CACHE": str(kept)}
    for wait in (2.5, 3.5, 4.5):
        run = subprocess.Popen([str(c) for c in command], env=surroundings, stderr=subprocess.PIPE)
        time.sleep(wait)
        workers = subprocess.run(
            ["pgrep", "-P", str(run.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        # By turns a worker and the parent are killed; a worker's death alone must not end the run.
        for victim in [int(w) for w in workers[-1:]] if wait == 3.5 else [run.pid, *map(int, workers)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        run.wait(120)
        assert all(len(data) > 100 for data in files(tmp_path / "t").values()) if (tmp_path / "t").exists() else True
    done = subprocess.run([str(c) for c in command], env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "t") == made


def test_a_damaged_block_is_painted_again(cli, town, made, tmp_path):
    out = tmp_path / "t"
    go = ("tiles", town, *[w for w in PLACE if w != "-q"], "--zoom", "13", "-o", out, "--workers", "1")
    assert cli(*go).code == 0
    block = next((tmp_path / "t.store" / "blocks").glob("??/*"))
    block.write_bytes(block.read_bytes()[:-20])
    said = cli(*go)
    assert said.code == 0
    assert "damaged on disk" in said.err
    assert "1 blocks painted" in said.err or "1 found unchanged" in said.err
    assert all(made[name] == data for name, data in files(out).items())


def box(lon: float, lat: float, side: float) -> dict:
    corners = [(0, 0), (side, 0), (side, side), (0, side), (0, 0)]
    return {"type": "Polygon", "coordinates": [[[lon + x, lat + y] for x, y in corners]]}


def test_an_edit_repaints_what_is_near_it_and_nothing_else(cli, tmp_path):
    def country(moved: float) -> Path:
        rows = [({"landuse": "forest"}, box(10.0, 50.0, 0.06))]
        rows += [({"building": "yes"}, box(10.002 + i * 0.004, 50.003, 0.0002)) for i in range(12)]
        rows += [({"building": "yes"}, box(10.03 + moved, 50.03, 0.0003))]
        path = tmp_path / "country.geojson"
        features = [{"type": "Feature", "properties": p, "geometry": g} for p, g in rows]
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        return path

    go = ("--zoom", "15", "--style", "watercolour", "--extent", "10,50,10.06,50.04", "--workers", "1")
    assert cli("tiles", country(0), *go, "-o", tmp_path / "t").code == 0
    said = cli("tiles", country(0.0002), *go, "-o", tmp_path / "t")
    assert said.code == 0, said.err
    painted, unchanged = (int(said.err.split(word)[0].split()[-1]) for word in (" blocks painted", " found unchanged"))
    assert 1 <= painted <= 4
    assert unchanged >= 2
    assert cli("tiles", country(0.0002), *go, "-o", tmp_path / "fresh").code == 0
    assert files(tmp_path / "t") == files(tmp_path / "fresh")


def test_a_second_run_at_the_same_time_is_refused(cli, town, tmp_path):
    from mapstyle.batch.ledger import Ledger

    code = f"from mapstyle.batch.ledger import Ledger; from pathlib import Path; import time; " \
           f"Ledger(Path({str(tmp_path / 't.store' / 'ledger.db')!r})).hold(); print('held', flush=True); time.sleep(60)"  # fmt: skip
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    said = cli("tiles", town, *PLACE, "--zoom", "13", "-o", tmp_path / "t")
    other.kill()
    other.wait()
    assert said.code == 1
    assert "another run" in said.line
    assert Ledger(tmp_path / "t.store" / "ledger.db").counts() == {}


def test_a_block_that_always_fails_is_recorded_and_the_rest_is_made(cli, town, made, tmp_path, monkeypatch):
    from mapstyle.batch.work import Worker

    true = Worker._make

    def poisoned(self, task, wanted):
        if task.block.level == 14:
            raise ValueError("a poisoned block")
        return true(self, task, wanted)

    monkeypatch.setattr(Worker, "_make", poisoned)
    go = ("tiles", town, *PLACE, "--zoom", "13-14", "-o", tmp_path / "t", "--workers", "1")
    said = cli(*go)
    assert said.code == 1
    assert "a poisoned block" in said.line
    assert "--retry-failed" in said.line
    assert set(files(tmp_path / "t")) == {n for n in made if n.startswith("13/")}
    assert "a poisoned block" in cli("status", tmp_path / "t").out
    monkeypatch.undo()
    monkeypatch.setenv("MAPSTYLE_CACHE", str(tmp_path / "cache"))
    assert cli(*go).code == 1  # not tried again unless asked for
    assert cli(*go, "--retry-failed").code == 0
    assert files(tmp_path / "t") == {n: d for n, d in made.items() if not n.startswith("15/")}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--zoom", "15-13"), "levels go from 0"),
        (("--zoom", "a"), "write levels as A-B"),
        (("--zoom", "13", "--tile-size", "300"), "256 or 512"),
        (("--zoom", "13", "--format", "gif"), "no such format"),
    ],
)
def test_what_a_person_gets_wrong_is_one_line(cli, town, tmp_path, options, told):
    said = cli("tiles", town, *options, "-o", tmp_path / "t", "-q")
    assert said.code == 1
    assert told in said.line
    assert not list(tmp_path.iterdir())


def test_a_dry_run_says_and_does_nothing(cli, town, tmp_path):
    said = cli("tiles", town, "--zoom", "8-15", "-o", tmp_path / "t", "--dry-run")
    assert said.code == 0
    assert "tiles in" in said.err
    assert not list(tmp_path.iterdir())
