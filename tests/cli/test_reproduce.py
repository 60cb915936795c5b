"""``mapstyle reproduce`` makes the same pixels again, or says in a line why it will not."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mapstyle.style import packaged

SPOT = ("--around", "3.8935,54.5965", "--radius", "0.25")


def pixels(path):
    return np.asarray(Image.open(path))


def remake(path, target, **changes):
    """Write a picture's metadata anew, with changes; None leaves a name out."""
    told = {**json.loads(Image.open(path).info["mapstyle"]), **changes}
    info = PngImagePlugin.PngInfo()
    info.add_text("mapstyle", json.dumps({k: v for k, v in told.items() if v is not None}))
    Image.open(path).save(target, pnginfo=info)
    return target


@pytest.fixture
def picture(cli, tmp_path, town, kept):
    """A picture of the town, rendered once."""
    first = kept / "picture.png"
    if not first.exists():
        said = cli("render", town, "-o", first, *SPOT, "--zoom", "15", "-q")
        assert said.code == 0, said.err
    return shutil.copy(first, tmp_path / "map.png")


@pytest.mark.parametrize(
    "options",
    [
        ("--zoom", "15"),
        ("--zoom", "14", "--pixel-ratio", "2", "--title", "Old “Town”", "--attribution", "© Me", "--seed", "5"),
        ("--resolution", "4", "--language", "de", "--edge-labels", "drop", "--style", "pen-and-ink"),
        ("--crs", "EPSG:3035", "--scale", "20000", "--dpi", "120", "--set", "levels.appears.building=20"),
        ("--size", "190x170", "--labels", "none", "--attribution", "none"),
    ],
    ids=["plain", "@2x", "metric", "changed", "bare"],
)
def test_the_same_pixels_come_out(cli, tmp_path, town, heights, options):
    assert cli("render", town, heights, "-o", tmp_path / "map.png", *SPOT, *options, "-q").code == 0
    said = cli("reproduce", tmp_path / "map.png", town, heights, "-q")
    assert said.code == 0, said.err
    assert said.out.strip() == str(tmp_path / "map-again.png")
    assert said.err == ""
    first, again = pixels(tmp_path / "map.png"), pixels(tmp_path / "map-again.png")
    assert first.shape == again.shape
    assert np.array_equal(first, again)
    words = [json.loads(Image.open(tmp_path / f).info["mapstyle"]) for f in ("map.png", "map-again.png")]
    assert words[0] == words[1]


def test_the_metadata_decides_the_pixels(cli, tmp_path, town, picture):
    for name, changes in (("seed", {"seed": 99}), ("words", {"labels": "none"}), ("title", {"title": "Here"})):
        other = remake(picture, tmp_path / f"{name}.png", **changes)
        assert cli("reproduce", other, town, "-q").code == 0
        assert not np.array_equal(pixels(tmp_path / f"{name}-again.png"), pixels(picture)), name


def test_into_another_format(cli, tmp_path, town, picture):
    said = cli("reproduce", picture, town, "-o", tmp_path / "map.tif", "-q")
    assert said.code == 0, said.err
    assert np.array_equal(pixels(tmp_path / "map.tif"), pixels(picture))
    said = cli("reproduce", tmp_path / "map.tif", town, "-q")
    assert np.array_equal(pixels(tmp_path / "map-again.tif"), pixels(picture))


def test_other_data_is_refused(cli, tmp_path, town, heights, picture):
    said = cli("reproduce", picture, town, heights, "-q")
    assert said.code == 1
    assert "made from other data" in said.line
    assert not list(tmp_path.glob("*again*"))


def test_the_same_data_may_lie_elsewhere(cli, tmp_path, town, picture):
    (tmp_path / "else").mkdir()
    said = cli("reproduce", picture, shutil.copy(town, tmp_path / "else"), "-q")
    assert said.code == 0, said.err
    assert np.array_equal(pixels(tmp_path / "map-again.png"), pixels(picture))


def test_no_source_is_one_line(cli, picture):
    assert "no source was given" in cli("reproduce", picture, "-q").line


