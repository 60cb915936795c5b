"""The atlas: all features of a job's sources as typed tables in degrees, before any grid."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapstyle.layers import LayerKind


class Shape(StrEnum):
    """Whether features are areas, lines or points."""

    AREA = "area"
    LINE = "line"
    POINT = "point"


@dataclass(frozen=True)
class FeatureTable:
    """Features of one kind and one shape.

    Attributes:
        kind: what they are.
        shape: areas are (Multi)Polygons, lines (Multi)LineStrings, points Points.
        geometry: object[f] of valid, two-dimensional Shapely geometries in degrees (WGS 84, longitude
            first), clipped to ±85.0511° of latitude, longitudes in -180..180.
        ids, rank, layer, bridge, tunnel, width, height, base, detail, names: as in
            :class:`mapstyle.layers.VectorLayer`.
    """

    kind: LayerKind
    shape: Shape
    geometry: NDArray[np.object_]
    ids: NDArray[np.uint64]
    rank: NDArray[np.int16]
    layer: NDArray[np.int8]
    bridge: NDArray[np.bool_]
    tunnel: NDArray[np.bool_]
    width: NDArray[np.float32]
    height: NDArray[np.float32]
    base: NDArray[np.float32]
    detail: NDArray[np.object_]
    names: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Atlas:
    """Everything a job's vector sources hold, read once.

    Attributes:
        tables: by kind and shape.
        digest: names the content of all the files, and the version of the reader.
        bounds: west, south, east, north in degrees of all features (the built sea left out).
        attribution: what the data's licence asks to be said, such as ``© OpenStreetMap contributors``.
        elevation: the elevation rasters among the sources, as given.
        notes: what had to be mended or dropped, one line each, with counts.
        imagery: the pictures of the ground among the sources, as given.
    """

    tables: Mapping[tuple[LayerKind, Shape], FeatureTable]
    digest: str
    bounds: tuple[float, float, float, float]
    attribution: str
    elevation: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    imagery: tuple[Path, ...] = ()
