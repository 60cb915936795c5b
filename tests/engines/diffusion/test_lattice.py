"""Where windows are, what they weigh, and which ones a picture needs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapstyle.engines.diffusion.lattice import Axis, Blend, Block, Lattices, Layer, Rect, covering, ramp
from mapstyle.engines.diffusion.profiles import PROFILES, resolve
from mapstyle.engines.diffusion.settings import Diffusion, Lattice, Windows
from mapstyle.frame import Frame, Grid

REAL = Windows(window=128, stride=96, guard=8, ramp=16)
SMALL = Windows(window=16, stride=12, guard=1, ramp=2)
SMALL_LATTICE = Lattice(paint=SMALL, decode=Windows(window=24, stride=16, guard=2, ramp=4))


def plan(phases: int = 3, **more):
    return resolve(Diffusion(prompt="x", profile="standard", phases=phases, **more))


@given(
    st.sampled_from([REAL, SMALL]), st.integers(0, 48), st.sampled_from([0, 32, 64, 256, 1 << 19]),
    st.integers(-5000, 5000), st.integers(1, 700),
)  # fmt: skip
def test_the_windows_that_meet_a_stretch_are_those_that_brute_force_finds(windows, offset, turn, begin, length):
    axis = Axis(windows, offset, turn)
    found = axis.meeting(begin, begin + length)
    counts = [
        i for i in range(found.start - 40, found.stop + 40)
        if axis.start(i) + windows.guard < begin + length and axis.start(i) + windows.window - windows.guard > begin
    ]  # fmt: skip
    assert list(found) == counts


@pytest.mark.parametrize("windows", [REAL, SMALL, Windows(window=64, stride=48, guard=4, ramp=8)])
def test_weights_are_a_partition_of_unity(windows):
    weight = ramp(windows)
    total = np.zeros(windows.stride * 6 + windows.window)
    for i in range(7):
        total[i * windows.stride : i * windows.stride + windows.window] += weight
    inside = total[windows.window : -windows.window]
    assert np.abs(inside - 1).max() < 1e-6
    assert not weight[: windows.guard].any()
    assert weight[windows.guard] > 0


def test_sizes_that_leave_a_hole_are_refused():
    with pytest.raises(ValueError, match="must be the stride"):
        Windows(window=128, stride=100, guard=8, ramp=16)


@pytest.mark.parametrize("level", [0, 1, 2, 5, 9])
def test_the_lattice_closes_round_the_world(level):
    turn = 32 << level
    axis = Axis(REAL, 48, turn)
    for i in range(-3, 4):
        assert axis.start(i + axis.count) == axis.start(i) + turn
        assert axis.home(i + axis.count) == axis.home(i)
    strides = {axis.start(i + 1) - axis.start(i) for i in range(axis.count)}
    assert max(strides) <= REAL.stride


def test_a_window_reads_two_by_two_of_the_phase_before():
    lattices = Lattices(plan(4), Grid.metric("EPSG:32632", 1.0, 50.0))
    assert [layer.offset for layer in lattices.phases] == [48, 0, 48, 0]
    for k in (1, 2, 3):
        for place in ((0, 0), (-7, 3), (1000, -1000)):
            assert len(lattices.phases[k - 1].meeting(lattices.phases[k].rect(*place))) == 4


@given(st.integers(-3000, 3000), st.integers(-3000, 3000), st.integers(1, 900), st.integers(1, 700), st.integers(1, 4))
def test_the_cone_is_what_brute_force_finds(column, row, width, height, phases):
    settings = Diffusion(prompt="x", lattice=SMALL_LATTICE, phases=phases)
    lattices = Lattices(resolve(settings), Grid.metric("EPSG:32632", 1.0, 50.0))
    frame = Frame(lattices.grid, column, row, width, height)
    cone = lattices.cone(frame)
    decode = set(lattices.decode.meeting(covering(frame)))
    assert set(cone.decode) == decode
    readers = [lattices.decode.rect(*w) for w in decode]
    for layer, block in zip(reversed(lattices.phases), reversed(cone.phases), strict=True):
        needed = {w for rect in readers for w in layer.meeting(rect)}
        assert set(block) == needed
        readers = [layer.rect(*w) for w in needed]


def test_a_pixel_reaches_no_further_than_is_said():
    lattices = Lattices(plan(4), Grid.metric("EPSG:32632", 1.0, 50.0))
    furthest = 0
    for column in range(0, 1024 * 3, 8):
        frame = Frame(lattices.grid, column, 0, 1, 1)
        cone = lattices.cone(frame)
        hull = lattices.phases[0].hull(cone.phases[0])
        furthest = max(furthest, column - hull.x * 8, (hull.x + hull.width) * 8 - column - 1)
    assert furthest <= lattices.reach
    assert furthest > lattices.reach - 1024


@pytest.mark.parametrize("profile", PROFILES)
def test_seamlessness_costs_at_most_twice_as_many_evaluations_over_a_large_job(profile):
    lattices = Lattices(resolve(Diffusion(prompt="x", profile=profile)), Grid.web_mercator(16))
    assert 1 < lattices.overhead(Frame(lattices.grid, 9000 * 1024, 7000 * 1024, 81920, 81920)) <= 2.0
    small = lattices.overhead(Frame(lattices.grid, 9000 * 1024, 7000 * 1024, 1024, 1024))
    assert small > 4  # the halo of a lone picture is said, not hidden


def test_blending_gives_back_what_all_windows_agree_on():
    layer = Layer(SMALL, 6)
    rng = np.random.default_rng(1)
    world = rng.normal(size=(4, 100, 100)).astype(np.float32)
    target = Rect(20, 25, 41, 37)
    blend = Blend(target, ramp(SMALL))
    for i, j in layer.meeting(target):
        r = layer.rect(i, j)
        blend.add(r, world[:, r.y : r.y + r.height, r.x : r.x + r.width])
    assert np.abs(blend.result() - world[:, 25:62, 20:61]).max() < 1e-6


def test_what_is_nearer_the_border_than_the_guard_never_counts():
    layer = Layer(SMALL)
    target = Rect(0, 0, 24, 24)
    clean, spoiled = Blend(target, ramp(SMALL)), Blend(target, ramp(SMALL))
    for i, j in layer.meeting(target):
        values = np.full((4, 16, 16), i + 10 * j, np.float32)
        clean.add(layer.rect(i, j), values)
        values = values.copy()
        values[:, 0] = values[:, -1] = values[:, :, 0] = values[:, :, -1] = 1e6
        spoiled.add(layer.rect(i, j), values)
    assert np.array_equal(clean.result(), spoiled.result())


@pytest.mark.parametrize("columns", [range(3, 7), range(-5, 40)])
def test_windows_are_counted_once_round_the_world(columns):
    layer = Layer(REAL, 0, 32 << 6)
    block = Block(columns, range(2, 5))
    assert layer.count(block) == len(layer.homes(block))
    flat = Layer(REAL)
    assert flat.count(block) == len(flat.homes(block)) == len(block)
