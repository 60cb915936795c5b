"""Tiles come back as they went in: to the bit where nothing may be lost, and close where something may."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from mapstyle.exports import encode_tile
from mapstyle.exports.encoding import TileFormat, encode

KINDS = [
    TileFormat(kind="png"),
    TileFormat(kind="webp", lossless=True),
    TileFormat(kind="webp"),
    TileFormat(kind="jpeg"),
]


def painted(size: int = 256) -> np.ndarray:
    """Give soft washes with grain: more than 256 colours, as a painted tile has."""
    y, x = np.mgrid[0:size, 0:size]
    grain = np.random.default_rng(3).normal(0, 2, (size, size, 3))
    washes = np.dstack([150 + 60 * np.sin(x / 40), 160 + 50 * np.cos(y / 30), 170 + 40 * np.sin((x + y) / 50)])
    return np.clip(washes + grain, 0, 255).astype(np.uint8)


def few(colours: int) -> np.ndarray:
    """Give a tile of exactly so many colours, in a shuffled place each."""
    keys = np.random.default_rng(5).permutation(np.arange(256 * 256) % colours)
    return np.dstack([keys % 256, keys * 7 % 256, keys // 256 * 90]).reshape(256, 256, 3).astype(np.uint8)


def decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("tile_format", KINDS, ids=str)
@pytest.mark.parametrize("size", [256, 512])
def test_a_tile_comes_back(tile_format, size):
    rgb = painted(size)
    data = encode(rgb, tile_format)
    seen = decoded(data)
    assert seen.shape == rgb.shape
    if tile_format.lossless:
        assert np.array_equal(seen, rgb)
    else:
        assert np.abs(seen.astype(int) - rgb).mean() < 4
    other = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(other.astype(int) - seen).max() <= 3, "two readers agree"


@pytest.mark.parametrize("tile_format", KINDS, ids=str)
def test_the_same_pixels_give_the_same_bytes_wherever_they_lie_in_memory(tile_format):
    for rgb in (painted(), few(40)):
        within = np.zeros((300, 300, 3), np.uint8)
        within[20:276, 30:286] = rgb
        assert encode(within[20:276, 30:286], tile_format) == encode(rgb, tile_format)


@pytest.mark.parametrize("colours", [1, 2, 16, 17, 255, 256])
def test_up_to_256_colours_make_a_palette_that_loses_nothing_and_is_smaller(colours):
    rgb = few(colours)
    data = encode(rgb, TileFormat())
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "P"
    assert np.array_equal(decoded(data), rgb)
    assert len(data) < len(encode_tile(rgb))


@pytest.mark.parametrize("rgb", [few(257), painted()], ids=["257 colours", "painted"])
def test_more_colours_are_never_reduced(rgb):
    data = encode(rgb, TileFormat())
    assert data == encode_tile(rgb)
    assert np.array_equal(decoded(data), rgb)


def test_jpeg_keeps_colour_at_full_resolution():
    with Image.open(io.BytesIO(encode(painted(), TileFormat(kind="jpeg")))) as image:
        assert [part[1:3] for part in image.layer] == [(1, 1)] * 3


def test_quality_decides_the_size():
    for kind, low, high in (("webp", 50, 95), ("jpeg", 85, 97)):
        small = encode(painted(), TileFormat(kind=kind, quality=low))
        assert len(small) < len(encode(painted(), TileFormat(kind=kind, quality=high)))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"kind": "jpeg", "quality": 84}, "at least 85"),
        ({"kind": "jpeg", "lossless": True}, "always loses"),
        ({"kind": "png", "lossless": False}, "always lossless"),
        ({"kind": "gif"}, "kind"),
        ({"kind": "webp", "quality": 101}, "quality"),
        ({"colours": 8}, "colours"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, why):
    with pytest.raises(ValidationError, match=why):
        TileFormat(**settings)


def test_equal_formats_are_equal_and_say_what_they_are():
    assert TileFormat(kind="webp") == TileFormat(kind="webp", quality=85, lossless=False)
    assert TileFormat(kind="webp", lossless=True, quality=40) == TileFormat(kind="webp", lossless=True)
    assert hash(TileFormat()) == hash(TileFormat(kind="png", quality=70))
    told = [(f.suffix, f.mime) for f in KINDS]
    assert told == [(".png", "image/png"), (".webp", "image/webp"), (".webp", "image/webp"), (".jpg", "image/jpeg")]
