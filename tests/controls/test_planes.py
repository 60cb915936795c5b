"""Planes are where the ground is, in its true order and strength."""

import numpy as np
import pytest
from drawn_ground import GRID, Ground, K, box, layer
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mapstyle.controls import ControlDrawer
from mapstyle.frame import Frame
from mapstyle.image import Scene
from mapstyle.layers import ROADS, LandClass, LayerKind
from mapstyle.levels import Levels
from mapstyle.placed import LabelKind, PlacedGlyph, PlacedLabel


def draw(ground: Ground, *names: str, side: int = 100, ratio: int = 1, levels: Levels | None = None) -> Scene:
    """Draw the planes about the origin, where four cells meet: pixel (x, y) is at [y + side / 2, x + side / 2]."""
    half = side * ratio // 2
    frame = Frame(GRID.at_ratio(ratio), -half, -half, 2 * half, 2 * half)
    return ControlDrawer(ground, levels or Levels()).scene(frame, names)


def centre(plane: np.ndarray, ratio: int = 1) -> tuple[float, float]:
    """Give the centroid of coverage, logical pixels from the origin."""
    weight = plane.astype(float) / plane.sum(dtype=float)
    y, x = (np.indices(plane.shape) + 0.5 - np.array(plane.shape)[:, None, None] / 2) / ratio
    return float((x * weight).sum()), float((y * weight).sum())


# --- where, and how much ----------------------------------------------------------------------------------------


@settings(max_examples=20, phases=[Phase.explicit, Phase.generate])
@given(st.floats(-9, 9), st.floats(-9, 9), st.floats(0, 1.5), st.floats(4, 30), st.floats(3, 20), st.integers(1, 2))
def test_areas_lie_where_they_are_and_are_as_large(x, y, angle, wide, high, ratio):
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    ring = np.array(box(-wide / 2, -high / 2, wide / 2, high / 2)) @ turn + [x, y]
    ground = Ground({kind: layer(kind, [[ring]]) for kind in (K.WATER, K.BUILDING, K.WOOD)})
    scene = draw(ground, "water_area", "building", "landcover", ratio=ratio)
    for name in ("water_area", "building"):
        assert centre(scene.plane(name), ratio) == pytest.approx((x, y), abs=0.13)
        # An edge is a twentieth of a pixel off on average, an eighth at most.
        assert scene.plane(name).sum() / 255 / ratio**2 == pytest.approx(wide * high, abs=0.25 * (wide + high))
    assert centre(scene.plane("landcover"), ratio) == pytest.approx((x, y), abs=0.5)


@settings(max_examples=20, phases=[Phase.explicit, Phase.generate])
@given(st.floats(-3, 3), st.floats(0, 3.1), st.floats(0.4, 14), st.integers(1, 2))
def test_lines_lie_where_they_are_and_their_darkness_is_their_width(shift, angle, width, ratio):
    levels = Levels(width={K.WALL: width / float(Levels().line_width(K.WALL, 16, 0.65))})
    along = np.array([np.cos(angle), np.sin(angle)])
    middle = shift * np.array([-along[1], along[0]])
    scene = draw(Ground(lines={K.WALL: layer(K.WALL, [[[middle - 30 * along, middle + 30 * along]]])}), "wall",
                 ratio=ratio, levels=levels)  # fmt: skip
    cover = scene.plane("wall")
    found = centre(cover, ratio)
    assert np.dot(found, [-along[1], along[0]]) == pytest.approx(shift, abs=0.14)
    assert np.dot(found, along) == pytest.approx(0, abs=2)
    # The caps add a circle; a thin line is drawn wider and fainter, with caps to match.
    length = 60 + np.pi / 4 * max(width, 1 / ratio)
    # A line straight along the rows may be a third of a pixel narrower or wider; any other is far nearer.
    open_end = 0.34 * length / ratio
    assert cover.sum() / 255 / ratio**2 == pytest.approx(length * width, rel=0.15, abs=open_end)


