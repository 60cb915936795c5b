"""A pyramid as one GeoTIFF: the very pixels of the tiles, and overviews that are the lower levels' own tiles."""

import errno
import io
import json
import math
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
from exports.test_tile_sinks import TILESET, picture, shuffled, write
from PIL import Image
from rasterio.enums import MaskFlags

from mapstyle.errors import OutputError
from mapstyle.exports import cog
from mapstyle.exports.cog import check_size
from mapstyle.exports.contents import CONTENTS, Contents
from mapstyle.exports.encoding import TileFormat, encode
from mapstyle.exports.tilejson import Tileset
from mapstyle.exports.tiles import check_tiles, open_tiles
from mapstyle.exports.verify import verify_tiles

SHAPE = replace(TILESET, bounds=(2.11, 54.22, 2.45, 54.39), minzoom=10, maxzoom=13)
WORLD = 2 * math.pi * 6_378_137


@lru_cache
def tiles_of(tileset: Tileset) -> dict[tuple[int, int, int], bytes]:
    found = {}
    for part in tileset.parts:
        for x, y in part.tiles():
            found[part.level, x, y] = encode(picture(part.level, x, y, tileset.side), tileset.format)
    return found


def mosaic(tileset: Tileset, level: int) -> np.ndarray:
    """Lay a level's tiles side by side and cut out the ground of the highest level's."""
    part, top, side = tileset.part(level), tileset.part(tileset.maxzoom), tileset.side
    rows = []
    for y in range(part.row, part.row + part.rows):
        xs = [(part.column + i) % (1 << level) for i in range(part.columns)]
        row = [Image.open(io.BytesIO(tiles_of(tileset)[level, x, y])).convert("RGB") for x in xs]
        rows.append(np.hstack([np.asarray(image) for image in row]))
    whole, down = np.vstack(rows), tileset.maxzoom - level
    left, upper = (top.column * side >> down) - part.column * side, (top.row * side >> down) - part.row * side
    return whole[upper : upper + (top.rows * side >> down), left : left + (top.columns * side >> down)]


