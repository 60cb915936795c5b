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
        letters: uint8[height, width], coverage of the letters.
        mark: uint8[height, width], coverage of the sign, or None.
        halo: uint8[height, width], strength of the halo.
    """

    column: int
    row: int
    letters: Coverage
    mark: Coverage | None
    halo: Coverage


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
        place = Frame(frame.grid, patch.column, patch.row, patch.halo.shape[1], patch.halo.shape[0])
        seen = place.intersection(frame)
        if seen is None:
            continue
        inside = seen.slices(place)
        letters, halo = patch.letters[inside], patch.halo[inside]
        below = halo_colours(ground.crop(seen.pad(HALO_REACH)), kind.colour, kind.light)
        drawn = _over(below, halo, _rgb(kind.colour), letters)
        if patch.mark is not None and kind.mark:
            drawn = _over_pixels(drawn, _flat(_rgb(kind.mark), patch.mark[inside]))
        target = sheet[seen.slices(frame)]
        target[...] = _over_pixels(target, drawn)
    return MapImage(frame, sheet)


def label_patch(label: PlacedLabel, kind: TypeSettings, ratio: int) -> LabelPatch:
    """Give a label's pixels, drawn once and kept a while."""
    return _patch(label, kind.halo, ratio)


@lru_cache(maxsize=2048)
def _patch(label: PlacedLabel, halo: float, ratio: int) -> LabelPatch:
    left, top, right, bottom = label.box
    column, row = math.floor(left * ratio), math.floor(top * ratio)
    width, height = math.ceil(right * ratio) - column, math.ceil(bottom * ratio) - row
    fine = 8 if ratio == 1 else 4
    letters = ink(glyph_shapes(label.glyphs, label.size, column, row, ratio), width, height, fine)
    mark = None
    if label.mark:
        corner = np.array([column, row])
        at = np.array([label.x, label.y])
        shapes = [[(c + at) * ratio - corner for c in shape] for shape in mark_shapes(label.mark)]
        mark = ink(shapes, width, height, fine)
    everything = letters if mark is None else np.maximum(letters, mark)
    return LabelPatch(column, row, letters, mark, _halo(everything, halo * ratio, ratio))


def _halo(covered: Coverage, width: float, ratio: int) -> Coverage:
    """Grow ink by a soft rim: full at the letters, gone about one and a half widths away."""
    if width <= 0:
        return np.zeros_like(covered)
    radius = max(1, round(width * 0.8))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    grown = cv2.dilate(covered, disc, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    soft = cv2.GaussianBlur(grown, (0, 0), 0.45 * width + 0.2 * ratio, borderType=cv2.BORDER_CONSTANT)
    # Under the letters themselves the halo is whole, so that contrast is what halo_colours promises.
    return np.maximum(cv2.convertScaleAbs(soft, alpha=1.25), covered)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _flat(colour: tuple[int, int, int], alpha: Coverage) -> Rgba:
    out = np.empty((*alpha.shape, 4), np.uint8)
    out[..., :3] = colour
    out[..., 3] = alpha
    return out


def _over(below: NDArray[np.uint8], halo: Coverage, colour: tuple[int, int, int], letters: Coverage) -> Rgba:
    """Lay letters of one colour over a halo: RGBA, straight alpha."""
    under = np.dstack([below, halo])
    return _over_pixels(under, _flat(colour, letters))


def _over_pixels(below: Rgba, above: Rgba) -> Rgba:
    """Lay RGBA over RGBA, both straight alpha, in whole numbers: pixel by pixel, so the same in any crop."""
    a, b = above[..., 3:].astype(np.int32), below[..., 3:].astype(np.int32)
    share = b * (255 - a)  # of the lower, in 1/255
    total = a * 255 + share
    out = np.empty_like(below)
    half = total >> 1
    mixed = (above[..., :3] * (a * 255) + below[..., :3] * share + half) // np.maximum(total, 1)
    out[..., :3] = mixed
    out[..., 3:] = (total + 127) // 255
    return out
