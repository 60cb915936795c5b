"""Elevation: a smooth field that is a function of the ground, whatever the rasters are like."""

import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine, from_origin

from mapstyle.errors import SourceError
from mapstyle.frame import Frame, Grid
from mapstyle.sources.elevation import Elevation
from mapstyle.sources.spline import b_spline

SECONDS_3 = 1 / 1200


def write(path, heights, transform, crs="EPSG:4326", nodata=None, point=False, **options):
    heights = np.asarray(heights)
    bands = heights if heights.ndim == 3 else heights[None]
    count, height, width = bands.shape
    options |= {"crs": crs} if crs else {}
    with (
        warnings.catch_warnings(),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=width,
            height=height,
            count=count,
            dtype=bands.dtype,
            transform=transform,
            nodata=nodata,
            **options,
        ) as file,
    ):
        warnings.simplefilter("ignore")
        if point:
            file.update_tags(AREA_OR_POINT="Point")
        file.write(bands)
    return path


def write_hgt(path, heights):
    np.asarray(heights).astype(">i2").tofile(path)
    return path


def around(grid, lon, lat, width, height=None):
    x, y = grid.project(np.array([[lon, lat]]))[0] * grid.pixel_ratio
    height = height or width
    return Frame(grid, int(x) - width // 2, int(y) - height // 2, width, height)


def lonlat(frame):
    x = (frame.column + np.arange(frame.width) + 0.5) / frame.grid.pixel_ratio
    y = (frame.row + np.arange(frame.height) + 0.5) / frame.grid.pixel_ratio
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return frame.grid.unproject(points).reshape(*frame.shape, 2)


def hills(lon, lat):
    """Give a landscape that is smooth over a few samples of three seconds."""
    return (
        1000 + 300 * np.sin(lon * 230) * np.cos(lat * 190) + 120 * np.sin(lon * 700 + lat * 500) + 400 * (lon - 10)
    ).astype(np.float32)


def hill_tile(path, west, north, columns=121, rows=121, void=()):
    """Write samples at whole multiples of three seconds, the first and last of which neighbours share."""
    lon = west + np.arange(columns) * SECONDS_3
    lat = north - np.arange(rows) * SECONDS_3
    heights = hills(lon[None, :], lat[:, None])
    for part in void:
        heights[part] = -32768
    transform = from_origin(west - SECONDS_3 / 2, north + SECONDS_3 / 2, SECONDS_3, SECONDS_3)
    return write(path, heights, transform, nodata=-32768, point=True)


@pytest.fixture(scope="module")
def landscape(tmp_path_factory):
    """Two neighbours with voids, and one finer raster in UTM over their seam."""
    folder = tmp_path_factory.mktemp("dem")
    hole = (slice(30, 44), slice(50, 58))
    a = hill_tile(folder / "a.tif", 10.0, 47.0, void=[hole])
    b = hill_tile(folder / "b.tif", 10.1, 47.0, void=[(slice(100, 102), slice(5, 90))])
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32632", always_xy=True)
    x, y = to_utm.transform(10.1, 46.95)
    left, top = round(x) - 1500.0, round(y) + 1200.0
    columns, rows = np.meshgrid(np.arange(150) * 20 + 10, np.arange(120) * 20 + 10)
    lon, lat = to_utm.transform(left + columns, top - rows, direction="INVERSE")
    c = write(folder / "c.tif", hills(lon, lat) + 3, from_origin(left, top, 20, 20), crs="EPSG:32632")
    return [a, b, c]


@pytest.fixture(scope="module")
def one(landscape):
    return Elevation.open(landscape, None)


@pytest.fixture(scope="module")
def other(landscape):
    return Elevation.open(landscape, None)


GRIDS = [
    *(Grid.web_mercator(z, ratio) for z, ratio in ((8, 1), (11, 2), (13, 1), (15, 2), (17, 1))),
    Grid.metric("EPSG:32632", 12.5, 47.0),
    Grid.metric("EPSG:32632", 140.0, 47.0, 2),
]


@settings(max_examples=40)
@given(
    grid=st.sampled_from(GRIDS),
    place=st.tuples(st.floats(9.97, 10.23), st.floats(46.88, 47.03)),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    shift=st.tuples(st.integers(-150, 150), st.integers(-150, 150)),
)
def test_a_pixel_does_not_depend_on_its_frame(one, other, grid, place, size, shift):
    first = around(grid, *place, *size)
    second = Frame(grid, first.column + shift[0], first.row + shift[1], max(1, size[1]), max(1, 301 - size[0]))
    # Two that have seen different things before.
    a, b = one.sample(first), other.sample(second)
    assert np.isfinite(a.values).all()
    assert 0 <= a.known.min() <= a.known.max() <= 1
    shared = first.intersection(second)
    if shared is None:
        return
    assert np.array_equal(a.values[shared.slices(first)], b.values[shared.slices(second)])
    assert np.array_equal(a.known[shared.slices(first)], b.known[shared.slices(second)])


def test_a_place_past_the_antimeridian_is_the_same_place(landscape):
    elevation = Elevation.open(landscape, None)
    home = around(Grid.web_mercator(9), 10.1, 46.95, 200)
    turned = Frame(home.grid, home.column - 2 * home.grid.turn, home.row, home.width, home.height)
    assert np.array_equal(elevation.sample(home).values, elevation.sample(turned).values)
    assert elevation.sample(home).known.max() == 1


def test_both_sides_of_the_antimeridian_are_joined(tmp_path):
    tiles = []
    for name, west in (("west", 179.9), ("east", -180.0)):
        lon = np.arange(121) * SECONDS_3 + (0 if name == "west" else 0.1)
        heights = np.tile(1000 + 900 * np.sin(lon * 60), (121, 1)).astype(np.float32)
        corner = from_origin(west - SECONDS_3 / 2, 10.05, SECONDS_3, SECONDS_3)
        tiles.append(write(tmp_path / f"{name}.tif", heights, corner, point=True))
    elevation = Elevation.open(tiles, None)
    west, _, east, _ = elevation.bounds
    assert (west, east) == (pytest.approx(179.9), pytest.approx(180.1))
    grid = Grid.web_mercator(14)
    frame = Frame(grid, grid.turn - 100, around(grid, 0, 10, 60).row, 200, 60)
    sampled = elevation.sample(frame)
    assert sampled.known.min() == 1
    lon = lonlat(frame)[..., 0]
    assert np.abs(sampled.values - (1000 + 900 * np.sin((lon - 179.9) * 60))).max() < 1.5


def test_finer_pixels_sample_the_same_field(landscape):
    elevation = Elevation.open(landscape, None)
    coarse = around(Grid.web_mercator(13), 10.1, 46.95, 100)
    fine = Frame(coarse.grid.at_ratio(2), coarse.column * 2, coarse.row * 2, 200, 200)
    a, b = elevation.sample(coarse).values, elevation.sample(fine).values
    assert np.abs(b.reshape(100, 2, 100, 2).mean(axis=(1, 3)) - a).max() < 0.5


@pytest.mark.parametrize("point", [False, True])
@pytest.mark.parametrize("level", [14, 17])
def test_registration_of_areas_and_points(tmp_path, point, level):
    """GDAL moves the corner of pixel-is-point files by half a sample; the truth is where the samples are."""
    columns, rows = np.meshgrid(np.arange(80), np.arange(60))
    heights = (10 * columns + 7 * rows).astype(np.float32)
    elevation = Elevation.open(
        [write(tmp_path / "plane.tif", heights, from_origin(5, 50, 0.001, 0.001), point=point)], None
    )
    frame = around(Grid.web_mercator(level), 5.04, 49.97, 120)
    place = lonlat(frame)
    # rasterio hands out pixel corners whichever way the file says it, so the truth is one.
    expected = 10 * ((place[..., 0] - 5) / 0.001 - 0.5) + 7 * ((50 - place[..., 1]) / 0.001 - 0.5)
    assert np.abs(elevation.sample(frame).values - expected).max() < 0.02 * 10
    inset = 0.0005 if point else 0.0
    assert elevation.bounds == pytest.approx((5 + inset, 49.94 + inset, 5.08 - inset, 50 - inset))


def test_geotiff_tags_of_a_point_raster_are_honoured(tmp_path):
    """A tie point of a pixel-is-point file (GeoTIFF 1.1, requirement 8.2) lies at the centre of its sample."""
    heights = np.tile(np.arange(40, dtype=np.float32) * 10, (40, 1))
    path = write(tmp_path / "p.tif", heights, from_origin(5, 50, 0.01, 0.01), point=True)
    with rasterio.Env(GTIFF_POINT_GEO_IGNORE=True), rasterio.open(path) as raw:
        tie_point = raw.transform.c  # as the tags have it, unmoved
    elevation = Elevation.open([path], None)
    frame = around(Grid.web_mercator(14), tie_point + 20 * 0.01, 49.8, 2)
    lon = lonlat(frame)[..., 0]
    expected = 200 + (lon - (tie_point + 0.2)) / 0.01 * 10
    assert np.abs(elevation.sample(frame).values - expected).max() < 0.1


@pytest.mark.parametrize("packed", [False, True])
def test_srtm_samples_lie_on_whole_degrees(tmp_path, packed):
    columns, rows = np.meshgrid(np.arange(1201), np.arange(1201))
    path = write_hgt(tmp_path / "S03W061.hgt", 2 * columns + rows)
    if packed:
        with zipfile.ZipFile(tmp_path / "S03W061.hgt.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, path.name)
        path = tmp_path / "S03W061.hgt.zip"
    elevation = Elevation.open([path], None)
    assert elevation.bounds == pytest.approx((-61, -3, -60, -2))
    frame = around(Grid.web_mercator(16), -60.5, -2.5, 64)
    place = lonlat(frame)
    expected = 2 * (place[..., 0] + 61) * 1200 + (-2 - place[..., 1]) * 1200
    sampled = elevation.sample(frame)
    assert np.abs(sampled.values - expected).max() < 0.02 * 2
    assert sampled.known.min() == 1


@pytest.mark.parametrize("grid", [Grid.web_mercator(13), Grid.web_mercator(9), Grid.metric("EPSG:3035", 40, 47)])
def test_a_raster_in_another_projection_lies_where_it_should(tmp_path, grid):
    """A plane in UTM, seen through interpolated coordinates, is off by less than 0.02 sample."""
    columns, rows = np.meshgrid(np.arange(1500), np.arange(1400))
    heights = (3 * columns + 2 * rows).astype(np.float32)
    path = write(tmp_path / "utm.tif", heights, from_origin(550_000, 5_250_000, 100, 100), crs="EPSG:32632")
    elevation = Elevation.open([path], None)
    frame = around(grid, 10.5, 46.9, 300)
    place = lonlat(frame).reshape(-1, 2)
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32632", always_xy=True).transform(*place.T)
    expected = 3 * ((x - 550_000) / 100 - 0.5) + 2 * ((5_250_000 - y) / 100 - 0.5)
    sampled = elevation.sample(frame)
    inside = sampled.known.ravel() == 1
    assert inside.mean() > 0.3
    assert np.abs(sampled.values.ravel() - expected)[inside].max() < 0.02 * 3


def test_a_turned_raster_lies_where_it_should(tmp_path):
    c, s = np.cos(np.radians(30)), np.sin(np.radians(30))
    transform = Affine(0.001 * c, 0.001 * s, 5.0, 0.001 * s, -0.001 * c, 50.0)
    columns, rows = np.meshgrid(np.arange(200), np.arange(200))
    path = write(tmp_path / "turned.tif", (columns + 5 * rows).astype(np.float32), transform)
    middle = 5 + 0.1 * (c + s), 50 + 0.1 * (s - c)
    frame = around(Grid.web_mercator(15), *middle, 100)
    east, north = np.moveaxis(lonlat(frame) - (5, 50), -1, 0)
    u, v = (c * east + s * north) / 0.001, (s * east - c * north) / 0.001
    found = Elevation.open([path], None).sample(frame)
    assert np.abs(found.values - ((u - 0.5) + 5 * (v - 0.5))).max() < 0.1


def test_voids_are_filled_without_a_trace(tmp_path):
    columns, rows = np.meshgrid(np.arange(400), np.arange(400))
    truth = (4 * columns + 3 * rows + 500).astype(np.float32)
    holed = truth.copy()
    speckle = np.random.default_rng(3).random(truth.shape) < 0.05
    holed[speckle] = -32768
    holed[100:112, 200:230] = -9999  # not declared, yet common
    holed[300:303, 50:53] = np.nan
    path = write(tmp_path / "v.tif", holed, from_origin(5, 50, 0.001, 0.001), nodata=-32768)
    frame = around(Grid.web_mercator(13), 5.2, 49.8, 700)
    sampled = Elevation.open([path], None).sample(frame)
    place = lonlat(frame)
    expected = 4 * ((place[..., 0] - 5) / 0.001 - 0.5) + 3 * ((50 - place[..., 1]) / 0.001 - 0.5) + 500
    assert sampled.known.min() == 1
    # A membrane over a plane is that plane; what the solver leaves is a small part of one sample's rise.
    assert np.abs(sampled.values - expected).max() < 1.0


def test_zeros_in_the_mountains_are_voids_and_the_sea_is_not(tmp_path):
    heights = np.full((200, 200), 1500, np.int16)
    heights[50:54, 60:70] = 0
    heights[150:, :] = 0
    heights[100:103, 100:103] = 1
    path = write(tmp_path / "z.tif", heights, from_origin(5, 50, 0.001, 0.001))
    elevation = Elevation.open([path], None)
    grid = Grid.web_mercator(16)
    assert elevation.sample(around(grid, 5.065, 49.948, 20)).values == pytest.approx(1500, abs=0.5)
    assert elevation.sample(around(grid, 5.1015, 49.8985, 4)).values == pytest.approx(1, abs=1)
    assert (elevation.sample(around(grid, 5.1, 49.825, 20)).values == 0).all()


def test_the_edge_fades_and_nothing_jumps(landscape):
    elevation = Elevation.open(landscape[:1], None)
    frame = around(Grid.web_mercator(14), 10.0, 46.95, 900, 40)
    sampled = elevation.sample(frame)
    known, lon = sampled.known[20], lonlat(frame)[20, :, 0]
    assert (np.diff(known) >= 0).all()
    assert known[lon < 10.0 - SECONDS_3].max() == 0
    assert known[-1] == 1
    assert np.diff(known).max() < 0.05
    assert np.abs(np.diff(sampled.values, axis=1)).max() < 12  # metres a pixel; the hills themselves rise by 8


def test_far_from_all_data_the_ground_is_even(landscape):
    elevation = Elevation.open(landscape, None)
    for frame in (Frame.tile(9, 3, 100), Frame(Grid.metric("EPSG:32632", 2000, 47), -4000, -3000, 300, 300)):
        sampled = elevation.sample(frame)
        assert sampled.known.max() == 0
        assert np.ptp(sampled.values) < 1e-3
    world = elevation.sample(Frame(Grid.web_mercator(1), -300, -300, 1200, 1200))
    assert np.isfinite(world.values).all()


def test_neighbours_meet_without_a_seam(tmp_path):
    tiles = [hill_tile(tmp_path / f"{i}.tif", 10 + 0.1 * i, 47.0) for i in (0, 1)]
    one = hill_tile(tmp_path / "one.tif", 10.0, 47.0, columns=241)
    frame = around(Grid.web_mercator(14), 10.1, 46.95, 400)
    apart, whole = Elevation.open(tiles, None).sample(frame), Elevation.open([one], None).sample(frame)
    assert np.abs(apart.values - whole.values).max() < 1e-3
    assert apart.known.min() == whole.known.min() == 1


def test_rasters_of_two_kinds_meet_without_a_gap(tmp_path):
    """At the seam of two lattices both fade; together they must not."""
    left = hill_tile(tmp_path / "l.tif", 10.0, 47.0)
    step = SECONDS_3 * 0.7
    lon, lat = 10.1 + (np.arange(170) + 0.5) * step, 47.0 - (np.arange(170) + 0.5) * step
    right = write(tmp_path / "r.tif", hills(lon[None, :], lat[:, None]), from_origin(10.1, 47.0, step, step))
    frame = around(Grid.web_mercator(14), 10.1, 46.95, 300)
    sampled = Elevation.open([left, right], None).sample(frame)
    assert sampled.known.min() > 0.9
    place = lonlat(frame)
    truth = hills(place[..., 0], place[..., 1])
    assert np.abs(sampled.values - truth).max() < 40  # each alone is off by 12: the spline is a little soft
    assert np.abs(np.diff(sampled.values, axis=1)).max() < 1.2 * np.abs(np.diff(truth, axis=1)).max()


def test_a_finer_raster_lies_over_a_coarser(landscape):
    both = Elevation.open(landscape, None)
    middle = around(Grid.web_mercator(15), 10.1, 46.95, 60)
    assert np.array_equal(both.sample(middle).values, Elevation.open(landscape[2:], None).sample(middle).values)
    outside = around(Grid.web_mercator(15), 10.05, 46.95, 60)
    assert np.array_equal(both.sample(outside).values, Elevation.open(landscape[:2], None).sample(outside).values)
    edge = around(Grid.web_mercator(15), 10.1, 46.95, 1600, 4)
    place = lonlat(edge)
    steepest = np.abs(np.diff(hills(place[..., 0], place[..., 1]), axis=1)).max()
    assert np.abs(np.diff(both.sample(edge).values, axis=1)).max() < 1.2 * steepest


def test_pixels_larger_than_samples_are_averages(tmp_path):
    checks = np.indices((1024, 1024)).sum(axis=0) % 2 * 1000
    path = write(tmp_path / "c.tif", checks.astype(np.float32), from_origin(5, 50, 0.0005, 0.0005))
    elevation = Elevation.open([path], tmp_path / "cache")
    frame = around(Grid.web_mercator(7), 5.25, 49.75, 16)
    assert elevation.sample(frame).values == pytest.approx(500, abs=1)
    kept = list((tmp_path / "cache").rglob("*.npy"))
    assert kept, "averages of high levels are kept"
    again = Elevation.open([path], tmp_path / "cache")
    assert np.array_equal(again.sample(frame).values, elevation.sample(frame).values)
    kept[0].write_bytes(b"broken")
    broken = Elevation.open([path], tmp_path / "cache")
    assert np.array_equal(broken.sample(frame).values, elevation.sample(frame).values)


def test_order_and_names_of_files_decide_nothing(landscape, tmp_path):
    renamed = [tmp_path / f"{i}.tif" for i in range(3)]
    for new, old in zip(renamed, (landscape[i] for i in (2, 0, 1)), strict=True):
        new.write_bytes(old.read_bytes())
    a, b = Elevation.open(landscape, None), Elevation.open([*renamed, renamed[0]], None)
    frame = around(Grid.web_mercator(13), 10.1, 46.95, 200)
    assert a.digest == b.digest
    assert a.digest != Elevation.open(landscape[:2], None).digest
    assert np.array_equal(a.sample(frame).values, b.sample(frame).values)
    copied = pickle.loads(pickle.dumps(a))
    assert copied.digest == a.digest


def test_feet_and_scaled_numbers_become_metres(tmp_path):
    path = write(tmp_path / "f.tif", np.full((50, 50), 1000, np.int16), from_origin(5, 50, 0.001, 0.001))
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets, file.units = (2.0,), (10.0,), ("ft",)
    found = Elevation.open([path], None).sample(around(Grid.web_mercator(14), 5.025, 49.975, 4))
    assert found.values == pytest.approx(2010 * 0.3048)


def _no_crs(folder):
    return write(folder / "x.tif", np.ones((9, 9), np.float32), from_origin(5, 50, 0.1, 0.1), crs=None)


def _no_place(folder):
    return write(folder / "x.tif", np.ones((9, 9), np.float32), Affine.identity())


def _picture(folder):
    return write(folder / "x.tif", np.zeros((3, 9, 9), np.uint8), from_origin(5, 50, 0.1, 0.1))


def _text(folder):
    (folder / "x.tif").write_text("<VRTDataset/>")
    return folder / "x.tif"


def _cut(folder):
    noise = np.random.default_rng(1).random((300, 300)).astype(np.float32)
    path = write(folder / "x.tif", noise, from_origin(5, 50, 0.1, 0.1))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def _cut_hgt(folder):
    write_hgt(folder / "N10E010.hgt", np.zeros((1000, 1201)))
    return folder / "N10E010.hgt"


def _nameless_hgt(folder):
    return write_hgt(folder / "heights.hgt", np.zeros((1201, 1201)))


def _cut_zip(folder):
    with zipfile.ZipFile(folder / "N10E010.hgt.zip", "w") as archive:
        archive.writestr("N10E010.hgt", bytes(2 * 1201 * 1201))
    path = folder / "N10E010.hgt.zip"
    path.write_bytes(path.read_bytes()[:5000])
    return path


def _empty_zip(folder):
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    return folder / "x.zip"


def _climbing_zip(folder):
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("../N10E010.hgt", bytes(2 * 1201 * 1201))
    return folder / "x.zip"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_no_crs, "coordinate reference system"),
        (_no_place, "where on the ground"),
        (_picture, "picture"),
        (_text, "cannot be read as elevation"),
        (_cut, "cut short"),
        (_cut_hgt, "cannot be read as elevation"),
        (_nameless_hgt, "N42E001.hgt"),
        (_cut_zip, "zip"),
        (_empty_zip, "no elevation"),
        (_climbing_zip, "outside its folder"),
        (lambda folder: folder / "gone.tif", "no such file"),
    ],
)
def test_bad_rasters_get_one_clear_line(tmp_path, capfd, make, says):
    path = make(tmp_path)
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SourceError, match=says) as caught:
            Elevation.open([path], None)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    assert str(tmp_path) not in str(caught.value) or says == "no such file"
    assert capfd.readouterr() == ("", "")


