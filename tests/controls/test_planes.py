"""Planes are where the ground is, in its true order, and the same from every frame."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapstyle.controls import CONTROLS, ControlDrawer, buildings, cells, relief, water
from mapstyle.frame import Frame, Grid
from mapstyle.image import PLANES
from mapstyle.layers import LandClass, LayerKind, LayerStack, RasterLayer, VectorLayer
from mapstyle.levels import Levels
from mapstyle.placed import LabelKind, PlacedGlyph, PlacedLabel

K = LayerKind
GRID = Grid.web_mercator(16)
AT = np.array([8_704_000.0, 5_632_000.0])
"""Logical pixels of the middle of the test ground: a corner of four cells."""


def layer(kind: LayerKind, shapes: list[list[list[tuple[float, float]]]], **more) -> VectorLayer:
    """Make features about AT; each is a list of rings."""
    rings = [np.array(ring, float) + AT for shape in shapes for ring in shape]
    n = len(shapes)
    counts = [len(shape) for shape in shapes]
    owners = np.repeat(np.arange(n), counts)
    boxes = np.array(
        [
            [
                min(r[:, 0].min() for r, o in zip(rings, owners, strict=True) if o == i),
                min(r[:, 1].min() for r, o in zip(rings, owners, strict=True) if o == i),
                max(r[:, 0].max() for r, o in zip(rings, owners, strict=True) if o == i),
                max(r[:, 1].max() for r, o in zip(rings, owners, strict=True) if o == i),
            ]
            for i in range(n)
        ]
    )

    def area(ring):
        x, y = (ring - ring[0]).T
        return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2

    values = {
        "ids": np.arange(1, n + 1, dtype=np.uint64) * 7919, "area": np.array([area(rings[int(np.searchsorted(owners, i))]) for i in range(n)]),
        "scale": np.full(n, 0.6), "rank": np.zeros(n, np.int16), "layer": np.zeros(n, np.int8), "bridge": np.zeros(n, bool),
        "tunnel": np.zeros(n, bool), "width": np.full(n, np.nan, np.float32), "height": np.full(n, np.nan, np.float32),
        "base": np.zeros(n, np.float32), "along": np.zeros(len(rings)), "detail": np.array([""] * n, object), "names": np.array([{}] * n, object),
    }  # fmt: skip
    values |= {key: np.asarray(value, dtype=values[key].dtype) for key, value in more.items()}
    return VectorLayer(
        kind=kind, coords=np.concatenate(rings), rings=np.cumsum([0, *(len(r) for r in rings)]),
        features=np.cumsum([0, *counts]), boxes=boxes, **values,
    )  # fmt: skip


class Ground:
    """Layers held in memory."""

    def __init__(self, areas=(), lines=(), points=(), hills: bool = False) -> None:
        self.grid = GRID
        self._all = [{one.kind: one for one in group} for group in (areas, lines, points)]
        self._hills = hills

    def read(self, frame: Frame) -> LayerStack:
        found = [{k: v.pick(h) for k, v in group.items() if len(h := v.hits(frame.logical_box))} for group in self._all]
        return LayerStack(self.grid, *found)

    def elevation(self, frame: Frame) -> RasterLayer | None:
        if not self._hills:
            return None
        s = frame.grid.pixel_ratio
        x = (np.arange(frame.column, frame.end_column) + 0.5) / s - AT[0]
        y = (np.arange(frame.row, frame.end_row) + 0.5) / s - AT[1]
        values = (40 * np.sin(x / 50)[None, :] + 30 * np.cos(y / 70)[:, None]).astype(np.float32)
        return RasterLayer(frame, values, np.ones_like(values))

    def seeds(self, frame: Frame) -> list:
        return []


def box(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]


def frame(left, top, width, height, ratio=1) -> Frame:
    return Frame(
        GRID.at_ratio(ratio), (int(AT[0]) + left) * ratio, (int(AT[1]) + top) * ratio, width * ratio, height * ratio
    )


def town() -> Ground:
    rng = np.random.default_rng(3)
    houses = [
        [box(x, y, x + w, y + h)]
        for x, y, w, h in zip(
            rng.integers(-400, 400, 60),
            rng.integers(-400, 400, 60),
            rng.integers(8, 40, 60),
            rng.integers(8, 30, 60),
            strict=True,
        )
    ]
    road = [[(-600.0, -90.0), (-40.3, 10.7), (300, 40), (640, -200)]]
    other = [[(-100.0, -600.0), (-30, 0), (44, 600)]]
    return Ground(
        [
            layer(K.WOOD, [[box(-300, -300, 120, 90)]]), layer(K.FARMLAND, [[box(-600, -600, 600, 600)], [box(100, 100, 300, 260)]]),
            layer(K.WATER, [[box(-200, 120, 60, 330), box(-100, 180, -40, 240)]]), layer(K.BUILDING, houses),
            layer(K.BORDER, [[box(-500, -500, 0, 500)], [box(-500, -500, 500, 500)]]), layer(K.PIER, [[box(-120, 100, -100, 200)]]),
        ],
        [
            layer(K.PRIMARY, [road]), layer(K.STREET, [other], bridge=[True]), layer(K.RAIL, [[[(-500.0, 200.0), (500, -150)]]]),
            layer(K.STREAM, [[[(-600.0, 400.0), (0, 350), (600, 410)]]]), layer(K.TREE_ROW, [[[(-200.0, -50.0), (250, -70)]]]),
            layer(K.WALL, [[[(0.0, 0.0), (80, 80)]]]), layer(K.RUNWAY, [[[(-300.0, 500.0), (300, 450)]]]), layer(K.TRAM, [[[(0.0, -300.0), (20, 300)]]]),
        ],
        [layer(K.TREE, [[[(float(x), float(y))]] for x, y in rng.integers(-300, 300, (40, 2))])],
        hills=True,
    )  # fmt: skip


LABEL = PlacedLabel(
    "Aa", LabelKind.PLACE, 0, 1, 14.0,
    (PlacedGlyph(0, 1, AT[0] - 4, AT[1] + 5), PlacedGlyph(0, 2, AT[0] + 6, AT[1] + 5)), (0, 0, 0, 0),
)  # fmt: skip


@pytest.fixture(scope="module")
def large():
    whole = {ratio: frame(-260, -250, 520, 500, ratio) for ratio in (1, 2)}
    return {r: (w, ControlDrawer(town(), Levels()).scene(w, PLANES, [LABEL])) for r, w in whole.items()}


@settings(max_examples=15)
@given(st.integers(0, 400), st.integers(0, 380), st.integers(1, 119), st.integers(1, 119), st.integers(1, 2))
def test_scenes_agree_where_their_frames_overlap(large, left, top, width, height, ratio):
    whole, scene = large[ratio]
    part = Frame(whole.grid, whole.column + left, whole.row + top, width, height)
    small = _drawer().scene(part, PLANES, [LABEL])
    for name in PLANES:
        assert np.array_equal(small.plane(name), scene.plane(name)[part.slices(whole)]), name


@functools.lru_cache(maxsize=1)
def _drawer() -> ControlDrawer:
    # One store for all examples, asked in another order than the large scene.
    return ControlDrawer(town(), Levels())


def test_every_plane_has_something_to_show(large):
    _, scene = large[1]
    empty = {n for n in PLANES if n not in scene} - {
        f"road_{k.value}" for k in LayerKind if f"road_{k.value}" in PLANES
    }
    assert empty <= {"ocean", "tunnel"}
    for name, spec in PLANES.items():
        assert scene.plane(name).dtype == spec.dtype, name


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("size", [(20.0, 12.0), (7.5, 5.25), (3.0, 9.0)])
def test_areas_lie_where_they_are(ratio, size):
    rng = np.random.default_rng(1)
    for dx, dy in rng.uniform(-3, 3, (6, 2)):
        shape = box(dx, dy, dx + size[0], dy + size[1])
        scene = ControlDrawer(Ground([layer(K.WATER, [[shape]])]), Levels()).scene(
            frame(-32, -32, 64, 64, ratio), ["water_area"]
        )
        cover = scene.plane("water_area").astype(float) / 255
        y, x = np.mgrid[0 : cover.shape[0], 0 : cover.shape[1]]
        centre = (
            ((x + 0.5) * cover).sum() / cover.sum() / ratio - 32,
            ((y + 0.5) * cover).sum() / cover.sum() / ratio - 32,
        )
        assert centre == pytest.approx((dx + size[0] / 2, dy + size[1] / 2), abs=0.15)
        assert cover.sum() / ratio**2 == pytest.approx(size[0] * size[1], rel=0.12)


@given(st.floats(0.3, 12))
@settings(max_examples=10)
def test_the_darkness_of_a_line_is_its_width(width):
    levels = Levels.model_validate({"width": {"wall": width / float(Levels().line_width(K.WALL, 16, 0.6))}})
    line = layer(K.WALL, [[[(-300.0, 3.3), (300, 3.3)]]])
    scene = ControlDrawer(Ground(lines=[line]), levels).scene(frame(-50, -50, 100, 100), ["wall"])
    across = scene.plane("wall").astype(float).sum(axis=0) / 255
    assert across.mean() == pytest.approx(width, abs=0.35)


def test_holes_and_islands_stay():
    lake = layer(K.WATER, [[box(-40, -40, 40, 40), box(-20, -20, 20, 20)], [box(-5, -5, 5, 5)]])
    scene = ControlDrawer(Ground([lake]), Levels()).scene(frame(-50, -50, 100, 100), ["water_area", "shore"])
    cover, shore = scene.plane("water_area"), scene.plane("shore")
    assert [int(cover[50 + d, 50]) for d in (-45, -30, -10, 0, 10, 30, 45)] == [0, 255, 0, 255, 0, 255, 0]
    assert shore[50 - 30, 50] == pytest.approx(9.5, abs=0.6)
    assert shore[50 - 12, 50] == pytest.approx(-7, abs=1.1)


def test_larger_areas_lie_below_smaller_whatever_their_layer():
    areas = [
        layer(K.WOOD, [[box(-10, -10, 10, 10)]], layer=[-1], ids=[3]),
        layer(K.FARMLAND, [[box(-40, -40, 40, 40)]], layer=[3]),
    ]
    for order in (areas, areas[::-1]):
        scene = ControlDrawer(Ground(order), Levels()).scene(frame(-50, -50, 100, 100), ["landcover", "parcel"])
        land = scene.plane("landcover")
        assert land[50, 50] == LandClass.WOOD
        assert land[20, 50] == LandClass.FARMLAND
        assert land[2, 2] == LandClass.GROUND
        assert len(np.unique(scene.plane("parcel"))) == 3


def crossing(**more) -> np.ndarray:
    west_east = layer(K.PRIMARY, [[[(-300.0, 0.0), (300, 0)]]], **more.get("primary", {}))
    north_south = layer(K.STREET, [[[(0.0, -300.0), (0, 300)]]], **more.get("street", {}))
    names = ["road", "road_class", "casing", "bridge", "tunnel", "road_street", "road_primary"]
    return ControlDrawer(Ground(lines=[west_east, north_south]), Levels()).scene(frame(-50, -50, 100, 100), names)


def rank(kind: LayerKind) -> int:
    from mapstyle.layers import ROADS

    return 1 + ROADS.index(kind)


def test_on_the_ground_fills_join_and_the_greater_lies_on_top():
    scene = crossing()
    assert scene.plane("road_class")[50, 50] == rank(K.PRIMARY)
    assert scene.plane("casing")[44:57, 50].max() == 0, "no outline runs across a crossing"
    assert scene.plane("bridge").max() == 0


def test_a_bridge_lies_over_the_road_below_with_its_outline():
    scene = crossing(street={"bridge": [True], "layer": [1]})
    assert scene.plane("road_class")[50, 50] == rank(K.STREET)
    assert scene.plane("casing")[50, 40:60].max() > 100
    assert scene.plane("bridge")[50, 50] == 255
    higher = crossing(street={"bridge": [True], "layer": [1]}, primary={"bridge": [True], "layer": [2]})
    assert higher.plane("road_class")[50, 50] == rank(K.PRIMARY)


def test_a_tunnel_is_only_a_tunnel():
    scene = crossing(street={"tunnel": [True]})
    assert scene.plane("road_class")[20, 50] == 0
    assert scene.plane("tunnel")[20, 50] == 255
    assert scene.plane("road_street").max() == 0


def test_coordinates_across_and_along_a_road():
    line = layer(K.PRIMARY, [[[(-300.0, 0.5), (0.0, 0.5), (300, 0.5)]]], along=[1000.0])
    scene = ControlDrawer(Ground(lines=[line]), Levels()).scene(frame(-50, -50, 100, 100), ["road_u", "road_v"])
    u, v = scene.plane("road_u"), scene.plane("road_v")
    assert u[50, 50] == pytest.approx(0.0, abs=0.01)
    assert u[53, 50] == pytest.approx(3.0, abs=0.01), "positive on the right of the way's direction"
    assert u[47, 20] == pytest.approx(-3.0, abs=0.01)
    assert v[50, 50] == pytest.approx(1300.5, abs=0.01)
    assert np.diff(v[50]).tolist() == pytest.approx([1.0] * 99, abs=1e-3)
    assert u[20, 50] == 99


def test_ids_are_stable_and_never_nothing():
    houses = layer(K.BUILDING, [[box(0, 0, 10, 10)], [box(20, 0, 30, 10)]], ids=[1 << 63, 5])
    scene = ControlDrawer(Ground([houses]), Levels()).scene(
        frame(-8, -8, 64, 64), ["building_id", "building_height", "roof", "roof_kind"]
    )
    ids = scene.plane("building_id")
    assert ids[13, 33] == 5
    assert ids[13, 13] not in (0, 5)
    assert ids[2, 2] == 0
    assert scene.plane("building_height")[13, 13] > 1
    assert scene.plane("roof_kind")[13, 13] in (1, 2, 3)


def test_gables_rise_to_a_ridge_along_the_longer_side():
    house = layer(K.BUILDING, [[box(0, 0, 20, 8)]], detail=["house"])
    roof = ControlDrawer(Ground([house]), Levels()).scene(frame(-8, -8, 48, 32), ["roof"]).plane("roof")
    assert roof[12, 18] > roof[9, 18] > 0
    assert roof[12, 10] == pytest.approx(roof[12, 25], abs=1e-4)


def test_light_comes_from_the_north_west():
    class Slope(Ground):
        def elevation(self, wanted):
            x = np.arange(wanted.column, wanted.end_column)[None, :] - AT[0]
            y = np.arange(wanted.row, wanted.end_row)[:, None] - AT[1]
            values = (np.broadcast_to(-np.abs(x + y), wanted.shape)).astype(np.float32)
            return RasterLayer(wanted, values, np.ones_like(values))

    shade = (
        ControlDrawer(Slope(), Levels()).scene(frame(-20, -20, 40, 40), ["hillshade", "elevation"]).plane("hillshade")
    )
    assert shade[5, 5] > 0.1, "the side towards the north-west is lit"
    assert shade[35, 35] < -0.1


def test_levels_decide_what_is_drawn():
    grid = Grid.web_mercator(12)
    ground = town()
    ground.grid = grid
    scene = ControlDrawer(ground, Levels()).scene(
        Frame(grid, int(AT[0]) - 64, int(AT[1]) - 64, 128, 128), ["building", "road_street"]
    )
    assert "building" not in scene
    kept = ControlDrawer(ground, Levels.model_validate({"appears": {"building": 11}})).scene(
        Frame(grid, int(AT[0]) - 64, int(AT[1]) - 64, 128, 128), ["building"]
    )
    assert "building" in kept


# --- reach: a cell's planes are those of a larger cell ----------------------------------------------------------


def both_ways(monkeypatch, names, spoil) -> float:
    """Draw with cells of two sizes and give the largest difference; ``spoil`` may halve a reach first."""
    spoil()
    part = frame(-250, -250, 500, 500)
    small = _with_cells(monkeypatch, 128, part, names)
    large = _with_cells(monkeypatch, 1024, part, names)
    return max(float(np.abs(small.plane(n).astype(float) - large.plane(n)).max()) for n in names)


def _with_cells(monkeypatch, size, part, names):
    monkeypatch.setattr(cells, "CELL", size)
    return ControlDrawer(town(), Levels()).scene(part, names)


def test_the_shore_does_not_know_its_cell_and_half_its_reach_is_noticed(monkeypatch):
    assert both_ways(monkeypatch, ["shore"], lambda: None) < 0.2
    import mapstyle.controls.drawer as drawer

    half = functools.partial(water.draw_shore, reach=water.SHORE_REACH // 2)
    groups = {**drawer.GROUPS, "shore": half}
    monkeypatch.setattr(drawer, "GROUPS", groups)
    far = ControlDrawer(town(), Levels()).scene(frame(-250, -250, 500, 500), ["shore"]).plane("shore")
    monkeypatch.undo()
    true = ControlDrawer(town(), Levels()).scene(frame(-250, -250, 500, 500), ["shore"]).plane("shore")
    assert np.abs(far - true).max() > 10


def test_roofs_do_not_know_their_cell_and_half_their_reach_is_noticed(monkeypatch):
    assert both_ways(monkeypatch, ["roof", "building_height", "building_id"], lambda: None) < 0.2
    import mapstyle.controls.drawer as drawer

    barn = Ground([layer(K.BUILDING, [[box(-60, -26, 60, 26)]], scale=[3.0], detail=["hall"])])
    part = frame(-70, -40, 140, 80)
    true = ControlDrawer(barn, Levels()).scene(part, ["roof"]).plane("roof")
    assert true.max() > 5
    groups = {**drawer.GROUPS, "building": functools.partial(buildings.draw_buildings, reach=buildings.HIP_REACH // 4)}
    monkeypatch.setattr(drawer, "GROUPS", groups)
    assert np.abs(ControlDrawer(barn, Levels()).scene(part, ["roof"]).plane("roof") - true).max() > 1


def test_slopes_do_not_know_their_cell_and_no_reach_is_noticed(monkeypatch):
    assert both_ways(monkeypatch, ["hillshade"], lambda: None) < 1e-5
    monkeypatch.setattr(relief, "REACH", 0)
    assert both_ways(monkeypatch, ["hillshade"], lambda: None) > 1e-3


# --- control images ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTROLS)
def test_control_images_agree_where_their_frames_overlap(name):
    control = CONTROLS[name]

    def draw(part: Frame) -> np.ndarray:
        around = part.pad(control.reach)
        image = control.draw(ControlDrawer(town(), Levels()).scene(around, control.needs)).rgb
        return image[part.slices(around)]

    whole = frame(-200, -200, 300, 280)
    large = draw(whole)
    assert large.dtype == np.uint8
    assert large.std() > 1
    for left, top in ((0, 0), (31, 77), (170, 140)):
        part = Frame(whole.grid, whole.column + left, whole.row + top, 101, 83)
        assert np.array_equal(draw(part), large[part.slices(whole)])


def test_segmentation_uses_only_the_palette():
    from mapstyle.controls.images import ADE20K

    control = CONTROLS["segmentation"]
    rgb = control.draw(ControlDrawer(town(), Levels()).scene(frame(-200, -200, 400, 400), control.needs)).rgb
    assert {tuple(c) for c in np.unique(rgb.reshape(-1, 3), axis=0).tolist()} <= set(ADE20K.values())


def test_edges_are_thin():
    control = CONTROLS["edges"]
    rgb = control.draw(
        ControlDrawer(Ground([layer(K.WATER, [[box(-60, -60, 60, 60)]])]), Levels()).scene(
            frame(-80, -80, 160, 160), control.needs
        )
    ).rgb
    across = (rgb[80, :, 0] > 60).sum()
    assert 2 <= across <= 6
