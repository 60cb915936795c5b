"""The ground under the town: hills by hand, a valley along the river, roughness by noise, flat where people built."""

from pathlib import Path

import numpy as np
import rasterio
import shapely
from growth import to_lonlat
from numpy.typing import NDArray
from rasterio.transform import from_bounds
from shapely.geometry import LineString, MultiPolygon, Polygon

from mapstyle.noise import nodes

HILLS = (
    (-2400, 1430, 400, 720), (-2950, 250, 250, 620), (-1500, 2380, 270, 640), (-760, -250, 30, 190),
    (-1500, -1560, 52, 260), (2080, -640, 42, 240), (500, 2400, 120, 900), (2700, 2300, 80, 700), (1040, -1590, 26, 170),
    (-1750, 300, 110, 420), (1650, 250, 34, 380),
)  # fmt: skip
"""East, north, height and half width of each hill, metres."""


def height_at(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give metres above the sea before coast, valley and roughness."""
    total = np.full(np.broadcast(x, y).shape, 4.0) + 0.004 * np.clip(y + 900, 0, None)
    for east, north, high, wide in HILLS:
        total = total + high * np.exp(-((x - east) ** 2 + (y - north) ** 2) / (2 * (wide * 0.75) ** 2))
    return total


def roughness(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give fractal noise of about unit variance (quintic interpolation of lattice nodes, five octaves)."""
    total, size, weight = np.zeros_like(x), 700.0, 1.0
    for octave in range(5):
        u, v = x / size + 100.5 * octave, y / size - 77.25 * octave
        iu, iv = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
        fu, fv = u - iu, v - iv
        su, sv = fu**3 * (fu * (fu * 6 - 15) + 10), fv**3 * (fv * (fv * 6 - 15) + 10)
        a0, b0 = iu.min(), iv.min()
        lattice = nodes(np.arange(a0, iu.max() + 2), np.arange(b0, iv.max() + 2), 40 + octave).astype(float)
        i, j = iv - b0, iu - a0
        top = lattice[i, j] * (1 - su) + lattice[i, j + 1] * su
        low = lattice[i + 1, j] * (1 - su) + lattice[i + 1, j + 1] * su
        total += weight * (top * (1 - sv) + low * sv)
        size, weight = size / 2, weight * 0.5
    return total


def write_elevation(path: Path, dry: MultiPolygon, river: LineString, airfield: Polygon) -> None:
    """Write the ground as a GeoTIFF of whole decimetres, about 12 m a sample, WGS 84."""
    west, south = to_lonlat(-3560.0, -2860.0)
    east, north = to_lonlat(3560.0, 3060.0)
    columns, rows = 560, 470
    x = np.linspace(-3560, 3560, columns, endpoint=False) + 3560 / columns
    y = np.linspace(3060, -2860, rows, endpoint=False) - 2960 / rows
    gx, gy = np.meshgrid(x, y)
    spots = shapely.points(gx, gy)
    shapely.prepare(dry)
    to_shore = shapely.distance(spots, dry.boundary)
    on_land = shapely.contains(dry, spots)
    base = height_at(gx, gy)
    base += roughness(gx, gy) * (0.09 * base + 0.8)
    to_river = shapely.distance(spots, river)
    # A valley floor that climbs inland, blended in over four hundred metres.
    floor = 1.5 + 0.022 * np.clip(gy + 400, 0, None) ** 1.05
    blend = np.exp(-((to_river / (240 + 60 * roughness(gx + 5000, gy))) ** 2))
    floor = floor - 0.5 * (np.hypot(base - floor, 12.0) - (base - floor))  # a soft minimum: no crease
    base = base * (1 - blend) + floor * blend
    flat = np.exp(-((shapely.distance(spots, airfield) / 330) ** 2))
    base = base * (1 - flat) + 30.0 * flat
    coast = 1 - np.exp(-to_shore / 70)
    ground = np.where(on_land, np.clip(base, 1.0, None) * coast + 0.6, 0.0)
    profile = {
        "driver": "GTiff", "width": columns, "height": rows, "count": 1, "dtype": "float32", "crs": "EPSG:4326",
        "transform": from_bounds(float(west), float(south), float(east), float(north), columns, rows),
        "nodata": -9999.0, "compress": "DEFLATE", "predictor": 3, "zlevel": 9,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write((ground * 10).round().astype(np.float32) / 10, 1)
