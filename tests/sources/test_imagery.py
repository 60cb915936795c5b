"""Imagery: pictures of the ground as a function of the ground, whatever their files are like."""

import pickle
import warnings
from dataclasses import replace

import cv2
import numpy as np
import pyproj
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine, from_origin

from mapstyle.cli.opening import layers_for, open_data
from mapstyle.cli.talk import Talk
from mapstyle.errors import SourceError
from mapstyle.frame import WORLD, Frame, Grid
from mapstyle.job import HowLarge, Where, plan_frame
from mapstyle.sources.elevation import Elevation
from mapstyle.sources.imagery import FADE, GREY, Imagery
from mapstyle.sources.photos import is_imagery
from mapstyle.sources.store import open_atlas

LON, LAT = 10.1, 46.95
TO_UTM = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32632", always_xy=True)


def write(path, rgb, transform, crs="EPSG:32632", driver="GTiff", **options):
    bands = np.moveaxis(np.asarray(rgb), -1, 0)
    options |= {"crs": crs} if crs else {}
    options |= {"transform": transform} if transform else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            path, "w", driver=driver, width=bands.shape[2], height=bands.shape[1], count=bands.shape[0],
            dtype=bands.dtype, **options,
        ) as file:  # fmt: skip
            file.write(bands)
    return path


def ground(height, width, seed=1):
    """Make something with blobs of all colours: uint8[height, width, 3]."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 5)
    return np.clip(128 + smooth / smooth.std() * 60, 0, 255).astype(np.uint8)


def around(grid, lon, lat, width, height=None):
    x, y = grid.project(np.array([[lon, lat]]))[0] * grid.pixel_ratio
    height = height or width
    return Frame(grid, int(x) - width // 2, int(y) - height // 2, width, height)


def rotated(x, y, size, degrees, column=0.0, row=0.0):
    """Give the transform of a picture, turned anticlockwise, of which one place lies at (x, y)."""
    c, s = size * np.cos(np.radians(degrees)), size * np.sin(np.radians(degrees))
    return Affine(c, s, x - c * column - s * row, s, -c, y - s * column + c * row)


def place(frame, lon, lat):
    """Give the place in a frame, in pixels, of degrees."""
    x, y = frame.grid.project(np.array([[lon, lat]]))[0] * frame.grid.pixel_ratio
    return np.array([x - frame.column, y - frame.row])


def centroid(picture):
    """Give the middle of the red in a picture, in pixels."""
    red = np.clip(picture[..., 0].astype(float) - picture[..., 1], 0, None)
    rows, columns = np.mgrid[: red.shape[0], : red.shape[1]] + 0.5
    return np.array([(columns * red).sum(), (rows * red).sum()]) / red.sum()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A coarse picture in degrees, two neighbours in UTM, and a small one in Web Mercator that is turned."""
    folder = tmp_path_factory.mktemp("photos")
    x, y = (round(v) for v in TO_UTM.transform(LON, LAT))
    coarse = write(folder / "a.tif", ground(400, 500), from_origin(LON - 0.05, LAT + 0.04, 2e-4, 2e-4), "EPSG:4326")
    west = write(folder / "b.tif", ground(600, 500, 2), from_origin(x - 1000, y + 600, 2, 2))
    east = write(folder / "c.tif", ground(600, 500, 3), from_origin(x, y + 600, 2, 2), tiled=True)
    mx, my = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True).transform(LON, LAT)
    turned = rotated(mx - 300, my + 300, 1.3, -30)
    rgba = np.dstack([ground(300, 300, 4), np.full((300, 300), 255, np.uint8)])
    rgba[100:150, 100:200, 3] = 0
    small = write(folder / "d.tif", rgba, turned, "EPSG:3857")
    return [coarse, west, east, small]


@pytest.fixture(scope="module")
def one(photos):
    return Imagery.open(photos)


@pytest.fixture(scope="module")
def other(photos):
    return Imagery.open(photos[::-1])


GRIDS = [
    *(Grid.web_mercator(z, ratio) for z, ratio in ((11, 1), (12, 2), (14, 1), (16, 1))),
    Grid.metric("EPSG:32632", 2.0, LAT),
    Grid.metric("EPSG:25833", 7.5, LAT, 2),
]


