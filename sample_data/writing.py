"""Write features to a GeoPackage that comes out the same every time."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from growth import to_lonlat
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

COLUMNS = ("rank", "detail", "height", "levels", "width", "layer", "bridge", "tunnel")


@dataclass(frozen=True)
class Feature:
    """One thing on the map, in metres."""

    kind: str
    shape: BaseGeometry
    name: str = ""
    more: dict[str, object] = field(default_factory=dict)


def write_features(path: Path, features: list[Feature], area: Polygon) -> None:
    """Write areas, lines and points as three layers, one row a feature, names by language in columns."""
    path.unlink(missing_ok=True)
    languages = sorted({key for f in features for key in f.more if key.startswith("name:")})
    rows: dict[str, list[dict[str, object]]] = {"areas": [], "lines": [], "points": []}
    for number, feature in enumerate(features, 1):
        shape = feature.shape.intersection(area)
        for layer, wanted in (("areas", "Polygon"), ("lines", "LineString"), ("points", "Point")):
            parts = [p for p in shapely.get_parts(shape) if p.geom_type == wanted and not p.is_empty]
            if not parts:
                continue
            row: dict[str, object] = {"id": number, "kind": feature.kind, "name": feature.name or None}
            row |= {c: feature.more.get(c) for c in (*COLUMNS, *languages)}
            joined = (
                shapely.multipolygons(parts)
                if layer == "areas"
                else shapely.multilinestrings(parts)
                if layer == "lines"
                else parts[0]
            )
            # Rounding may make an outline touch itself; this keeps it valid.
            row["geometry"] = shapely.set_precision(shapely.transform(joined, _degrees), 1e-7)
            rows[layer].append(row)
    # The library stamps the time of writing into the file; this variable fixes it.
    os.environ["OGR_CURRENT_DATE"] = "2026-01-01T00:00:00.000Z"
    for layer, found in rows.items():
        frame = gpd.GeoDataFrame(found, crs="EPSG:4326")
        for column in ("height", "width"):
            frame[column] = frame[column].astype("float64")
        for column in ("rank", "levels", "layer"):
            frame[column] = frame[column].astype("Int32")
        for column in ("bridge", "tunnel"):
            frame[column] = frame[column].fillna(False).astype(bool)
        frame = frame.dropna(axis="columns", how="all")
        pyogrio.write_dataframe(frame, path, layer=layer, driver="GPKG")


def _degrees(points: np.ndarray) -> np.ndarray:
    lon, lat = to_lonlat(points[:, 0], points[:, 1])
    return np.column_stack([lon, lat]).round(7)
