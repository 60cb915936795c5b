"""One tileset says the same of itself in TileJSON, MBTiles and PMTiles."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mapstyle.exports.encoding import TileFormat
from mapstyle.exports.tilejson import Tileset, mbtiles_metadata, pmtiles_header, pmtiles_metadata, tilejson

TILESET = Tileset(
    name="Doggerhaven",
    description="An invented town",
    attribution="© Nobody",
    bounds=(2.1, 54.2, 2.3, 54.35),
    centre=(2.2, 54.3, 13),
    minzoom=10,
    maxzoom=16,
    tile_size=512,
    pixel_ratio=2,
    format=TileFormat(kind="jpeg"),
    scheme="tms",
    style="ink",
    provenance='{"seed": 7}',
)


def test_tilejson_follows_its_standard():
    told = tilejson(TILESET, "{z}/{x}/{y}.jpg")
    assert json.loads(json.dumps(told)) == told
    assert told["tilejson"] == "3.0.0"
    assert told["tiles"] == ["{z}/{x}/{y}.jpg"]
    assert told["scheme"] == "tms"
    assert told["bounds"] == [2.1, 54.2, 2.3, 54.35]
    assert told["center"] == [2.2, 54.3, 13]
    assert (told["minzoom"], told["maxzoom"]) == (10, 16)
    assert (told["name"], told["description"], told["attribution"]) == ("Doggerhaven", "An invented town", "© Nobody")
    assert (told["tileSize"], told["pixelRatio"], told["style"]) == (512, 2, "ink")
    assert json.loads(told["mapstyle"]) == {"seed": 7}


def test_mbtiles_rows_follow_their_standard():
    told = mbtiles_metadata(TILESET)
    assert all(isinstance(value, str) for value in told.values())
    assert told["format"] == "jpg"
    west, south, east, north = map(float, told["bounds"].split(","))
    assert [west, south, east, north] == pytest.approx([2.1, 54.2, 2.3, 54.35], abs=1e-5)
    assert west <= 2.1 < 2.3 <= east
    assert south <= 54.2 < 54.35 <= north
    pixels = (np.array([west, east]) + 180) / 360 * 1024 * 2**16  # 512 px @2x
    assert np.abs(pixels - pixels.round()).max() < 0.01, "bounds lie on whole pixels"
    assert told["center"].split(",")[2] == "13"
    assert (told["minzoom"], told["maxzoom"], told["type"], told["version"]) == ("10", "16", "baselayer", "1")
    assert mbtiles_metadata(replace(TILESET, scheme="xyz"))["scheme"] == "tms", "its rows always are"


def test_all_three_say_the_same():
    json_told, rows, packed = tilejson(TILESET, "u"), mbtiles_metadata(TILESET), pmtiles_metadata(TILESET)
    for key in ("name", "description", "attribution", "style", "mapstyle", "tileSize", "pixelRatio"):
        assert str(json_told[key]) == rows[key] == str(packed[key])
    header = pmtiles_header(TILESET)
    assert [header[f"{k}_e7"] for k in ("min_lon", "min_lat", "max_lon", "max_lat")] == [
        21_000_000, 542_000_000, 23_000_000, 543_500_000,
    ]  # fmt: skip
    assert (header["center_lon_e7"], header["center_lat_e7"], header["center_zoom"]) == (22_000_000, 543_000_000, 13)


@pytest.mark.parametrize("bounds", [(179.0, -17, -179, -16), (179.0, -17, 181, -16), (-190.0, -17, -170, -16)])
def test_bounds_never_wrap_round_the_world(bounds):
    tileset = replace(TILESET, bounds=bounds, centre=(180.5, -16.5, 12))
    assert tileset.extent == (-180, -17, 180, -16)
    assert tileset.view == (-179.5, -16.5, 12)


def test_bounds_and_view_stay_in_the_world_and_on_the_levels():
    tileset = replace(TILESET, bounds=(-180, -90, 180, 90), centre=(0, 89, 22))
    west, south, east, north = tileset.extent
    assert (west, east) == (-180, 180)
    assert -south == north == pytest.approx(85.0511288)
    rows = mbtiles_metadata(tileset)["bounds"].split(",")
    assert [float(v) for v in rows] == pytest.approx([west, south, east, north], abs=1e-6)
    assert tileset.view == (0, north, 16)


def test_what_is_empty_is_left_out_and_control_characters_go():
    tileset = replace(TILESET, description="", attribution="", name="a\nb\ud800")
    for told in (tilejson(tileset, "u"), mbtiles_metadata(tileset), pmtiles_metadata(tileset)):
        assert told["name"] == "a b\ufffd"
        assert not {"description", "attribution"} & set(told)
