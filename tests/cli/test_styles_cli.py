"""Styles at the command line: side by side on a sheet, one of your own, every setting explained."""

import io
import json
import re
import shutil
import tomllib
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from mapstyle.audit.colour import to_lab
from mapstyle.cli.mount import PAPER
from mapstyle.cli.sheet import split_values
from mapstyle.palette import APART, SWATCHES, apart, colours, picture_swatches, repaint, rewrite, role
from mapstyle.style import FILE, find_styles, load_style, packaged

SPOT = ("--around", "3.8975,54.597", "--zoom", "15", "--size", "96x72")
NAMES = ("model-railway", "pen-and-ink", "watercolour")


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.setenv("MAPSTYLE_STYLES", str(tmp_path / "mine"))
    return tmp_path / "mine"


@pytest.fixture(scope="session")
def sunset(tmp_path_factory):
    """A picture with a violet sky, a low sun, dark hills and a red boat on an orange sea."""
    rgb = np.empty((120, 200, 3), np.uint8)
    rgb[:50] = (92, 70, 130)
    rgb[50:80] = (240, 150, 70)
    rgb[80:] = (60, 40, 60)
    rgb[20:34, 90:110] = (255, 226, 150)
    rgb[60:66, 40:60] = (190, 30, 40)
    path = tmp_path_factory.mktemp("pictures") / "sunset.png"
    Image.fromarray(rgb).save(path)
    return path


def picture(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


# --- the sheet ----------------------------------------------------------------------------------------


def test_a_sheet_shows_every_style_on_paper_with_even_margins(cli, town, tmp_path):
    out = tmp_path / "sheet.png"
    said = cli("styles", "sheet", town, "-o", out, *SPOT, "--workers", 2)
    assert said.code == 0, said.err
    assert said.out.strip() == str(out)
    count = len(find_styles())
    assert f"{count} pictures of 96 x 72 px" in said.err
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]  # a sheet lies nowhere on Earth: no world file
    rgb = picture(out)
    bare = (np.abs(rgb - np.array(PAPER)) < 3).all(axis=2)
    margin = round(34 * 0.8)
    assert bare[: margin - 12].all()
    assert bare[:, : margin - 12].all()
    assert bare[:, -(margin - 14) :].all()
    first = rgb[margin : margin + 72, margin : margin + 96]
    assert first.std() > 15
    # The words: something dark below each picture.
    assert (rgb[margin + 80 : margin + 110].sum(axis=2) < 250).any()


def test_a_picture_on_the_sheet_is_the_one_that_render_makes(cli, town, tmp_path):
    out, lone = tmp_path / "sheet.png", tmp_path / "one.png"
    words = ("--styles", "pen-and-ink", "--set", "painter.settings.bite=0.3", "--no-labels")
    assert cli("styles", "sheet", town, "-o", out, *SPOT, *words, "-q").code == 0
    style = ("--style", "pen-and-ink", *words[2:], "--attribution", "none")
    assert cli("render", town, "-o", lone, *SPOT, *style, "-q").code == 0
    at = round(34 * 0.8)
    assert (picture(out)[at : at + 72, at : at + 96] == picture(lone)).all()


def test_a_sheet_says_what_it_is(cli, town, tmp_path):
    for name in ("s.png", "s.jpg", "s.webp"):
        out = tmp_path / name
        more = ("--vary", "seed=1,2", "--title", "Both", "--styles", "pen-and-ink", "--attribution", "© Dogger")
        assert cli("styles", "sheet", town, "-o", out, *SPOT, *more, "-q").code == 0
        told = json.loads(cli("explain", out, "--json").out)["mapstyle"]
        assert told["sheet"] == "a contact sheet of 2 pictures, 96 x 72 px each"
        assert [p["changes"] for p in json.loads(told["pictures"])] == [["seed=1"], ["seed=2"]]
        assert told["attribution"] == "© Dogger"
        assert cli("explain", out).code == 0
        assert cli("reproduce", out, town, "-o", tmp_path / "again.png").code == 1


def test_two_varied_settings_make_rows_and_columns_and_three_a_wrapped_grid(cli, town, tmp_path):
    vary = ("--vary", "painter.settings.bite=0,0.5", "--vary", "seed=1,2,3")
    said = cli("styles", "sheet", town, "-o", tmp_path / "t.png", *SPOT, "--styles", "pen-and-ink", *vary, "--json")
    events = [json.loads(line) for line in said.out.splitlines()]
    plan = next(e for e in events if "pictures" in e and "columns" in e)
    assert (plan["pictures"], plan["columns"]) == (6, 3)
    assert any(e["event"] == "progress" and e["done"] == e["total"] == 6 for e in events)
    assert events[-1]["pictures"] == 6
    more = ("--vary", "labels.scale=1,2", "--columns", "4", "--dry-run")
    said = cli("styles", "sheet", town, "-o", tmp_path / "u.png", *SPOT, "--styles", "pen-and-ink", *vary, *more)
    assert "12 pictures of 96 x 72 px in 4 columns" in said.err
    assert not (tmp_path / "u.png").exists()


