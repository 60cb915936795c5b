"""What a raster does not know: voids told from ground, and filled from their rim."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CHUNK = 512
"""Samples on the side of a chunk; chunks are counted from sample (0, 0), so they never depend on a frame."""
MARGIN = 512
"""Samples round a chunk that are looked at when its voids are filled."""
FAR_LEVEL = 8
"""Doublings over which a void looks for its rim; two samples of that level are the margin."""
RELAX = 16
"""Steps of smoothing at each doubling; an error of the size of a sample falls to a hundredth in about ten."""
RIM = 32
"""Samples round a chunk that are looked at for zeros that stand for voids, which are smaller than this."""
ZERO_CLIFF = 60.0
"""Metres: zeros wholly ringed by higher ground than this are voids, not water."""

Heights = NDArray[np.float32]
Weights = NDArray[np.float32]


def pull(heights: Heights, share: Weights) -> tuple[Heights, Weights]:
    """Average two by two what was measured; give the means and the shares of half the size."""
    total = _sum_four(heights * share)
    weight = _sum_four(share)
    mean = np.where(weight > 0, total / np.where(weight > 0, weight, 1), 0).astype(np.float32)
    return mean, weight * np.float32(0.25)


def fill(heights: Heights, share: Weights, base: float) -> Heights:
    """Stretch a smooth skin over the voids of a chunk, from their rim (a membrane, solved from coarse to fine).

    It falls to ``base`` where nothing was measured in this or the neighbouring squares of 2**FAR_LEVEL samples.

    Args:
        heights: float32[CHUNK + 2 MARGIN, CHUNK + 2 MARGIN], the chunk amid what surrounds it.
        share: likewise; 0 where nothing was measured.
        base: the height where no data is near, metres.

    Returns:
        float32[CHUNK, CHUNK].
    """
    levels = [(heights, share)]
    for _ in range(FAR_LEVEL):
        levels.append(pull(*levels[-1]))
    near = cv2.dilate((levels[-1][1] > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    skin = np.full(near.shape, base, np.float32)
    margin = MARGIN >> FAR_LEVEL
    for level in range(FAR_LEVEL, -1, -1):
        measured, weight = levels[level]
        if level < FAR_LEVEL:
            skin = cv2.resize(skin, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
            near = near.repeat(2, axis=0).repeat(2, axis=1)
            # Fine levels matter close by only: their smoothing does not reach further than its steps.
            wanted = min(MARGIN >> level, 2 * RELAX)
            skin, near = _trim(skin, 2 * margin - wanted), _trim(near, 2 * margin - wanted)
            margin = wanted
        around = (MARGIN >> level) - margin
        measured, weight = _trim(measured, around), _trim(weight, around)
        void = weight == 0
        skin = np.where(void, np.where(near > 0, skin, np.float32(base)), measured)
        _relax(skin, void & (near > 0))
    return _trim(skin, margin).copy()


# Patra and Karttunen's isotropic nine-point Laplacian: its weights about the centre, made into a mean.
_STENCIL = np.array([[1, 4, 1], [4, 0, 4], [1, 4, 1]], np.float32) / 20


def _relax(skin: Heights, void: NDArray[np.bool_]) -> None:
    """Smooth the voids in place, holding all else."""
    rows, columns = np.flatnonzero(void.any(axis=1)), np.flatnonzero(void.any(axis=0))
    if not len(rows):
        return
    part = (
        slice(max(0, rows[0] - 1), rows[-1] + 2),
        slice(max(0, columns[0] - 1), columns[-1] + 2),
    )
    inner, hollow = np.ascontiguousarray(skin[part]), np.ascontiguousarray(void[part]).astype(np.uint8)
    for _ in range(RELAX):
        smooth = cv2.filter2D(inner, -1, _STENCIL, borderType=cv2.BORDER_REPLICATE)
        cv2.copyTo(smooth, hollow, inner)
    skin[part] = inner


def false_zeros(heights: Heights, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find zeros that stand for voids: small patches, all of whose rim is high ground."""
    zero = valid & (heights == 0)
    if not zero.any() or not (heights > ZERO_CLIFF).any():
        return np.zeros_like(zero)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(zero.astype(np.uint8), connectivity=8)
    spread = cv2.dilate(labels.astype(np.float32), np.ones((3, 3), np.uint8))
    rim = ~zero & (spread > 0)
    lowest = np.full(count, np.inf)
    # Between two patches the rim counts for the one with the greater number; both lie close together then.
    np.minimum.at(lowest, spread[rim].astype(np.int64), np.where(valid[rim], heights[rim], np.inf))
    size = zero.shape[0]
    left, top, width, height = stats[:, 0], stats[:, 1], stats[:, 2], stats[:, 3]
    whole = (left > 0) & (top > 0) & (left + width < size) & (top + height < size)
    small = (width < RIM) & (height < RIM)
    false = whole & small & (lowest > ZERO_CLIFF) & np.isfinite(lowest)
    false[0] = False
    return np.asarray(false[labels])


def _sum_four(a: NDArray[np.float32]) -> NDArray[np.float32]:
    return (a[0::2, 0::2] + a[0::2, 1::2]) + (a[1::2, 0::2] + a[1::2, 1::2])


def _trim(array: NDArray[Any], width: int) -> NDArray[Any]:
    return array[width : array.shape[0] - width, width : array.shape[1] - width]
