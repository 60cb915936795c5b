"""From what a person says to one frame."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mapstyle.errors import ExtentError, JobError
from mapstyle.frame import Frame, Grid
from mapstyle.job import (
    Data,
    Extent,
    HowLarge,
    Where,
    check_crs,
    frame_for,
    parse_extent,
    parse_size,
    parse_tile,
    plan_frame,
    utm_zone,
)
from mapstyle.sources.atlas import Atlas

BOUNDS = (7.40, 43.72, 7.45, 43.76)


class Ground(Data):
    """Data whose dense part is known."""

    @property
    def dense(self):
        return self.atlas.bounds


def ground(bounds=BOUNDS) -> Data:
    return Ground(Atlas({("any", "area"): ()}, "digest", bounds, ""), None)  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("7,43,8", "write --extent W,S,E,N as numbers"),
        ("a,b,c,d", "write --extent W,S,E,N as numbers"),
        ("nan,43,8,44", "write --extent"),
        ("inf,43,8,44", "write --extent"),
        ("7,44,8,43", "south .44. must be less than north .43."),
        ("7,44,8,44", "must be less than"),
        ("7,43,300,44", "longitudes lie between"),
        ("7,-95,8,44", "latitudes lie between"),
        ("7,43,7,44", "west and east are the same"),
        ("7,86,8,88", "where web maps end"),
    ],
)
def test_extents_that_cannot_be_are_refused_in_a_line(text, told):
    with pytest.raises(ExtentError, match=told) as caught:
        parse_extent(text, None)
    assert "\n" not in str(caught.value)


def test_west_beyond_east_crosses_the_antimeridian():
    extent = parse_extent("179,-18,-179,-16", None)
    assert extent.bounds == (179, -18, 181, -16)
    frame = frame_for(extent, HowLarge(zoom=8), ground((178, -20, 180, -15)))
    assert frame.column < frame.grid.turn < frame.end_column


def test_an_extent_that_misses_the_data_says_where_the_data_is():
    with pytest.raises(ExtentError, match=r"misses the data, which lies within 7\.4000,43\.7200,7\.4500,43\.7600"):
        plan_frame(Where(extent="8,43,9,44"), HowLarge(), ground())
    with pytest.raises(ExtentError, match="misses the data"):
        plan_frame(Where(tile="10/3/3"), HowLarge(), ground())
    with pytest.raises(ExtentError, match="misses the data"):
        plan_frame(Where(around="20,20", radius=1), HowLarge(), ground())


@given(
    st.floats(7.40, 7.44), st.floats(43.72, 43.75), st.floats(0.001, 0.05), st.floats(0.001, 0.03), st.integers(1, 2)
)
def test_the_default_picture_holds_the_extent_and_is_about_2048_px(west, south, wide, high, ratio):
    extent = Extent((west, south, west + wide, south + high))
    frame = frame_for(extent, HowLarge(pixel_ratio=ratio), ground())
    left, top, right, bottom = extent.on(frame.grid)
    l, t, r, b = frame.logical_box
    # Half a pixel of rounding about the middle, and the other side when the two do not share a ratio.
    assert l <= left + 1
    assert r >= right - 1
    assert t <= top + 1
    assert b >= bottom - 1
    assert max(frame.width, frame.height) == 2048 * ratio
    assert float(frame.grid.level).is_integer()


@given(st.integers(10, 3000), st.integers(10, 3000))
def test_size_picks_a_level_and_widens_about_the_middle(width, height):
    frame = frame_for(Extent(BOUNDS), HowLarge(size=f"{width}x{height}"), ground())
    assert (frame.width, frame.height) == (width, height)
    left, top, right, bottom = Extent(BOUNDS).on(frame.grid)
    l, t, r, b = frame.logical_box
    assume(frame.grid.level > 0)
    assert l <= left + 1
    assert r >= right - 1
    assert abs((l + r) - (left + right)) <= 1.01
    assert abs((t + b) - (top + bottom)) <= 1.01


def test_scale_gives_a_metre_grid_in_the_utm_zone_of_the_data():
    frame = plan_frame(Where(), HowLarge(scale=10_000, dpi=254), ground())
    assert frame.grid.crs == "EPSG:32632"
    assert frame.grid.resolution == pytest.approx(1.0)
    west, _, east, _ = frame.crs_bounds()
    assert east - west == pytest.approx(0.05 * 111320 * np.cos(np.radians(43.74)), rel=0.03)
    again = plan_frame(Where(extent="7.41,43.73,7.42,43.74"), HowLarge(scale=10_000, dpi=254), ground())
    assert again.grid == frame.grid, "the grid never depends on the extent"


def test_an_extent_in_the_grids_own_crs_is_exact():
    frame = plan_frame(
        Where(extent="373000,4842000,375000,4843000"), HowLarge(resolution=2.0, crs="EPSG:32632"), ground()
    )
    assert frame.crs_bounds() == (373000, 4842000, 375000, 4843000)
    assert (frame.width, frame.height) == (1000, 500)


@pytest.mark.parametrize(
    ("where", "how", "told"),
    [
        (Where(extent="7,43,8,44", place="x"), HowLarge(), "--extent and --place exclude each other"),
        (Where(), HowLarge(zoom=3, resolution=3), "--zoom and --resolution exclude each other"),
        (Where(), HowLarge(zoom=30), "levels go from 0 to 22"),
        (Where(), HowLarge(size="wide"), "WIDTHxHEIGHT"),
        (Where(), HowLarge(size="0x5"), "WIDTHxHEIGHT"),
        (Where(), HowLarge(resolution=-1), "--resolution"),
        (Where(), HowLarge(scale=0), "--scale"),
        (Where(), HowLarge(resolution=1, crs="EPSG:4326"), "counts in degrees"),
        (Where(tile="5/1"), HowLarge(), "Z/X/Y"),
        (Where(tile="3/8/0"), HowLarge(), "level 3 has tiles 0 to 7"),
        (Where(tile="3/1/1"), HowLarge(zoom=4), "--tile says both"),
        (Where(radius=3), HowLarge(), "--radius belongs to --around"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_a_line(where, how, told):
    with pytest.raises((JobError, ExtentError), match=told) as caught:
        plan_frame(where, how, ground())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("crs", ["EPSG:99999", "nonsense", "EPSG:2263"])
def test_a_crs_that_cannot_serve_is_refused(crs):
    with pytest.raises(JobError, match="--crs"):
        check_crs(crs)
    assert check_crs("epsg:32632") == "EPSG:32632"


def test_small_readers():
    assert parse_size("800 x 600") == (800, 600)
    assert parse_tile("16/34119/23858") == (16, 34119, 23858)
    assert utm_zone(7.4, 43.7) == "EPSG:32632"
    assert utm_zone(179.99, -17) == "EPSG:32760"
    assert utm_zone(180.0, -17) == "EPSG:32701"


def test_a_tile_is_exactly_that_tile():
    frame = plan_frame(Where(tile="14/8529/5975"), HowLarge(pixel_ratio=2), ground((7.3, 43.6, 7.6, 43.9)))
    assert frame == Frame(Grid.web_mercator(14, 2), 8529 * 512, 5975 * 512, 512, 512)


def test_a_size_with_a_level_is_about_the_middle():
    frame = plan_frame(Where(around="7.42,43.74", radius=5), HowLarge(zoom=15, size="900x701", pixel_ratio=2), ground())
    assert (frame.width, frame.height, frame.grid.level) == (1800, 1402, 15)
    x, y = frame.grid.project(np.array([[7.42, 43.74]]))[0]
    left, top, right, bottom = frame.logical_box
    assert abs((left + right) / 2 - x) < 1
    assert abs((top + bottom) / 2 - y) < 1
