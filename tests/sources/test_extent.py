"""With no extent given, a map shows the part where the data is dense."""

import numpy as np
import pytest
import shapely

from mapstyle.errors import ExtentError
from mapstyle.layers import LayerKind
from mapstyle.sources.atlas import Atlas, FeatureTable, Shape
from mapstyle.sources.extent import dense_bounds

K = LayerKind


def atlas(*groups):
    """Make an atlas of (kind, geometries)."""
    tables = {}
    for kind, shapes in groups:
        count = len(shapes)
        geometry = np.array([*shapes, None], object)[:-1]
        shape = (Shape.POINT, Shape.LINE, Shape.AREA)[shapely.get_dimensions(geometry[0])]
        numbers = {n: np.zeros(count, np.float32) for n in ("width", "height", "base")}
        flags = {n: np.zeros(count, np.bool_) for n in ("bridge", "tunnel")}
        objects = {n: np.array([""] * count, object) for n in ("detail", "names")}
        tables[kind, shape] = FeatureTable(
            kind=kind,
            shape=shape,
            geometry=geometry,
            ids=np.arange(count, dtype=np.uint64),
            rank=np.zeros(count, np.int16),
            layer=np.zeros(count, np.int8),
            **numbers,
            **flags,
            **objects,
        )
    shapes = [t.geometry for t in tables.values()]
    bounds = tuple(shapely.total_bounds(np.concatenate(shapes))) if shapes else (0, 0, 0, 0)
    return Atlas(tables, "", bounds, "")


def houses(west, south, side, count, seed=1):
    corners = np.random.default_rng(seed).random((count, 2)) * side + (west, south)
    return [shapely.box(x, y, x + 1e-4, y + 1e-4) for x, y in corners]


def road(start, end, vertices=60):
    return shapely.LineString(np.linspace(start, end, vertices))


def covers(outer, inner):
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def test_roads_that_run_away_are_cut():
    town = houses(7.0, 43.0, 0.05, 1500)
    away = [road((7.02, 43.02), (7.9, 43.3)), road((7.01, 43.01), (6.4, 42.9)), road((7.03, 43.0), (7.03, 42.5))]
    found = dense_bounds(atlas((K.BUILDING, town), (K.PRIMARY, away), (K.BORDER, [road((6, 42), (8, 44), 5000)])))
    assert covers(found, (7.001, 43.001, 7.049, 43.049))
    assert covers((6.99, 42.99, 7.062, 43.062), found)


def test_two_towns_of_one_extract_are_both_shown():
    towns = houses(7.0, 43.0, 0.05, 900), houses(7.12, 43.03, 0.03, 500, seed=2)
    found = dense_bounds(atlas((K.BUILDING, [*towns[0], *towns[1]]), (K.PRIMARY, [road((7, 43), (9, 45))])))
    assert covers(found, (7.002, 43.002, 7.147, 43.057))
    assert found[2] < 7.2


def test_a_stray_on_the_other_side_of_the_world_changes_nothing():
    town = houses(7.0, 43.0, 0.05, 1500)
    stray = [shapely.box(-120, -30, -119.9, -29.9)]
    alone, with_stray = dense_bounds(atlas((K.BUILDING, town))), dense_bounds(atlas((K.BUILDING, town + stray)))
    assert np.abs(np.subtract(alone, with_stray)).max() < 0.002


def test_even_data_is_shown_whole():
    fields = [
        shapely.box(x, y, x + 0.9, y + 0.9) for x in np.arange(10.0, 40.0, 1.0) for y in np.arange(40.0, 60.0, 1.0)
    ]
    data = atlas((K.FARMLAND, fields))
    assert dense_bounds(data) == data.bounds


@pytest.mark.parametrize("count", [1, 2, 40])
def test_little_data_is_shown_whole(count):
    data = atlas((K.PLACE, [shapely.Point(10 + i, 50 + (7 * i) % 11) for i in range(count)]))
    assert dense_bounds(data) == pytest.approx(data.bounds)


def test_borders_alone_are_data_too():
    data = atlas((K.BORDER, [road((1, 2), (3, 4))]))
    assert dense_bounds(data) == pytest.approx(data.bounds)


def test_no_data_says_so():
    with pytest.raises(ExtentError, match="no features"):
        dense_bounds(Atlas({}, "", (0, 0, 0, 0), ""))


def test_order_decides_nothing():
    town, more = houses(7.0, 43.0, 0.05, 700), houses(7.02, 43.01, 0.02, 700, seed=3)
    assert dense_bounds(atlas((K.BUILDING, town + more))) == dense_bounds(atlas((K.BUILDING, more[::-1] + town[::-1])))


@pytest.mark.parametrize(
    ("file", "shown", "within"),
    [
        ("monaco.osm.gz", (7.412, 43.726, 7.439, 43.750), (7.40, 43.715, 7.445, 43.7544)),
        ("north-bayreuth.osm.gz", (11.485, 49.97, 11.61, 50.045), (11.45, 49.945, 11.64, 50.065)),
        ("andorra.osm.pbf", (1.42, 42.435, 1.74, 42.65), (1.38, 42.40, 1.817, 42.72)),
        ("natural_earth_50m.gpkg", (-179, -58, 179, 82), (-180, -85.06, 180, 85.06)),
    ],
)
def test_real_extracts(shared_data, tmp_path_factory, file, shown, within):
    from mapstyle.sources.store import open_atlas

    cache = tmp_path_factory.getbasetemp() / "extent-cache"
    found = dense_bounds(open_atlas([str(shared_data / file)], cache))
    assert covers(found, shown)
    assert covers(within, found)
