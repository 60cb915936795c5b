"""Make the sample town: Doggerhaven, an invented place on the drowned land under the North Sea.

Run ``python sample_data/make.py`` to write ``doggerhaven.gpkg`` and ``doggerhaven-elevation.tif`` beside
this file. Every number comes from here or from a seeded generator, so the files come out the same.

The skeleton (coast, river, main roads, railway, districts) is drawn by hand, in metres east and north of
the town's middle; streets, houses, fields and woods grow on it by rules.
"""

import json
from pathlib import Path

import numpy as np
from growth import (
    Standing,
    attach_houses,
    district_streets,
    fields,
    houses_along,
    patches,
    ribbon,
    smooth,
    to_lonlat,
    trees_in,
)
from shapely import STRtree, affinity
from shapely.geometry import LineString, Point, Polygon, box
from shapely.ops import unary_union
from terrain import height_at, roughness, write_elevation
from writing import Feature, write_features

HERE = Path(__file__).resolve().parent
WEST, SOUTH, EAST, NORTH = -3000, -2300, 3000, 2500
AREA = box(WEST, SOUTH, EAST, NORTH)
random = np.random.default_rng(1911)

COAST = [
    (-3600, -1380), (-3000, -1500), (-2650, -1570), (-2400, -1480), (-2180, -1400), (-1950, -1470), (-1760, -1660),
    (-1500, -1800), (-1300, -1760), (-1190, -1560), (-1120, -1380), (-960, -1180), (-760, -1010), (-560, -900),
    (-330, -850), (-210, -760), (-170, -560), (-130, -430), (-40, -430), (20, -560), (110, -740), (330, -800),
    (620, -770), (860, -650), (1150, -600), (1480, -660), (1780, -830), (2010, -900), (2180, -780), (2230, -560),
    (2240, -300), (2370, -40), (2620, 190), (2830, 420), (3050, 560), (3600, 760),
]  # fmt: skip
RIVER = [
    (-2700, 2900), (-2480, 2450), (-2260, 2160), (-2000, 1930), (-1760, 1700), (-1540, 1440), (-1420, 1180),
    (-1250, 960), (-1020, 790), (-830, 600), (-720, 380), (-560, 200), (-390, 60), (-280, -120), (-190, -300), (-90, -520),
]  # fmt: skip
BROOK = [
    (1250, 2900),
    (1130, 2350),
    (900, 1980),
    (760, 1600),
    (420, 1330),
    (120, 1100),
    (-160, 900),
    (-460, 640),
    (-720, 430),
]
EAST_BROOK = [(2900, 1300), (2620, 1120), (2350, 980), (2240, 700), (2330, 420), (2480, 230), (2560, 60)]
RAIL = [
    (-3600, -760), (-2900, -820), (-2350, -860), (-1850, -760), (-1420, -420), (-1150, -60), (-860, 180), (-560, 330),
    (-200, 420), (250, 455), (800, 440), (1300, 330), (1750, 190), (2150, 230), (2600, 520), (3600, 1100),
]  # fmt: skip
MOTORWAY = [
    (-3600, 700), (-2900, 800), (-2450, 870), (-1950, 950), (-1500, 1040), (-1000, 1120), (-400, 1230), (300, 1220),
    (900, 1130), (1500, 1080), (2200, 1130), (3600, 1500),
]  # fmt: skip
COAST_ROAD = [
    (-3600, -1120), (-2900, -1230), (-2450, -1180), (-2050, -1080), (-1650, -960), (-1330, -800), (-1080, -640),
    (-880, -560), (-640, -500), (-420, -420), (-240, -330), (-60, -270), (160, -250), (480, -290), (820, -330),
    (1200, -330), (1560, -430), (1850, -480), (2020, -330), (2100, -60), (2260, 240), (2480, 520), (2800, 760), (3600, 1050),
]  # fmt: skip
NORTH_ROAD = [
    (-60, -270),
    (-20, -60),
    (30, 200),
    (60, 455),
    (80, 700),
    (110, 960),
    (160, 1220),
    (260, 1560),
    (320, 1900),
    (300, 2300),
    (240, 2900),
]
VALLEY_ROAD = [
    (-640, -500),
    (-820, -250),
    (-980, 60),
    (-1060, 380),
    (-1080, 660),
    (-1230, 880),
    (-1330, 1140),
    (-1440, 1400),
    (-1640, 1720),
    (-1900, 2060),
    (-2180, 2360),
    (-2500, 2900),
]
AIR_ROAD = [(480, -290), (560, 0), (640, 440), (820, 760), (1060, 1105), (1300, 1330), (1420, 1400)]
EAST_ROAD = [(1200, -330), (1260, 0), (1330, 330), (1420, 640), (1560, 1085)]
HILL_ROAD = [
    (-1330, -800),
    (-1560, -480),
    (-1900, -260),
    (-2250, -80),
    (-2560, 140),
    (-2800, 430),
    (-3600, 560),
]


def line(points: list[tuple[float, float]], step: float = 25.0) -> LineString:
    """Draw a smooth line through points."""
    return smooth(points, step)


features: list[Feature] = []


def add(kind: str, shape: object, name: str = "", **more: object) -> None:
    """Put one feature on the map, cut to the map's area where it is long."""
    features.append(Feature(kind, shape, name, more))


# --- ground and water -------------------------------------------------------------------------------------

