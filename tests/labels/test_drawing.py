"""Drawing: frames agree to the bit, and every letter can be read."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from seed_layers import crowd

from mapstyle.frame import Frame, Grid
from mapstyle.image import MapImage
from mapstyle.labels import HALO_REACH, LabelPlacer, LabelSettings, draw_labels, labels_geojson
from mapstyle.labels.draw import label_patch
from mapstyle.labels.halo import CONTRAST, halo_colours, luminance
from mapstyle.noise import fbm
from mapstyle.placed import LabelKind

LOOK = LabelSettings()
GRID = Grid.metric("EPSG:32632", 5.0, 43.7)
LAYERS = crowd(GRID, 200, -700, -700, 1400, salt=3)
PLACER = LabelPlacer(LAYERS, LOOK, level=15.5)


def painted(frame: Frame) -> MapImage:
    """Give a lively ground that is a function of the world: blotches in every colour, hard edges, fine grain."""
    rgba = np.full((*frame.shape, 4), 255, np.uint8)
    for c in range(3):
        field = 128 + 70 * fbm(frame, 32, 3, seed=c) + 40 * np.sign(fbm(frame, 16, 1, seed=9))
        rgba[..., c] = np.clip(field, 0, 255)
    return MapImage(frame, rgba)


def sheet(frame: Frame, look: LabelSettings = LOOK, reach: int = HALO_REACH) -> np.ndarray:
    labels = PLACER.place(frame)
    ground = painted(frame.pad(reach))
    if reach < HALO_REACH:  # what a stage that knew less of its surroundings would see
        margin = HALO_REACH * frame.grid.pixel_ratio - reach * frame.grid.pixel_ratio
        rgba = np.pad(ground.rgba, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
        ground = MapImage(frame.pad(HALO_REACH), rgba)
    return draw_labels(labels, ground, look, frame).rgba


WHOLE = {r: Frame(GRID.at_ratio(r), -300 * r, -260 * r, 560 * r, 500 * r) for r in (1, 2)}
SHEETS = {r: sheet(f) for r, f in WHOLE.items()}


@settings(max_examples=40)
@given(st.sampled_from([1, 2]), st.integers(0, 500), st.integers(0, 440), st.integers(1, 300), st.integers(1, 300))
def test_frames_agree_to_the_bit(ratio: int, dx: int, dy: int, width: int, height: int) -> None:
    whole = WHOLE[ratio]
    frame = Frame(whole.grid, whole.column + dx, whole.row + dy, width, height).intersection(whole)
    assert frame is not None
    assert np.array_equal(sheet(frame), SHEETS[ratio][frame.slices(whole)])


def test_halving_the_halos_reach_shows() -> None:
    whole = WHOLE[1]
    same = [
        np.array_equal(sheet(frame, reach=HALO_REACH // 2), SHEETS[1][frame.slices(whole)])
        for frame in whole.pieces(97, 97)
    ]
    assert not all(same)


def test_later_labels_lie_over_earlier_ones_and_empty_ground_stays_clear() -> None:
    alpha = SHEETS[1][..., 3]
    assert (alpha == 0).mean() > 0.3
    assert not SHEETS[1][alpha == 0].any()
    assert (alpha == 255).any()


@pytest.mark.parametrize(
    "colour", ["#2c2833", "#000000", "#2b5f8a", "#808080", "#d0d0d0", "#ffffff", "#ff3030", "#00e5ff"]
)
@pytest.mark.parametrize("light", [0.0, 0.4])
def test_letters_stand_out_from_their_halo(colour: str, light: float) -> None:
    frame = Frame(GRID, 40, -70, 160, 120)
    halo = halo_colours(painted(frame.pad(HALO_REACH)), colour, light)
    assert halo.shape == (*frame.shape, 3)
    letters = float(luminance(np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)))
    ground = luminance(halo).astype(float)
    contrast = (np.maximum(ground, letters) + 0.05) / (np.minimum(ground, letters) + 0.05)
    assert contrast.min() >= CONTRAST


def test_a_halo_has_the_colour_of_the_ground() -> None:
    frame = Frame(GRID, 0, 0, 40, 40)
    for rgb in ((250, 220, 160), (170, 215, 240)):
        ground = np.full((*frame.pad(HALO_REACH).shape, 4), 255, np.uint8)
        ground[..., :3] = rgb
        halo = halo_colours(MapImage(frame.pad(HALO_REACH), ground), "#202020", 0.0)
        assert np.abs(halo.astype(int) - rgb).max() <= 1


def test_what_lies_under_the_letters_is_halo() -> None:
    """Contrast is promised against the pixels below, so the halo is whole where the letters are."""
    for label in PLACER.place(WHOLE[1]):
        patch = label_patch(label, LOOK.of(label.kind), 1)
        solid = patch.share[..., 0] > 128
        assert patch.alpha[..., 0][solid].min(initial=255) >= 250
        rim = np.concatenate([patch.alpha[0], patch.alpha[-1], patch.alpha[:, 0], patch.alpha[:, -1]])
        assert rim.max() <= 12, "the box holds the whole label, halo included"


def test_a_label_is_the_same_pixels_wherever_it_is() -> None:
    frame = WHOLE[1]
    labels = [k for k in PLACER.place(frame) if k.mark]
    assert labels
    patch = label_patch(labels[0], LOOK.poi, 1)
    from mapstyle.labels.candidates import Candidate

    moved = label_patch(Candidate(labels[0], ()).moved(2.0**27).label, LOOK.poi, 1)
    assert moved.column - patch.column == 2**27
    assert np.array_equal(moved.alpha, patch.alpha)
    assert np.array_equal(moved.share, patch.share)


def test_labels_become_geojson() -> None:
    labels = PLACER.place(WHOLE[1])
    collection = json.loads(json.dumps(labels_geojson(labels, GRID)))
    assert [f["properties"]["text"] for f in collection["features"]] == [k.text for k in labels]
    west, south, east, north = WHOLE[1].pad(250).lonlat_bounds()
    for feature, label in zip(collection["features"], labels, strict=True):
        lon, lat = feature["geometry"]["coordinates"]
        assert west <= lon <= east
        assert south <= lat <= north
        assert feature["properties"]["kind"] == label.kind
        assert feature["properties"]["size"] == label.size
    assert any(f["properties"]["angle"] for f in collection["features"])
    assert labels_geojson([], GRID) == {"type": "FeatureCollection", "features": []}


def test_a_style_says_only_what_it_changes() -> None:
    look = LabelSettings.model_validate(
        {"all": {"weight": 600}, "street": {"colour": "#FF0000"}, "river": {"weight": 300}}
    )
    assert look.street.colour == "#ff0000"
    assert look.street.size == LOOK.street.size
    assert (look.poi.weight, look.street.weight, look.river.weight) == (600, 600, 300)
    assert look.river.italic, "water stays in italics"
    assert LabelSettings.model_validate(look.model_dump()) == look


@pytest.mark.parametrize(
    "wrong",
    [
        {"street": {"color": "#ffffff"}},
        {"street": {"colour": "red"}},
        {"street": {"size": []}},
        {"street": {"size": [500]}},
        {"roads": {}},
        {"street": {"repeat": 5000}},
        {"all": 3},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LabelSettings.model_validate(wrong)


def test_sizes_follow_rank_and_level() -> None:
    sizes = [LOOK.type_size(LabelKind.PLACE, rank, 12) for rank in range(9)]
    assert sizes == sorted(sizes, reverse=True)
    assert LOOK.type_size(LabelKind.STREET, 2, 18) > LOOK.type_size(LabelKind.STREET, 2, 14)
    assert LOOK.place.shows(0, 3.0, 3.0)
    assert not LOOK.place.shows(0, 3.0, 2.9)
    assert not LOOK.place.shows(0, 3.0, 17), "a city's name is no use in its streets"
    sooner = LabelSettings.model_validate({"street": {"from_level": [9]}})
    assert sooner.street.shows(3, 14.5, 10)
