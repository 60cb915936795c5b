"""Drawing: placed labels to a sheet, each with a halo in the colour of the ground below."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstyle.frame import Frame
from mapstyle.image import MapImage
from mapstyle.labels.glyphs import Coverage, glyph_shapes, ink
from mapstyle.labels.halo import HALO_REACH, halo_colours
from mapstyle.labels.marks import mark_shapes
from mapstyle.labels.settings import LabelSettings, TypeSettings
from mapstyle.placed import PlacedLabel

Rgba = NDArray[np.uint8]


@dataclass(frozen=True)
class LabelPatch:
    """A label as pixels, wherever it is: it depends on the label and its type alone.

    Attributes:
        column: real pixels from the grid's origin of its left edge.
        row: real pixels of its upper edge.
        ink: uint8[height, width, 3], colour of letters and sign.
        share: uint8[height, width, 1], how much of a pixel's colour is ink's; the rest is the halo's.
        alpha: uint8[height, width, 1], how much a pixel covers of the ground.
    """

    column: int
    row: int
    ink: NDArray[np.uint8]
    share: NDArray[np.uint8]
    alpha: NDArray[np.uint8]


def draw_labels(labels: Sequence[PlacedLabel], ground: MapImage, settings: LabelSettings, frame: Frame) -> MapImage:
    """Draw labels over a frame as a sheet, in the order given.

    Args:
        labels: as :meth:`~mapstyle.labels.place.LabelPlacer.place` gives them.
        ground: the picture below; it covers the frame and ``HALO_REACH`` logical pixels around it.
        settings: the style's say.
        frame: what to draw.

    Returns:
        RGBA, straight alpha; nothing where there is no label.
    """
    assert ground.frame.contains(frame.pad(HALO_REACH)), "halos look at the ground around the frame"
    sheet = np.zeros((*frame.shape, 4), np.uint8)
    for label in labels:
        kind = settings.of(label.kind)
        patch = label_patch(label, kind, frame.grid.pixel_ratio)
        height, width = patch.ink.shape[:2]
        place = Frame(frame.grid, patch.column, patch.row, width, height)
        seen = place.intersection(frame)
        if seen is None:
            continue
        inside = seen.slices(place)
        halo = halo_colours(ground.crop(seen.pad(HALO_REACH)), kind.colour, kind.light)
        _lay(sheet[seen.slices(frame)], halo, patch.ink[inside], patch.share[inside], patch.alpha[inside])
    return MapImage(frame, sheet)


def _lay(target: Rgba, halo: Rgba, ink: Rgba, share: Rgba, alpha: Rgba) -> None:
    """Lay a label over what the sheet already has, in whole numbers and pixel by pixel: the same in any crop."""
    colour = _mix(halo, ink, share)
    below = target[..., 3:]
    if not below.any():
        target[..., :3] = np.where(alpha > 0, colour, np.uint8(0))
        below[...] = alpha
        return
    above = alpha.astype(np.int32) * 255
    rest = below * (255 - alpha.astype(np.int32))
    total = above + rest
    mixed = (colour * above + target[..., :3] * rest + (total >> 1)) // np.maximum(total, 1)
    target[..., :3] = mixed
    below[...] = (total + 127) // 255


def _mix(low: Rgba, high: Rgba, share: Rgba) -> Rgba:
    """Mix bytes: ``low + (high - low) * share / 255``, rounded to nearest."""
    total = low * (255 - share).astype(np.uint16) + high * share.astype(np.uint16) + np.uint16(128)
    return ((total + (total >> np.uint16(8))) >> np.uint16(8)).astype(np.uint8)


def label_patch(label: PlacedLabel, kind: TypeSettings, ratio: int) -> LabelPatch:
    """Give a label's pixels, drawn once and kept a while."""
    return _patch(label, kind.colour, kind.mark or kind.colour, kind.halo, ratio)


@lru_cache(maxsize=2048)
def _patch(label: PlacedLabel, colour: str, sign: str, halo: float, ratio: int) -> LabelPatch:
    left, top, right, bottom = label.box
    column, row = math.floor(left * ratio), math.floor(top * ratio)
    width, height = math.ceil(right * ratio) - column, math.ceil(bottom * ratio) - row
    fine = 8 if ratio == 1 else 4
    letters = ink(glyph_shapes(label.glyphs, label.size, column, row, ratio), width, height, fine)
    mark = np.zeros_like(letters)
    if label.mark:
        corner, at = np.array([column, row]), np.array([label.x, label.y])
        shapes = [[(c + at) * ratio - corner for c in shape] for shape in mark_shapes(label.mark)]
        mark = ink(shapes, width, height, fine)
    everything = np.maximum(letters, mark)
    solid = everything / 255.0
    alpha = solid + _halo(everything, halo * ratio, ratio) / 255.0 * (1.0 - solid)
    share = solid / np.maximum(alpha, 1e-6)
    colours = np.where((mark > letters)[..., None], _rgb(sign), _rgb(colour))
    return LabelPatch(
        column,
        row,
        colours,
        np.rint(share * 255).astype(np.uint8)[..., None],
        np.rint(alpha * 255).astype(np.uint8)[..., None],
    )


def _halo(covered: Coverage, width: float, ratio: int) -> Coverage:
    """Grow ink by a soft rim: full at the letters, gone about one and a half widths away."""
    if width <= 0:
        return np.zeros_like(covered)
    radius = max(1, round(width * 0.8))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    grown = cv2.dilate(covered, disc, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    soft = cv2.GaussianBlur(grown, (0, 0), 0.45 * width + 0.2 * ratio, borderType=cv2.BORDER_CONSTANT)
    # Under the letters themselves the halo is whole, so that contrast is what halo_colours promises.
    return np.maximum(cv2.convertScaleAbs(soft, alpha=1.25), cv2.convertScaleAbs(covered, alpha=2.0))


def _rgb(colour: str) -> NDArray[np.uint8]:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)