coast = line(COAST, 30)
land = Polygon([*coast.coords, (3600, 3400), (-3600, 3400)])
quay = Polygon(
    [
        (-860, -1000),
        (-760, -1120),
        (-660, -1090),
        (-672, -945),
        (-330, -805),
        (-205, -745),
        (-185, -640),
        (-620, -640),
    ]
)
basin = Polygon([(-630, -1090), (-646, -940), (-335, -812), (-200, -760), (-150, -900), (-420, -1080)])
fish_dock = affinity.rotate(box(270, -840, 400, -640), -8)
land = land.union(quay).difference(basin).difference(fish_dock).buffer(4).buffer(-8).buffer(4)
river_line = line(RIVER)
river_area = ribbon(river_line, lambda t: 11 + 26 * t**2.2 + 40 * max(0.0, t - 0.9) ** 1.2)
lake = affinity.rotate(Point(0, 0).buffer(1, 64), 0)
lake = affinity.translate(affinity.rotate(affinity.scale(lake, 250, 120), -42), -2010, 1950)
lake = (
    lake.union(affinity.translate(affinity.rotate(affinity.scale(Point(0, 0).buffer(1, 64), 130, 90), 20), -2180, 2060))
    .buffer(25)
    .buffer(-25)
)
island = Polygon(
    smooth(
        [
            (780, -1500),
            (900, -1380),
            (1110, -1400),
            (1240, -1520),
            (1230, -1690),
            (1060, -1790),
            (880, -1720),
            (760, -1620),
            (780, -1500),
        ],
        20,
    ).coords
)
skerries = [
    Point(x, y).buffer(r, 5)
    for x, y, r in (
        (640, -1780, 26),
        (690, -1830, 16),
        (1420, -1480, 20),
        (-1650, -1990, 24),
        (-1580, -2040, 14),
        (2420, -980, 18),
    )
]
dry = unary_union([land, island, *skerries])
sea = box(-3500, -3000, 3500, 3300).difference(dry)
dry_land = land.difference(river_area).difference(lake)

add(
    "ocean",
    sea,
    "Lowland Sea",
    **{
        "name:de": "Tieflandsee",
        "name:ru": "Низинное море",
        "name:ar": "بحر الأراضي المنخفضة",
        "name:ja": "低地海",
    },
)
for shore in (land, island, *skerries):
    ring = shore.exterior if shore.geom_type == "Polygon" else max(shore.geoms, key=lambda g: g.area).exterior
    for part in getattr(ring.intersection(box(-3480, -2980, 3480, 2690)), "geoms", [ring]):
        add("coast", part)
add("water", river_area.intersection(land), "", detail="river")
add(
    "water",
    lake,
    "Mirror Mere",
    detail="lake",
    **{"name:de": "Spiegelsee", "name:zh": "镜湖", "name:el": "Λίμνη του Καθρέφτη"},
)
add("river", river_line, "Silver Ey", width=20, **{"name:de": "Silbereye", "name:ka": "სილვერ ეი"})
add("stream", line(BROOK), "Otter Beck")
add("stream", line(EAST_BROOK), "Reed Beck")
leat = line([(-1020, 790), (-900, 720), (-700, 620), (-560, 470), (-480, 300), (-470, 130), (-400, 60)])
add("canal", leat, "Millers' Leat", width=6)
for k in range(5):
    add("ditch", LineString([(1500 + 160 * k, 700), (1560 + 160 * k, 1000)]))
dam_line = LineString([(-1890, 1740), (-1770, 1840)])
add("dam", dam_line.buffer(9, cap_style="flat"), "Mere Dam")

# --- main lines -------------------------------------------------------------------------------------------

railway, motorway, coast_road = line(RAIL), line(MOTORWAY), line(COAST_ROAD)
north_road, valley_road, air_road = line(NORTH_ROAD), line(VALLEY_ROAD), line(AIR_ROAD)
east_road, hill_road = line(EAST_ROAD), line(HILL_ROAD)
tunnel_zone = box(-2750, 600, -2050, 1200)
wet = unary_union([river_area.buffer(14), line(BROOK).buffer(9), line(EAST_BROOK).buffer(9), leat.buffer(6)])
roads: list[tuple[str, LineString]] = []


def lay(
    kind: str, way: LineString, name: str, tunnel: Polygon | None = None, over: object = None, **more: object
) -> None:
    """Lay a road or railway: in tunnels under hills, on bridges over water and over other main lines."""
    high = wet if over is None else wet.union(over)
    dug = tunnel if tunnel is not None else Polygon()
    pieces = [(way.intersection(dug), {"tunnel": True, "layer": -1})]
    open_way = way.difference(dug)
    pieces.append((open_way.intersection(high), {"bridge": True, "layer": 1}))
    pieces.append((open_way.difference(high), {}))
    for shape, how in pieces:
        for part in getattr(shape, "geoms", [shape]):
            if part.length > 1:
                add(kind, part, name, **how, **more)
    if kind not in ("rail", "tram"):
        roads.append((kind, way))


