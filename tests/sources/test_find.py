"""Places are found by name, however carelessly it is typed."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from mapstyle.errors import ExtentError
from mapstyle.layers import LayerKind
from mapstyle.sources.atlas import Atlas, FeatureTable, Shape
from mapstyle.sources.find import find_place, simplified

K = LayerKind


def table(kind, features):
    """Make a table of (geometry, names, rank, detail)."""
    count = len(features)
    geometry = np.array([f[0] for f in features], object)
    shape = (Shape.POINT, Shape.LINE, Shape.AREA)[shapely.get_dimensions(geometry[0])]
    nothing = np.full(count, np.nan, np.float32)
    names = np.array([f[1] for f in features] + [None], object)[:-1]
    return (kind, shape), FeatureTable(
        kind=kind,
        shape=shape,
        geometry=geometry,
        ids=np.arange(count, dtype=np.uint64),
        rank=np.array([f[2] for f in features], np.int16),
        layer=np.zeros(count, np.int8),
        bridge=np.zeros(count, np.bool_),
        tunnel=np.zeros(count, np.bool_),
        width=nothing,
        height=nothing,
        base=nothing,
        detail=np.array([f[3] for f in features] + [None], object)[:-1],
        names=names,
    )


def atlas(*tables):
    kept = dict(tables)
    shapes = np.concatenate([t.geometry for t in kept.values()])
    return Atlas(kept, "", tuple(shapely.total_bounds(shapes)), "")


def point(lon, lat):
    return shapely.Point(lon, lat)


def line(*coords):
    return shapely.LineString(coords)


@pytest.fixture(scope="module")
def town():
    places = [
        (point(10.00, 50.00), {"": "Wien", "en": "Vienna", "el": "Βιέννη", "ru": "Вена", "ar": "فيينا"}, 0, "city"),
        (point(10.10, 50.05), {"": "Neustadt"}, 2, "town"),
        (point(10.20, 50.10), {"": "Neustadt"}, 4, "hamlet"),
        (point(10.05, 50.02), {"": "Groß-Ötzing", "fr": "Œtzing-le-Château"}, 3, "village"),
        (point(10.15, 50.02), {"": "Hinterberg"}, 4, "hamlet"),
        (point(10.18, 50.08), {"": "Hinterberg"}, 4, "hamlet"),
        (point(10.02, 50.01), {}, 5, "farm"),
        (point(10.03, 50.09), {"": "東京都"}, 3, "village"),
    ]
    streets = [
        (line((10.000, 50.001), (10.002, 50.001)), {"": "Hauptstraße"}, 0, "residential"),
        (line((10.002, 50.001), (10.004, 50.002)), {"": "Hauptstraße"}, 0, "residential"),
        (line((10.100, 50.051), (10.103, 50.051)), {"": "Hauptstraße"}, 0, "residential"),
        (line((10.001, 50.003), (10.001, 50.006)), {"": "Rue de l’Église"}, 0, "residential"),
    ]
    lake = shapely.box(10.06, 50.06, 10.08, 50.07)
    return atlas(
        table(K.PLACE, places),
        table(K.STREET, streets),
        table(K.WATER, [(lake, {"": "Wiener See", "en": "Lake Wien"}, 0, "lake")]),
        table(K.POI, [(point(10.1001, 50.0501), {"": "Neustadt"}, 0, "station")]),
        table(K.BORDER, [(line((9, 49), (11, 51)), {"": "Neustadt"}, 2, "")]),
    )


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("Wien", "Wien"),
        ("  wIEN ", "Wien"),
        ("vienna", "Wien (Vienna)"),
        ("Вена", "Wien (Вена)"),
        ("ΒΙΕΝΝΗ", "Wien (Βιέννη)"),
        ("فيينا", "Wien (فيينا)"),
        ("Gross Oetzing", "Groß-Ötzing"),
        ("GROSS-OTZING", "Groß-Ötzing"),
        ("oetzing le chateau", "Groß-Ötzing (Œtzing-le-Château)"),
        ("Gros-Ötzink", "Groß-Ötzing"),
        ("rue de l'eglise", "Rue de l’Église"),
        ("Hauptstr.", "Hauptstraße"),
        ("wiener", "Wiener See"),
        ("東京", "東京都"),
    ],
)
def test_forgiving_spelling_in_every_language(town, typed, found):
    assert find_place(town, typed)[0].name == found


def test_exact_beats_prefix_and_importance_breaks_ties(town):
    exact, beginning = find_place(town, "Wien")
    assert (exact.kind, beginning.kind) == ("city", "lake")
    assert exact.score > beginning.score
    kinds = [(h.kind, round(h.lon, 2)) for h in find_place(town, "neustadt")]
    assert kinds == [("town", 10.1), ("hamlet", 10.2), ("station", 10.1)]


def test_equally_good_hits_are_all_listed(town):
    first, second = find_place(town, "Hinterberg")
    assert first.score == second.score
    assert first.lon != second.lon


def test_the_ways_of_a_street_are_one_hit_and_another_street_is_another(town):
    hits = find_place(town, "Hauptstraße")
    assert [h.kind for h in hits] == ["street", "street"]
    assert len(hits) == 2
    west, south, east, north = min(hits, key=lambda h: h.lon).bounds
    assert west < 10.000
    assert east > 10.004
    assert south < 50.001 < 50.002 < north
    assert east < 10.05


def test_extents_suit_what_was_found(town):
    city, lake = find_place(town, "Wien")[0], find_place(town, "Wiener See")[0]
    assert city.bounds[0] <= city.lon <= city.bounds[2]
    assert city.bounds[1] <= city.lat <= city.bounds[3]
    west, south, east, north = lake.bounds
    assert 10.04 < west < 10.06 < 10.08 < east < 10.1
    assert 50.05 < south < 50.06 < 50.07 < north < 50.08
    for hit in find_place(town, "Neustadt"):
        assert hit.bounds[2] - hit.bounds[0] > 0.001


def test_nothing_near_names_the_nearest(town):
    with pytest.raises(ExtentError, match=r"^No place like 'Neuhausen' in the data\. Nearest: .*Neustadt.*\.$"):
        find_place(town, "Neuhausen")


@pytest.mark.parametrize("typed", ["", "   ", "--"])
def test_an_empty_name_is_no_name(town, typed):
    with pytest.raises(ExtentError, match="needs a name"):
        find_place(town, typed)


def test_data_without_names_says_so():
    with pytest.raises(ExtentError, match="no names"):
        find_place(atlas(table(K.PLACE, [(point(1, 2), {}, 0, "city")])), "Wien")


def test_a_city_on_a_world_map_is_shown_with_its_surroundings():
    cities = [(point(-180 + 3.5 * i, (37 * i) % 120 - 60), {"": f"City {i}"}, 1, "city") for i in range(100)]
    hit = find_place(atlas(table(K.PLACE, cities)), "City 50")[0]
    assert hit.name == "City 50"
    assert hit.bounds[3] - hit.bounds[1] > 5


@given(st.text(max_size=20))
def test_simplifying_twice_changes_nothing(text):
    once = simplified(text)
    assert simplified(once) == once


@pytest.mark.parametrize(
    ("file", "typed", "kind", "lon", "lat"),
    [
        ("monaco.osm.gz", "montecarlo", "suburb", 7.425, 43.739),
        ("monaco.osm.gz", "bd albert 1er", "street", 7.422, 43.735),
        ("north-bayreuth.osm.gz", "roter main", "river", 11.507, 49.998),
        ("andorra.osm.pbf", "Андорра-ла-Велья", "town", 1.521, 42.507),
        ("andorra.osm.pbf", "pic de coma pedrosa", "peak", 1.444, 42.592),
        ("natural_earth_50m.gpkg", "Лондон", "admin-0 capital", -0.119, 51.502),
        ("natural_earth_50m.gpkg", "lac ladoga", "lake", 31.4, 60.8),
        ("world_names.geojson", "αθηνα", "city", 23.727, 37.984),
    ],
)
def test_real_places(shared_data, tmp_path_factory, file, typed, kind, lon, lat):
    from mapstyle.sources.store import open_atlas

    cache = tmp_path_factory.getbasetemp() / "find-cache"
    hit = find_place(open_atlas([str(shared_data / file)], cache), typed)[0]
    assert (hit.kind, hit.lon, hit.lat) == (
        kind,
        pytest.approx(lon, abs=0.06),
        pytest.approx(lat, abs=0.06),
    )
