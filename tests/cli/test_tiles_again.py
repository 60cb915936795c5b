"""Other levels, another pyramid, other outputs into the same folder of finished blocks: never a stale tile."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mapstyle.batch.plan import MARGIN, side_for
from mapstyle.cli.main import _with_address

PLACE = ("--around", "3.8925,54.5972", "--radius", "0.7", "--workers", "1")


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.png")}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Folders of pyramids that were made at once, by options."""
    return {}, tmp_path_factory.mktemp("fresh")


@pytest.fixture
def at_once(cli, town, fresh):
    kept, folder = fresh

    def give(*options: str) -> dict[str, bytes]:
        if options not in kept:
            out = folder / f"t{len(kept)}"
            said = cli("tiles", town, *PLACE, *options, "-o", out)
            assert said.code == 0, said.err
            kept[options] = files(out)
        return kept[options]

    return give


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (("--zoom", "13-14"), ("--zoom", "13-14", "--pyramid", "shrink")),
        (("--zoom", "13-14", "--pyramid", "shrink"), ("--zoom", "13-14")),
        (("--zoom", "14", "--pyramid", "shrink"), ("--zoom", "13-14", "--pyramid", "shrink")),
        (("--zoom", "13-14", "--pyramid", "shrink"), ("--zoom", "13", "--pyramid", "shrink")),
    ],
)
def test_another_pyramid_in_the_same_place_is_as_if_made_at_once(cli, town, at_once, tmp_path, first, then):
    out = tmp_path / "t"
    assert cli("tiles", town, *PLACE, *first, "-o", out).code == 0
    said = cli("tiles", town, *PLACE, *then, "-o", out)
    assert said.code == 0, said.err
    assert files(out) == at_once(*then)
    again = cli("tiles", town, *PLACE, *then, "-o", out)
    assert "0 blocks painted, 0 found unchanged" in again.err
    assert cli("verify", out).code == 0


def test_a_shrunk_tile_does_not_hang_on_the_extent(cli, town, at_once, tmp_path):
    whole = at_once("--zoom", "13-14", "--pyramid", "shrink")
    out = tmp_path / "part"
    said = cli("tiles", town, "--around", "3.8905,54.5965", "--radius", "0.1", "--workers", "1", "--zoom", "13-14",
               "--pyramid", "shrink", "-o", out)  # fmt: skip
    assert said.code == 0, said.err
    part = files(out)
    assert {name for name in part if name.startswith("13/")}
    assert {name: data for name, data in whole.items() if name in part} == part


def test_the_art_of_the_largest_blocks_can_be_kept():
    for ratio in (1, 2, 3, 4):
        side = side_for(4096, ratio)  # of SDXL
        assert side % 1024 == 0
        assert (side + 2 * (MARGIN << 2)) * ratio < 16_383  # of a WebP
    assert side_for(0, 2) == 1024


def test_damaged_art_is_mended_before_it_is_shrunk(cli, town, at_once, tmp_path):
    out = tmp_path / "t"
    go = ("tiles", town, *PLACE, "--zoom", "13-14", "--pyramid", "shrink", "-o", out)
    assert cli(*go).code == 0
    import sqlite3

    ledger = sqlite3.connect(tmp_path / "t.store" / "ledger.db")
    (name,) = ledger.execute("SELECT fingerprint FROM blocks WHERE level = 14").fetchone()
    ledger.execute("DELETE FROM blocks WHERE level = 13")  # as if killed before shrinking began
    ledger.commit()
    ledger.close()
    block = tmp_path / "t.store" / "blocks" / name[:2] / name
    block.write_bytes(block.read_bytes()[:-30])
    said = cli(*go)
    assert said.code == 0, said.err
    assert "damaged" in said.err
    assert files(out) == at_once("--zoom", "13-14", "--pyramid", "shrink")


def test_every_output_knows_its_store(cli, town, tmp_path):
    one, two, three = (tmp_path / name for name in ("one.mbtiles", "two.pmtiles", "three"))
    go = ("tiles", town, *PLACE, "--zoom", "13")
    assert cli(*go, "-o", one, "-o", two).code == 0
    assert "4 of" not in cli("status", two).out
    assert "0 failed" in cli("status", two).out
    said = cli("export", two, "-o", three, "--format", "webp-lossless")
    assert said.code == 0, said.err
    for out in (one, two, three):
        said = cli("verify", out)
        assert said.code == 0, said.out
        assert ("compared with what was painted" in said.err) == (out != three)
    with Image.open(next(three.rglob("*.webp"))) as image:
        assert image.size == (256, 256)
    said = cli(*go, "-o", two, "-o", one)  # the other way round: still the same store
    assert said.code == 0, said.err
    assert "0 blocks painted" in said.err
    assert not (tmp_path / "two.pmtiles.store").exists()
    said = cli("export", one, "-o", one, "--format", "jpeg")
    assert said.code == 1
    assert "another name" in said.line


