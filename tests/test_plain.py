"""Where nothing is for a long way, ground repeats: by a rule of the ground, without a seam, and for next to nothing."""

import json
import time

import numpy as np
import pytest

from mapstyle.choice import EngineChoice, choose_engine
from mapstyle.engines.painter import Painter
from mapstyle.frame import Frame, Grid
from mapstyle.pipeline import Pipeline
from mapstyle.plain import OVERLAP, RAMP, SQUARE, Plain, endless
from mapstyle.sources.level_index import LevelIndex
from mapstyle.sources.store import open_atlas
from mapstyle.style import load_style

GRID = Grid.web_mercator(12)
AT = (400 * SQUARE, 300 * SQUARE)


@pytest.fixture(scope="module")
def island(tmp_path_factory):
    """A lake of 12 x 12 squares with one island, near a corner of it."""
    folder = tmp_path_factory.mktemp("island")
    corners = GRID.unproject(np.array([[0, 0], [12, 0], [12, 12], [0, 12], [0, 0]]) * float(SQUARE) + AT)
    shore = np.array([[500, 500], [620, 500], [620, 620], [500, 620], [500, 500]]) + np.array([SQUARE, SQUARE]) + AT
    geometry = {"type": "Polygon", "coordinates": [corners.tolist(), GRID.unproject(shore[::-1]).tolist()]}
    features = [{"type": "Feature", "properties": {"natural": "water", "water": "lake"}, "geometry": geometry}]
    path = folder / "island.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return LevelIndex.build(open_atlas([str(path)], folder), GRID, None, folder)


def pipeline(layers, style: str = "watercolour", cache=None) -> Pipeline:
    look = load_style(style)
    return Pipeline(layers, look, choose_engine(look, EngineChoice.PAINTER)[0], cache=cache)


def frame(column: float, row: float, width: int = 256, height: int = 256, ratio: int = 1) -> Frame:
    """Give a frame by the square it begins in."""
    at = [int(ratio * (AT[i] + SQUARE * place)) for i, place in enumerate((column, row))]
    return Frame(GRID.at_ratio(ratio), *at, width * ratio, height * ratio)


def pixels(made: Pipeline, where: Frame) -> np.ndarray:
    return made.render(where).image.rgba


def test_open_water_far_from_everything_repeats(island):
    made = pipeline(island)
    one, other = (pixels(made, frame(c, r)) for c, r in ((5.25, 5.5), (8.25, 7.5)))
    assert np.array_equal(one, other)
    assert one[..., :3].std() > 1  # and is painted all the same
    near = pixels(made, frame(1.25, 1.5))
    assert not np.array_equal(one, near)


@pytest.mark.parametrize("ratio", [1, 2])
def test_a_pixel_does_not_depend_on_the_frame(island, ratio, tmp_path):
    made = pipeline(island, cache=tmp_path)
    whole = frame(1.8, 1.8, 900, 500, ratio)  # painted ground, the ramp and plain ground
    picture = pixels(made, whole)
    for dx, dy, wide, high in ((0, 0, 300, 300), (333, 111, 500, 300), (640, 0, 64, 500)):
        part = Frame(whole.grid, whole.column + dx * ratio, whole.row + dy * ratio, wide * ratio, high * ratio)
        fresh = pipeline(island, cache=tmp_path)
        assert np.array_equal(pixels(fresh, part), picture[part.slices(whole)])


def test_nothing_shows_where_painting_stops(island):
    made = pipeline(island)
    assert made.plain is not None
    shares = [made.plain.share(frame(*at, SQUARE, SQUARE)) for at in ((1, 1), (2, 1), (3, 1), (5, 5))]
    assert shares[0] is None
    assert [int(found[1].max()) for found in shares[1:]] == [256, 256, 256]
    beside = shares[1][1]
    assert beside[:, 0].max() <= 1  # next to the square with the house all is painted
    assert np.all(np.diff(beside[512].astype(int)) >= 0)
    assert np.all(beside[512, RAMP:] == 256)
    assert np.all(shares[3][1] == 256)
    # Steps from column to column are no larger than where all is painted.
    where = frame(1.75, 1.75, 2 * SQUARE, 128)
    steps = []
    for plain in (made.plain, None):
        made.plain = plain
        picture = pixels(made, where)[..., :3].astype(int)
        steps.append(np.abs(np.diff(picture, axis=1)).mean(axis=(0, 2)))
    assert not np.array_equal(*steps)
    assert steps[0].max() < 1.1 * steps[1].max()


def test_plain_ground_is_not_painted(island, tmp_path, monkeypatch):
    made = pipeline(island, cache=tmp_path)
    pixels(made, frame(5, 5))
    assert len(list((tmp_path / "plain").glob("*.npy"))) == 1

    def refuse(*_, **__):
        raise AssertionError("nobody should paint here")

    monkeypatch.setattr(Painter, "paint_scene", refuse)
    again = pipeline(island, cache=tmp_path)
    begun = time.process_time()
    for i in range(8):
        pixels(again, frame(5 + 0.25 * i, 6))
    assert time.process_time() - begun < 2
    (file,) = (tmp_path / "plain").glob("*.npy")
    file.write_bytes(file.read_bytes()[:100])  # damaged: painted again
    with pytest.raises(AssertionError, match="nobody should paint"):
        pixels(pipeline(island, cache=tmp_path), frame(5, 5))


def test_the_same_ground_is_plain_for_any_style_and_any_block(island):
    for style in ("pen-and-ink", "model-railway"):
        made = pipeline(island, style)
        whole = frame(4, 4, 2 * SQUARE, 512)
        picture = pixels(made, whole)
        for painted in made.blocks(whole):
            assert np.array_equal(painted.image.rgba, picture[painted.image.frame.slices(whole)])


def test_small_worlds_have_no_plain_ground():
    small = Grid.web_mercator(3)
    refuse = lambda _: pytest.fail("not looked at")  # noqa: E731
    plain = Plain(small, refuse, refuse, refuse, refuse)
    assert plain.share(Frame(small, 0, 0, 256, 256)) is None
    assert plain.whole(Frame(small, 0, 0, 256, 256)) is None


def test_an_endless_picture_has_no_seam_and_keeps_its_contrast():
    rng = np.random.default_rng(3)
    side = SQUARE + OVERLAP
    noise = rng.normal(size=(side // 8, side // 8, 3)).repeat(8, 0).repeat(8, 1)
    picture = np.clip(128 + 30 * noise, 0, 255).astype(np.uint8)
    made = endless(picture, 1)
    assert made.shape == (SQUARE, SQUARE, 3)
    turned = np.roll(made, (SQUARE // 2, SQUARE // 2), (0, 1)).astype(int)
    for axis in (0, 1):
        steps = np.abs(np.diff(turned, axis=axis)).mean(axis=(1 - axis, 2))
        assert steps[SQUARE // 2 - 1] <= steps.max()
        middle = np.moveaxis(turned, axis, 0)[SQUARE // 2 : SQUARE // 2 + OVERLAP]
        assert abs(middle.std() / turned.std() - 1) < 0.1
    assert np.array_equal(made[OVERLAP:, OVERLAP:], picture[OVERLAP:SQUARE, OVERLAP:SQUARE])
