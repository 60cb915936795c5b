"""A frame's digest changes whenever a pixel of it does, and hardly ever otherwise."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from sources.osm_builder import Osm

from mapstyle.choice import EngineChoice, choose_engine
from mapstyle.controls.cells import read_reach
from mapstyle.drawn import digest_drawn
from mapstyle.fingerprint import fingerprint
from mapstyle.frame import Frame, Grid
from mapstyle.labels import HALO_REACH
from mapstyle.layers import LayerKind
from mapstyle.pipeline import Pipeline
from mapstyle.sources.atlas import Atlas, Shape
from mapstyle.sources.elevation import Elevation
from mapstyle.sources.level_index import LevelIndex
from mapstyle.sources.store import open_atlas
from mapstyle.style import load_style, packaged

STYLES = ("watercolour", "model-railway")
BLOCK = 128
GRID = Grid.web_mercator(16)
CORNER = (8_704_000, 5_632_000)
REGION = Frame(GRID, *CORNER, 1152, 1024)


def lonlat(x: float, y: float) -> tuple[float, float]:
    """Give the place of a pixel of the invented town, in degrees as a file has them."""
    lon, lat = GRID.unproject(np.array([[CORNER[0] + x, CORNER[1] + y]], np.float64))[0]
    return round(lon, 7), round(lat, 7)


def town(
    corner: tuple[float, float] = (9000, -6000),
    name: str = "Mill Road",
    house: bool = False,
    bend: float = 5000,
    bend_of_rails: float = 1010,
    nudge: float = 0,
) -> Osm:
    """Make a town under a forest that spans a country, on a road that comes from far away."""
    osm = Osm()

    def area(*places: tuple[float, float], **tags: str) -> None:
        osm.way([lonlat(*p) for p in (*places, places[0])], **tags)

    area((-9000, -7000), corner, (9000, 700), (-100, 760), (-9000, 600), landuse="forest", name="Great Wood")
    area((100, 90), (470, 60), (520, 420), (90, 400), landuse="residential")
    area((610, 500), (900, 480), (930, 700), (640, 740), natural="water", name="Mill Pond")
    area((500, 800), (980, 790), (960, 990), (520, 980), landuse="farmland")
    for row in range(5):
        for column in range(6):
            x, y = 120 + 55 * column + nudge * (row == column == 2), 110 + 58 * row
            area((x, y), (x + 24, y + 2), (x + 23, y + 17), (x - 1, y + 15), building="house")
    osm.way([lonlat(*p) for p in ((60, 96), (480, 92), (560, 250), (1100, 240))], highway="residential", name=name)
    osm.way(
        [lonlat(*p) for p in ((-8000, bend), (-300, 900), (300, 780), (700, 775), (1300, 600))],
        highway="track",
        name="Old Drove",
    )
    osm.way([lonlat(*p) for p in ((-3000, bend_of_rails), (-200, 1010), (500, 900), (1200, 960))], railway="rail")
    osm.way([lonlat(*p) for p in ((880, -300), (800, 200), (760, 500))], waterway="stream")
    osm.node(lonlat(700, 330), natural="tree")
    if house:
        area((830, 300), (870, 303), (868, 330), (829, 328), building="house")
    return osm


EDITS = {
    "a house": {"house": True},
    "a corner of the forest, far away": {"corner": (9400, -6500)},
    "a street's name": {"name": "Windmill Lane"},
    "a bend of the railway, far away": {"bend_of_rails": 1400},
}


def pipeline_for(layers: LevelIndex, style: str) -> Pipeline:
    look = load_style(style)
    return Pipeline(layers, look, choose_engine(look, EngineChoice.PAINTER)[0])


def digests(pipeline: Pipeline, region: Frame) -> list[str]:
    found = []
    needs = pipeline.spec.needs | pipeline.style.ink.needs
    for block in region.pieces(BLOCK, BLOCK):
        frame = block.pad(HALO_REACH + pipeline.spec.reach)
        labels = pipeline.labels(frame.pad(24) if "calm" in needs else block)
        around = read_reach(region.grid.level)
        found.append(digest_drawn(pipeline.layers, frame, labels, pipeline.style.levels, needs, around))
    return found


def pixels(pipeline: Pipeline, region: Frame) -> list[bytes]:
    whole = np.empty((*region.shape, 4), np.uint8)
    for done in pipeline.blocks(region, workers=2):
        whole[done.image.frame.slices(region)] = done.image.rgba
    return [whole[block.slices(region)].tobytes() for block in region.pieces(BLOCK, BLOCK)]


def compare(one: Pipeline, other: Pipeline, region: Frame, told: str) -> tuple[int, int, int]:
    """Count blocks with other pixels, with the same, and of these the ones that keep their digest."""
    looks, names = (pixels(one, region), pixels(other, region)), (digests(one, region), digests(other, region))
    changed = [a != b for a, b in zip(*looks, strict=True)]
    renamed = [a != b for a, b in zip(*names, strict=True)]
    assert all(r for r, c in zip(renamed, changed, strict=True) if c), f"{told}: a changed block kept its digest"
    same = [not r for r, c in zip(renamed, changed, strict=True) if not c]
    print(f"{told}: {sum(changed)} blocks changed, {len(same)} did not, {sum(same)} of them kept their digest")
    return sum(changed), len(same), sum(same)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def invented(cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("towns")

    def make(**edit) -> LevelIndex:
        path = town(**edit).write(folder / f"{fingerprint(edit)}.osm")
        return LevelIndex.build(open_atlas([str(path)], cache), GRID, None, cache)

    return make


@pytest.mark.parametrize("style", STYLES)
def test_invented_town(invented, style):
    before = pipeline_for(invented(), style)
    for edit, change in EDITS.items():
        changed, same, kept = compare(before, pipeline_for(invented(**change), style), REGION, f"{style}, {edit}")
        if "forest" in edit:
            assert changed == 0
            assert kept == same
        else:
            assert changed > 0
        totals[style] = np.add(totals.get(style, (0, 0)), (same, kept))
    same, kept = totals[style]
    assert kept >= 0.9 * same


totals: dict[str, np.ndarray] = {}


@pytest.mark.parametrize("style", STYLES)
def test_moves_too_small_to_see_and_lengths_along_a_road(invented, style):
    house = Frame(GRID, CORNER[0] + 128, CORNER[1] + 128, 3 * BLOCK, 2 * BLOCK)
    changed, *_ = compare(
        pipeline_for(invented(), style), pipeline_for(invented(nudge=0.01), style), house, f"{style}, a house, 1/100 px"
    )
    assert changed > 0
    drove = Frame(GRID, CORNER[0] + 256, CORNER[1] + 640, 3 * BLOCK, 2 * BLOCK)
    # Every track knows how far along it is, though not every style shows it: here digests may change for nothing.
    compare(pipeline_for(invented(), style), pipeline_for(invented(bend=5300), style), drove, f"{style}, a far bend")


@pytest.fixture(scope="module")
def doggerhaven(cache) -> tuple[Atlas, Elevation]:
    folder = packaged("sample_data")
    atlas = open_atlas([str(folder / s) for s in json.loads((folder / "views.json").read_text())["sources"]], cache)
    return atlas, Elevation.open(atlas.elevation, cache)


def town_frame(grid: Grid, side: int) -> Frame:
    x, y = grid.project(np.array([[3.8925, 54.5985]]))[0]
    return Frame(grid, int(x) // BLOCK * BLOCK - side // 2, int(y) // BLOCK * BLOCK - side // 2, side, side)


def edited(atlas: Atlas, grid: Grid, middle: Frame) -> Atlas:
    """Grow the house nearest to the middle by a fifth, and move the corner of the largest wood furthest from it."""
    x, y = grid.unproject(np.array([[middle.column + middle.width / 2, middle.row + middle.height / 2]]))[0]
    tables = dict(atlas.tables)
    houses, woods = tables[LayerKind.BUILDING, Shape.AREA], tables[LayerKind.WOOD, Shape.AREA]
    geometry = houses.geometry.copy()
    near = int(np.argmin(shapely.distance(geometry, shapely.Point(x, y))))
    geometry[near] = shapely.affinity.scale(geometry[near], 1.2, 1.2)
    tables[LayerKind.BUILDING, Shape.AREA] = replace(houses, geometry=geometry)
    trees = woods.geometry.copy()
    largest = int(np.argmax(shapely.area(trees)))
    corners = shapely.get_coordinates(trees[largest])
    far = corners[np.argmax(np.hypot(*(corners - [x, y]).T))]
    trees[largest] = shapely.transform(trees[largest], lambda c: np.where(c == far, c + (far - [x, y]) * 0.01, c))
    tables[LayerKind.WOOD, Shape.AREA] = replace(woods, geometry=trees)
    return replace(atlas, tables=tables, digest=fingerprint(atlas.digest, "edited"))


@pytest.mark.parametrize("style", STYLES)
def test_sample_town(doggerhaven, cache, style):
    atlas, heights = doggerhaven
    grid = Grid.web_mercator(15)
    region = town_frame(grid, 7 * BLOCK)
    one, other = (
        pipeline_for(LevelIndex.build(a, grid, heights, cache), style) for a in (atlas, edited(atlas, grid, region))
    )
    changed, same, kept = compare(one, other, region, f"{style}, the sample town")
    assert 0 < changed < 6
    assert kept >= 0.9 * same


def feature(places: list[tuple[float, float]], **tags: str) -> dict[str, object]:
    points = [lonlat(*p) for p in places]
    area = places[0] == places[-1]
    shape = {"type": "Polygon", "coordinates": [points]} if area else {"type": "LineString", "coordinates": points}
    return {"type": "Feature", "properties": tags, "geometry": shape}


def square(x: float, y: float, side: float) -> list[tuple[float, float]]:
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side), (x, y)]


def test_order_in_the_file_changes_nothing(cache, tmp_path):
    rows = [feature(square(40 * i, 30 * i, 200), landuse=kind) for i, kind in enumerate(("forest", "meadow", "grass"))]
    rows += [feature(square(60 * i, 50, 30), building="house") for i in range(5)]
    rows += [feature(square(50, 300, 180), natural="water"), feature(square(140, 330, 180), natural="water")]
    rows += [
        feature([(0, 20 * i), (200, 30 * i), (500, 10 + 40 * i)], highway=kind, name=f"{kind} {i}")
        for i, kind in enumerate(("primary", "residential", "track", "residential"))
    ]
    found = []
    for name, order in (("one", rows), ("other", rows[::-1]), ("third", rows[5:] + rows[:5])):
        path = tmp_path / f"{name}.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": order}))
        layers = LevelIndex.build(open_atlas([str(path)], cache), GRID, None, cache)
        found.append(digests(pipeline_for(layers, STYLES[0]), Frame(GRID, *CORNER, 512, 512)))
    assert found[0] == found[1] == found[2]
    assert len({*map(str, found[0])}) > 8


def told_by_another(source: str, cache: str) -> list[str]:
    layers = LevelIndex.build(open_atlas([source], Path(cache)), GRID, None, Path(cache))
    return digests(pipeline_for(layers, STYLES[1]), Frame(GRID, *CORNER, 4 * BLOCK, 3 * BLOCK))


def test_same_in_another_process_with_another_cache(tmp_path):
    source = str(town().write(tmp_path / "town.osm"))
    own = told_by_another(source, str(tmp_path / "cache"))
    kept = told_by_another(source, str(tmp_path / "cache"))
    code = (
        f"import json, test_drawn; print(json.dumps(test_drawn.told_by_another({source!r}, {str(tmp_path / 'new')!r})))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "PYTHONHASHSEED": "7"}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert own == kept == json.loads(answer.stdout)
    assert len({*map(str, own)}) > 8


def test_names_a_large_block_in_little_time(doggerhaven, cache):
    atlas, _ = doggerhaven
    layers = LevelIndex.build(atlas, Grid.web_mercator(15), None, cache)
    frame = town_frame(layers.grid, 1024).pad(40)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        digest_drawn(layers, frame, [], around=72)
        times.append(time.perf_counter() - begun)
    print(
        f"a block of 1024 px with {sum(len(a.coords) for a in layers.read(frame).areas.values())} corners of areas: "
        f"{1000 * min(times):.1f} ms"
    )
    assert min(times) < 0.1
