from pathlib import Path

import numpy as np
import pytest
import shapely
from osm_builder import Osm, square

from mapstyle.layers import LayerKind
from mapstyle.sources import schema_osm, tags_osm
from mapstyle.sources.atlas import Atlas, FeatureTable, Shape
from mapstyle.sources.store import open_atlas

K = LayerKind
AREA, LINE, POINT = Shape.AREA, Shape.LINE, Shape.POINT
RING = square(1.0, 1.0, 0.001)
ROAD = [(1.0, 1.0), (1.001, 1.0), (1.001, 1.002)]

AREAS = {
    K.WATER: {"natural": "water"}, K.POOL: {"leisure": "swimming_pool"}, K.WETLAND: {"natural": "wetland"},
    K.GLACIER: {"natural": "glacier"}, K.BEACH: {"natural": "beach"}, K.ROCK: {"natural": "bare_rock"},
    K.WOOD: {"landuse": "forest"}, K.SCRUB: {"natural": "scrub"}, K.HEATH: {"natural": "heath"},
    K.GRASS: {"landuse": "grass"}, K.MEADOW: {"landuse": "meadow"}, K.PARK: {"leisure": "park"},
    K.GARDEN: {"leisure": "garden"}, K.CEMETERY: {"landuse": "cemetery"}, K.PITCH: {"leisure": "pitch"},
    K.FARMLAND: {"landuse": "farmland"}, K.ORCHARD: {"landuse": "orchard"}, K.VINEYARD: {"landuse": "vineyard"},
    K.RESIDENTIAL: {"landuse": "residential"}, K.COMMERCIAL: {"landuse": "retail"},
    K.INDUSTRIAL: {"landuse": "industrial"}, K.INSTITUTION: {"amenity": "school"}, K.QUARRY: {"landuse": "quarry"},
    K.SQUARE: {"highway": "pedestrian", "area": "yes"}, K.PARKING: {"amenity": "parking"},
    K.AERODROME: {"aeroway": "aerodrome"}, K.BUILDING: {"building": "yes"}, K.PIER: {"man_made": "pier"},
    K.BREAKWATER: {"man_made": "breakwater"}, K.DAM: {"waterway": "dam"}, K.BRIDGE: {"man_made": "bridge"},
    K.RUNWAY: {"aeroway": "runway"}, K.TAXIWAY: {"aeroway": "apron"},
}  # fmt: skip
LINES = {
    K.RIVER: {"waterway": "river"}, K.STREAM: {"waterway": "stream"}, K.CANAL: {"waterway": "canal"},
    K.DITCH: {"waterway": "drain"}, K.MOTORWAY: {"highway": "motorway_link"}, K.TRUNK: {"highway": "trunk"},
    K.PRIMARY: {"highway": "primary"}, K.SECONDARY: {"highway": "secondary"}, K.TERTIARY: {"highway": "tertiary"},
    K.STREET: {"highway": "residential"}, K.SERVICE: {"highway": "service"}, K.TRACK: {"highway": "track"},
    K.PATH: {"highway": "footway"}, K.STEPS: {"highway": "steps"}, K.RAIL: {"railway": "rail"},
    K.TRAM: {"railway": "tram"}, K.RUNWAY: {"aeroway": "runway"}, K.TAXIWAY: {"aeroway": "taxiway"},
    K.PIER: {"man_made": "pier"}, K.BREAKWATER: {"man_made": "groyne"}, K.DAM: {"waterway": "weir"},
    K.BRIDGE: {"man_made": "bridge"}, K.WALL: {"barrier": "retaining_wall"}, K.CITY_WALL: {"barrier": "city_wall"},
    K.BORDER: {"boundary": "administrative"}, K.TREE_ROW: {"natural": "tree_row"}, K.COAST: {"natural": "coastline"},
}  # fmt: skip
POINTS = {
    K.TREE: {"natural": "tree"}, K.PLACE: {"place": "town"}, K.POI: {"railway": "station"},
    K.PEAK: {"natural": "peak"}, K.OCEAN: {"natural": "bay"},
}  # fmt: skip


