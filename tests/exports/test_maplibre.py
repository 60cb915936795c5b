"""Readers that are not ours draw what we write: MapLibre GL, the pmtiles script, SQLite and GDAL's own programs."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from browser import TILESET, WEBGL, Browser, chromium, compare, make_flat, served
from PIL import Image

from mapstyle.exports.encoding import TileFormat
from mapstyle.frame import Grid
from mapstyle.style import packaged

WHITE = (255, 255, 255)
FOLDER = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<style>body { margin: 0 } #map { position: fixed; inset: 0 }</style>
<div id="map"></div><script src="/maplibre-gl.js"></script><script>
window.errors = [];
const begin = (source) => {
  const map = new maplibregl.Map({ container: "map", style: STYLE(source), attributionControl: false, ...VIEW });
  map.on("error", (event) => errors.push(String(event.error)));
  map.once("idle", () => { window.idle = true; });
};
START
</script>"""
ARCHIVE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<style>body { margin: 0 } #pymaplibregl { position: fixed; inset: 0 }</style>
<div id="pymaplibregl"></div><script src="/pywidget.js"></script><script>
window.errors = [];
pymaplibregl({
  mapOptions: { style: STYLE({ url: `pmtiles://${location.origin}/ARCHIVE`, tileSize: SIDE }),
    attributionControl: false, ...VIEW },
  calls: [["on", ["error", (event) => errors.push(String(event.error))]],
    ["once", ["idle", () => { window.idle = true; }]], ["triggerRepaint", []]],
});
</script>"""
STYLE = """((source) => ({ version: 8, sources: { tiles: { ...source, type: "raster" } },
  layers: [{ id: "tiles", type: "raster", source: "tiles", paint: { "raster-fade-duration": 0 } }] }))"""


@pytest.fixture(scope="module")
def browser():
    with chromium(*WEBGL) as running:
        yield running


@pytest.fixture(scope="module")
def scripts() -> Path:
    """Folder of MapLibre's own script, and of one that holds MapLibre and the pmtiles script together."""
    found = find_spec("maplibre")
    if found is None:
        pytest.skip("the Python package 'maplibre', which carries MapLibre GL, is not installed")
    return Path(found.submodule_search_locations[0]) / "srcjs"


def draw(
    browser: Browser, scripts: Path, folder: Path, page: str, seen: tuple[float, float, float], side: int,
    answer: Callable[[str], bytes | None] = lambda path: None, at: str = "/view.html", **screen: int,
) -> np.ndarray:  # fmt: skip
    """Let MapLibre draw a folder's tiles, zoom, latitude and longitude in the middle; gives what the window shows."""
    zoom, lat, lon = seen
    # MapLibre's zoom 0 shows the world 512 pixels wide, whatever the size of the tiles.
    place = {"center": [lon, lat], "zoom": zoom + np.log2(side / 512), "renderWorldCopies": False, "fadeDuration": 0}
    text = page.replace("VIEW", json.dumps(place)).replace("STYLE", STYLE).replace("SIDE", str(side))

    def all_answers(path: str) -> bytes | None:
        if path == at:
            return text.encode()
        script = scripts / path.removeprefix("/")
        return script.read_bytes() if path.count("/") == 1 and script.is_file() else answer(path)

    with served(folder, all_answers) as address, browser.page(address.rstrip("/") + at, **screen) as opened:
        opened.wait("window.idle || window.errors.length")
        assert opened.evaluate("errors") == []
        assert not [told for told in opened.complaints() if "404" in told or "Uncaught" in told]
        return opened.picture()


BESIDE = FOLDER.replace("START", 'begin({ url: "metadata.json" });')
ELSEWHERE = FOLDER.replace(
    "START",
    """fetch("/tiles/metadata.json").then((answer) => answer.json())
  .then((told) => begin({ ...told, tiles: told.tiles.map((tile) => `${location.origin}/tiles/${tile}`) }));""",
)
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


def stitched(folder: Path, level: int) -> tuple[np.ndarray, int, int]:
    """Lay a folder's tiles of a level side by side; gives them with the address of the first pixel: column, row."""
    tiles = {tuple(map(int, (f.parent.name, f.stem))): f for f in (folder / str(level)).glob("*/*.png")}
    left, top = min(x for x, _ in tiles), min(y for _, y in tiles)
    right, bottom = max(x for x, _ in tiles) + 1, max(y for _, y in tiles) + 1
    assert len(tiles) == (right - left) * (bottom - top)
    whole = np.zeros(((bottom - top) * 256, (right - left) * 256, 3), np.uint8)
    for (x, y), file in tiles.items():
        with Image.open(file) as image:
            whole[(y - top) * 256 :, (x - left) * 256 :][:256, :256] = np.asarray(image.convert("RGB"))
    return whole, left * 256, top * 256


def rows_of(archive: Path) -> Callable[[str], bytes | None]:
    """Answer for the tiles of an MBTiles file, as any server of such files does."""

    def answer(path: str) -> bytes | None:
        found = re.fullmatch(r"/town/(\d+)/(\d+)/(\d+)\.png", path)
        if not found:
            return None
        z, x, y = map(int, found.groups())
        with closing(sqlite3.connect(archive)) as database:
            row = database.execute(
                "SELECT tile_data FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?",
                (z, x, (1 << z) - 1 - y),
            ).fetchone()
        return row[0] if row else None

    return answer


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
