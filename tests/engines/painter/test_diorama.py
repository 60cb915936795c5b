"""The model railway: every pixel a function of the ground, and what stands where."""

import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapstyle.engines.painter import PainterSpec, Recipe
from mapstyle.engines.painter.canvas import Canvas
from mapstyle.engines.painter.diorama import BRUSHES
from mapstyle.engines.painter.diorama.crowns import crowns
from mapstyle.engines.painter.diorama.medium import Diorama
from mapstyle.engines.painter.diorama.sheets import KINDS, MODELS, TURNS, sheet
from mapstyle.engines.painter.diorama.trees import Plant
from mapstyle.frame import Frame, Grid
from mapstyle.image import PLANES, Scene
from mapstyle.layers import ROADS, LandClass

STYLE = Path(__file__).resolve().parents[3] / "styles" / "model-railway" / "style.toml"
SEED = 7
COLUMN, ROW = 8928192, 5688832
"""An address at level 16, on multiples of 64 and far from the origin."""
SIDE = 768
PAINTED_BY_LEVEL = (5, 12, 13, 15, 16, 18)


@pytest.fixture(scope="module")
def spec() -> PainterSpec:
    with STYLE.open("rb") as file:
        return PainterSpec(Recipe.model_validate(tomllib.load(file)["painter"]))