lay(
    "motorway",
    motorway,
    "M 7",
    tunnel_zone,
    width=11.5,
    over=unary_union([north_road.buffer(16), valley_road.buffer(14), air_road.buffer(14), east_road.buffer(14)]),
)
lay(
    "motorway",
    LineString(motorway.parallel_offset(15, "left").coords),
    "M 7",
    tunnel_zone,
    width=11.5,
    over=unary_union([north_road.buffer(16), valley_road.buffer(14), air_road.buffer(14), east_road.buffer(14)]),
)
lay("primary", coast_road, "Coast Road", over=railway.buffer(12))
lay("secondary", north_road, "North Road", over=railway.buffer(12))
lay("secondary", valley_road, "Valley Road", over=railway.buffer(12))
lay("tertiary", air_road, "Airfield Road", over=railway.buffer(12))
lay("tertiary", east_road, "Strand Hill", over=railway.buffer(12))
lay("tertiary", hill_road, "Fell Road", over=railway.buffer(12))
for a, b in (((110, 960), (420, 1200)), ((110, 960), (-140, 1250)), ((1560, 1085), (1790, 1120))):
    lay("trunk", smooth([a, ((a[0] + b[0]) / 2, a[1] + 40), b], 10), "M 7 ramp")
lay("rail", railway, "Coast Line")
for offset in (9, 18):
    lay(
        "rail",
        LineString(line([(-330, 395), (-200, 420), (250, 455), (560, 452)]).parallel_offset(offset, "left").coords),
        "",
    )
harbour_line = line([(560, 452), (420, 330), (330, 60), (260, -260), (250, -480), (262, -610)])
lay("rail", harbour_line, "Harbour Branch")
lay(
    "tram",
    line([(20, 420), (10, 200), (-30, -60), (-60, -262), (160, -240), (480, -280), (820, -320), (1180, -318)]),
    "",
)

# --- districts --------------------------------------------------------------------------------------------

old_town = (
    Polygon(
        smooth(
            [
                (-860, -480),
                (-900, -250),
                (-780, -40),
                (-560, 40),
                (-400, -40),
                (-330, -180),
                (-290, -420),
                (-360, -620),
                (-560, -640),
                (-760, -620),
                (-860, -480),
            ],
            25,
        ).coords
    )
    .difference(river_area.buffer(8))
    .difference(basin.buffer(25))
)
castle = Polygon(
    smooth(
        [(-835, -330), (-860, -210), (-770, -120), (-690, -190), (-700, -300), (-770, -360), (-835, -330)], 12
    ).coords
)
new_town = Polygon(
    [
        (-120, -560),
        (-60, -250),
        (-170, 60),
        (-290, 360),
        (620, 400),
        (640, 60),
        (900, -250),
        (860, -610),
        (600, -700),
        (430, -620),
        (80, -680),
    ]
).intersection(dry_land.buffer(-18))
strand = Polygon(
    smooth(
        [
            (920, -560),
            (960, -150),
            (1080, 260),
            (1420, 240),
            (1750, 110),
            (2010, 90),
            (2000, -330),
            (1780, -560),
            (1480, -600),
            (1150, -545),
            (920, -560),
        ],
        40,
    ).coords
).intersection(dry_land.buffer(-30))
north_end = Polygon(
    smooth(
        [
            (-150, 520),
            (-260, 820),
            (-30, 1040),
            (300, 960),
            (560, 1090),
            (900, 900),
            (1190, 700),
            (1120, 470),
            (700, 520),
            (200, 520),
            (-150, 520),
        ],
        40,
    ).coords
).intersection(dry_land)
west_end = Polygon(
    smooth(
        [
            (-1960, -980),
            (-1840, -640),
            (-1500, -360),
            (-1230, -200),
            (-960, -120),
            (-920, -420),
            (-1000, -640),
            (-1280, -880),
            (-1600, -960),
            (-1960, -980),
        ],
        40,
    ).coords
).intersection(dry_land)
village = Polygon(
    smooth(
        [
            (-1640, 1280),
            (-1500, 1480),
            (-1300, 1420),
            (-1160, 1180),
            (-1240, 960),
            (-1440, 1020),
            (-1640, 1280),
        ],
        30,
    ).coords
).difference(river_area.buffer(10))
works = Polygon([(640, -700), (870, -600), (900, -420), (560, -420), (400, -560), (430, -620)]).intersection(
    dry_land.buffer(-15)
)
depot = Polygon([(120, 480), (130, 560), (640, 560), (760, 470), (560, 475)])
hamlet = Polygon(
    smooth([(2240, 560), (2440, 800), (2640, 840), (2700, 660), (2500, 420), (2330, 430), (2240, 560)], 30).coords
)
built = unary_union([old_town, new_town, strand, north_end, west_end, village, works, hamlet])
main_roads = unary_union([r for _, r in roads] + [railway])

parks = [
    (
        Polygon(
            smooth([(150, -30), (130, 190), (330, 260), (480, 170), (460, -40), (300, -90), (150, -30)], 15).coords
        ),
        "Queen's Park",
    ),
    (
        Polygon(
            smooth([(-880, -80), (-700, 20), (-540, 130), (-640, 260), (-800, 240), (-930, 80), (-880, -80)], 15).coords
        ).difference(river_area.buffer(6)),
        "Ramparts",
    ),
    (Polygon([(960, -555), (1500, -640), (1500, -610), (960, -520)]), "Promenade Gardens"),
]
market = affinity.rotate(box(-600, -330, -520, -270), 12)
town_square = affinity.rotate(box(330, -210, 430, -120), -3)
station_square = Polygon([(-20, 350), (110, 355), (110, 415), (-20, 405)])
for shape, name in (
    (market, "Fishmarket"),
    (town_square, "Guild Square"),
    (station_square, "Station Square"),
):
    add("square", shape, name)
