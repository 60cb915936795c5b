"""Real places come out true: probes find what is there, and small things lie where they are."""

import json

import numpy as np
import pytest

from mapstyle.choice import EngineChoice, choose_engine
from mapstyle.controls import ControlDrawer
from mapstyle.frame import Frame, Grid
from mapstyle.image import PLANES, Scene
from mapstyle.job import Data
from mapstyle.layers import LandClass
from mapstyle.levels import Levels
from mapstyle.pipeline import Pipeline, Words
from mapstyle.sources.elevation import Elevation
from mapstyle.sources.level_index import LevelIndex
from mapstyle.sources.store import open_atlas
from mapstyle.style import find_styles, load_style, packaged

MONACO = {
    "Port Hercule": (7.4245, 43.7345, "sea"),
    "the sea off Larvotto": (7.4420, 43.7400, "sea"),
    "Le Rocher": (7.4222, 43.7316, "land"),
    "the hills above": (7.4100, 43.7450, "land"),
    "the casino": (7.42864, 43.73937, "building"),
    "the oceanographic museum": (7.42553, 43.73068, "building"),
    "Plage du Larvotto": (7.43319, 43.74594, "beach"),
    "Parc de la Roseraie": (7.41908, 43.72664, "park"),
    "the cemetery": (7.41157, 43.72902, "cemetery"),
    "Boulevard Charles III": (7.41638, 43.73112, "road"),
}
BAYREUTH = {
    "Harsdorfer Weiher": (11.54702, 50.03149, "water"),
    "the great wood": (11.47051, 49.98291, "wood"),
    "a meadow": (11.54258, 49.99524, "meadow"),
    "a field": (11.57263, 49.98777, "farmland"),
    "the Roter Main": (11.50929, 49.98931, "river"),
    "the sand pit": (11.54158, 50.0069, "quarry"),
    "a pitch": (11.59539, 49.9825, "pitch"),
    "the works": (11.60414, 49.97085, "industrial"),
    "Schloss Neudrossenfeld": (11.50303, 50.01544, "building"),
    "no sea anywhere": (11.53, 50.02, "dry"),
}
ANDORRA = {
    "Estany Primer de Juclar": (1.71879, 42.61022, "water"),
    "Llac d'Engolasters": (1.56821, 42.51975, "water"),
    "a great wood": (1.4245, 42.5069, "wood"),
    "rock": (1.5912, 42.60584, "rock"),
    "the great pitch": (1.49166, 42.62474, "pitch"),
    "a field": (1.5059, 42.49731, "farmland"),
    "the quarry": (1.57644, 42.53119, "quarry"),
    "Parc at Sant Julià": (1.50395, 42.44292, "park"),
    "Coma Pedrosa is high": (1.44367, 42.5918, "above 2700"),
    "Andorra la Vella lies low": (1.52125, 42.50694, "below 1150"),
}
WORLD = {
    "the Atlantic": (-30.0, 30.0, "sea"),
    "the Pacific at the date line": (179.9, -5.0, "sea"),
    "the other side of it": (-179.9, -5.0, "sea"),
    "the Mediterranean": (18.0, 35.0, "sea"),
    "the North Pole": (0.0, 84.9, "sea"),
    "the South Pole": (0.0, -84.9, "land"),
    "the Sahara": (10.0, 23.0, "land"),
    "Siberia": (100.0, 62.0, "land"),
    "Lake Superior": (-87.5, 47.7, "water"),
    "Madagascar": (46.5, -19.5, "land"),
}
TOWN = {
    "the harbour": (3.8940, 54.5895, "sea"),
    "the Silver Ey": (3.89395, 54.6006, "water"),
    "the swan pond": (3.90507, 54.60085, "water"),
    "Mirror Mere": (3.8688, 54.6175, "water"),
    "St Brendan's": (3.89016, 54.59785, "building"),
    "Dogger Keep": (3.88841, 54.59786, "building"),
    "Queen's Park": (3.90290, 54.60150, "park"),
    "Long Strand": (3.9210, 54.59450, "land"),
    "Lamp Island": (3.91600, 54.58570, "land"),
    "Old Snow": (3.86300, 54.61310, "glacier"),
}
PLACES = {
    "monaco": (["monaco.osm.gz"], 16, MONACO),
    "bayreuth": (["north-bayreuth.osm.gz"], 16, BAYREUTH),
    "andorra": (["andorra.osm.pbf", "N42E001.hgt.zip"], 15, ANDORRA),
    "world": (["natural_earth_50m.gpkg"], 5, WORLD),
    "town": (None, 16, TOWN),
}


@pytest.fixture(scope="session")
def opened(tmp_path_factory):
    cache = tmp_path_factory.mktemp("places")
    known: dict[str, Data] = {}

    def give(place: str, request) -> Data:
        if place not in known:
            sources = PLACES[place][0]
            if sources is None:
                folder = packaged("sample_data")
                sources = json.loads((folder / "views.json").read_text())["sources"]
            else:
                folder = request.getfixturevalue("shared_data")
            atlas = open_atlas([str(folder / s) for s in sources], cache)
            known[place] = Data(atlas, Elevation.open(atlas.elevation, cache) if atlas.elevation else None)
        return known[place]

    return give


def is_there(scene: Scene, what: str, row: int, column: int) -> bool:
    def covered(plane: str, least: int = 100) -> bool:
        return bool(scene.plane(plane)[row, column] > least)

    if what == "sea":
        return covered("ocean")
    if what == "water":
        return covered("water_area") and not covered("ocean")
    if what == "river":
        return covered("water_line") or covered("water_area")
    if what == "dry":
        return not scene.plane("ocean").any()
    if what == "land":
        return not covered("water_area")
    if what in ("building", "road"):
        return covered(what)
    if what.startswith("above"):
        return bool(scene.plane("elevation")[row, column] > int(what.split()[1]))
    if what.startswith("below"):
        return bool(0 < scene.plane("elevation")[row, column] < int(what.split()[1]))
    return bool(scene.plane("landcover")[row, column] == LandClass[what.upper()])


