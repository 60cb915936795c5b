"""Labels as data: GeoJSON for maps that draw their words themselves."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mapstyle.frame import Grid
from mapstyle.placed import PlacedLabel


def labels_geojson(labels: Sequence[PlacedLabel], grid: Grid) -> dict[str, Any]:
    """Give labels as a GeoJSON FeatureCollection of points: anchor, words, kind, size and angle."""
    if not labels:
        return {"type": "FeatureCollection", "features": []}
    where = [_anchor(label) for label in labels]
    degrees = grid.unproject(np.array([(x, y) for x, y, _ in where], np.float64))
    features = [
        {
            "type": "Feature",
            "id": str(label.id),
            "geometry": {
                "type": "Point",
                "coordinates": [round((float(lon) + 180) % 360 - 180, 7), round(float(lat), 7)],
            },
            "properties": {
                "text": label.text,
                "kind": label.kind.value,
                "rank": label.rank,
                "detail": label.detail,
                "size": label.size,
                "angle": round(math.degrees(angle), 1),
                "mark": label.mark,
            },
        }
        for label, (lon, lat), (_, _, angle) in zip(labels, degrees, where, strict=True)
    ]
    return {"type": "FeatureCollection", "features": features}


def _anchor(label: PlacedLabel) -> tuple[float, float, float]:
    """Give where a label is anchored, and its angle clockwise from east: on a curve, those of its middle letter."""
    middle = label.glyphs[len(label.glyphs) // 2]
    if middle.angle:
        return middle.x, middle.y, middle.angle
    return label.x, label.y, 0.0
