import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from osm_builder import Osm, square
from shapely import LineString, Point, Polygon, box

from mapstyle.errors import SourceError
from mapstyle.layers import LayerKind
from mapstyle.sources import store
from mapstyle.sources.atlas import Atlas, Shape
from mapstyle.sources.store import load_atlas, open_atlas

K = LayerKind
AREA, LINE, POINT = Shape.AREA, Shape.LINE, Shape.POINT
WRITERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".shp": "ESRI Shapefile", ".fgb": "FlatGeobuf"}


def frame(columns: dict, shapes: list, crs="EPSG:4326") -> Any:
    import geopandas

    return geopandas.GeoDataFrame(columns, geometry=shapes, crs=crs)


def geojson(path: Path, *features: dict) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def feature(geometry: dict, **properties) -> dict:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def read(source, folder: Path) -> Atlas:
    return open_atlas([str(source)], cache=folder / "cache")


def refused(source, folder: Path) -> str:
    with pytest.raises(SourceError) as caught:
        read(source, folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "cache").exists() or not list((folder / "cache").iterdir())
    return str(caught.value)


@pytest.mark.parametrize("suffix", [*WRITERS, ".parquet"])
def test_every_format_gives_the_same(suffix, tmp_path):
    path = tmp_path / f"town{suffix}"
    shapes = [box(1, 1, 1.1, 1.2), box(2, 1, 2.1, 1.1)]
    data = frame({"building": ["yes", "church"], "name": ["Ä", None], "name_en": ["A", None]}, shapes)
    if suffix == ".parquet":
        data.to_parquet(path)
    else:
        data.to_file(path, driver=WRITERS[suffix])
    table = read(path, tmp_path).tables[K.BUILDING, AREA]
    order = np.argsort(shapely.bounds(table.geometry)[:, 0])  # FlatGeobuf sorts by place
    assert shapely.area(table.geometry)[order] == pytest.approx([0.02, 0.01])
    assert list(table.detail[order]) == ["yes", "church"]
    assert list(table.names[order]) == [{"": "Ä", "en": "A"}, {}]


def test_a_zip_of_a_shapefile_and_its_parts(tmp_path):
    folder = tmp_path / "shape"
    folder.mkdir()
    frame({"building": ["yes"]}, [box(1, 1, 2, 2)]).to_file(folder / "a.shp")
    archive = shutil.make_archive(str(tmp_path / "a"), "zip", folder)
    assert len(read(archive, tmp_path).tables[K.BUILDING, AREA]) == 1


def test_our_own_schema_tells_kinds_by_column_or_by_the_layers_name(tmp_path):
    path = tmp_path / "town.gpkg"
    columns = {
        "kind": ["park", "building", "nonsense"], "levels": [None, 3, None], "name": ["Green", None, None],
        "name:ja": ["緑", None, None], "detail": ["", "church", ""], "rank": [3, 0, 0],
    }  # fmt: skip
    pyogrio.write_dataframe(frame(columns, [box(0, 0, 1, 1), box(1, 0, 2, 1), box(2, 0, 3, 1)]), path, layer="areas")
    roads = {"bridge": [True, False], "layer": [1, 0], "width": [7.5, None]}
    lines = [LineString([(0, 0), (1, 1)]), LineString([(1, 1), (2, 1)])]
    pyogrio.write_dataframe(frame(roads, lines), path, layer="primary", append=True)
    atlas = read(path, tmp_path)
    park, house, road = (atlas.tables[k] for k in ((K.PARK, AREA), (K.BUILDING, AREA), (K.PRIMARY, LINE)))
    assert park.names[0] == {"": "Green", "ja": "緑"}
    assert park.rank[0] == 3
    assert house.height[0] == pytest.approx(9.3)
    assert house.detail[0] == "church"
    assert list(road.bridge) == [True, False]
    assert list(road.layer) == [1, 0]
    np.testing.assert_allclose(road.width, [7.5, np.nan])
    assert set(atlas.tables) == {(K.PARK, AREA), (K.BUILDING, AREA), (K.PRIMARY, LINE)}


def test_file_is_kind_says_what_an_untagged_file_is(tmp_path):
    path = tmp_path / "a.geojson"
    frame({"foo": [1, 2]}, [box(0, 0, 1, 1), LineString([(0, 0), (1, 0), (1, 1), (0, 0)])]).to_file(path)
    message = refused(path, tmp_path)
    assert "a.geojson=park" in message
    assert len(open_atlas([f"{path}=wood"], cache=tmp_path / "c").tables[K.WOOD, AREA]) == 2
    with pytest.raises(SourceError, match="Did you mean 'wood'"):
        open_atlas([f"{path}=woods"], cache=tmp_path / "c")


