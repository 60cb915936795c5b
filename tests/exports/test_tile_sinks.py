"""Pyramids of tiles are read back by readers that are not ours, and are whole or not there."""

import errno
import hashlib
import io
import json
import math
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pmtiles.reader import MmapSource, Reader, all_tiles
from pmtiles.tile import Compression, TileType
from rasterio.windows import Window

from mapstyle.batch.plan import TileGrid, plan
from mapstyle.errors import OutputError
from mapstyle.exports import archives, spool
from mapstyle.exports.contents import CONTENTS, Contents
from mapstyle.exports.encoding import TileFormat, encode
from mapstyle.exports.page import PAGE
from mapstyle.exports.tilejson import Tileset
from mapstyle.exports.tiles import METADATA, UNFINISHED, check_tiles, open_tiles
from mapstyle.frame import Frame, Grid

LEVELS = (12, 13)
BOUNDS = (2.11, 54.22, 2.29, 54.29)
OUTPUTS = ["map", "map.mbtiles", "map.pmtiles"]  # what keeps tiles as they are; test_cog_tiles.py has the rest
ARCHIVES = ["map.mbtiles", "map.pmtiles"]
TILESET = Tileset(
    "Town", "A town", "© Nobody", BOUNDS, (2.2, 54.25, 13), *LEVELS, 256, 1, TileFormat(), "xyz", "ink", '{"seed": 7}'
)