@settings(max_examples=25)
@given(st.data())
def test_two_frames_agree_to_the_bit(one, other, data):
    grid = data.draw(st.sampled_from(GRIDS))
    whole = around(grid, LON, LAT, 700, 560)
    left, top = data.draw(st.integers(0, 600)), data.draw(st.integers(0, 500))
    width, height = data.draw(st.integers(1, 700 - left)), data.draw(st.integers(1, 560 - top))
    part = Frame(grid, whole.column + left, whole.row + top, width, height)
    picture = one.sample(whole)
    assert picture.dtype == np.uint8
    assert picture.shape == (560, 700, 3)
    assert np.array_equal(other.sample(part), picture[part.slices(whole)])
    assert not np.array_equal(one.sample(replace(whole, column=whole.column + 1)), picture)


@pytest.mark.parametrize("grid", [Grid.web_mercator(16), Grid.web_mercator(15, 2), Grid.metric("EPSG:32632", 2.0, LAT)])
@pytest.mark.parametrize(
    ("crs", "size", "turn"),
    [("EPSG:32632", 1.5, 0), ("EPSG:4326", 2e-5, 0), ("EPSG:3857", 0.4, 25), ("EPSG:2154", 3, 0)],
)
def test_what_is_in_the_picture_lies_where_it_is(tmp_path, grid, crs, size, turn):
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(LON, LAT)
    rgb = np.full((901, 1001, 3), 90, np.uint8)
    transform = rotated(x, y, size, turn, 400.5, 500.5)
    wide = max(2, round(3 / (size * (111_000 if size < 0.01 else 1))))
    rgb[500 - wide : 501 + wide, 400 - wide : 401 + wide] = (255, 0, 0)
    imagery = Imagery.open([write(tmp_path / "spot.tif", rgb, transform, crs)])
    frame = around(grid, LON, LAT, 200, 160)
    found = imagery.sample(frame)
    assert np.abs(centroid(found) - place(frame, LON, LAT)).max() < 0.5
    aside = place(frame, LON + 2e-4, LAT)
    assert np.abs(centroid(found) - aside).max() > 1


def test_far_away_and_coarse_everything_is_a_mean(photos):
    rgb = np.zeros((2048, 2048, 3), np.uint8)
    rgb[::2, ::2] = 200  # aliases to anything unless it is averaged
    x, y = TO_UTM.transform(LON, LAT)
    path = photos[0].with_name("checks.tif")
    imagery = Imagery.open([write(path, rgb, from_origin(x - 20_480, y + 20_480, 20, 20))])
    for zoom in (8, 9, 10):
        frame = around(Grid.web_mercator(zoom), LON, LAT, 12)
        assert np.abs(imagery.sample(frame).astype(int) - 50).max() <= 2
    near = imagery.sample(around(Grid.web_mercator(16), LON, LAT, 64))
    assert near.max() > 190
    assert near.min() < 2


def test_fine_lies_over_coarse_and_nothing_is_grey(photos, one):
    grid = Grid.web_mercator(15)
    frame = around(grid, LON, LAT, 300, 200)
    fine, coarse = Imagery.open(photos[1:3]).sample(frame), Imagery.open(photos[:1]).sample(frame)
    both = Imagery.open(photos[:3]).sample(frame)
    assert np.array_equal(both[60:140, 60:240], fine[60:140, 60:240])
    assert not np.array_equal(both, coarse)
    nowhere = around(grid, LON + 1, LAT, 300, 200)
    assert np.all(one.sample(nowhere) == GREY)
    # Where it says itself that it shows nothing, what lies below shows through.
    holed = Imagery.open([photos[0], photos[3]]).sample(frame)
    with rasterio.open(photos[3]) as file:
        x, y = file.xy(125, 150)
    lon, lat = pyproj.Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True).transform(x, y)
    column, row = place(frame, lon, lat).astype(int)
    assert np.array_equal(
        holed[row - 2 : row + 2, column - 2 : column + 2], coarse[row - 2 : row + 2, column - 2 : column + 2]
    )


