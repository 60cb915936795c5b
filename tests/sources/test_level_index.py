"""A level index answers every frame from the same whole features."""

import pickle

import numpy as np
import pytest
import shapely
from atlas_builder import AT, GRID, atlas, degrees, everything, frame, named, table
from hypothesis import given, settings
from hypothesis import strategies as st

from mapstyle.frame import Frame, Grid
from mapstyle.layers import PER_FEATURE, LayerKind, LayerStack, RasterLayer
from mapstyle.sources import level_index
from mapstyle.sources.atlas import Shape
from mapstyle.sources.level_index import LevelIndex

K = LayerKind


def ground(seed: int = 5):
    rng = np.random.default_rng(seed)
    boxes = [shapely.box(x, y, x + w, y + h) for x, y, w, h in rng.uniform(3, 600, (40, 4))]
    lines = [shapely.LineString(rng.uniform(0, 900, (4, 2))) for _ in range(25)]
    trees = [shapely.Point(p) for p in rng.uniform(0, 900, (60, 2))]
    return atlas(
        table(K.WOOD, Shape.AREA, [degrees(b) for b in boxes[:20]], names=named(*["Wood"] * 20)),
        table(K.FARMLAND, Shape.AREA, [degrees(b) for b in boxes[20:]]),
        table(K.STREET, Shape.LINE, [degrees(g) for g in lines], names=named(*["Street"] * 25), rank=range(25)),
        table(K.TREE, Shape.POINT, [degrees(g) for g in trees], height=np.linspace(3, 30, 60)),
    )


INDEX = LevelIndex.build(ground(), GRID)


def flat(stack: LayerStack):
    """Give every feature of a stack as something that can be compared."""
    out = {}
    for group in (stack.areas, stack.lines, stack.points):
        for kind, layer in group.items():
            for i in range(len(layer)):
                parts = tuple(p.tobytes() for p in layer.parts(i))
                row = tuple(repr(getattr(layer, f)[i]) for f in PER_FEATURE)
                along = layer.along[layer.features[i] : layer.features[i + 1]].tobytes()
                out[kind, int(layer.ids[i])] = parts, row, along
    return out


@settings(max_examples=40)
@given(st.integers(-700, 1400), st.integers(-700, 1400), st.integers(1, 900), st.integers(1, 900))
def test_a_frame_gets_whole_features_and_all_that_touch_it(left, top, width, height):
    there = frame(left, top, width, height)
    seen = flat(INDEX.read(there))
    every = INDEX.read(everything())
    truth = flat(every)
    assert all(truth[key] == value for key, value in seen.items())
    touching = set()
    for group in (every.areas, every.lines, every.points):
        for kind, layer in group.items():
            touching |= {(kind, int(layer.ids[i])) for i in layer.hits(there.logical_box)}
    assert set(seen) == touching


def test_reads_do_not_know_each_other():
    first = flat(INDEX.read(frame(0, 0, 300, 300)))
    for layer in INDEX.read(frame(0, 0, 300, 300)).areas.values():
        layer.coords[:] = 0.0
        layer.boxes[:] = 0.0
    assert flat(INDEX.read(frame(0, 0, 300, 300))) == first


def test_larger_areas_come_first_and_lesser_roads_before_greater():
    stack = INDEX.read(everything())
    for layer in stack.areas.values():
        assert (np.diff(layer.area) <= 0).all()
    assert (np.diff(stack.lines[K.STREET].rank) <= 0).all()


def test_offsets_fit_the_arrays_of_each_layer():
    stack = INDEX.read(frame(100, 100, 200, 200))
    for group in (stack.areas, stack.lines, stack.points):
        for layer in group.values():
            assert layer.features[0] == layer.rings[0] == 0
            assert layer.features[-1] == len(layer.rings) - 1 == len(layer.along)
            assert layer.rings[-1] == len(layer.coords)
            boxes = [np.concatenate(layer.parts(i)) for i in range(len(layer))]
            seen = [[*c.min(axis=0), *c.max(axis=0)] for c in boxes]
            np.testing.assert_array_equal(seen, layer.boxes)


def test_scale_is_that_of_the_features_own_latitude():
    shapes = [shapely.box(10, y, 10.01, y + 0.01) for y in (0.0, 60.0)]
    index = LevelIndex.build(atlas(table(K.WOOD, Shape.AREA, shapes)), GRID)
    row = GRID.project(np.array([[10.0, 30.0]]))[0].astype(int)
    layer = index.read(Frame(GRID, int(row[0]) - 1000, 0, 3000, GRID.turn)).areas[K.WOOD]
    ratio = layer.scale.max() / layer.scale.min()
    assert ratio == pytest.approx(2.0, rel=1e-3)  # 1 / cos 60 degrees


@given(st.integers(-3, 3))
def test_features_come_round_the_world(turns):
    grid = Grid.web_mercator(6)
    west, east = shapely.box(-180, -5, -175, 5), shapely.box(175, -5, 180, 5)
    index = LevelIndex.build(atlas(table(K.OCEAN, Shape.AREA, [west, east])), grid)
    half = grid.turn // 2
    layer = index.read(Frame(grid, turns * grid.turn - 512, half - 256, 1024, 512)).areas[K.OCEAN]
    five = 5 / 360 * grid.turn
    left = layer.boxes[np.argsort(layer.boxes[:, 0])] - turns * grid.turn
    np.testing.assert_allclose(left[:, [0, 2]], [[-five, 0], [0, five]], atol=1e-3)
    for i in range(2):
        part = layer.parts(i)[0]
        np.testing.assert_array_equal([*part.min(axis=0), *part.max(axis=0)], layer.boxes[i])