def village(level: int = 16, ratio: int = 1, side: int = SIDE) -> Scene:
    """Draw every plane there is: all land classes, a river into the sea, ways of every rank, tall and low houses."""
    n = side * ratio
    shift = level - 16
    column = (COLUMN << shift if shift >= 0 else COLUMN >> -shift) // 64 * 64
    row = (ROW << shift if shift >= 0 else ROW >> -shift) // 64 * 64
    frame = Frame(Grid.web_mercator(level, ratio), column * ratio, row * ratio, n, n)
    y, x = (np.mgrid[0:n, 0:n].astype(np.float32) + np.float32(0.5)) / np.float32(ratio)

    def cover(distance: np.ndarray) -> np.ndarray:
        return (np.clip(0.5 - distance * ratio, 0, 1) * 255).astype(np.uint8)

    classes = len(LandClass)
    land = ((x // 96).astype(np.int64) * 7 + (y // 80).astype(np.int64) * 3) % classes
    parcel = ((x // 48).astype(np.uint32) * 73856093) ^ ((y // 80).astype(np.uint32) * 19349663) + np.uint32(1)
    planes: dict[str, np.ndarray] = {"landcover": land.astype(np.uint8), "parcel": parcel.astype(np.uint32)}
    planes["territory"] = (1 + (x > side / 2)).astype(np.uint32)
    planes["border"] = cover(np.abs(x - side / 2) - 1)
    sea = x + 0.3 * y - 0.95 * side
    river = np.abs(y - 0.4 * side - 20 * np.sin(x / 60)) - 9
    wet = np.maximum(sea, -river)
    planes["ocean"] = cover(-sea)
    planes["water_area"] = cover(-wet)
    planes["shore"] = np.clip(np.round(wet * 2) / 2, -64, 64).astype(np.float32)
    planes["water_line"] = cover(np.abs(x - 0.2 * side - 15 * np.sin(y / 40)) - 1.3)
    road, rank = np.zeros((n, n), np.uint8), np.zeros((n, n), np.uint8)
    along, off = np.zeros((n, n), np.float32), np.full((n, n), 99, np.float32)
    for i, kind in enumerate(ROADS):
        axis = y - (0.06 + 0.095 * i) * side - 10 * np.sin(x / 90)
        half = 0.8 + 0.45 * i
        own = cover(np.abs(axis) - half)
        planes[f"road_{kind.value}"] = own
        road = cv2.max(road, own)
        rank[own > 127] = i + 1
        near = np.abs(axis) < half + 3
        off[near], along[near] = axis[near], x[near]
    planes |= {"road": road, "road_class": rank, "road_u": off, "road_v": along}
    planes["casing"] = cv2.subtract(cv2.dilate(road, np.ones((3, 3), np.uint8)), road)
    planes["bridge"] = cv2.min(road, planes["water_area"])
    planes["tunnel"] = np.where(np.abs(x - 0.3 * side) < 40, road, 0).astype(np.uint8)
    rail = x - 0.55 * side + 0.2 * y
    planes["rail"] = cover(np.abs(rail) - 2.2)
    planes["rail_u"] = np.where(np.abs(rail) < 9, rail, 99).astype(np.float32)
    planes["rail_v"] = y.copy()
    planes["tram"] = cover(np.abs(x - 0.1 * side) - 1)
    planes["pier"] = cover(np.maximum(np.abs(y - 0.3 * side) - 1.8, np.abs(x - 0.93 * side) - 45))
    planes["runway"] = cover(np.maximum(np.abs(y - 0.86 * side) - 11, np.abs(x - 0.35 * side) - 130))
    planes["wall"] = cover(np.abs(x - 0.42 * side) - 0.8)
    u, v = x % 44 - 22, y % 36 - 18
    number = (x // 44).astype(np.uint32) * 92821 + (y // 36).astype(np.uint32) * 68917 + 1
    body = np.maximum(np.abs(u) - 11, np.abs(v) - 8)
    stands = ((number % 3) > 0) & (road == 0) & (wet < -6)
    planes["building"] = np.where(stands, cover(body), 0).astype(np.uint8)
    inside = planes["building"] > 127
    planes["building_id"] = (number * inside).astype(np.uint32)
    planes["building_height"] = (inside * (4 + 50 * (number % 11 == 0))).astype(np.float32)
    kind = (1 + number % 3).astype(np.uint8) * inside
    planes["roof_kind"] = kind.astype(np.uint8)
    planes["roof"] = np.where(kind > 1, np.clip(8 - np.abs(v), 0, 8) * 0.8, 0).astype(np.float32)
    crown = np.clip(1 - np.hypot(x % 71 - 35, y % 67 - 33) / 4.5, 0, 1)
    planes["tree"] = crown.astype(np.float32)
    planes["tree_id"] = (((x // 71) * 977 + y // 67 + 1) * (crown > 0)).astype(np.uint32)
    metres = 2.4 * 2.0 ** (16 - level)
    planes["elevation"] = ((1500 + 1300 * np.sin(x / 130) * np.cos(y / 110)) * min(1.0, metres / 20)).astype(np.float32)
    planes["hillshade"] = (0.3 * np.cos(x / 130) - 0.2 * np.sin(y / 110)).astype(np.float32)
    planes["calm"] = np.clip(1 - np.hypot(x - 0.6 * side, (y - 0.7 * side) * 3) / 90, 0, 1).astype(np.float32)
    assert planes.keys() == PLANES.keys()
    return Scene(frame, {name: plane.astype(PLANES[name].dtype) for name, plane in planes.items()})


def cut(scene: Scene, column: int, row: int, width: int, height: int) -> Scene:
    """Give the scene of a part of the frame; empty planes left out, as the drawer does. Logical pixels."""
    s = scene.pixel_ratio
    whole = scene.frame
    part = Frame(whole.grid, whole.column + column * s, whole.row + row * s, width * s, height * s)
    planes = {name: np.ascontiguousarray(plane[part.slices(whole)]) for name, plane in scene.planes.items()}
    nothing = {"road_u": 99, "rail_u": 99, "shore": -64}
    return Scene(part, {k: p for k, p in planes.items() if (p != nothing.get(k, 0)).any()})


@pytest.fixture(scope="module")
def whole(spec: PainterSpec) -> dict[tuple[int, int], tuple[Scene, np.ndarray]]:
    """Villages at several levels, painted at once."""
    painter, out = spec.load(), {}
    for level in PAINTED_BY_LEVEL:
        scene = village(level)
        out[level, 1] = scene, painter.paint_scene(scene, SEED)
    scene = village(16, 2, 384)
    out[16, 2] = scene, painter.paint_scene(scene, SEED)
    return out


def test_reach_fits_the_margin(spec):
    assert 0 < spec.reach <= 64


@settings(max_examples=24)
@given(data=st.data())
def test_a_window_paints_what_the_whole_does(spec, whole, data):
    key = data.draw(st.sampled_from(sorted(whole)))
    scene, painted = whole[key]
    steps, s = scene.frame.width // 64 // key[1], key[1]
    width, height = (64 * data.draw(st.integers(3, min(7, steps - 1))) for _ in range(2))
    column = 64 * data.draw(st.integers(0, steps - width // 64))
    row = 64 * data.draw(st.integers(0, steps - height // 64))
    seen = spec.load().paint_scene(cut(scene, column, row, width, height), SEED)
    r = spec.reach * s
    inner = seen[r:-r, r:-r]
    wanted = painted[row * s : (row + height) * s, column * s : (column + width) * s][r:-r, r:-r]
    assert inner.size
    np.testing.assert_array_equal(inner, wanted)


def test_half_the_reach_is_too_little(spec):
    frame = Frame(Grid.web_mercator(18), COLUMN * 4, ROW * 4, 768, 768)
    wood = np.full(frame.shape, LandClass.WOOD, np.uint8)
    wood[:, ::3] = LandClass.PARK
    scene = Scene(frame, {"landcover": wood, "parcel": np.ones(frame.shape, np.uint32)})
    painted = spec.load().paint_scene(scene, SEED)

    def wrong(reach: int) -> int:
        total = 0
        for start in (64, 128, 192, 256, 320, 384, 448):
            seen = spec.load().paint_scene(cut(scene, start, start, 256, 256), SEED)
            apart = seen != painted[start : start + 256, start : start + 256]
            total += int(apart[reach:-reach, reach:-reach].sum())
        return total

    assert wrong(spec.reach) == 0
    assert wrong(spec.reach // 2) > 0


def test_planes_left_out_are_planes_of_nothing(spec):
    scene = village(side=256)
    for name in ("ocean", "road_u", "rail", "hillshade", "elevation", "tree", "building", "pier", "tunnel", "calm"):
        group = {k: p for k, p in scene.planes.items() if PLANES[k].group != PLANES[name].group}
        left_out = Scene(scene.frame, group)
        missing = set(scene.planes) - set(group)
        empty = Scene(scene.frame, group | {k: left_out.plane(k) for k in missing})
        np.testing.assert_array_equal(
            spec.load().paint_scene(left_out, SEED), spec.load().paint_scene(empty, SEED), name
        )


def test_looks_at_nothing_but_its_needs(spec):
    assert spec.needs <= PLANES.keys()
    scene = village(side=256)
    needed = Scene(scene.frame, {k: p for k, p in scene.planes.items() if k in spec.needs})
    np.testing.assert_array_equal(spec.load().paint_scene(scene, SEED), spec.load().paint_scene(needed, SEED))


def test_a_scene_is_not_written_into(spec):
    scene = village(side=192)
    for plane in scene.planes.values():
        plane.flags.writeable = False
    spec.load().paint_scene(scene, SEED)


def test_another_seed_is_another_model(spec):
    scene = village(side=192)
    assert (spec.load().paint_scene(scene, 1) != spec.load().paint_scene(scene, 2)).mean() > 0.3


def test_retina_is_the_same_drawing(spec):
    once = spec.load().paint_scene(village(16, 1, 384), SEED).astype(np.float32) / 255
    twice = spec.load().paint_scene(village(16, 2, 384), SEED).astype(np.float32) / 255
    small = cv2.resize(twice, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    apart = cv2.cvtColor(once, cv2.COLOR_RGB2LAB) - cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    # CIE 1976 differences come out about half as large again as those of CIEDE2000 in greens.
    assert np.sqrt((apart**2).sum(-1)).mean() < 6.5


def rough(picture: np.ndarray) -> float:
    grey = picture.astype(np.float32).mean(-1)
    return float(np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.2)).mean())


def meadow(**more: np.ndarray) -> Scene:
    frame = Frame(Grid.web_mercator(16), COLUMN, ROW, 256, 256)
    land = np.full((256, 256), LandClass.AERODROME, np.uint8)
    return Scene(frame, {"landcover": land, "parcel": np.ones((256, 256), np.uint32), **more})


def test_a_base_picture_has_no_grain(spec):
    painter = spec.load()
    assert rough(painter.paint_scene(meadow(), SEED, base=True)) < 0.8 * rough(painter.paint_scene(meadow(), SEED))


def test_labels_lie_on_calm_ground(spec):
    calm = np.ones((256, 256), np.float32)
    painter = spec.load()
    assert rough(painter.paint_scene(meadow(calm=calm), SEED)) < 0.6 * rough(painter.paint_scene(meadow(), SEED))


def test_shadows_fall_to_the_south_east(spec):
    tower = np.zeros((256, 256), np.uint8)
    tower[118:138, 118:138] = 255
    solid = (tower > 0).astype(np.uint8)
    planes = {
        "building": tower,
        "building_id": solid.astype(np.uint32),
        "building_height": solid.astype(np.float32) * 30,
        "roof_kind": solid,
    }
    lit = spec.load().paint_scene(meadow(**planes), SEED).astype(np.float32).mean(-1)
    assert lit[140:148, 140:148].mean() < 0.75 * lit[104:112, 104:112].mean()


def test_nothing_grows_on_the_road(spec):
    frame = Frame(Grid.web_mercator(16), COLUMN, ROW, 192, 192)
    wood = np.full((192, 192), LandClass.WOOD, np.uint8)
    brush = Plant(land={"wood": 1.0})
    open_wood = Canvas(Scene(frame, {"landcover": wood}), SEED)
    brush.paint(open_wood)
    assert (open_wood.planes["canopy"] > 0).mean() > 0.5
    road = np.full((192, 192), 255, np.uint8)
    paved = Canvas(Scene(frame, {"landcover": wood, "road": road}), SEED)
    brush.paint(paved)
    assert not paved.planes.get("canopy", np.zeros(1)).any()


def test_the_sea_is_bluer_than_the_land(spec):
    x = np.arange(256)[None, :].repeat(256, 0)
    sea = (x >= 128).astype(np.uint8) * 255
    shore = np.clip(x - 127.5, -64, 64).astype(np.float32)
    seen = spec.load().paint_scene(meadow(ocean=sea, water_area=sea, shore=shore), SEED).astype(np.float32)
    blue = seen[..., 2] - seen[..., 0]
    assert blue[:, 200:].mean() > 60 > blue[:, :100].mean()
    # The shelf is paler than the open sea.
    assert seen[:, 134:142].mean() > 1.2 * seen[:, 190:].mean()


@pytest.mark.parametrize("what", sorted(MODELS))
def test_a_thing_lies_wholly_in_its_cell(what):
    for metre, s in ((0.78, 1), (1.41, 2)):
        cell = int(np.ceil(MODELS[what][1] * metre)) + 1
        made = sheet(what, cell, metre, s)
        assert len(made.alpha) == TURNS * KINDS
        rim = np.ones(made.alpha.shape[1:], bool)
        rim[1:-1, 1:-1] = False
        assert made.alpha.max() > 0.7
        assert made.alpha[:, rim].max() < 0.35


@pytest.mark.parametrize("kind", ["round", "cone", "bush"])
def test_a_crown_lies_wholly_in_its_cell(kind):
    made = crowns(kind, 14, 3.0, 5.2, 1)
    rim = np.ones((14, 14), bool)
    rim[1:-1, 1:-1] = False
    height = np.floor(made.packed / 256) / 64
    assert (height.max(axis=(1, 2)) > 3).all()
    assert height[:, rim].mean() < 0.2
    assert (made.packed < 2**24).all(), "exact in float32"


def test_every_brush_is_used_and_described(spec):
    assert isinstance(spec.recipe.settings, Diorama)
    used = {type(b) for b in spec.recipe.brushes.values()}
    assert used == set(BRUSHES)
    for brush in (*BRUSHES, Diorama):
        for name, field in brush.model_fields.items():
            assert name in ("brush", "levels") or field.description, f"{brush.__name__}.{name} is not described"


def test_an_unknown_land_class_is_named():
    recipe = {"medium": "diorama", "brushes": {"wood": {"brush": "plant", "land": {"woood": 1.0}}}}
    with pytest.raises(ValueError, match="woood"):
        Recipe.model_validate(recipe)
