"""What could be labelled, and where, follows from whole features alone."""

import numpy as np
import pytest
import shapely
from atlas_builder import AT, GRID, atlas, degrees, everything, frame, named, table
from hypothesis import given, settings
from hypothesis import strategies as st

from mapstyle.frame import Frame, Grid
from mapstyle.layers import LayerKind
from mapstyle.placed import LabelKind, LabelSeed
from mapstyle.sources.atlas import Shape
from mapstyle.sources.level_index import LevelIndex
from mapstyle.sources.seeds import SPARE_LEVELS

K = LayerKind


def points(kind, *names, **more):
    shapes = [degrees(shapely.Point(10.0 * i, 5.0 * i)) for i in range(len(names))]
    return table(kind, Shape.POINT, shapes, names=named(*names), **more)


def seeds_of(*tables, grid=GRID, at=AT) -> list[LabelSeed]:
    return list(LevelIndex.build(atlas(*tables), grid).seeds(everything(grid, at)))


def line(kind, name, *lines):
    shapes = [degrees(shapely.LineString(c)) for c in lines]
    return table(kind, Shape.LINE, shapes, names=named(*[name] * len(lines)))


def river(seed: int, steps: int = 260) -> np.ndarray:
    rng = np.random.default_rng(seed)
    bend = np.cumsum(rng.normal(0, 0.15, steps)) * 0.7
    return np.cumsum(12 * np.column_stack([np.cos(bend), np.sin(bend)]), axis=0) - [1500, 0]


def same(a: LabelSeed, b: LabelSeed) -> bool:
    paths = (a.path is None) == (b.path is None) and (a.path is None or np.array_equal(a.path, b.path))
    return paths and all(
        getattr(a, f) == getattr(b, f) for f in ("kind", "rank", "names", "id", "x", "y", "room", "level")
    )


@settings(max_examples=30)
@given(st.integers(-2000, 2000), st.integers(-1500, 1500), st.integers(100, 1500), st.integers(100, 1500))
def test_a_frame_gets_the_seeds_that_any_larger_one_gets(left, top, width, height):
    index = _town()
    large = {s.id: s for s in index.seeds(everything())}
    small = index.seeds(frame(left, top, width, height))
    x0, y0, x1, y1 = frame(left, top, width, height).logical_box
    assert {s.id for s in small} == {i for i, s in large.items() if x0 <= s.x < x1 and y0 <= s.y < y1}
    assert all(same(s, large[s.id]) for s in small)


_TOWNS: list[LevelIndex] = []


def _town() -> LevelIndex:
    if not _TOWNS:
        wood = shapely.Point(-400, 300).buffer(220)
        _TOWNS.append(
            LevelIndex.build(
                atlas(
                    points(K.PLACE, "Aha", "Bebe", rank=[2, 4]),
                    points(K.POI, "Museum", "", rank=[1, 1]),
                    line(K.RIVER, "Main", river(1)[:100], river(1)[99:]),
                    line(K.STREET, "Long Street", [(0, 100), (400, 120)], [(400, 120), (1400, 90)]),
                    table(K.WOOD, Shape.AREA, [degrees(wood)], names=named("Deep Wood")),
                ),
                GRID,
            )
        )
    return _TOWNS[0]


def test_a_town_has_seeds_of_every_kind():
    found = {s.kind for s in _town().seeds(everything())}
    assert found == {LabelKind.PLACE, LabelKind.POI, LabelKind.RIVER, LabelKind.STREET, LabelKind.PARK}
    assert len({s.id for s in _town().seeds(everything())}) == len(_town().seeds(everything()))


def test_pieces_tile_the_seeds():
    whole = everything(size=2000)
    pieces = [s.id for cell in whole.pieces(16, 900) for s in _town().seeds(cell)]
    assert sorted(pieces) == sorted(s.id for s in _town().seeds(whole))


def test_nameless_features_are_not_labelled():
    assert [s.names[""] for s in seeds_of(points(K.POI, "", "Bar", rank=[0, 0]))] == ["Bar"]


def test_places_come_by_rank_and_no_sooner_than_a_style_may_ask():
    coarse = Grid.web_mercator(9)
    found = seeds_of(points(K.PLACE, *"ABCDEF", rank=range(6)), grid=coarse, at=(AT / 128).round())
    assert [s.names[""] for s in found] == ["A", "B", "C", "D"]
    assert all(s.level <= 9 + SPARE_LEVELS for s in found)
    assert [s.level for s in found] == sorted(s.level for s in found)


