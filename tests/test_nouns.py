"""Fingerprints, errors, layers, levels, scenes."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapstyle.errors import nearest
from mapstyle.fingerprint import fingerprint, stable_id
from mapstyle.frame import Frame, Grid
from mapstyle.image import PLANES, MapImage, Scene
from mapstyle.layers import LAND_COVER, ROADS, LandClass, LayerKind, VectorLayer
from mapstyle.levels import APPEARS, CARTOGRAPHIC, Levels


def layer(shapes: list[list[list[tuple[float, float]]]]) -> VectorLayer:
    """Make a layer of features, each a list of rings."""
    rings = [r for s in shapes for r in s]
    n = len(shapes)
    boxes = [
        (min(p[0] for r in s for p in r), min(p[1] for r in s for p in r), max(p[0] for r in s for p in r), max(p[1] for r in s for p in r))
        for s in shapes
    ]  # fmt: skip
    return VectorLayer(
        kind=LayerKind.WOOD,
        coords=np.array([p for r in rings for p in r], float).reshape(-1, 2),
        rings=np.cumsum([0, *(len(r) for r in rings)]),
        features=np.cumsum([0, *(len(s) for s in shapes)]),
        boxes=np.array(boxes, float).reshape(-1, 4),
        ids=np.arange(n, dtype=np.uint64), area=np.zeros(n), scale=np.ones(n), rank=np.zeros(n, np.int16),
        layer=np.zeros(n, np.int8), bridge=np.zeros(n, bool), tunnel=np.zeros(n, bool),
        width=np.full(n, np.nan, np.float32), height=np.full(n, np.nan, np.float32), base=np.zeros(n, np.float32),
        along=np.arange(len(rings), dtype=float), detail=np.array([""] * n, object), names=np.array([{}] * n, object),
    )  # fmt: skip


points = st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
shapes = st.lists(st.lists(st.lists(points, min_size=1, max_size=5), min_size=1, max_size=3), min_size=1, max_size=6)


@given(shapes, st.data())
def test_picking_features_keeps_their_rings(made, data):
    whole = layer(made)
    chosen = data.draw(st.lists(st.integers(0, len(made) - 1), max_size=6))
    part = whole.pick(np.array(chosen, np.int64))
    assert len(part) == len(chosen)
    for i, original in enumerate(chosen):
        assert [r.tolist() for r in part.parts(i)] == [[list(p) for p in ring] for ring in made[original]]
    assert part.moved(10.0).boxes[:, 0].tolist() == (part.boxes[:, 0] + 10).tolist()


@given(shapes, points, st.floats(0, 5000))
def test_hits_are_exactly_the_boxes_that_touch(made, corner, size):
    whole = layer(made)
    box = (corner[0], corner[1], corner[0] + size, corner[1] + size)
    hits = set(whole.hits(box).tolist())
    for i, b in enumerate(whole.boxes):
        touches = b[0] <= box[2] and b[2] >= box[0] and b[1] <= box[3] and b[3] >= box[1]
        assert (i in hits) == touches


def test_fingerprints_tell_things_apart_and_are_the_same_in_another_process():
    things = ("a", 1, 2.5, [1, 2], {"k": None}, np.arange(4), b"x", Grid.web_mercator(3))
    seen = {fingerprint(t) for t in things}
    assert len(seen) == len(things)
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint(np.arange(4)) != fingerprint(np.arange(4).reshape(2, 2))
    code = "from mapstyle.fingerprint import *; print(fingerprint('a', 1, {'k': [1]}), stable_id('way/7'))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert told == [fingerprint("a", 1, {"k": [1]}), str(stable_id("way/7"))]


def test_a_path_is_named_by_its_content(tmp_path):
    (tmp_path / "a").write_text("same")
    (tmp_path / "b").write_text("same")
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")


def test_the_nearest_name_is_offered():
    assert (
        nearest("watercolor", ["watercolour", "pen-and-ink"])
        == "Did you mean 'watercolour'? Known: pen-and-ink, watercolour."
    )
    assert nearest("zzz", ["ink"]) == "Known: ink."


def test_tables_know_every_kind():
    assert set(APPEARS) == set(LayerKind)
    assert set(ROADS) <= set(CARTOGRAPHIC)
    assert len(LAND_COVER) == len(LandClass) - 1


@given(st.sampled_from(sorted(CARTOGRAPHIC)), st.floats(3, 20), st.floats(0.001, 0.02), st.floats(40, 70))
def test_widths_are_continuous_and_grow(kind, level, step, latitude):
    levels = Levels()

    def width(at: float) -> float:
        scale = 2**at * 256 / 40_075_016.7 / np.cos(np.radians(latitude))
        return float(levels.line_width(kind, at, scale))

    assert width(level + step) >= width(level) - 1e-9
    assert width(level + step) - width(level) < 0.05 * (1 + width(level))


def test_a_style_may_say_what_appears_and_how_wide():
    levels = Levels.model_validate({"appears": {"building": 15}, "width": {"path": 2}})
    assert not levels.shows(LayerKind.BUILDING, 14)
    assert levels.shows(LayerKind.BUILDING, 15)
    assert float(levels.line_width(LayerKind.PATH, 16, 0.5)) == pytest.approx(
        2 * float(Levels().line_width(LayerKind.PATH, 16, 0.5))
    )
    assert float(Levels().line_width(LayerKind.RIVER, 18, 2.0, 100.0)) == pytest.approx(200, rel=0.01)


def test_planes_left_out_are_what_nothing_looks_like():
    frame = Frame(Grid.web_mercator(3), 0, 0, 4, 4)
    scene = Scene(frame, {})
    for name, spec in PLANES.items():
        plane = scene.plane(name)
        assert plane.shape == (4, 4)
        assert plane.dtype == spec.dtype
    assert (scene.plane("shore") == -64).all()
    assert (scene.plane("road_u") == 99).all()


def test_a_picture_fills_its_frame():
    frame = Frame(Grid.web_mercator(3), 0, 0, 4, 6)
    with pytest.raises(AssertionError):
        MapImage(frame, np.zeros((4, 6, 4), np.uint8))
