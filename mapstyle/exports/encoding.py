"""Encode finished tiles: PNG, WebP or JPEG, at settings chosen by measured bytes and time."""

import io
from collections.abc import Mapping
from typing import Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mapstyle.exports.picture import encode_tile

Kind = Literal["png", "webp", "jpeg"]

SUFFIXES: Mapping[Kind, str] = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
"""Kind of tile -> how its file ends."""
QUALITY: Mapping[Kind, int] = {"png": 100, "webp": 85, "jpeg": 90}
"""Kind of tile -> the quality that is used unless another is asked for."""
JPEG_LEAST = 85
"""Lowest quality of a JPEG tile: below it, the blocks of 8 pixels show in flat washes and round lettering."""


class TileFormat(BaseModel):
    """How tiles are encoded.

    Attributes:
        kind: the format.
        quality: 1-100, for what loses something; 0 is the kind's own.
        lossless: whether every pixel comes back as it was; PNG always is, JPEG never.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = "png"
    quality: int = Field(default=0, ge=0, le=100)
    lossless: bool = False

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: object) -> object:
        """Fill in what follows from the kind, so that equal formats are equal objects."""
        if isinstance(data, dict):
            kind = data.get("kind", "png")
            data = {**data, "quality": data.get("quality") or QUALITY.get(kind, 0)}
            data.setdefault("lossless", kind == "png")
            if data["lossless"] is True:
                data["quality"] = 100
        return data

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.kind == "png" and not self.lossless:
            raise ValueError("a PNG is always lossless; leave 'lossless' out, or take webp")
        if self.kind == "jpeg" and self.lossless:
            raise ValueError("a JPEG always loses something; take png or webp for lossless tiles")
        if self.kind == "jpeg" and self.quality < JPEG_LEAST:
            raise ValueError(f"a map needs a JPEG quality of at least {JPEG_LEAST}; take webp for smaller tiles")
        return self

    @property
    def suffix(self) -> str:
        """How a tile's file ends, with the dot."""
        return SUFFIXES[self.kind]

    @property
    def mime(self) -> str:
        """The media type that a web server sends."""
        return f"image/{self.kind}"


def encode(rgb: NDArray[np.uint8], tile_format: TileFormat) -> bytes:
    """Encode one tile: uint8[height, width, 3], RGB; the same pixels always give the same bytes."""
    if tile_format.kind == "png":
        return _exact_palette(rgb) or encode_tile(rgb)
    if tile_format.kind == "webp":
        return _webp(rgb, tile_format)
    settings = [
        cv2.IMWRITE_JPEG_QUALITY, tile_format.quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,  # thin coloured lines stay clean
        cv2.IMWRITE_JPEG_OPTIMIZE, 1,
    ]  # fmt: skip
    done, data = cv2.imencode(".jpg", rgb[..., ::-1], settings)
    assert done, "memory is the only thing encoding can run out of"
    return data.tobytes()


def decode(data: bytes, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode a tile that :func:`encode` made.

    Args:
        data: one encoded picture.
        shape: rows and columns that it must have; nothing larger is ever unpacked.

    Returns:
        uint8[height, width, 3], RGB.

    Raises:
        ValueError: it is no picture, or of another size.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "WEBP", "JPEG"]) as image:
            if image.size != shape[::-1]:
                raise ValueError(f"{image.size[0]} x {image.size[1]} px instead of {shape[1]} x {shape[0]}")
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot be decoded: {error}") from None


def _webp(rgb: NDArray[np.uint8], tile_format: TileFormat) -> bytes:
    """Encode as WebP, through Pillow: OpenCV fixes the method, and its lossless one takes twenty times as long."""
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(rgb))
    if tile_format.lossless:
        image.save(file, "WEBP", lossless=True, quality=0, method=0)
    else:
        image.save(file, "WEBP", quality=tile_format.quality, method=2)
    return file.getvalue()


def _exact_palette(rgb: NDArray[np.uint8]) -> bytes | None:
    """Encode as PNG with a palette, which loses nothing, where the tile has at most 256 colours; None elsewhere.

    Counting stops at the 257th colour, so that a painted tile pays next to nothing for the question.
    """
    counted = Image.fromarray(np.ascontiguousarray(rgb)).getcolors(256)
    if counted is None:
        return None
    colours = np.unique(np.array([colour for _, colour in counted], np.uint8), axis=0)  # sorted, so that bytes repeat
    keys = _keys(colours)
    indexed = Image.fromarray(np.searchsorted(keys, _keys(rgb)).astype(np.uint8))
    indexed.putpalette(colours.tobytes())
    file = io.BytesIO()
    indexed.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _keys(rgb: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Give each colour as one number, in the order of red, green, blue."""
    red, green, blue = np.moveaxis(rgb.astype(np.uint32), -1, 0)
    return np.asarray(red << 16 | green << 8 | blue, np.uint32)
