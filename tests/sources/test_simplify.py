"""Simplified neighbours fit as exactly as they did before."""

from collections import Counter

import numpy as np
import pytest
import shapely
from atlas_builder import AT, GRID, atlas, degrees, everything, frame, table
from hypothesis import given, settings
from hypothesis import strategies as st

from mapstyle.frame import Grid
from mapstyle.layers import LayerKind, VectorLayer
from mapstyle.sources.atlas import Shape
from mapstyle.sources.generalise import SMALLEST_AREA, SMALLEST_SINGLE
from mapstyle.sources.level_index import LevelIndex
from mapstyle.sources.simplify import TOLERANCE

K = LayerKind
KINDS = (K.WOOD, K.FARMLAND, K.MEADOW)


def wriggle(a, b, rng, pieces=14, amount=0.6):
    """Give a wavering line from a to b, both included."""
    t = np.linspace(0, 1, pieces + 1)[:, None]
    line = np.asarray(a) * (1 - t) + np.asarray(b) * t
    line[1:-1] += rng.normal(0, amount, (pieces - 1, 2))
    return line


def parcels(seed: int, n: int = 3, size: float = 60.0) -> list[shapely.Polygon]:
    """Cover a square with parcels whose borders waver, and put an island into some."""
    rng = np.random.default_rng(seed)
    knots = np.stack(np.meshgrid(np.arange(n + 1), np.arange(n + 1)), -1) * size + rng.normal(0, 8, (n + 1, n + 1, 2))
    across = {(i, j): wriggle(knots[i, j], knots[i, j + 1], rng) for i in range(n + 1) for j in range(n)}
    down = {(i, j): wriggle(knots[i, j], knots[i + 1, j], rng) for i in range(n) for j in range(n + 1)}
    out = []
    for i in range(n):
        for j in range(n):
            ring = [across[i, j][:-1], down[i, j + 1][:-1], across[i + 1, j][:0:-1], down[i, j][:0:-1]]
            ring = np.concatenate(ring)
            holes = []
            if rng.random() < 0.4:
                angle = np.linspace(0, 2 * np.pi, 40)[:-1]
                middle = ring.mean(axis=0)
                hole = middle + 8 * np.column_stack([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.2, (39, 2))
                holes.append(hole)
                out.append(shapely.Polygon(np.roll(hole, rng.integers(39), axis=0)))
            # Each ring starts elsewhere and runs either way, as in real files.
            ring = np.roll(ring, rng.integers(len(ring)), axis=0)
            out.append(shapely.Polygon(ring[::-1] if rng.random() < 0.5 else ring, holes))
    return out


def edges_left_open(layers: list[VectorLayer]) -> Counter:
    """Count edges, each area's the same way round: those of neighbours take each other away."""
    left: Counter = Counter()
    for layer in layers:
        for i in range(len(layer)):
            for k, ring in enumerate(layer.parts(i)):
                x, y = (ring - ring[0]).T
                clockwise = np.dot(x[:-1], y[1:]) > np.dot(y[:-1], x[1:])
                ring = ring if clockwise == (k == 0) else ring[::-1]
                for a, b in zip(ring[:-1].tolist(), ring[1:].tolist(), strict=True):
                    left[tuple(a), tuple(b)] += 1
    return Counter({e: c for e, c in left.items() if c - left.get((e[1], e[0]), 0) > 0})


def spread(shapes: list[shapely.Polygon], seed: int = 0) -> list:
    """Share shapes out to tables of several kinds, in any order."""
    order = np.random.default_rng(seed).permutation(len(shapes))
    groups = [[degrees(shapes[i]) for i in order if i % 3 == k] for k in range(3)]
    return [table(k, Shape.AREA, g) for k, g in zip(KINDS, groups, strict=True) if g]


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_borders_of_neighbours_stay_one(seed):
    shapes = parcels(seed)
    stack = LevelIndex.build(atlas(*spread(shapes)), GRID).read(everything())
    layers = list(stack.areas.values())
    before = sum(len(shapely.get_coordinates(s)) for s in shapes)
    assert sum(len(layer.coords) for layer in layers) < 0.9 * before  # something was simplified
    left = edges_left_open(layers)
    # What is left open is the outline alone: it is one closed ring round everything.
    outline = shapely.line_merge(shapely.multilinestrings([shapely.LineString(e) for e in left]))
    assert outline.is_ring
    whole = shapely.Polygon(outline).area
    true = shapely.union_all(shapes).area
    assert whole == pytest.approx(true, abs=TOLERANCE * outline.length)


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_order_of_features_decides_nothing(seed):
    shapes = parcels(seed)
    one = LevelIndex.build(atlas(*spread(shapes, 1)), GRID).read(everything())
    other = LevelIndex.build(atlas(*spread(shapes, 2)), GRID).read(everything())
    for kind in KINDS:
        np.testing.assert_array_equal(one.areas[kind].ids, other.areas[kind].ids)
        for i in range(len(one.areas[kind])):
            for a, b in zip(one.areas[kind].parts(i), other.areas[kind].parts(i), strict=True):
                start = int(np.flatnonzero((b[:-1] == a[0]).all(axis=1))[0])
                np.testing.assert_array_equal(a[:-1], np.roll(b[:-1], -start, axis=0))


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_nothing_moves_further_than_the_tolerance(seed):
    rng = np.random.default_rng(seed)
    line = np.cumsum(rng.normal(0, 1.2, (200, 2)) + np.array([0.7, 0.2]), axis=0)
    stack = LevelIndex.build(atlas(table(K.RIVER, Shape.LINE, [degrees(shapely.LineString(line))])), GRID).read(
        everything()
    )
    seen = stack.lines[K.RIVER].coords - AT
    assert len(seen) < len(line)
    # An OSM coordinate is a hundred-millionth of a degree: 5e-3 pixels here.
    assert shapely.hausdorff_distance(shapely.LineString(line), shapely.LineString(seen)) < TOLERANCE + 0.01


def test_roads_keep_meeting_and_follow_the_field_beside_them():
    rng = np.random.default_rng(3)
    shared = wriggle((0, 0), (80, 0), rng)
    field = shapely.Polygon([*shared, (80, 60), (0, 60)])
    road = shapely.LineString(shared)
    lane = shapely.LineString([shared[7], shared[7] + [3, -30]])
    stack = LevelIndex.build(
        atlas(
            table(K.FARMLAND, Shape.AREA, [degrees(field)]),
            table(K.STREET, Shape.LINE, [degrees(road)]),
            table(K.PATH, Shape.LINE, [degrees(lane)]),
        ),
        GRID,
    ).read(everything())
    on_road = {tuple(p) for p in stack.lines[K.STREET].coords.tolist()}
    ends = {tuple(p) for p in stack.lines[K.PATH].coords[[0, -1]].tolist()}
    assert len(on_road & ends) == 1
    assert on_road <= {tuple(p) for p in stack.areas[K.FARMLAND].coords.tolist()}


@given(st.floats(0.2, 4.0), st.sampled_from([K.WOOD, K.BUILDING, K.POOL]))
def test_areas_are_dropped_only_below_their_threshold(side, kind):
    square = shapely.box(0, 0, side, side)
    stack = LevelIndex.build(atlas(table(kind, Shape.AREA, [degrees(square)])), GRID).read(everything())
    least = SMALLEST_AREA if kind is K.WOOD else SMALLEST_SINGLE
    if abs(side * side - least) < 0.05:
        return  # rounding of degrees may decide
    assert (kind in stack.areas) == (side * side > least)
    if kind in stack.areas:
        assert stack.areas[kind].area[0] == pytest.approx(side * side, rel=0.03)


def test_holes_go_with_their_outer_ring_and_stay_with_it():
    island = shapely.box(40, 40, 60, 60)
    lake = shapely.MultiPolygon(
        [shapely.box(0, 0, 100, 100) - island, shapely.box(200, 0, 200.4, 0.4) - shapely.box(200.1, 0.1, 200.2, 0.2)]
    )
    layer = LevelIndex.build(atlas(table(K.WATER, Shape.AREA, [degrees(lake)])), GRID).read(everything()).areas[K.WATER]
    rings = layer.parts(0)
    assert len(rings) == 2
    assert all((r[0] == r[-1]).all() for r in rings)
    drawn = shapely.Polygon(rings[0]) ^ shapely.Polygon(rings[1])
    assert not drawn.contains(shapely.Point(AT + 50))
    assert drawn.contains(shapely.Point(AT + 10))


def test_buildings_keep_every_corner_at_large_scales():
    house = shapely.Polygon([(0, 0), (10, 0), (10, 5), (10.2, 5.2), (10, 5.4), (10, 10), (0, 10)])
    at_16 = LevelIndex.build(atlas(table(K.BUILDING, Shape.AREA, [degrees(house)])), GRID).read(everything())
    assert len(at_16.areas[K.BUILDING].coords) == 8
    coarse = Grid.web_mercator(14)
    at = AT / 4
    wide = everything(coarse, at)
    at_14 = LevelIndex.build(atlas(table(K.BUILDING, Shape.AREA, [degrees(house)])), coarse).read(wide)
    assert len(at_14.areas[K.BUILDING].coords) == 5


def test_long_edges_follow_the_ground_on_a_metre_grid():
    # A parallel is an arc in UTM; neighbours to its north and south must bend alike.
    north, south = shapely.box(7, 49, 11, 50), shapely.box(7, 48, 11, 49)
    grid = Grid.metric("EPSG:32632", 50.0, 49.0)
    index = LevelIndex.build(atlas(table(K.WOOD, Shape.AREA, [north]), table(K.FARMLAND, Shape.AREA, [south])), grid)
    middle = grid.project(np.array([[9.0, 49.0]]))[0]
    stack = index.read(frame(-9000, -9000, 18_000, 18_000, middle.round(), grid))
    left = edges_left_open(list(stack.areas.values()))
    assert shapely.line_merge(shapely.multilinestrings([shapely.LineString(e) for e in left])).is_ring
    parallel = grid.project(np.column_stack([np.linspace(7, 11, 200), np.full(200, 49.0)]))
    border = shapely.Polygon(stack.areas[K.WOOD].coords).exterior
    assert max(border.distance(shapely.Point(p)) for p in parallel) < 0.25 + TOLERANCE
    straight = shapely.LineString(parallel[[0, -1]])
    assert straight.distance(shapely.Point(parallel[100])) > 20  # so the test can fail


def test_a_tie_is_settled_alike_from_both_sides():
    # Both middle vertices are as far from the chord, and either would do: neighbours must keep the same one.
    border = [(0, 0), (4, 0.6), (8, 0.6), (12, 0)]
    above = shapely.Polygon([*border, (12, 9), (0, 9)])
    below = shapely.Polygon([*border[::-1], (0, -9), (12, -9)])
    both = atlas(table(K.WOOD, Shape.AREA, [degrees(above)]), table(K.MEADOW, Shape.AREA, [degrees(below)]))
    layers = list(LevelIndex.build(both, GRID).read(everything()).areas.values())
    assert sum(len(layer.coords) for layer in layers) == 12  # one of the two is gone from each
    left = edges_left_open(layers)
    assert shapely.line_merge(shapely.multilinestrings([shapely.LineString(e) for e in left])).is_ring


def test_a_hole_whose_outer_ring_collapses_is_not_filled():
    lens = [(0, 0), (2, 0.34), (38, 0.34), (40, 0), (38, -0.34), (2, -0.34)]
    slit = [(3, -0.3), (37, -0.3), (37, 0.3), (3, 0.3)]
    moat = table(K.WATER, Shape.AREA, [degrees(shapely.Polygon(lens, [slit]) | shapely.box(0, 50, 9, 59))])
    layer = LevelIndex.build(atlas(moat), GRID).read(everything()).areas[K.WATER]
    assert len(layer.parts(0)) == 1
    assert layer.boxes[0, 2] - layer.boxes[0, 0] == pytest.approx(9, abs=0.1)