@pytest.mark.parametrize(("thin", "plane"), [(K.PATH, "road_path"), (K.STREAM, "water_line"), (K.RAIL, "rail")])
def test_a_line_thinner_than_a_pixel_is_fainter_and_whole(thin, plane):
    ground = Ground(lines={thin: layer(thin, [[[(-300.0, -7.0), (300.0, 11.0)]]])})
    usual = float(Levels().line_width(thin, 16, 0.65))
    sums = [
        draw(ground, plane, levels=Levels(width={thin: w / usual})).plane(plane).sum(axis=0) for w in (0.8, 0.4, 0.2)
    ]
    assert sums[0].min() > 0.8 * sums[0].max()
    assert sums[1].mean() / sums[0].mean() == pytest.approx(0.5, abs=0.08)
    assert sums[2].mean() / sums[0].mean() == pytest.approx(0.25, abs=0.06)
    assert sums[2].min() > 0


def test_huge_features_do_not_overflow():
    far = 6e7
    lake = layer(K.WATER, [[[(-far, -far), (far, -far), (far, 10.0), (-far, 10.0), (-far, -far)]]])
    lines = {k: layer(k, [[[(-far, -far), (far, far)]]]) for k in (K.PRIMARY, K.RAIL, K.STREAM, K.WALL)}
    names = ("water_area", "shore", "road", "rail", "water_line", "wall", "road_u", "rail_u")
    scene = draw(Ground({K.WATER: lake}, lines), *names)
    assert (scene.plane("water_area")[:60] == 255).all()
    assert not scene.plane("water_area")[60:].any()
    assert scene.plane("shore")[40, 50] == pytest.approx(19.5, abs=0.02)
    for name in names[2:6]:
        assert centre(scene.plane(name)) == pytest.approx((0, 0), abs=0.1)
    assert np.abs(np.diagonal(scene.plane("road_u"))).max() < 0.01
    assert np.abs(np.diagonal(scene.plane("rail_u"))).max() < 0.01


# --- order ------------------------------------------------------------------------------------------------------


def test_larger_areas_lie_below_smaller_whatever_their_kind_and_layer():
    wood = layer(K.WOOD, [[box(-10, -10, 10, 10)]], layer=-1)
    field = layer(K.FARMLAND, [[box(-40, -40, 40, 40)]], layer=3)
    for areas in ((wood, field), (field, wood)):
        scene = draw(Ground({a.kind: a for a in areas}), "landcover", "parcel")
        land = scene.plane("landcover")
        assert (land[50, 50], land[20, 50], land[2, 2]) == (LandClass.WOOD, LandClass.FARMLAND, LandClass.GROUND)
        assert len(np.unique(scene.plane("parcel"))) == 3
        assert scene.plane("parcel")[2, 2] == 0


def test_areas_of_one_size_are_ordered_by_id():
    for ids in ([5, 9], [9, 5]):
        same = layer(K.WOOD, [[box(-10, -10, 10, 10)], [box(-10, -10, 10, 10)]], ids=ids)
        parcel = draw(Ground({K.WOOD: same}), "parcel").plane("parcel")
        assert set(np.unique(parcel)) == {0, 9}


def test_holes_and_islands_stay():
    lake = layer(K.WATER, [[box(-40, -40, 40, 40), box(-20, -20, 20, 20)], [box(-5, -5, 5, 5)]])
    cover = draw(Ground({K.WATER: lake}), "water_area").plane("water_area")
    assert [int(cover[50 + d, 50]) for d in (-45, -30, -10, 0, 10, 30, 45)] == [0, 255, 0, 255, 0, 255, 0]
    wood = layer(K.WOOD, [[box(-40, -40, 40, 40), box(-20, -20, 20, 20)]])
    land = draw(Ground({K.WOOD: wood}), "landcover").plane("landcover")
    assert [int(land[50 + d, 50]) for d in (-45, -30, 0, 30)] == [0, LandClass.WOOD, 0, LandClass.WOOD]


def test_a_pier_is_land_in_the_sea():
    areas = {K.OCEAN: layer(K.OCEAN, [[box(-600, -600, 600, 600)]]), K.PIER: layer(K.PIER, [[box(-9, -30, 9, 600)]])}
    lines = {K.BREAKWATER: layer(K.BREAKWATER, [[[(-40, -40), (-40, 40)]]])}
    scene = draw(Ground(areas, lines), "ocean", "water_area", "shore", "pier")
    for name in ("ocean", "water_area"):
        assert scene.plane(name)[50, 50] == 0
        assert scene.plane(name)[50, 20] == 255
    assert scene.plane("pier")[50, 50] == 255
    assert scene.plane("pier")[50, 10] == 255, "lines are piers too"
    assert scene.plane("shore")[50, 50] == pytest.approx(-8.5, abs=0.1)