def picture(z: int, x: int, y: int, side: int = 256) -> np.ndarray:
    """Give a tile that tells its address and which way is up; every third column of tiles is plain sea."""
    if x % 3 == 0:
        return np.full((side, side, 3), (180, 200, 220), np.uint8)
    row, column = np.mgrid[0:side, 0:side]
    return np.dstack([np.full_like(row, (x * 37 + z) % 256), row * 255 // side, (column * 5 + y * 91) % 256]).astype(
        np.uint8
    )


def addresses(levels=LEVELS, bounds=BOUNDS) -> list[tuple[int, int, int]]:
    corners = np.array([[bounds[0], bounds[3]], [bounds[2], bounds[1]]])
    found = []
    for z in levels:
        (left, top), (right, bottom) = np.floor(Grid.web_mercator(z).project(corners) / 256).astype(int).tolist()
        found += [(z, x, y) for x in range(left, right + 1) for y in range(top, bottom + 1)]
    return found


@lru_cache
def town(tileset: Tileset = TILESET) -> dict[tuple[int, int, int], bytes]:
    side = tileset.tile_size * tileset.pixel_ratio
    return {a: encode(picture(*a, side), tileset.format) for a in addresses()}


def write(path: Path, tiles, tileset: Tileset = TILESET, **more) -> Path:
    with open_tiles(path, tileset, **more) as sink:
        for address, data in tiles.items():
            sink.write(*address, data)
    return path


def shuffled(tiles, seed):
    return dict(random.Random(seed).sample(sorted(tiles.items()), len(tiles)))


def read(path: Path) -> dict[tuple[int, int, int], bytes]:
    """Read tiles back, rows from the north, without our code."""
    if path.suffix == ".pmtiles":
        with path.open("rb") as file:
            return dict(all_tiles(MmapSource(file)))
    if path.suffix == ".mbtiles":
        with sqlite3.connect(path) as database:
            rows = database.execute("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles").fetchall()
        return {(z, x, (1 << z) - 1 - row): data for z, x, row, data in rows}
    found = {}
    for file in path.glob("*/*/*"):
        z, x, y = file.relative_to(path).with_suffix("").parts
        found[int(z), int(x), int(y)] = file.read_bytes()
    return found


def left_over(folder: Path) -> list[str]:
    return [str(f.relative_to(folder)) for f in folder.rglob(".*")]


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
@pytest.mark.parametrize("ratio", [1, 2])
def test_every_tile_comes_back(tmp_path, output, kind, ratio):
    tileset = replace(TILESET, format=TileFormat(kind=kind), pixel_ratio=ratio)
    tiles = town(tileset)
    path = write(tmp_path / output, shuffled(tiles, 1), tileset)
    assert read(path) == tiles
    assert not left_over(tmp_path)
    with Image.open(io.BytesIO(next(iter(read(path).values())))) as image:
        assert image.size == (256 * ratio, 256 * ratio)
        assert image.format == kind.upper()


@pytest.mark.parametrize("output", ARCHIVES)
def test_the_order_of_tiles_decides_nothing(tmp_path, output):
    tiles = town()
    first = write(tmp_path / f"a{output}", tiles).read_bytes()
    for seed in range(3):
        assert write(tmp_path / f"{seed}{output}", shuffled(tiles, seed)).read_bytes() == first


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_tile_that_comes_twice_counts_as_it_came_last(tmp_path, output):
    tiles = town()
    path = tmp_path / output
    with open_tiles(path, TILESET) as sink:
        for address in tiles:
            sink.write(*address, b"first " + str(address).encode())
        for address, data in shuffled(tiles, 2).items():
            sink.write(*address, data)
    assert read(path) == tiles
    if path.is_file():
        assert path.read_bytes() == write(tmp_path / f"once{output}", tiles).read_bytes()


def test_mbtiles_follow_the_standard(tmp_path):
    path = write(tmp_path / "map.mbtiles", town())
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA application_id").fetchone() == (0x4D504258,)
        columns = {
            t: [(r[1], r[2].upper()) for r in database.execute(f"PRAGMA table_info({t})")]
            for t in ("metadata", "tiles")
        }
        indexes = [r[:3] for r in database.execute("PRAGMA index_list(tiles)")]
        indexed = [r[2] for r in database.execute("PRAGMA index_info(tile_index)")]
        told = dict(database.execute("SELECT name, value FROM metadata"))
        levels = database.execute("SELECT min(zoom_level), max(zoom_level) FROM tiles").fetchone()
        kinds = database.execute("SELECT DISTINCT typeof(tile_data), typeof(tile_row) FROM tiles").fetchall()
    assert columns["metadata"] == [("name", "TEXT"), ("value", "TEXT")]
    assert [name for name, _ in columns["tiles"]] == ["zoom_level", "tile_column", "tile_row", "tile_data"]
    assert indexes == [(0, "tile_index", 1)]
    assert indexed == ["zoom_level", "tile_column", "tile_row"]
    assert (told["name"], told["format"], told["scheme"]) == ("Town", "png", "tms")
    assert levels == (int(told["minzoom"]), int(told["maxzoom"]))
    assert [float(v) for v in told["bounds"].split(",")] == pytest.approx(BOUNDS, abs=1e-3)
    assert json.loads(told["mapstyle"]) == {"seed": 7}
    assert kinds == [("blob", "integer")]


def test_pmtiles_follow_the_standard(tmp_path):
    path = write(tmp_path / "map.pmtiles", shuffled(town(), 4))
    tiles = town()
    with path.open("rb") as file:
        reader = Reader(MmapSource(file))
        header, told = reader.header(), reader.metadata()
        assert all(reader.get(*address) == data for address, data in tiles.items())
        assert reader.get(12, 0, 0) is None
    assert header["clustered"]
    assert header["tile_type"] is TileType.PNG
    assert header["tile_compression"] is Compression.NONE
    assert (header["min_zoom"], header["max_zoom"]) == LEVELS
    corners = [header[f"{k}_e7"] / 1e7 for k in ("min_lon", "min_lat", "max_lon", "max_lat")]
    assert corners == pytest.approx(BOUNDS)
    assert header["addressed_tiles_count"] == len(tiles)
    assert header["tile_contents_count"] == len(set(tiles.values())) < len(tiles), "equal tiles are stored once"
    assert header["tile_data_length"] == sum(map(len, set(tiles.values())))
    assert header["tile_data_offset"] + header["tile_data_length"] == path.stat().st_size
    assert header["root_length"] + 127 <= 16_384
    assert (told["name"], told["attribution"], json.loads(told["mapstyle"])) == ("Town", "© Nobody", {"seed": 7})


def test_pmtiles_with_more_tiles_than_one_directory_holds(tmp_path):
    tileset = replace(TILESET, minzoom=7, maxzoom=7)
    rng = random.Random(8)
    contents = [rng.randbytes(rng.randrange(1, 300)) for _ in range(9000)]
    made = {(7, x, y): rng.choice(contents) for x in range(128) for y in range(128)}
    path = write(tmp_path / "map.pmtiles", shuffled(made, 6), tileset)
    with path.open("rb") as file:
        assert Reader(MmapSource(file)).header()["leaf_directory_length"] > 0
    assert read(path) == made


def test_a_folder_says_what_it_is(tmp_path):
    path = write(tmp_path / "map", town())
    told = json.loads((path / METADATA).read_text())
    assert told["tiles"] == ["{z}/{x}/{y}.png"]
    z, x, y = next(iter(town()))
    assert (path / told["tiles"][0].format(z=z, x=x, y=y)).read_bytes() == town()[z, x, y]
    assert sorted(f.name for f in path.iterdir()) == ["12", "13", PAGE, METADATA]


def test_rows_of_a_tms_folder_count_from_the_south(tmp_path):
    path = write(tmp_path / "map", town(), replace(TILESET, scheme="tms"))
    assert {(z, x, (1 << z) - 1 - y): data for (z, x, y), data in read(path).items()} == town()
    assert json.loads((path / METADATA).read_text())["scheme"] == "tms"


def told(path: Path) -> Contents:
    """Read what an output says it holds, without our code."""
    if path.suffix == ".pmtiles":
        with path.open("rb") as file:
            return Contents.from_json(Reader(MmapSource(file)).metadata()[CONTENTS])
    if path.suffix == ".mbtiles":
        with sqlite3.connect(path) as database:
            return Contents.from_json(dict(database.execute("SELECT name, value FROM metadata"))[CONTENTS])
    return Contents.from_json(json.loads((path / METADATA).read_text())[CONTENTS])


@pytest.mark.parametrize("output", OUTPUTS)
def test_an_output_says_how_many_tiles_it_has_and_their_digest(tmp_path, output):
    tiles = town()
    said = told(write(tmp_path / output, shuffled(tiles, 5)))
    total = 0
    for (z, x, y), data in tiles.items():
        head = z.to_bytes(1, "big") + x.to_bytes(4, "big") + y.to_bytes(4, "big")
        total += int.from_bytes(hashlib.blake2b(head + data, digest_size=16).digest(), "big")
    assert (said.count, said.digest) == (len(tiles), f"{total % 2**128:032x}")
    assert [(p.level, *t) for p in said.parts for t in p.tiles()] == sorted(tiles, key=lambda t: (t[0], t[2], t[1]))


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_digest_counts_a_tile_as_it_came_last(tmp_path, output):
    tiles = town()
    with open_tiles(tmp_path / output, TILESET) as sink:
        for address in tiles:
            sink.write(*address, b"first")
        for address, data in tiles.items():
            sink.write(*address, data)
    assert told(tmp_path / output) == told(write(tmp_path / f"once{output}", shuffled(tiles, 3)))


def test_all_outputs_of_a_run_tell_of_the_same_tiles(tmp_path):
    said = [told(write(tmp_path / output, town())) for output in OUTPUTS]
    assert len({(s.parts, s.count, s.digest) for s in said}) == 1


@given(
    st.floats(-180, 180), st.floats(1e-6, 360), st.floats(-89, 89), st.floats(1e-6, 60), st.integers(0, 22),
    st.booleans(),
)  # fmt: skip
def test_what_is_promised_is_what_is_planned(west, width, south, height, level, snap):
    if snap:  # onto the edges of tiles
        west, width = round(west / 360 * 1024) * 360 / 1024, max(round(width / 360 * 1024), 1) * 360 / 1024
    bounds = (west, south, west + min(width, 360), min(south + height, 89.9))
    (planned,) = plan(bounds, range(level, level + 1), TileGrid()).parts
    part = replace(TILESET, bounds=bounds).part(level)
    world = 1 << level
    assert part.column == planned.columns[0] % world
    assert (part.columns, part.row, part.rows) == (
        planned.columns[1] - planned.columns[0], planned.rows[0], planned.rows[1] - planned.rows[0],
    )  # fmt: skip


@pytest.mark.parametrize("scheme", ["xyz", "tms"])
def test_a_folder_keeps_no_tile_of_an_earlier_run_that_did_not_come_again(tmp_path, scheme):
    tileset = replace(TILESET, scheme=scheme)
    path = write(tmp_path / "map", town(), tileset)
    (path / "12" / "letter.txt").write_text("mine")
    fewer = dict(list(town().items())[5:])
    write(path, fewer, tileset, overwrite=True)
    flip = {(z, x, (1 << z) - 1 - y if scheme == "tms" else y): data for (z, x, y), data in fewer.items()}
    (path / "12" / "letter.txt").unlink()
    assert read(path) == flip
    assert told(path).count == len(fewer)


@pytest.mark.skipif(not shutil.which("gdalinfo"), reason="install gdal-bin to have GDAL's own program read tiles")
@pytest.mark.parametrize(("kind", "ratio"), [("png", 1), ("png", 2), ("jpeg", 1), ("jpeg", 2), ("webp", 1)])
def test_gdal_opens_mbtiles_at_their_place(tmp_path, kind, ratio):
    # WebP @2x is left to rasterio below: GDAL 3.6, Debian's, takes any WebP tile for one of 256 pixels.
    tileset = replace(TILESET, format=TileFormat(kind=kind), pixel_ratio=ratio)
    path = write(tmp_path / "map.mbtiles", town(tileset), tileset)
    ran = subprocess.run(["gdalinfo", "-json", str(path)], capture_output=True, text=True, timeout=60, check=True)
    told = json.loads(ran.stdout)
    pixel = Grid.web_mercator(13).resolution / ratio
    west, south = told["cornerCoordinates"]["lowerLeft"]
    east, north = told["cornerCoordinates"]["upperRight"]
    (left, top), (right, bottom) = Grid.web_mercator(13).project(
        np.array([[BOUNDS[0], BOUNDS[3]], [BOUNDS[2], BOUNDS[1]]])
    )
    world = math.pi * 6_378_137
    whole = [left * ratio * pixel - world, world - bottom * ratio * pixel, right * ratio * pixel - world]
    assert told["driverShortName"] == "MBTiles"
    assert told["geoTransform"][1] == pytest.approx(pixel)
    assert [west, south, east] == pytest.approx(whole, abs=1.01 * pixel)
    assert north == pytest.approx(world - top * ratio * pixel, abs=1.01 * pixel)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("ratio", [1, 2])
def test_rasterio_knows_how_large_a_tile_is(tmp_path, kind, ratio):
    tileset = replace(TILESET, format=TileFormat(kind=kind), pixel_ratio=ratio)
    with rasterio.open(write(tmp_path / "map.mbtiles", town(tileset), tileset)) as dataset:
        assert dataset.res == pytest.approx([Grid.web_mercator(13).resolution / ratio] * 2)


def test_rasterio_reads_the_pixels_of_mbtiles_in_their_place(tmp_path):
    path = write(tmp_path / "map.mbtiles", shuffled(town(), 3))
    z, x, y = next(a for a in addresses((13,), (2.18, 54.24, 2.25, 54.26)) if a[1] % 3)
    frame = Frame.tile(z, x, y)
    with rasterio.open(path) as dataset:
        exact = dataset.window(*frame.crs_bounds())
        window = Window(round(exact.col_off), round(exact.row_off), 256, 256)
        assert abs(exact.col_off - window.col_off) < 0.01, "pixels lie where they are, not half a one beside"
        assert abs(exact.row_off - window.row_off) < 0.01
        seen = np.moveaxis(dataset.read((1, 2, 3), window=window), 0, 2)
        assert dataset.crs.to_epsg() == 3857
    assert np.array_equal(seen, picture(z, x, y))


@pytest.mark.parametrize("output", OUTPUTS)
def test_what_exists_is_refused_and_replaced_only_when_asked(tmp_path, output):
    path = write(tmp_path / output, town())
    before = read(path)
    with pytest.raises(OutputError, match="exists already; pass --overwrite"), open_tiles(path, TILESET):
        pass
    assert read(path) == before
    fewer = dict(list(town().items())[:5])
    narrower = replace(TILESET, maxzoom=12)
    write(path, fewer, narrower, overwrite=True)
    assert read(path) == fewer, "nothing of the old pyramid is left"


def test_a_folder_of_other_things_is_never_touched(tmp_path):
    (tmp_path / "map" / "12").mkdir(parents=True)
    (tmp_path / "map" / "12" / "letter.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="other things"):
            check_tiles(tmp_path / "map", TILESET, overwrite)
    assert (tmp_path / "map" / "12" / "letter.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("output", "why"),
    [("map.zip", "no known kind of tiles.*Known: .mbtiles, .pmtiles, .tif, .tiff"), ("gone/map.pmtiles", "make it first"),
     ("gone/map", "make it first"), ("folder.mbtiles", "is a folder"), ("file", "is a file")],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_before_anything_is_painted(tmp_path, output, why):
    (tmp_path / "folder.mbtiles").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=why) as told:
        check_tiles(tmp_path / output, TILESET)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("output", ARCHIVES)
def test_no_tiles_make_no_archive(tmp_path, output):
    with pytest.raises(OutputError, match="no tiles"), open_tiles(tmp_path / output, TILESET):
        pass
    assert not list(tmp_path.iterdir())


def test_an_unfinished_folder_is_gone_on_with_and_equal_tiles_are_kept(tmp_path):
    path, tiles = tmp_path / "map", town()
    with pytest.raises(RuntimeError), open_tiles(path, TILESET) as sink:
        for address in list(tiles)[:7]:
            sink.write(*address, tiles[address])
        raise RuntimeError
    assert (path / UNFINISHED).exists()
    assert not (path / METADATA).exists()
    for file in path.glob("*/*/*"):
        os.utime(file, (1, 1))
    with pytest.raises(OutputError, match="unfinished tiles of another run; pass --overwrite"):
        check_tiles(path, replace(TILESET, style="pencil"))
    write(path, shuffled(tiles, 1))
    assert read(path) == tiles
    assert sum(file.stat().st_mtime == 1 for file in path.glob("*/*/*")) == 7
    assert not left_over(tmp_path)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path, output, number, monkeypatch):
    path, tiles = tmp_path / output, town()

    def full(*_, **__):
        raise OSError(number, os.strerror(number))

    with (
        pytest.raises(OutputError, match="the disk is full; free some room") as told,
        open_tiles(path, TILESET) as sink,
    ):
        for i, (address, data) in enumerate(tiles.items()):
            if i == 5:
                monkeypatch.setattr(Path, "write_bytes", full)
                monkeypatch.setattr(spool.os, "pread", full)
            sink.write(*address, data)
    assert "\n" not in str(told.value)
    monkeypatch.undo()
    if path.is_dir():
        assert read(path) == dict(list(tiles.items())[:5])
        assert left_over(path) == [UNFINISHED]
    else:
        assert not list(tmp_path.iterdir())


def test_a_disk_that_sqlite_finds_full_is_the_same_line(tmp_path, monkeypatch):
    made = spool.database

    def small(file):
        database = made(file)
        database.execute("PRAGMA max_page_count = 6")
        return database

    monkeypatch.setattr(archives, "database", small)
    with pytest.raises(OutputError, match="the disk is full; free some room"):
        write(tmp_path / "map.mbtiles", town())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_folder_that_vanishes_is_one_line(tmp_path, output):
    (tmp_path / "place").mkdir()
    with (
        pytest.raises(OutputError, match="its folder vanished meanwhile; make it again") as told,
        open_tiles(tmp_path / "place" / output, TILESET) as sink,
    ):
        for i, (address, data) in enumerate(town().items()):
            if i == 5:
                shutil.rmtree(tmp_path / "place")
            sink.write(*address, data)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "place").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from mapstyle.exports.encoding import TileFormat