def test_an_export_of_what_is_not_finished_says_so(cli, town, tmp_path, monkeypatch):
    from mapstyle.batch.work import Worker

    true = Worker._make

    def poisoned(self, task, wanted):
        if task.block.level == 14:
            raise ValueError("a poisoned block")
        return true(self, task, wanted)

    monkeypatch.setattr(Worker, "_make", poisoned)
    assert cli("tiles", town, *PLACE, "--zoom", "13-14", "-o", tmp_path / "t").code == 1
    said = cli("export", tmp_path / "t", "-o", tmp_path / "e.pmtiles")
    assert said.code == 0
    assert "are not finished" in said.err
    said = cli("verify", tmp_path / "e.pmtiles")
    assert said.code == 3
    assert "was never made" in said.out
    said = cli("tiles", town, *PLACE, "--zoom", "14", "-o", tmp_path / "none")
    assert said.code == 1
    assert "a poisoned block" in said.line  # not that there were no tiles
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--extent", "3.88,54.59,3.9,54.6", "--place", "Doggerhaven"), "exclude each other"),
        (("--extent", "54.5,3.8,54.7,3.9"), "misses the data"),
        (("--price", "2"), "--dry-run"),
        (("-o", "twice", "-o", "twice"), "same output twice"),
        (("--changed-only",), "nothing has been made yet"),
        (("--report", "--dry-run"), "nothing has been made yet"),
    ],
)
def test_more_that_a_person_gets_wrong(cli, town, tmp_path, options, told, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = cli("tiles", town, "--zoom", "12", *options, *(() if "-o" in options else ("-o", "t")), "-q")
    assert said.code == 1
    assert told in said.line
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("command", ["status", "verify", "export", "tiles"])
def test_a_path_without_a_name(cli, town, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    more = {"export": ("-o", "x.pmtiles"), "tiles": ()}.get(command, ())
    said = cli(command, *((town, "--zoom", "13", "-o", ".") if command == "tiles" else (".", *more)))
    assert said.code == 1
    assert said.line


def test_interrupted_a_lone_worker_finishes_its_block(town, tmp_path, kept):
    out = tmp_path / "t"
    command = [sys.executable, "-m", "mapstyle", "tiles", town, *PLACE, "--zoom", "13-15", "-o", str(out)]
    run = subprocess.Popen(command, env={**os.environ, "MAPSTYLE_CACHE": str(kept)}, stderr=subprocess.PIPE, text=True)
    blocks = tmp_path / "t.store" / "blocks"
    end = time.monotonic() + 120
    while len(list(blocks.glob("??/*"))) < 1 and run.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    time.sleep(0.1)  # it is at the next
    run.send_signal(signal.SIGINT)
    _, told = run.communicate(timeout=120)
    assert run.returncode == 130, told
    assert "finishing" in told
    assert len(list(blocks.glob("??/*"))) >= 2
    log = next((tmp_path / "t.store" / "logs").glob("*.log")).read_text().splitlines()
    done = [json.loads(line) for line in log]
    assert sum(line["event"] == "block" for line in done) == len(list(blocks.glob("??/*")))


def test_a_dry_run_tells_time_disk_and_price(cli, town, tmp_path):
    said = cli("tiles", town, *PLACE, "--zoom", "13-14", "-o", tmp_path / "t", "--dry-run", "--price", "3.5", "--json")
    assert said.code == 0
    told = [json.loads(line) for line in said.out.splitlines()]
    estimate = next(line for line in told if "expected_seconds" in line)
    assert estimate["expected_seconds"] > 0
    assert estimate["expected_bytes"] > 50_000
    assert np.isclose(estimate["expected_price"], estimate["expected_seconds"] / 3600 * 3.5, atol=0.02)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--ray"], ["--ray", "local"]),
        (["--ray", "-q"], ["--ray", "local", "-q"]),
        (["--ray", "town.osm.pbf"], ["--ray", "local", "town.osm.pbf"]),
        (["--ray", "auto", "-q"], ["--ray", "auto", "-q"]),
        (["--ray", "10.0.0.1:6379"], ["--ray", "10.0.0.1:6379"]),
        (["tiles", "-q"], ["tiles", "-q"]),
    ],
)
def test_ray_may_stand_alone(words, meant):
    assert _with_address(words) == meant