def crossing(primary: dict[str, object], street: dict[str, object], *more: str) -> Scene:
    lines = {
        K.PRIMARY: layer(K.PRIMARY, [[[(-300.0, 0.0), (300.0, 0.0)]]], **primary),
        K.STREET: layer(K.STREET, [[[(0.0, -300.0), (0.0, 300.0)]]], **street),
    }
    return draw(Ground(lines=lines), "road", "road_class", "casing", "bridge", "tunnel", "road_street",
                "road_primary", "road_u", "road_v", *more)  # fmt: skip


def rank(kind: LayerKind) -> int:
    return 1 + ROADS.index(kind)


def test_on_the_ground_all_outlines_come_before_all_fills():
    scene = crossing({}, {"layer": 4})
    assert scene.plane("road_class")[50, 50] == rank(K.PRIMARY), "layer means nothing on the ground"
    assert scene.plane("casing")[44:57, 50].max() == 0
    assert scene.plane("casing")[50, 44:57].max() == 0
    assert scene.plane("casing")[30, 40:60].max() > 100
    assert "bridge" not in scene


@pytest.mark.parametrize(
    ("primary", "street", "top"),
    [
        ({}, {"bridge": True}, K.STREET),
        ({"bridge": True}, {}, K.PRIMARY),
        ({"bridge": True, "layer": 1}, {"bridge": True, "layer": 2}, K.STREET),
        ({"bridge": True, "layer": 2}, {"bridge": True, "layer": 1}, K.PRIMARY),
    ],
)
def test_bridges_lie_on_top_by_layer_with_their_outlines(primary, street, top):
    scene = crossing(primary, street)
    assert scene.plane("road_class")[50, 50] == rank(top)
    assert scene.plane("bridge")[50, 50] == 255
    line = scene.plane("casing")[50] if top is K.STREET else scene.plane("casing")[:, 50]
    assert line[40:60].max() > 100, "its outline crosses the road below"
    under = "road_primary" if top is K.STREET else "road_street"
    assert scene.plane(under)[50, 50] == 0
    assert scene.plane("road_v")[50, 50] == pytest.approx(300.5)
    along_street = abs(float(scene.plane("road_v")[52, 50] - scene.plane("road_v")[50, 50])) > 1
    assert along_street == (top is K.STREET)


def test_the_planes_of_classes_add_up_to_all_roads():
    scene = crossing({}, {"bridge": True})
    both = scene.plane("road_primary").astype(int) + scene.plane("road_street")
    assert np.array_equal(both, scene.plane("road"))
    assert (scene.plane("road").astype(int) + scene.plane("casing") <= 257).all()


def test_tunnels_are_only_tunnels():
    scene = crossing({"tunnel": True}, {}, "rail", "water_line")
    assert scene.plane("tunnel")[50, 20] == 255
    assert scene.plane("road")[50, 20] == scene.plane("casing")[50, 20] == scene.plane("road_class")[50, 20] == 0
    assert scene.plane("road_u")[50, 20] == 99
    hidden = {k: layer(k, [[[(-300.0, 0.0), (300.0, 0.0)]]], tunnel=True) for k in (K.RAIL, K.TRAM, K.STREAM)}
    scene = draw(Ground(lines=hidden), "tunnel", "rail", "tram", "rail_u", "water_line")
    assert set(scene.planes) == {"tunnel"}


def test_roads_and_railways_cross_over_and_under():
    rail = [[[(-300.0, 0.0), (300.0, 0.0)]]]
    road = [[[(0.0, -300.0), (0.0, 300.0)]]]
    names = ("road", "rail", "bridge", "rail_u", "road_u")
    road_over = draw(Ground(lines={K.RAIL: layer(K.RAIL, rail), K.STREET: layer(K.STREET, road, bridge=True)}), *names)
    assert (road_over.plane("rail")[50, 50], road_over.plane("road")[50, 50]) == (0, 255)
    assert road_over.plane("rail_u")[50, 50] == 99
    assert road_over.plane("rail")[50, 30] > 100
    rail_over = draw(Ground(lines={K.RAIL: layer(K.RAIL, rail, bridge=True), K.STREET: layer(K.STREET, road)}), *names)
    assert (rail_over.plane("road")[50, 50], rail_over.plane("bridge")[50, 50]) == (0, 255)
    assert rail_over.plane("road_u")[50, 50] == 99
    level = draw(Ground(lines={K.RAIL: layer(K.RAIL, rail), K.STREET: layer(K.STREET, road)}), *names)
    assert level.plane("rail")[50, 50] > 100
    assert level.plane("road")[50, 50] == 255