def test_a_raster_that_breaks_while_it_is_read_gets_one_line_too(tmp_path, capfd):
    noise = np.random.default_rng(1).random((600, 600)).astype(np.float32)
    path = write(tmp_path / "x.tif", noise, from_origin(5, 50, 0.001, 0.001), compress="deflate")
    spoiled = bytearray(path.read_bytes())
    spoiled[len(spoiled) // 2 : len(spoiled) // 2 + 20_000] = bytes(20_000)
    path.write_bytes(spoiled)
    elevation = Elevation.open([path], None)
    with pytest.raises(SourceError, match=r"x\.tif is damaged"):
        elevation.sample(around(Grid.web_mercator(10), 5.3, 49.7, 300))
    assert capfd.readouterr() == ("", "")


@given(st.floats(-50, 50))
def test_the_spline_is_smooth_and_keeps_slopes(at):
    rows = b_spline(np.array([at]))
    taps = rows.first[0] + np.arange(4)
    assert rows.weights[:, 0].sum() == pytest.approx(1, abs=1e-6)
    assert (rows.weights >= -1e-7).all()
    assert float((rows.weights[:, 0] * taps).sum()) == pytest.approx(at, abs=1e-4)


def test_andorra_and_its_voids(shared_data: Path):
    elevation = Elevation.open([shared_data / "N42E001.hgt.zip"], None)
    assert elevation.bounds == pytest.approx((1, 42, 2, 43))
    peak = elevation.sample(around(Grid.web_mercator(14), 1.4442, 42.5917, 40)).values.max()
    assert 2850 < peak < 2960  # Coma Pedrosa, 2 942 m
    valley = elevation.sample(around(Grid.web_mercator(14), 1.5218, 42.5063, 8)).values
    assert 980 < valley.mean() < 1120  # Andorra la Vella, 1 023 m
    everywhere = elevation.sample(around(Grid.web_mercator(11), 1.6, 42.55, 700))
    assert everywhere.values.min() > 300
    assert everywhere.known.min() == 1


def test_the_sea_off_monaco_is_level(shared_data: Path):
    elevation = Elevation.open([shared_data / "N43E007.hgt.zip"], None)
    sea = elevation.sample(around(Grid.web_mercator(13), 7.47, 43.70, 100))
    assert (sea.values == 0).all()
    assert sea.known.min() == 1
