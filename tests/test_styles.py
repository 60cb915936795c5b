"""Every style loads strictly, says what it is, and keeps the promises that the pipeline builds on."""

import re

import pytest

from mapstyle.engines.painter import PainterSpec
from mapstyle.errors import StyleError
from mapstyle.image import PLANES
from mapstyle.style import FILE, apply_change, find_styles, load_style, packaged

STYLES = sorted(find_styles())


def test_the_styles_are_here():
    assert {"watercolour", "pen-and-ink", "model-railway", "woodblock"} <= set(STYLES)


@pytest.mark.parametrize("name", STYLES)
def test_a_style_says_what_it_is(name):
    look = load_style(name)
    assert look.name == name
    assert look.title
    assert look.summary.endswith(".")
    assert look.credits


@pytest.mark.parametrize("name", STYLES)
def test_an_engine_asks_only_for_planes_there_are_and_reaches_no_further_than_a_window_allows(name):
    spec = PainterSpec(load_style(name).painter)
    assert spec.needs <= set(PLANES)
    assert 0 < spec.reach <= 64


@pytest.mark.parametrize("name", STYLES)
def test_a_misspelt_setting_is_an_error_wherever_it_stands(name):
    text = (packaged("styles") / name / FILE).read_text(encoding="utf-8")
    keys = re.findall(r"^\s*([a-z_]+) = ", text, re.MULTILINE)
    brush = next(iter(load_style(name).painter.brushes))
    for key in (
        f"painter.brushes.{brush}.strenght",
        "painter.settings.papre",
        "labels.place.colur",
        "levels.aperas",
        "nmae",
    ):
        with pytest.raises(StyleError, match=key.rsplit(".", 1)[-1]):
            load_style(name, [f"{key}=1"])
    assert keys


def test_a_change_is_read_as_toml_else_as_text():
    raw: dict = {}
    apply_change(raw, "a.b.c=0.5")
    apply_change(raw, "a.b.d=plain words")
    apply_change(raw, "a.e=[1, 2]")
    assert raw == {"a": {"b": {"c": 0.5, "d": "plain words"}, "e": [1, 2]}}
    for wrong in ("novalue", "=3", "a..b=3", "a.e.f=1"):
        with pytest.raises(StyleError, match="--set"):
            apply_change(raw, wrong)


def test_a_change_changes_the_identity_and_nothing_else_does():
    one, again = load_style("watercolour"), load_style("watercolour")
    assert one.digest == again.digest
    assert PainterSpec(one.painter).identity() == PainterSpec(again.painter).identity()
    assert load_style("watercolour", ["labels.scale=1.1"]).digest != one.digest
    assert load_style("watercolour", ["levels.appears.building=15"]).digest != one.digest


def test_styles_are_searched_in_a_persons_own_folders_first(tmp_path, monkeypatch):
    import shutil

    shutil.copytree(packaged("styles") / "watercolour", tmp_path / "watercolour")
    monkeypatch.setenv("MAPSTYLE_STYLES", str(tmp_path))
    assert find_styles()["watercolour"] == tmp_path / "watercolour"
    assert load_style(str(packaged("styles") / "watercolour")).name == "watercolour"
