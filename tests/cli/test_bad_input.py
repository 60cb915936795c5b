"""Whatever a person gets wrong: one clear line, exit 1 (2 from the option parser), nothing half-written."""

import gzip
import json
import os
import shutil
import zipfile

import pytest

SMALL = ("--around", "3.8935,54.5965", "--radius", "0.1", "--zoom", "15", "-q")


def refused(said, folder, *told):
    assert said.code == 1, said
    for words in told:
        assert words in said.line, said.line
    assert "Traceback" not in said.err
    left = [f.name for f in folder.iterdir()]
    assert not [n for n in left if n.startswith((".mapstyle", "out"))], left


def geojson(path, *features, **more):
    rows = [{"type": "Feature", "properties": p, "geometry": g} for p, g in features]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": rows, **more}))
    return path


POINT = {"type": "Point", "coordinates": [7.4, 43.7]}


def test_a_missing_file(cli, tmp_path):
    said = cli("render", tmp_path / "gone.osm.pbf", "-o", tmp_path / "out.png")
    refused(said, tmp_path, "gone.osm.pbf")


def test_no_source_says_where_a_person_gets_one(cli, tmp_path):
    refused(cli("render", "-o", tmp_path / "out.png"), tmp_path, "geofabrik", "openstreetmap.org")


def test_a_file_of_no_known_kind(cli, tmp_path):
    odd = tmp_path / "map.docx"
    odd.write_text("words")
    refused(cli("render", odd, "-o", tmp_path / "out.png"), tmp_path, "map.docx", ".osm.pbf")


def test_an_unreadable_file(cli, tmp_path):
    if os.geteuid() == 0:
        source = tmp_path / "town.gpkg"
        source.mkdir()
    else:
        source = tmp_path / "town.gpkg"
        source.write_bytes(b"x")
        source.chmod(0)
    refused(cli("render", source, "-o", tmp_path / "out.png"), tmp_path, "town.gpkg")


@pytest.mark.parametrize(
    ("extent", "told"),
    [
        ("8,43,9,44", "misses the data, which lies within 3.8"),
        ("3.89,54.60,3.90,54.59", "south (54.6) must be less than north (54.59)"),
        ("3.89,54.59,300,54.60", "longitudes lie between"),
        ("3.89,54.59,3.9", "write --extent W,S,E,N"),
    ],
)
def test_extents(cli, tmp_path, town, extent, told):
    refused(cli("render", town, "-o", tmp_path / "out.png", "--extent", extent), tmp_path, told)


def test_an_empty_result(cli, tmp_path):
    two = geojson(
        tmp_path / "two.geojson",
        ({"natural": "tree"}, {"type": "Point", "coordinates": [7.40, 43.70]}),
        ({"natural": "tree"}, {"type": "Point", "coordinates": [7.60, 43.90]}),
    )
    said = cli("render", two, "-o", tmp_path / "out.png", "--around", "7.5,43.8", "--radius", "0.2", "--zoom", "16")
    refused(said, tmp_path, "nothing of the data lies in this frame", "7.4000,43.7000")


def test_an_unknown_style_offers_the_nearest(cli, tmp_path, town):
    said = cli("render", town, "-o", tmp_path / "out.png", "--style", "watercolor")
    refused(said, tmp_path, "no style called 'watercolor'", "Did you mean 'watercolour'?")


def test_an_unknown_setting_offers_the_nearest(cli, tmp_path, town):
    said = cli("render", town, "-o", tmp_path / "out.png", "--set", "painter.mediun=pen")
    refused(said, tmp_path, "painter.mediun: there is no such setting", "Did you mean 'medium'?")


def test_an_unknown_option_value_is_the_parsers(cli, tmp_path, town):
    said = cli("render", town, "-o", tmp_path / "out.png", "--engine", "pinter")
    assert said.code == 2
    assert "painter" in said.err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.replace("title = ", "titel = ", 1), "title: this setting is missing"),
        (lambda t: t + "\n[painter.brushes.extra]\nbrush = 'wsh'\n", "no brush 'wsh'"),
        (lambda t: t.replace("seed = ", "seed = -", 1) if "seed = " in t else "seed = -1\n" + t, "seed:"),
        (lambda _: "title = [", "not TOML"),
    ],
)
def test_a_broken_style_names_file_key_and_reason(cli, tmp_path, town, change, told):
    from mapstyle.style import packaged

    mine = tmp_path / "mine"
    shutil.copytree(packaged("styles") / "watercolour", mine)
    file = mine / "style.toml"
    file.write_text(change(file.read_text()))
    refused(cli("render", town, "-o", tmp_path / "out.png", "--style", mine), tmp_path, "style.toml", told)


@pytest.mark.parametrize("suffix", [".osm.pbf", ".gpkg", ".osm.gz", ".geojson", ".fgb", ".parquet", ".zip"])
def test_corrupt_vector_files(cli, tmp_path, suffix):
    broken = tmp_path / f"broken{suffix}"
    broken.write_bytes(b"\x00\x00\x00\x0d nothing of the kind" * 50)
    refused(cli("render", broken, "-o", tmp_path / "out.png"), tmp_path, f"broken{suffix}")


