"""Every sink keeps one contract: what goes in comes out, where it belongs, or nothing is left behind."""

import errno
import json
import os

import numpy as np
import pytest
import rasterio
from PIL import Image

from mapstyle.errors import OutputError
from mapstyle.exports import SINKS, Sheet, encode_tile, open_sink
from mapstyle.exports import picture as picture_module
from mapstyle.exports.metadata import Provenance
from mapstyle.frame import Frame, Grid

PROVENANCE = Provenance("A title", "© Somebody", "mapstyle 0", "ink", "d1", "painter", 7, "s1")
FRAMES = [
    Frame(Grid.web_mercator(14), 2_133_000, 1_495_000, 301, 203),
    Frame(Grid.metric("EPSG:32632", 2.5, 50.0, 2), 160_000, -1_000_000, 300, 207),
]


def painted(frame: Frame) -> np.ndarray:
    y, x = np.mgrid[0 : frame.height, 0 : frame.width]
    return np.dstack([x % 256, y % 256, (x + y) // 4 % 256]).astype(np.uint8)


def write(path, frame, **more):
    rgb = painted(frame)
    with open_sink(path, Sheet(frame, PROVENANCE), **more) as sink:
        for piece in reversed(list(frame.pieces(128, 128))):
            sink.write(piece, rgb[piece.slices(frame)])
    return rgb


@pytest.mark.parametrize("suffix", SINKS)
@pytest.mark.parametrize("frame", FRAMES, ids=["web", "metric"])
def test_a_picture_comes_back_at_its_place(tmp_path, suffix, frame):
    path = tmp_path / f"map{suffix}"
    rgb = write(path, frame)
    with rasterio.open(path) as dataset:
        assert dataset.crs.to_epsg() == int(frame.grid.crs.split(":")[1])
        west, south, east, north = frame.crs_bounds()
        assert tuple(dataset.bounds) == pytest.approx((west, south, east, north), abs=1e-5)
        seen = np.moveaxis(dataset.read(), 0, 2)
    assert seen.shape == rgb.shape
    if suffix in (".png", ".tif", ".tiff"):
        assert np.array_equal(seen, rgb)
    else:
        assert np.abs(seen.astype(int) - rgb).mean() < 4
    assert not [f for f in tmp_path.iterdir() if f.name.startswith(".")]


@pytest.mark.parametrize("suffix", SINKS)
def test_a_picture_says_how_it_was_made(tmp_path, suffix):
    path = tmp_path / f"map{suffix}"
    write(path, FRAMES[0])
    if suffix.startswith(".tif"):
        with rasterio.open(path) as dataset:
            tags = dataset.tags()
        told, right = json.loads(tags["MAPSTYLE"]), tags["TIFFTAG_COPYRIGHT"]
    else:
        with Image.open(path) as image:
            image.load()
            if suffix == ".png":
                told, right = json.loads(image.text["mapstyle"]), image.text["Copyright"]
            else:
                exif = image.getexif()
                told = json.loads(exif.get_ifd(0x8769)[0x9286].removeprefix(b"ASCII\0\0\0"))
                right = exif[0x8298]
    assert told["seed"] == 7
    assert told["style"] == "ink"
    assert told["frame"] == [FRAMES[0].column, FRAMES[0].row, 301, 203]
    assert "Somebody" in right


def test_a_geotiff_is_a_valid_cog(tmp_path):
    frame = Frame(Grid.web_mercator(14), 0, 0, 1300, 1100)
    path = tmp_path / "map.tif"
    write(path, frame)
    with rasterio.open(path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.is_tiled
        assert dataset.overviews(1)


def test_an_existing_output_is_kept_unless_told(tmp_path):
    path = tmp_path / "map.png"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="--overwrite"):
        write(path, FRAMES[0])
    assert path.read_bytes() == b"mine"
    write(path, FRAMES[0], overwrite=True)
    assert path.stat().st_size > 100


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("map.gif", "no known kind of picture"),
        ("map", "no known kind of picture"),
        ("gone/map.png", "no such folder"),
    ],
)
def test_outputs_that_cannot_be_are_refused_in_a_line(tmp_path, name, told):
    with pytest.raises(OutputError, match=told) as caught:
        write(tmp_path / name, FRAMES[0])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_webp_says_its_limit(tmp_path):
    with (
        pytest.raises(OutputError, match="16383"),
        open_sink(tmp_path / "map.webp", Sheet(Frame(Grid.web_mercator(9), 0, 0, 16384, 4), PROVENANCE)),
    ):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_failure_half_way_leaves_nothing(tmp_path, suffix):
    with (
        pytest.raises(RuntimeError, match="half way"),
        open_sink(tmp_path / f"map{suffix}", Sheet(FRAMES[0], PROVENANCE)) as sink,
    ):
        piece = next(iter(FRAMES[0].pieces(128, 128)))
        sink.write(piece, painted(FRAMES[0])[piece.slices(FRAMES[0])])
        raise RuntimeError("half way")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, suffix, monkeypatch):
    def full(*_args, **_more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OutputError, match="disk is full"):
        write(tmp_path / f"map{suffix}", FRAMES[0])
    assert not list(tmp_path.iterdir())


def test_a_really_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    import resource
    import subprocess
    import sys

    code = (
        "import sys, signal, resource; sys.path.insert(0, sys.argv[2]); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))\n"
        "import exports.test_picture as module; from exports.test_picture import *; from pathlib import Path\n"
        "module.painted = lambda f: np.random.default_rng(1).integers(0, 256, (*f.shape, 3), np.uint8)\n"
        "try: write(Path(sys.argv[1]) / ('map' + sys.argv[3]), FRAMES[0])\n"
        "except OutputError as error: print(error)\n"
    )
    assert resource.RLIMIT_FSIZE
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for suffix in (".png", ".tif"):
        told = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), tests, suffix],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "disk" in told.stdout, told.stdout + told.stderr
        assert told.stdout.count("\n") == 1
        assert not list(tmp_path.iterdir())


def test_a_tile_is_lossless():
    rgb = painted(Frame(Grid.web_mercator(3), 0, 0, 256, 256))
    import io

    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_tile(rgb)))), rgb)


def test_renaming_is_the_last_thing(tmp_path, monkeypatch):
    def refuse(*_args):
        raise OSError(errno.EACCES, "no")

    monkeypatch.setattr(picture_module.os, "replace", refuse)
    with pytest.raises(OutputError, match="cannot be put in place"):
        write(tmp_path / "map.png", FRAMES[0])
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_cleared_away_and_nobody_elses_work_is(tmp_path):
    import multiprocessing
    import platform
    import re

    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    host = re.sub(r"[^A-Za-z0-9]", "", platform.node())[:32]
    dead, alive = tmp_path / f".mapstyle-{host}-{child.pid}-abc", tmp_path / f".mapstyle-{host}-1-abc"
    other = tmp_path / f".mapstyle-elsewhere-{child.pid}-abc"
    for folder in (dead, alive, other):
        folder.mkdir()
        (folder / "half").write_text("x")
    with open_sink(tmp_path / "map.png", Sheet(FRAMES[0], PROVENANCE)) as sink:
        sink.write(FRAMES[0], np.zeros((*FRAMES[0].shape, 3), np.uint8))
    assert not dead.exists()
    assert alive.exists()
    assert other.exists()
