"""Pen and ink: that every pixel is a function of the ground alone, and that strokes do what they say."""

import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mapstyle.engines.painter import PainterSpec, Recipe
from mapstyle.frame import Frame, Grid
from mapstyle.image import PLANES, Scene
from mapstyle.layers import ROADS, LandClass

STYLE = Path(__file__).resolve().parents[3] / "styles" / "pen-and-ink" / "style.toml"
SEED = 3
COLUMN, ROW = 8928192, 5688832
"""An address at level 16, on multiples of 64 and far from the origin."""


@pytest.fixture(scope="module")
def spec() -> PainterSpec:
    with STYLE.open("rb") as file:
        return PainterSpec(Recipe.model_validate(tomllib.load(file)["painter"]))


def country(ratio: int = 1, size: int = 512, level: int = 16, column: int = COLUMN, row: int = ROW) -> Scene:
    """Draw every kind of plane on one frame: land classes in irregular parcels, water, ways, houses, hills."""
    n, fine = size * ratio, size * 4
    frame = Frame(Grid.web_mercator(level, ratio), column * ratio, row * ratio, n, n)

    def area(draw) -> np.ndarray:
        sheet = np.zeros((fine, fine), np.uint8)
        draw(sheet)
        return cv2.resize(sheet, (n, n), interpolation=cv2.INTER_AREA)

    def line(points, width: float) -> np.ndarray:
        track = (np.array(points, float) * size * 4).astype(np.int32)
        return area(lambda sheet: cv2.polylines(sheet, [track], False, 255, round(width * 4), cv2.LINE_8))

    y, x = (np.mgrid[0:n, 0:n] + 0.5) / ratio
    bent = x + 9 * np.sin(y / 37), y + 7 * np.sin(x / 29)
    cell = size / 5
    cover = (np.clip(bent[1] // cell, 0, 4) * 5 + np.clip(bent[0] // cell, 0, 4)).astype(np.uint8)
    parcel = (
        cover.astype(np.uint32) * 97 + (bent[1] // 57).astype(np.uint32) * 7 + (bent[0] // 65).astype(np.uint32) + 1
    )
    planes: dict[str, np.ndarray] = {"landcover": cover, "parcel": parcel * np.uint32(2654435761) >> np.uint32(1)}
    planes["border"] = line([(0.42, -0.1), (0.5, 0.6), (0.37, 1.1)], 2)
    river = line([(0.55, -0.1), (0.6, 0.5), (0.5, 1.1)], 34)
    lake = area(lambda s: cv2.circle(s, (int(0.86 * fine), int(0.8 * fine)), int(0.14 * fine), 255, -1))
    planes["water_area"] = cv2.max(river, lake)
    planes["ocean"] = lake
    wet = (planes["water_area"] > 127).astype(np.uint8)
    depth = cv2.distanceTransform(wet, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - wet, cv2.DIST_L2, 5)
    planes["shore"] = np.clip(np.round(depth * 2) / 2 / ratio, -64, 64).astype(np.float32)
    planes["water_line"] = cv2.max(line([(0, 0.22), (0.3, 0.3), (0.55, 0.26)], 2), line([(0.6, 0.6), (1.1, 0.5)], 6))
    road, rank, casing = np.zeros((n, n), np.uint8), np.zeros((n, n), np.uint8), np.zeros((n, n), np.uint8)
    across, along = np.full((n, n), 99, np.float32), np.zeros((n, n), np.float32)
    for i, kind in enumerate(ROADS):
        ends = [(-0.1, 0.08 + i * 0.09), (0.5, 0.11 + i * 0.09), (1.1, 0.07 + i * 0.09)]
        own = line(ends, 1.5 + i)
        planes[f"road_{kind.value}"] = own
        road = cv2.max(road, own)
        rank[own > 127] = i + 1
        if i > 2:
            casing = cv2.max(casing, cv2.subtract(line(ends, 3.3 + i), own))
        slope = np.where(x < size / 2, 0.05, -0.04 / 0.6)
        u = (y - (ends[1][1] * size + (x - size / 2) * slope)).astype(np.float32)
        near = np.abs(u) < 4 + i / 2
        across[near], along[near] = u[near], x[near]
    planes |= {"road": road, "road_class": rank, "casing": cv2.subtract(casing, road)}
    planes["bridge"] = cv2.min(cv2.dilate(road, np.ones((3, 3), np.uint8)), planes["water_area"])
    planes["tunnel"] = line([(0.1, 0.6), (0.3, 1.1)], 6)
    planes["road_u"], planes["road_v"] = across, along
    planes["rail"] = line([(0.2, -0.1), (0.3, 1.1)], 7)
    offset = (x - (0.208 + 0.0833 * y / size) * size) * 0.995
    planes["rail_u"] = np.where(np.abs(offset) < 9, offset, 99).astype(np.float32)
    planes["rail_v"] = y.astype(np.float32)
    planes["tram"] = line([(0.1, -0.1), (0.12, 1.1)], 2)
    planes["pier"] = line([(0.76, 0.8), (0.86, 0.78)], 5)
    planes["runway"] = line([(0.65, 0.95), (0.95, 0.93)], 14)
    planes["wall"] = line([(0.4, -0.1), (0.38, 1.1)], 2)
    ids, kind = np.zeros((n, n), np.uint32), np.zeros((n, n), np.uint8)
    for k in range(90):
        u, v = (k * 53) % (size - 40) + 8, (k * 97) % (size - 40) + 8
        w, h = 9 + k % 21, 8 + k % 17
        inside = (x >= u) & (x < u + w) & (y >= v) & (y < v + h) & (wet == 0)
        ids[inside] = 1000 + k * 7919
        kind[inside] = 1 + k % 3
    planes["building"] = ((ids > 0) * 255).astype(np.uint8)
    planes["building_id"], planes["roof_kind"] = ids, kind
    planes["building_height"] = np.where(ids > 0, 3.0 + (ids % 13), 0).astype(np.float32)
    planes["roof"] = np.where(kind > 1, 2.0 + np.abs(x % 12 - 6) * 0.5, 0).astype(np.float32)
    tree = np.maximum(0, 1 - np.hypot(x % 40 - 20, y % 56 - 28) / 5.0)
    planes["tree"] = tree.astype(np.float32)
    hills = np.where(y < size * 0.4, 14 * np.sin(x / 31) * np.cos(y / 47), 0)
    planes["elevation"] = (900 + hills * 4).astype(np.float32)
    planes["hillshade"] = np.clip(-np.gradient(hills, axis=1) - np.gradient(hills, axis=0), -1, 1).astype(np.float32)
    planes["calm"] = np.clip(1 - np.hypot(x - 100, y - 300) / 60, 0, 1).astype(np.float32)
    return Scene(frame, {k: np.ascontiguousarray(v) for k, v in planes.items()})


def part(scene: Scene, x: int, y: int, width: int, height: int) -> Scene:
    """Cut a window out of a scene; what is nothing all over is left out, as the controls do."""
    at = scene.frame
    frame = Frame(at.grid, at.column + x, at.row + y, width, height)
    planes = {k: np.ascontiguousarray(v[frame.slices(at)]) for k, v in scene.planes.items()}
    empty = {"shore": -64, "road_u": 99, "rail_u": 99}
    return Scene(frame, {k: v for k, v in planes.items() if (v != empty.get(k, 0)).any()})


def differing(whole: np.ndarray, cut: np.ndarray, x: int, y: int, margin: int) -> int:
    """Count pixels of a cut that are not the whole's, further inside than a margin."""
    height, width = cut.shape[:2]
    there = whole[y + margin : y + height - margin, x + margin : x + width - margin]
    here = cut[margin : height - margin, margin : width - margin]
    return int((there != here).any(-1).sum())


@pytest.fixture(scope="module")
def scene() -> Scene:
    return country()


@pytest.fixture(scope="module")
def picture(spec: PainterSpec, scene: Scene) -> np.ndarray:
    return spec.load().paint_scene(scene, SEED)


windows = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(2, 6), st.integers(2, 6))


@settings(max_examples=25)
@given(window=windows)
def test_a_window_gets_the_pixels_of_the_whole(spec, scene, picture, window) -> None:
    x, y, width, height = (64 * v for v in window)
    width, height = min(width, 512 - x), min(height, 512 - y)
    cut = spec.load().paint_scene(part(scene, x, y, width, height), SEED)
    assert differing(picture, cut, x, y, spec.reach) == 0


def test_half_the_reach_is_not_enough(spec, scene, picture) -> None:
    painter = spec.load()
    margin = spec.reach // 2
    wrong = sum(
        differing(picture, painter.paint_scene(part(scene, x, y, 192, 192), SEED), x, y, margin)
        for x, y in ((64, 64), (192, 64), (128, 192), (256, 256), (64, 256))
    )
    assert wrong > 0


@pytest.mark.parametrize("level", [10, 12, 13, 14, 15, 17])
def test_windows_agree_at_every_level(spec, level) -> None:
    scene = country(
        level=level, size=384, column=COLUMN >> (16 - min(level, 16)) & ~63, row=ROW >> (16 - min(level, 16)) & ~63
    )
    whole = spec.load().paint_scene(scene, SEED)
    cut = spec.load().paint_scene(part(scene, 128, 64, 192, 256), SEED)
    assert differing(whole, cut, 128, 64, spec.reach) == 0


def test_windows_agree_at_twice_the_pixels(spec) -> None:
    scene = country(ratio=2, size=256)
    whole = spec.load().paint_scene(scene, SEED)
    cut = spec.load().paint_scene(part(scene, 128, 0, 256, 384), SEED)
    assert differing(whole, cut, 128, 0, 2 * spec.reach) == 0


def test_windows_agree_left_of_the_origin(spec) -> None:
    scene = country(size=320, column=-192, row=-128)
    whole = spec.load().paint_scene(scene, SEED)
    cut = spec.load().paint_scene(part(scene, 64, 64, 192, 192), SEED)
    assert differing(whole, cut, 64, 64, spec.reach) == 0


def test_once_round_the_world_the_same_strokes_come_again(spec) -> None:
    turn = Grid.web_mercator(8).turn
    east, west = (
        spec.load().paint_scene(country(size=256, level=8, column=c, row=1024), SEED) for c in (-128, turn - 128)
    )
    np.testing.assert_array_equal(east, west)


def lightness(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[..., 0].astype(float)


def test_twice_the_pixels_is_the_same_drawing(spec) -> None:
    plain = spec.load().paint_scene(country(size=384), SEED)
    fine = spec.load().paint_scene(country(ratio=2, size=384), SEED)
    small = cv2.resize(fine, (384, 384), interpolation=cv2.INTER_AREA)
    labs = [cv2.cvtColor(p.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for p in (plain, small)]
    # Within any small neighbourhood there is as much of each ink; single strokes differ by their soft edges.
    blurred = [cv2.GaussianBlur(lab, (0, 0), 1.5) for lab in labs]
    assert np.linalg.norm(blurred[0] - blurred[1], axis=-1)[24:-24, 24:-24].mean() < 3


def test_another_seed_is_another_hand(spec, scene, picture) -> None:
    assert differing(picture, spec.load().paint_scene(scene, SEED + 1), 0, 0, 0) > 1000


def test_the_same_again(spec, scene, picture) -> None:
    np.testing.assert_array_equal(picture, spec.load().paint_scene(scene, SEED))


def ground(land: LandClass, **planes: np.ndarray) -> Scene:
    n = 256
    frame = Frame(Grid.web_mercator(16), COLUMN, ROW, n, n)
    base = {"landcover": np.full((n, n), int(land), np.uint8), "parcel": np.full((n, n), 977_231_553, np.uint32)}
    return Scene(frame, base | planes)


def test_every_land_class_is_told_apart(spec) -> None:
    painter = spec.load()
    inside = {land: lightness(painter.paint_scene(ground(land), SEED))[32:-32, 32:-32] for land in LandClass}
    blank = inside[LandClass.GROUND]
    plain = {LandClass.RESIDENTIAL}
    for land, drawn in inside.items():
        if land not in plain | {LandClass.GROUND}:
            assert np.abs(drawn - blank).mean() > 0.4, land
    seen = [land for land in LandClass if land not in plain]
    for i, a in enumerate(seen):
        for b in seen[i + 1 :]:
            assert np.abs(inside[a] - inside[b]).mean() > 0.3, (a, b)


def test_most_of_the_paper_stays_empty(spec) -> None:
    bare = spec.load().paint_scene(ground(LandClass.MEADOW), SEED)
    assert (lightness(bare) > 230).mean() > 0.9


def test_base_leaves_out_grain_and_hatching(spec) -> None:
    scene = ground(LandClass.FARMLAND)
    drawn, base = (lightness(spec.load().paint_scene(scene, SEED, base=b)) for b in (False, True))
    assert (drawn < 200).sum() > 300
    assert (base < 200).sum() == 0
    assert np.abs(cv2.Laplacian(base, cv2.CV_64F)).mean() < 0.3 * np.abs(cv2.Laplacian(drawn, cv2.CV_64F)).mean()


def test_strokes_hold_back_under_labels(spec) -> None:
    calm = np.zeros((256, 256), np.float32)
    calm[:, 128:] = 1
    for land in (LandClass.FARMLAND, LandClass.WOOD):
        dark = lightness(spec.load().paint_scene(ground(land, calm=calm), SEED)) < 170
        assert dark[:, 140:].sum() < 0.6 * dark[:, :116].sum(), land


def test_shadows_fall_to_the_south_east(spec) -> None:
    n = 256
    house = np.zeros((n, n), np.uint8)
    house[100:130, 100:140] = 255
    on = house > 0
    planes = {
        "building": house,
        "building_id": on.astype(np.uint32),
        "building_height": np.where(on, 8, 0).astype(np.float32),
        "roof_kind": on.astype(np.uint8),
    }
    light = lightness(spec.load().paint_scene(ground(LandClass.GROUND, **planes), SEED))
    south, north = light[131:133, 106:138].mean(), light[95:97, 106:138].mean()
    east, west = light[106:128, 141:143].mean(), light[106:128, 95:97].mean()
    assert max(south, east) < 110
    assert min(north, west) > 225


def test_roof_strokes_run_along_the_ridge_on_the_dark_side(spec) -> None:
    n = 256
    y, x = np.mgrid[0:n, 0:n].astype(np.float32)
    house = ((x > 60) & (x < 200) & (y > 90) & (y < 150)).astype(np.uint8) * 255
    planes = {
        "building": house,
        "building_id": (house > 0).astype(np.uint32),
        "building_height": np.where(house > 0, 3, 0).astype(np.float32),
        "roof_kind": np.where(house > 0, 2, 0).astype(np.uint8),
        "roof": np.where(house > 0, (30 - np.abs(y - 120)) * 0.8, 0).astype(np.float32),
    }
    light = lightness(spec.load().paint_scene(ground(LandClass.GROUND, **planes), SEED))
    dark, lit = light[124:146, 70:190], light[94:116, 70:190]
    assert dark.mean() < lit.mean() - 40
    # Along the ridge, from west to east, neighbours are alike; across it they are not.
    assert np.abs(np.diff(dark, axis=0)).mean() > 3 * np.abs(np.diff(dark, axis=1)).mean()


def test_hachures_run_downhill_and_are_darker_in_shade(spec) -> None:
    n = 256
    x = np.mgrid[0:n, 0:n][1].astype(np.float32)
    ridge = np.abs(x - 128)
    planes = {
        "elevation": (400 - ridge * 0.9).astype(np.float32),
        "hillshade": np.where(x > 128, -0.4, 0.25).astype(np.float32),
    }
    light = lightness(spec.load().paint_scene(ground(LandClass.GROUND, **planes), SEED))
    lit, shade = light[20:-20, 20:110], light[20:-20, 146:236]
    assert (shade < 170).sum() > 4 * (lit < 170).sum() + 500
    # Strokes run from west to east, as the slope does.
    assert np.abs(np.diff(shade, axis=0)).mean() > 1.5 * np.abs(np.diff(shade, axis=1)).mean()


def test_streams_are_lighter_than_roads(spec) -> None:
    n = 256
    band = np.zeros((n, n), np.uint8)
    band[127:130] = 255
    edge = np.zeros((n, n), np.uint8)
    edge[126], edge[130] = 255, 255
    stream = spec.load().paint_scene(ground(LandClass.GROUND, water_line=band), SEED)
    road = spec.load().paint_scene(ground(LandClass.GROUND, road=band, road_street=band, casing=edge), SEED)
    assert lightness(stream)[110:150, 32:-32].min(axis=0).mean() > lightness(road)[110:150, 32:-32].min(axis=0).mean()
    darkest = stream[110:150, 32:-32].reshape(-1, 3)[lightness(stream)[110:150, 32:-32].ravel().argsort()[:200]]
    assert (darkest[:, 2].astype(int) > darkest[:, 0]).mean() > 0.9, "streams are drawn in blue ink"


def test_water_lines_fade_from_the_shore(spec) -> None:
    n = 256
    x = np.mgrid[0:n, 0:n][1].astype(np.float32)
    planes = {
        "water_area": np.where(x > 60, 255, 0).astype(np.uint8),
        "ocean": np.where(x > 60, 255, 0).astype(np.uint8),
    }
    planes["shore"] = np.clip(x - 60, -64, 64)
    light = lightness(spec.load().paint_scene(ground(LandClass.GROUND, **planes), SEED))
    rough = np.abs(np.diff(light, axis=1)).mean(axis=0)
    assert rough[62:80].mean() > 2 * rough[95:105].mean()
    assert light[:, 200:].mean() > light[:, 62:80].mean()


def test_a_wrong_setting_is_named(spec) -> None:
    for brush, reason in (
        ({"brush": "marks", "mark": "crwn", "classes": ["wood"]}, "crown"),
        ({"brush": "marks", "mark": "crown", "classes": ["forest"]}, "no land class 'forest'"),
        ({"brush": "fields", "rows": {"farmland": {"manners": []}}}, "manners"),
        ({"brush": "hachure"}, "hachures"),
    ):
        with pytest.raises(ValidationError, match=reason):
            Recipe.model_validate({"medium": "pen", "brushes": {"one": brush}})


def test_the_style_asks_only_for_known_planes(spec) -> None:
    assert spec.needs <= set(PLANES)
    assert 0 < spec.reach <= 64
