"""The woodblock: what is printed where, and that every pixel is a function of the ground alone."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapstyle.engines.painter import PainterSpec, Recipe
from mapstyle.engines.painter.wash.land import CLASSES
from mapstyle.engines.painter.woodblock import BRUSHES
from mapstyle.engines.painter.woodblock.knife import wiped
from mapstyle.engines.painter.woodblock.plank import PlankMedium
from mapstyle.frame import Frame, Grid
from mapstyle.image import PLANES, Scene
from mapstyle.layers import ROADS, LandClass

STYLE = Path(__file__).resolve().parents[3] / "styles" / "woodblock" / "style.toml"
SEED = 11
COLUMN, ROW = 8928192, 5688832
"""An address at level 16, on multiples of 64 and far from the origin."""


@pytest.fixture(scope="module")
def spec() -> PainterSpec:
    with STYLE.open("rb") as file:
        return PainterSpec(Recipe.model_validate(tomllib.load(file)["painter"]))


def town(ratio: int = 1, size: int = 512, level: int = 16) -> Scene:
    """Draw every kind of plane on one frame: all land classes, river, lake, roads by rank, houses, hills."""
    n, fine = size * ratio, size * 4
    frame = Frame(Grid.web_mercator(level, ratio), COLUMN * ratio, ROW * ratio, n, n)

    def area(draw) -> np.ndarray:
        sheet = np.zeros((fine, fine), np.uint8)
        draw(sheet)
        return cv2.resize(sheet, (n, n), interpolation=cv2.INTER_AREA)

    def line(points, width: float) -> np.ndarray:
        track = (np.array(points, float) * size * 4).astype(np.int32)
        return area(lambda sheet: cv2.polylines(sheet, [track], False, 255, round(width * 4), cv2.LINE_8))

    y, x = (np.mgrid[0:n, 0:n] + 0.5) / ratio
    cell = size // 5
    cover = (np.minimum(y // cell, 4) * 5 + np.minimum(x // cell, 4)).astype(np.uint8)
    parcel = cover.astype(np.uint32) * 97 + (y // 37).astype(np.uint32) * 7 + (x // 45).astype(np.uint32) + 1
    planes: dict[str, np.ndarray] = {"landcover": cover, "parcel": parcel}
    planes["territory"] = (1 + (x > size / 2)).astype(np.uint32)
    planes["border"] = line([(0.5, 0), (0.5, 1)], 2)
    river = line([(0.55, -0.1), (0.6, 0.5), (0.5, 1.1)], 34)
    lake = area(lambda s: cv2.circle(s, (int(0.86 * fine), int(0.8 * fine)), int(0.11 * fine), 255, -1))
    planes["water_area"] = cv2.max(river, lake)
    planes["ocean"] = lake
    wet = (planes["water_area"] > 127).astype(np.uint8)
    depth = cv2.distanceTransform(wet, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - wet, cv2.DIST_L2, 5)
    planes["shore"] = np.clip(np.round(depth * 2) / 2 / ratio, -64, 64).astype(np.float32)
    planes["water_line"] = line([(0, 0.22), (0.3, 0.3), (0.55, 0.26)], 3)
    road, rank = np.zeros((n, n), np.uint8), np.zeros((n, n), np.uint8)
    for i, kind in enumerate(ROADS):
        own = line([(-0.1, 0.08 + i * 0.09), (0.5, 0.11 + i * 0.09), (1.1, 0.07 + i * 0.09)], 1.5 + i)
        planes[f"road_{kind.value}"] = own
        road = cv2.max(road, own)
        rank[own > 127] = i + 1
    planes |= {"road": road, "road_class": rank}
    planes["bridge"] = cv2.min(road, planes["water_area"])
    planes["road_u"], planes["road_v"] = np.full((n, n), 99, np.float32), x.astype(np.float32)
    planes["rail"] = line([(0.2, -0.1), (0.3, 1.1)], 7)
    across = (x - (0.208 + 0.0833 * y / size) * size) * 0.995
    planes["rail_u"] = np.where(np.abs(across) < 9, across, 99).astype(np.float32)
    planes["rail_v"] = y.astype(np.float32)
    planes["tram"] = line([(0.1, -0.1), (0.12, 1.1)], 2)
    planes["pier"] = line([(0.76, 0.8), (0.86, 0.78)], 5)
    planes["runway"] = line([(0.65, 0.95), (0.95, 0.93)], 14)
    planes["wall"] = line([(0.4, -0.1), (0.38, 1.1)], 2)
    ids = np.zeros((n, n), np.uint32)
    kind = np.zeros((n, n), np.uint8)
    for k in range(90):
        u, v = (k * 53) % (size - 30) + 8, (k * 97) % (size - 30) + 8
        w, h = 9 + k % 9, 8 + k % 7
        inside = (x >= u) & (x < u + w) & (y >= v) & (y < v + h) & (wet == 0)
        ids[inside] = 1000 + k * 7919
        kind[inside] = 1 + k % 3
    planes["building"] = ((ids > 0) * 255).astype(np.uint8)
    planes["building_id"], planes["roof_kind"] = ids, kind
    planes["building_height"] = np.where(ids > 0, 3.0 + (ids % 13), 0).astype(np.float32)
    planes["roof"] = np.where(kind > 1, 2.0 + np.abs(x % 12 - 6) * 0.5, 0).astype(np.float32)
    tree = np.maximum(0, 1 - np.hypot(x % 40 - 20, y % 56 - 28) / 5.0)
    planes["tree"] = tree.astype(np.float32)
    planes["tree_id"] = np.where(tree > 0, (x // 40) * 31 + y // 56 + 1, 0).astype(np.uint32)
    hills = np.sin(x / 31) * np.cos(y / 47) * 0.5
    planes["hillshade"] = hills.astype(np.float32)
    planes["elevation"] = (900 + 800 * np.sin(x / 90)).astype(np.float32)
    planes["calm"] = np.clip(1 - np.hypot(x - 100, y - 300) / 60, 0, 1).astype(np.float32)
    return Scene(frame, {k: np.ascontiguousarray(v) for k, v in planes.items()})


def part(scene: Scene, x: int, y: int, width: int, height: int) -> Scene:
    """Cut a window out of a scene; what is zero all over is left out, as the controls do."""
    at = scene.frame
    frame = Frame(at.grid, at.column + x, at.row + y, width, height)
    planes = {k: np.ascontiguousarray(v[frame.slices(at)]) for k, v in scene.planes.items()}
    kept = {k: v for k, v in planes.items() if v.any() or k in ("shore", "road_u", "rail_u")}
    return Scene(frame, kept)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return town()


@pytest.fixture(scope="module")
def picture(spec: PainterSpec, scene: Scene) -> np.ndarray:
    return spec.load().paint_scene(scene, SEED)


def worst(whole: np.ndarray, cut: np.ndarray, x: int, y: int, margin: int) -> int:
    """Largest difference of a window from the whole, ``margin`` inside the window's edges and the whole's."""
    height, width = cut.shape[:2]
    left, top = max(margin, margin - x), max(margin, margin - y)
    right = min(width - margin, whole.shape[1] - margin - x)
    bottom = min(height - margin, whole.shape[0] - margin - y)
    if right <= left or bottom <= top:
        return 0
    there = whole[y + top : y + bottom, x + left : x + right].astype(int)
    return int(np.abs(there - cut[top:bottom, left:right]).max())


windows = st.tuples(st.integers(2, 5), st.integers(2, 5), st.integers(0, 6), st.integers(0, 6))


@settings(max_examples=14)
@given(window=windows)
def test_a_window_equals_the_larger_picture_to_the_bit(spec, scene, picture, window) -> None:
    width, height = window[0] * 64, window[1] * 64
    x, y = min(window[2] * 64, 512 - width), min(window[3] * 64, 512 - height)
    cut = spec.load().paint_scene(part(scene, x, y, width, height), SEED)
    assert worst(picture, cut, x, y, spec.reach) == 0


def test_a_third_of_the_reach_would_not_do(spec, scene, picture) -> None:
    cut = spec.load().paint_scene(part(scene, 128, 128, 256, 256), SEED)
    assert worst(picture, cut, 128, 128, spec.reach // 3) > 0


def test_each_brush_alone_reaches_no_further_than_it_says(spec, scene) -> None:
    for name, brush in spec.recipe.brushes.items():
        alone = PainterSpec(Recipe(medium="woodblock", settings=spec.recipe.settings, brushes={name: brush}))
        whole = alone.load().paint_scene(scene, SEED)
        cut = alone.load().paint_scene(part(scene, 192, 192, 192, 192), SEED)
        assert worst(whole, cut, 192, 192, brush.reach) == 0, name


def test_a_window_at_double_ratio_equals_the_larger_picture(spec) -> None:
    large = town(2, 320)
    whole = spec.load().paint_scene(large, SEED)
    cut = spec.load().paint_scene(part(large, 128, 256, 384, 256), SEED)
    assert worst(whole, cut, 128, 256, 2 * spec.reach) == 0


@pytest.mark.parametrize("level", [4, 11, 13])
def test_windows_agree_at_other_levels(spec, level) -> None:
    large = town(1, 384, level)
    whole = spec.load().paint_scene(large, SEED)
    cut = spec.load().paint_scene(part(large, 64, 128, 256, 192), SEED)
    assert worst(whole, cut, 64, 128, spec.reach) == 0


def test_it_looks_at_no_plane_it_does_not_name(spec, scene, picture) -> None:
    assert spec.needs <= set(PLANES)
    named = Scene(scene.frame, {k: v for k, v in scene.planes.items() if k in spec.needs})
    assert np.array_equal(spec.load().paint_scene(named, SEED), picture)
    for name, brush in spec.recipe.brushes.items():
        alone = PainterSpec(Recipe(medium="woodblock", settings=spec.recipe.settings, brushes={name: brush}))
        few = Scene(scene.frame, {k: v for k, v in scene.planes.items() if k in alone.needs})
        assert np.array_equal(alone.load().paint_scene(few, SEED), alone.load().paint_scene(scene, SEED)), name


def lab(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2Lab)


def ciede2000(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Colour difference after Sharma, Wu, Dalal, The CIEDE2000 color-difference formula (2005)."""
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(lab(p).astype(float), -1, 0) for p in (one, two))
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(mean**7 / (mean**7 + 25.0**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    lm, cm, hm = (l1 + l2) / 2, (c1 + c2) / 2, (h1 + turn / 2) % 360
    cos = lambda d: np.cos(np.radians(d))  # noqa: E731
    t = 1 - 0.17 * cos(hm - 30) + 0.24 * cos(2 * hm) + 0.32 * cos(3 * hm + 6) - 0.2 * cos(4 * hm - 63)
    sl = 1 + 0.015 * (lm - 50) ** 2 / np.sqrt(20 + (lm - 50) ** 2)
    sc, sh = 1 + 0.045 * cm, 1 + 0.015 * cm * t
    rc = 2 * np.sqrt(cm**7 / (cm**7 + 25.0**7))
    rt = -np.sin(np.radians(60 * np.exp(-(((hm - 275) / 25) ** 2)))) * rc
    x, y, z = (l2 - l1) / sl, (c2 - c1) / sc, dh / sh
    return np.sqrt(np.maximum(0, x * x + y * y + z * z + rt * y * z))


def test_the_double_ratio_is_the_same_drawing(spec) -> None:
    one = spec.load().paint_scene(town(1, 320), SEED)
    two = spec.load().paint_scene(town(2, 320), SEED)
    two = cv2.resize(two, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    assert ciede2000(one, two)[32:-32, 32:-32].mean() < 3


def flat(cover: int, planes: Mapping[str, np.ndarray] | None = None, size: int = 256, level: int = 16) -> Scene:
    frame = Frame(Grid.web_mercator(level), COLUMN, ROW, size, size)
    own = {"landcover": np.full((size, size), cover, np.uint8), "parcel": np.full((size, size), 77, np.uint32)}
    return Scene(frame, own | dict(planes or {}))


def test_every_brush_is_used_and_every_setting_explained(spec) -> None:
    assert {type(b) for b in spec.recipe.brushes.values()} == set(BRUSHES)
    for brush in (*BRUSHES, PlankMedium):
        for name, setting in brush.model_fields.items():
            assert name == "brush" or setting.description, (brush.__name__, name)


def test_every_land_class_has_inks_of_its_own(spec) -> None:
    assert set(spec.recipe.brushes["land"].inks) == set(CLASSES)
    means = {c: spec.load().paint_scene(flat(int(c)), SEED).reshape(-1, 3).mean(0) for c in LandClass}
    for one in LandClass:
        for two in LandClass:
            if one < two:
                assert np.abs(means[one] - means[two]).max() > 1.0, (one.name, two.name)


def bar(name: str, wide: int = 10) -> dict[str, np.ndarray]:
    on = np.zeros((256, 256), np.uint8)
    on[128 - wide : 128 + wide] = 255
    casing = np.zeros_like(on)
    casing[127 - wide : 129 - wide] = casing[127 + wide : 129 + wide] = 255
    rank = (on > 0).astype(np.uint8) * np.uint8(1 + [r.value for r in ROADS].index(name))
    return {"road": on, f"road_{name}": on, "road_class": rank, "casing": casing}


def water(size: int = 256, shore: int = 64) -> dict[str, np.ndarray]:
    _, x = np.mgrid[0:size, 0:size]
    wet = ((x >= shore) * 255).astype(np.uint8)
    return {"water_area": wet, "shore": np.clip(x - shore + 0.5, -64, 64).astype(np.float32)}


def houses() -> dict[str, np.ndarray]:
    y, x = np.mgrid[0:256, 0:256]
    inside = (x % 32 < 24) & (y % 32 < 24)
    ids = np.where(inside, 1000 + (x // 32) * 7919 + (y // 32) * 104729, 0).astype(np.uint32)
    kind = np.where(inside, 1 + (x // 32 + y // 32) % 3, 0).astype(np.uint8)
    roof = np.where(kind > 1, 8.0 - np.abs(x % 32 - 12) * 0.6, 0).astype(np.float32)
    return {
        "building": (inside * 255).astype(np.uint8), "building_id": ids, "roof_kind": kind, "roof": roof,
        "building_height": np.where(inside, 6, 0).astype(np.float32),
    }  # fmt: skip


def test_water_land_wood_houses_and_roads_are_told_apart(spec) -> None:
    def mean(scene: Scene, where: np.ndarray | None = None) -> np.ndarray:
        made = spec.load().paint_scene(scene, SEED)
        return made[where].mean(0) if where is not None else made.reshape(-1, 3).mean(0)

    seen = {
        "water": mean(flat(0, water(shore=0), level=15)),
        "wood": mean(flat(int(LandClass.WOOD), level=15)),
        "building": mean(flat(1, houses(), level=15), houses()["building"] > 0),
        "street": mean(flat(1, bar("street"), level=15), bar("street")["road"] > 0),
        "primary": mean(flat(1, bar("primary"), level=15), bar("primary")["road"] > 0),
    }
    for cover in ("GROUND", "RESIDENTIAL", "MEADOW", "FARMLAND", "GRASS", "PARK"):
        land = mean(flat(int(LandClass[cover]), level=15))
        for name, colour in seen.items():
            apart = float(ciede2000(land[None, None], colour[None, None])[0, 0])
            assert apart >= 8, (cover, name, apart)
    for one in seen:
        for two in seen:
            if one < two and {one, two} != {"street", "primary"}:
                apart = float(ciede2000(seen[one][None, None], seen[two][None, None])[0, 0])
                assert apart >= 8, (one, two, apart)


def test_greater_roads_are_stronger(spec) -> None:
    def tone(name: str) -> float:
        return float(spec.load().paint_scene(flat(0, bar(name)), SEED)[122:134].mean())

    tones = [tone(n) for n in ("service", "tertiary", "secondary", "primary", "trunk", "motorway")]
    assert tones == sorted(tones, reverse=True)


def test_the_sea_is_deep_offshore_pale_near_land_and_dark_in_the_shallows(spec) -> None:
    made = spec.load().paint_scene(flat(0, water()), SEED).astype(float)
    across = made.mean((0, 2))
    assert across[64:67].min() < across[70:78].max() - 20
    assert across[70:78].max() > across[130:250].mean() + 40
    deep = made[:, 130:250].mean((0, 1))
    assert deep[2] - deep[0] > 50


def test_a_gradation_lies_inside_its_own_area_and_on_one_side(spec) -> None:
    index = np.zeros((128, 128), np.uint8)
    index[:, 64:] = 1
    tone = wiped(index, 1.0, 0.0, 20, 1)
    assert tone[64, 60] > 0.7
    assert tone[64, 30] == 0
    assert tone[64, 72] < 0.01
    assert (np.diff(tone[64, 40:60]) > -1e-6).all()


def test_a_wood_is_dark_at_its_foot_and_light_at_its_top(spec) -> None:
    cover = np.zeros((256, 256), np.uint8)
    cover[64:192] = int(LandClass.WOOD)
    made = spec.load().paint_scene(flat(0, {"landcover": cover}), SEED).astype(float).mean((1, 2))
    assert made[70:84].mean() > made[172:186].mean() + 20


def test_bridges_and_piers_stand_out_of_the_water(spec) -> None:
    deck = bar("street", 3)
    for over in ({"pier": deck["road"]}, {"bridge": deck["road"], **deck}):
        made = spec.load().paint_scene(flat(0, water() | over), SEED).astype(int)
        assert made[127:130, 100:220].mean() - made[60:100, 100:220].mean() > 40


def test_the_colours_miss_the_key_block_a_little(spec) -> None:
    land = spec.recipe.brushes["land"]
    exact = land.model_copy(update={"slip": (0, 0)})
    missed, held = (
        PainterSpec(Recipe(medium="woodblock", settings=spec.recipe.settings, brushes={"land": brush}))
        .load()
        .paint_scene(town(), SEED)
        for brush in (land, exact)
    )
    assert 0.005 < (np.abs(missed.astype(int) - held).max(-1) > 12).mean() < 0.2


def test_the_grain_runs_along_the_sheet(spec) -> None:
    made = spec.load().paint_scene(flat(int(LandClass.FARMLAND), {"parcel": np.zeros((256, 256), np.uint32)}), SEED)
    grey = made.astype(float).mean(-1)
    assert np.abs(np.diff(grey, axis=0)).mean() > 1.3 * np.abs(np.diff(grey, axis=1)).mean()


def test_a_model_starts_from_paint_without_grain(spec) -> None:
    def roughness(base: bool) -> float:
        made = spec.load().paint_scene(flat(int(LandClass.FARMLAND)), SEED, base=base).astype(np.float32)
        return float(np.abs(made - cv2.GaussianBlur(made, (0, 0), 2)).mean())

    assert roughness(True) < 0.5 * roughness(False)


def test_calm_ground_has_less_texture(spec) -> None:
    def roughness(calm: float) -> float:
        over = {"calm": np.full((256, 256), calm, np.float32)}
        made = spec.load().paint_scene(flat(int(LandClass.WOOD), over), SEED).astype(np.float32)
        return float(np.abs(made - cv2.GaussianBlur(made, (0, 0), 3)).mean())

    assert roughness(1.0) < 0.75 * roughness(0.0)


def test_slopes_away_from_the_light_are_cooler_and_darker(spec) -> None:
    def mean(light: float) -> np.ndarray:
        over = {"hillshade": np.full((256, 256), light, np.float32)}
        return spec.load().paint_scene(flat(0, over, level=11), SEED).reshape(-1, 3).mean(0)

    dark, level, bright = mean(-0.5), mean(0.0), mean(0.3)
    assert dark.sum() < level.sum() < bright.sum()
    assert dark[2] - dark[0] > level[2] - level[0]


def test_another_seed_is_another_print_and_the_same_seed_the_same(spec, scene, picture) -> None:
    assert np.array_equal(spec.load().paint_scene(scene, SEED), picture)
    assert not np.array_equal(spec.load().paint_scene(scene, SEED + 1), picture)


@pytest.mark.parametrize("level", [0, 3, 9, 22])
def test_an_empty_scene_is_printed_at_any_level(spec, level) -> None:
    made = spec.load().paint_scene(Scene(Frame(Grid.web_mercator(level), 0, 0, 128, 128), {}), SEED)
    assert made.shape == (128, 128, 3)
    assert made.min() > 80