open_places = unary_union([p for p, _ in parks] + [market, town_square, station_square, castle.buffer(6)])

streets: list[tuple[str, LineString, object]] = []
for district, angle, spacing, along, warp, kind in (
    (old_town, 22, 50, 58, 34, "old"),
    (new_town, -3, 92, 150, 4, "new"),
    (strand, -12, 92, 190, 22, "villa"),
    (north_end, 8, 80, 210, 34, "house"),
    (west_end, 32, 78, 200, 30, "house"),
    (village, 55, 104, 150, 26, "village"),
    (hamlet, 40, 110, 170, 24, "village"),
):
    for way in district_streets(random, district, angle, spacing, along, warp):
        way = (
            way.difference(open_places)
            .difference(river_area.buffer(5))
            .difference(main_roads.buffer(7))
            .difference(motorway.buffer(40))
        )
        for part in getattr(way, "geoms", [way]):
            if part.length > 30:
                streets.append((kind, part, district))

NAMES = [
    "Anchor Street",
    "Barge Lane",
    "Candlemakers' Row",
    "Doggersgate",
    "Eel Street",
    "Fennel Lane",
    "Gannet Street",
    "Herring Row",
    "Ivory Lane",
    "Juniper Street",
    "Kelp Lane",
    "Lantern Street",
    "Mammoth Street",
    "Netmenders' Row",
    "Oyster Street",
    "Pilot Lane",
    "Quern Street",
    "Ropewalk",
    "Saltpan Lane",
    "Tern Street",
    "Ullage Row",
    "Vane Street",
    "Whalebone Lane",
    "Yew Street",
    "Amber Street",
    "Bittern Road",
    "Cockle Street",
    "Dune Road",
    "Ebb Street",
    "Flood Lane",
    "Gull Road",
    "Hazel Road",
    "Ice Street",
    "Jetty Road",
    "Kittiwake Road",
    "Lark Rise",
    "Mere Road",
    "North Row",
    "Otter Road",
    "Plover Road",
    "Reed Road",
    "Sandpiper Road",
    "Tide Street",
    "Umber Road",
    "Vetch Road",
    "Willow Road",
]
for i, (kind, way, _) in enumerate(streets):
    name = NAMES[i % len(NAMES)] if way.length > 90 else ""
    wide = {"old": 5.0, "new": 9.0, "villa": 7.0, "house": 6.5, "village": 5.5}[kind]
    add("street", way, name, width=wide)
    roads.append(("street", way))
for kind, points, name in (
    ("service", [(-700, -1060), (-700, -930), (-600, -880), (-330, -765), (-240, -690)], "Quay"),
    ("service", [(430, -560), (560, -520), (760, -500), (860, -520)], "Dock Road"),
    ("service", [(420, -640), (640, -640), (800, -600)], ""),
    (
        "path",
        [
            (-2180, -1380),
            (-1900, -1380),
            (-1700, -1560),
            (-1480, -1700),
            (-1330, -1680),
            (-1230, -1480),
            (-1080, -1240),
            (-860, -1010),
            (-720, -900),
        ],
        "Headland Path",
    ),
    (
        "path",
        [
            (960, -575),
            (1200, -560),
            (1480, -620),
            (1760, -780),
            (2000, -840),
            (2120, -700),
            (2150, -420),
            (2100, -80),
        ],
        "Strand Promenade",
    ),
    (
        "path",
        [
            (-1900, 2060),
            (-2250, 1900),
            (-2420, 1600),
            (-2400, 1390),
            (-2560, 1150),
            (-2760, 860),
            (-2800, 430),
        ],
        "Fell Way",
    ),
    ("path", [(160, 0), (260, 80), (330, 200), (440, 150)], ""),
    ("path", [(310, -70), (290, 60), (180, 160)], ""),
    ("path", [(850, -1500), (1000, -1560), (1120, -1640), (1180, -1560)], "Lamp Path"),
    ("steps", [(-700, -350), (-740, -330), (-770, -300)], "Castle Steps"),
    ("steps", [(-330, -520), (-350, -560), (-345, -600)], "Eel Stairs"),
    (
        "track",
        [(-1900, 2060), (-1500, 2100), (-1100, 2250), (-700, 2200), (-200, 2050), (310, 1880)],
        "Drovers' Track",
    ),
    ("track", [(320, 1900), (700, 1800), (1000, 1650), (1180, 1450), (1300, 1330)], ""),
    ("track", [(-1060, 380), (-1400, 420), (-1750, 500), (-2050, 380), (-2250, -80)], "Wood Track"),
    ("track", [(-460, 700), (-420, 1000), (-380, 1400), (-330, 1800), (-260, 2060)], ""),
    ("track", [(2100, 760), (1900, 820), (1700, 800), (1480, 760)], ""),
    ("track", [(-2450, -1180), (-2500, -900), (-2560, -600), (-2450, -300), (-2250, -80)], ""),
):
    way = smooth(points, 15)
    lay(kind, way, name)

# --- land cover -------------------------------------------------------------------------------------------

for shape, name in parks:
    add(
        "park",
        shape,
        name,
        **(
            {"name:fr": "Parc de la Reine", "name:ar": "حديقة الملكة", "name:he": "פארק המלכה"}
            if name == "Queen's Park"
            else {}
        ),
    )