def read(osm: Osm, folder: Path) -> Atlas:
    return open_atlas([str(osm.write(folder / "town.osm"))], cache=folder / "cache")


def only(atlas: Atlas, kind: LayerKind, shape: Shape) -> FeatureTable:
    table = atlas.tables[kind, shape]
    assert len(table) == 1
    return table


def kinds(atlas: Atlas) -> set[tuple[LayerKind, Shape]]:
    return set(atlas.tables)


def test_the_tables_above_name_every_kind():
    assert {*AREAS, *LINES, *POINTS} == set(LayerKind)


@pytest.fixture(scope="module")
def one_of_each(tmp_path_factory):
    """Everything that OpenStreetMap can say, each a hundredth of a degree from the last."""
    osm = Osm()
    for i, tags in enumerate(AREAS.values()):
        osm.way(square(round(1 + i / 100, 2), 1.0, 0.001), **tags)
    for i, tags in enumerate(LINES.values()):
        osm.way([(round(1 + i / 100, 2), y) for y in (2.0, 2.001, 2.003)], **tags)
    for i, tags in enumerate(POINTS.values()):
        osm.node((round(1 + i / 100, 2), 3.0), name="There", **tags)
    return read(osm, tmp_path_factory.mktemp("each"))


@pytest.mark.parametrize("kind", AREAS)
def test_a_closed_way_is_an_area_of_its_kind(kind, one_of_each):
    assert only(one_of_each, kind, AREA).geometry[0].area == pytest.approx(1e-6)


@pytest.mark.parametrize("kind", [k for k in LINES if k is not K.COAST])
def test_an_open_way_is_a_line_of_its_kind(kind, one_of_each):
    assert only(one_of_each, kind, LINE).geometry[0].length == pytest.approx(0.003)


@pytest.mark.parametrize("kind", POINTS)
def test_a_node_is_a_point_of_its_kind(kind, one_of_each):
    assert {"": "There"} in list(one_of_each.tables[kind, POINT].names)


def test_every_key_that_is_asked_for_is_a_column():
    conf = Path(schema_osm.__file__).with_name("osmconf.ini").read_text()
    columns = [line for line in conf.splitlines() if line.startswith("attributes=")][:3]
    rules = (*tags_osm.LINES, tags_osm.COVER, tags_osm.BUILDINGS, tags_osm.STANDING, tags_osm.PLACES, tags_osm.POIS)
    keys = {key for rule in rules for key, _ in rule}
    keys |= {"name", "layer", "bridge", "tunnel", "width", "est_width", "lanes", "height", "min_height", "ele", "area"}
    keys |= {"building:levels", "building:min_level", "roof:height", "roof:levels", "admin_level", "population"}
    keys |= {"capital", "religion", "service", "leaf_type", "water", "wetland", "sport", "footway", "maritime"}
    for line in columns:
        assert keys <= set(line.removeprefix("attributes=").split(","))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"highway": "residential"}, {(K.STREET, LINE)}),
        ({"highway": "pedestrian"}, {(K.STREET, LINE)}),
        ({"highway": "pedestrian", "area": "yes"}, {(K.SQUARE, AREA)}),
        ({"barrier": "wall"}, {(K.WALL, LINE)}),
        ({"barrier": "wall", "landuse": "cemetery"}, {(K.WALL, LINE), (K.CEMETERY, AREA)}),
        ({"landuse": "grass", "area": "no"}, set()),
        ({"aeroway": "taxiway"}, {(K.TAXIWAY, LINE)}),
        ({"building": "yes", "amenity": "school"}, {(K.BUILDING, AREA)}),
        ({"building": "no", "landuse": "grass"}, {(K.GRASS, AREA)}),
        ({"amenity": "parking", "parking": "underground"}, set()),
        ({"railway": "construction"}, set()),
        ({"waterway": "riverbank"}, {(K.WATER, AREA)}),
        ({"place": "square"}, {(K.SQUARE, AREA)}),
        ({"natural": "tree_row"}, {(K.TREE_ROW, LINE)}),
    ],
)
def test_a_closed_way_is_area_or_line_by_its_tags(tags, expected, tmp_path):
    osm = Osm()
    osm.way(RING, **tags)
    osm.way([(2.0, 2.0), (2.1, 2.0)], railway="rail")
    assert kinds(read(osm, tmp_path)) == expected | {(K.RAIL, LINE)}