from mapstyle.exports.tilejson import Tileset
from mapstyle.exports import archives, tiles
where = sys.argv[2]
if where == "finish":
    archives.place = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
tileset = Tileset("Town", "", "", (-180, -85, 180, 85), (0, 0, 5), 5, 5, 256, 1, TileFormat(), "xyz", "ink", "{}")
with tiles.open_tiles(Path(sys.argv[1]), tileset) as sink:
    for i in range(200):
        if where == "write" and i == 150:
            os.kill(os.getpid(), signal.SIGKILL)
        sink.write(5, i % 32, i // 32, b"%06d" % i * 3000)
if where == "finish":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("where", ["write", "finish"])
def test_a_killed_run_leaves_nothing_truncated_and_the_next_cleans_up(tmp_path, output, where):
    path = tmp_path / output
    ran = subprocess.run([sys.executable, "-c", KILLED, str(path), where], timeout=60)
    assert ran.returncode == -signal.SIGKILL
    expected = {(5, i % 32, i // 32): b"%06d" % i * 3000 for i in range(200)}
    if output == "map":
        assert read(path).items() <= expected.items()
        assert len(read(path)) == (150 if where == "write" else 200)
    else:
        assert not path.exists()
        assert left_over(tmp_path), "the killed run had begun"
    tileset = replace(TILESET, name="Town", description="", attribution="", bounds=(-180, -85, 180, 85), centre=(0, 0, 5),
                      minzoom=5, maxzoom=5, provenance="{}")  # fmt: skip
    write(path, shuffled(expected, 1), tileset, overwrite=output == "map" and where == "finish")
    assert read(path) == expected
    assert not left_over(tmp_path)
