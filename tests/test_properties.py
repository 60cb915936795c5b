"""The map is a function of the ground: any two frames agree to the bit where they overlap."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mapstyle import pipeline as line
from mapstyle.choice import EngineChoice, choose_engine
from mapstyle.engines.painter import recipe
from mapstyle.frame import Frame, Grid
from mapstyle.job import Data, Extent
from mapstyle.pipeline import EdgeLabels, Pipeline
from mapstyle.sources.elevation import Elevation
from mapstyle.sources.level_index import LevelIndex
from mapstyle.sources.store import open_atlas
from mapstyle.style import load_style, packaged

STYLES = ("watercolour", "pen-and-ink", "model-railway")
SIDE = 560
BOX = st.tuples(st.integers(0, SIDE - 150), st.integers(0, SIDE - 150), st.integers(40, 150), st.integers(40, 150))


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def town(cache) -> Data:
    folder = packaged("sample_data")
    sources = json.loads((folder / "views.json").read_text())["sources"]
    atlas = open_atlas([str(folder / s) for s in sources], cache)
    return Data(atlas, Elevation.open(atlas.elevation, cache))


@pytest.fixture(scope="session")
def fiji(cache, tmp_path_factory) -> Data:
    """Islands, a road and names on both sides of the antimeridian."""

    def square(west, south, east, north):
        return {
            "type": "Polygon",
            "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
        }

    def feature(geometry, **properties):
        return {"type": "Feature", "properties": properties, "geometry": geometry}

    rows = [
        feature(square(179.6, -17.2, 180, -16.4), landuse="forest", name="Western Wood"),
        feature(square(-180, -17.2, -179.7, -16.4), landuse="farmland"),
        feature(square(179.2, -16.9, 179.5, -16.6), natural="water", name="Lake Dateline"),
        feature(
            {"type": "LineString", "coordinates": [[179.3, -16.8], [180, -16.75]]}, highway="primary", name="West Road"
        ),
        feature(
            {"type": "LineString", "coordinates": [[-180, -16.75], [-179.6, -16.7]]},
            highway="primary",
            name="East Road",
        ),
        feature({"type": "Point", "coordinates": [179.98, -16.8]}, place="city", name="Meridian City"),
        feature({"type": "Point", "coordinates": [-179.9, -17.0]}, place="town", name="Morrow"),
    ]
    path = tmp_path_factory.mktemp("fiji") / "fiji.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": rows}))
    return Data(open_atlas([str(path)], cache), None)


def pipeline_for(data: Data, grid: Grid, style: str, cache: Path, **more) -> Pipeline:
    look = load_style(style)
    spec, _ = choose_engine(look, EngineChoice.PAINTER)
    layers = LevelIndex.build(data.atlas, grid.at_ratio(1), data.elevation, cache)
    return Pipeline(layers, look, spec, **more)


def spot(data: Data, grid: Grid, lon: float, lat: float, side: int = SIDE) -> Frame:
    x, y = grid.project(np.array([[lon, lat]]))[0] * grid.pixel_ratio
    return Frame(grid, int(x) - side // 2 + 3, int(y) - side // 2 + 5, side, side)


PLACES = {
    "old town": (15, 1, 3.8925, 54.5972),
    "hills": (14, 1, 3.872, 54.612),
    "open sea": (15, 1, 3.94, 54.578),
    "edge of the data": (13, 1, 3.955, 54.627),
    "harbour @2x": (16, 2, 3.894, 54.5935),
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("place", PLACES)
def test_frames_agree_where_they_overlap(town, cache, style, place):
    level, ratio, lon, lat = PLACES[place]
    grid = Grid.web_mercator(level, ratio)
    pipeline = pipeline_for(town, grid, style, cache)
    whole = spot(town, grid, lon, lat)
    large = pipeline.render(whole).image

    @settings(max_examples=4, phases=[Phase.generate])
    @given(BOX)
    def agrees(box):
        part = Frame(grid, whole.column + box[0], whole.row + box[1], box[2], box[3])
        # A pipeline of its own: nothing may be owed to what was rendered before.
        fresh = pipeline_for(town, grid, style, cache)
        assert np.array_equal(fresh.render(part).image.rgba, large.crop(part).rgba)

    agrees()


@pytest.mark.parametrize("style", STYLES)
def test_blocks_equal_all_at_once(town, cache, style):
    grid = Grid.web_mercator(15)
    whole = spot(town, grid, 3.8925, 54.5972, 700)
    large = pipeline_for(town, grid, style, cache).render(whole).image
    for workers, size in ((2, 256), (1, 512)):
        for painted in pipeline_for(town, grid, style, cache).blocks(whole, workers, size):
            assert np.array_equal(painted.image.rgba, large.crop(painted.image.frame).rgba)


def test_negative_addresses(town, cache):
    # UTM rows are negative everywhere in the north; a shifted origin makes columns negative too.
    from dataclasses import replace

    grid = replace(Grid.metric("EPSG:32631", 3.0, 54.6), origin_x=800_000.0)
    pipeline = pipeline_for(town, grid, "watercolour", cache)
    whole = spot(town, grid, 3.8925, 54.5972)
    assert whole.end_column < 0
    assert whole.end_row < 0
    large = pipeline.render(whole).image
    assert len(np.unique(large.rgba[..., :3].reshape(-1, 3), axis=0)) > 1000
    for left, top in ((3, 350), (211, 97)):
        part = Frame(grid, whole.column + left, whole.row + top, 133, 90)
        fresh = pipeline_for(town, grid, "watercolour", cache)
        assert np.array_equal(fresh.render(part).image.rgba, large.crop(part).rgba)


@pytest.mark.parametrize("style", STYLES)
def test_the_antimeridian_is_no_seam(fiji, cache, style):
    grid = Grid.web_mercator(9)
    pipeline = pipeline_for(fiji, grid, style, cache)
    _, y = grid.project(np.array([[180.0, -16.8]]))[0]
    row = int(y) - 140
    west = pipeline.render(Frame(grid, grid.turn - 300, row, 500, 280)).image
    from_the_east = pipeline.render(Frame(grid, -170, row, 300, 280)).image
    assert np.array_equal(west.rgba[:, 130:430], from_the_east.rgba)
    plain = pipeline.render(Frame(grid, 0, row, 130, 280)).image
    assert np.array_equal(plain.rgba, west.rgba[:, 300:430])
    # Something lies on both sides, words too.
    labels = {label.text for label in pipeline.labels(Frame(grid, grid.turn - 300, row, 500, 280))}
    assert "Meridian City" in labels
    assert len(np.unique(west.rgba[:, 300:, :3].reshape(-1, 3), axis=0)) > 50


def test_labels_cross_frame_borders_whole(town, cache):
    grid = Grid.web_mercator(16)
    pipeline = pipeline_for(town, grid, "watercolour", cache)
    whole = spot(town, grid, 3.8925, 54.5972, 900)
    labels = pipeline.labels(whole)
    large = pipeline.render(whole).image
    tried = 0
    for label in labels:
        left, top, right, bottom = (int(v) for v in label.box)
        cut = Frame(grid, (left + right) // 2, top - 8, 120, bottom - top + 16)
        if whole.contains(cut) and right - left > 30:
            tried += 1
            assert np.array_equal(pipeline.render(cut).image.rgba, large.crop(cut).rgba)
        if tried == 5:
            break
    assert tried == 5


def test_dropping_cut_labels_moves_no_other(town, cache):
    grid = Grid.web_mercator(16)
    whole = spot(town, grid, 3.8925, 54.5972, 500)
    kept = pipeline_for(town, grid, "watercolour", cache)
    dropping = pipeline_for(town, grid, "watercolour", cache, edge_labels=EdgeLabels.DROP, sheet_frame=whole)
    left, top, right, bottom = whole.logical_box
    inside = [
        label for label in kept.labels(whole)
        if label.box[0] >= left and label.box[1] >= top and label.box[2] <= right and label.box[3] <= bottom
    ]  # fmt: skip
    assert [(a.text, a.box) for a in dropping.labels(whole)] == [(a.text, a.box) for a in inside]
    assert len(inside) < len(kept.labels(whole))


def disagree(pipeline_maker, whole: Frame, parts: list[Frame]) -> bool:
    large = pipeline_maker().render(whole).image
    one = pipeline_maker()
    return any(not np.array_equal(one.render(p).image.rgba, large.crop(p).rgba) for p in parts)


@pytest.fixture(scope="session")
def hall(cache, tmp_path_factory) -> Data:
    """A wood cut into strips: the hardest ground there is for whatever looks about itself."""
    metre = np.array([1 / (111_320 * np.cos(np.radians(54.6))), 1 / 111_320])

    def area(west, south, east, north, **properties):
        ring = [(west, south), (east, south), (east, north), (west, north), (west, south)]
        points = [[float(3.9 + x * metre[0]), float(54.6 + y * metre[1])] for x, y in ring]
        return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [points]}}

    rows = [area(-160, -160, 160, 160, landuse="forest")]
    rows += [area(x, -160, x + 0.36, 160, leisure="park") for x in np.arange(-150, 150, 1.05)]
    path = tmp_path_factory.mktemp("hall") / "strips.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": rows}))
    return Data(open_atlas([str(path)], cache), None)


@pytest.mark.parametrize(
    ("style", "ground", "level"),
    [("watercolour", "town", 16), ("pen-and-ink", "town", 18), ("model-railway", "hall", 18)],
)
def test_halving_the_engines_reach_is_noticed(style, ground, level, cache, monkeypatch, request):
    data = request.getfixturevalue(ground)
    grid = Grid.web_mercator(level)
    whole = spot(data, grid, 3.9, 54.6) if ground == "hall" else spot(data, grid, 3.8893, 54.5979, 700)
    parts = list(whole.align(64).pad(-64).pieces(64, 64))

    def maker():
        return pipeline_for(data, grid, style, cache)

    assert not disagree(maker, whole, parts[:9])
    true = recipe.PainterSpec.reach.func  # type: ignore[attr-defined]
    # With the usual alignment a small window is padded further than it asks for; washes work at half size too.
    monkeypatch.setattr(recipe, "ALIGN", 16 if style == "watercolour" else 2)
    monkeypatch.setattr(recipe.PainterSpec, "reach", property(lambda self: true(self) // 2))
    assert disagree(maker, whole, parts)


def test_halving_the_reach_of_halos_is_noticed(town, cache, monkeypatch):
    grid = Grid.web_mercator(16)
    whole = spot(town, grid, 3.8925, 54.5972, 600)
    maker = lambda: pipeline_for(town, grid, "watercolour", cache)  # noqa: E731
    label = next(a for a in maker().labels(whole) if whole.contains(Frame(grid, int(a.box[0]), int(a.box[1]), 60, 20)))
    left, top, right, bottom = (int(v) for v in label.box)
    parts = [Frame(grid, left + k, top, 40, max(8, bottom - top)) for k in range(0, max(1, right - left - 40), 7)]
    parts = [p for p in parts if whole.contains(p)]
    assert not disagree(maker, whole, parts)
    half = line.HALO_REACH // 2
    monkeypatch.setattr(line, "HALO_REACH", half)
    for module in ("draw", "halo"):
        monkeypatch.setattr(f"mapstyle.labels.{module}.HALO_REACH", half)
    assert disagree(maker, whole, parts)


def test_extents_only_choose_what_is_seen(town):
    # The same level from two extents is the same grid.
    from mapstyle.job import HowLarge, frame_for

    a = frame_for(Extent((3.88, 54.59, 3.90, 54.60)), HowLarge(zoom=15), town)
    b = frame_for(Extent((3.885, 54.592, 3.93, 54.61)), HowLarge(zoom=15), town)
    assert a.grid == b.grid
    assert a.intersection(b) is not None


class _Flat:
    """An engine that likes large fields, and counts its work."""

    name, reach, needs, images, block = "flat", 0, frozenset(), frozenset(), 128

    def identity(self):
        return "flat"

    def work(self, frame):
        return 1

    def overhead(self, frame):
        return 1.0

    def load(self, watch):
        self._watch = watch
        return self

    def paint(self, frame, view, seed):
        self._watch.step(1)
        rows, columns = np.mgrid[frame.row : frame.end_row, frame.column : frame.end_column]
        return np.stack([rows % 251, columns % 241, (rows ^ columns) % 239], 2).astype(np.uint8)


def test_an_engine_that_paints_fields_goes_on_after_a_run_that_was_given_up(town, cache):
    grid = Grid.web_mercator(15)
    whole = spot(town, grid, 3.8925, 54.5972, 400)
    data = pipeline_for(town, grid, "watercolour", cache)
    line_of = Pipeline(data.layers, data.style, _Flat(), words=line.Words.NONE)
    given_up = line_of.blocks(whole, size=64)
    next(given_up)
    given_up.close()
    alone = line_of.render(whole).image.rgba
    for part in line_of.blocks(whole, size=64):
        assert np.array_equal(part.image.rgba, alone[part.image.frame.slices(whole)])
    assert np.array_equal(line_of.render(whole).image.rgba, alone)
