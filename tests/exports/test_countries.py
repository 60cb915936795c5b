"""A country with its mountains and the whole world, in all four outputs, through readers that are not ours."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from browser import WEBGL, chromium
from PIL import Image
from readers import ARCHIVE, BESIDE, draw, maplibre_scripts, stitched

from mapstyle.frame import Grid, cover_tiles

OUTPUTS = ("map", "map.mbtiles", "map.pmtiles", "map.tif")
PLACES = {
    "andorra": (("andorra.osm.pbf", "N42E001.hgt.zip"), (8, 11), (8, 15)),
    "world": (("natural_earth_50m.gpkg",), (0, 2), (0, 6)),
}
"""Sources, the levels of a short dose, and those of a whole one."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((place, whole), id=f"{place}-{'whole' if whole else 'short'}",
                     marks=pytest.mark.long if whole else ())
        for whole in (False, True) for place in PLACES
    ],
)  # fmt: skip
def made(request, shared_data, tmp_path_factory):
    """Folder of the four outputs, and their levels."""
    place, whole = request.param
    sources, short, long = PLACES[place]
    levels = long if whole else short
    folder = tmp_path_factory.mktemp(place)
    outputs = [part for name in OUTPUTS for part in ("-o", str(folder / name))]
    subprocess.run(
        [sys.executable, "-m", "mapstyle", "tiles", *(str(shared_data / s) for s in sources),
         "--zoom", f"{levels[0]}-{levels[1]}", *outputs, "-q"],
        check=True, env={**os.environ, "MAPSTYLE_CACHE": str(folder / "cache")},
    )  # fmt: skip
    return folder, range(levels[0], levels[1] + 1)


def told(folder: Path) -> dict:
    return json.loads((folder / "map" / "metadata.json").read_text())


def test_every_output_is_sound(made):
    folder, _ = made
    for name in OUTPUTS:
        run = subprocess.run([sys.executable, "-m", "mapstyle", "verify", str(folder / name)], capture_output=True,
                             text=True, check=False)  # fmt: skip
        assert run.returncode == 0, run.stdout + run.stderr
        assert "sound" in run.stderr


def test_mbtiles_by_its_standard(made):
    folder, levels = made
    with closing(sqlite3.connect(folder / "map.mbtiles")) as database:
        assert database.execute("PRAGMA application_id").fetchone() == (0x4D504258,)
        words = dict(database.execute("SELECT name, value FROM metadata"))
        assert {"name", "format", "bounds", "center", "minzoom", "maxzoom", "attribution", "type"} <= words.keys()
        assert words["format"] == "png"
        bounds = tuple(told(folder)["bounds"])
        for level in levels:
            column, row, columns, rows = cover_tiles(bounds, level)
            found = set(database.execute("SELECT tile_column, tile_row FROM tiles WHERE zoom_level = ?", (level,)))
            last = (1 << level) - 1
            assert found == {(column + i, last - row - j) for i in range(columns) for j in range(rows)}
        for (data,) in database.execute("SELECT tile_data FROM tiles ORDER BY random() LIMIT 20"):
            assert data.startswith(b"\x89PNG")


def test_the_pmtiles_library_reads_every_tile(made):
    from pmtiles.reader import MmapSource, Reader, all_tiles

    folder, levels = made
    with (folder / "map.pmtiles").open("rb") as file:
        header = Reader(MmapSource(file)).header()
        assert (header["min_zoom"], header["max_zoom"], header["clustered"]) == (levels[0], levels[-1], True)
        count = 0
        for (z, x, y), data in all_tiles(MmapSource(file)):
            count += 1
            assert data == (folder / "map" / str(z) / str(x) / f"{y}.png").read_bytes()
    assert count == sum(1 for _ in (folder / "map").glob("*/*/*.png")) == header["addressed_tiles_count"]


@pytest.mark.parametrize("name", ["map.mbtiles", "map.tif"])
def test_gdal_reads_it_pixel_for_pixel(made, tmp_path, name):
    if shutil.which("gdal_translate") is None:
        pytest.skip("the Debian package 'gdal-bin' is not installed")
    folder, levels = made
    info = json.loads(subprocess.run(["gdalinfo", "-json", folder / name], capture_output=True, check=True).stdout)
    assert info["driverShortName"] == {"map.mbtiles": "MBTiles", "map.tif": "GTiff"}[name]
    assert "3857" in info["coordinateSystem"]["wkt"]
    grid = Grid.web_mercator(levels[-1])
    west, size, _, north, _, down = info["geoTransform"]
    assert (size, -down) == pytest.approx((grid.resolution, grid.resolution))
    column, row = round((west - grid.origin_x) / size), round((grid.origin_y - north) / size)
    wide, high = (min(600, side) for side in info["size"])
    x, y = (info["size"][0] - wide) // 2, (info["size"][1] - high) // 2
    subprocess.run(["gdal_translate", "-q", "-of", "PNG", "-b", "1", "-b", "2", "-b", "3",
                    "-srcwin", *map(str, (x, y, wide, high)), folder / name, tmp_path / "seen.png"], check=True)  # fmt: skip
    whole, left, top = stitched(folder / "map", levels[-1])
    painted = whole[row + y - top :, column + x - left :][:high, :wide]
    with Image.open(tmp_path / "seen.png") as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), painted)
    assert painted.std() > 10


@pytest.mark.parametrize("reader", ["folder", "pmtiles"])
def test_maplibre_draws_it_as_it_was_painted(made, tmp_path, reader):
    folder, levels = made
    level = levels[-1]
    whole, column, row = stitched(folder / "map", level)
    wide, high = min(800, whole.shape[1]), min(600, whole.shape[0])
    left, top = (whole.shape[1] - wide) // 2, (whole.shape[0] - high) // 2
    middle = np.array([[column + left + wide / 2, row + top + high / 2]])
    lon, lat = Grid.web_mercator(level).unproject(middle)[0]
    at, page = "/map/view.html", BESIDE
    if reader == "pmtiles":
        at, page = "/view.html", ARCHIVE.replace("ARCHIVE", "map.pmtiles")
    seen = (level, float(lat), float(lon))
    with chromium(*WEBGL) as browser:
        picture = draw(browser, maplibre_scripts(), folder, page, seen, 256, at=at, width=wide, height=high)
    Image.fromarray(picture).save(tmp_path / f"{reader}.png")
    painted = whole[top : top + high, left : left + wide]
    assert painted.shape == picture.shape
    assert np.abs(picture.astype(int) - painted).mean() < 0.5