@pytest.mark.parametrize("place", PLACES)
def test_probes_find_what_is_there(place, opened, request):
    data = opened(place, request)
    _, level, probes = PLACES[place]
    assert len(probes) == 10
    grid = Grid.web_mercator(level)
    drawer = ControlDrawer(LevelIndex.build(data.atlas, grid, data.elevation, None), Levels())
    wrong = []
    for name, (lon, lat, what) in probes.items():
        x, y = grid.project(np.array([[lon, lat]]))[0]
        frame = Frame(grid, int(x) - 8, int(y) - 8, 17, 17)
        scene = drawer.scene(frame, PLANES.keys() - {"calm"})
        if not is_there(scene, what, 8, 8):
            wrong.append(f"{name}: no {what}")
    assert not wrong


@pytest.mark.parametrize("style", sorted(find_styles()))
@pytest.mark.parametrize("place", PLACES)
def test_every_place_renders_in_every_style(place, style, opened, request):
    data = opened(place, request)
    _, level, probes = PLACES[place]
    grid = Grid.web_mercator(level)
    look = load_style(style)
    spec, _ = choose_engine(look, EngineChoice.PAINTER)
    pipeline = Pipeline(LevelIndex.build(data.atlas, grid, data.elevation, None), look, spec)
    lon, lat, _ = next(iter(probes.values()))
    x, y = grid.project(np.array([[lon, lat]]))[0]
    image = pipeline.render(Frame(grid, int(x) - 150, int(y) - 130, 300, 260)).image
    assert image.rgba.shape == (260, 300, 4)
    assert (image.rgba[..., 3] == 255).all()
    assert image.rgba[..., :3].astype(float).std() > 3


# --- registration: what is taken away is seen where it was -----------------------------------------------------------

SMALL = {
    "a building": ("building", {"type": "Polygon", "coordinates": [[[0, 0], [12, 0], [12, 9], [0, 9], [0, 0]]]}),
    "a pond": ("natural", {"type": "Polygon", "coordinates": [[[0, 0], [16, 2], [18, 14], [4, 15], [0, 0]]]}),
    "a street": ("highway", {"type": "LineString", "coordinates": [[0, 0], [26, 9]]}),
    "a pitch": ("leisure", {"type": "Polygon", "coordinates": [[[0, 0], [20, 0], [20, 14], [0, 14], [0, 0]]]}),
    "a car park": ("amenity", {"type": "Polygon", "coordinates": [[[0, 0], [24, 3], [20, 22], [3, 20], [0, 0]]]}),
}
VALUES = {"building": "yes", "natural": "water", "highway": "residential", "leisure": "pitch", "amenity": "parking"}


@pytest.mark.parametrize("what", SMALL)
def test_a_small_thing_moves_only_pixels_where_it_is(what, tmp_path):
    import shapely

    key, shape = SMALL[what]
    lon0, lat0 = 11.5, 50.0
    metre = np.array([1 / (111_320 * np.cos(np.radians(lat0))), 1 / 111_320])

    def there(points):
        return [[float(lon0 + x * metre[0]), float(lat0 + y * metre[1])] for x, y in points]

    coordinates = shape["coordinates"]
    placed = {**shape, "coordinates": there(coordinates) if shape["type"] == "LineString" else [there(coordinates[0])]}
    meadow = {
        "type": "Polygon",
        "coordinates": [there([(-400, -400), (400, -400), (400, 400), (-400, 400), (-400, -400)])],
    }
    rows = [{"type": "Feature", "properties": {"landuse": "meadow"}, "geometry": meadow}]
    thing = {"type": "Feature", "properties": {key: VALUES[key]}, "geometry": placed}
    grid = Grid.web_mercator(18)
    look = load_style(
        "watercolour",
        ["painter.brushes.shadows.strength=0"] if "shadows" in load_style("watercolour").painter.brushes else [],
    )
    spec, _ = choose_engine(look, EngineChoice.PAINTER)
    x, y = grid.project(np.array([[lon0, lat0]]))[0]
    frame = Frame(grid, int(x) - 100, int(y) - 140, 240, 240)
    pictures = []
    for name, features in (("without", rows), ("with", [*rows, thing])):
        path = tmp_path / f"{name}.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        layers = LevelIndex.build(open_atlas([str(path)], tmp_path), grid, None, None)
        pipeline = Pipeline(layers, look, spec, words=Words.NONE)
        pipeline.plain = None  # without the thing there is nothing for a long way, and plain ground repeats there
        pictures.append(pipeline.render(frame).image.rgba.astype(float))
    moved = np.abs(pictures[1] - pictures[0]).sum(axis=2)
    weight = np.minimum(moved, 40.0)
    assert 0 < (weight > 0).mean() < 0.2, "nothing changes but what lies about it"
    rows_at, columns_at = np.mgrid[0:240, 0:240]
    seen = np.array([((columns_at + 0.5) * weight).sum(), ((rows_at + 0.5) * weight).sum()]) / weight.sum()
    true_shape = shapely.geometry.shape(placed)
    pixels = grid.project(shapely.get_coordinates(true_shape)) - [frame.column, frame.row]
    projected = shapely.LineString(pixels) if shape["type"] == "LineString" else shapely.Polygon(pixels)
    true = np.array([projected.centroid.x, projected.centroid.y])
    assert np.abs(seen - true).max() < 1.0, (seen, true)
