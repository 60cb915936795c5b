"""The tables of OpenStreetMap's tags (the wiki's "Map features") and what each means here."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from mapstyle.layers import LayerKind

K = LayerKind


class Meaning(NamedTuple):
    """What a tag says a feature is, and how important (0 the most)."""

    kind: LayerKind
    rank: int = 0


Values: TypeAlias = Mapping[str, Meaning]
Rules: TypeAlias = Sequence[tuple[str, Values]]
"""Keys in order of say, and the meanings of their values; ``*`` is any value but ``no``."""


def _all(kind: LayerKind, words: str, rank: int = 0) -> dict[str, Meaning]:
    return dict.fromkeys(words.split(), Meaning(kind, rank))


_SQUARES = "pedestrian footway path cycleway living_street steps platform bridleway corridor"
_PAVED = "service residential unclassified tertiary secondary primary rest_area services track road"

COVER: Rules = (
    ("waterway", _all(K.WATER, "riverbank dock river stream canal tidal_channel boatyard")),
    ("natural", {
        **_all(K.WATER, "water hot_spring lake"),
        **_all(K.WETLAND, "wetland mud marsh"),
        **_all(K.GLACIER, "glacier"),
        **_all(K.BEACH, "beach sand dune shoal shingle"),
        **_all(K.ROCK, "bare_rock scree rock stone"),
    }),
    ("leisure", {
        **_all(K.PARK, "park dog_park"),
        **_all(K.GARDEN, "garden"),
        **_all(K.PITCH, "pitch track ice_rink miniature_golf"),
        **_all(K.POOL, "swimming_pool"),
        **_all(K.GRASS, "golf_course common playground horse_riding"),
        **_all(K.INSTITUTION, "sports_centre stadium water_park"),
        **_all(K.BEACH, "beach_resort"),
    }),
    ("amenity", {
        **_all(K.INSTITUTION, "school college university kindergarten hospital clinic prison monastery "
               "place_of_worship research_institute"),
        **_all(K.PARKING, "parking bus_station"),
        **_all(K.CEMETERY, "grave_yard crematorium"),
        **_all(K.SQUARE, "marketplace"),
        **_all(K.POOL, "fountain"),
    }),
    ("place", _all(K.SQUARE, "square")),
    ("area:highway", {**_all(K.SQUARE, _SQUARES)}),
    ("highway", {**_all(K.SQUARE, _SQUARES), **_all(K.SQUARE, _PAVED)}),
    ("railway", _all(K.SQUARE, "platform")),
    ("public_transport", _all(K.SQUARE, "platform")),
    ("tourism", {
        **_all(K.GRASS, "camp_site caravan_site picnic_site"),
        **_all(K.PARK, "zoo theme_park"),
    }),
    ("golf", {**_all(K.GRASS, "green fairway tee rough driving_range"), **_all(K.BEACH, "bunker"),
              **_all(K.WATER, "water_hazard lateral_water_hazard")}),
    ("natural", {
        **_all(K.WOOD, "wood"),
        **_all(K.SCRUB, "scrub shrubbery"),
        **_all(K.HEATH, "heath moor fell tundra"),
        **_all(K.MEADOW, "grassland"),
    }),
    ("landuse", {
        **_all(K.WATER, "reservoir basin salt_pond aquaculture"),
        **_all(K.POOL, "swimming_pool"),
        **_all(K.WOOD, "forest wood"),
        **_all(K.FARMLAND, "farmland farm field cropland greenhouse_horticulture farmyard animal_keeping"),
        **_all(K.MEADOW, "meadow pasture paddock"),
        **_all(K.GRASS, "grass village_green recreation_ground greenfield"),
        **_all(K.SCRUB, "scrub logging"),
        **_all(K.ORCHARD, "orchard plant_nursery"),
        **_all(K.VINEYARD, "vineyard"),
        **_all(K.GARDEN, "allotments flowerbed garden"),
        **_all(K.RESIDENTIAL, "residential garages"),
        **_all(K.COMMERCIAL, "commercial retail fairground"),
        **_all(K.INDUSTRIAL, "industrial railway port harbour depot construction brownfield military"),
        **_all(K.QUARRY, "quarry landfill"),
        **_all(K.CEMETERY, "cemetery"),
        **_all(K.INSTITUTION, "religious churchyard education institutional"),
        **_all(K.PITCH, "winter_sports_pitch"),
    }),
    ("aeroway", {**_all(K.AERODROME, "aerodrome airport airfield"), **_all(K.SQUARE, "helipad")}),
    ("military", {**_all(K.INDUSTRIAL, "barracks naval_base base"), **_all(K.AERODROME, "airfield")}),
    ("man_made", _all(K.INDUSTRIAL, "wastewater_plant water_works works")),
    ("power", _all(K.INDUSTRIAL, "plant substation station")),
)  # fmt: skip
"""Land cover and water: an area is the first of these that fits."""

BUILDINGS: Rules = (
    ("building", {"*": Meaning(K.BUILDING)}),
    ("man_made", _all(K.BUILDING, "storage_tank silo tower water_tower chimney gasometer lighthouse")),
    ("aeroway", _all(K.BUILDING, "terminal hangar")),
)
"""What stands up and has a roof."""

STANDING: Rules = (
    ("aeroway", {**_all(K.RUNWAY, "runway"), **_all(K.TAXIWAY, "taxiway apron")}),
    ("man_made", {
        **_all(K.PIER, "pier jetty quay"),
        **_all(K.BREAKWATER, "breakwater groyne"),
        **_all(K.BRIDGE, "bridge"),
    }),
    ("waterway", _all(K.DAM, "dam weir")),
)  # fmt: skip
"""What is built, and is an area where it is closed and a line where it is not."""

ROADS: Rules = (
    ("highway", {
        **_all(K.MOTORWAY, "motorway"), **_all(K.MOTORWAY, "motorway_link", 1),
        **_all(K.TRUNK, "trunk"), **_all(K.TRUNK, "trunk_link", 1),
        **_all(K.PRIMARY, "primary"), **_all(K.PRIMARY, "primary_link", 1),
        **_all(K.SECONDARY, "secondary"), **_all(K.SECONDARY, "secondary_link", 1),
        **_all(K.TERTIARY, "tertiary"), **_all(K.TERTIARY, "tertiary_link", 1),
        **_all(K.STREET, "residential unclassified living_street road minor"),
        **_all(K.STREET, "pedestrian", 1),
        **_all(K.SERVICE, "service busway bus_guideway raceway escape services rest_area"),
        **_all(K.TRACK, "track"),
        **_all(K.PATH, "path footway cycleway bridleway via_ferrata"),
        **_all(K.STEPS, "steps"),
    }),
)  # fmt: skip
"""Roads in their classes."""

LINES: Sequence[Rules] = (
    ROADS,
    (("railway", {
        **_all(K.RAIL, "rail"),
        **_all(K.RAIL, "light_rail narrow_gauge subway preserved funicular monorail", 1),
        **_all(K.TRAM, "tram"),
    }),),
    (("waterway", {
        **_all(K.RIVER, "river"),
        **_all(K.CANAL, "canal"),
        **_all(K.STREAM, "stream tidal_channel"),
        **_all(K.DITCH, "ditch drain"),
    }),),
    (("historic", _all(K.CITY_WALL, "citywalls city_wall")),
     ("barrier", {**_all(K.CITY_WALL, "city_wall"), **_all(K.WALL, "wall retaining_wall"),
                  **_all(K.TREE_ROW, "hedge", 1)}),
     ("natural", _all(K.TREE_ROW, "tree_row")),
     ),
    (("natural", _all(K.COAST, "coastline")),),
    (("boundary", _all(K.BORDER, "administrative")),),
)  # fmt: skip
"""What is a line; each group gives a feature one kind at most."""

PLACES: Rules = (
    ("place", {
        **_all(K.PLACE, "country city", 1), **_all(K.PLACE, "town state", 2),
        **_all(K.PLACE, "village suburb borough municipality region province county", 3),
        **_all(K.PLACE, "hamlet quarter neighbourhood island archipelago", 4),
        **_all(K.PLACE, "isolated_dwelling locality farm islet allotments", 5),
        **_all(K.OCEAN, "ocean", 0), **_all(K.OCEAN, "sea", 1),
    }),
    ("natural", {**_all(K.PEAK, "peak volcano"), **_all(K.PEAK, "hill saddle", 2),
                 **_all(K.TREE, "tree"), **_all(K.OCEAN, "bay strait", 2), **_all(K.PLACE, "cape", 5)}),
    ("mountain_pass", {"yes": Meaning(K.PEAK, 2)}),
)  # fmt: skip
"""Places, peaks, trees and the names of the sea: points, also where they are mapped as areas."""

POIS: Rules = (
    ("railway", {**_all(K.POI, "station"), **_all(K.POI, "halt", 3),
                 **_all(K.POI, "tram_stop subway_entrance", 5)}),
    ("aeroway", {**_all(K.POI, "aerodrome"), **_all(K.POI, "heliport", 3)}),
    ("historic", {
        **_all(K.POI, "castle cathedral"),
        **_all(K.POI, "monument palace fort abbey city_gate archaeological_site", 1),
        **_all(K.POI, "ruins manor church monastery", 2), **_all(K.POI, "memorial", 4),
        **_all(K.POI, "wayside_cross wayside_shrine", 6),
    }),
    ("tourism", {
        **_all(K.POI, "museum attraction zoo theme_park aquarium", 1),
        **_all(K.POI, "viewpoint alpine_hut gallery", 2),
        **_all(K.POI, "hotel camp_site wilderness_hut", 3),
        **_all(K.POI, "hostel guest_house motel apartment information artwork caravan_site chalet", 5),
    }),
    ("amenity", {
        **_all(K.POI, "university hospital theatre townhall", 1),
        **_all(K.POI, "place_of_worship courthouse library embassy casino monastery college", 2),
        **_all(K.POI, "ferry_terminal", 2),
        **_all(K.POI, "school marketplace cinema arts_centre police fire_station bus_station post_office", 3),
        **_all(K.POI, "restaurant cafe pub bar bank pharmacy community_centre kindergarten", 4),
        **_all(K.POI, "fountain biergarten", 4),
        **_all(K.POI, "parking fuel fast_food ice_cream clinic doctors dentist nightclub shelter", 5),
    }),
    ("leisure", {**_all(K.POI, "stadium", 1),
                 **_all(K.POI, "marina sports_centre water_park golf_course", 3)}),
    ("man_made", {
        **_all(K.POI, "lighthouse windmill", 1), **_all(K.POI, "observatory watermill", 2),
        **_all(K.POI, "tower water_tower", 4),
    }),
    ("shop", {"*": Meaning(K.POI, 6)}),
    ("office", {"*": Meaning(K.POI, 6)}),
)  # fmt: skip
"""Points of interest and how soon they are wanted."""

NAMELESS_POIS = 2
"""Rank up to which a point of interest without a name is kept; beyond, it needs one."""

WORSHIP: Mapping[str, str] = {
    "muslim": "mosque", "jewish": "synagogue", "buddhist": "temple", "hindu": "temple", "shinto": "shrine",
    "taoist": "temple", "sikh": "temple", "": "church", "christian": "church",
}  # fmt: skip
"""Religion of a place of worship -> what its house is called."""
