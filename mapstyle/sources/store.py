"""Open sources: read each file once, keep what was read, and put all of them together in one atlas."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapstyle.errors import SourceError
from mapstyle.fingerprint import fingerprint
from mapstyle.layers import LayerKind
from mapstyle.sources.atlas import Atlas, FeatureTable, Shape
from mapstyle.sources.reader import (
    ELEVATION_SUFFIXES,
    WHAT_CAN_BE_READ,
    WHERE_TO_GET_ONE,
    SourceName,
)

READER_VERSION = 1
"""Raised whenever the same file would be read differently, so that old copies are read anew."""

Progress = Callable[[str], None]


def open_atlas(
    sources: Sequence[str], cache: Path | None = None, progress: Progress | None = None
) -> Atlas:
    """Read sources, or the copies kept of them, into one atlas.

    Args:
        sources: ``FILE``, ``FILE#LAYER``, ``FILE=KIND`` or ``FILE#LAYER=KIND`` each; later ones add to earlier.
        cache: folder of kept copies; the user's own cache folder when left out.
        progress: is told, in a few words, what takes its time.
    """
    if not sources:
        raise SourceError(f"no source was given. It can be: {WHAT_CAN_BE_READ}. {WHERE_TO_GET_ONE}")
    folder = cache if cache is not None else cache_folder()
    tell = progress if progress is not None else lambda _: None
    parts, elevation, digests = [], [], []
    for text in sources:
        name = SourceName.parse(text)
        _check(name, text)
        digest = _digest(name)
        digests.append(digest)
        if _is_elevation(name):
            elevation.append(name.path)
        else:
            parts.append(_open_one(name, digest, folder, tell))
    return _together(parts, tuple(elevation), fingerprint(READER_VERSION, *digests))
