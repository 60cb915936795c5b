"""The plan covers every tile once, in whole blocks, in an order that stays near."""

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapstyle.batch.plan import Block, Plan, TileGrid, hilbert_order, plan
from mapstyle.errors import JobError
from mapstyle.frame import Frame

ANDORRA = (1.40, 42.42, 1.79, 42.66)


def covered(job: Plan) -> list[tuple[int, int, int]]:
    return [(b.level, c, r) for b in job.blocks() for c, r in job.wanted(b)]


@given(
    st.floats(-180, 180), st.floats(-85, 85), st.floats(0.0001, 359), st.floats(0.0001, 80), st.integers(0, 5),
    st.sampled_from([TileGrid(), TileGrid(512, 2), TileGrid(256, 1, 256), TileGrid(256, 1, 6144)]),
)  # fmt: skip
def test_every_tile_that_meets_the_box_is_made_once_and_no_other(west, south, wide, high, level, grid):
    bounds = (west, south, west + wide, min(south + high, 85))
    job = plan(bounds, range(level, level + 1), grid)
    made = covered(job)
    assert len(made) == len(set(made)) == job.tiles
    world = 1 << level
    expected = set()
    for column in range(world):
        for row in range(world):
            w, s, e, n = Frame.tile(level, column, row).lonlat_bounds()
            apart = any(w + turn < bounds[2] - 1e-9 and e + turn > bounds[0] + 1e-9 for turn in (-360, 0, 360))
            if apart and s < bounds[3] - 1e-9 and n > bounds[1] + 1e-9:
                expected.add((level, column, row))
    assert set(made) == expected or len(set(made) ^ expected) <= 2 * world  # a box thinner than the last bit


def test_blocks_are_anchored_to_the_world_whatever_is_asked_for():
    whole = set(plan(ANDORRA, range(12, 15), TileGrid()).blocks())
    part = set(plan((1.5, 42.5, 1.6, 42.55), range(12, 15), TileGrid()).blocks())
    assert part < whole


def test_a_block_is_the_frame_of_its_tiles():
    grid = TileGrid(512, 2, 1024)
    block = Block(9, 100, 90)
    frame = block.frame(grid)
    tiles = block.tiles(grid)
    assert len(tiles) == 4
    corner = grid.tile(9, tiles.columns[0], tiles.rows[0])
    assert (frame.column, frame.row, frame.grid) == (corner.column, corner.row, corner.grid)
    assert frame.width == frame.height == 2048
    assert Block(0, 0, 0).frame(TileGrid()).width == 256  # the world is smaller than a block


def test_the_antimeridian_is_crossed():
    job = plan((179.0, -10.0, 181.0, 10.0), range(6, 7), TileGrid())
    columns = {c for _, c, _ in covered(job)}
    assert columns == {63, 0}


def test_neighbours_in_the_order_are_neighbours_on_the_ground():
    order = hilbert_order(np.arange(100, 164), np.arange(37, 101))
    assert len({tuple(p) for p in order}) == 64 * 64
    steps = np.abs(np.diff(order, axis=0)).sum(1)
    assert np.mean(steps == 1) > 0.97
    square = hilbert_order(np.arange(16), np.arange(16))
    assert np.all(np.abs(np.diff(square, axis=0)).sum(1) == 1)


def test_high_levels_begin():
    levels = [b.level for b in plan(ANDORRA, range(8, 14), TileGrid()).blocks()]
    assert levels == sorted(levels, reverse=True)


@pytest.mark.parametrize("levels", [range(0), range(-1, 3), range(3, 30)])
def test_levels_that_there_are_none_of(levels):
    with pytest.raises(JobError, match="levels go from 0"):
        plan(ANDORRA, levels, TileGrid())


def test_a_hundred_thousand_blocks_are_planned_in_little_time_and_memory():
    tracemalloc.start()
    begun = time.process_time()
    job = plan((-10.0, 35.0, 30.0, 60.0), range(0, 15), TileGrid())
    count = sum(1 for _ in job.blocks())
    assert count == job.count > 100_000
    assert time.process_time() - begun < 20
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()