def test_a_truncated_geopackage(cli, tmp_path, town):
    cut = tmp_path / "cut.gpkg"
    with open(town, "rb") as whole:
        cut.write_bytes(whole.read(200_000))
    refused(cli("render", cut, "-o", tmp_path / "out.png", *SMALL), tmp_path, "cut.gpkg")


def test_truncated_osm_files(cli, tmp_path, shared_data):
    for name in ("andorra.osm.pbf", "monaco.osm.gz"):
        cut = tmp_path / name
        data = (shared_data / name).read_bytes()
        cut.write_bytes(data[: len(data) // 2])
        refused(cli("render", cut, "-o", tmp_path / "out.png"), tmp_path, name)


def test_a_truncated_geotiff(cli, tmp_path, town, heights):
    cut = tmp_path / "cut.tif"
    with open(heights, "rb") as whole:
        cut.write_bytes(whole.read(60_000))
    refused(cli("render", town, cut, "-o", tmp_path / "out.png", *SMALL), tmp_path, "cut.tif")


def test_a_missing_crs(cli, tmp_path):
    import geopandas as gpd
    from shapely.geometry import box

    bare = tmp_path / "bare.shp"
    gpd.GeoDataFrame({"landuse": ["forest"]}, geometry=[box(500000, 5000000, 501000, 5001000)]).to_file(bare)
    refused(
        cli("render", bare, "-o", tmp_path / "out.png"), tmp_path, "bare.shp", "coordinate reference system", ".prj"
    )


def test_an_untagged_file_without_a_kind(cli, tmp_path):
    plain = geojson(tmp_path / "plain.geojson", ({"colour": "red"}, POINT))
    refused(cli("render", plain, "-o", tmp_path / "out.png"), tmp_path, "plain.geojson=park")
    refused(cli("render", f"{plain}=parc", "-o", tmp_path / "out.png"), tmp_path, "park")


def test_coordinates_that_are_no_numbers(cli, tmp_path):
    bad = tmp_path / "bad.geojson"
    bad.write_text(
        '{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"natural":"wood"},'
        '"geometry":{"type":"Polygon","coordinates":[[[NaN,1],[Infinity,2],[3,NaN],[NaN,1]]]}}]}'
    )
    refused(cli("render", bad, "-o", tmp_path / "out.png"), tmp_path, "bad.geojson")


def test_a_zip_bomb(cli, tmp_path):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("town.geojson", b"0" * 300_000_000)
    refused(cli("render", bomb, "-o", tmp_path / "out.png"), tmp_path, "bomb.zip")


def test_a_gzip_bomb(cli, tmp_path):
    bomb = tmp_path / "bomb.osm.gz"
    with gzip.open(bomb, "wb") as file:
        for _ in range(40):
            file.write(b"\0" * 10_000_000)
    refused(cli("render", bomb, "-o", tmp_path / "out.png"), tmp_path, "bomb.osm.gz")


def test_a_path_out_of_an_archive(cli, tmp_path):
    sly = tmp_path / "sly.zip"
    with zipfile.ZipFile(sly, "w") as archive:
        archive.writestr("../../evil.geojson", "{}")
    refused(cli("render", sly, "-o", tmp_path / "out.png"), tmp_path, "sly.zip")
    assert not (tmp_path.parent.parent / "evil.geojson").exists()


def test_an_output_folder_that_is_not_there(cli, tmp_path, town):
    refused(cli("render", town, "-o", tmp_path / "gone" / "out.png"), tmp_path, "no such folder")


def test_an_output_folder_that_cannot_be_written(cli, tmp_path, town, monkeypatch):
    locked = tmp_path / "locked"
    locked.mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    refused(cli("render", town, "-o", locked / "out.png", *SMALL), locked, "cannot be written")


def test_an_output_of_no_known_kind(cli, tmp_path, town):
    refused(cli("render", town, "-o", tmp_path / "out.pgn"), tmp_path, "Did you mean '.png'?")


def test_a_picture_too_large_for_its_format(cli, tmp_path, town):
    said = cli("render", town, "-o", tmp_path / "out.webp", "--zoom", "18")
    refused(said, tmp_path, "16383", ".tif")


def test_an_existing_output(cli, tmp_path, town):
    mine = tmp_path / "mine.png"
    mine.write_bytes(b"mine")
    said = cli("render", town, "-o", mine, *SMALL)
    refused(said, tmp_path, "--overwrite")
    assert mine.read_bytes() == b"mine"


def test_a_full_disk(cli, tmp_path, town, monkeypatch):
    import errno

    from PIL import Image

    def full(*_args, **_more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    refused(cli("render", town, "-o", tmp_path / "out.png", *SMALL), tmp_path, "disk is full")


def test_a_place_that_is_not_there_offers_what_is(cli, tmp_path, town):
    said = cli("render", town, "-o", tmp_path / "out.png", "--place", "Xyzzyville Zoo")
    refused(said, tmp_path, "Xyzzyville Zoo")


def test_controls_into_a_file(cli, tmp_path, town):
    (tmp_path / "taken").write_text("x")
    said = cli("controls", town, "-o", tmp_path / "taken", *SMALL)
    assert said.code == 1
    assert "is a file" in said.line