def test_a_style_that_changed_is_refused_and_can_be_pointed_to(cli, tmp_path, town, monkeypatch):
    own = tmp_path / "styles" / "mine"
    shutil.copytree(packaged("styles") / "watercolour", own)
    monkeypatch.setenv("MAPSTYLE_STYLES", str(own.parent))
    assert cli("render", town, "-o", tmp_path / "map.png", *SPOT, "--zoom", "15", "--style", "mine", "-q").code == 0
    shutil.copytree(own, tmp_path / "as it was" / "mine")
    text = (own / "style.toml").read_text()
    (own / "style.toml").write_text(text + "\n[levels.appears]\nbuilding = 20\n")
    said = cli("reproduce", tmp_path / "map.png", town, "-q")
    assert said.code == 1
    assert "has been changed since" in said.line
    assert "--style" in said.line
    again = cli("reproduce", tmp_path / "map.png", town, "--style", tmp_path / "as it was" / "mine", "-q")
    assert again.code == 0, again.err
    assert np.array_equal(pixels(tmp_path / "map.png"), pixels(tmp_path / "map-again.png"))
    monkeypatch.delenv("MAPSTYLE_STYLES")
    said = cli("reproduce", tmp_path / "map.png", town, "-q", "--overwrite")
    assert "no style called 'mine' is here" in said.line
    assert "--style PATH" in said.line


def test_another_version_is_only_a_note(cli, tmp_path, town, picture):
    other = remake(picture, tmp_path / "old.png", software="mapstyle 0.0.1\x1b[2J")
    said = cli("reproduce", other, town)
    assert said.code == 0, said.err
    assert "made with mapstyle 0.0.1" in said.err
    assert "\x1b" not in said.err
    assert np.array_equal(pixels(tmp_path / "old-again.png"), pixels(picture))
    assert "made with" not in cli("reproduce", picture, town, "-o", tmp_path / "x.png").err


def test_an_existing_output_is_kept(cli, tmp_path, town, picture):
    (tmp_path / "map-again.png").write_bytes(b"mine")
    assert "--overwrite" in cli("reproduce", picture, town, "-q").line
    assert (tmp_path / "map-again.png").read_bytes() == b"mine"
    assert cli("reproduce", picture, town, "-q", "--overwrite").code == 0


def test_a_control_image_is_no_map(cli, tmp_path, town):
    assert cli("controls", town, "-o", tmp_path / "ctl", *SPOT, "--zoom", "14", "-q").code == 0
    said = cli("reproduce", tmp_path / "ctl" / "edges.png", town, "-q")
    assert said.code == 1
    assert "'mapstyle controls'" in said.line


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"labels": "sung"}, "sung"),
        ({"labels": None}, "labels"),
        ({"changes": "a='"}, "broken"),
        ({"edge_labels": "x"}, "broken"),
        ({"turn": 0, "crs": "EPSG:999999"}, "no CRS"),
        ({"turn": 0, "crs": "EPSG:4326x\n"}, "no CRS"),
        ({"frame": [0, 0, 10**9, 10**9]}, "nowhere"),
        ({"frame": [0, 0, 2**22, 2**22]}, "too large"),
        ({"changes": "painter.nothing=1"}, "painter.nothing"),
        ({"engine": "oil\n\x1b[2J"}, "oil"),
        ({"style": "../watercolour"}, "no style called '../watercolour'"),
        ({"style": "a\nb" * 1000}, "no style called"),
        ({"sources": "a\nb"}, "other data"),
        ({"style_digest": "a\nb"}, "--style"),
        ({"crs": ["x"] * 100_000}, "crs"),
        ({"engine": None}, "engine"),
        ({"making": {"prompt": "x"}}, "broken"),
    ],
)
def test_metadata_that_makes_no_sense_is_one_line(cli, tmp_path, town, picture, changes, told):
    said = cli("reproduce", remake(picture, tmp_path / "odd.png", **changes), town, "-q")
    assert said.code == 1, said.err
    assert told in said.line
    assert len(said.err) < 1000
    assert said.err.count("\n") == 1
    assert "\x1b" not in said.err
    assert not list(tmp_path.glob("*again*"))


def test_a_picture_of_another_program_is_one_line(cli, tmp_path, town):
    Image.new("RGB", (8, 8)).save(tmp_path / "cat.png")
    assert "says nothing of how mapstyle made it" in cli("reproduce", tmp_path / "cat.png", town, "-q").line
