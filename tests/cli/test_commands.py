"""The commands do what they say, into real files."""

import json
import re

import numpy as np
import pytest
import rasterio
from PIL import Image

SPOT = ("--around", "3.8935,54.5965", "--radius", "0.25", "--zoom", "15")


def test_render_writes_a_map_with_its_place_and_its_credit(cli, tmp_path, town, heights):
    said = cli("render", town, heights, "-o", tmp_path / "map.png", *SPOT, "--title", "Here", "--attribution", "© Me")
    assert said.code == 0, said.err
    assert said.out.strip() == str(tmp_path / "map.png")
    assert "watercolour" in said.err
    with rasterio.open(tmp_path / "map.png") as dataset:
        assert dataset.crs.to_epsg() == 3857
    with Image.open(tmp_path / "map.png") as image:
        told = json.loads(image.text["mapstyle"])
        assert image.text["Copyright"] == "© Me"
    assert told["style"] == "watercolour"
    assert sorted(f.name for f in tmp_path.iterdir()) == ["map.pgw", "map.png", "map.png.aux.xml"]


def test_the_same_command_gives_the_same_pixels(cli, tmp_path, town):
    for name in ("a.png", "b.tif"):
        assert cli("render", town, "-o", tmp_path / name, *SPOT, "-q", "--workers", 1 + (name == "b.tif")).code == 0
    with rasterio.open(tmp_path / "a.png") as a, rasterio.open(tmp_path / "b.tif") as b:
        assert np.array_equal(a.read(), b.read())


def test_labels_go_where_they_are_told(cli, tmp_path, town):
    for way in ("burn", "none", "sheet", "vector"):
        said = cli("render", town, "-o", tmp_path / f"{way}.png", *SPOT, "--labels", way, "-q", "--attribution", "none")
        assert said.code == 0, said.err
    pictures = {
        w: np.asarray(Image.open(tmp_path / f"{w}.png").convert("RGB")).astype(int)
        for w in ("burn", "none", "sheet", "vector")
    }
    assert np.array_equal(pictures["vector"], pictures["sheet"]), "both come without words"
    sheet = np.asarray(Image.open(tmp_path / "sheet.labels.png"))
    assert sheet.shape[2] == 4
    alpha = sheet[..., 3:].astype(int)
    mixed = (sheet[..., :3] * alpha + pictures["sheet"] * (255 - alpha) + 127) // 255
    assert np.array_equal(mixed, pictures["burn"]), "the sheet laid over the art is the burned-in map"
    words = json.loads((tmp_path / "vector.labels.geojson").read_text())
    texts = {f["properties"]["text"] for f in words["features"]}
    assert any("Doggerhaven" in t or "Old Town" in t for t in texts)


def test_language(cli, tmp_path, town):
    place = ("--around", "3.8975,54.5985", "--radius", "0.6", "--zoom", "14", "--labels", "vector", "-q")
    for code in ("de", "en"):
        assert cli("render", town, "-o", tmp_path / f"{code}.png", *place, "--language", code).code == 0
    texts = {c: (tmp_path / f"{c}.labels.geojson").read_text() for c in ("de", "en")}
    assert "Altstadt" in texts["de"] or "Hauptbahnhof" in texts["de"]
    assert "Altstadt" not in texts["en"]