def test_neighbours_join_without_a_gap(photos):
    with rasterio.open(photos[1]) as west, rasterio.open(photos[2]) as east:
        truth = np.moveaxis(np.concatenate([west.read(), east.read()], axis=2), 0, -1)[200:400, 350:650]
        left, top = west.transform.c + 700, west.transform.f - 400
    grid = replace(Grid.metric("EPSG:32632", 2.0, LAT), origin_x=left % 2, origin_y=top % 2)
    frame = Frame(grid, round(left // 2), -round(top // 2), 300, 200)
    imagery = Imagery.open(photos[1:3])
    assert np.array_equal(imagery.sample(frame), truth)
    assert not np.array_equal(imagery.sample(replace(frame, row=frame.row + 1)), truth)


def test_a_detector_sees_no_edge_where_the_picture_ends(tmp_path):
    x, y = TO_UTM.transform(LON, LAT)
    rgb = np.full((400, 400, 3), (250, 250, 240), np.uint8)
    path = write(tmp_path / "white.tif", rgb, from_origin(x - 200, y + 200, 1, 1))
    frame = around(Grid.web_mercator(16), LON, LAT, 512)
    found = Imagery.open([path]).sample(frame)
    assert found.min() == GREY
    assert found.max() == 250
    assert not cv2.Canny(found, 100, 200).any()
    hard = np.where(found > GREY + 2, found, 0)
    assert cv2.Canny(hard, 100, 200).any()
    half = found[256, :, 0]
    assert np.abs(np.diff(half.astype(int))).max() <= 2 * 128 / FADE


def test_the_world_goes_round(tmp_path):
    rgb = ground(360, 720)
    rgb[:, -40:] = rgb[:, :40] = 77
    grid = Grid.web_mercator(2)
    degrees = Imagery.open([write(tmp_path / "w.tif", rgb, from_origin(-180, 90, 0.5, 0.5), "EPSG:4326")])
    side = WORLD / 512
    square = ground(512, 512, 2)
    square[:, -30:] = square[:, :30] = 77
    metres = Imagery.open(
        [write(tmp_path / "m.tif", square, from_origin(-WORLD / 2, WORLD / 2, side, side), "EPSG:3857")]
    )
    for imagery in (degrees, metres):
        whole = imagery.sample(Frame(grid, 0, 0, grid.turn, grid.turn))
        over = Frame(grid, grid.turn - 20, 400, 40, 100)
        assert np.all(imagery.sample(over)[FADE:-FADE] == 77)
        assert np.array_equal(imagery.sample(over)[:, 20:], whole[400:500, :20])
        assert whole.std() > 10
    assert degrees.bounds == pytest.approx((-180, -90, 180, 90))


def test_a_picture_with_world_file_and_aux_file_is_read(tmp_path):
    rgb = ground(120, 150)
    x, y = TO_UTM.transform(LON, LAT)
    truth = write(tmp_path / "truth.tif", rgb, from_origin(x, y, 2, 2))
    path = write(tmp_path / "p.png", rgb, None, None, "PNG")
    with pytest.raises(
        SourceError, match=r"p.png does not say where on the ground it lies; put its world file \(p.pgw\)"
    ):
        Imagery.open([path])
    (tmp_path / "p.pgw").write_text(f"2\n0\n0\n-2\n{x + 1!r}\n{y - 1!r}\n")
    with pytest.raises(SourceError, match="does not say which coordinate reference system"):
        Imagery.open([path])
    (tmp_path / "p.png.aux.xml").write_text("<PAMDataset><SRS>EPSG:32632</SRS></PAMDataset>")
    frame = around(Grid.web_mercator(15), *TO_UTM.transform(x + 150, y - 120, direction="INVERSE"), 100)
    assert np.array_equal(Imagery.open([path]).sample(frame), Imagery.open([truth]).sample(frame))
    grey = write(tmp_path / "g.png", rgb[..., :1], from_origin(x, y, 2, 2), driver="PNG")
    seen = Imagery.open([grey]).sample(frame)
    assert np.array_equal(seen[..., 0], seen[..., 2])
    assert seen.std() > 1


def bad(tmp_path, what):
    at = from_origin(600_000, 5_200_000, 2, 2)
    path = tmp_path / f"{what}.tif"
    rgb = ground(300, 300)
    if what == "sixteen":
        return write(path, rgb.astype(np.uint16) * 200, at, photometric="RGB")
    if what == "nowhere":
        return write(path, rgb, None, None)
    if what == "no-crs":
        return write(path, rgb, at, None)
    if what == "cut":
        whole = write(path, rgb, at).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        return path
    if what == "cut-jpeg":
        path = write(tmp_path / "cut.jpg", rgb, at, driver="JPEG")
        path.write_bytes(path.read_bytes()[:4000])
        return path
    if what == "no-picture":
        path = tmp_path / "text.png"
        path.write_text("<VRTDataset/>")
        return path
    assert what == "palette"
    with rasterio.open(
        path, "w", driver="GTiff", width=300, height=300, count=1, dtype="uint8", crs="EPSG:32632", transform=at
    ) as file:
        file.write(rgb[..., 0], 1)
        file.write_colormap(1, {i: (i, 255 - i, 0, 255) for i in range(256)})
    return path


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("sixteen", "sixteen.tif has colours of type uint16, and 8 bits are read; run: gdal_translate -ot Byte"),
        ("palette", "palette.tif has a palette instead of red, green and blue; run: gdal_translate -expand rgb"),
        ("nowhere", "nowhere.tif does not say where on the ground it lies"),
        ("no-crs", "no-crs.tif does not say which coordinate reference system it is in"),
        ("cut", "cut.tif .*(damaged or cut short|cannot be read)"),
        ("cut-jpeg", "cut.jpg is damaged or cut short"),
        ("no-picture", "text.png cannot be read as a picture"),
    ],
)
def test_what_cannot_be_read_says_so_in_one_line(tmp_path, what, told):
    path = bad(tmp_path, what)
    with pytest.raises(SourceError, match=told) as error:
        open_atlas([str(path)], tmp_path / "cache")
    assert "\n" not in str(error.value)
    assert str(tmp_path) not in str(error.value)


