"""Control images: what an engine is told, in the way it was taught to read."""

import numpy as np
import pytest
from drawn_ground import GRID, Ground, K, box, layer, town

from mapstyle.controls import CONTROLS, ControlDrawer
from mapstyle.controls.images import ADE20K
from mapstyle.frame import Frame
from mapstyle.image import PLANES
from mapstyle.levels import Levels

FRAME = Frame(GRID, -130, -140, 260, 280)


def image(name: str, ground: Ground, frame: Frame = FRAME) -> np.ndarray:
    control = CONTROLS[name]
    around = frame.pad(control.reach)
    drawn = control.draw(ControlDrawer(ground, Levels()).scene(around, control.needs))
    assert drawn.name == name
    assert drawn.frame == around
    assert drawn.rgb.dtype == np.uint8
    return drawn.rgb[frame.slices(around)]


@pytest.fixture(scope="module")
def ground() -> Ground:
    return town()


@pytest.mark.parametrize("name", CONTROLS)
def test_images_agree_where_their_frames_overlap(ground, name):
    whole = image(name, ground)
    assert whole.std() > 1
    for left, top in ((0, 0), (31, 77), (129, 140)):
        part = Frame(GRID, FRAME.column + left, FRAME.row + top, 101, 83)
        assert np.array_equal(image(name, ground, part), whole[part.slices(FRAME)])


@pytest.mark.parametrize("name", ["depth", "edges"])
def test_half_the_reach_would_be_seen(ground, name):
    control = CONTROLS[name]
    part = Frame(GRID, FRAME.column + 31, FRAME.row + 77, 101, 83)
    short = part.pad(control.reach // 4)
    drawn = control.draw(ControlDrawer(ground, Levels()).scene(short, control.needs)).rgb[part.slices(short)]
    assert not np.array_equal(drawn, image(name, ground, part))


@pytest.mark.parametrize("name", CONTROLS)
def test_images_look_at_nothing_they_do_not_name(ground, name):
    control = CONTROLS[name]
    drawer = ControlDrawer(ground, Levels())
    frame = FRAME.pad(control.reach)
    assert np.array_equal(
        control.draw(drawer.scene(frame, PLANES)).rgb, control.draw(drawer.scene(frame, control.needs)).rgb
    )


def test_segmentation_uses_only_the_palette(ground):
    colours = {tuple(c) for c in np.unique(image("segmentation", ground).reshape(-1, 3), axis=0).tolist()}
    assert colours <= set(ADE20K.values())
    assert len(colours) > 6


def test_segmentation_names_things():
    areas = {K.OCEAN: layer(K.OCEAN, [[box(-600, -600, 600, -50)]]), K.WOOD: layer(K.WOOD, [[box(-99, 0, 0, 99)]]),
             K.BUILDING: layer(K.BUILDING, [[box(50, 50, 90, 90)]], detail="hospital")}  # fmt: skip
    road = {K.STREET: layer(K.STREET, [[[(-300.0, -20.0), (300.0, -20.0)]]], bridge=True)}
    seen = image("segmentation", Ground(areas, road))
    assert tuple(seen[20, 130]) == ADE20K["sea"]
    assert tuple(seen[190, 80]) == ADE20K["tree"]
    assert tuple(seen[210, 200]) == ADE20K["building"]
    assert tuple(seen[120, 130]) == ADE20K["road"]
    assert tuple(seen[240, 20]) != (0, 0, 0)


def test_edges_are_thin_white_lines_where_things_end():
    seen = image("edges", Ground({K.WATER: layer(K.WATER, [[box(-60, -60.5, 60.5, 60)]])}))[..., 0]
    for line in (seen[140], seen[:, 130]):
        bright = np.flatnonzero(line > 100)
        assert line.max() > 220
        assert len(bright) <= 6
        assert np.abs(np.abs(bright + 0.5 - len(line) / 2) - 60).max() < 2
    road = image("edges", Ground(lines={K.PRIMARY: layer(K.PRIMARY, [[[(-300.0, 0.0), (300.0, 0.0)]]])}))[..., 0]
    assert road[140, 130] == 0, "a road has two sides"
    path = image("edges", Ground(lines={K.PATH: layer(K.PATH, [[[(-300.0, 0.5), (300.0, 0.5)]]])}))[..., 0]
    assert path[140, 130] > 100, "a path is one line"


def test_depth_shows_what_is_high_as_bright():
    houses = layer(K.BUILDING, [[box(-60, -20, -20, 20)], [box(20, -20, 60, 20)]], height=[9.0, 40.0],
                   detail="apartments")  # fmt: skip
    seen = image("depth", Ground({K.BUILDING: houses}))[140, :, 0].astype(int)
    assert seen[130] < seen[90] < seen[170] < 255
    assert seen[130] == image("depth", Ground())[0, 0, 0], "level ground is one grey everywhere"
    # An even slope is level to the eye: its mean nearby is taken away.
    assert np.ptp(image("depth", Ground(slope=(0.2, 0.1)))[..., 0].astype(int)) <= 2