def test_the_attributes_that_matter_are_read(tmp_path):
    osm = Osm()
    osm.way(RING, building="church", height="31.5 m", min_height="3")
    osm.way(square(1.1, 1.1, 0.001), building="yes", building__levels="4", roof__height="2")
    osm.way(square(1.2, 1.1, 0.001), building="yes", amenity="place_of_worship", religion="muslim")
    osm.way(ROAD, highway="primary", bridge="viaduct", layer="2", lanes="2")
    osm.way(ROAD, highway="track", tunnel="yes", width="12'")
    osm.way(ROAD, highway="path", bridge="no", layer="nonsense")
    osm.node((1, 1), natural="peak", name="Mont", ele="2942")
    atlas = read(osm, tmp_path)
    houses = atlas.tables[K.BUILDING, AREA]
    assert list(houses.detail) == ["church", "yes", "mosque"]
    np.testing.assert_allclose(houses.height, [31.5, 14.4, np.nan], rtol=1e-6)
    np.testing.assert_allclose(houses.base, [3, 0, 0])
    bridge = only(atlas, K.PRIMARY, LINE)
    assert (bridge.bridge[0], bridge.tunnel[0], bridge.layer[0], bridge.width[0]) == (True, False, 2, 6.5)
    tunnel = only(atlas, K.TRACK, LINE)
    assert (tunnel.bridge[0], tunnel.tunnel[0], tunnel.layer[0]) == (False, True, -1)
    assert tunnel.width[0] == pytest.approx(3.6576)
    path = only(atlas, K.PATH, LINE)
    assert (path.bridge[0], path.layer[0], np.isnan(path.width[0])) == (False, 0, True)
    assert only(atlas, K.PEAK, POINT).height[0] == 2942


def test_names_come_by_language(tmp_path):
    osm = Osm()
    names = {"name__el": "Αθήνα", "name__zh-Hant": "雅典", "name__left": "no", "old_name": "no", "name__etymology": "x"}
    osm.node((23.7, 38.0), place="city", name="Αθήνα", name__en='Athens "the great"', **names)
    osm.node((23.8, 38.0), place="village", name__en="Nowhere")
    table = read(osm, tmp_path).tables[K.PLACE, POINT]
    assert table.names[0] == {"": "Αθήνα", "en": 'Athens "the great"', "el": "Αθήνα", "zh-Hant": "雅典"}
    assert table.names[1] == {"": "Nowhere", "en": "Nowhere"}


@pytest.mark.parametrize(
    ("tags", "rank"),
    [
        ({"place": "city", "capital": "yes"}, 0), ({"place": "city", "population": "1500000"}, 0),
        ({"place": "city"}, 1), ({"place": "town"}, 2), ({"place": "suburb"}, 3), ({"place": "hamlet"}, 4),
        ({"place": "locality"}, 5), ({"place": "suburb", "capital": "yes"}, 3),
    ],
)  # fmt: skip
def test_places_have_six_ranks(tags, rank, tmp_path):
    osm = Osm()
    osm.node((1, 1), name="X", **tags)
    assert only(read(osm, tmp_path), K.PLACE, POINT).rank[0] == rank


def test_stations_come_before_shops_and_nameless_shops_not_at_all(tmp_path):
    osm = Osm()
    osm.node((1, 1), railway="station")
    osm.node((1, 2), shop="bakery", name="Brot")
    osm.node((1, 3), shop="bakery")
    table = read(osm, tmp_path).tables[K.POI, POINT]
    assert dict(zip(table.detail, table.rank, strict=True)) == {"station": 0, "bakery": 6}


