"""Letters: every script shaped by a font that has it, in the right order, and never a box."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from mapstyle.errors import FontError
from mapstyle.frame import Frame, Grid
from mapstyle.labels import drawable_scripts, furniture
from mapstyle.labels.fonts import FontBook, FontStyle, font_book
from mapstyle.labels.glyphs import glyph_shapes, ink, outline
from mapstyle.labels.scripts import scripts_in
from mapstyle.labels.settings import Family
from mapstyle.labels.shape import Line, shape_line, tidy, wrap
from mapstyle.placed import PlacedGlyph

PLAIN = FontStyle()


def shaped(text: str, style: FontStyle = PLAIN, spacing: float = 0.0) -> Line:
    line = shape_line(text, style, spacing)
    assert line is not None
    return line


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("weight", [200, 300, 400, 600, 700, 900])
@pytest.mark.parametrize("italic", [False, True])
def test_latin_greek_and_cyrillic_come_with_the_package(family: Family, weight: int, italic: bool) -> None:
    alone = FontBook(folders=[])
    for text, script in (("Đà Nẵng Łódź İstanbul", "Latn"), ("Αθήνα", "Grek"), ("Санкт-Петербург", "Cyrl")):
        face = alone.choose(text, script, FontStyle(family, weight, italic))
        assert face is not None
        assert family.value in face.path.name.lower()
        assert italic == ("It" in face.path.stem.rpartition("-")[2] or face.slant > 0)


def test_a_script_without_a_font_is_told_once_with_its_cure() -> None:
    alone = FontBook(folders=[])
    for _ in range(2):
        assert alone.choose("ไทย", "Thai", PLAIN) is None
        assert alone.choose("北京", "Hani", PLAIN) is None
    assert len(alone.notes) == 2
    assert "Thai" in alone.notes[1]
    assert "fonts-noto-core" in alone.notes[1]
    assert "fonts-noto-cjk" in alone.notes[0]


def test_cities_of_the_world_have_all_their_letters(shared_data: Path) -> None:
    cities = json.loads((shared_data / "world_names.geojson").read_text())["features"]
    drawn = 0
    for city in cities:
        name = tidy(city["properties"]["name"])
        line = shape_line(name, FontStyle(Family.SERIF, 600))
        if line is None:
            continue  # this machine has no such font; the book has a note of it
        drawn += 1
        glyphs = [g for c in line.clusters for g in c.glyphs]
        assert all(g[1] > 0 for g in glyphs), "glyph 0 is the box"
        assert sum(len(outline(g[0], g[1])) for g in glyphs) > 0
    assert drawn >= 9, "Latin, Greek and Cyrillic are always there"
    assert drawn == len(cities) or font_book().notes


def test_the_font_of_a_name_does_not_depend_on_names_before() -> None:
    first, second = FontBook(), FontBook()
    words = [("שלום", "Hebr"), ("กขค", "Thai"), ("ბ", "Geor"), ("\u0e3f", "Thai"), ("بسم", "Arab")]
    one = {w: f.path for w, s in words if (f := first.choose(w, s, PLAIN))}
    other = {w: f.path for w, s in reversed(words) if (f := second.choose(w, s, PLAIN))}
    assert one == other


def test_doctor_names_a_font_or_a_cure_for_each_script() -> None:
    told = {name: (font, cure) for name, font, cure in drawable_scripts()}
    assert {"Latin", "Greek", "Cyrillic", "Arabic", "Devanagari", "Hangul"} <= set(told)
    assert all(bool(font) != bool(cure) for font, cure in told.values())
    assert told["Latin"][0]


def test_right_to_left_is_set_from_the_right() -> None:
    if font_book().choose("שלום", "Hebr", PLAIN) is None:
        pytest.skip("no Hebrew font here")
    line = shaped("שלום")
    assert [c.index for c in line.clusters] == [3, 2, 1, 0]
    mixed = shaped("רחוב 12 A")
    order = [c.index for c in mixed.clusters]
    assert order.index(5) < order.index(6), "figures run from left to right"
    assert order.index(8) < order.index(5) < order.index(0), "and the words from the right"
    opening = shaped("(ש)").clusters[0].glyphs[0]
    font = font_book().face(opening[0]).hb_font
    assert opening[1] == font.get_nominal_glyph(ord("(")), "brackets are mirrored"


def test_joined_scripts_are_not_spaced() -> None:
    if font_book().choose("سلام", "Arab", PLAIN) is None:
        pytest.skip("no Arabic font here")
    assert shaped("سلام", PLAIN, 0.3).width == shaped("سلام").width
    assert shaped("Salam", PLAIN, 0.3).width == pytest.approx(shaped("Salam").width + 4 * 0.3)


def test_kerning_is_on() -> None:
    pair, apart = shaped("AV").width, shaped("A").width + shaped("V").width
    assert pair < apart - 0.01


def test_signs_without_a_letter_are_missed_not_boxed() -> None:
    assert [c.glyphs for c in shaped("Café \U0010fffd").clusters if c.glyphs] == [
        c.glyphs for c in shaped("Café").clusters
    ]


def test_marks_and_figures_follow_their_letters_script() -> None:
    assert scripts_in("12 Rue é") == ["Latn"] * 8
    assert scripts_in("दिल्ली 5") == ["Deva"] * 8


def test_wrapping_balances_and_keeps_words_whole() -> None:
    name = "Musée océanographique de Monaco et jardins"
    assert [k.text for k in wrap(name, PLAIN, 0.0, 9.0) or ()] == ["Musée océanographique", "de Monaco et jardins"]
    thrice = wrap("Avenue Reine Astrid", PLAIN, 0.0, 3.0)
    assert thrice is not None
    assert len(thrice) == 3
    assert max(k.width for k in thrice) < 1.6 * min(k.width for k in thrice)
    assert [k.text for k in wrap("Llanfairpwllgwyngyllgogerychwyrndrobwll", PLAIN, 0.0, 5.0) or ()] == [
        "Llanfairpwllgwyngyllgogerychwyrndrobwll"
    ]
    assert [k.text for k in wrap("Église Saint-Charles", PLAIN, 0.0, 7.0) or ()] == ["Église", "Saint-Charles"]


def test_names_are_tidied() -> None:
    assert tidy("  Two\n\tlines\x07 ") == "Two lines"
    assert tidy("Cafe\u0301") == "Café"
    assert tidy("x" * 400) == "", "that is no name"


def test_ink_has_the_area_of_the_outline() -> None:
    line = shaped("Hamburg")
    pen, glyphs = 4.0, []
    for cluster in line.clusters:
        glyphs += [PlacedGlyph(f, g, pen + x * 40, 50 - y * 40) for f, g, x, y in cluster.glyphs]
        pen += cluster.advance * 40
    shapes = glyph_shapes(glyphs, 40, 0, 0, 1)
    true = sum(abs(sum(area(c) for c in shape)) for shape in shapes)
    drawn = ink(shapes, int(pen) + 8, 70, 8).sum() / 255
    assert drawn == pytest.approx(true, rel=0.06)


def area(contour: np.ndarray) -> float:
    x, y = contour.T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


def test_nested_contours_keep_what_is_inside() -> None:
    (circle,) = shaped("©").clusters
    shapes = glyph_shapes([PlacedGlyph(circle.glyphs[0][0], circle.glyphs[0][1], 10, 90)], 100, 0, 0, 1)
    covered = ink(shapes, 110, 120, 4)
    box = np.argwhere(covered > 127)
    (top, left), (bottom, right) = box.min(axis=0), box.max(axis=0)
    heart = covered[
        (3 * top + bottom) // 4 : (top + 3 * bottom) // 4, (3 * left + right) // 4 : (left + 3 * right) // 4
    ]
    assert (heart > 127).mean() > 0.1, "there is a c in the circle"


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("size", [200, 640])
def test_furniture_lies_on_the_sheet(ratio: int, size: int) -> None:
    frame = Frame(Grid.web_mercator(12, ratio), -77, 55, size * ratio, size * ratio)
    patches = furniture(frame, "Little Harbour", "© OpenStreetMap contributors")
    assert len(patches) == 2
    for patch in patches:
        height, width = patch.rgba.shape[:2]
        assert patch.left >= 0
        assert patch.top >= 0
        assert patch.left + width <= frame.width
        assert patch.top + height <= frame.height
        assert patch.rgba[..., :3][patch.rgba[..., 3] > 250].min() < 90, "dark letters"
    attribution, title = patches
    assert attribution.left + attribution.rgba.shape[1] == frame.width
    assert attribution.top + attribution.rgba.shape[0] == frame.height
    assert title.left == title.top


def test_furniture_belongs_to_the_sheet_and_not_to_the_ground() -> None:
    here = furniture(Frame(Grid.web_mercator(12), 0, 0, 500, 400), "A", "B")
    there = furniture(Frame(Grid.web_mercator(12), -900, 70, 500, 400), "A", "B")
    assert all(np.array_equal(p.rgba, q.rgba) and p.left == q.left for p, q in zip(here, there, strict=True))
    assert furniture(Frame(Grid.web_mercator(12), 0, 0, 500, 400)) == []


def test_a_title_that_cannot_be_drawn_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = FontBook(folders=[])
    for module in ("shape", "furniture"):
        monkeypatch.setattr(sys.modules[f"mapstyle.labels.{module}"], "font_book", lambda: alone)
    with pytest.raises(FontError, match=r"Thai letters.*Install"):
        furniture(Frame(Grid.web_mercator(12), 0, 0, 500, 400), "ที่นี่ only here")
