import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from osm_builder import Osm, square

from mapstyle.frame import MAX_LATITUDE
from mapstyle.layers import LayerKind
from mapstyle.sources.atlas import Shape
from mapstyle.sources.sea import Sea, build_sea, shores_of_areas
from mapstyle.sources.store import open_atlas

DATA = (0.0, 0.0, 1.0, 1.0)
OCEAN = (LayerKind.OCEAN, Shape.AREA)
COAST = (LayerKind.COAST, Shape.LINE)


def build(*ways, data=DATA) -> Sea:
    lines = np.empty(len(ways), object)
    lines[:] = [shapely.LineString(w) for w in ways]
    return build_sea(lines, data)


def wet(sea: Sea, x: float, y: float) -> bool:
    return bool(shapely.union_all(sea.areas).contains(shapely.Point(x, y)))


def ring(x: float, y: float, radius: float, clockwise: bool = False) -> list[tuple[float, float]]:
    turn = np.linspace(0, 2 * np.pi, 24) * (-1 if clockwise else 1)
    points = [(x + radius * np.cos(t), y + radius * np.sin(t)) for t in turn[:-1]]
    return [*points, points[0]]


def test_land_lies_left_of_the_way():
    east, west = [(0.0, 0.5), (1.0, 0.5)], [(1.0, 0.5), (0.0, 0.5)]
    assert (wet(build(east), 0.5, 0.2), wet(build(east), 0.5, 0.8)) == (True, False)
    assert (wet(build(west), 0.5, 0.2), wet(build(west), 0.5, 0.8)) == (False, True)


def test_the_sea_goes_on_beyond_the_data_and_its_edge_is_no_shore():
    sea = build([(0.0, 0.5), (1.0, 0.5)])
    assert wet(sea, -0.2, 0.4)
    assert not wet(sea, 1.2, 0.6)
    assert [g.length for g in sea.shores] == [pytest.approx(1.0)]


def test_an_island_alone_lies_in_the_sea_and_a_lagoon_in_the_land():
    island, lagoon = build(ring(0.5, 0.5, 0.2)), build(ring(0.5, 0.5, 0.2, clockwise=True))
    assert (wet(island, 0.5, 0.5), wet(island, 0.1, 0.1)) == (False, True)
    assert (wet(lagoon, 0.5, 0.5), wet(lagoon, 0.1, 0.1)) == (True, False)


def test_an_island_that_was_drawn_the_wrong_way_round_is_still_land():
    sea = build([(0.0, 0.5), (1.0, 0.5)], ring(0.5, 0.2, 0.1, clockwise=True))
    assert (wet(sea, 0.5, 0.2), wet(sea, 0.1, 0.2), wet(sea, 0.5, 0.8)) == (False, True, False)


def test_a_way_that_is_turned_round_in_the_middle_of_a_coast_floods_nothing():
    sea = build([(0.0, 0.5), (0.4, 0.5)], [(0.6, 0.5), (0.4, 0.5)], [(0.6, 0.5), (1.0, 0.5)])
    assert (wet(sea, 0.5, 0.2), wet(sea, 0.5, 0.8)) == (True, False)


def test_a_gap_is_bridged_and_said():
    sea = build([(0.0, 0.5), (0.45, 0.5)], [(0.5, 0.52), (1.0, 0.5)])
    assert sea.joined == 1
    assert (wet(sea, 0.47, 0.4), wet(sea, 0.47, 0.6)) == (True, False)


def test_a_coast_that_ends_inside_the_data_floods_nothing_inland():
    sea = build([(0.0, 0.5), (0.7, 0.5)])
    assert (wet(sea, 0.3, 0.2), wet(sea, 0.3, 0.8)) == (True, False)


def test_without_coast_there_is_no_sea():
    assert build().areas == []


@given(
    heights=st.lists(st.floats(0.3, 0.7), min_size=4, max_size=20),
    missing=st.sets(st.integers(0, 16), max_size=5),
)
@settings(max_examples=40)
def test_a_coast_with_ways_missing_keeps_sea_and_land_apart(heights, missing):
    x = np.linspace(0.0, 1.0, len(heights))
    points = list(zip(x, heights, strict=True))
    last = len(points) - 2
    ways = [points[i : i + 2] for i in range(last + 1) if i in (0, last) or i not in missing]
    sea = build(*ways)
    at = np.linspace(0.01, 0.99, 25)
    assert all(wet(sea, x, 0.15) and not wet(sea, x, 0.85) for x in at)


