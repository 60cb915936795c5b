"""Two frames agree to the bit, whatever was drawn before; and every margin is as wide as it must be."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from drawn_ground import GRID, Ground, K, box, layer, town
from hypothesis import given, settings
from hypothesis import strategies as st

from mapstyle.controls import ControlDrawer, cells, relief, shore
from mapstyle.frame import Frame, Grid
from mapstyle.image import PLANES
from mapstyle.levels import Levels
from mapstyle.placed import LabelKind, PlacedGlyph, PlacedLabel

LABELS = [
    PlacedLabel("A", LabelKind.PLACE, 1, 1, 12.0, (PlacedGlyph(0, 1, -10.3, 4.1),), (-12.0, -9.0, 30.5, 8.0)),
    PlacedLabel("B", LabelKind.STREET, 1, 2, 9.0, (PlacedGlyph(0, 1, 60.0, 44.0, 0.4),), (50.0, 30.0, 80.0, 60.0)),
]
SIDE = 400


@pytest.fixture(scope="module", params=[1, 2])
def whole(request):
    grid = GRID.at_ratio(request.param)
    ground = town()
    frame = Frame(grid, -SIDE // 2 - 11, -SIDE // 2 + 7, SIDE, SIDE)
    return ground, frame, ControlDrawer(ground, Levels()).scene(frame, PLANES, LABELS)


def test_every_plane_is_drawn_as_planes_says():
    frame = Frame(GRID, -600, -600, 1200, 1200)
    scene = ControlDrawer(town(), Levels()).scene(frame, PLANES, LABELS)
    roads = {f"road_{kind}" for kind in ("motorway", "trunk", "tertiary", "service", "track", "steps")}
    assert set(scene.planes) == set(PLANES) - {"ocean"} - roads
    for name, plane in scene.planes.items():
        assert plane.dtype == PLANES[name].dtype
        assert plane.shape == frame.shape


@settings(max_examples=6)
@given(st.integers(0, SIDE - 60), st.integers(0, SIDE - 60), st.integers(1, 60), st.integers(1, 60))
def test_frames_agree_where_they_overlap(whole, left, top, width, height):
    ground, frame, scene = whole
    part = Frame(frame.grid, frame.column + left, frame.row + top, width, height)
    alone = ControlDrawer(ground, Levels()).scene(part, PLANES, LABELS)
    for name in PLANES:
        assert np.array_equal(alone.plane(name), scene.plane(name)[part.slices(frame)]), name


def test_what_is_asked_for_changes_nothing(whole):
    ground, frame, scene = whole
    drawer = ControlDrawer(ground, Levels(), room=1)
    for name in ("road_u", "building", "landcover", "rail", "shore", "road"):
        some = drawer.scene(frame, [name])
        assert set(some.planes) <= {name}
        assert np.array_equal(some.plane(name), scene.plane(name))


def test_threads_share_a_drawer(whole):
    ground, frame, scene = whole
    drawer = ControlDrawer(ground, Levels(), room=20_000_000)
    parts = list(frame.pieces(190, 170))
    with ThreadPoolExecutor(4) as pool:
        scenes = list(pool.map(lambda part: drawer.scene(part, PLANES, LABELS), parts))
    for part, one in zip(parts, scenes, strict=True):
        assert all(np.array_equal(one.plane(n), scene.plane(n)[part.slices(frame)]) for n in PLANES)


def test_what_is_kept_is_bounded():
    drawer = ControlDrawer(town(), Levels(), room=4_000_000)
    for column in range(-3, 3):
        drawer.scene(Frame(GRID, column * 512, 0, 64, 64), ["landcover", "parcel", "shore"])
    kept = drawer._store._kept
    assert sum(p.nbytes for planes in kept.values() for p in planes.values()) <= 4_000_000
    assert kept
    assert not drawer._store._busy


def test_the_antimeridian_is_one_cell_seen_from_two_sides():
    ground = town(corner=(GRID.turn - 200.0, 300.0))
    drawer = ControlDrawer(ground, Levels())
    past = drawer.scene(Frame(GRID, GRID.turn - 150, 100, 300, 300), PLANES)
    home = ControlDrawer(ground, Levels()).scene(Frame(GRID, 0, 100, 150, 300), PLANES)
    west = ControlDrawer(ground, Levels()).scene(Frame(GRID, -150, 100, 150, 300), PLANES)
    assert len(home.planes) > 10
    for name in PLANES:
        assert np.array_equal(past.plane(name)[:, 150:], home.plane(name)), name
        assert np.array_equal(past.plane(name)[:, :150], west.plane(name)), name


def test_the_whole_world_fits_a_cell():
    grid = Grid.web_mercator(0)
    ground = Ground({K.OCEAN: layer(K.OCEAN, [[box(0, 0, 256, 200)]])}, grid=grid)
    drawer = ControlDrawer(ground, Levels())
    scene = drawer.scene(Frame(grid, 0, 0, 512, 256), ["ocean"])
    assert (scene.plane("ocean")[:200] == 255).all()
    assert not scene.plane("ocean")[201:].any()


FRAME = Frame(GRID, -280, -260, 560, 520)


def disagreement(ground, monkeypatch) -> dict[str, float]:
    """Compare planes drawn on cells of two sizes: shares of pixels that are not alike."""
    small = ControlDrawer(ground, Levels()).scene(FRAME, PLANES)
    with monkeypatch.context() as patch:
        patch.setattr(cells, "CELL", 2 * cells.CELL)
        large = ControlDrawer(ground, Levels()).scene(FRAME, PLANES)
    out = {}
    for name, spec in PLANES.items():
        a, b = large.plane(name), small.plane(name)
        if np.issubdtype(spec.dtype, np.integer) and not spec.meaning.startswith("coverage"):
            differs = a != b
        else:
            limit = {"shore": 0.3, "road_v": 1.0, "rail_v": 1.0}.get(name, 0.05) * (255 if a.dtype == np.uint8 else 1)
            differs = np.abs(a.astype(float) - b) > limit
        out[name] = float(differs.mean())
    return out


def test_planes_do_not_depend_on_the_cell(monkeypatch):
    found = disagreement(town(), monkeypatch)
    assert max(found.values()) < 0.003, found


def _read_half(patch):
    short = property(lambda plot: plot.layers.read(plot.cell.pad(plot.reach // 2)))
    patch.setattr(cells.Plot, "stack", short)


HALVED = {
    "shore": (lambda p: p.setattr(shore.draw_shore, "__defaults__", (shore.REACH // 2,)), "shore"),
    "reading, seen by the shore": (_read_half, "shore"),
    "reading, seen by wide lines": (_read_half, "runway"),
    "relief": (lambda p: p.setattr(relief.draw_relief, "__defaults__", (0,)), "hillshade"),
}


@pytest.mark.parametrize("what", HALVED)
def test_a_smaller_margin_would_be_seen(monkeypatch, what):
    halve, plane = HALVED[what]
    # A lake and a runway of 155 m, left of column 256, where a small cell begins and a large one does not.
    ground = Ground(
        {K.WATER: layer(K.WATER, [[box(200, -40, 203, 40)]])},
        {K.RUNWAY: layer(K.RUNWAY, [[[(211, -150), (211, 150)]]], width=155.0)},
        slope=(0.3, 0.2),
    )
    assert disagreement(ground, monkeypatch)[plane] < 0.003
    halve(monkeypatch)
    assert disagreement(ground, monkeypatch)[plane] > 0.003