def test_peaks_carry_their_height():
    (peak,) = seeds_of(points(K.PEAK, "Spitze", height=[2942.4], detail=["peak"]))
    assert peak.kind is LabelKind.PEAK
    assert peak.detail == "peak:2942"


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_repeats_of_a_river_know_nothing_of_how_its_ways_were_cut(seed):
    course = river(seed)
    rng = np.random.default_rng(seed)
    cut = int(rng.integers(20, 240))
    ways = [course[: cut + 1], course[cut:]]
    ways = [w[::-1] if rng.random() < 0.3 else w for w in ways]
    whole = seeds_of(line(K.RIVER, "Main", course))
    parts = seeds_of(line(K.RIVER, "Main", *ways))
    length = np.hypot(*np.diff(course, axis=0).T).sum()
    assert len(whole) == len(parts) == round(length / 700)
    places = sorted((s.x, s.y) for s in whole)
    for (x, y), (u, v) in zip(places, sorted((s.x, s.y) for s in parts), strict=True):
        # The cut is a vertex that simplification keeps, so lengths differ by a hair.
        assert np.hypot(x - u, y - v) < 12


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_paths_are_smooth_centred_and_near_the_line(seed):
    course = river(seed)
    true = shapely.LineString(course + AT)
    for s in seeds_of(line(K.RIVER, "Main", course)):
        steps = np.diff(s.path, axis=0)
        lengths = np.hypot(*steps.T)
        assert 60 < lengths.sum() <= 420
        assert lengths.std() < 0.1 * lengths.mean()
        middle = s.path[len(s.path) // 2]
        assert (middle == [s.x, s.y]).all()
        angle = np.arctan2(*steps.T[::-1])
        turn = (np.diff(angle) + np.pi) % (2 * np.pi) - np.pi
        assert np.abs(turn).max() < 0.6
        assert max(true.distance(shapely.Point(p)) for p in s.path) < 15


def test_streets_of_one_name_are_one_whatever_their_class_and_short_ones_have_no_name():
    first, second = [(0, 0), (300, 0)], [(300, 0), (620, 20)]
    joined = seeds_of(line(K.TERTIARY, "Rue", first), line(K.STREET, "Rue", second))
    assert len(joined) == 1
    assert 200 < joined[0].x - AT[0] < 420
    assert not seeds_of(line(K.STREET, "A very long name indeed", [(0, 0), (60, 0)]))
    two = seeds_of(line(K.STREET, "Rue", first), line(K.SERVICE, "Allee", second))
    assert {s.names[""] for s in two} == {"Rue", "Allee"}


def test_repeats_choose_the_calm_stretch():
    zigzag = [(x, 12 * (i % 2)) for i, x in enumerate(range(0, 380, 20))]
    calm = [(x, 0) for x in range(380, 700, 50)]
    (seed,) = seeds_of(line(K.STREET, "Rue", [*zigzag, *calm]))
    assert seed.path is not None
    assert seed.x - AT[0] > 400
    assert np.ptp(seed.path[:, 1]) < 6


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_names_of_areas_stand_inside_with_the_room_they_claim(seed):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 16))
    shape = shapely.Polygon(rng.uniform(30, 200, 16)[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]))
    if rng.random() < 0.5:
        shape = shape - shapely.Point(0, 0).buffer(15)
    shape = max(shapely.get_parts(shapely.make_valid(shape)), key=lambda g: g.area)
    found = seeds_of(table(K.PARK, Shape.AREA, [degrees(shape)], names=named("Park")))
    if not found:
        assert shape.area < 4000 or shape.buffer(-8).is_empty
        return
    (s,) = found
    x, y = np.array([s.x, s.y]) - AT
    _, top, _, bottom = shape.bounds
    half = min(6.0, (bottom - top) / 5)  # a line of words is free above and below as well
    for beside in (-half, 0.0, half):
        row = shapely.LineString([(x - s.room / 2 + 1, y + beside), (x + s.room / 2 - 1, y + beside)])
        assert shape.buffer(0.5).contains(row)
    assert s.kind is LabelKind.PARK


def test_areas_are_named_when_they_are_large_enough_and_only_then():
    park = shapely.box(0, 0, 40, 40)
    for level, wanted in ((16, True), (15, False)):
        grid = Grid.web_mercator(level)
        at = AT / 2 ** (16 - level)
        found = seeds_of(table(K.PARK, Shape.AREA, [degrees(park)], names=named("P")), grid=grid, at=at)
        assert [s.level <= level + 1e-3 for s in found] == [wanted]


def test_river_banks_leave_their_name_to_the_river():
    bank = table(K.WATER, Shape.AREA, [degrees(shapely.box(0, 0, 90, 90))], names=named("Main"), detail=["river"])
    lake = table(K.WATER, Shape.AREA, [degrees(shapely.box(0, 0, 90, 90))], names=named("See"), detail=["lake"])
    assert not seeds_of(bank)
    assert [s.kind for s in seeds_of(lake)] == [LabelKind.WATER]


def test_a_building_that_is_a_point_of_interest_is_named_once():
    church = degrees(shapely.box(0, 0, 60, 40))
    ids = np.array([7], np.uint64)
    building = table(K.BUILDING, Shape.AREA, [church], names=named("St. Mary"), ids=ids)
    poi = table(K.POI, Shape.POINT, [church.centroid], names=named("St. Mary"), ids=ids, rank=[2])
    assert len(seeds_of(building, poi)) == 1
    assert [s.kind for s in seeds_of(building)] == [LabelKind.POI]


@given(st.integers(-3, 3))
def test_seeds_come_round_the_world(turns):
    grid = Grid.web_mercator(10)
    places = table(
        K.PLACE, Shape.POINT, [shapely.Point(179.9, 1.0), shapely.Point(-179.9, 1.0)], names=named("East", "West")
    )
    index = LevelIndex.build(atlas(places, bounds=(-180, 0, 180, 2)), grid)
    row = int(grid.project(np.array([[0.0, 1.0]]))[0, 1])
    found = index.seeds(Frame(grid, turns * grid.turn - 512, row - 256, 1024, 512))
    where = {s.names[""]: s.x - turns * grid.turn for s in found}
    assert where == {"East": pytest.approx(-0.1 / 360 * grid.turn), "West": pytest.approx(0.1 / 360 * grid.turn)}