def test_file_and_layer_pick_one_layer(tmp_path):
    path = tmp_path / "a.gpkg"
    pyogrio.write_dataframe(frame({"x": [1]}, [box(0, 0, 1, 1)]), path, layer="park")
    pyogrio.write_dataframe(frame({"x": [1]}, [box(0, 0, 1, 1)]), path, layer="wood", append=True)
    assert set(open_atlas([f"{path}#wood"], cache=tmp_path).tables) == {(K.WOOD, AREA)}
    assert set(open_atlas([f"{path}#wood=scrub"], cache=tmp_path).tables) == {(K.SCRUB, AREA)}
    with pytest.raises(SourceError, match=r"no layer 'woods'\. Did you mean 'wood'"):
        open_atlas([f"{path}#woods"], cache=tmp_path)


def test_a_metric_system_is_brought_to_degrees(tmp_path):
    path = tmp_path / "wood.gpkg"
    frame({"x": [1]}, [box(500_000, 5_500_000, 501_000, 5_501_000)], "EPSG:25832").to_file(path)
    (west, south, _, _) = read(path, tmp_path).bounds
    assert (west, south) == (pytest.approx(9.0), pytest.approx(49.6528, abs=1e-3))


def test_a_file_without_a_system_is_refused_with_the_cure(tmp_path):
    path = tmp_path / "park.shp"
    frame({"x": [1]}, [box(0, 0, 1, 1)]).to_file(path)
    path.with_suffix(".prj").unlink()
    assert ".prj" in refused(path, tmp_path)


def test_dirt_is_mended_or_left_out_counted_and_said_once(tmp_path):
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
    unclosed = {"type": "Polygon", "coordinates": [[[5, 0], [6, 0], [6, 1], [5, 1]]]}
    spike = {"type": "Polygon", "coordinates": [[[7, 0], [8, 0], [7, 0]]]}
    lost = {"type": "Polygon", "coordinates": [[[0, 0], [1e400, 0], [1, 1], [0, 0]]]}
    mixed = {
        "type": "GeometryCollection",
        "geometries": [{"type": "Point", "coordinates": [9, 9]},
                       {"type": "LineString", "coordinates": [[9, 9], [8, 9]]},
                       {"type": "Polygon", "coordinates": [[[9, 0], [10, 0], [10, 1], [9, 0]]]}],
    }  # fmt: skip
    far = {"type": "Polygon", "coordinates": [[[0, 95], [1, 95], [1, 96], [0, 95]]]}
    point = {"type": "Point", "coordinates": [3, 3]}
    deep = {"type": "Polygon", "coordinates": [[[2, 2, 7], [3, 2, 7], [3, 3, 7], [2, 2, 7]]]}
    shapes = [bow_tie, unclosed, spike, lost, mixed, far, point, deep, None]
    path = geojson(tmp_path / "a.geojson", *(feature(s, landuse="forest") for s in shapes))
    atlas = read(path, tmp_path)
    wood = atlas.tables[K.WOOD, AREA]
    assert sorted(shapely.area(wood.geometry)) == pytest.approx([0.5, 0.5, 0.5, 1.0])
    assert shapely.is_valid(wood.geometry).all()
    assert not shapely.has_z(wood.geometry).any()
    told = " ".join(atlas.notes)
    for word in ("mended", "no numbers", "outside the world", "without a shape"):
        assert told.count(word) == 1, told


def test_nothing_finite_is_an_error(tmp_path):
    lost = {"type": "Point", "coordinates": [1e400, 0]}
    assert "finite" in refused(geojson(tmp_path / "a.geojson", feature(lost, place="town")), tmp_path)