def test_too_large_a_png_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("mapstyle.sources.photos.WHOLE", 80_000)
    path = write(tmp_path / "large.png", ground(300, 300), from_origin(0, 0, 1, 1), driver="PNG")
    with pytest.raises(
        SourceError, match=r"large.png has more than .* million pixels.*gdal_translate -of COG large.png"
    ):
        Imagery.open([path])


def test_one_band_is_elevation_and_three_are_a_picture(tmp_path):
    at = from_origin(600_000, 5_200_000, 20, 20)
    heights = write(tmp_path / "h.tif", ground(100, 100)[..., :1], at)
    fine = write(tmp_path / "f.tif", np.full((100, 100, 3), 500, np.float32), at)
    photo = write(tmp_path / "p.tif", ground(100, 100), at)
    assert [is_imagery(p) for p in (heights, fine, photo, tmp_path / "x.hgt")] == [False, False, True, False]
    atlas = open_atlas([str(heights), str(photo)], tmp_path / "cache")
    assert (atlas.elevation, atlas.imagery) == ((heights,), (photo,))
    with pytest.raises(SourceError, match="is a picture, not elevation"):
        Elevation.open([photo], None)


def test_a_job_with_pictures_alone(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("MAPSTYLE_CACHE", str(tmp_path))
    talk = Talk(quiet=True, as_json=False)
    data = open_data([str(photos[1])], talk)
    imagery = Imagery.open([photos[1]])
    assert data.imagery is not None
    assert data.bounds == imagery.bounds
    frame = plan_frame(Where(), HowLarge(size="300x200"), data)
    layers = layers_for(data, frame)
    assert layers.elevation(frame) is None
    assert np.array_equal(layers.imagery(frame), imagery.sample(frame))
    assert layers.imagery(frame).std() > 10
    more = open_data([str(p) for p in photos[1:3]], talk)
    assert layers_for(more, frame).digest != layers.digest
    assert more.digest != data.digest
    assert open_data([str(photos[1])], talk).digest == data.digest
    vectors = open_data([str(_feature(tmp_path))], talk)
    frame = plan_frame(Where(), HowLarge(), vectors)
    assert layers_for(vectors, frame).imagery(frame) is None


def _feature(folder):
    path = folder / "one.geojson"
    path.write_text(
        '{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"natural":"wood"},"geometry":'
        '{"type":"Polygon","coordinates":[[[10.09,46.94],[10.11,46.94],[10.11,46.96],[10.09,46.96],[10.09,46.94]]]}}]}'
    )
    return path


def test_the_digest_names_content_and_place(photos, one, other, tmp_path):
    assert one.digest == other.digest
    copy = tmp_path / "renamed.tif"
    copy.write_bytes(photos[1].read_bytes())
    assert Imagery.open([copy]).digest == Imagery.open([photos[1], copy]).digest == Imagery.open([photos[1]]).digest
    rgb = ground(600, 500, 2)
    rgb[300, 200] += 1
    x, y = (round(v) for v in TO_UTM.transform(LON, LAT))
    changed = write(tmp_path / "changed.tif", rgb, from_origin(x - 1000, y + 600, 2, 2))
    assert Imagery.open([changed]).digest != Imagery.open([photos[1]]).digest
    again = pickle.loads(pickle.dumps(one))
    frame = around(GRIDS[3], LON, LAT, 100)
    assert again.digest == one.digest
    assert np.array_equal(again.sample(frame), one.sample(frame))
