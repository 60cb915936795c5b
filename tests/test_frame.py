"""Frames and grids: cells cover each pixel once, places go there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapstyle.frame import MAX_LATITUDE, Frame, Grid

grids = st.builds(Grid.web_mercator, st.integers(0, 20), st.integers(1, 2)) | st.builds(
    Grid.metric, st.just("EPSG:32632"), st.floats(0.1, 500), st.floats(-80, 80), st.integers(1, 2)
)
frames = st.builds(
    Frame,
    grids,
    st.integers(-(10**6), 10**6),
    st.integers(-(10**6), 10**6),
    st.integers(1, 900),
    st.integers(1, 900),
)


@given(frames, st.integers(1, 512))
def test_cells_cover_each_pixel_once(frame, size):
    if frame.width * frame.height > 40_000 * size:
        size = 512
    covered = np.zeros(frame.shape, int)
    for cell in frame.cells(size):
        assert cell.column % (size * frame.grid.pixel_ratio) == 0
        part = cell.intersection(frame)
        covered[part.slices(frame)] += 1
    assert (covered == 1).all()


@given(frames, st.integers(1, 700), st.integers(1, 700))
def test_pieces_cover_each_pixel_once_and_keep_to_the_grid(frame, width, height):
    covered = np.zeros(frame.shape, int)
    for piece in frame.pieces(max(width, 20), max(height, 20)):
        covered[piece.slices(frame)] += 1
        assert piece.column == frame.column or piece.column % max(width, 20) == 0
    assert (covered == 1).all()


@given(frames, st.integers(0, 200), st.sampled_from([1, 16, 64]))
def test_padding_and_aligning_only_widen(frame, margin, step):
    wide = frame.pad(margin).align(step)
    assert wide.contains(frame.pad(margin))
    assert wide.column % (step * frame.grid.pixel_ratio) == 0
    assert wide.end_row % (step * frame.grid.pixel_ratio) == 0
    assert wide.width - frame.width < 2 * (margin + step) * frame.grid.pixel_ratio


@given(st.integers(0, 22), st.floats(-180, 180), st.floats(-85, 85))
def test_projection_comes_back(level, lon, lat):
    grid = Grid.web_mercator(level)
    there = grid.project(np.array([[lon, lat]]))
    assert np.allclose(grid.unproject(there), [[lon, lat]], atol=1e-9)


@given(st.floats(7.0, 11.0), st.floats(40, 60))
def test_metric_projection_comes_back(lon, lat):
    grid = Grid.metric("EPSG:32632", 2.5, 50)
    there = grid.project(np.array([[lon, lat]]))
    assert np.allclose(grid.unproject(there), [[lon, lat]], atol=1e-7)


def test_a_tile_is_where_the_web_says_it_is():
    # Port Hercule, Monaco, lies at 7.4245, 43.7345; its tile follows from the web's own formula.
    west, south, east, north = Frame.tile(16, 34119, 23897).lonlat_bounds()
    assert west < 7.4245 < east
    assert east - west == pytest.approx(360 / 65536)
    assert south < 43.7345 < north


def test_a_512_tile_has_the_resolution_of_the_next_level():
    small, large = Frame.tile(10, 3, 5), Frame.tile(10, 3, 5, size=512)
    assert large.grid.level == 11
    assert large.crs_bounds() == pytest.approx(small.crs_bounds())
    retina = Frame.tile(10, 3, 5, pixel_ratio=2)
    assert retina.grid.level == 10
    assert retina.width == 512
    assert retina.crs_bounds() == pytest.approx(small.crs_bounds())


def test_metres_become_pixels_with_the_latitude_of_the_place():
    grid = Grid.web_mercator(16)
    equator, north = grid.pixels_per_metre(np.array([0.0, 60.0]))
    assert north == pytest.approx(2 * equator)
    assert grid.pixels_per_metre(89.9) == grid.pixels_per_metre(MAX_LATITUDE)


def test_the_level_of_a_metre_grid_is_that_of_the_same_ground_resolution():
    # 156543.034 m is a pixel of level 0 at the equator.
    assert Grid.metric("EPSG:32632", 156543.03392804097 / 2**14, 0.0).level == pytest.approx(14)
    assert Grid.metric("EPSG:32632", 10.0, 60.0).level == pytest.approx(np.log2(156543.03392804097 * 0.5 / 10))


@given(st.integers(-3000, 3000), st.integers(1, 900), st.integers(1, 2))
def test_world_pieces_cover_the_frame_and_bring_it_home(column, width, ratio):
    grid = Grid.web_mercator(2, ratio)
    frame = Frame(grid, column, 100, width, 5)
    covered = np.zeros(frame.shape, int)
    for part, home in frame.world_pieces():
        covered[part.slices(frame)] += 1
        assert home.column >= 0
        assert home.end_column <= grid.turn * ratio
        assert (part.column - home.column) % (grid.turn * ratio) == 0
    assert (covered == 1).all()
