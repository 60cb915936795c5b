"""Overviews shrunk from higher levels: planned so that nothing is missing, and the same whatever was asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapstyle.batch.plan import EACH, MARGIN, Plan, TileGrid, plan
from mapstyle.compose import shrink
from mapstyle.frame import Frame

TOWN = (3.87389, 54.58642, 3.91111, 54.60798)


def uncovered(job: Plan, level: int) -> int:
    """Count the pixels of a shrunk level's art, halos' margin included, for which the level above has none."""
    lost = 0
    for block in job.of_level(level):
        want = job.region(block).pad(job.margin(level))
        twice = Frame(job.grid.grid(level + 1), 2 * want.column, 2 * want.row, 2 * want.width, 2 * want.height)
        art = np.zeros((twice.height // 8, twice.width // 8), np.bool_)
        for source in job.sources(block):
            shared = job.region(source).pad(job.margin(level + 1)).intersection(twice)
            if shared is not None:
                rows, columns = shared.slices(twice)
                art[rows.start // 8 : rows.stop // 8, columns.start // 8 : columns.stop // 8] = True
        lost += int((~art).sum())
    return lost


@given(
    st.floats(-180, 179.9), st.floats(-80, 80), st.floats(0.001, 200), st.floats(0.001, 60), st.integers(0, 5),
    st.sampled_from([TileGrid(), TileGrid(512), TileGrid(256, 1, 2048)]),
)  # fmt: skip
def test_every_pixel_of_an_overview_has_art_above_it(west, south, wide, high, least, grid):
    job = plan((west, south, west + wide, min(south + high, 84.0)), range(least, least + 4), grid, shrink=True)
    assert job.shrunk == {least + 1, least + 2}
    made = {level: set(job.of_level(level)) for level in range(least, least + 4)}
    for level in job.shrunk:
        assert uncovered(job, level) == 0
        assert job.keeps_art(level + 1)
        for block in made[level]:
            assert set(job.sources(block)) <= made[level + 1]
    wanted = [(b.level, *tile) for b in job.blocks() for tile in job.wanted(b)]
    assert len(wanted) == len(set(wanted)) == job.tiles


def test_the_highest_level_and_every_third_below_it_are_painted():
    job = plan(TOWN, range(8, 16), TileGrid(), shrink=True)
    assert [level for level in range(8, 16) if level not in job.shrunk] == [9, 12, 15]
    assert job.phases() == [[15, 12, 9], [14], [13], [11], [10], [8]]
    assert [job.margin(level) for level in (15, 14, 13, 12)] == [4 * MARGIN, 2 * MARGIN, MARGIN, 4 * MARGIN]
    assert EACH == 3
    assert not plan(TOWN, range(8, 16), TileGrid()).shrunk


def test_a_shrunk_pyramid_hardly_paints_more_than_its_highest_level():
    whole, painted = (plan((1.40, 42.42, 1.79, 42.66), range(8, 16), TileGrid(), shrink=s) for s in (True, False))
    count = [sum(1 for level in job.phases()[0] for _ in job.of_level(level)) for job in (whole, painted)]
    assert count[0] < 0.85 * count[1]
    top = [sum(1 for _ in job.of_level(15)) for job in (whole, painted)]
    assert top[0] == top[1]


def test_halving_is_done_in_linear_light():
    board = np.zeros((64, 64, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 255
    half = shrink(board)
    assert half.shape == (32, 32, 3)
    assert np.unique(half).tolist() == [188]  # half the light, not half the number: sRGB of 0.5
    ramp = np.repeat(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 2, 0), 2, 1).repeat(3, 2)
    assert np.array_equal(shrink(ramp)[0, :, 0], np.arange(256))  # what is even stays as it is


@pytest.mark.parametrize("at", [0, 2, 34])
def test_halving_is_the_same_in_any_crop(at):
    picture = np.random.default_rng(5).integers(0, 256, (128, 96, 3), np.uint8)
    assert np.array_equal(shrink(picture)[at // 2 :, at // 2 :], shrink(picture[at:, at:]))