# --- coordinates ------------------------------------------------------------------------------------------------


def test_coordinates_run_along_whole_lines():
    bent = [(-300.0, -60.0), (-20.0, 0.5), (25.0, 3.5), (300.0, 90.0)]
    for kind, u_plane, v_plane in ((K.STREET, "road_u", "road_v"), (K.RAIL, "rail_u", "rail_v")):
        ground = Ground(lines={kind: layer(kind, [[bent]], along=[1000.0])})
        scene = draw(ground, u_plane, v_plane)
        u, v = scene.plane(u_plane), scene.plane(v_plane)
        first = np.hypot(280, 60.5)
        assert v[50, 30] == pytest.approx(1000 + first, abs=1.0)
        on_axis = np.abs(u).argmin(axis=0)
        steps = np.diff(v[on_axis, np.arange(100)])
        assert 0.4 < steps.min() <= steps.max() < 1.8, "no jump, neither at a corner nor at a cell's border"
        assert u[55, 50] > 0 > u[47, 50], "positive on the right of the line's direction"
        assert np.abs(u[:, 50][np.abs(u[:, 50]) < 90]).max() >= 5
        assert u[95, 50] == 99
        assert v[95, 50] == 0


def test_offsets_are_true_in_a_narrow_bend():
    angle = np.linspace(0, np.pi, 40)
    arc = np.column_stack([20 * np.cos(angle), 20 * np.sin(angle) - 10])
    scene = draw(Ground(lines={K.PRIMARY: layer(K.PRIMARY, [[arc]], width=20.0)}), "road_u", "road")
    y, x = np.indices((100, 100)) - 49.5
    true = np.hypot(x, y + 10) - 20
    there = (scene.plane("road") == 255) & (y > -8) & (np.hypot(x, y + 10) > 12)
    assert there.sum() > 400
    assert np.abs(np.abs(scene.plane("road_u")) - np.abs(true))[there].max() < 0.15


def test_a_road_keeps_its_own_coordinates_beside_a_greater_one():
    lines = {K.PRIMARY: layer(K.PRIMARY, [[[(-300.0, 0.0), (300.0, 0.0)]]]),
             K.PATH: layer(K.PATH, [[[(-300.0, 6.5), (300.0, 6.5)]]])}  # fmt: skip
    scene = draw(Ground(lines=lines), "road_u", "road_class")
    assert scene.plane("road_class")[56, 50] == rank(K.PATH)
    assert scene.plane("road_u")[56, 50] == pytest.approx(0.0, abs=0.01)


# --- shore ------------------------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(st.floats(0, 6.2), st.floats(-5, 5), st.integers(1, 2))
def test_the_distance_to_the_shore_is_smooth_and_true(angle, shift, ratio):
    along, out = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    corners = [shift * out - 900 * along, shift * out + 900 * along]
    ring = [*corners, corners[1] - 900 * out, corners[0] - 900 * out, corners[0]]
    shore = draw(Ground({K.WATER: layer(K.WATER, [[ring]])}), "shore", side=180, ratio=ratio).plane("shore")
    y, x = (np.indices(shore.shape) + 0.5) / ratio - 90
    true = np.clip(shift - (x * out[0] + y * out[1]), -64, 64)
    error = np.abs(shore - true)
    assert (error <= 0.8 + 0.015 * np.abs(true)).all()
    assert error[np.abs(true) < 20].mean() < 0.2


def test_far_from_any_shore_the_distance_is_the_limit():
    sea = Ground({K.OCEAN: layer(K.OCEAN, [[box(-900, -900, 900, 900)]])})
    assert (draw(sea, "shore").plane("shore") == 64).all()
    dry = draw(Ground({K.WATER: layer(K.WATER, [[box(400, 400, 410, 410)]])}), "shore")
    assert (dry.plane("shore") == -64).all()


# --- buildings --------------------------------------------------------------------------------------------------

HOUSE = ("building", "building_id", "building_height", "roof", "roof_kind")