def test_a_border_that_is_shared_is_drawn_once_at_its_highest_rank(tmp_path):
    osm = Osm()
    shared = osm.way([(1, 1), (1, 2)])
    left = osm.way([(1, 2), (0, 2), (0, 1), (1, 1)])
    right = osm.way([(1, 2), (2, 2), (2, 1), (1, 1)])
    common = {"type": "boundary", "boundary": "administrative"}
    osm.relation([(shared, "outer"), (left, "outer")], admin_level="8", **common)
    osm.relation([(shared, "outer"), (right, "outer")], admin_level="4", **common)
    table = read(osm, tmp_path).tables[K.BORDER, LINE]
    assert sum(shapely.length(table.geometry)) == pytest.approx(7)
    assert set(table.rank) == {4, 8}
    middle = shapely.Point(1, 1.5)
    assert [r for r, g in zip(table.rank, table.geometry, strict=True) if g.distance(middle) < 1e-9] == [4]


def test_holes_stay_and_islands_in_them_too(tmp_path):
    osm = Osm()
    lake = osm.way(square(0.0, 0.0, 1.0))
    island = osm.way(square(0.2, 0.2, 0.5), natural="wood")
    pond = osm.way(square(0.3, 0.3, 0.1))
    osm.relation([(lake, "outer"), (island, "inner"), (pond, "outer")], type="multipolygon", natural="water")
    water = only(read(osm, tmp_path), K.WATER, AREA).geometry[0]
    assert water.area == pytest.approx(1 - 0.25 + 0.01)


def test_a_lake_whose_tags_are_on_its_outer_way_keeps_its_island(tmp_path):
    osm = Osm()
    lake = osm.way(square(0.0, 0.0, 1.0), natural="water")
    island = osm.way(square(0.2, 0.2, 0.5))
    osm.relation([(lake, "outer"), (island, "inner")], type="multipolygon")
    assert only(read(osm, tmp_path), K.WATER, AREA).geometry[0].area == pytest.approx(0.75)


@pytest.mark.parametrize("ways", [1, 2, 3])
def test_a_broken_relation_never_floods(ways, tmp_path):
    corners = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]
    osm = Osm()
    parts = [osm.way(corners[i : i + 2]) for i in range(ways)]
    osm.relation([(p, "outer") for p in parts], type="multipolygon", natural="water")
    gone = osm.way([(3, 3), (4, 3)])
    osm.relation([(gone, "outer"), (999999, "outer")], type="multipolygon", natural="water")
    osm.node((0.5, 0.5), place="town", name="Dry")
    assert kinds(read(osm, tmp_path)) == {(K.PLACE, POINT)}


def test_node_ids_may_be_out_of_order(tmp_path):
    osm = Osm()
    osm.way(RING, building="yes")
    lines = osm.text().splitlines()
    nodes = [line for line in lines if line.startswith("<node")]
    rest = [line for line in lines if not line.startswith("<node")]
    path = tmp_path / "odd.osm"
    path.write_text("\n".join([*rest[:2], *reversed(nodes), *rest[2:]]))
    assert len(open_atlas([str(path)], cache=tmp_path / "c").tables[K.BUILDING, AREA]) == 1


def test_a_bow_tie_is_mended_and_two_point_ways_are_no_areas(tmp_path):
    osm = Osm()
    osm.way([(0, 0), (1, 1), (1, 0), (0, 1), (0, 0)], landuse="forest")
    osm.way([(5, 5), (6, 5), (5, 5)], building="yes")
    atlas = read(osm, tmp_path)
    assert only(atlas, K.WOOD, AREA).geometry[0].area == pytest.approx(0.5)
    assert (K.BUILDING, AREA) not in atlas.tables
    assert any("mended" in note for note in atlas.notes)


def test_a_place_that_is_mapped_twice_is_named_once_and_one_far_away_again(tmp_path):
    osm = Osm()
    osm.way(square(1.0, 1.0, 0.02), place="village", name="Ort")
    osm.node((1.01, 1.02), place="town", name="Ort")
    osm.node((2.0, 2.0), place="hamlet", name="Ort")
    osm.node((1.01, 1.0), place="hamlet", name="Weiler")
    assert sorted(read(osm, tmp_path).tables[K.PLACE, POINT].detail) == ["hamlet", "hamlet", "town"]


def test_attribution_is_osms(tmp_path):
    osm = Osm()
    osm.way(RING, building="yes")
    assert read(osm, tmp_path).attribution == "© OpenStreetMap contributors"
