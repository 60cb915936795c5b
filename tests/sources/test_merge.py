"""What runs along a line runs on through every joint."""

from itertools import pairwise

import numpy as np
import pytest
import shapely
from atlas_builder import GRID, atlas, degrees, everything, table
from hypothesis import given, settings
from hypothesis import strategies as st

from mapstyle.layers import LayerKind, VectorLayer
from mapstyle.sources.atlas import Shape
from mapstyle.sources.level_index import LevelIndex

K = LayerKind


def drawn(*lines, kind=K.RAIL, **more) -> VectorLayer:
    shapes = [degrees(shapely.LineString(line)) for line in lines]
    return LevelIndex.build(atlas(table(kind, Shape.LINE, shapes, **more)), GRID).read(everything()).lines[kind]


def length(line: np.ndarray) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def check_along(layer: VectorLayer) -> list[list[int]]:
    """Check that lengths go on from line to line; give the chains."""
    rings = [layer.coords[a:b] for a, b in zip(layer.rings[:-1], layer.rings[1:], strict=True)]
    begins = [i for i, along in enumerate(layer.along) if along == 0]
    chains = []
    for begin in begins:
        run = [begin]
        while True:
            end, so_far = rings[run[-1]][-1], layer.along[run[-1]] + length(rings[run[-1]])
            onward = [i for i, r in enumerate(rings) if (r[0] == end).all() and abs(layer.along[i] - so_far) < 1e-6]
            if not onward:
                break
            run.append(onward[0])
        chains.append(run)
    assert sorted(i for run in chains for i in run) == list(range(len(rings)))
    return chains


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_lengths_go_on_through_ways_however_they_were_cut_and_turned(seed):
    rng = np.random.default_rng(seed)
    line = np.cumsum(rng.normal(0, 2, (60, 2)) + np.array([4, 1]), axis=0)
    cuts = [0, *sorted(rng.choice(np.arange(1, 59), 5, replace=False).tolist()), 59]
    ways = [line[a : b + 1] for a, b in pairwise(cuts)]
    ways = [w[::-1] if rng.random() < 0.5 else w for w in ways]
    rng.shuffle(ways)
    layer = drawn(*ways)
    chains = check_along(layer)
    assert len(chains) == 1
    # Cut or not, dashes fall on the same places: a chain is as long as the line that it is made of.
    whole = drawn(line)
    total = max(layer.along[i] + length(layer.parts(i)[0]) for i in range(len(layer)))
    assert total == pytest.approx(length(whole.coords), rel=0.01)


def test_a_line_goes_straight_on_through_a_junction():
    layer = drawn([(0, 0), (50, 0)], [(50, 0), (100, 4)], [(50, 0), (52, 60)], [(50, -40), (50, 0)])
    chains = check_along(layer)
    assert sorted(map(len, chains)) == [2, 2]
    for run in chains:
        box = layer.boxes[run]
        across = box[:, 2].max() - box[:, 0].min()
        down = box[:, 3].max() - box[:, 1].min()
        assert max(across, down) > 90
        assert min(across, down) < 10


def test_a_sharp_turn_at_a_junction_is_another_line():
    layer = drawn([(0, 0), (50, 0)], [(50, 0), (10, 30)], [(50, 0), (10, -30)])
    assert len(check_along(layer)) == 3


def test_a_chain_runs_the_way_most_of_it_was_drawn():
    layer = drawn([(0, 0), (30, 0)], [(130, 0), (30, 0)], kind=K.RIVER)
    assert len(check_along(layer)) == 1
    for i in range(2):
        part = layer.parts(i)[0]
        assert part[0, 0] > part[-1, 0]


def test_a_loop_is_measured_once_round():
    angle = np.linspace(0, 2 * np.pi, 41)
    circle = 50 * np.column_stack([np.cos(angle), np.sin(angle)])
    circle[-1] = circle[0]
    layer = drawn(circle[:11], circle[10:31], circle[30:])
    assert [len(run) for run in check_along(layer)] == [3]


def test_bridges_stay_ways_of_their_own():
    layer = drawn(
        [(0, 0), (30, 0)], [(30, 0), (40, 0)], [(40, 0), (90, 0)], bridge=[False, True, False], layer=[0, 1, 0]
    )
    assert len(check_along(layer)) == 1
    assert layer.bridge.tolist().count(True) == 1
    bridge = int(np.flatnonzero(layer.bridge)[0])
    assert layer.layer[bridge] == 1
    assert layer.boxes[bridge, 2] - layer.boxes[bridge, 0] == pytest.approx(10, abs=0.1)


def test_kinds_are_not_joined():
    shapes = [degrees(shapely.LineString(c)) for c in ([(0, 0), (50, 0)], [(50, 0), (90, 0)])]
    tables = [table(k, Shape.LINE, [s]) for k, s in zip((K.RAIL, K.TRAM), shapes, strict=True)]
    stack = LevelIndex.build(atlas(*tables), GRID).read(everything())
    assert stack.lines[K.RAIL].along[0] == stack.lines[K.TRAM].along[0] == 0


def test_on_real_streets_lengths_go_on(shared_data, tmp_path):
    from mapstyle.sources.store import open_atlas

    index = LevelIndex.build(open_atlas([str(shared_data / "monaco.osm.gz")], tmp_path), GRID)
    centre = GRID.project(np.array([[7.42, 43.737]]))[0]
    stack = index.read(everything(at=centre.round()))
    for kind in (K.STREET, K.PRIMARY, K.SECONDARY):
        layer = stack.lines[kind]
        assert len(check_along(layer)) < 0.75 * len(layer)