def test_ids_last_and_are_never_nothing():
    houses = layer(K.BUILDING, [[box(0, 0, 10, 10)], [box(20, 0, 30, 10)], [box(-30, 0, -20, 10)]],
                   ids=[(1 << 63) + 77, 5, 0])  # fmt: skip
    ids = draw(Ground({K.BUILDING: houses}), "building_id").plane("building_id")
    assert ids[55, 75] == 5
    assert len({int(ids[55, 55]), int(ids[55, 75]), int(ids[55, 25]), 0}) == 4
    alone = draw(Ground({K.BUILDING: houses.pick(np.array([0]))}), "building_id").plane("building_id")
    assert alone[55, 55] == ids[55, 55]


def test_gables_rise_to_a_ridge_along_the_longer_side():
    roof = draw(Ground({K.BUILDING: layer(K.BUILDING, [[box(0, 0, 20, 8)]], detail="house")}), "roof").plane("roof")
    assert roof[53, 60] == pytest.approx(0.85 * 3.5, abs=0.01)
    assert roof[50, 60] == pytest.approx(0.85 * 0.5, abs=0.01)
    assert np.ptp(roof[53, 51:69]) < 1e-3


def test_hips_rise_from_every_wall():
    shape = [(-12, -12), (12, -12), (12, -2), (-2, -2), (-2, 12), (-12, 12), (-12, -12)]
    scene = draw(Ground({K.BUILDING: layer(K.BUILDING, [[shape]], detail="house")}), *HOUSE)
    assert scene.plane("roof_kind")[45, 45] == 3
    assert scene.plane("roof")[42, 55] == pytest.approx(0.7 * 4.5, abs=0.01)
    assert scene.plane("roof")[55, 38] == pytest.approx(0.7 * 0.5, abs=0.01)


def test_heights_follow_tags_then_kinds_then_size_at_each_buildings_own_scale():
    shapes = [[box(x, 0, x + 9, 9)] for x in (-45, -30, -15, 0, 15, 30)]
    tags = {"height": [30.0, np.nan, np.nan, np.nan, 12.0, 30.0], "scale": [0.65] * 5 + [1.3],
            "detail": ["apartments", "garage", "church", "", "house", "apartments"]}  # fmt: skip
    scene = draw(Ground({K.BUILDING: layer(K.BUILDING, shapes, **tags)}), *HOUSE)
    high = scene.plane("building_height")[54, [10, 25, 40, 55, 70, 85]]
    assert high[0] == pytest.approx(30 * 0.65)
    assert high[5] == pytest.approx(30 * 1.3)
    assert high[1] < high[3] < high[2]
    assert high[4] + scene.plane("roof")[54, 65:74].max() <= 12 * 0.65 + 0.01, "the tag is the height of the top"
    assert scene.plane("roof_kind")[54, 10] == 1


def test_houses_that_share_a_wall_leave_no_seam():
    row = layer(K.BUILDING, [[box(-9.3, -8, 0.4, 8)], [box(0.4, -8, 9.7, 8)]])
    scene = draw(Ground({K.BUILDING: row}), *HOUSE)
    assert (scene.plane("building")[45:55, 42:58] == 255).all()
    assert (scene.plane("building_id")[45:55, 42:58] > 0).all()


# --- trees, relief, territory, labels, levels ---------------------------------------------------------------------


def test_rows_are_planted_along_the_whole_line():
    ground = Ground(lines={K.TREE_ROW: layer(K.TREE_ROW, [[[(-3000.0, 0.5), (3000.0, 0.5)]]])})
    scene = draw(ground, "tree", "tree_id")
    tree = scene.plane("tree")
    tops = [x for x in range(1, 99) if tree[50, x] >= max(tree[50, x - 1], tree[50, x + 1]) and tree[50, x] > 0.4]
    assert np.diff(tops).tolist() == pytest.approx([9 * 0.65] * (len(tops) - 1), abs=1.01)
    assert len(np.unique(scene.plane("tree_id"))) >= len(tops)
    # A tree beyond the edge reaches in: what is seen of the row has no start.
    assert tree[50, :8].max() > 0.4


def test_the_higher_crown_hides_the_lower():
    trees = layer(K.TREE, [[[(0.5, 0.5)]], [[(2.5, 0.5)]]], scale=1.0)
    scene = draw(Ground(points={K.TREE: trees}), "tree", "tree_id")
    names = scene.plane("tree_id")
    assert scene.plane("tree")[50, 50] == pytest.approx(1, abs=1e-3)
    assert names[50, 50] != names[50, 52]
    assert names[50, 49] == names[50, 50]
    assert (names > 0)[scene.plane("tree") > 0].all()