pond = Polygon(smooth([(240, 60), (300, 130), (390, 120), (400, 50), (320, 20), (240, 60)], 8).coords)
add("water", pond, "Swan Pond", detail="pond")
airfield = affinity.rotate(box(1330, 1370, 2560, 1790), 9)
add("aerodrome", airfield, "Doggerhaven Airfield", **{"name:de": "Flugplatz Doggerhaven"})
runway = affinity.rotate(LineString([(1420, 1640), (2480, 1640)]), 9)
taxiway = affinity.rotate(
    LineString([(1450, 1540), (1500, 1500), (2380, 1500), (2430, 1560), (2440, 1640)]), 9, origin=(1950, 1580)
)
add("runway", runway, "09/27", width=32)
add("taxiway", taxiway, "", width=14)
cemetery = Polygon([(-1180, 60), (-1130, 220), (-1000, 250), (-990, 90), (-1080, 20)])
hospital = Polygon([(700, 130), (720, 330), (930, 300), (900, 90)])
school = Polygon([(300, 640), (310, 800), (480, 800), (470, 650)])
sports = Polygon([(480, 660), (490, 830), (700, 800), (680, 650)])
add("cemetery", cemetery, "St Brendan's Rest")
add("institution", hospital, "Mercy Hospital", detail="hospital")
add("institution", school, "Lantern School", detail="school")
add("grass", sports)
for k in range(2):
    pitch = affinity.rotate(box(505 + 92 * k, 690, 575 + 92 * k, 790), -4)
    add("pitch", pitch, "", detail="soccer")
add("pitch", box(360, 730, 385, 765), "", detail="tennis")
add("pool", affinity.rotate(box(880, 160, 905, 172), 5))
add("parking", Polygon([(130, 360), (240, 365), (240, 405), (130, 400)]))
add("parking", Polygon([(1330, 1300), (1420, 1310), (1415, 1365), (1330, 1355)]))
add("parking", Polygon([(1000, -300), (1110, -300), (1110, -250), (1000, -250)]))
add("industrial", works, "Fish Dock", detail="port")
add("industrial", depot, "Engine Sheds", detail="railway")
commercial = Polygon([(-60, -260), (300, -240), (320, -110), (120, -80), (-20, -60)])
add("commercial", commercial)
for shape in (old_town, new_town, strand, north_end, west_end, village, hamlet):
    add("residential", shape)
quays = quay.difference(basin).intersection(land).difference(built)
add("square", quays, "The Quays")
beach = ribbon(coast, lambda t: 34).intersection(box(860, -960, 1900, -480)).intersection(land)
beach = beach.union(ribbon(coast, lambda t: 30).intersection(box(-2650, -1700, -1930, -1300)).intersection(land))
add("beach", beach, "Long Strand")
rocks = (
    ribbon(coast, lambda t: 26)
    .intersection(unary_union([box(-1850, -1900, -1180, -1350), box(1880, -1000, 2400, -300)]))
    .intersection(land)
)
add("rock", rocks)
marsh = Polygon(
    smooth([(2290, 380), (2440, 400), (2620, 280), (2640, 120), (2480, 60), (2350, 160), (2290, 380)], 15).coords
).intersection(land.buffer(-20))
add("wetland", marsh, "Reedby Marsh")
add(
    "wetland",
    Polygon(smooth([(-2330, 2130), (-2260, 2260), (-2120, 2230), (-2130, 2120), (-2330, 2130)], 12).coords)
    .difference(lake)
    .difference(river_area),
    "",
)
quarry = Polygon(
    smooth([(-2050, -640), (-1960, -500), (-2060, -420), (-2190, -480), (-2180, -610), (-2050, -640)], 15).coords
)
add("quarry", quarry, "Slate Pit")
heathland = Polygon(
    smooth(
        [
            (-1760, -1560),
            (-1680, -1380),
            (-1440, -1330),
            (-1280, -1480),
            (-1350, -1660),
            (-1560, -1700),
            (-1760, -1560),
        ],
        15,
    ).coords
)
add("heath", heathland, "Lookout Heath")
glacier = Polygon(
    smooth(
        [
            (-2520, 1480),
            (-2420, 1590),
            (-2290, 1560),
            (-2270, 1430),
            (-2380, 1340),
            (-2500, 1370),
            (-2520, 1480),
        ],
        12,
    ).coords
)
taken = unary_union(
    [
        built,
        quays,
        open_places,
        airfield,
        cemetery,
        hospital,
        school,
        sports,
        works,
        depot,
        lake.buffer(8),
        river_area.buffer(14),
        marsh,
        quarry,
        heathland,
        beach,
        rocks,
        motorway.buffer(34),
        railway.buffer(14),
    ]
)
moor = AREA.buffer(300)
rough = patches(moor, lambda x, y: height_at(x, y) + 62 * roughness(x, y) > 290, 12, 10).difference(taken)
add("rock", rough.difference(glacier), "")
add("glacier", glacier, "Old Snow", **{"name:is": "Gamlijökull"})
scree = (
    patches(
        moor,
        lambda x, y: height_at(x, y) + 60 * roughness(x, y) + 18 * roughness(x * 2 + 900, y * 2) > 225,
        12,
        12,
    )
    .difference(rough)
    .difference(taken)
    .difference(glacier)
)
add("scrub", scree)
high = patches(
    moor,
    lambda x, y: height_at(x, y) + 50 * roughness(x, y) + 20 * roughness(x * 2, y * 2 + 900) > 165,
    12,
    14,
)
add("heath", high.difference(unary_union([scree, rough, glacier, taken])), "High Moor")
woods = patches(
    moor, lambda x, y: np.clip(height_at(x, y), 0, 80) + 46 * roughness(x * 1.4 + 300, y * 1.4) > 78, 12, 11
)
copses = patches(moor, lambda x, y: roughness(x * 2.2 - 700, y * 2.2 + 400) > 1.75, 8, 6)
woods = (
    woods.union(copses)
    .difference(unary_union([taken, high, heathland.buffer(30)]))
    .intersection(land.buffer(-60))
    .buffer(-6)
    .buffer(6)
)
WOODS = ["Ramswood", "Mammoth Forest", "Fell Wood", "Hanger Wood", "Beacon Wood", "Holt"]
grown = sorted((g for g in getattr(woods, "geoms", [woods]) if g.area > 3000), key=lambda g: -g.area)
for i, shape in enumerate(grown):
    add("wood", shape, WOODS[i] if i < len(WOODS) else "", detail="needleleaved" if i % 3 == 0 else "")
