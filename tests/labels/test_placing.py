"""Placement is a function of the ground: the same from any frame, and decided near by."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from seed_layers import SeedLayers, crowd

from mapstyle.fingerprint import stable_id
from mapstyle.frame import Frame, Grid
from mapstyle.labels import REACH, LabelPlacer, LabelSettings, drop_cut, place_labels
from mapstyle.labels.candidates import EXTENT, candidates, importance
from mapstyle.labels.place import MEETING
from mapstyle.labels.rounds import HOPS, ROUNDS, Contender, Rivals, settle
from mapstyle.placed import LabelKind, LabelSeed, PlacedLabel

LOOK = LabelSettings()
WORLD = Grid.web_mercator(5)
SHEET = Grid.metric("EPSG:32632", 5.0, 43.7)
SIDE = 2400
AT = {
    "antimeridian": (WORLD, WORLD.turn - SIDE // 2, 3000),
    "negative": (SHEET, -SIDE // 2 - 31, -SIDE // 2 + 17),
}
LAYERS = {name: crowd(grid, 420, x, y, SIDE, salt=i) for i, (name, (grid, x, y)) in enumerate(AT.items())}
PLACERS = {name: LabelPlacer(layers, LOOK, level=15.5) for name, layers in LAYERS.items()}


def whole(name: str) -> list[PlacedLabel]:
    grid, x, y = AT[name]
    return PLACERS[name].place(Frame(grid, x - 300, y - 300, SIDE + 600, SIDE + 600))


def touching(labels: list[PlacedLabel], frame: Frame) -> list[PlacedLabel]:
    left, top, right, bottom = frame.logical_box
    return [k for k in labels if k.box[2] > left and k.box[0] < right and k.box[3] > top and k.box[1] < bottom]


@settings(max_examples=18)
@given(
    st.sampled_from(sorted(AT)), st.integers(0, SIDE), st.integers(0, SIDE), st.integers(1, 900), st.integers(1, 900)
)
@example("antimeridian", SIDE // 2 - 1, 1200, 2, 300)
def test_a_label_does_not_depend_on_the_frame(name: str, dx: int, dy: int, width: int, height: int) -> None:
    grid, x, y = AT[name]
    frame = Frame(grid, x + dx, y + dy, width, height)
    fresh = LabelPlacer(LAYERS[name], LOOK, level=15.5)
    assert fresh.place(frame) == touching(whole(name), frame)


@pytest.mark.parametrize("name", sorted(AT))
def test_no_two_labels_overlap_and_most_ground_is_used(name: str) -> None:
    labels = whole(name)
    assert len(labels) > 60
    boxes = {k.id: ink_boxes(k) for k in labels}
    for a, b in combinations(labels, 2):
        if a.box[0] < b.box[2] and b.box[0] < a.box[2] and a.box[1] < b.box[3] and b.box[1] < a.box[3]:
            assert not any(
                p[0] < q[2] and q[0] < p[2] and p[1] < q[3] and q[1] < p[3] for p in boxes[a.id] for q in boxes[b.id]
            ), f"{a.text} lies over {b.text}"


def ink_boxes(label: PlacedLabel) -> list[tuple[float, float, float, float]]:
    """Small squares at the foot of each glyph: surely ink of this label and no other."""
    r = 0.1 * label.size
    return [(g.x - r, g.y - r, g.x + r, g.y + r) for g in label.glyphs]


def test_labels_repeat_exactly_round_the_world() -> None:
    grid, x, y = AT["antimeridian"]
    once = PLACERS["antimeridian"].place(Frame(grid, x, y, 900, 900))
    again = PLACERS["antimeridian"].place(Frame(grid, x - 3 * grid.turn, y, 900, 900))
    assert once
    assert [replace(k, glyphs=tuple(replace(g, x=g.x + 3 * grid.turn) for g in k.glyphs)).glyphs for k in again] == [
        k.glyphs for k in once
    ]
    assert [k.box[0] + 3 * grid.turn for k in again] == [k.box[0] for k in once]


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_world_smaller_than_a_cell_can_be_labelled(level: int) -> None:
    grid = Grid.web_mercator(level)
    layers = crowd(grid, 30, 0, 0, grid.turn)
    labels = place_labels(layers, Frame(grid, 0, 0, grid.turn, grid.turn), LOOK, level=15.5)
    beyond = place_labels(layers, Frame(grid, grid.turn, 0, grid.turn, grid.turn), LOOK, level=15.5)
    assert labels
    assert [k.text for k in labels] == [k.text for k in beyond]


def test_pixel_ratio_moves_nothing() -> None:
    grid, x, y = AT["negative"]
    fine = Frame(grid.at_ratio(2), 2 * x + 600, 2 * y + 600, 1200, 1200)
    assert PLACERS["negative"].place(fine) == PLACERS["negative"].place(Frame(grid, x + 300, y + 300, 600, 600))


def test_seeds_come_from_within_the_reach_alone() -> None:
    layers = LAYERS["negative"]
    layers.asked.clear()
    grid, x, y = AT["negative"]
    frame = Frame(grid, x + 1000, y + 1000, 64, 64)
    LabelPlacer(layers, LOOK, level=15.5).place(frame)
    # Seeds are asked for by whole cells, so one cell's side may be added.
    near = frame.pad(REACH + 512)
    assert layers.asked
    assert all(near.contains(f) for f in layers.asked)


def test_halving_the_meeting_distance_shows() -> None:
    """Two long names whose anchors are far apart, and whose ends overlap."""
    name = "Saint-Barthélemy-de-la-Montagne-Noire"
    seeds = [
        LabelSeed(LabelKind.STREET, i, {"": name + " abc"[i] * (i + 1)}, i + 1, 200.0 + 260 * i, 100.0, line(200.0 + 260 * i))
        for i in range(2)
    ]  # fmt: skip
    layers = SeedLayers(SHEET, seeds)
    frame = Frame(SHEET, 0, 0, 700, 200)
    big = LabelSettings.model_validate({"street": {"size": [16], "largest": 16}})
    assert len(place_labels(layers, frame, big, 16)) == 1
    assert len(LabelPlacer(layers, big, level=16, meeting=MEETING / 2).place(frame)) == 2


def line(x: float) -> np.ndarray:
    return np.array([[x - 240, 100.0], [x + 240, 100.0]])


def test_a_fate_hangs_on_seven_neighbours_and_no_more() -> None:
    """In a row of labels, each more important than the last, every second wins, from the far end on."""
    row = [Contender((-float(i), i), [None], (0, 0)) for i in range(12)]  # type: ignore[list-item]
    meets = {c: Rivals({row[j]: {(0, 0)} for j in (i - 1, i + 1) if 0 <= j < 12}) for i, c in enumerate(row)}
    taken = settle(row, meets.__getitem__)
    assert [row.index(c) for c in taken] == [5, 7, 9, 11], "what four rounds leave undecided is left out"
    for hops in range(HOPS + 3):
        alone = {i: row[i] in settle([row[i]], meets.__getitem__, hops) for i in range(12)}
        agrees = alone == {i: row[i] in taken for i in range(12)}
        assert agrees == (hops >= HOPS), f"looking {hops} neighbours far"


def test_settling_alone_or_together_is_the_same() -> None:
    placer = PLACERS["negative"]
    cells = [(c, r) for c in range(-3, 3) for r in range(-3, 3)]
    everyone = [c for cell in cells for c in placer._contenders.fetch(cell, placer._contend)]
    together = settle(everyone, placer._rivals_of, hops=10**6)
    apart = {}
    for cell in cells:
        apart.update(settle(placer._contenders.fetch(cell, placer._contend), placer._rivals_of))
    assert apart == together
    undecided = sum(
        c not in together
        and not any((0, together[r]) in pairs for r, pairs in placer._rivals_of(c).meets.items() if r in together)
        for c in everyone
    )
    assert ROUNDS == 4
    assert undecided < 0.02 * len(everyone), "hardly any label is left out without need"


@settings(max_examples=60)
@given(st.integers(0, 419), st.floats(3, 18))
def test_no_candidate_reaches_beyond_the_extent(i: int, level: float) -> None:
    seed = LAYERS["negative"]._seeds[i]
    for candidate in candidates(seed, LOOK, level, ""):
        for box in (*candidate.boxes, candidate.label.box):
            assert max(seed.x - box[0], seed.y - box[1], box[2] - seed.x, box[3] - seed.y) <= EXTENT


def test_drop_cut_removes_what_is_cut_and_moves_nothing() -> None:
    grid, x, y = AT["negative"]
    frame = Frame(grid, x + 500, y + 500, 400, 400)
    labels = PLACERS["negative"].place(frame)
    kept = drop_cut(labels, frame)
    assert 0 < len(kept) < len(labels)
    left, top, right, bottom = frame.logical_box
    for label in labels:
        inside = label.box[0] >= left and label.box[1] >= top and label.box[2] <= right and label.box[3] <= bottom
        assert (label in kept) == inside


def test_the_same_words_keep_their_distance() -> None:
    labels = whole("negative")
    for a, b in combinations(labels, 2):
        if a.text == b.text:
            least = max(LOOK.of(a.kind).repeat, LOOK.of(b.kind).repeat)
            assert math.hypot(a.x - b.x, a.y - b.y) >= least


def test_another_language_falls_back_to_the_local_name() -> None:
    seeds = [
        LabelSeed(LabelKind.PLACE, 0, {"": "Wien", "en": "Vienna"}, 1, 100, 100),
        LabelSeed(LabelKind.PLACE, 0, {"": "Linz"}, 2, 100, 300),
    ]
    frame = Frame(SHEET, 0, 0, 400, 400)
    assert {k.text for k in place_labels(SeedLayers(SHEET, seeds), frame, LOOK, 10, "en")} == {"Vienna", "Linz"}


def test_the_more_important_of_two_stays_and_a_point_tries_its_other_sides() -> None:
    seeds = [
        LabelSeed(LabelKind.PLACE, 2, {"": "Town"}, 5, 160.0, 100.0),
        LabelSeed(LabelKind.POI, 0, {"": "Castle"}, 6, 120.0, 100.0, detail="castle"),
    ]
    labels = place_labels(SeedLayers(SHEET, seeds), Frame(SHEET, 0, 0, 400, 200), LOOK, 15)
    assert [k.text for k in labels] == ["Castle", "Town"]
    castle = labels[0]
    assert castle.mark == "castle"
    assert max(g.x for g in castle.glyphs) < castle.x, "the right was taken, so it went to the left"
    assert importance(LabelKind.PLACE, 2) < importance(LabelKind.POI, 0)


@pytest.mark.parametrize("turn", [0.0, 0.7, 1.57, 2.5, 3.14, -2.2, -1.0])
def test_words_on_a_line_stand_upright(turn: float) -> None:
    along = np.linspace(-200, 200, 20)[:, None]
    path = 300 + along * np.array([math.cos(turn), math.sin(turn)])
    seed = LabelSeed(LabelKind.STREET, 2, {"": "High Street"}, stable_id("high"), 300, 300, path)
    (placed,) = candidates(seed, LOOK, 16, "")
    assert all(abs(g.angle) <= math.pi / 2 + 0.01 for g in placed.label.glyphs)
    assert placed.label.glyphs[0].x <= placed.label.glyphs[-1].x + 1


def test_lines_too_short_or_too_crooked_bear_no_words() -> None:
    short = np.array([[290.0, 300.0], [310.0, 300.0]])
    zigzag = np.array([[300.0 + 14 * i, 300.0 + 40 * (i % 2)] for i in range(-14, 15)])
    for path in (short, zigzag):
        seed = LabelSeed(LabelKind.STREET, 2, {"": "A Rather Long Street"}, 3, 300, 300, path)
        assert candidates(seed, LOOK, 16, "") == []


def test_a_name_goes_into_its_area_or_not_at_all() -> None:
    for room in (15.0, 60.0, 100.0, 300.0):
        seed = LabelSeed(LabelKind.PARK, 2, {"": "Jardin des Plantes"}, 3, 300, 300, room=room)
        found = candidates(seed, LOOK, 16, "")
        assert bool(found) == (room > 20)
        for candidate in found:
            width = max(b[2] for b in candidate.boxes) - min(b[0] for b in candidate.boxes)
            assert width <= 1.1 * room + LOOK.gap + 4