def test_values_are_cut_at_commas_outside_brackets_and_quotes():
    assert list(split_values("1, 2,3")) == ["1", "2", "3"]
    assert list(split_values("[[1, 2]], [3]")) == ["[[1, 2]]", "[3]"]
    assert list(split_values('"a, b", {x = 1, y = 2}')) == ['"a, b"', "{x = 1, y = 2}"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--vary", "painter.settings.granlation=1,2"), "Did you mean 'granulation'"),
        (("--vary", "painter.settings.granulation=0.1,7"), "granulation=7: "),
        (("--vary", "painter.settings.granulation=0.1,0.1"), "twice"),
        (("--vary", "painter.settings.granulation"), "KEY=V1,V2,V3"),
        (("--vary", "seed=1,,2"), "KEY=V1,V2,V3"),
        (("--vary", "seed=1,2", "--vary", "seed=3"), "given twice"),
        (("--vary", "seed=1,2", "--seed", "3"), "exclude each other"),
        (("--vary", "seed=" + ",".join(map(str, range(121)))), "at most 120"),
        (("--vary", "diffusion.strength=0.2,0.9", "--engine", "painter"), "--engine sdxl"),
        (("--styles", "watercolor"), "Did you mean 'watercolour'"),
        (("--styles", " , "), "name at least one"),
        (("--size", "12"), "WIDTHxHEIGHT"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_is_painted(cli, town, tmp_path, words, told):
    said = cli("styles", "sheet", town, "-o", tmp_path / "s.png", *words)
    assert said.code == 1
    assert told in said.line
    assert list(tmp_path.iterdir()) == []


def test_a_sheet_is_a_picture_and_takes_no_other_files_place(cli, town, tmp_path):
    assert ".png, .jpg or .webp" in cli("styles", "sheet", town, "-o", tmp_path / "s.tif").line
    out = tmp_path / "s.png"
    out.write_text("mine")
    assert "--overwrite" in cli("styles", "sheet", town, "-o", out).line
    assert out.read_text() == "mine"
    assert cli("styles", "sheet", town, "-o", out, *SPOT, "--styles", "pen-and-ink", "--overwrite", "-q").code == 0
    assert picture(out).size


def test_a_broken_style_of_ones_own_is_left_out_and_named(cli, town, tmp_path, mine):
    (mine / "torn").mkdir(parents=True)
    (mine / "torn" / FILE).write_text("title = 3")
    said = cli("styles", "sheet", town, "-o", tmp_path / "s.png", *SPOT, "--dry-run")
    assert said.code == 0
    assert re.search(r"note: torn is left out: .*torn/style.toml: ", said.err)
    assert f"{len(find_styles()) - 1} pictures" in said.err
    assert "torn" in cli("styles", "sheet", town, "-o", tmp_path / "s.png", "--styles", "torn").line


def test_without_a_place_the_sheet_finds_one_with_water_and_houses(cli, town, tmp_path):
    said = cli("styles", "sheet", town, "-o", tmp_path / "s.png", "--dry-run", "--json")
    plan = next(e for e in map(json.loads, said.out.splitlines()) if "bounds" in e)
    west, south, east, north = plan["bounds"]
    assert plan["level"] == 15
    assert west < 3.8975 < east  # the mouth of the river, between Old Town and harbour
    assert south < 54.597 < north


# --- a style of one's own -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_new_style_is_a_commented_copy_that_paints_alike(cli, mine, name):
    said = cli("styles", "new", "harbour", "--from", name)
    assert said.code == 0, said.err
    assert said.out.strip() == str(mine / "harbour" / FILE)
    text = (mine / "harbour" / FILE).read_text(encoding="utf-8")
    source = (packaged("styles") / name / FILE).read_text(encoding="utf-8")
    assert {x for x in source.splitlines() if x.startswith("#")} <= set(text.splitlines())
    look = load_style("harbour")
    assert (look.name, look.title, look.digest) == ("harbour", "Harbour", load_style(name).digest)
    header = text.partition("\ntitle")[0]
    assert f"'{name}'" in header
    # What the header says can be done can be done: its recipes parse, its settings are there at their values.
    for key, value in re.findall(r"^#   (\S+) = (\S+)   ", header, re.MULTILINE):
        assert load_style("harbour", [f"{key}={value}"]).model_dump() == look.model_dump()
    vary = re.search(r"--vary (\S+)", header)
    assert vary
    key, _, values = vary[1].partition("=")
    for value in values.split(","):
        assert load_style("harbour", [f"{key}={value}"])
    assert "harbour" in cli("styles", "list").out


def test_a_new_style_takes_no_bad_name_and_no_others_place(cli, mine, tmp_path):
    for bad in ("Bad/Name", "..", "with space", "-x", "a--b", "x" * 61, "ünï"):
        said = cli("styles", "new", "--", bad)
        assert said.code == 1
        assert "small letters and digits" in said.line
    assert "already" in cli("styles", "new", "pen-and-ink").line
    assert "Did you mean 'watercolour'" in cli("styles", "new", "other", "--from", "watercolor").line
    assert not mine.exists()
    (tmp_path / "there" / "taken").mkdir(parents=True)
    assert "exists already" in cli("styles", "new", "taken", "--into", tmp_path / "there").line
    assert cli("styles", "new", "once", "-q").code == 0
    assert "already" in cli("styles", "new", "once").line
    assert [p.name for p in mine.iterdir()] == ["once"]


def test_a_style_written_elsewhere_says_how_it_is_found(cli, mine, tmp_path):
    assert cli("styles", "new", "far", "--into", tmp_path / "far").code == 0
    text = (tmp_path / "far" / "far" / FILE).read_text()
    assert f"--style {tmp_path / 'far' / 'far'}" in text
    assert "MAPSTYLE_STYLES" in text
    assert load_style(str(tmp_path / "far" / "far")).name == "far"
    # A copy of a copy: its own name in the file, what lies beside it, and no title of another.
    own = tmp_path / "far" / "far"
    (own / FILE).write_text('name = "far"\n' + text.replace("granulation = 0.13", "granulation = 0.21"))
    (own / "paper.txt").write_text("cold-pressed")
    (own / "sample.png").write_bytes(b"no longer true")
    assert cli("styles", "new", "farther", "--from", own).code == 0
    look = load_style("farther")
    assert (look.name, look.title, look.painter.settings.granulation) == ("farther", "Farther", 0.21)
    assert sorted(p.name for p in (mine / "farther").iterdir()) == ["paper.txt", FILE]


# --- the colours of a picture -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_palette_comes_from_the_picture_and_comments_stay(cli, mine, name, sunset):
    said = cli("styles", "new", "dusk", "--from", name, "--palette-from", sunset)
    assert said.code == 0, said.err
    text = (mine / "dusk" / FILE).read_text(encoding="utf-8")
    source = (packaged("styles") / name / FILE).read_text(encoding="utf-8")
    assert {x for x in source.splitlines() if x.startswith("#")} <= set(text.splitlines())
    before, after = colours(load_style(name)), colours(load_style("dusk"))
    assert before.keys() == after.keys()
    changed = [key for key in before if before[key] != after[key]]
    assert len(changed) > 0.9 * sum(role(key) != "light" for key in before)
    # Nothing but colours has changed.
    plain = re.compile(r"#[0-9a-f]{6}")
    old, new = load_style(name), load_style("dusk")
    assert plain.sub("#", old.painter.model_dump_json()) == plain.sub("#", new.painter.model_dump_json())
    assert (new.labels, new.levels, new.diffusion) == (old.labels, old.levels, old.diffusion)
    # What was lighter stays lighter, and what was apart stays apart.
    keys = [key for key in before if role(key) != "light"]
    light = [lab([values[key] for key in keys])[:, 0] for values in (before, after)]
    clear = [(i, j) for i, j in combinations(range(len(keys)), 2) if abs(light[0][i] - light[0][j]) > 12]
    kept = [np.sign(light[0][i] - light[0][j]) == np.sign(light[1][i] - light[1][j]) for i, j in clear]
    assert np.mean(kept) > 0.97
    was, now = ({k: v for k, v in values.items() if k in keys} for values in (before, after))
    for pair, difference in apart(was).items():
        if difference >= APART:
            assert apart(now)[pair] >= APART, pair


def lab(values):
    return to_lab(np.array([[int(v[i : i + 2], 16) for i in (1, 3, 5)] for v in values], np.uint8)[None])[0]


def test_even_a_grey_picture_keeps_water_woods_roads_and_houses_apart(tmp_path):
    grey = np.repeat(np.linspace(90, 140, 64).astype(np.uint8)[None, :, None], 3, axis=2).repeat(40, axis=0)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    swatches = picture_swatches(tmp_path / "grey.png")
    for name in ("watercolour", "model-railway"):
        old = colours(load_style(name))
        new = repaint(old, swatches)
        was = apart({k: v for k, v in old.items() if k in new})
        assert all(apart(new)[pair] >= APART for pair, d in was.items() if d >= APART)
        chroma = np.hypot(*lab(new.values())[:, 1:].T).mean()
        assert chroma < 0.6 * np.hypot(*lab(old.values())[:, 1:].T).mean()


def test_swatches_are_the_pictures_colours_and_the_same_every_time(sunset):
    found = picture_swatches(sunset)
    assert 5 <= len(found.lab) <= SWATCHES
    assert found.share.sum() == pytest.approx(1)
    for colour in ("#5c4682", "#f09646", "#3c283c", "#ffe296", "#be1e28"):  # the boat, too: small and vivid
        assert np.linalg.norm(found.lab - lab([colour])[0], axis=1).min() < 6, colour
    again = picture_swatches(sunset)
    assert (again.lab == found.lab).all()


def test_rewriting_with_the_same_colours_changes_no_letter():
    for name in NAMES:
        text = (packaged("styles") / name / FILE).read_text(encoding="utf-8")
        look = load_style(name)
        written = tomllib.loads(text)
        there = {key: colour for key, colour in colours(look).items() if holds(written, key)}
        assert rewrite(text, look, there) == text


def holds(table, key):
    for part in key:
        if isinstance(part, str) and part not in table:
            return False
        table = table[part]
    return True


def test_a_hostile_picture_is_refused_in_one_line_and_leaves_nothing(cli, mine, tmp_path, sunset):
    whole = sunset.read_bytes()
    large = io.BytesIO()
    Image.new("1", (20_000, 9_000)).save(large, "PNG")
    flat = io.BytesIO()
    Image.new("RGB", (50, 50), (90, 120, 80)).save(flat, "PNG")
    clear = io.BytesIO()
    Image.new("RGBA", (50, 50), (90, 120, 80, 0)).save(clear, "PNG")
    bad = {
        "cut.png": (whole[: len(whole) // 2], "cannot be read as a picture"),
        "text.jpg": (b"hello", "cannot be read as a picture"),
        "empty.png": (b"", "cannot be read as a picture"),
        "vector.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be read as a picture"),
        "large.png": (large.getvalue(), "too large"),
        "flat.png": (flat.getvalue(), "all of one colour"),
        "clear.png": (clear.getvalue(), "transparent"),
    }
    for name, (data, told) in bad.items():
        (tmp_path / name).write_bytes(data)
        said = cli("styles", "new", "dusk", "--palette-from", tmp_path / name)
        assert said.code == 1, name
        assert told in said.line, name
        assert str(tmp_path / name) in said.line
    assert "No such file" in cli("styles", "new", "dusk", "--palette-from", tmp_path / "nope.png").line
    assert "no picture" in cli("styles", "new", "dusk", "--palette-from", tmp_path).line
    assert not mine.exists()


# --- every setting explained --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_show_explains_every_setting_with_its_range(cli, name):
    rows = [json.loads(line) for line in cli("styles", "show", name, "--json").out.splitlines()]
    keys = [row["key"] for row in rows]
    assert len(set(keys)) == len(keys) > 100
    assert all(row["range"] for row in rows), [row["key"] for row in rows if not row["range"]][:5]
    ranges = {row["key"]: row["range"] for row in rows}
    assert ranges["labels.scale"] == "0.5 to 2.5"
    assert ranges["labels.place.family"] == "sans | serif"
    assert ranges["labels.place.colour"] == "#rrggbb"
    assert ranges["labels.place.shown"] == "true | false"
    assert "watercolour" not in ranges["painter.medium"]
    assert "wash" in ranges["painter.medium"]
    text = cli("styles", "show", name).out
    for key in keys:
        assert re.search(rf"^{re.escape(key)} ", text, re.MULTILINE), key


def test_what_show_says_of_a_range_is_what_is_checked(cli):
    from mapstyle.errors import StyleError

    rows = [json.loads(line) for line in cli("styles", "show", "watercolour", "--json").out.splitlines()]
    spans = [(row["key"], re.fullmatch(r"(-?[\d.]+) to (-?[\d.]+)(, whole)?", row["range"])) for row in rows]
    tried = [(key, span) for key, span in spans if span and "." in key][::12]
    assert len(tried) > 8
    for key, span in tried:
        assert load_style("watercolour", [f"{key}={float(span[2]) + 0:g}"]) if not span[3] else True
        with pytest.raises(StyleError):
            load_style("watercolour", [f"{key}={float(span[2]) + 1:g}"])
        with pytest.raises(StyleError):
            load_style("watercolour", [f"{key}={float(span[1]) - 1:g}"])


def test_show_takes_changes_and_a_path(cli, tmp_path):
    shutil.copytree(packaged("styles") / "pen-and-ink", tmp_path / "own")
    said = cli("styles", "show", tmp_path / "own", "--set", "painter.settings.bite=0.4", "--json")
    rows = {r["key"]: r for r in map(json.loads, said.out.splitlines())}
    assert rows["painter.settings.bite"]["value"] == 0.4
    assert rows["painter.settings.bite"]["default"] != 0.4
    assert "Did you mean 'bite'" in cli("styles", "show", "pen-and-ink", "--set", "painter.settings.bit=1").line
