"""Read Natural Earth's layers as kinds."""

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mapstyle.layers import LayerKind
from mapstyle.sources.atlas import Shape
from mapstyle.sources.reader import RawLayer
from mapstyle.sources.schema import Draft, Reading, parse_number, read_names

K = LayerKind
ATTRIBUTION = "Made with Natural Earth"

LAYERS: Mapping[str, tuple[LayerKind, Shape]] = {
    "ocean": (K.OCEAN, Shape.AREA),
    "lakes": (K.WATER, Shape.AREA),
    "rivers_lake_centerlines": (K.RIVER, Shape.LINE),
    "urban_areas": (K.RESIDENTIAL, Shape.AREA),
    "glaciated_areas": (K.GLACIER, Shape.AREA),
    "antarctic_ice_shelves_polys": (K.GLACIER, Shape.AREA),
    "admin_0_boundary_lines_land": (K.BORDER, Shape.LINE),
    "admin_1_states_provinces_lines": (K.BORDER, Shape.LINE),
    "populated_places": (K.PLACE, Shape.POINT),
    "populated_places_simple": (K.PLACE, Shape.POINT),
    "geography_marine_polys": (K.OCEAN, Shape.POINT),
    "coastline": (K.COAST, Shape.LINE),
    "roads": (K.PRIMARY, Shape.LINE),
    "railroads": (K.RAIL, Shape.LINE),
}
"""Layer's name without its scale -> kind and shape. ``land`` is kept apart: its complement is the sea."""

LAND = "land"


def plain_name(name: str) -> str:
    """Take the scale off a layer's name: ``ne_10m_lakes`` is ``lakes``."""
    return re.sub(r"^ne_(10|50|110)m_", "", name.lower())


def is_natural_earth(raw: RawLayer) -> bool:
    """Tell whether a layer is one of Natural Earth's."""
    telling = "featurecla" in raw.column_names or raw.name.lower().startswith("ne_")
    return telling and (plain_name(raw.name) in LAYERS or plain_name(raw.name) == LAND)


def is_land(raw: RawLayer) -> bool:
    """Tell whether a layer is Natural Earth's land."""
    return is_natural_earth(raw) and plain_name(raw.name) == LAND


def read_natural_earth(raw: RawLayer) -> Reading:
    """Say what the features of a Natural Earth layer are."""
    size = len(raw)
    drafts = []
    if not is_land(raw):
        kind, shape = LAYERS[plain_name(raw.name)]
        feature_class = raw.column("featurecla")
        detail = np.full(size, "", object) if feature_class is None else feature_class.texts()
        detail = np.array([str(d).lower().replace(" ", "_") for d in detail], np.object_)
        drafts.append(Draft(kind, shape, np.arange(size), _rank(raw, kind).astype(np.int16), detail))
    unknown = np.full(size, np.nan, np.float32)
    flag = np.zeros(size, np.bool_)
    zeros = np.zeros(size, np.float32)
    names = read_names(raw)
    return Reading(drafts, names, zeros.astype(np.int8), flag, flag, unknown, unknown, zeros, ATTRIBUTION)


def _rank(raw: RawLayer, kind: LayerKind) -> NDArray[np.int64]:
    scale = _whole(raw, "scalerank")
    if kind is K.BORDER:
        return np.full(len(raw), 2 if "admin_0" in raw.name.lower() else 4)
    if kind is not K.PLACE:
        return scale
    # Six ranks, as for OSM's places: what shows on a wall map of the world is 0.
    people = _whole(raw, "pop_max")
    column = raw.column("featurecla")
    capital = np.zeros(len(raw), np.bool_) if column is None else column.any_of(("Admin-0 capital",))
    rank = np.array([0, 0, 1, 2, 3, 4, 4, 5, 5, 5, 5])[np.clip(scale, 0, 10)]
    rank = np.where(capital & (people > 300_000), np.minimum(rank, 1), rank)
    return np.where(people > 5_000_000, 0, rank)


def _whole(raw: RawLayer, name: str) -> NDArray[np.int64]:
    column = raw.column(name)
    if column is None:
        return np.zeros(len(raw), np.int64)
    return np.nan_to_num(column.numbers(parse_number), nan=0.0).astype(np.int64)
