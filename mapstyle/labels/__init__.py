"""Labels: words shaped, placed by local rounds, and drawn over the art."""

from mapstyle.labels.draw import draw_labels
from mapstyle.labels.fonts import drawable_scripts
from mapstyle.labels.furniture import Patch, furniture
from mapstyle.labels.halo import HALO_REACH
from mapstyle.labels.place import REACH, LabelPlacer, drop_cut, place_labels
from mapstyle.labels.settings import LabelSettings, TypeSettings
from mapstyle.labels.vector import labels_geojson

__all__ = [
    "HALO_REACH",
    "REACH",
    "LabelPlacer",
    "LabelSettings",
    "Patch",
    "TypeSettings",
    "draw_labels",
    "drawable_scripts",
    "drop_cut",
    "furniture",
    "labels_geojson",
    "place_labels",
]