def test_the_antimeridian_and_the_limits_of_latitude_are_no_shores():
    top = MAX_LATITUDE
    antarctica = shapely.Polygon([(-180, -top), (180, -top), (180, -70), (0, -75), (-180, -70)])
    ocean = shapely.difference(shapely.box(-180, -top, 180, top), antarctica)
    lines = shores_of_areas(np.array([ocean], object), (-180.0, -top, 180.0, top))
    assert sum(g.length for g in lines) == pytest.approx(2 * np.hypot(180, 5))


def test_coast_that_closes_itself_along_the_antimeridian_is_cut_there():
    way = [(180.0, 60.0), (180.0, 70.0), (170.0, 70.0), (170.0, 60.0), (180.0, 60.0)]
    sea = build(way, data=(165.0, 55.0, 180.0, 75.0))
    assert not wet(sea, 175.0, 65.0)
    assert wet(sea, 168.0, 65.0)
    assert sum(g.length for g in sea.shores) == pytest.approx(30.0)


def test_a_file_with_coastlines_gets_its_sea_and_a_closed_one_is_an_island(tmp_path):
    osm = Osm()
    osm.way([(0.0, 0.5), (0.5, 0.45)], natural="coastline")
    osm.way([(0.5, 0.45), (1.0, 0.5)], natural="coastline")
    osm.way(square(0.2, 0.2, 0.1), natural="coastline", place="island", name="Rock")
    osm.way([(0.0, 0.9), (1.0, 1.0)], highway="primary")
    atlas = open_atlas([str(osm.write(tmp_path / "bay.osm"))], cache=tmp_path)
    ocean = shapely.union_all(atlas.tables[OCEAN].geometry)
    inside = [ocean.contains(shapely.Point(*p)) for p in ((0.5, 0.1), (0.25, 0.25), (0.5, 0.6), (0.5, 0.95))]
    assert inside == [True, False, False, False]
    assert len(atlas.tables[COAST]) == 2
    assert atlas.bounds == (0.0, 0.2, 1.0, 1.0)


def test_an_inland_file_has_no_sea(tmp_path):
    osm = Osm()
    osm.way(square(0.2, 0.2, 0.1), natural="water")
    atlas = open_atlas([str(osm.write(tmp_path / "lake.osm"))], cache=tmp_path)
    assert OCEAN not in atlas.tables
    assert COAST not in atlas.tables


@pytest.mark.parametrize(
    ("what", "lon", "lat", "sea"),
    [
        ("Port Hercule", 7.4245, 43.7345, True), ("the Rock", 7.4200, 43.7310, False),
        ("the palace", 7.4198, 43.7313, False), ("the open sea", 7.4400, 43.7200, True),
        ("the hills", 7.4100, 43.7450, False), ("Port de Fontvieille", 7.4215, 43.7293, True),
        ("Fontvieille", 7.4165, 43.7275, False), ("Larvotto", 7.4318, 43.7460, False),
        ("far out", 7.5, 43.55, True), ("Cap-d'Ail", 7.4000, 43.7260, False),
    ],
)  # fmt: skip
def test_monaco_is_dry_and_its_harbour_wet(what, lon, lat, sea, monaco):
    ocean = shapely.union_all(monaco.tables[OCEAN].geometry)
    assert ocean.contains(shapely.Point(lon, lat)) == sea


@pytest.fixture(scope="module")
def monaco(shared_data, tmp_path_factory):
    return open_atlas([str(shared_data / "monaco.osm.gz")], cache=tmp_path_factory.mktemp("monaco"))


def test_monaco_without_any_one_way_of_its_coast_floods_nothing(monaco, shared_data):
    from mapstyle.sources.archives import unpacked
    from mapstyle.sources.reader import read_layers

    file = shared_data / "monaco.osm.gz"
    with unpacked(file, file.name) as (plain,):
        raw = next(layer for layer in read_layers(plain, file.name, "lines"))
    ways = raw.geometry[raw.column("natural").any_of(["coastline"])]
    whole = shapely.union_all(monaco.tables[OCEAN].geometry)
    land = [shapely.Point(*p) for p in ((7.41, 43.745), (7.4216, 43.7395), (7.4145, 43.734), (7.4, 43.75))]
    for i in range(len(ways)):
        sea = build_sea(np.delete(ways, i), (7.405, 43.722, 7.442, 43.752))
        flooded = shapely.union_all(sea.areas)
        assert not any(flooded.contains(p) for p in land)
        assert flooded.contains(shapely.Point(7.45, 43.72))
        assert (
            shapely.symmetric_difference(flooded, whole).intersection(shapely.box(7.40, 43.72, 7.44, 43.75)).area < 2e-4
        )