def test_furniture_is_outside_the_map(cli, tmp_path, town):
    for name, more in (
        ("bare", ("--attribution", "none")),
        ("signed", ("--attribution", "Somebody", "--title", "Town")),
    ):
        assert cli("render", town, "-o", tmp_path / f"{name}.png", *SPOT, "-q", *more).code == 0
    bare, signed = (
        np.asarray(Image.open(tmp_path / f"{n}.png").convert("RGB")).astype(int) for n in ("bare", "signed")
    )
    changed = np.abs(bare - signed).max(axis=2) > 0
    assert 0 < changed.mean() < 0.25
    middle = changed[changed.shape[0] // 3 : 2 * changed.shape[0] // 3]
    assert not middle.any()


def test_seed_and_settings_change_the_hand(cli, tmp_path, town):
    pixels = []
    for name, more in (("a", ()), ("b", ("--seed", "5")), ("c", ("--set", "levels.appears.building=20"))):
        assert cli("render", town, "-o", tmp_path / f"{name}.png", *SPOT, "-q", *more).code == 0
        pixels.append(np.asarray(Image.open(tmp_path / f"{name}.png")))
    assert not np.array_equal(pixels[0], pixels[1])
    assert not np.array_equal(pixels[0], pixels[2])


def test_dry_run_writes_nothing(cli, tmp_path, town):
    said = cli("render", town, "-o", tmp_path / "map.png", "--dry-run", "--json")
    assert said.code == 0
    told = [json.loads(x) for x in said.out.splitlines()]
    assert any(t.get("width") for t in told)
    assert not list(tmp_path.iterdir())


def test_place_finds_and_scale_prints(cli, tmp_path, town):
    said = cli(
        "render", town, "-o", tmp_path / "map.tif", "--place", "mereham", "--scale", "20000", "--dpi", "100", "-q"
    )
    assert said.code == 0, said.err
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.crs.to_epsg() == 32631
        assert dataset.res[0] == pytest.approx(20000 * 0.0254 / 100)


def test_controls_writes_every_image(cli, tmp_path, town, heights):
    from mapstyle.controls import CONTROLS

    said = cli("controls", town, heights, "-o", tmp_path / "c", *SPOT, "-q")
    assert said.code == 0, said.err
    names = {*CONTROLS, "base"}
    assert {p.stem for p in (tmp_path / "c").glob("*.png")} == names
    assert names >= {"segmentation", "edges", "depth", "relief", "base"}
    for name in names:
        assert np.asarray(Image.open(tmp_path / "c" / f"{name}.png")).std() > 1


def test_styles_lists_and_shows(cli):
    listed = cli("styles", "list")
    assert listed.code == 0
    for name in ("watercolour", "pen-and-ink", "model-railway"):
        assert re.search(rf"^{name}\s+\S", listed.out, re.MULTILINE)
        shown = cli("styles", "show", name)
        assert shown.code == 0
        assert "painter." in shown.out
        assert "#" in shown.out
    assert cli("styles").out == listed.out
    wrong = cli("styles", "show", "modelrailway")
    assert wrong.code == 1
    assert "Did you mean 'model-railway'?" in wrong.line


@pytest.mark.parametrize("name", ["watercolour", "pen-and-ink", "model-railway"])
def test_what_styles_show_prints_is_what_set_takes(cli, name):
    from mapstyle.style import load_style

    look = load_style(name)
    rows = [line.partition("   # ")[0] for line in cli("styles", "show", name).out.splitlines() if " = " in line]
    assert any(row.startswith("diffusion.controls = [") for row in rows)
    # Another source of weights has another licence; naming it, even the same, begins that table anew.
    rows = [row for row in rows if not row.endswith("(left out)") and ".source = " not in row]
    for row in [*rows[::9], *(r for r in rows if r.startswith("diffusion."))]:
        key, _, value = row.partition(" = ")
        assert load_style(name, [f"{key}={value}"]).model_dump() == look.model_dump(), row


def test_a_persons_own_style_appears_beside_ours(cli, tmp_path, town, monkeypatch):
    import shutil

    from mapstyle.style import packaged

    shutil.copytree(packaged("styles") / "watercolour", tmp_path / "styles" / "mine")
    file = tmp_path / "styles" / "mine" / "style.toml"
    file.write_text(re.sub(r'summary = ".*?"', 'summary = "My own."', file.read_text(), count=1))
    monkeypatch.setenv("MAPSTYLE_STYLES", str(tmp_path / "styles"))
    assert re.search(r"^mine\s+My own\.", cli("styles", "list").out, re.MULTILINE)
    assert cli("render", town, "-o", tmp_path / "m.png", *SPOT, "-q", "--style", "mine").code == 0


def test_doctor_tells_what_works(cli):
    said = cli("doctor", "--json")
    assert said.code == 0
    parts = {t["part"]: t for t in map(json.loads, said.out.splitlines())}
    assert parts["OSM"]["ok"]
    assert parts["COG"]["ok"]
    assert parts["style: watercolour"]["ok"]
    for part in parts.values():
        assert part["ok"] or part["cure"] or part["part"] in ("GPU", "Ray")
    assert cli("doctor").code == 0


def test_demo_paints_the_town_in_every_style(cli, tmp_path, monkeypatch):
    from mapstyle.style import find_styles

    said = cli("demo", "-o", tmp_path / "demo", "-q")
    assert said.code == 0, said.err
    page = (tmp_path / "demo" / "index.html").read_text()
    for name in find_styles():
        pictures = sorted((tmp_path / "demo").glob(f"{name}-*.png"))
        assert len(pictures) >= 2
        for picture in pictures:
            assert picture.name in page
            with Image.open(picture) as image:
                assert min(image.size) > 600
    # Again over itself: a demo may always be run.
    assert "http" not in page.replace("http-equiv", "")


def test_a_command_says_its_version(cli):
    from mapstyle import __version__

    assert __version__ in cli("--version").out
