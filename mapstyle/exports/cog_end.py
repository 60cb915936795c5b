"""Whether a Cloud Optimized GeoTIFF is whole on disk."""

import errno
import os
from pathlib import Path
from typing import Any

BLOCK = 512
"""Pixels on the side of a block of every COG of ours."""
_WHERE = ("OFFSET", "SIZE")


def check_end(file: Path) -> None:
    """Make sure that the last blocks of a COG are on disk: GDAL does not say when it could not write them.

    Raises:
        OSError: ENOSPC, when they are not.
    """
    import rasterio

    size = file.stat().st_size
    with rasterio.open(file) as dataset:
        for shape, level in zip(image_shapes(dataset), [None, *range(len(dataset.overviews(1)))], strict=True):
            last = f"{(shape[1] - 1) // BLOCK}_{(shape[0] - 1) // BLOCK}"
            start, length = (dataset.get_tag_item(f"BLOCK_{what}_{last}", "TIFF", 1, level) for what in _WHERE)
            if start is None or int(start) + int(length) > size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def image_shapes(dataset: Any) -> list[tuple[int, int]]:
    """Give height and width of an open COG's images, the largest first."""
    first = dataset.shape
    return [first, *((-(-first[0] // n), -(-first[1] // n)) for n in dataset.overviews(1))]