def test_shapes_past_the_antimeridian_and_the_pole_are_brought_into_the_world(tmp_path):
    shapes = [box(170, 10, 190, 20), box(0, 80, 10, 90), box(-185, 30, -175, 40)]
    path = tmp_path / "wood.geojson"
    frame({"x": [1, 2, 3]}, shapes).to_file(path)
    wood = read(path, tmp_path).tables[K.WOOD, AREA].geometry
    west, _, east, north = shapely.total_bounds(wood)
    assert (west, east) == (-180, 180)
    assert north < 85.06
    assert wood[0].area == pytest.approx(200)
    assert wood[0].contains(Point(-175, 15))
    assert wood[2].contains(Point(177, 35))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"hello", "What can: OpenStreetMap"), ("a.osm", b"", "empty"),
        ("a.osm", b"<html>Too many requests</html>", "not what its name says"),
        ("a.osm", b"<?xml version='1.0'?><osm version='0.6'></osm>", "no feature"),
        ("a.osm", b"<?xml version='1.0'?><osm version='0.6'><node id='1' lat='1' lon='1'><tag k='pl", "cut short"),
        ("a.gpkg", b"SQLite format 3\0" + bytes(200), "cannot be read"), ("a.fgb", b"abc", "not what its name says"),
        ("a.shp", b"abc", "not what its name says"), ("a.parquet", b"abc", "GeoParquet"),
        ("a.geojson", b'{"type":"FeatureCollection","features":[{', "cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_one_line(name, content, says, tmp_path, capfd):
    (tmp_path / name).write_bytes(content)
    message = refused(tmp_path / name, tmp_path)
    assert says in message
    assert name in message
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_says_where_to_get_one(tmp_path):
    message = refused(tmp_path / "none.osm", tmp_path)
    assert "no such file" in message
    assert "download.geofabrik.de" in message
    with pytest.raises(SourceError, match="no source was given"):
        open_atlas([], cache=tmp_path)
    assert "folder" in refused(tmp_path, tmp_path / "x")


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.osm"
    path.write_text("<osm/>")
    plain = Path.open

    def guarded(self, *arguments, **more):
        # Root may read everything, so the file's own mode would not do.
        if self == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return plain(self, *arguments, **more)

    monkeypatch.setattr(Path, "open", guarded)
    assert "cannot be read: Permission denied" in refused(path, tmp_path)


@pytest.fixture
def town(tmp_path) -> Path:
    osm = Osm()
    osm.way(square(1.0, 1.0, 0.001), building="yes", name="Haus", name__ja="家")
    osm.way([(0.9, 1.0), (1.1, 1.0)], highway="primary", bridge="yes")
    osm.way([(0.9, 0.9), (1.1, 0.9)], natural="coastline")
    return osm.write(tmp_path / "town.osm")


def same(one: Atlas, other: Atlas) -> bool:
    assert one.tables.keys() == other.tables.keys()
    for key, table in one.tables.items():
        for field in ("ids", "rank", "layer", "bridge", "tunnel", "width", "height", "base", "detail", "names"):
            a, b = getattr(table, field), getattr(other.tables[key], field)
            assert a.dtype == b.dtype, field
            np.testing.assert_array_equal(a, b)
        assert shapely.equals_exact(table.geometry, other.tables[key].geometry).all()
    return (one.digest, one.bounds, one.attribution, one.notes) == (
        other.digest, other.bounds, other.attribution, other.notes,
    )  # fmt: skip


def test_a_source_is_read_once(town, tmp_path, monkeypatch):
    told: list[str] = []
    first = open_atlas([str(town)], cache=tmp_path / "c", progress=told.append)
    monkeypatch.setattr(store, "read_file", None)  # a second reading would fail
    assert same(first, open_atlas([str(town)], cache=tmp_path / "c", progress=told.append))
    assert told == ["reading town.osm"]


def test_a_damaged_copy_is_made_anew_and_an_edit_is_seen(town, tmp_path):
    first = open_atlas([str(town)], cache=tmp_path / "c")
    (kept,) = (tmp_path / "c").iterdir()
    for spoil in (lambda d: d[:-9], lambda d: d[:99] + b"\xff" + d[100:], lambda d: b""):
        kept.write_bytes(spoil(kept.read_bytes()))
        assert load_atlas(kept) is None
        assert same(first, open_atlas([str(town)], cache=tmp_path / "c"))
        assert load_atlas(kept) is not None
    town.write_text(town.read_text().replace("Haus", "Hof"))
    second = open_atlas([str(town)], cache=tmp_path / "c")
    assert second.digest != first.digest
    assert second.tables[K.BUILDING, AREA].names[0][""] == "Hof"


def test_a_cache_that_cannot_be_written_is_no_error(town, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert (K.BUILDING, AREA) in open_atlas([str(town)], cache=tmp_path / "file" / "c").tables


def test_the_cache_folder_can_be_chosen(town, tmp_path, monkeypatch):
    monkeypatch.setenv("MAPSTYLE_CACHE", str(tmp_path / "mine"))
    open_atlas([str(town)])
    assert len(list((tmp_path / "mine").glob("*.atlas"))) == 1


def test_sources_are_stacked_and_what_they_share_is_kept_once(town, tmp_path):
    osm = Osm()
    osm.way(square(1.0, 1.0, 0.001), building="yes", name="Haus", name__ja="家")
    osm.way([(3.0, 3.0), (4.0, 3.0)], railway="rail")
    other = osm.write(tmp_path / "other.osm")
    dem = tmp_path / "N01E001.hgt"
    dem.write_bytes(bytes(2 * 1201 * 1201))
    both = open_atlas([str(town), str(other), str(dem)], cache=tmp_path / "c")
    assert len(both.tables[K.BUILDING, AREA]) == 1
    assert (K.RAIL, LINE) in both.tables
    assert both.bounds == (0.9, 0.9, 4.0, 3.0)
    assert both.elevation == (dem,)
    assert both.attribution == "© OpenStreetMap contributors"


def test_elevation_alone_has_bounds(tmp_path):
    dem = tmp_path / "N01E001.hgt"
    dem.write_bytes(bytes(2 * 1201 * 1201))
    atlas = read(dem, tmp_path)
    assert atlas.bounds == pytest.approx((1, 1, 2, 2), abs=1e-3)
    assert atlas.tables == {}


@pytest.mark.parametrize(
    ("lon", "lat", "sea"),
    [
        (0, 0, True), (179.99, 0, True), (-179.99, 0, True), (-150, 20, True), (20, 20, False), (100, 60, False),
        (179, 68, False), (-179, 68, False), (0, -84.9, False), (0, 84.9, True), (-72, 75, True),
    ],
)  # fmt: skip
def test_the_world_of_natural_earth(lon, lat, sea, world):
    ocean = world.tables[K.OCEAN, AREA].geometry
    assert bool(shapely.contains_xy(ocean, lon, lat).any()) == sea


@pytest.fixture(scope="module")
def world(shared_data, tmp_path_factory):
    return read(shared_data / "natural_earth_50m.gpkg", tmp_path_factory.mktemp("world"))


def test_natural_earth_knows_capitals_languages_and_no_false_shores(world):
    places = world.tables[K.PLACE, POINT]
    by_name = {n.get("en"): i for i, n in enumerate(places.names)}
    assert len(places) < 1250  # one of the two layers of the same towns
    assert places.names[by_name["Tokyo"]]["zh"] == "東京都"
    assert places.rank[by_name["Tokyo"]] == 0
    assert places.rank[by_name["Bern"]] > 0
    edges = np.concatenate([np.hstack([c[:-1], c[1:]]) for g in world.tables[K.COAST, LINE].geometry
                            for c in [shapely.get_coordinates(g)]])  # fmt: skip
    along = (np.abs(np.abs(edges[:, 0]) - 180) < 1e-9) & (np.abs(edges[:, 0] - edges[:, 2]) < 1e-9)
    assert not along.any()
    assert np.abs(edges[:, [1, 3]]).max() < 85.06
    assert world.attribution == "Made with Natural Earth"
    assert set(world.tables[K.BORDER, LINE].rank) == {2}


def test_bayreuth_and_andorra_have_what_they_are_known_for(shared_data, tmp_path):
    bayreuth = read(shared_data / "north-bayreuth.osm.gz", tmp_path)
    assert len(bayreuth.tables[K.TRACK, LINE]) > 800
    assert len(bayreuth.tables[K.BUILDING, AREA]) > 4000
    assert (K.OCEAN, AREA) not in bayreuth.tables
    andorra = read(shared_data / "andorra.osm.pbf", tmp_path)
    names = {n.get("") for n in andorra.tables[K.PLACE, POINT].names}
    assert "Andorra la Vella" in names
    peaks = andorra.tables[K.PEAK, POINT]
    assert np.nanmax(peaks.height) == pytest.approx(3143, abs=1)  # Pica d'Estats


def test_a_linear_ring_or_an_area_becomes_what_its_kind_needs(tmp_path):
    path = tmp_path / "a.gpkg"
    shapes = [box(0, 0, 1, 1), Polygon([(2, 2), (3, 2), (3, 3)])]
    frame({"kind": ["wall", "place"]}, shapes).to_file(path)
    atlas = read(path, tmp_path)
    assert atlas.tables[K.WALL, LINE].geometry[0].length == pytest.approx(4)
    assert shapes[1].contains(atlas.tables[K.PLACE, POINT].geometry[0])