@pytest.mark.parametrize(("slope", "sign"), [((0.3, 0.3), 1), ((-0.3, -0.3), -1), ((0.3, -0.3), 0)])
def test_light_comes_from_the_north_west(slope, sign):
    # A slope that rises towards the south-east faces the north-west.
    scene = draw(Ground(slope=slope), "hillshade", "elevation")
    shade = scene.plane("hillshade")[50, 50]
    gx, gy = slope
    norm = np.sqrt(1 + gx * gx + gy * gy)
    metre = float(GRID.pixels_per_metre(float(GRID.unproject(np.array([[0.0, 0.0]]))[0, 1])))
    expected = (np.sqrt(0.5) + 0.5 * (gx + gy)) / norm - np.sqrt(0.5)
    assert shade == pytest.approx(expected, abs=2e-3)
    assert np.sign(round(float(shade - (np.sqrt(0.5) / norm - np.sqrt(0.5))), 3)) == sign
    assert scene.plane("elevation")[70, 80] == pytest.approx((30.5 * gx + 20.5 * gy) / metre, rel=1e-4)


def test_relief_fades_where_the_data_ends():
    scene = draw(Ground(slope=(0.3, 0.0)), "hillshade", side=900)
    row = scene.plane("hillshade")[450]
    assert row[450 + 430] == 0
    assert abs(row[450 + 350]) == pytest.approx(abs(row[450]) / 2, rel=0.05)


def test_territory_is_the_smallest_area_and_borders_are_drawn():
    areas = layer(K.BORDER, [[box(-40, -40, 10, 40)], [box(-400, -400, 400, 400)]])
    scene = draw(Ground({K.BORDER: areas}), "territory", "border")
    assert len({int(scene.plane("territory")[50, x]) for x in (30, 80)} - {0}) == 2
    assert scene.plane("border")[50, 60] > 100
    assert scene.plane("border")[50, 80] == 0


def test_labels_lie_in_calm_zones():
    label = PlacedLabel("Aa", LabelKind.PLACE, 0, 1, 14.0, (PlacedGlyph(0, 1, 0, 5),), (-20.0, -8.0, 20.0, 8.0))
    frame = Frame(GRID, -50, -50, 100, 100)
    calm = ControlDrawer(Ground(), Levels()).scene(frame, ["calm"], [label]).plane("calm")
    assert (calm[42:58, 30:70] == 1).all()
    assert calm[50, 72] == pytest.approx(1 - 2.5 / 6)
    assert calm[50, 77] == 0
    bent = PlacedLabel("A", LabelKind.STREET, 0, 1, 10.0, (PlacedGlyph(0, 1, 0, 0, 0.5),), (-90.0, -90.0, 90.0, 90.0))
    calm = ControlDrawer(Ground(), Levels()).scene(frame, ["calm"], [bent]).plane("calm")
    assert calm[47, 53] == 1
    assert calm[80, 80] == 0
    assert "calm" not in ControlDrawer(Ground(), Levels()).scene(frame, ["calm"])


def test_levels_decide_what_is_drawn():
    ground = Ground({K.BUILDING: layer(K.BUILDING, [[box(0, 0, 9, 9)]])})
    assert "building" in draw(ground, "building")
    assert "building" not in draw(ground, "building", levels=Levels(appears={K.BUILDING: 17}))


@pytest.mark.parametrize("shift", [0.0, 3.3, 11.7])
def test_a_wide_line_does_not_move_the_others(shift):
    rng = np.random.default_rng(4)
    narrow = [[[(x, y), (x + 290.3, y + 11.1 + shift)]] for x, y in rng.uniform((-250, -60), (-100, 60), (20, 2))]
    path = layer(K.PATH, narrow)
    alone = draw(Ground(lines={K.PATH: path}), "road_path").plane("road_path")
    wide = layer(K.MOTORWAY, [[[(-300.0, 75.0), (300.0, 75.0)]]])  # beside the frame: nothing of it is seen
    together = draw(Ground(lines={K.PATH: path, K.MOTORWAY: wide}), "road_path", "road_motorway")
    assert not together.plane("road_motorway").any()
    assert alone.any()
    assert np.array_equal(together.plane("road_path"), alone)