def image(path: Path, k: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Read an image of the file, 0 being the largest: pixels and mask."""
    level = {"overview_level": k - 1} if k else {}
    with rasterio.open(path, **level) as dataset:
        return np.moveaxis(dataset.read(), 0, 2), dataset.read_masks(1)


@pytest.mark.parametrize(("size", "ratio"), [(256, 1), (512, 1), (256, 2)])
def test_pixels_are_those_of_the_tiles_on_every_level(tmp_path, size, ratio):
    tileset = replace(SHAPE, tile_size=size, pixel_ratio=ratio)
    if tileset.side == 512:
        tileset = replace(tileset, minzoom=9, maxzoom=12)
    path = write(tmp_path / "map.tif", shuffled(tiles_of(tileset), 1), tileset)
    with rasterio.open(path) as dataset:
        part = tileset.part(tileset.maxzoom)
        pixel = WORLD / (tileset.side << tileset.maxzoom)
        assert dataset.crs.to_epsg() == 3857
        assert dataset.res == pytest.approx((pixel, pixel))
        west, north = part.column * tileset.side * pixel - WORLD / 2, WORLD / 2 - part.row * tileset.side * pixel
        assert (dataset.bounds.left, dataset.bounds.top) == pytest.approx((west, north), abs=1e-5)
        assert dataset.mask_flag_enums[0] == [MaskFlags.all_valid]
        assert max(dataset.shape) // dataset.overviews(1)[-1] <= 512
        images = 1 + len(dataset.overviews(1))
    assert images == 3
    for k in range(images):
        assert np.array_equal(image(path, k)[0], mosaic(tileset, tileset.maxzoom - k)), f"image {k}"


def test_below_the_levels_overviews_are_averages(tmp_path):
    tileset = replace(SHAPE, minzoom=13)
    path = write(tmp_path / "map.tif", tiles_of(tileset), tileset)
    full, half = image(path)[0].astype(float), image(path, 1)[0]
    mean = full.reshape(full.shape[0] // 2, 2, full.shape[1] // 2, 2, 3).mean((1, 3))
    assert np.abs(mean - half).max() <= 1
    with rasterio.open(path) as dataset:
        assert dataset.overviews(1) == [2, 4]


def test_an_odd_frame_takes_own_tiles_only_as_far_as_they_fit(tmp_path):
    # One column of the highest level at an odd place, 600 rows: nine levels below would begin within a pixel.
    frames = cog.own_frames(replace(TILESET, maxzoom=20, bounds=(0, 0, 1, 1)).part(20), 256, 1, 0)
    first = frames[0]
    for k, frame in enumerate(frames):
        assert (frame.column << k, frame.row << k) == (first.column, first.row)
        assert (frame.width << k, frame.height << k) == (first.width, first.height)
    assert len(frames) == 9 or max(frames[-1].shape) <= 512


def test_the_world_is_whole(tmp_path):
    tileset = replace(TILESET, bounds=(-180, -85.06, 180, 85.06), minzoom=0, maxzoom=3)
    path = write(tmp_path / "map.tif", shuffled(tiles_of(tileset), 2), tileset)
    for k in range(3):
        assert np.array_equal(image(path, k)[0], mosaic(tileset, 3 - k))
    with rasterio.open(path) as dataset:
        assert tuple(dataset.bounds) == pytest.approx((-WORLD / 2, -WORLD / 2, WORLD / 2, WORLD / 2))


@pytest.mark.parametrize(
    "bounds", [(170.0, 40.0, 195.0, 60.0), (170.0, 40.0, -165.0, 60.0), (-190.0, 40.0, -165.0, 60.0)]
)
def test_across_the_antimeridian_it_is_one_picture_in_one_piece(tmp_path, bounds):
    tileset = replace(TILESET, bounds=bounds, minzoom=0, maxzoom=6)
    path = write(tmp_path / "map.tif", shuffled(tiles_of(tileset), 2), tileset)
    with rasterio.open(path) as dataset:
        assert dataset.bounds.left == pytest.approx(WORLD / 2 - 2 * WORLD / 64)
        assert dataset.bounds.right > WORLD / 2 + 2 * WORLD / 64
    assert np.array_equal(image(path)[0], mosaic(tileset, 6))
    assert np.array_equal(image(path, 1)[0], mosaic(tileset, 5))
    assert verify_tiles(path).sound


def test_missing_tiles_are_masked_on_their_level_and_no_other(tmp_path):
    tiles = dict(tiles_of(SHAPE))
    part = SHAPE.part(13)
    gone, low = (13, part.column + 1, part.row + 2), (12, part.column + 4 >> 1, part.row >> 1)
    del tiles[gone], tiles[low]
    path = write(tmp_path / "map.tif", shuffled(tiles, 1), SHAPE)
    for k, (z, x, y) in ((0, gone), (1, low)):
        rgb, mask = image(path, k)
        left, top = x * 256 - (part.column * 256 >> k), y * 256 - (part.row * 256 >> k)
        expected = np.full(mask.shape, 255)
        expected[max(top, 0) : top + 256, max(left, 0) : left + 256] = 0
        assert np.array_equal(mask, expected)
        assert np.array_equal(rgb[mask > 0], mosaic(SHAPE, z)[mask > 0])


def test_a_level_without_any_tile_is_averaged_from_the_one_above(tmp_path):
    tiles = {a: data for a, data in tiles_of(SHAPE).items() if a[0] != 12}
    path = write(tmp_path / "map.tif", tiles, SHAPE)
    full = image(path)[0].astype(float)
    half, mask = image(path, 1)
    mean = full.reshape(full.shape[0] // 2, 2, full.shape[1] // 2, 2, 3).mean((1, 3))
    assert np.abs(mean - half).max() <= 1
    assert mask.all()
    assert verify_tiles(path).sound


def test_averages_leave_masked_pixels_out(tmp_path):
    tileset = replace(SHAPE, minzoom=13, maxzoom=13)
    white = encode(np.full((256, 256, 3), 255, np.uint8), tileset.format)
    tiles = dict.fromkeys(list(tiles_of(tileset))[1:], white)
    path = write(tmp_path / "map.tif", tiles, tileset)
    rgb, mask = image(path, 2)
    assert mask.min() == 0
    assert (rgb[mask > 0] == 255).all(), "no black creeps in from tiles that are not there"


@pytest.mark.parametrize(("kind", "ratio"), [("png", 1), ("jpeg", 1), ("webp", 1), ("jpeg", 2)])
def test_the_order_of_tiles_decides_nothing(tmp_path, kind, ratio):
    tileset = replace(SHAPE, format=TileFormat(kind=kind), pixel_ratio=ratio, minzoom=11, maxzoom=12)
    tiles = dict(list(tiles_of(tileset).items())[:-2])
    first = write(tmp_path / "a.tif", tiles, tileset).read_bytes()
    assert write(tmp_path / "b.tif", shuffled(tiles, 7), tileset).read_bytes() == first
    with open_tiles(tmp_path / "c.tiff", tileset) as sink:
        for address in tiles:
            sink.write(*address, encode(np.zeros((tileset.side, tileset.side, 3), np.uint8), tileset.format))
        for address, data in shuffled(tiles, 8).items():
            sink.write(*address, data)
    assert (tmp_path / "c.tiff").read_bytes() == first, "a tile that comes twice counts as it came last"


@pytest.mark.parametrize(
    ("tile_format", "compression", "most"),
    [(TileFormat(), "DEFLATE", 0), (TileFormat(kind="webp", lossless=True), "DEFLATE", 0),
     (TileFormat(kind="jpeg"), "YCbCr JPEG", 6), (TileFormat(kind="webp"), "WEBP", 6)],
)  # fmt: skip
def test_what_loses_nothing_goes_on_losing_nothing(tmp_path, tile_format, compression, most):
    tileset = replace(SHAPE, format=tile_format, minzoom=12)
    path = write(tmp_path / "map.tif", tiles_of(tileset), tileset)
    with rasterio.open(path) as dataset:
        told = dataset.tags(ns="IMAGE_STRUCTURE")
        assert told["COMPRESSION"] == compression
        assert (told.get("JPEG_QUALITY") or told.get("WEBP_LEVEL") or "100") == str(tile_format.quality)
    for k in range(2):
        assert np.abs(image(path, k)[0].astype(int) - mosaic(tileset, 13 - k)).mean() <= most


def test_it_says_how_it_was_made(tmp_path):
    tileset = replace(SHAPE, provenance=json.dumps({"software": "mapstyle 9", "seed": 7}))
    path = write(tmp_path / "map.tif", tiles_of(tileset), tileset)
    with rasterio.open(path) as dataset:
        told = dataset.tags()
    assert (told["TIFFTAG_IMAGEDESCRIPTION"], told["TIFFTAG_COPYRIGHT"]) == ("Town", "© Nobody")
    assert told["TIFFTAG_SOFTWARE"] == "mapstyle 9"
    made = json.loads(told["MAPSTYLE"])
    assert (made["seed"], made["frame"]) == (7, [4144 * 256, 2615 * 256, 8 * 256, 7 * 256])
    contents = Contents.from_json(told[CONTENTS.upper()])
    assert (contents.count, contents.parts) == (len(tiles_of(tileset)), tileset.parts)


def test_every_sink_tells_of_the_same_tiles(tmp_path):
    path = write(tmp_path / "map.tif", tiles_of(SHAPE), SHAPE)
    folder = write(tmp_path / "map", tiles_of(SHAPE), SHAPE)
    with rasterio.open(path) as dataset:
        mine = Contents.from_json(dataset.tags()[CONTENTS.upper()])
    theirs = Contents.from_json(json.loads((folder / "metadata.json").read_text())[CONTENTS])
    assert (mine.count, mine.digest, mine.parts) == (theirs.count, theirs.digest, theirs.parts)


def test_it_is_laid_out_as_a_cog(tmp_path):
    path = write(tmp_path / "map.tif", list_less(tiles_of(SHAPE)), SHAPE)
    with rasterio.open(path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.block_shapes == [(512, 512)] * 3
        levels = [None, *range(len(dataset.overviews(1)))]
        heads = [int(dataset.get_tag_item("IFD_OFFSET", "TIFF", 1, k)) for k in levels]
        blocks = [int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", 1, k)) for k in levels]
    assert heads == sorted(heads), "directories come first, the largest image's in front"
    assert blocks == sorted(blocks, reverse=True), "then pixels, the smallest image's in front"
    assert max(heads) < min(blocks)
    assert b"LAYOUT=IFDS_BEFORE_DATA" in path.read_bytes()[:300]


def list_less(tiles):
    return dict(list(tiles.items())[:-1])


@pytest.mark.skipif(not shutil.which("gdalinfo"), reason="install gdal-bin to have GDAL's own programs read it")
@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_gdal_reads_it(tmp_path, kind):
    tileset = replace(SHAPE, format=TileFormat(kind=kind))
    path = write(tmp_path / "map.tif", list_less(tiles_of(tileset)), tileset)
    ran = subprocess.run(["gdalinfo", "-json", str(path)], capture_output=True, text=True, timeout=60, check=True)
    told = json.loads(ran.stdout)
    part = tileset.part(13)
    assert told["size"] == [part.columns * 256, part.rows * 256]
    assert told["metadata"]["IMAGE_STRUCTURE"]["LAYOUT"] == "COG"
    assert [o["size"][0] for o in told["bands"][0]["overviews"]] == [part.columns * 128, part.columns * 64]
    assert told["bands"][0]["mask"]["flags"] == ["PER_DATASET"]
    out = tmp_path / "out.png"
    command = ["gdal_translate", "-q", "-b", "1", "-b", "2", "-b", "3", "-outsize", "50%", "50%", str(path), str(out)]
    subprocess.run(command, timeout=60, check=True)
    with Image.open(out) as seen:
        rgb = np.asarray(seen.convert("RGB"))
    near = np.abs(rgb.astype(int) - mosaic(tileset, 12)).mean()
    assert near < 6 if kind == "jpeg" else near == 0, "at half size, GDAL shows the lower level's own tiles"


def test_what_is_too_large_is_refused_before_anything_is_painted(tmp_path):
    huge = replace(TILESET, bounds=(0, 40, 10, 50), minzoom=8, maxzoom=17)
    with pytest.raises(
        OutputError, match=r"too many for one \.tif.*write \.pmtiles or \.mbtiles, or ask for a lower --zoom"
    ) as told:
        check_tiles(tmp_path / "map.tif", huge)
    assert "\n" not in str(told.value)
    check_tiles(tmp_path / "map.pmtiles", huge)
    check_size(tmp_path / "map.tif", replace(huge, maxzoom=12))


def test_no_tiles_make_no_file(tmp_path):
    with pytest.raises(OutputError, match="no tiles of level 13"), open_tiles(tmp_path / "map.tif", SHAPE):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("data", [b"junk", b"", encode(np.zeros((128, 128, 3), np.uint8), TileFormat())])
def test_a_tile_that_is_none_is_refused(tmp_path, data):
    z, x, y = next(a for a in tiles_of(SHAPE) if a[0] == 13)
    with (
        pytest.raises(OutputError, match=rf"tile {z}/{x}/{y} (is 128 x 128 px|cannot be read)") as told,
        open_tiles(tmp_path / "map.tif", SHAPE) as sink,
    ):
        sink.write(z, x, y, data)
    assert "\n" not in str(told.value)
    assert not list(tmp_path.iterdir())


def test_what_exists_is_refused_and_replaced_only_when_asked(tmp_path):
    path = tmp_path / "map.tif"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="--overwrite"):
        write(path, tiles_of(SHAPE), SHAPE)
    assert path.read_bytes() == b"mine"
    write(path, tiles_of(SHAPE), SHAPE, overwrite=True)
    assert verify_tiles(path).sound
    assert [f.name for f in tmp_path.iterdir()] == ["map.tif"]


def test_a_failure_half_way_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), open_tiles(tmp_path / "map.tif", SHAPE) as sink:
        for address, data in list(tiles_of(SHAPE).items())[:9]:
            sink.write(*address, data)
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_folder_that_vanishes_is_one_line(tmp_path):
    (tmp_path / "place").mkdir()
    with (
        pytest.raises(OutputError, match=r"vanished meanwhile|cannot be written") as told,
        open_tiles(tmp_path / "place" / "map.tif", SHAPE) as sink,
    ):
        for i, (address, data) in enumerate(tiles_of(SHAPE).items()):
            if i == 5:
                shutil.rmtree(tmp_path / "place")
            sink.write(*address, data)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "place").exists()


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[3])
from exports.test_cog_tiles import SHAPE
from mapstyle.errors import OutputError
from mapstyle.exports.encoding import encode
from mapstyle.exports.tiles import open_tiles
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
tiles, rng = [(p.level, x, y) for p in SHAPE.parts for x, y in p.tiles()], np.random.default_rng(1)
data = [encode(rng.integers(0, 256, (256, 256, 3), np.uint8), SHAPE.format) for _ in range(19)]
room = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
try:
    with open_tiles(Path(sys.argv[1]) / "map.tif", SHAPE) as sink:
        for i, tile in enumerate(tiles):
            sink.write(*tile, data[i % 19])
    print("whole")
except OutputError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [4_000, 3_000_000, 11_010_000, 11_100_000, 13_900_000, -1])
def test_a_really_full_disk_is_one_line_and_leaves_nothing(tmp_path, room):
    # Room ends: at once, within the tiles, within the last of them, within the result, at its end; one is the whole.
    tests = Path(__file__).parent.parent
    sizes = {-1: 10**9}
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), str(sizes.get(room, room)), str(tests)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    if room < 0:
        assert ran.stdout == "whole\n"
        assert verify_tiles(tmp_path / "map.tif").sound
        return
    assert "disk" in ran.stdout, ran.stdout + ran.stderr
    assert ran.stdout.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_at_the_last_byte_is_noticed(tmp_path, monkeypatch):
    made = cog.Cog._copy

    def cut(self, file):
        made(self, file)
        os.truncate(file, file.stat().st_size - 5)

    monkeypatch.setattr(cog.Cog, "_copy", cut)
    with pytest.raises(OutputError, match="the disk is full"):
        write(tmp_path / "map.tif", tiles_of(SHAPE), SHAPE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_the_index_finds_full_is_the_same_line(tmp_path, monkeypatch, number):
    def full(*_):
        raise OSError(number, os.strerror(number))

    with pytest.raises(OutputError, match="the disk is full"), open_tiles(tmp_path / "map.tif", SHAPE) as sink:
        monkeypatch.setattr(sink._tally, "add", full)
        sink.write(*next(iter(tiles_of(SHAPE).items()))[0], b"")
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_picture():
    code = """
import resource, sys, tempfile
from dataclasses import replace
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
from exports.test_tile_sinks import TILESET
from mapstyle.exports.encoding import encode
from mapstyle.exports.tiles import open_tiles
def make(north, east):
    tileset = replace(TILESET, bounds=(0, 0.001, east, north), minzoom=11, maxzoom=11)
    tile = encode(np.full((256, 256, 3), 77, np.uint8), tileset.format)
    with tempfile.TemporaryDirectory() as folder, open_tiles(Path(folder) / "map.tif", tileset) as sink:
        for x, y in tileset.part(11).tiles():
            sink.write(11, x, y, tile)
        print(len(tileset.part(11)), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
small = make(0.5, 0.5)
print(make(5.5, 4) - small)
"""
    tests = Path(__file__).parent.parent
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tests)], capture_output=True, text=True, timeout=120, check=True
    )
    grown = int(ran.stdout.splitlines()[-1])
    assert grown < 120_000, f"kilobytes more for a picture of 140 MB: {ran.stdout}"


def test_the_place_of_every_tile_is_right_however_they_come(tmp_path):
    rng = random.Random(4)
    for _ in range(3):
        west, south = rng.uniform(-170, 160), rng.uniform(-70, 60)
        tileset = replace(TILESET, bounds=(west, south, west + 3, south + 2), minzoom=4, maxzoom=8)
        path = write(tmp_path / f"{west}.tif", shuffled(tiles_of(tileset), rng.random()), tileset)
        with rasterio.open(path) as dataset:
            images = 1 + len(dataset.overviews(1))
        for k in range(images):
            assert np.array_equal(image(path, k)[0], mosaic(tileset, 8 - k))