open_land = land.intersection(AREA.buffer(300)).difference(unary_union([taken, high, scree, rough, woods]))
hedges: list[LineString] = []
for field in fields(random, open_land, 150):
    centre = field.representative_point()
    height = height_at(np.array([centre.x]), np.array([centre.y]))[0]
    u = random.random()
    if height > 330 or (height > 120 and u < 0.55):
        kind = "heath" if u < 0.35 else "scrub" if u < 0.5 else "grass"
    elif centre.y < 950 and centre.x < -900 and height > 22:
        kind = "vineyard" if u < 0.45 else "meadow" if u < 0.8 else "orchard"
    elif centre.distance(village) < 350 and u < 0.4:
        kind = "orchard"
    elif centre.distance(river_line) < 260 or centre.distance(line(BROOK)) < 120:
        kind = "meadow" if u < 0.8 else "farmland"
    else:
        kind = "farmland" if u < 0.66 else "meadow"
    add(kind, field)
    if u < 0.30:
        hedges.append(LineString(list(field.exterior.coords)[: max(3, len(field.exterior.coords) // 2)]))
for hedge in hedges:
    add("tree_row", hedge.difference(main_roads.buffer(12)))

# --- walls, piers, buildings ------------------------------------------------------------------------------

wall = (
    LineString([p for p in old_town.buffer(6).exterior.coords])
    .difference(river_area.buffer(40))
    .difference(main_roads.buffer(8))
    .difference(basin.buffer(60))
)
for part in getattr(wall, "geoms", [wall]):
    if part.length > 40:
        add("city_wall", part, "Town Wall", height=7)
add("wall", castle.exterior, "", height=9)
add("wall", cemetery.exterior, "", height=2)
add(
    "breakwater",
    smooth([(-735, -1085), (-690, -1180), (-560, -1260), (-390, -1280), (-240, -1230)], 15).buffer(9),
    "West Mole",
)
add("breakwater", smooth([(110, -740), (60, -860), (-20, -960), (-100, -1020)], 15).buffer(8), "East Mole")
for k in range(4):
    add("pier", LineString([(-590 + 66 * k, -912 + 28 * k), (-566 + 66 * k, -990 + 28 * k)]), "", width=4)
add("pier", LineString([(1180, -600), (1230, -830)]).buffer(9, cap_style="flat"), "Grand Pier")
add("pier", LineString([(960, -1405), (940, -1330)]), "", width=5)

add("rock", island.difference(island.buffer(-22)), "")
add("heath", island.buffer(-22).difference(island.buffer(-60)), "")
add("grass", island.buffer(-60), "")
for skerry in skerries:
    add("rock", skerry)
taken_houses = Standing()
blocked = unary_union(
    [
        sea,
        river_area.buffer(6),
        lake,
        railway.buffer(10),
        harbour_line.buffer(7),
        open_places,
        cemetery,
        pond,
        leat.buffer(4),
    ]
)
road_space = STRtree(
    [
        way.buffer({"motorway": 22, "primary": 8, "secondary": 8, "tertiary": 7, "street": 3.6}.get(k, 3))
        for k, way in roads
    ]
)


def build(shape: Polygon, **more: object) -> None:
    """Put up one building unless it stands in a road, in water or in another."""
    taken_houses.put(shape)
    add("building", shape, str(more.pop("name", "")), **more)


LANDMARKS = (
    (
        affinity.rotate(box(-660, -250, -610, -228), 12),
        {"name": "St Brendan's", "detail": "church", "height": 24, "name:ga": "Naomh Bréanainn"},
    ),
    (affinity.rotate(box(-672, -250, -657, -228), 12), {"detail": "church", "height": 46}),
    (
        affinity.rotate(box(-800, -270, -740, -205), 8).difference(affinity.rotate(box(-785, -255, -755, -222), 8)),
        {
            "name": "Dogger Keep",
            "detail": "castle",
            "height": 19,
            "name:de": "Doggerfeste",
            "name:ja": "ドッガー城",
        },
    ),
    (Point(-735, -270).buffer(9), {"detail": "tower", "height": 32}),
    (
        box(-10, 413, 130, 432),
        {
            "name": "Doggerhaven Central",
            "detail": "station",
            "height": 13,
            "name:de": "Doggerhaven Hauptbahnhof",
            "name:ru": "Доггерхейвен-Центральный",
        },
    ),
    (
        affinity.rotate(box(345, -118, 415, -88), -3),
        {"name": "Guildhall", "detail": "townhall", "height": 18},
    ),
    (box(740, 170, 800, 280), {"name": "Mercy Hospital", "detail": "hospital", "height": 16}),
    (box(820, 150, 880, 200), {"detail": "hospital", "height": 12}),
    (box(330, 670, 400, 700), {"name": "Lantern School", "detail": "school", "height": 9}),
    (box(330, 700, 350, 760), {"detail": "school", "height": 9}),
    (Point(1050, -1640).buffer(7), {"name": "Island Light", "detail": "lighthouse", "height": 34}),
    (box(1020, -1660, 1036, -1648), {"detail": "house", "height": 5}),
    (
        affinity.rotate(box(1480, 1420, 1560, 1470), 9),
        {"name": "Terminal", "detail": "terminal", "height": 10},
    ),
    (affinity.rotate(box(1620, 1430, 1690, 1470), 9), {"detail": "hangar", "height": 11}),
    (affinity.rotate(box(1710, 1445, 1780, 1485), 9), {"detail": "hangar", "height": 11}),
    (affinity.rotate(box(180, 495, 360, 535), 1), {"detail": "industrial", "height": 9}),
    (affinity.rotate(box(400, 500, 560, 540), 1), {"detail": "industrial", "height": 9}),
    (
        affinity.rotate(box(-470, 285, -440, 310), 15),
        {"name": "Leat Mill", "detail": "industrial", "height": 12},
    ),
)
for shape, more in LANDMARKS:
    build(shape, **more)
for shape, more in attach_houses(
    random, [(w, d) for k, w, d in streets if k == "old"], old_town, blocked, road_space, taken_houses
):
    build(shape, **more)
for shape, more in attach_houses(
    random,
    [(w, d) for k, w, d in streets if k == "new"],
    new_town,
    blocked.union(works),
    road_space,
    taken_houses,
    frontage=(12, 22),
    depth=(12, 16),
    levels=(3, 5),
    gap=0.6,
):
    build(shape, **more)
for kind, district, spacing, setback in (
    ("villa", strand, 29, 13),
    ("house", north_end, 23, 10),
    ("house", west_end, 24, 10),
    ("village", village, 25, 8),
    ("village", hamlet, 32, 9),
):
    ways = [w for k, w, d in streets if d is district]
    main = [w.intersection(district) for k, w in roads if k in ("primary", "secondary", "tertiary")]
    ways += [p for m in main for p in getattr(m, "geoms", [m]) if p.length > 30]
    for shape, more in houses_along(
        random, ways, district.buffer(20), blocked, road_space, taken_houses, spacing, setback, kind
    ):
        build(shape, **more)
for shape, more in houses_along(
    random,
    [
        smooth([(430, -560), (560, -520), (760, -500), (860, -520)], 15),
        smooth([(420, -640), (640, -640), (800, -600)], 15),
    ],
    works,
    blocked,
    road_space,
    taken_houses,
    58,
    18,
    "works",
):
    build(shape, **more)
sheds = [
    (-640, -800, 44, 18, 28),
    (-575, -770, 40, 18, 28),
    (-520, -740, 30, 16, 28),
    (-455, -716, 46, 18, 26),
    (-395, -690, 36, 16, 26),
    (-760, -960, 34, 16, 62),
    (-735, -1010, 30, 15, 62),
]
for x, y, w, h, turn in sheds:
    build(affinity.rotate(box(x - w / 2, y - h / 2, x + w / 2, y + h / 2), turn), detail="warehouse", height=9.5)
build(affinity.rotate(box(-690, -900, -640, -870), 30), name="Customs House", detail="townhall", height=14)
farms = [
    (-300, 1500),
    (700, 1500),
    (-900, 1750),
    (1000, 2150),
    (-80, 2250),
    (1850, 560),
    (-2300, -700),
    (-1600, 250),
    (2500, 1500),
    (700, 2200),
]
for x, y in farms:
    turn = random.uniform(0, 90)
    for dx, dy, w, h, tall in ((0, 0, 24, 11, 8), (26, 6, 11, 28, 7), (2, 26, 30, 10, 6)):
        shape = affinity.rotate(box(x + dx, y + dy, x + dx + w, y + dy + h), turn, origin=(x, y))
        if not shape.intersects(blocked):
            build(shape, detail="farm", height=tall)
    add("place", Point(x + 10, y + 30), f"{WOODS[int(turn) % 6].split()[0]} Farm", rank=5)

# --- points -----------------------------------------------------------------------------------------------

for kind, x, y, name, more in (
    (
        "place",
        -160,
        -150,
        "Doggerhaven",
        {
            "rank": 2,
            "name:de": "Doggerhaven",
            "name:ru": "Доггерхейвен",
            "name:el": "Ντόγκερχέιβεν",
            "name:ar": "دوغرهيفن",
            "name:he": "דוגרהייבן",
            "name:ja": "ドッガーヘイブン",
            "name:zh": "多格港",
            "name:ko": "도거헤이븐",
            "name:hi": "डॉगरहेवन",
            "name:th": "ด็อกเกอร์เฮเวน",
            "name:ka": "დოგერჰევენი",
            "name:hy": "Դոգերհեյվեն",
        },
    ),
    ("place", -1400, 1230, "Mereham", {"rank": 3, "name:ru": "Мирхэм", "name:ja": "ミアハム"}),
    ("place", 2480, 640, "Reedby", {"rank": 3, "name:ru": "Ридби"}),
    ("place", 1450, -130, "Strand", {"rank": 3}),
    ("place", 480, 800, "North End", {"rank": 3}),
    ("place", -1420, -560, "West End", {"rank": 3}),
    ("place", -560, -150, "Old Town", {"rank": 4, "name:de": "Altstadt", "name:el": "Παλιά Πόλη"}),
    ("place", 1010, -1580, "Lamp Island", {"rank": 4, "name:de": "Leuchtinsel", "name:fi": "Lamppusaari"}),
    ("place", -1500, -1640, "Lookout Head", {"rank": 5}),
    ("peak", -2400, 1450, "Snow Fell", {"detail": "418"}),
    ("peak", -2880, 330, "Beacon Hill", {}),
    ("peak", -1480, 2280, "Drum Law", {}),
    (
        "poi",
        62,
        440,
        "Doggerhaven Central",
        {"rank": 0, "detail": "station", "name:de": "Doggerhaven Hauptbahnhof"},
    ),
    ("poi", -637, -239, "St Brendan's", {"rank": 1, "detail": "church"}),
    ("poi", -770, -238, "Dogger Keep", {"rank": 0, "detail": "castle"}),
    ("poi", 1050, -1640, "Island Light", {"rank": 1, "detail": "lighthouse"}),
    ("poi", 380, -103, "Guildhall", {"rank": 1, "detail": "townhall"}),
    ("poi", 500, -60, "Museum of the Drowned Land", {"rank": 1, "detail": "museum"}),
    ("poi", -455, 297, "Leat Mill", {"rank": 2, "detail": "mill"}),
    ("poi", 1225, -810, "Pier Theatre", {"rank": 2, "detail": "theatre"}),
    ("poi", -1420, -1700, "Lookout", {"rank": 2, "detail": "viewpoint"}),
    ("poi", 770, 225, "Mercy Hospital", {"rank": 1, "detail": "hospital"}),
    ("poi", 1520, 1445, "Airfield", {"rank": 1, "detail": "aerodrome"}),
    ("poi", 700, -560, "Auction Hall", {"rank": 2, "detail": "marketplace"}),
):
    add(kind, Point(x, y), name, **more)
for x, y in trees_in(
    random,
    [p for p, _ in parks] + [cemetery, school, hospital, castle],
    17,
    unary_union([pond, *taken_houses.shapes]),
):
    add("tree", Point(x, y))
quay_walk = smooth([(-720, -1030), (-735, -930), (-600, -838), (-330, -725)], 15)
for way, gap in ((north_road, 22), (coast_road.intersection(built), 24), (quay_walk, 26)):
    for part in getattr(way, "geoms", [way]):
        for t in np.arange(10, part.length, gap):
            for side in (-9.5, 9.5):
                here, ahead = part.interpolate(t), part.interpolate(min(t + 1, part.length))
                dx, dy = ahead.x - here.x, ahead.y - here.y
                size = float(np.hypot(dx, dy)) or 1.0
                spot = Point(here.x - dy / size * side, here.y + dx / size * side)
                if built.union(quays).contains(spot) and not river_area.buffer(10).contains(spot):
                    add("tree", spot)

# --- borders ----------------------------------------------------------------------------------------------

border = smooth([(-900, 3000), (-860, 2300), (-700, 1700), (-560, 1260), (-640, 900), (-900, 760)], 40)
border_east = smooth(
    [
        (-560, 1260),
        (300, 1330),
        (1100, 1240),
        (1800, 1160),
        (2150, 900),
        (2180, 500),
        (2160, 100),
        (2260, -150),
        (2900, -500),
    ],
    40,
)
for way in (border, border_east, smooth([(-900, 760), (-1500, 640), (-2200, 560), (-3400, 620)], 40)):
    add("border", way, "", rank=8)
if __name__ == "__main__":
    write_features(HERE / "doggerhaven.gpkg", features, AREA.buffer(500, join_style="mitre"))
    write_elevation(HERE / "doggerhaven-elevation.tif", dry, river_line, airfield)
    west, south = to_lonlat(WEST + 60, SOUTH + 60)
    east, north = to_lonlat(EAST - 60, NORTH - 60)
    near_west, near_south = to_lonlat(-900, -760)
    near_east, near_north = to_lonlat(520, 190)
    views = {
        "town": "Doggerhaven",
        "sources": ["doggerhaven.gpkg", "doggerhaven-elevation.tif"],
        "views": [
            {
                "name": "town",
                "title": "Doggerhaven",
                "titled": True,
                "zoom": 15,
                "extent": f"{west:.6f},{south:.6f},{east:.6f},{north:.6f}",
            },
            {
                "name": "harbour",
                "title": "Old Town and harbour",
                "titled": False,
                "zoom": 17,
                "extent": f"{near_west:.6f},{near_south:.6f},{near_east:.6f},{near_north:.6f}",
            },
        ],
    }
    (HERE / "views.json").write_text(json.dumps(views, indent=1) + "\n", encoding="utf-8")