def test_a_frame_wider_than_the_world_sees_things_more_than_once():
    grid = Grid.web_mercator(3)
    index = LevelIndex.build(atlas(table(K.OCEAN, Shape.AREA, [shapely.box(10, 0, 40, 20)])), grid)
    layer = index.read(Frame(grid, -grid.turn, 0, 3 * grid.turn, grid.turn)).areas[K.OCEAN]
    assert len(layer) == 3
    np.testing.assert_allclose(np.diff(layer.boxes[:, 0]), grid.turn)


def test_kinds_far_below_their_level_are_left_out():
    grid = Grid.web_mercator(8)
    assert not LevelIndex.build(ground(), grid).read(everything(grid, (AT / 256).round())).points


def test_an_empty_atlas_gives_empty_answers():
    index = LevelIndex.build(atlas(), GRID)
    stack = index.read(everything())
    assert not any((stack.areas, stack.lines, stack.points))
    assert list(index.seeds(everything())) == []
    assert index.elevation(everything()) is None


def test_shapes_that_enclose_nothing_are_left_out():
    shapes = [shapely.Polygon(), degrees(shapely.box(0, 0, 30, 30)), shapely.Polygon([(1, 1), (1.1, 1.1), (1.2, 1.2)])]
    lines = [
        shapely.LineString(),
        degrees(shapely.LineString([(0, 0), (1e-4, 0)])),
        degrees(shapely.LineString([(0, 0), (9, 0)])),
    ]
    both = atlas(table(K.WOOD, Shape.AREA, shapes), table(K.STREET, Shape.LINE, lines))
    stack = LevelIndex.build(both, GRID).read(Frame(GRID, 0, 0, GRID.turn, GRID.turn))
    assert len(stack.areas[K.WOOD]) == 1
    assert len(stack.lines[K.STREET]) == 1


def test_pixel_ratio_changes_nothing():
    fine = LevelIndex.build(ground(), GRID.at_ratio(2))
    assert fine.digest == INDEX.digest
    assert fine.grid == GRID
    there = frame(0, 0, 300, 300)
    twice = Frame(GRID.at_ratio(2), 2 * there.column, 2 * there.row, 600, 600)
    assert flat(fine.read(twice)) == flat(INDEX.read(there))


def test_digest_names_the_content():
    digests = {
        INDEX.digest,
        LevelIndex.build(ground(6), GRID).digest,
        LevelIndex.build(ground(), Grid.web_mercator(15)).digest,
        LevelIndex.build(ground(), GRID, Hills("a")).digest,
        LevelIndex.build(ground(), GRID, Hills("b")).digest,
    }
    assert len(digests) == 5


class Hills:
    """A slope."""

    def __init__(self, digest: str = "hills") -> None:
        self.digest = digest

    def sample(self, frame: Frame) -> RasterLayer:
        values = np.full(frame.shape, 12.0, np.float32)
        return RasterLayer(frame, values, np.ones_like(values))


def test_elevation_is_asked_of_its_source():
    there = frame(0, 0, 30, 20)
    raster = LevelIndex.build(atlas(), GRID, Hills()).elevation(there)
    assert raster is not None
    assert raster.frame == there
    assert (raster.values == 12).all()


def test_a_kept_level_is_the_level(tmp_path, monkeypatch):
    built = LevelIndex.build(ground(), GRID, None, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1

    def refuse(*_):
        raise AssertionError("it should have been loaded")

    monkeypatch.setattr(level_index, "gather", refuse)
    kept = LevelIndex.build(ground(), GRID, None, tmp_path)
    assert kept.digest == built.digest
    assert flat(kept.read(everything())) == flat(built.read(everything()))
    one, other = built.seeds(everything()), kept.seeds(everything())
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert {**a.__dict__, "path": None} == {**b.__dict__, "path": None}
        np.testing.assert_array_equal(a.path, b.path)


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "other"])
def test_a_damaged_copy_is_built_anew(tmp_path, harm):
    truth = flat(LevelIndex.build(ground(), GRID, None, tmp_path).read(everything()))
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    if harm == "cut":
        data = data[: len(data) // 2]
    elif harm == "flip":
        data[len(data) // 2] ^= 0xFF
    elif harm == "empty":
        data = bytearray()
    else:
        data = bytearray(b"PK not an archive at all")
    path.write_bytes(data)
    again = LevelIndex.build(ground(), GRID, None, tmp_path)
    assert flat(again.read(everything())) == truth
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    index = LevelIndex.build(ground(), GRID, None, tmp_path / "file" / "cache")
    assert flat(index.read(everything())) == flat(INDEX.read(everything()))


def test_an_index_travels_to_other_processes():
    there = pickle.loads(pickle.dumps(INDEX))
    assert flat(there.read(everything())) == flat(INDEX.read(everything()))


def test_a_cell_of_a_real_village_is_read_whole(shared_data, tmp_path):
    from mapstyle.sources.store import open_atlas

    index = LevelIndex.build(open_atlas([str(shared_data / "north-bayreuth.osm.gz")], tmp_path), GRID)
    at = GRID.project(np.array([[11.5135, 49.9860]]))[0].astype(int) // 512 * 512
    stack = index.read(Frame(GRID, int(at[0]), int(at[1]), 512, 512))
    assert len(stack.areas[K.BUILDING]) > 50
    assert stack.lines[K.STREET]
