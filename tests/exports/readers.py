"""Readers that are not ours: MapLibre GL in Chromium, with its pmtiles script, and tiles laid side by side."""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, served
from PIL import Image

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


def maplibre_scripts() -> Path:
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
        found = re.fullmatch(r"/\w+/(\d+)/(\d+)/(\d+)\.png", path)
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
