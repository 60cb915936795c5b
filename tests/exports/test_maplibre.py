"""Readers that are not ours draw what we write: MapLibre GL, the pmtiles script, SQLite and GDAL's own programs."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import TILESET, WEBGL, chromium, compare, make_flat
from PIL import Image
from readers import ARCHIVE, BESIDE, ELSEWHERE, draw, maplibre_scripts, rows_of, stitched

from mapstyle.exports.encoding import TileFormat
from mapstyle.frame import Grid
from mapstyle.style import packaged

WHITE = (255, 255, 255)


@pytest.fixture(scope="module")
def browser():
    with chromium(*WEBGL) as running:
        yield running


@pytest.fixture(scope="module")
def scripts() -> Path:
    return maplibre_scripts()


KINDS = {
    "xyz": TILESET,
    "tms": replace(TILESET, scheme="tms"),
    "512": replace(TILESET, tile_size=512, minzoom=9, maxzoom=11, centre=(3.87, 54.61, 10)),
    "@2x": replace(TILESET, pixel_ratio=2),
    "512@2x-tms-webp": replace(
        TILESET, tile_size=512, pixel_ratio=2, scheme="tms", format=TileFormat(kind="webp", lossless=True), maxzoom=11
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_maplibre_draws_a_folder_from_its_tilejson(browser, scripts, tmp_path, kind):
    tileset = KINDS[kind]
    make_flat(tmp_path / "tiles", tileset)
    for zoom in (tileset.centre[2], *([tileset.maxzoom + 0.4] if kind == "xyz" else [])):
        seen = (zoom, 54.61, 3.87)
        picture = draw(browser, scripts, tmp_path, BESIDE, seen, tileset.tile_size, at="/tiles/view.html",
                       deviceScaleFactor=tileset.pixel_ratio)  # fmt: skip
        assert compare(picture, tileset, seen, tileset.pixel_ratio, WHITE, tolerance=1) > 300


def test_maplibre_draws_a_folder_from_a_page_that_lies_elsewhere(browser, scripts, tmp_path):
    make_flat(tmp_path / "tiles", TILESET)
    seen = (11, 54.61, 3.87)
    assert compare(draw(browser, scripts, tmp_path, ELSEWHERE, seen, 256), TILESET, seen, 1, WHITE, tolerance=1) > 300


@pytest.mark.parametrize("kind", ["xyz", "512@2x-tms-webp"])
def test_maplibre_draws_a_pmtiles_archive(browser, scripts, tmp_path, kind):
    tileset = KINDS[kind]
    make_flat(tmp_path / "map.pmtiles", tileset)
    seen = (11, 54.61, 3.87)
    page = ARCHIVE.replace("ARCHIVE", "map.pmtiles")
    picture = draw(browser, scripts, tmp_path, page, seen, tileset.tile_size, deviceScaleFactor=tileset.pixel_ratio)
    assert compare(picture, tileset, seen, tileset.pixel_ratio, WHITE, tolerance=1) > 300


@pytest.fixture(scope="module")
def town(tmp_path_factory) -> Path:
    """Folder with the middle of the sample town, painted by the command itself: town/, .mbtiles, .pmtiles."""
    folder = tmp_path_factory.mktemp("town")
    outputs = [part for suffix in ("", ".mbtiles", ".pmtiles") for part in ("-o", str(folder / f"town{suffix}"))]
    subprocess.run(
        [sys.executable, "-m", "mapstyle", "tiles", str(packaged("sample_data") / "doggerhaven.gpkg"),
         "--around", "3.8925,54.5972", "--radius", "0.6", "--zoom", "14-15", *outputs, "--workers", "1", "-q"],
        check=True, env={**os.environ, "MAPSTYLE_CACHE": str(folder / "cache")},
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("reader", ["folder", "mbtiles", "pmtiles"])
def test_the_painted_town_looks_in_maplibre_as_it_was_painted(browser, scripts, town, tmp_path, reader):
    whole, column, row = stitched(town / "town", 15)
    left, top = (whole.shape[1] - 600) // 2, (whole.shape[0] - 400) // 2
    x, y = column + left + 300, row + top + 200  # the middle of the window, on the corner of a pixel
    lon, lat = Grid.web_mercator(15).unproject(np.array([[x, y]], float))[0]
    seen, answer, at, page = (15, float(lat), float(lon)), lambda path: None, "/town/view.html", BESIDE
    folder = town
    if reader == "mbtiles":
        answer = rows_of(town / "town.mbtiles")
        folder = tmp_path  # where there is nothing but the TileJSON
        (tmp_path / "town").mkdir()
        shutil.copy(town / "town" / "metadata.json", tmp_path / "town")
    elif reader == "pmtiles":
        at, page = "/view.html", ARCHIVE.replace("ARCHIVE", "town.pmtiles")
    picture = draw(browser, scripts, folder, page, seen, 256, answer, at, width=600, height=400)
    Image.fromarray(picture).save(tmp_path / f"{reader}.png")
    painted = whole[top : top + 400, left : left + 600]
    assert painted.shape == picture.shape
    assert painted.std() > 20, "a town, not a plain colour"
    assert np.abs(picture.astype(int) - painted).mean() < 0.5


def test_gdals_programs_read_mbtiles_pixel_for_pixel(town, tmp_path):
    if shutil.which("gdal_translate") is None:
        pytest.skip("the Debian package 'gdal-bin' is not installed")
    archive = town / "town.mbtiles"
    told = json.loads(subprocess.run(["gdalinfo", "-json", archive], capture_output=True, check=True).stdout)
    assert told["driverShortName"] == "MBTiles"
    assert [band["colorInterpretation"] for band in told["bands"]][:3] == ["Red", "Green", "Blue"]
    assert told["metadata"][""]["minzoom"] == "14"
    west, size, _, north, _, down = told["geoTransform"]
    grid = Grid.web_mercator(15)
    assert (size, -down) == pytest.approx((grid.resolution, grid.resolution))
    column, row = (west - grid.origin_x) / size, (grid.origin_y - north) / size
    assert (column, row) == pytest.approx((round(column), round(row)), abs=1e-3)

    whole, left, top = stitched(town / "town", 15)
    subprocess.run(["gdal_translate", "-q", "-of", "PNG", "-b", "1", "-b", "2", "-b", "3", archive,
                    tmp_path / "seen.png"], check=True)  # fmt: skip
    with Image.open(tmp_path / "seen.png") as image:
        seen = np.asarray(image.convert("RGB"))
    painted = whole[round(row) - top :, round(column) - left :][: seen.shape[0], : seen.shape[1]]
    assert seen.shape[0] > 400
    assert seen.shape[1] > 400
    assert np.array_equal(seen, painted)
    assert any(band["overviews"] for band in told["bands"])
